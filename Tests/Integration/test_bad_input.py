"""Strange peers: an answer or a closed connection, and a server that lives on."""

import os
import random
import socket
import struct

import pytest

from remoting import Connection, frame


@pytest.fixture(params=["broker", "namesrv"])
def port(request, server):
    return server.ready[request.param]


def answers(port):
    """A sound request is answered: the server is well."""
    with Connection(port) as connection:
        header, _ = connection.request(code=29_999)
        return header["code"] == 3


def test_an_unknown_request_code_is_answered_with_3(port):
    with Connection(port) as connection:
        header, _ = connection.request(code=29_999)
        assert header["code"] == 3
        assert header["flag"] & 1 == 1
        assert header["opaque"] == connection.opaque


BROKEN = {
    "a length of zero": struct.pack(">i", 0),
    "a negative length": struct.pack(">i", -1),
    "a length beyond the limit": struct.pack(">ii", 16 * 1024 * 1024 + 1, 0),
    "a header longer than its frame": struct.pack(">ii", 8, 100) + b"abcd",
    "a header that is no JSON": struct.pack(">ii", 8, 4) + b"abcd",
    "a header that ends early": struct.pack(">ii", 4 + 9, 9) + b'{"code":1',
    "an unknown header encoding": struct.pack(">iI", 8, 0x7F000004) + b"abcd",
    "a binary header that ends early": struct.pack(">iI", 8, 0x01000004) + b"\0\0\0\1",
    "HTTP": b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "TLS": bytes.fromhex("16030100a5010000a10303") + b"\0" * 32,
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_frame_closes_its_connection_only(port, name):
    with Connection(port) as bystander, Connection(port) as connection:
        connection.send(BROKEN[name])
        assert connection.is_closed()
        assert bystander.request(code=29_999)[0]["code"] == 3


@pytest.mark.parametrize(
    "fields",
    [
        {}, {"topic": ""}, {"topic": "a b"}, {"topic": "x" * 300}, {"topic": "ok", "queueId": "-1"},
        {"topic": "ok", "queueId": "99999999999999999999"}, {"topic": "ok", "queueId": "0", "sysFlag": "nine"},
        {"topic": "\u0000"}, {"topic": "ok", "properties": "\u0001\u0002\u0001"},
    ],
)
@pytest.mark.parametrize("code", [10, 310, 320, 11, 14, 15, 29, 30, 31, 32, 33, 12, 17, 34, 35, 38, 46])
def test_wrong_fields_are_answered(server, code, fields):
    with Connection(server.broker_port) as connection:
        header, _ = connection.request(code, fields, body=b"\xff\x00{")
        # Which code is RocketMQ's business, and in tables of unit tests; here it matters that there is one.
        assert header["flag"] & 1 == 1
        assert header["opaque"] == connection.opaque


def test_random_bytes_do_no_harm(port):
    seed = int(os.environ.get("SEED", "1"))
    chance = random.Random(seed)
    for _ in range(100):
        with Connection(port, timeout=0.2) as connection:
            connection.send(chance.randbytes(chance.randrange(1, 2000)))
            connection.is_closed()
    assert answers(port)


def test_changed_frames_do_no_harm(port):
    chance = random.Random(int(os.environ.get("SEED", "2")))
    good = frame({"code": 310, "flag": 0, "opaque": 1, "extFields": {"a": "g", "b": "t", "c": "TBW102", "d": "4", "e": "0"}}, b"x" * 50)
    for _ in range(200):
        data = bytearray(good)
        for _ in range(chance.randrange(1, 6)):
            data[chance.randrange(4, len(data))] = chance.randrange(256)
        with Connection(port, timeout=0.1) as connection:
            connection.send(bytes(data))
            connection.is_closed()
    assert answers(port)


def test_a_frame_may_come_in_single_bytes(port):
    with Connection(port) as connection:
        connection.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in frame({"code": 29_999, "opaque": 7, "flag": 0}):
            connection.send(bytes([byte]))
        assert connection.answer()[0]["opaque"] == 7


def test_many_frames_may_come_at_once(port):
    with Connection(port) as connection:
        connection.send(b"".join(frame({"code": 29_999, "opaque": i, "flag": 0}) for i in range(500)))
        assert sorted(connection.answer()[0]["opaque"] for _ in range(500)) == list(range(500))


def test_a_peer_that_never_reads_is_not_fed_without_end(server, port):
    with Connection(port) as connection:
        connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.socket.settimeout(2.0)
        request = frame({"code": 29_999, "opaque": 1, "flag": 0}) * 1000
        try:
            for _ in range(400):
                connection.send(request)
        except (TimeoutError, ConnectionError):
            pass
        assert resident_kibibytes(server) < 400 * 1024
        assert answers(port)


def resident_kibibytes(server):
    with open(f"/proc/{server.process.pid}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))
