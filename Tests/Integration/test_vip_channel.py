"""RocketMQ's "VIP channel": the port two below the broker's, which old Java clients send to (`MixAll.brokerVIPChannel`)."""

import socket

import pytest

from apus import Server
from remoting import Connection
from test_access import send_fields


def free_ports():
    """A port that is free, as is the one two below."""
    while True:
        with socket.socket() as upper, socket.socket() as lower:
            upper.bind(("127.0.0.1", 0))
            port = upper.getsockname()[1]
            try:
                lower.bind(("127.0.0.1", port - 2))
            except OSError:
                continue
            return port


def start(folder, port, *settings):
    server = Server(folder, *settings)
    server.ports = (port, 0)
    return server.start()


def test_clients_send_to_the_port_two_below(tmp_path):
    port = free_ports()
    server = start(tmp_path, port)
    try:
        with Connection(port - 2) as old:
            header, _ = old.request(310, send_fields("T"), b"m")
            assert header["code"] == 0, header
        with Connection(port) as client:
            assert client.request(30, {"topic": "T", "queueId": header["extFields"]["queueId"]})[0]["extFields"]["offset"] == "1"
    finally:
        server.stop()


@pytest.mark.parametrize("is_taken", [False, True])
def test_a_broker_does_without_it(tmp_path, is_taken):
    """When it is switched off, and when another program has the port."""
    port = free_ports()
    with socket.socket() as other:
        if is_taken:
            other.bind(("127.0.0.1", port - 2))
            other.listen()
        server = start(tmp_path, port, *([] if is_taken else ["vipListenerEnable=false"]))
        try:
            with Connection(port) as client:
                assert client.request(310, send_fields("T"), b"m")[0]["code"] == 0
            if not is_taken:
                with pytest.raises(ConnectionRefusedError):
                    Connection(port - 2)
            assert ("vipChannelEnabled" in server.log.read_text()) == is_taken
        finally:
            server.stop()
