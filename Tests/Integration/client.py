"""A client of its own process; prints one line of JSON for each acknowledged or received message.

client.py send NAMESRV GROUP TOPIC COUNT [WORD]
client.py send-until-failure NAMESRV GROUP TOPIC
client.py push NAMESRV GROUP TOPIC COUNT SECONDS
client.py push-orderly NAMESRV GROUP TOPIC SECONDS INSTANCE
"""

import json
import os
import sys
import threading
import time
import traceback

from rocketmq.client import Message, Producer, PushConsumer, SendStatus

lock = threading.Lock()


def tell(**values):
    with lock:
        print(json.dumps(values), flush=True)


def started_producer(name_server, group, timeout=3000):
    producer = Producer(group, timeout=timeout)
    producer.set_namesrv_addr(name_server)
    producer.start()
    return producer


def send_one(producer, topic, body):
    message = Message(topic)
    message.set_body(body)
    result = producer.send_sync(message)
    assert result.status == SendStatus.OK, result
    tell(body=body, id=result.msg_id, offset=result.offset)


def send(name_server, group, topic, count, word="body"):
    # Nothing is stored twice because a slow build took its time.
    producer = started_producer(name_server, group, timeout=20_000)
    for number in range(int(count)):
        send_one(producer, topic, f"{word} {number}")
    producer.shutdown()


def send_until_failure(name_server, group, topic):
    producer = started_producer(name_server, group)
    number = 0
    try:
        while True:
            send_one(producer, topic, f"body {number}")
            number += 1
    except Exception as error:
        print(f"ended by {error!r}", file=sys.stderr)


def push(name_server, group, topic, count, seconds):
    received = []

    def on_message(message):
        tell(body=message.body.decode(), queue=message.queue_id, offset=message.queue_offset)
        received.append(1)

    consumer = PushConsumer(group)
    consumer.set_namesrv_addr(name_server)
    # Several members of a group on one machine need names of their own.
    consumer.set_instance_name(f"member-{os.getpid()}")
    consumer.subscribe(topic, on_message)
    consumer.start()
    end = time.monotonic() + float(seconds)
    while len(received) < int(count) and time.monotonic() < end:
        time.sleep(0.05)
    # Its progress goes to the broker at shutdown.
    consumer.shutdown()


def push_orderly(name_server, group, topic, seconds, instance):
    """Handles each message for 5 ms and tells when, in nanoseconds of a clock that all processes share."""

    def on_message(message):
        start = time.monotonic_ns()
        body, queue = message.body.decode(), message.queue_id
        time.sleep(0.005)
        tell(body=body, queue=queue, start=start, end=time.monotonic_ns(), who=instance)

    consumer = PushConsumer(group, orderly=True)
    consumer.set_namesrv_addr(name_server)
    consumer.set_instance_name(instance)
    consumer.subscribe(topic, on_message)
    consumer.start()
    time.sleep(float(seconds))
    consumer.shutdown()


if __name__ == "__main__":
    code = 0
    try:
        {"send": send, "send-until-failure": send_until_failure, "push": push, "push-orderly": push_orderly}[sys.argv[1]](*sys.argv[2:])
    except Exception:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    # The client's own threads do not always end; everything is said by now.
    os._exit(code)
