"""Delayed messages, retries and dead letters with the C++ client."""

import threading
import time

from rocketmq.client import RecvMessage

from apus import eventually
from messages import message


SUCCESS, LATER = 0, 1


def push(clients, server, group, topic, callback):
    """A push consumer whose callback says whether it could handle the message. The package's own wrapper turns a failure into
    an exception that the C++ client takes for success."""

    def prepare(consumer):
        consumer._register_callback(lambda _, m: SUCCESS if callback(RecvMessage(m)) else LATER)

    return clients.push(server, group, topic, lambda m: None, prepare=prepare)


class Failing:
    """A push consumer's callback that fails every message a number of times, and notes when each came."""

    def __init__(self, failures):
        self.lock = threading.Lock()
        self.failures = failures
        self.rows = []

    def __call__(self, m):
        with self.lock:
            self.rows.append((time.monotonic(), m.body, m.reconsume_times))
            return len(self.rows) > self.failures

    def attempts(self):
        with self.lock:
            return [row[2] for row in self.rows]


def test_a_message_with_a_delay_level_comes_after_its_delay(server, clients, topic, group):
    producer = clients.producer(server, group())
    producer.send_sync(message(topic, "warm"))
    received = Failing(0)
    push(clients, server, group(), topic, received)
    eventually(lambda: len(received.rows) == 1, within=60, what="the first message")
    m = message(topic, "later")
    m.set_delay_time_level(2)
    start = time.monotonic()
    producer.send_sync(m)
    eventually(lambda: len(received.rows) == 2, within=60, what="the delayed message")
    passed = received.rows[1][0] - start
    assert 4.9 < passed < 15, passed
    assert received.rows[1][1] == b"later"


def test_a_message_with_a_time_comes_then(server, clients, topic, group):
    producer = clients.producer(server, group())
    producer.send_sync(message(topic, "warm"))
    received = Failing(0)
    push(clients, server, group(), topic, received)
    eventually(lambda: len(received.rows) == 1, within=60, what="the first message")
    start = time.monotonic()
    producer.send_sync(message(topic, "later", properties={"TIMER_DELAY_MS": "1500"}))
    eventually(lambda: len(received.rows) == 2, within=60, what="the delayed message")
    passed = received.rows[1][0] - start
    assert 1.4 < passed < 5, passed


def test_a_message_that_fails_comes_again_and_then_is_a_dead_letter(own_server, clients, topic, group):
    server = own_server("messageDelayLevel=1s 1s 1s 2s 1s 1s")
    name = group()
    server.run("group", "create", name, "--retry-max", "2")
    producer = clients.producer(server, group())
    received = Failing(100)
    producer.send_sync(message(topic, "warm"))
    push(clients, server, name, topic, received)
    # The warm message uses up its attempts: the first and two more.
    eventually(lambda: received.attempts() == [0, 1, 2], within=90, what="three attempts")
    first, second, third = (row[0] for row in received.rows)
    assert 0.9 < second - first < 15 and 1.9 < third - second < 15
    dead = Failing(0)
    push(clients, server, group(), "%DLQ%" + name, dead)
    eventually(lambda: [row[1] for row in dead.rows] == [b"warm"], within=60, what="the dead letter")
    assert len(received.rows) == 3


def test_timers_outlive_a_kill(own_server, clients, topic, group):
    server = own_server()
    producer = clients.producer(server, group())
    producer.send_sync(message(topic, "warm"))
    for i in range(20):
        producer.send_sync(message(topic, f"later {i}", properties={"TIMER_DELAY_MS": str(4000 + 100 * i)}))
    server.kill()
    server.start()
    received = Failing(0)
    push(clients, server, group(), topic, received)
    expected = sorted([b"warm"] + [f"later {i}".encode() for i in range(20)])
    eventually(lambda: sorted(row[1] for row in received.rows) == expected, within=90, what="all messages")
    time.sleep(1)
    assert sorted(row[1] for row in received.rows) == expected
