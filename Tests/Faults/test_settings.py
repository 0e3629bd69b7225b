"""Files that have no checksum: the settings beside a store of RocketMQ, and accounts. A damaged one is a clear error, or takes nothing
away; never a crash, and never less state than there was."""

import json
import pathlib
import random
import re
import shutil
import subprocess

import pytest

from apus import Server
from conftest import cycles
from wire import Peer

FIXTURE = pathlib.Path(__file__).resolve().parents[1] / "Fixtures" / "Disk" / "rocketmq-4.9.8" / "store-small.tar.zst"
SETTINGS = (
    "mappedFileSizeCommitLog=1048576", "mappedFileSizeConsumeQueue=6000", "maxHashSlotNum=1000", "maxIndexNum=4000",
    "fileReservedTime=1000000",
)
FILES = ("topics", "subscriptionGroup", "consumerOffset", "delayOffset")
ACCOUNTS = """\
globalWhiteRemoteAddresses:
accounts:
- accessKey: sender-1
  secretKey: secret-of-sender
  admin: false
  defaultTopicPerm: DENY
  topicPerms:
  - Open=PUB|SUB
- accessKey: operator
  secretKey: secret-of-operator
  admin: true
"""


@pytest.fixture(scope="module")
def adopted(tmp_path_factory):
    """The store, unpacked, and how much of everything a broker takes over from it."""
    folder = tmp_path_factory.mktemp("fixture")
    subprocess.run(f"zstd -dc '{FIXTURE}' | tar -xSf - -C '{folder}'", shell=True, check=True)
    store = folder / "store-small" / "store"
    server, said = serve(folder / "s", copy(store, folder / "copy"))
    assert server, said
    whole = inventory(server)
    server.kill()
    assert whole["topics"] > 10 and whole["groups"] > 5 and whole["offsets"] > 10
    return store, whole


def copy(store, to):
    shutil.rmtree(to, ignore_errors=True)
    subprocess.run(["cp", "-r", "--sparse=always", str(store), str(to)], check=True)
    return to


def serve(folder, store, *settings):
    server = Server(folder, *SETTINGS, *settings)
    server.store = store
    try:
        server.start(within=60)
    except AssertionError as error:
        return None, str(error)
    return server, ""


def inventory(server):
    """How many topics, groups and offsets the broker has."""
    with Peer(server.broker_port) as peer:
        _, topics = peer.call(21, {})
        _, groups = peer.call(201, {})
        _, offsets = peer.call(43, {})
    # RocketMQ's tables have numbers for keys.
    tables = json.loads(re.sub(rb"([{,]\s*)(-?\d+)\s*:", rb'\1"\2":', offsets))["offsetTable"]
    return {
        "topics": len(json.loads(topics)["topicConfigTable"]), "groups": len(json.loads(groups)["subscriptionGroupTable"]),
        "offsets": sum(len(queues) for queues in tables.values()),
    }


def damage(path, chance):
    """Damages a text; returns what was done."""
    data = bytearray(path.read_bytes())
    how, position = chance.choice(("flip", "flip", "zeros", "noise", "cut", "empty")), chance.randrange(len(data))
    size = min(chance.choice((1, 8, 64, 512)), len(data) - position)
    if how == "flip":
        data[position] ^= 1 << chance.randrange(8)
    elif how == "cut":
        del data[position:]
    elif how == "empty":
        data.clear()
    else:
        data[position : position + size] = bytes(size) if how == "zeros" else chance.randbytes(size)
    path.write_bytes(data)
    return f"{how} of {size} bytes at {position} of {path.name}"


def check_taken_over(server, whole, place):
    found = inventory(server)
    # The file before may hold more.
    assert all(found[what] >= count for what, count in whole.items()), f"{place}: {whole} became {found}"
    assert server.is_alive(), f"{place}: {server.tail()}"


def test_rounds_of_damage_to_settings(adopted, tmp_path, seed, say):
    store, whole = adopted
    counted = {"refused": 0, "nothing missing": 0}
    for number in range(cycles(24)):
        chance = random.Random(f"{seed} settings {number}")
        copied = copy(store, tmp_path / "store")
        path = copied / "config" / f"{FILES[number % len(FILES)]}.json"
        backup = path.with_suffix(".json.bak")
        if chance.random() < 0.5 and backup.exists():
            backup.unlink()
        had = path.read_bytes()
        place = f"seed {seed}, round {number}: {damage(path, chance)}"
        server, said = serve(tmp_path / "s", copied)
        if server is None:
            counted["refused"] += 1
            assert "ended with 1" in said and f"config/{path.name}" in said, f"{place}: {said}"
            # Nothing was taken over: with the file as it was, everything is.
            path.write_bytes(had)
            server, said = serve(tmp_path / "again", copied)
            assert server, f"{place}: {said}"
        else:
            counted["nothing missing"] += 1
        try:
            check_taken_over(server, whole, place)
        finally:
            server.kill()
        for name in ("s", "again"):
            shutil.rmtree(tmp_path / name, ignore_errors=True)
    say(f"seed {seed}: " + ", ".join(f"{count} {what}" for what, count in counted.items()))


def test_a_topic_that_is_missing_without_a_word_is_caught(adopted, tmp_path):
    store, whole = adopted
    copied = copy(store, tmp_path / "store")
    path = copied / "config" / "topics.json"
    document = json.loads(path.read_text())
    del document["topicConfigTable"]["FxDelay"]
    path.write_text(json.dumps(document))
    server, said = serve(tmp_path / "s", copied)
    assert server, said
    try:
        with pytest.raises(AssertionError, match="by hand: .* became"):
            check_taken_over(server, whole, "by hand")
    finally:
        server.kill()


def test_rounds_of_damage_to_accounts(tmp_path, seed, say):
    """A file of accounts that is not what it was: an error with the file, or a broker that lets nobody in without a signature."""
    counted = {"refused": 0, "nobody let in": 0}
    for number in range(cycles(24)):
        chance = random.Random(f"{seed} accounts {number}")
        path = tmp_path / "plain_acl.yml"
        path.write_text(ACCOUNTS)
        path.chmod(0o600)
        place = f"seed {seed}, round {number}: {damage(path, chance)}"
        server, said = serve(tmp_path / "s", tmp_path / "s" / "store", "aclEnable=true", f"aclFile={path}")
        if server is None:
            counted["refused"] += 1
            assert "ended with 1" in said and path.name in said, f"{place}: {said}"
            assert "secret-of" not in said, f"{place}: the log shows a secret"
        else:
            counted["nobody let in"] += 1
            with Peer(server.broker_port) as peer:
                for code in (21, 25, 43):
                    header, _ = peer.call(code, {})
                    assert header["code"] not in (0,), f"{place}: a stranger is answered {code}"
            assert server.is_alive(), f"{place}: {server.tail()}"
            server.kill()
        shutil.rmtree(tmp_path / "s", ignore_errors=True)
    say(f"seed {seed}: " + ", ".join(f"{count} {what}" for what, count in counted.items()))
