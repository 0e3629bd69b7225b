"""Bits that flip and files that are cut short: nothing damaged is served, and `apus store` says where it is and mends it."""

import random
import re
import shutil

import pytest

from apus import Server
from conftest import cycles
from ledger import account
from stores import copy, files_with_content, flip, read_all, store_command
from wire import Peer, send_fields
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


KINDS = ("commitlog", "consumequeue", "index", "snapshots", "queues", "checkpoint")


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


HOWS = ("flip", "flip", "zeros", "noise", "stray", "cut")


def damage(files, chance):
    """Damages one file, of a kind that is chosen first; returns what was done."""
    by_kind = {}
    for path, end in files:
        kind = next((k for k in KINDS if k in path.parts), None)
        if kind is not None:
            by_kind.setdefault(kind, []).append((path, end))
    kind = chance.choice(sorted(by_kind))
    path, end = chance.choice(by_kind[kind])
    how, position = chance.choice(HOWS), chance.randrange(end)
    # Sizes of what goes wrong at once: a bit, a few bytes, a sector, a page.
    size = min(chance.choice((1, 8, 20, 512, 4096)), end - position)
    if how in ("zeros", "stray") and chance.random() < 0.5:
        position -= position % 512
    if how == "flip":
        flip(path, position, 1 << chance.randrange(8))
    elif how == "cut":
        with open(path, "r+b") as file:
            file.truncate(position)
    else:
        data = bytes(size)
        if how == "noise":
            data = chance.randbytes(size)
        elif how == "stray":
            # What was meant for another place of the same kind of file.
            other, other_end = chance.choice(by_kind[kind])
            with open(other, "rb") as file:
                start = chance.randrange(other_end)
                file.seek(start - start % chance.choice((1, 20, 512)))
                data = file.read(size)
        with open(path, "r+b") as file:
            file.seek(position)
            file.write(data)
    return f"{how} of {size} bytes at {position} of {path}"


def expected(world):
    """The messages of each queue, and where it ends."""
    found = {}
    for entry in world.ledger.entries.values():
        if entry.is_verified and entry.offset is not None:
            found.setdefault((entry.topic, entry.queue), {})[entry.offset] = entry.number
    return found


# What a line of the log or an answer has that says where damage is.
PLACE = re.compile(r"\b(commitlog|consumequeue|index|snapshots|queues|checkpoint)\b")
SAYS = re.compile(r"damaged|cut the log at a torn write|does not lead to its message|not in the log|unreadable|no slot of the checkpoint")


def test_rounds_of_random_damage(sound, tmp_path, seed, say):
    """One to three damages anywhere, a start, and everything read: what is served was sent, what is missing is reported with its
    file, and no offset is given to a second message."""
    whole = expected(sound)
    counted = {"rounds": 0, "refused starts": 0, "all served": 0, "reported": 0}
    rounds = cycles(40)
    for number in range(rounds):
        chance = random.Random(f"{seed} {number}")
        store = copy(sound.server.store, tmp_path / "store")
        done = [damage(files_with_content(store), chance) for _ in range(chance.choice((1, 1, 1, 2, 3)))]
        place = f"seed {seed}, round {number}: {'; '.join(done)}"
        counted["rounds"] += 1
        folder = tmp_path / "s"
        shutil.rmtree(folder, ignore_errors=True)
        server, said = serve(folder, store)
        if server is None:
            counted["refused starts"] += 1
            assert "ended with 1" in said and SAYS.search(said) and PLACE.search(said), f"{place}: {said}"
            continue
        try:
            check_round(sound, server, whole, place, counted)
        finally:
            if server.process is not None:
                server.kill()
    say(f"seed {seed}: " + ", ".join(f"{count} {what}" for what, count in counted.items()))


def check_round(world, server, whole, place, counted):
    read, refused = check_served(world, server)
    assert server.is_alive(), f"{place}: {server.tail()}"
    with Peer(server.broker_port) as peer:
        stored, _ = read_all(peer)
        missing = []
        for (topic, queue), messages in whole.items():
            there = {record.offset for record in stored.get((topic, queue), [])}
            missing += [(topic, queue, offset) for offset in messages if offset not in there]
        text = server.log.read_text(errors="replace")
        reports = [line for line in text.splitlines() if SAYS.search(line) and PLACE.search(line)]
        assert all(PLACE.search(str(header)) for _, _, _, header in refused), f"{place}: {refused[:2]}"
        if missing and not refused:
            assert reports, f"{place}: {len(missing)} messages are missing, as {missing[:3]}, and nothing says so"
        counted["reported" if missing or refused or reports else "all served"] += 1
        check_new_offsets(peer, whole, place, bool(reports or refused))
    if refused or "does not lead to its message" in text:
        health = server.run("health", check=False)
        assert "degraded" in health or "failed" in health, f"{place}: {health}"


def check_new_offsets(peer, whole, place, is_reported):
    """A new message gets an offset that no message had, unless the end of the log was cut, and a line said so."""
    for (topic, queue), messages in whole.items():
        if topic == "late":
            continue
        header, _ = peer.call(310, send_fields(topic, queue, {}), b"new")
        if header["code"] != 0:
            assert PLACE.search(str(header)) or header["code"] == 17, f"{place}: {header}"
            continue
        offset = int(header["extFields"]["queueOffset"])
        assert offset not in messages or is_reported, (
            f"{place}: offset {offset} of {topic}/{queue} was message {messages[offset]} and is given again")


def test_a_message_that_is_passed_over_without_a_word_is_caught(sound, tmp_path):
    """An entry that says that its record was set aside, which nobody did: the broker believes it."""
    store = copy(sound.server.store, tmp_path / "store")
    entry = next(e for e in sound.ledger.entries.values() if e.topic == "plain" and e.is_verified and e.offset == 3)
    path = store / "consumequeue" / "plain" / str(entry.queue) / f"{0:020d}"
    with open(path, "r+b") as file:
        file.seek(3 * 20 + 8)
        file.write(b"\x7f" + b"\xff" * 11)
    server, said = serve(tmp_path / "s", store)
    assert server is not None, said
    try:
        with pytest.raises(AssertionError, match="1 messages are missing, .* and nothing says so"):
            check_round(sound, server, expected(sound), "by hand", {"reported": 0, "all served": 0})
    finally:
        server.kill()


def account_of(world):
    return sum(1 for entry in world.ledger.entries.values() if entry.is_verified)
