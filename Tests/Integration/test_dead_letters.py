"""Dead letters made by the C++ client, and `apus dlq`: listed, shown, exported and sent again."""

import json
import subprocess

import pytest

from apus import binary, eventually
from messages import bodies, message


def rows(server, *words):
    return json.loads(server.run(*words, "--output", "json"))


@pytest.fixture
def letters(server, clients, topic, group):
    """A group that gave up three messages of a topic at the first attempt."""
    name = group("failing")
    server.run("topic", "create", topic, "--queues", "1")
    server.run("group", "create", name, "--retry-max", "0")

    def fail(_):
        raise RuntimeError("not today")

    consumer = clients.push(server, name, topic, fail)
    producer = clients.producer(server, group("producer"))
    for number, (tag, key) in enumerate([("a", "k0"), ("a", "k1"), ("b", "k2")]):
        producer.send_sync(message(topic, f"letter {number}", tags=tag, keys=key, properties={"color": "red"}))

    def count():
        found = [row for row in rows(server, "dlq", "list") if row["group"] == name]
        return found[0]["messages"] if found else 0

    eventually(lambda: count() == 3, within=90, what="three dead letters")
    del consumer
    return name


def test_list_and_show(server, letters, topic):
    listed = [row for row in rows(server, "dlq", "list") if row["group"] == letters]
    assert listed[0]["topic"] == f"%DLQ%{letters}" and listed[0]["last"]
    shown = rows(server, "dlq", "show", letters)
    assert sorted(row["body"] for row in shown) == ["letter 0", "letter 1", "letter 2"]
    assert {row["topic"] for row in shown} == {topic}
    assert {(row["tag"], row["keys"]) for row in shown} == {("a", "k0"), ("a", "k1"), ("b", "k2")}


@pytest.mark.parametrize("choice, expected", [
    (["--tag", "a"], ["letter 0", "letter 1"]),
    (["--key", "k2"], ["letter 2"]),
    (["--tag", "a", "--key", "k1"], ["letter 1"]),
    (["--topic", "elsewhere"], []),
    (["--from", "1h", "--limit", "2"], None),
    (["--until", "1h"], []),
])
def test_choices(server, letters, choice, expected):
    shown = sorted(row["body"] for row in rows(server, "dlq", "show", letters, *choice))
    if expected is None:
        assert len(shown) == 2
    else:
        assert shown == expected


def test_export(server, letters, topic, tmp_path):
    path = tmp_path / "letters.jsonl"
    server.run("dlq", "export", letters, "--file", str(path))
    exported = [json.loads(line) for line in path.read_text().splitlines()]
    assert sorted(row["body"] for row in exported) == ["letter 0", "letter 1", "letter 2"]
    for row in exported:
        assert row["topic"] == topic and row["group"] == letters
        assert row["properties"]["color"] == "red"
        assert row["keys"] in (["k0"], ["k1"], ["k2"])
    # To standard output the same, and a file that is there is not written over.
    assert len(server.run("dlq", "export", letters).splitlines()) == 3
    assert fails(server, "dlq", "export", letters, "--file", str(path)) == 2


def fails(server, *words):
    return subprocess.run(
        [str(binary()), *words, "--name-server", server.name_server], capture_output=True, timeout=60
    ).returncode


def test_resend(server, clients, letters, topic, group):
    assert fails(server, "dlq", "resend", letters) == 2, "nothing says which"
    dry = rows(server, "dlq", "resend", letters, "--all", "--dry-run")
    assert len(dry) == 3 and all(row["newMessageId"] is None for row in dry)
    server.run("topic", "create", f"{topic}-again", "--queues", "1")
    sent = rows(server, "dlq", "resend", letters, "--tag", "a", "--to", f"{topic}-again")
    assert len(sent) == 2 and all(row["newMessageId"] for row in sent)
    reader = clients.pull(server, group("reader"))
    assert bodies(reader, f"{topic}-again") == [b"letter 0", b"letter 1"]
    # The dead letters stay.
    assert len(rows(server, "dlq", "show", letters)) == 3


def test_a_group_without_dead_letters(server, group):
    assert fails(server, "dlq", "show", group("nobody")) == 3
