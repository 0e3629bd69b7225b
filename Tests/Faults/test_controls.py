"""The harness catches broken promises: each test breaks one on purpose."""

import ctypes.util
import pathlib
import shutil
import subprocess

import pytest

from mounts import need, skip
from stores import forge, store_command
from wire import Peer
from world import Broken, World, power_cycles

SHIM = r"""
/* A drive that says that everything is on the medium. */
int fsync(int fd) { return 0; }
int fdatasync(int fd) { return 0; }
int syncfs(int fd) { return 0; }
"""


@pytest.fixture(scope="module")
def lying_disk(tmp_path_factory):
    need("gcc")
    folder = tmp_path_factory.mktemp("shim")
    (folder / "shim.c").write_text(SHIM)
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", str(folder / "shim.so"), str(folder / "shim.c")], check=True)
    return {"LD_PRELOAD": str(folder / "shim.so")}


@pytest.mark.parametrize("kind", ["ext4", "xfs"])
def test_a_disk_that_lies_about_flushing_is_caught(tmp_path, seed, kind, lying_disk):
    with pytest.raises((Broken, AssertionError)) as caught:
        power_cycles(tmp_path, kind, 20, "SYNC_FLUSH", seed, environment=lying_disk)
    assert "lost" in str(caught.value) or "damaged" in str(caught.value)


@pytest.fixture
def world(tmp_path, seed):
    world = World(tmp_path / "w", seed, "SYNC_FLUSH")
    world.start()
    world.make_topics()
    world.work(0.3)
    world.settle()
    yield world
    world.close()


def place_of(world):
    """A plain message of the first segment: its entry, file, position and size."""
    path = sorted((world.server.store / "commitlog").glob("0*"))[0]
    entry = next(e for e in world.ledger.entries.values() if e.topic == "plain" and e.is_verified and e.size >= 100 and e.offset > 2)
    size = int.from_bytes(path.read_bytes()[entry.physical : entry.physical + 4], "big")
    return entry, path, size


def test_a_removed_record_is_caught(world):
    world.server.stop()
    entry, path, size = place_of(world)
    data = bytearray(path.read_bytes())
    data[entry.physical + 100] ^= 1
    path.write_bytes(data)
    assert store_command("repair", world.server.store, "--yes")[0] == 0
    world.start()
    with pytest.raises(Broken, match=f"lost: message {entry.number} "):
        world.look(everything=True, due=True)


def test_an_altered_message_is_caught(world):
    world.server.stop()
    entry, path, size = place_of(world)
    forge(path, entry.physical, size)
    # Whoever makes the checksums right again is not noticed by the store; the accountant knows what was sent.
    assert store_command("check", world.server.store)[0] == 0
    world.start()
    with pytest.raises(Broken, match=f"altered: .* is message {entry.number} "):
        world.look(everything=True, due=True)


def test_a_message_that_nobody_sent_is_caught(world):
    entry = next(e for e in world.ledger.entries.values() if e.topic == "plain" and e.is_verified)
    del world.ledger.entries[entry.number]
    with pytest.raises(Broken, match="phantom"):
        world.look(everything=True, due=True)
