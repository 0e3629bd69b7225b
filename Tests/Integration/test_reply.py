"""Requests and replies through the broker, with both sides made by hand: the C++ client of PyPI has neither."""

import json

from apus import eventually
from remoting import Connection, frame


def announce(connection, client_id, group):
    """A heartbeat of a client that produces."""
    body = {"clientID": client_id, "producerDataSet": [{"groupName": group}], "consumerDataSet": []}
    header, _ = connection.request(34, body=json.dumps(body).encode())
    assert header["code"] == 0, header


def reply_fields(client_id, topic="DefaultCluster_REPLY_TOPIC"):
    properties = {"MSG_TYPE": "reply", "CORRELATION_ID": "c-1", "REPLY_TO_CLIENT": client_id, "TTL": "3000"}
    return {
        "a": "repliers", "b": topic, "c": "TBW102", "d": "4", "e": "0", "f": "0", "g": "1795200000000", "h": "0",
        "i": "\x02".join(f"{name}\x01{value}" for name, value in properties.items()), "j": "0", "k": "false",
        "m": "false",
    }


def test_a_reply_reaches_the_client_that_asked(server, group):
    with Connection(server.broker_port) as requester, Connection(server.broker_port) as replier:
        announce(requester, "requester@1", group())
        replier.opaque += 1
        replier.send(
            frame(
                {
                    "code": 325, "language": "JAVA", "version": 409, "opaque": replier.opaque, "flag": 0,
                    "extFields": reply_fields("requester@1"),
                },
                b"pong",
            )
        )
        push, body = requester.answer()
        assert (push["code"], push["flag"] & 1, body) == (326, 0, b"pong")
        assert "PUSH_REPLY_TIME\x01" in push["extFields"]["properties"]
        assert push["extFields"]["bornHost"].startswith("127.0.0.1:")
        requester.send(frame({"code": 0, "language": "JAVA", "version": 409, "opaque": push["opaque"], "flag": 1}))
        header, _ = replier.answer()
        assert header["code"] == 0, header
        assert len(header["extFields"]["msgId"]) == 32


def test_a_reply_to_a_client_that_is_gone_fails_at_once(server, group):
    with Connection(server.broker_port) as replier:
        with Connection(server.broker_port) as requester:
            announce(requester, "gone@1", group())

        def refusal():
            header, _ = replier.request(325, reply_fields("gone@1"), body=b"pong")
            assert header["code"] == 1
            return header["remark"] == "push reply message fail, channel of <gone@1> not found."

        eventually(refusal, within=10, what="the refusal")
