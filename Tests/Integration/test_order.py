"""Order by sharding key with the C++ client: over a restart of the broker, and when a second member joins and leaves."""

import collections
import itertools
import json
import pathlib
import subprocess
import sys
import time

from apus import eventually
from messages import message

FOLDER = pathlib.Path(__file__).parent
KEYS = 4


class Member:
    """An orderly consumer in a process of its own. What it handled is told line by line."""

    def __init__(self, server, group, topic, seconds, name, folder):
        self.path = folder / f"{name}.jsonl"
        self.output = open(self.path, "w")
        self.process = subprocess.Popen(
            [
                sys.executable, str(FOLDER / "client.py"), "push-orderly", server.name_server, group, topic,
                str(seconds), name,
            ],
            stdout=self.output, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL,
        )

    def rows(self):
        return [json.loads(line) for line in self.path.read_text().splitlines() if line.startswith("{") and line.endswith("}")]

    def wait(self):
        self.process.wait(120)
        self.output.close()


def send(producer, topic, numbers):
    for number in numbers:
        for key in range(KEYS):
            producer.send_orderly(message(topic, f"{key}:{number}"), key)
        time.sleep(0.02)


def check_order(rows):
    """No message of a key is handled for the first time before all that were sent before it."""
    seen = collections.defaultdict(int)
    for row in sorted(rows, key=lambda row: row["start"]):
        key, number = map(int, row["body"].split(":"))
        assert number <= seen[key], f"{row} came after {seen[key]} messages of its key"
        seen[key] = max(seen[key], number + 1)
    return seen


def overlaps(rows):
    """Pairs of rows of one queue that two members handled at once."""
    found = []
    for queue in {row["queue"] for row in rows}:
        ordered = sorted((row for row in rows if row["queue"] == queue), key=lambda row: row["start"])
        for one, other in itertools.pairwise(ordered):
            if one["who"] != other["who"] and other["start"] < one["end"]:
                found.append((one, other))
    return found


def test_order_is_kept_over_a_restart_and_a_second_member(own_server, clients, topic, group, tmp_path):
    server = own_server().keep_ports()
    name = group()
    producer = clients.producer(server, group(), timeout=5000)
    send(producer, topic, range(1))
    first = Member(server, name, topic, 80, "first", tmp_path)
    send(producer, topic, range(1, 100))
    eventually(lambda: len(first.rows()) >= 40, within=60, what="messages at the first member")
    server.restart()
    # The client of the test finds the broker again by itself.
    eventually(lambda: can_send(producer, topic), within=60, what="a send after the restart")
    second = Member(server, name, topic, 45, "second", tmp_path)
    send(producer, topic, range(100, 400))
    eventually(lambda: second.rows(), within=60, what="messages at the second member")

    def everything():
        rows = first.rows() + second.rows()
        return {row["body"] for row in rows} >= {f"{key}:{n}" for key in range(KEYS) for n in range(400)}

    eventually(everything, within=90, what="every message")
    first.wait()
    second.wait()
    rows = [row for row in first.rows() + second.rows() if not row["body"].startswith("9:")]
    assert check_order(rows) == {key: 400 for key in range(KEYS)}
    assert not overlaps(rows)


def can_send(producer, topic):
    try:
        producer.send_orderly(message(topic, "9:0"), 0)
        return True
    except Exception:
        return False
