"""Sending with the C++ client: synchronous, asynchronous, one-way, ordered, batch."""

import re
import threading

from rocketmq.client import SendStatus

from apus import eventually
from messages import bodies, message, pull_all


def test_a_synchronous_send_is_answered_with_id_and_offset(server, clients, topic, group):
    producer = clients.producer(server, group())
    results = [producer.send_sync(message(topic, f"body {i}")) for i in range(20)]
    assert all(r.status == SendStatus.OK for r in results)
    assert len({r.msg_id for r in results}) == 20
    assert all(re.fullmatch("[0-9A-F]{32}", r.msg_id) for r in results)
    assert bodies(clients.pull(server, group()), topic) == sorted(f"body {i}".encode() for i in range(20))


def test_tags_keys_and_properties_come_back(server, clients, topic, group):
    producer = clients.producer(server, group())
    sent = message(topic, "ä body ✓", tags="blue", keys="k1 k2", properties={"colour": "ünlü", "empty-ish": "0"})
    assert producer.send_sync(sent).status == SendStatus.OK
    consumer = clients.pull(server, group())
    received = [(m.body, m.tags, m.keys, m["colour"], m["empty-ish"]) for m in consumer.pull(topic)]
    assert received == [("ä body ✓".encode(), b"blue", b"k1 k2", "ünlü".encode(), b"0")]


def test_queue_offsets_count_from_zero_without_holes(server, clients, topic, group):
    producer = clients.producer(server, group())
    for i in range(40):
        producer.send_sync(message(topic, str(i)))
    queues = {}
    for _, _, _, queue, offset in pull_all(clients.pull(server, group()), topic):
        queues.setdefault(queue, []).append(offset)
    assert sum(len(offsets) for offsets in queues.values()) == 40
    assert all(offsets == list(range(len(offsets))) for offsets in queues.values())


def test_asynchronous_sends_call_back_each(server, clients, topic, group):
    producer = clients.producer(server, group())
    lock, succeeded, failed = threading.Lock(), [], []

    def on_success(result):
        with lock:
            succeeded.append(result.msg_id)

    def on_failure(error):
        with lock:
            failed.append(error)

    sent = [message(topic, f"async {i}") for i in range(100)]
    for m in sent:
        producer.send_async(m, on_success, on_failure)
    eventually(lambda: len(succeeded) + len(failed) == 100, what="100 callbacks")
    assert not failed
    assert len(set(succeeded)) == 100
    assert len(bodies(clients.pull(server, group()), topic)) == 100


def test_one_way_sends_arrive(server, clients, topic, group):
    producer = clients.producer(server, group())
    # The first one makes the topic; one-way sends to an unknown topic may go anywhere.
    producer.send_sync(message(topic, "first"))
    for i in range(50):
        producer.send_oneway(message(topic, f"one-way {i}"))
    expected = sorted([b"first"] + [f"one-way {i}".encode() for i in range(50)])

    def all_there():
        return bodies(clients.pull(server, group()), topic) == expected

    eventually(all_there, within=20, what="51 messages")


def test_ordered_sends_of_one_key_share_a_queue(server, clients, topic, group):
    producer = clients.producer(server, group())
    for i in range(30):
        assert producer.send_orderly(message(topic, f"{i % 3}:{i}"), i % 3).status == SendStatus.OK
    queues = {}
    for body, _, _, queue, offset in pull_all(clients.pull(server, group()), topic):
        key, number = body.decode().split(":")
        queues.setdefault(key, []).append((queue, offset, int(number)))
    assert set(queues) == {"0", "1", "2"}
    for rows in queues.values():
        assert len({queue for queue, _, _ in rows}) == 1
        assert [number for _, _, number in sorted(rows)] == sorted(number for _, _, number in rows)


def test_a_batch_of_this_client_is_one_message(server, clients, topic, group):
    # It announces batches with "1" where RocketMQ expects "true", so RocketMQ stores the encoded batch as one body.
    producer = clients.producer(server, group())
    producer.send_sync(message(topic, "alone"))
    assert producer.send_batch([message(topic, f"batched {i}") for i in range(3)]).status == SendStatus.OK
    assert len(pull_all(clients.pull(server, group()), topic)) == 2


def test_large_bodies_come_back_whole(server, clients, topic, group):
    producer = clients.producer(server, group(), max_message_size=4 * 1024 * 1024)
    # Random enough that compression does not make them small; no NUL.
    large = ["".join(chr(33 + (i * i + size) % 90) for i in range(size)) for size in (1, 4096, 5000, 100_000, 1_000_000)]
    for body in large:
        assert producer.send_sync(message(topic, body)).status == SendStatus.OK
    assert bodies(clients.pull(server, group()), topic) == sorted(body.encode() for body in large)
