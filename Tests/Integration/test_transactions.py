"""Transactions against a real process, also over its death. The stranger's client for Python has no transactions, so the producer
speaks the protocol by hand, as captured Java clients do; the C++ client receives."""

import json
import threading
import time

import pytest

from apus import eventually
from messages import bodies
from remoting import Connection, frame

COMMIT, ROLLBACK, UNKNOWN = 8, 12, 0
SETTINGS = ("transactionTimeOut=1000", "transactionCheckInterval=1500", "transactionCheckMax=3")


class TransactionProducer(Connection):
    """One producer of a group. Questions of the broker (39) gather in `checks` while it waits for anything."""

    def __init__(self, server, group):
        super().__init__(server.broker_port, timeout=30.0)
        self.group = group
        self.checks = []
        self.heartbeat()

    def heartbeat(self):
        body = {"clientID": f"client@{self.group}", "producerDataSet": [{"groupName": self.group}], "consumerDataSet": []}
        assert self.call(34, body=json.dumps(body).encode())["code"] == 0

    def call(self, code, fields=None, body=b""):
        self.opaque += 1
        header = {"code": code, "language": "JAVA", "version": 409, "opaque": self.opaque, "flag": 0}
        self.send(frame({**header, "extFields": fields or {}}, body))
        while True:
            answer, answer_body = self.answer()
            if answer["flag"] & 1 and answer["opaque"] == self.opaque:
                return answer
            self.note(answer, answer_body)

    def note(self, header, body):
        if header["code"] == 39:
            self.checks.append((header["extFields"], body))

    def prepare(self, topic, text, **properties):
        """Sends a half message; returns what ends it."""
        named = {"TRAN_MSG": "true", "PGROUP": self.group, "UNIQ_KEY": f"U{text}", **properties}
        answer = self.call(
            310,
            {
                "a": self.group, "b": topic, "c": "TBW102", "d": "4", "e": "0", "f": "4",
                "g": str(int(time.time() * 1000)), "h": "0", "j": "0", "k": "false", "m": "false",
                "i": "\x02".join(f"{name}\x01{value}" for name, value in named.items()),
            },
            text.encode(),
        )
        assert answer["code"] == 0, answer
        fields = answer["extFields"]
        return {"tranStateTableOffset": fields["queueOffset"], "commitLogOffset": str(int(fields["msgId"][-16:], 16)), "msgId": f"U{text}"}

    def end(self, half, outcome):
        """One-way, as clients do; returns when the broker has taken it in."""
        fields = {
            "producerGroup": self.group, "tranStateTableOffset": half["tranStateTableOffset"],
            "commitLogOffset": half["commitLogOffset"], "commitOrRollback": str(outcome),
            "fromTransactionCheck": "false", "msgId": half["msgId"],
        }
        header = {"code": 37, "language": "JAVA", "version": 409, "opaque": 0, "flag": 2}
        self.send(frame({**header, "extFields": fields}))
        self.heartbeat()

    def next_check(self, within=30.0):
        """The next question: its fields and the body of the message that it holds."""
        self.socket.settimeout(within)
        while not self.checks:
            self.note(*self.answer())
        fields, record = self.checks.pop(0)
        size = int.from_bytes(record[84:88], "big")
        return fields, record[88 : 88 + size].decode()


def received(server, clients, group, topic):
    return [body.decode() for body in bodies(clients.pull(server, group()), topic)]


@pytest.fixture
def server(own_server):
    return own_server(*SETTINGS)


def test_committed_is_received_and_rolled_back_is_not(server, clients, topic, group):
    name = group("tx")
    seen = []
    with TransactionProducer(server, name) as producer:
        halves = [producer.prepare(topic, f"message {number}") for number in range(20)]
        clients.push(server, group(), topic, lambda m: seen.append(m.body.decode()))
        for number, half in enumerate(halves):
            producer.end(half, COMMIT if number % 2 == 0 else ROLLBACK)
        expected = sorted(f"message {number}" for number in range(0, 20, 2))
        eventually(lambda: sorted(seen) == expected, within=60, what="the committed messages")
        # Ended twice: nothing comes of it.
        for half in halves:
            producer.end(half, COMMIT)
        assert received(server, clients, group, topic) == expected


def test_who_does_not_know_is_asked_and_may_commit_then(server, clients, topic, group):
    with TransactionProducer(server, group("tx")) as producer:
        half = producer.prepare(topic, "late")
        producer.end(half, UNKNOWN)
        start = time.monotonic()
        fields, text = producer.next_check()
        assert time.monotonic() - start < 10, "asked far too late"
        assert text == "late" and fields["msgId"] == "Ulate" == fields["transactionId"]
        assert fields["commitLogOffset"] == half["commitLogOffset"]
        producer.end(fields, COMMIT)
        assert received(server, clients, group, topic) == ["late"]


@pytest.mark.parametrize("is_killed", [False, True])
def test_an_unknown_outcome_survives_the_process(server, clients, topic, group, is_killed):
    name = group("tx")
    with TransactionProducer(server, name) as producer:
        committed = producer.prepare(topic, "committed")
        producer.prepare(topic, "unknown")
        producer.end(committed, COMMIT)
        producer.end(producer.prepare(topic, "rolled back"), ROLLBACK)
    if is_killed:
        server.kill()
        server.start()
    else:
        server.restart()
    with TransactionProducer(server, name) as producer:
        fields, text = producer.next_check()
        assert text == "unknown"
        producer.end(committed, COMMIT)
        producer.end(fields, COMMIT)
        assert received(server, clients, group, topic) == ["committed", "unknown"]


def test_what_nobody_ends_is_given_up_and_kept_for_operators(server, clients, topic, group):
    with TransactionProducer(server, group("tx")) as producer:
        producer.prepare(topic, "forever")
        for _ in range(3):
            assert producer.next_check()[1] == "forever"
        eventually(
            lambda: "TRANS_CHECK_MAX_TIME_TOPIC" in server.run("topic", "list", "--all"),
            within=30, what="the topic of transactions that were given up",
        )
        assert received(server, clients, group, "TRANS_CHECK_MAX_TIME_TOPIC") == ["forever"]
        assert not producer.checks


def test_nothing_that_was_committed_is_lost_by_kill_9(server, clients, topic, group):
    name = group("tx")
    acknowledged = []

    def send():
        try:
            with TransactionProducer(server, name) as producer:
                for number in range(100_000):
                    half = producer.prepare(topic, f"m{number}")
                    producer.end(half, COMMIT)
                    # The heartbeat behind the commit was answered, so the commit is written.
                    acknowledged.append(f"m{number}")
        except OSError:
            # The server was killed.
            return

    sender = threading.Thread(target=send)
    sender.start()
    eventually(lambda: len(acknowledged) > 300, within=60, what="300 transactions")
    server.kill()
    sender.join(60)
    server.start()
    # Of the one that was open at the kill the producer is asked.
    stored = received(server, clients, group, topic)
    assert set(acknowledged) <= set(stored)
    assert len(stored) == len(set(stored)) <= len(acknowledged) + 1
