"""Receiving with the C++ client: push, pull, ordered, filtered by tag, clustering and broadcasting."""

import threading
import time

from rocketmq.client import MessageModel

from apus import eventually
from messages import bodies, message


class Received:
    """What a push consumer's callback saw, in order."""

    def __init__(self):
        self.lock = threading.Lock()
        self.rows = []

    def __call__(self, m):
        with self.lock:
            self.rows.append((m.queue_id, m.queue_offset, m.body))

    def bodies(self):
        with self.lock:
            return sorted(row[2] for row in self.rows)


def send(producer, topic, count, word="body", **options):
    expected = [f"{word} {i}" for i in range(count)]
    for body in expected:
        producer.send_sync(message(topic, body, **options))
    return sorted(body.encode() for body in expected)


def test_a_push_consumer_gets_what_was_and_what_will_be_sent(server, clients, topic, group):
    producer = clients.producer(server, group())
    before = send(producer, topic, 10, "before")
    received = Received()
    clients.push(server, group(), topic, received)
    eventually(lambda: received.bodies() == before, within=60, what="10 messages")
    after = send(producer, topic, 10, "after")
    eventually(lambda: received.bodies() == sorted(before + after), within=30, what="20 messages")


def test_a_waiting_pull_wakes_when_a_message_comes(server, clients, topic, group):
    producer = clients.producer(server, group())
    send(producer, topic, 1, "warm")
    received = Received()
    clients.push(server, group(), topic, received)
    eventually(lambda: len(received.rows) == 1, within=60, what="the first message")
    delays = []
    for i in range(5):
        start = time.monotonic()
        producer.send_sync(message(topic, f"timed {i}"))
        eventually(lambda: len(received.rows) == 2 + i, within=20, what="the next message")
        delays.append(time.monotonic() - start)
    # A broker that only looks now and then would need seconds.
    assert sorted(delays)[2] < 0.5, delays


def test_two_groups_get_every_message_each(server, clients, topic, group):
    producer = clients.producer(server, group())
    one, two = Received(), Received()
    expected = send(producer, topic, 30)
    clients.push(server, group(), topic, one)
    clients.push(server, group(), topic, two)
    eventually(lambda: one.bodies() == expected and two.bodies() == expected, within=60, what="30 messages twice")


def test_an_ordered_consumer_sees_each_queue_in_order(server, clients, topic, group):
    producer = clients.producer(server, group())
    for i in range(60):
        producer.send_orderly(message(topic, f"{i % 4}:{i // 4}"), i % 4)
    received = Received()
    clients.push(server, group(), topic, received, orderly=True)
    eventually(lambda: len(received.rows) >= 60, within=60, what="60 messages")
    for key in range(4):
        numbers = [int(b.decode().split(":")[1]) for _, _, b in received.rows if b.startswith(b"%d:" % key)]
        assert numbers == list(range(15))


def test_a_tag_expression_filters(server, clients, topic, group):
    producer = clients.producer(server, group())
    for i in range(30):
        producer.send_sync(message(topic, f"{'abc'[i % 3]} {i}", tags="abc"[i % 3]))
    one, two = Received(), Received()
    clients.push(server, group(), topic, one, expression="a")
    clients.push(server, group(), topic, two, expression="a || c")
    eventually(lambda: len(one.rows) == 10 and len(two.rows) == 20, within=60, what="10 and 20 messages")
    assert all(body.startswith(b"a") for body in one.bodies())
    assert all(body[:1] in (b"a", b"c") for body in two.bodies())


def test_tags_with_equal_hash_codes_are_told_apart(server, clients, topic, group):
    # Java's hash code of "AaAa" and "BBBB" is the same: the broker lets both pass, the client compares the text.
    producer = clients.producer(server, group())
    for i in range(10):
        producer.send_sync(message(topic, f"{i}", tags="AaAa" if i % 2 else "BBBB"))
    received = Received()
    clients.push(server, group(), topic, received, expression="AaAa")
    eventually(lambda: len(received.rows) >= 5, within=60, what="5 messages")
    assert received.bodies() == [b"1", b"3", b"5", b"7", b"9"]


def test_a_pull_consumer_reads_everything_again(server, clients, topic, group):
    producer = clients.producer(server, group())
    expected = send(producer, topic, 100)
    assert bodies(clients.pull(server, group()), topic) == expected
    assert bodies(clients.pull(server, group()), topic) == expected


def test_broadcasting_gives_every_message(server, clients, topic, group):
    producer = clients.producer(server, group())
    send(producer, topic, 1, "warm")
    received = Received()
    clients.push(server, group(), topic, received, message_model=MessageModel.BROADCASTING)
    # A new broadcasting member may begin at the end; what comes after it joined must all arrive.
    def reached():
        producer.send_sync(message(topic, "probe"))
        return b"probe" in received.bodies()

    eventually(reached, within=60, what="a probe")
    expected = send(producer, topic, 20, "all")
    eventually(lambda: set(expected) <= set(received.bodies()), within=30, what="20 messages")
