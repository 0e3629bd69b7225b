"""Sending and receiving with the second client, the official C++ client 2.1.0: every way to send, push and pull, retries, members that
come and go, message traces, and both clients on one topic. Its transactions are in test_second_client_transactions.py, its quirks in
README.md."""

import collections
import concurrent.futures
import itertools
import json
import random
import re
import struct
import time
import zlib

import pytest

from apus import Server, eventually
from messages import bodies, message as first_message
from remoting import Connection
from second import Refused, SecondClient, body, message

HEX_32 = set("0123456789ABCDEF")


@pytest.fixture(scope="module", autouse=True)
def waiting(tmp_path_factory):
    """What is mostly waiting (the client looks for lost pulls every thirty seconds, for queues of retries every ten) begins before
    the first test, on servers of its own. Its tests look at how it ended."""
    folder, started = tmp_path_factory.mktemp("waiting"), []

    def part(name):
        server = Server(folder / name).start().keep_ports()
        started.append(server.kill)

        def client():
            started.insert(0, SecondClient(server, folder).kill)
            return started[0].__self__

        return server, client

    with concurrent.futures.ThreadPoolExecutor() as pool:
        restarts, retries = part("restart"), part("retries")
        yield {"restart": pool.submit(restart_under_a_consumer, *restarts), "retries": pool.submit(fail_until_dead, *retries)}
    for stop in started:
        stop()


@pytest.fixture(scope="module")
def second(shared_server, tmp_path_factory):
    """One process of the client for the tests that need neither an end nor a neighbour of it."""
    client = SecondClient(shared_server, tmp_path_factory.mktemp("second"))
    yield client
    client.kill()


@pytest.fixture
def producer(second, group):
    return second.producer(group(), max_message_size=4 * 1024 * 1024)


def many(topic, count, word="body", **fields):
    return [message(topic, f"{word} {number}", **fields) for number in range(count)]


def texts(messages):
    return sorted(body(m) for m in messages)


def by_queue(rows):
    queues = collections.defaultdict(list)
    for row in rows:
        queues[row["queue"]].append(row)
    return queues


# MARK: sending


def test_the_client_is_the_second_one(second, group):
    assert "2.1.0" in second.call("producer", name="version", group=group(), namesrv=second.server.name_server)


def test_a_synchronous_send_makes_its_topic_and_is_answered_with_id_and_offset(second, producer, server, topic, group):
    sent = second.call("send_all", name=producer, messages=many(topic, 40))
    assert all(result["status"] == 0 and len(result["id"]) == 32 and set(result["id"]) <= HEX_32 for result in sent)
    rows = second.pulled(topic, group())
    assert {(row["id"], row["offset"]) for row in rows} == {(result["id"], result["offset"]) for result in sent}
    assert sorted(body(row) for row in rows) == texts(many(topic, 40))
    # The topic was made by the first send, as the default topic is: four queues, in turn, without holes.
    queues = by_queue(rows)
    assert sorted(queues) == [0, 1, 2, 3]
    assert all([row["offset"] for row in rows] == list(range(10)) for rows in queues.values())
    now = time.time() * 1000
    assert all(0 <= row["stored"] - row["born"] < 60_000 and abs(now - row["stored"]) < 60_000 for row in rows)


def test_tags_keys_and_properties_come_back(second, producer, topic, group):
    properties = {"colour": "ünlü ✓", "empty-ish": "0", "with space": "a=b;c"}
    second.call("send", name=producer, message=message(topic, "ä body ✓", tags="blue", keys="k1 k2", properties=properties))
    [row] = second.pulled(topic, group(), properties=[*properties, "UNIQ_KEY", "WAIT"])
    assert body(row).decode() == "ä body ✓" and (row["tags"], row["keys"]) == ("blue", "k1 k2")
    assert {name: row["properties"][name] for name in properties} == properties
    assert row["properties"]["UNIQ_KEY"] == row["id"]


def test_asynchronous_sends_call_back_each(second, producer, topic, group):
    second.call("send_async", name=producer, messages=many(topic, 200))
    eventually(lambda: len(second.events("sent", producer)) + len(second.events("failed", producer)) == 200, what="200 callbacks")
    sent = second.events("sent", producer)
    assert not second.events("failed", producer)
    assert len({row["id"] for row in sent}) == 200
    rows = second.pulled(topic, group())
    assert {(row["id"], row["offset"], row["body"]) for row in rows} == {(row["id"], row["offset"], row["body"]) for row in sent}


def test_one_way_sends_arrive_also_the_first_of_a_topic(second, producer, server, topic, group):
    second.call("send_oneway", name=producer, messages=many(topic, 1, "first"))
    eventually(lambda: topic in server.run("topic", "list"), what="the topic")
    second.call("send_oneway", name=producer, messages=many(topic, 50))
    expected = texts(many(topic, 50) + many(topic, 1, "first"))
    eventually(lambda: second.pulled_bodies(topic, group()) == expected, what="51 messages")


def test_ordered_sends_go_to_the_queue_that_was_chosen(second, producer, topic, group):
    # The first one makes the topic with its four queues.
    second.call("send", name=producer, message=message(topic, "-1:0"))
    for number in range(4):
        second.call("send_orderly", name=producer, messages=[message(topic, f"{number}:{n}") for n in range(5)], number=number)
    rows = [row for row in second.pulled(topic, group()) if not body(row).startswith(b"-1")]
    assert len(rows) == 20
    for row in rows:
        assert int(body(row).split(b":")[0]) == row["queue"]
    for queue in by_queue(rows).values():
        assert [body(row).split(b":")[1] for row in sorted(queue, key=lambda row: row["offset"])] == [b"0", b"1", b"2", b"3", b"4"]


def test_messages_of_one_sharding_key_share_a_queue_in_order(second, producer, topic, group):
    keys = [f"order-{number}" for number in range(12)]
    second.call("send", name=producer, message=message(topic, "warm"))
    for number, key in itertools.product(range(3), keys):
        [sent] = second.call("send_sharded", name=producer, messages=[message(topic, f"{key}:{number}")], key=key)
        assert sent["status"] == 0
    rows = [row for row in second.pulled(topic, group(), properties=["__SHARDINGKEY"]) if body(row) != b"warm"]
    assert len({row["queue"] for row in rows}) > 1, "twelve keys in one queue"
    of = collections.defaultdict(list)
    for row in sorted(rows, key=lambda row: row["offset"]):
        key, number = body(row).decode().split(":")
        assert row["properties"]["__SHARDINGKEY"] == key
        of[key].append((row["queue"], number))
    assert sorted(of) == sorted(keys)
    for queue_and_number in of.values():
        assert len({queue for queue, _ in queue_and_number}) == 1
        assert [number for _, number in queue_and_number] == ["0", "1", "2"]


def raw(server, topic, queue, offset):
    """The body of one record, as it is stored: by hand, for clients decode it."""
    with Connection(server.broker_port) as connection:
        fields = {
            "consumerGroup": "by-hand", "topic": topic, "queueId": str(queue), "queueOffset": str(offset), "maxMsgNums": "1", "sysFlag": "4",
            "commitOffset": "0", "suspendTimeoutMillis": "0", "subscription": "*", "subVersion": "0", "expressionType": "TAG",
        }
        header, record = connection.request(11, fields)
    assert header["code"] == 0, header
    size = struct.unpack(">i", record[84:88])[0]
    return struct.unpack(">i", record[36:40])[0], record[88 : 88 + size]


def test_a_batch_of_this_client_is_one_message_too(second, producer, server, topic, group):
    # It says "1" where RocketMQ reads "true", as its elder does: RocketMQ stores what it encoded as one body, and so does Apus.
    second.call("send", name=producer, message=message(topic, "alone"))
    sent = second.call("send_batch", name=producer, messages=many(topic, 3, "batched", tags="t"))
    assert sent["status"] == 0
    rows = second.pulled(topic, group())
    assert len(rows) == 2
    [row] = [row for row in rows if body(row) != b"alone"]
    _, encoded = raw(server, topic, row["queue"], row["offset"])
    inside = []
    while encoded:
        total, _, _, _, length = struct.unpack(">5i", encoded[:20])
        inside.append(encoded[20 : 20 + length].decode())
        encoded = encoded[total:]
    assert inside == ["batched 0", "batched 1", "batched 2"]


LARGE = {
    "NUL": b"\0", "NUL in front": b"\0abc", "NUL within": b"a\0b\0\0c", "all bytes": bytes(range(256)),
    # Longer than 4 KiB: this client compresses it.
    "compressed": bytes(range(256)) * 4096, "no smaller when compressed": random.Random(2).randbytes(1 << 20),
    "just below compression": b"x" * 4095, "just compressed": b"x" * 4096,
}


def test_bodies_with_nul_bytes_and_of_a_megabyte_come_back_whole(second, producer, server, topic, group):
    sent = {second.call("send", name=producer, message=message(topic, "first"))["id"]: b"first"}
    received = second.push(group(), topic)
    for name, data in LARGE.items():
        result = second.call("send", name=producer, message=message(topic, data, told=True, keys=name))
        sent[result["id"]] = data
    rows = second.pulled(topic, group())
    assert {row["id"]: body(row) for row in rows} == sent
    eventually(lambda: {row["id"]: body(row) for row in second.received(received)} == sent, what="all at the push consumer")
    of = {row["keys"]: row for row in rows}
    # The broker keeps what the client sent: compressed, with its flag.
    assert of["compressed"]["size"] < 50_000 < 1 << 20 < of["no smaller when compressed"]["size"]
    flags, stored = raw(server, topic, of["compressed"]["queue"], of["compressed"]["offset"])
    assert flags & 1 and zlib.decompress(stored) == LARGE["compressed"]
    flags, stored = raw(server, topic, of["just below compression"]["queue"], of["just below compression"]["offset"])
    assert not flags & 1 and stored == LARGE["just below compression"]


def test_a_body_that_is_too_large_is_refused_by_the_broker(second, topic, group):
    large = second.producer(group(), max_message_size=16 * 1024 * 1024)
    with pytest.raises(Refused):
        second.call("send", name=large, message=message(topic, random.Random(3).randbytes(4 * 1024 * 1024 + 1)))
    # Its connection goes on.
    assert second.call("send", name=large, message=message(topic, "small"))["status"] == 0
    assert second.pulled_bodies(topic, group()) == [b"small"]


# MARK: receiving


def test_a_push_consumer_gets_what_was_and_what_will_be_sent_at_once(second, producer, topic, group):
    second.call("send_all", name=producer, messages=many(topic, 100, "before"))
    name = second.push(group(), topic)
    second.expect(name, texts(many(topic, 100, "before")))
    delays = []
    for number in range(5):
        start = time.monotonic_ns()
        second.call("send", name=producer, message=message(topic, f"timed {number}"))
        eventually(lambda: len(second.received(name)) == 101 + number, what="the next message")
        delays.append((second.received(name)[-1]["begin"] - start) / 1e9)
    # A broker that only looks now and then would need seconds.
    assert sorted(delays)[2] < 0.5, delays


def test_progress_goes_to_the_broker_and_is_taken_up_by_another_member(own_second, server, second, producer, topic, group):
    name = group()
    second.call("send_all", name=producer, messages=many(topic, 40, "one"))
    first = own_second(server)
    # Without its trace this client's push consumer crashes when it is shut down.
    one = first.push(name, topic, trace=True)
    first.expect(one, texts(many(topic, 40, "one")))
    first.call("shutdown", name=one)
    shown = json.loads(server.run("group", "show", name, "--output", "json"))
    progress = [row for row in shown["queues"] if row["topic"] == topic]
    assert len(progress) == 4 and all(row["lag"] == 0 and row["consumerOffset"] == 10 for row in progress)
    assert shown["members"] == []
    second.call("send_all", name=producer, messages=many(topic, 8, "two"))
    two = own_second(server)
    two.expect(two.push(name, topic), texts(many(topic, 8, "two")))


def test_an_ordered_consumer_keeps_each_queue_in_order_over_failures(second, producer, topic, group):
    second.call("send", name=producer, message=message(topic, "0:-"))
    for number in range(4):
        second.call("send_orderly", name=producer, messages=[message(topic, f"{number}:{n}") for n in range(20)], number=number)
    # Each message fails once; this client hands it out again a second later, and nothing of its queue before it.
    name = second.push(group(), topic, orderly=True)
    eventually(lambda: len(second.received(name)) == 81, what="81 messages")
    for queue in by_queue(second.received(name)).values():
        assert [row["offset"] for row in queue] == list(range(len(queue)))
        # One after the other, never two at once.
        assert all(one["end"] <= other["begin"] for one, other in itertools.pairwise(queue))
    second.call("send_orderly", name=producer, messages=[message(topic, f"failing:{n}") for n in range(3)], number=1)
    again = group()
    failing = second.push(again, topic, orderly=True, fails=1)
    eventually(lambda: any(row["attempts"] for row in second.received(failing)), what="a second attempt")
    for queue in by_queue(second.received(failing)).values():
        seen = [(row["offset"], row["attempts"]) for row in queue]
        assert seen == sorted(seen), "something came before a message that had failed"


def test_broadcasting_gives_every_message_to_each_member(second, producer, topic, group):
    second.call("send", name=producer, message=message(topic, "warm"))
    name = group()
    members = [second.push(name, topic, broadcasting=True) for _ in range(2)]

    # A new broadcasting member may begin at the end; what comes after it joined must all arrive.
    def reached():
        second.call("send", name=producer, message=message(topic, "probe"))
        return all(b"probe" in second.bodies(member) for member in members)

    eventually(reached, what="a probe at both")
    second.call("send_all", name=producer, messages=many(topic, 20))
    for member in members:
        eventually(lambda: {body(m) for m in many(topic, 20)} <= set(second.bodies(member)), what="20 messages")


def test_a_tag_expression_filters(second, producer, topic, group):
    for tag in "abc":
        second.call("send_all", name=producer, messages=many(topic, 10, tag, tags=tag))
    # Java's hash code of the two is the same: the broker lets both pass, the client compares the text.
    second.call("send_all", name=producer, messages=many(topic, 3, "AaAa", tags="AaAa") + many(topic, 3, "BBBB", tags="BBBB"))
    one, two, three = (second.push(group(), topic, expression=expression) for expression in ("a", "a || c", "AaAa"))
    second.expect(one, texts(many(topic, 10, "a")))
    second.expect(two, texts(many(topic, 10, "a") + many(topic, 10, "c")))
    second.expect(three, texts(many(topic, 3, "AaAa")))
    assert second.pulled_bodies(topic, group(), expression="b") == texts(many(topic, 10, "b"))
    assert second.pulled(topic, group(), expression="nothing") == []


def test_a_pull_begins_where_it_is_told_and_takes_as_many_as_it_asks_for(second, producer, server, topic, group):
    server.run("topic", "create", topic, "--queues", "2")
    second.call("send_all", name=producer, messages=many(topic, 100))
    consumer = second.part("pull_consumer", group())
    whole = second.call("pull", name=consumer, topic=topic, maximum=7)
    assert len(whole["rows"]) == 100 and whole["largest"] == 7
    later = second.call("pull", name=consumer, topic=topic, offset=45)
    assert sorted(row["offset"] for row in later["rows"]) == sorted([*range(45, 50)] * 2)
    no_new, illegal = 1, 3
    for end in whole["ends"].values():
        assert end == {"status": no_new, "next": 50, "min": 0, "max": 50}
    # Beyond the end it is told where the end is.
    for end in second.call("pull", name=consumer, topic=topic, offset=1000)["ends"].values():
        assert end["status"] == illegal and end["next"] == 50


# MARK: delays, retries, dead letters


def test_a_message_with_a_delay_level_comes_after_its_delay(second, producer, topic, group):
    second.call("send", name=producer, message=message(topic, "warm"))
    name = second.push(group(), topic, properties=["DELAY"])
    for level in 0, 1, 2:
        second.call("send", name=producer, message=message(topic, f"level {level}", delay=level))
    second.expect(name, ["warm", "level 0", "level 1", "level 2"])
    for row in second.received(name):
        level, least = {b"level 1": ("1", 1000), b"level 2": ("2", 5000)}.get(body(row), ("", 0))
        assert least - 100 <= row["stored"] - row["born"] < least + 10_000, row
        assert row["properties"]["DELAY"] == level and row["topic"] == topic


def fail_until_dead(server, client):
    """A message that no attempt can handle; returns what was seen of it."""
    client = client()
    server.run("group", "create", "failing", "--retry-policy", "200ms")
    producer = client.producer("sender")
    sent = client.call("send", name=producer, message=message("Failing", "fails", tags="t", keys="k", properties={"colour": "red"}))
    properties = ["ORIGIN_MESSAGE_ID", "RETRY_TOPIC", "colour", "UNIQ_KEY"]
    failing = client.push("failing", "Failing", fails=100, properties=properties)
    eventually(lambda: len(client.received(failing)) == 17, within=120, what="seventeen attempts")
    eventually(lambda: "failing" in server.run("dlq", "list"), what="the dead letter")
    dead = client.push("undertaker", "%DLQ%failing", properties=properties)
    client.expect(dead, ["fails"])
    return sent, client.received(failing), client.received(dead)[0], json.loads(server.run("dlq", "show", "failing", "--output", "json"))


def test_a_message_that_fails_comes_again_and_then_is_a_dead_letter(waiting):
    sent, attempts, letter, shown = waiting["retries"].result(180)
    # This client asks for sixteen more attempts, whatever the group's own number is.
    assert [row["attempts"] for row in attempts] == list(range(17))
    # It shows the topic that the message was sent to, and everything of the message comes back each time.
    for row in attempts:
        assert (row["topic"], row["tags"], row["keys"], row["id"]) == ("Failing", "t", "k", sent["id"])
        assert (row["properties"]["colour"], row["properties"]["UNIQ_KEY"]) == ("red", sent["id"])
    for row in attempts[1:]:
        assert row["properties"]["RETRY_TOPIC"] == "Failing"
        assert row["properties"]["ORIGIN_MESSAGE_ID"] == attempts[1]["properties"]["ORIGIN_MESSAGE_ID"] != ""
    for one, other in itertools.pairwise(attempts):
        assert (other["begin"] - one["end"]) / 1e9 > 0.19
    assert (body(letter), letter["tags"], letter["keys"], letter["properties"]["colour"]) == (b"fails", "t", "k", "red")
    [row] = shown
    assert (row["topic"], row["body"]) == ("Failing", "fails")


# MARK: members and restarts


def queues_of(client, name, start):
    return {row["queue"] for row in client.received(name)[start:]}


def test_queues_are_divided_anew_when_a_member_comes_and_when_it_dies(own_second, server, second, producer, topic, group):
    name = group()
    second.call("send_all", name=producer, messages=many(topic, 8, "start"))
    one, two = own_second(server), own_second(server)
    first = one.push(name, topic)
    one.expect(first, texts(many(topic, 8, "start")))
    other = two.push(name, topic)
    rounds = itertools.count()
    sent = many(topic, 8, "start")

    def divided(share):
        """Sends one message to each queue; true when they came to the members as `share` says."""
        messages = many(topic, 8, f"round {next(rounds)}")
        before = len(one.received(first)), len(two.received(other))
        sent.extend(messages)
        second.call("send_all", name=producer, messages=messages)

        def arrived():
            return {body(m) for m in messages} <= {body(row) for row in one.received(first) + two.received(other)}

        try:
            eventually(arrived, within=20, what="a round")
        except AssertionError:
            return False
        return len(queues_of(one, first, before[0])) == share[0] and len(queues_of(two, other, before[1])) == share[1]

    eventually(lambda: divided((2, 2)), what="two queues each")
    shown = json.loads(server.run("group", "show", name, "--output", "json"))
    assert len(shown["members"]) == 2
    # It does not say goodbye: its connection breaks, and the broker tells the other.
    one.kill()
    eventually(lambda: divided((0, 4)), what="four queues for the one that is left")
    # Nothing was lost on the way; what was handed out twice is the client's business.
    received = {row["body"] for row in one.received(first) + two.received(other)}
    assert received == {m["body"] for m in sent}


def restart_under_a_consumer(server, client):
    """Kills the broker while a consumer holds pulls and a producer sends. Returns what was acknowledged, tried, and received."""
    # Two processes: what the sender waits for must not hold up the consumer.
    receiver, sender = client(), client()
    producer = sender.producer("sender", timeout=1000)
    acknowledged, tried = many("Kept", 50, "before"), many("Kept", 50, "before")
    sender.call("send_all", name=producer, messages=acknowledged)
    consumer = receiver.push("kept", "Kept")
    receiver.expect(consumer, texts(acknowledged))
    # The progress is stored within five seconds, or not at all: then all of it comes again.
    server.kill()
    server.start()

    def sent(m):
        tried.append(m)
        try:
            return sender.call("send", name=producer, message=m)["status"] == 0
        except Refused:
            return False

    for m in many("Kept", 50, "after"):
        eventually(lambda: sent(m), what="a send after the restart")
        acknowledged.append(m)
    eventually(
        lambda: set(receiver.bodies(consumer)) >= set(texts(acknowledged)), within=120, what="all that was acknowledged at the consumer"
    )
    return texts(acknowledged), texts(tried), receiver.received(consumer)


def test_nothing_is_lost_over_a_restart_under_a_running_consumer(waiting):
    acknowledged, tried, rows = waiting["restart"].result(180)
    assert len(acknowledged) == 100
    assert set(acknowledged) <= {body(row) for row in rows} <= set(tried)
    # No hole in any queue, and no offset with two messages.
    for queue in by_queue(rows).values():
        assert {row["offset"] for row in queue} == set(range(max(row["offset"] for row in queue) + 1))
        assert len({(row["offset"], row["id"]) for row in queue}) == len({row["offset"] for row in queue})


# MARK: what the broker asks of a consumer


def test_a_running_consumer_takes_over_offsets_that_are_reset(own_second, server, topic, group):
    """222 to the broker, 220 from it: the list of offsets, which clients in C++ read, where Java clients read a map."""
    client, name = own_second(server), group()
    producer = client.producer(group())
    client.call("send_all", name=producer, messages=many(topic, 40))
    client.expect(client.push(name, topic), texts(many(topic, 40)))

    def lag():
        shown = json.loads(server.run("group", "show", name, "--topic", topic, "--output", "json"))
        return sum(row["lag"] for row in shown["queues"])

    # It stores its offsets every five seconds.
    eventually(lambda: lag() == 0, what="stored offsets")
    with Connection(server.broker_port) as connection:
        header, _ = connection.request(222, {"topic": topic, "group": name, "timestamp": "0", "isForce": "true"})
        assert header["code"] == 0, header
    # The client stores what it was told, and pulls again only two minutes later; a member that joins instead gets everything.
    eventually(lambda: lag() == 40, what="offsets that the client has stored anew")
    client.kill()
    other = own_second(server)
    other.expect(other.push(name, topic), texts(many(topic, 40)))


def test_a_running_consumer_tells_about_itself(own_second, server, topic, group):
    """307, which the broker passes on to the member."""
    client, name = own_second(server), group()
    producer = client.producer(group())
    client.call("send", name=producer, message=message(topic, "one"))
    consumer = client.push(name, topic, expression="a || b")
    client.call("send", name=producer, message=message(topic, "two", tags="a"))
    client.expect(consumer, ["two"])
    [member] = json.loads(server.run("group", "show", name, "--output", "json"))["members"]
    with Connection(server.broker_port) as connection:
        fields = {"consumerGroup": name, "clientId": member["clientId"], "jstackEnable": "false"}
        header, told = connection.request(307, fields)
    assert header["code"] == 0, header
    told = json.loads(re.sub(rb'([{,])\{[^{}]*\}:', rb'\1"queue":', told))
    assert {row["topic"]: row["subString"] for row in told["subscriptionSet"]} == {topic: "a || b", f"%RETRY%{name}": "*"}
    assert told["properties"]["PROP_CONSUME_TYPE"] == "CONSUME_PASSIVELY"


# MARK: traces


def test_message_traces_arrive_in_their_topic(own_second, server, topic, group):
    """The client sends a message about each message to rmq_sys_TRACE_DATA_ and the region that the broker tells in its answers."""
    client = own_second(server)
    sending, consuming = group("traced"), group("traced")
    producer = client.producer(sending, trace=True)
    sent = client.call("send", name=producer, message=message(topic, "traced", keys="the-key", tags="the-tag"))
    consumer = client.push(consuming, topic, trace=True)
    client.expect(consumer, ["traced"])

    # In messages the client looks for the region too. RocketMQ 4.9 does not store it there; then the client has a name of its own for it.
    topics = "rmq_sys_TRACE_DATA_DefaultRegion", "rmq_sys_TRACE_DATA_DEFAULT_REGION"

    def records():
        listed = server.run("topic", "list", "--all")
        rows = [row for name in topics if name in listed for row in client.pulled(name, group())]
        lines = [line for row in rows for line in body(row).decode().split("\x02") if sent["id"] in line]
        return [line.split("\x01") for line in lines]

    eventually(lambda: {row[0] for row in records()} == {"Pub", "SubBefore", "SubAfter"}, what="three kinds of traces")
    of = {row[0]: row for row in records()}
    assert of["Pub"][2:8] == ["DefaultRegion", sending, topic, sent["id"], "the-tag", "the-key"]
    assert of["SubBefore"][2:6] == ["DEFAULT_REGION", consuming, of["SubAfter"][1], sent["id"]]
    assert of["SubAfter"][4] == "true"


# MARK: both clients


def test_what_one_client_sends_the_other_receives(second, producer, server, clients, topic, group):
    sent = many(topic, 20, "second") + [message(topic, b"x" * 100_000, told=True)]
    second.call("send_all", name=producer, messages=sent)
    first_producer = clients.producer(server, group())
    for number in range(20):
        first_producer.send_sync(first_message(topic, f"first {number}", tags="t", keys="k", properties={"colour": "red"}))
    first_producer.send_sync(first_message(topic, "y" * 100_000))
    expected = sorted([*texts(sent), *(f"first {number}".encode() for number in range(20)), b"y" * 100_000])
    # Each of the two pulls and is pushed everything, decompressed.
    assert bodies(clients.pull(server, group()), topic) == expected
    assert second.pulled_bodies(topic, group()) == expected
    received = []
    clients.push(server, group(), topic, lambda m: received.append(m.body))
    second.expect(second.push(group(), topic), expected)
    eventually(lambda: sorted(received) == expected, what="all at the first client")
    of = {body(row): row for row in second.pulled(topic, group(), properties=["colour"])}
    row = of[b"first 7"]
    assert (row["tags"], row["keys"], row["properties"]["colour"]) == ("t", "k", "red")


def test_both_clients_divide_one_group(second, producer, server, clients, topic, group):
    name = group()
    second.call("send_all", name=producer, messages=many(topic, 4, "warm"))
    received = []
    clients.push(
        server, name, topic, lambda m: received.append((m.queue_id, m.body)), prepare=lambda consumer: consumer.set_instance_name(topic)
    )
    member = second.push(name, topic)
    rounds = itertools.count()

    def divided():
        messages = many(topic, 4, f"round {next(rounds)}")
        at = len(received), len(second.received(member))
        second.call("send_all", name=producer, messages=messages)
        eventually(
            lambda: {body(m) for m in messages} <= {b for _, b in received} | set(second.bodies(member)), within=20, what="a round"
        )
        one, two = {queue for queue, _ in received[at[0]:]}, queues_of(second, member, at[1])
        return len(one) == len(two) == 2 and not one & two

    eventually(divided, what="two queues for each client")
