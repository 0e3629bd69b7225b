"""SQL92 filters over messages that the C++ client sent. It subscribes by tags only, so the pulls are made by hand."""

import json
import select
import struct

import pytest

from messages import message
from remoting import Connection, frame

QUEUES = 4


def pull_fields(topic, group, queue, offset, expression=None, kind="SQL92", version=0, hold=None):
    return {
        "consumerGroup": group, "topic": topic, "queueId": str(queue), "queueOffset": str(offset), "maxMsgNums": "32",
        "sysFlag": str((4 if expression is not None else 0) | (2 if hold else 0)), "commitOffset": "0",
        "suspendTimeoutMillis": str(hold or 0), "subVersion": str(version), "expressionType": kind,
        **({"subscription": expression} if expression is not None else {}),
    }


def bodies_of(records):
    """The bodies of stored records that lie one behind the other, from hosts with IPv4 addresses."""
    bodies = []
    while records:
        size = struct.unpack(">i", records[:4])[0]
        length = struct.unpack(">i", records[84:88])[0]
        bodies.append(records[88 : 88 + length])
        records = records[size:]
    return bodies


def pull_all(connection, topic, group, expression=None, version=0):
    """Every message that passes, from all queues, by as many pulls as it takes."""
    found = []
    for queue in range(QUEUES):
        offset = 0
        while True:
            header, records = connection.request(
                11, pull_fields(topic, group, queue, offset, expression, version=version)
            )
            if header["code"] == 19:
                break
            assert header["code"] in (0, 20), header
            assert (header["code"] == 0) == bool(records)
            following = int(header["extFields"]["nextBeginOffset"])
            assert following > offset
            offset = following
            found += bodies_of(records)
    return sorted(found)


def heartbeat(connection, client_id, group, topic, expression, kind="SQL92", version=1, consume_type="CONSUME_PASSIVELY"):
    body = {
        "clientID": client_id,
        "producerDataSet": [],
        "consumerDataSet": [
            {
                "groupName": group, "consumeType": consume_type, "messageModel": "CLUSTERING",
                "consumeFromWhere": "CONSUME_FROM_FIRST_OFFSET", "unitMode": False,
                "subscriptionDataSet": [
                    {
                        "topic": topic, "subString": expression, "expressionType": kind, "subVersion": version,
                        "tagsSet": [], "codeSet": [], "classFilterMode": False,
                    }
                ],
            }
        ],
    }
    connection.opaque += 1
    connection.send(
        frame(
            {"code": 34, "language": "JAVA", "version": 409, "opaque": connection.opaque, "flag": 0},
            json.dumps(body).encode(),
        )
    )
    while True:
        header, _ = connection.answer()
        # The broker tells of new members (40) before it answers.
        if header["flag"] & 1 and header["opaque"] == connection.opaque:
            assert header["code"] == 0, header
            return


@pytest.fixture
def orders(server, clients, topic, group):
    """Forty messages with properties; returns a function from a condition in Python to the bodies that must pass."""
    producer = clients.producer(server, group())
    rows = []
    for number in range(40):
        properties = {"a": str(number), "region": ["EU", "US", "ASIA"][number % 3]}
        if number % 4 == 0:
            properties["vip"] = "true"
        producer.send_sync(
            message(topic, f"order {number}", tags=f"tag{number % 2}", keys=f"key{number}", properties=properties)
        )
        rows.append((number, properties["region"], properties.get("vip"), f"tag{number % 2}"))
    return lambda wanted: sorted(f"order {row[0]}".encode() for row in rows if wanted(*row))


CASES = [
    ("a > 5 AND region IN ('EU','US')", lambda a, region, vip, tag: a > 5 and region in ("EU", "US")),
    ("vip IS NULL AND a BETWEEN 10 AND 20", lambda a, region, vip, tag: vip is None and 10 <= a <= 20),
    ("vip = TRUE OR TAGS = 'tag1'", lambda a, region, vip, tag: vip is not None or tag == "tag1"),
    ("NOT (region STARTSWITH 'A') AND a <> 3", lambda a, region, vip, tag: region != "ASIA" and a != 3),
    ("KEYS CONTAINS 'key1'", lambda a, region, vip, tag: f"key{a}".startswith("key1")),
    ("region = 'MARS'", lambda a, region, vip, tag: False),
]


@pytest.mark.parametrize("expression, wanted", CASES, ids=[case[0] for case in CASES])
def test_messages_of_the_cpp_client_are_filtered(server, topic, group, orders, expression, wanted):
    name = group()
    with Connection(server.broker_port) as connection:
        assert pull_all(connection, topic, name, expression) == orders(wanted)
        heartbeat(connection, "by-hand@1", name, topic, expression)
        assert pull_all(connection, topic, name, version=1) == orders(wanted)


def test_a_held_pull_is_woken_by_what_passes_only(server, clients, topic, group):
    producer = clients.producer(server, group())
    producer.send_sync(message(topic, "warm", properties={"a": "0"}))
    with Connection(server.broker_port, timeout=150.0) as connection:
        offsets = {}
        for queue in range(QUEUES):
            header, _ = connection.request(30, {"topic": topic, "queueId": str(queue)})
            offsets[queue] = int(header["extFields"]["offset"])
        queues = [Connection(server.broker_port, timeout=150.0) for _ in range(QUEUES)]
        try:
            name = group()
            # Held for longer than thirty sends take, with ThreadSanitizer and on a busy machine too.
            for queue, waiting in enumerate(queues):
                fields = pull_fields(topic, name, queue, offsets[queue], "a = 7", hold=120_000)
                waiting.opaque += 1
                waiting.send(
                    frame(
                        {
                            "code": 11, "language": "JAVA", "version": 409, "opaque": 1, "flag": 0, "extFields": fields,
                        }
                    )
                )
            # A heartbeat of this group is not needed, for each pull brings its expression.
            for number in range(30):
                producer.send_sync(message(topic, f"no {number}", properties={"a": str(number % 7)}))
            result = producer.send_sync(message(topic, "yes", properties={"a": "7"}))
            assert result is not None
            ready, _, _ = select.select([q.socket for q in queues], [], [], 100)
            assert len(ready) == 1, "one queue has the message that passes"
            woken = next(q for q in queues if q.socket is ready[0])
            header, records = woken.answer()
            assert header["code"] == 0
            assert bodies_of(records) == [b"yes"]
        finally:
            for waiting in queues:
                waiting.socket.close()


def test_a_bad_expression_is_refused_with_its_place(server, topic, group, orders):
    with Connection(server.broker_port) as connection:
        header, _ = connection.request(11, pull_fields(topic, group(), 0, 0, "a > 'x'"))
        assert header["code"] == 23
        assert "at character 5: texts have no order" in header["remark"]


def test_sql_can_be_switched_off(own_server, topic, group):
    server = own_server("enablePropertyFilter=false")
    server.run("topic", "create", topic)
    with Connection(server.broker_port) as connection:
        header, _ = connection.request(11, pull_fields(topic, group(), 0, 0, "a > 5"))
        assert (header["code"], header["remark"]) == (
            1, "The broker does not support consumer to filter message by SQL92",
        )


def test_group_show_warns_of_members_that_disagree(server, topic, group, orders):
    name = group()
    with Connection(server.broker_port) as first, Connection(server.broker_port) as second:
        heartbeat(first, "first@1", name, topic, "a > 5")
        heartbeat(second, "second@2", name, topic, "a > 5")
        assert "WARNING" not in server.run("group", "show", name)
        heartbeat(second, "second@2", name, topic, "tag1", kind="TAG", version=2)
        shown = server.run("group", "show", name)
        assert "WARNING: members disagree" in shown
        assert f"subscribes {topic} by TAG tag1, others by SQL92 a > 5" in shown
        report = json.loads(server.run("group", "show", name, "--output", "json"))
        assert [row["clientId"] for row in report["disagreements"]] == ["second@2"]
    assert "members of one group subscribe to different things" in server.log.read_text()
