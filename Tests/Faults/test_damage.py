"""Bits that flip and files that are cut short: nothing damaged is served, and `apus store` says where it is and mends it."""

import random
import shutil

import pytest

from apus import Server
from conftest import cycles
from ledger import account
from stores import copy, files_with_content, flip, read_all, store_command
from wire import Peer
from world import SETTINGS, World


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """A store with every kind of message, stopped in good order, and its ledger."""
    world = World(tmp_path_factory.mktemp("sound"), 11, "SYNC_FLUSH")
    world.start()
    world.make_topics()
    for _ in range(3):
        world.work(0.4)
        world.look()
    world.settle()
    world.server.stop()
    return world


def serve(folder, store):
    """Starts a broker on the store; None when it refuses, with what it said."""
    server = Server(folder, *SETTINGS)
    server.store = store
    try:
        server.start(within=60)
    except AssertionError as error:
        return None, str(error)
    return server, ""


def check_served(world, server):
    """What is served must have been sent, byte by byte; returns how much, and what was refused."""
    with Peer(server.broker_port) as peer:
        stored, refused = read_all(peer)
    verdict = account(world.ledger, stored, {}, loss_allowed=True)
    wrong = [v for v in verdict.violations if v.split(":")[0] in ("damaged", "altered", "phantom", "twice", "moved", "misplaced")]
    assert not wrong, wrong[:5]
    return verdict.read, refused


def test_a_sound_store_is_clean(sound):
    code, damages, text = store_command("check", sound.server.store)
    assert (code, damages) == (0, []), text
    assert "no damage" in text


def test_a_running_broker_keeps_its_store(sound, tmp_path):
    server, text = serve(tmp_path / "s", copy(sound.server.store, tmp_path / "store"))
    assert server, text
    code, _, text = store_command("check", tmp_path / "store")
    assert code == 1 and "running broker" in text
    server.kill()


KINDS = ("commitlog", "consumequeue", "index", "snapshots", "checkpoint")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("how", ["flip", "cut"])
def test_damage_is_found_and_not_served(sound, tmp_path, seed, say, kind, how):
    chance = random.Random(f"{seed} {kind} {how}")
    whole = account_of(sound)
    noticed = refused_starts = 0
    for number in range(cycles(6)):
        store = copy(sound.server.store, tmp_path / f"store-{number}")
        files = [(p, end) for p, end in files_with_content(store) if kind in (p.parent.name, p.parent.parent.parent.name, p.name)]
        path, end = chance.choice(files)
        position = chance.randrange(end)
        if how == "flip":
            flip(path, position, 1 << chance.randrange(8))
        else:
            with open(path, "r+b") as file:
                file.truncate(position)
        place = f"{how} of {path} at {position}, seed {seed}, number {number}"
        code, damages, text = store_command("check", store)
        assert code in (0, 6), f"{place}: {text}"
        if kind == "commitlog":
            # Every byte of the log counts.
            assert code == 6, f"{place} was not noticed"
            if how == "flip":
                assert any(d["file"] == str(path) and d["position"] <= position < d["position"] + max(1, d["length"]) for d in damages), (place, damages)
        noticed += code == 6
        # As it is: the broker refuses to start and says why, or serves what is whole.
        trial = copy(store, tmp_path / f"trial-{number}")
        server, said = serve(tmp_path / f"a-{number}", trial)
        if server is None:
            refused_starts += 1
            assert "is damaged at byte" in said and "ended with 1" in said, f"{place}: {said}"
            assert code == 6, f"{place}: the broker refuses, and the check finds nothing"
        else:
            read, refused = check_served(sound, server)
            if code == 0 and how == "flip":
                assert read == whole and not refused, f"{place}: {whole - read} are missing, and the check finds nothing"
            server.kill()
        # Mended: it starts, and no queue is stuck.
        code, found, text = store_command("repair", store, "--yes")
        if all(d["mendable"] for d in found):
            assert code == 0, f"{place}: {text}"
            server, said = serve(tmp_path / f"b-{number}", store)
            assert server is not None, f"{place}: {said}\n{text}"
            read, refused = check_served(sound, server)
            assert not refused, f"{place}: {refused[:3]}"
            if how == "flip":
                assert read >= whole - 1, f"{place}: {whole - read} messages are missing after the repair"
            server.kill()
        for name in ("store", "trial", "a", "b"):
            shutil.rmtree(tmp_path / f"{name}-{number}", ignore_errors=True)
    say(f"{cycles(6)} × {how} in {kind}: {noticed} found, {refused_starts} starts refused")


def account_of(world):
    return sum(1 for entry in world.ledger.entries.values() if entry.is_verified)
