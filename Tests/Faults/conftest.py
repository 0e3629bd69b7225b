import os
import pathlib
import sys

import pytest

FOLDER = pathlib.Path(__file__).resolve().parent
for path in (FOLDER, FOLDER.parent / "Integration"):
    sys.path.insert(0, str(path))


def cycles(usual):
    """How often to do it: CYCLES says it for every test, LONG=1 means twenty-five times as often as usual."""
    if os.environ.get("CYCLES"):
        return int(os.environ["CYCLES"])
    return usual * 25 if os.environ.get("LONG") else usual


@pytest.fixture
def seed():
    """SEED repeats a run's choices; the timing of the machine is not repeated."""
    return int(os.environ.get("SEED", "1"))


@pytest.fixture
def say(request):
    """Prints at once, whatever pytest does with the output."""
    capture = request.config.pluginmanager.getplugin("capturemanager")

    def write(text):
        with capture.global_and_fixture_disabled():
            print(f"\n  {text}", end="", flush=True)

    return write


@pytest.fixture
def mounts(tmp_path):
    """Makes loop mounts that are gone after the test."""
    made = []

    def make(kind="ext4", mebibytes=320):
        from mounts import LoopMount

        mount = LoopMount(tmp_path / f"mount{len(made)}", kind, mebibytes)
        made.append(mount)
        return mount

    yield make
    for mount in made:
        mount.remove()
