"""Producers and readers that speak the remoting protocol by hand: light, pipelined, and honest about what they do not know."""

import json
import select
import socket
import struct
import time
import zlib

from ledger import Stored

RECORD_HEAD = struct.Struct(">IIIiiqqiq")
HEADER = {"language": "JAVA", "version": 409}


def frame(code, opaque, fields, body=b"", flag=0):
    text = json.dumps({"code": code, "flag": flag, "language": "JAVA", "version": 409, "opaque": opaque, "extFields": fields}).encode()
    return struct.pack(">ii", 4 + len(text) + len(body), len(text)) + text + body


class Gone(Exception):
    """The broker is not there any more."""


class Peer:
    """One connection with any number of requests under way."""

    def __init__(self, port, timeout=20.0):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.poll = select.poll()
        self.poll.register(self.socket, select.POLLIN)
        self.timeout = timeout
        self.opaque = 0
        self.waiting = {}
        self.input = bytearray()
        self.pending = []
        self.is_gone = False
        self.on_request = None

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def post(self, code, fields, body=b"", answered=None):
        """Puts a request into the queue; `answered(header, body)` is called when its answer is read."""
        self.opaque += 1
        self.waiting[self.opaque] = answered
        self.pending.append(frame(code, self.opaque, fields, body))

    def push(self):
        """Sends what was posted."""
        data, self.pending = b"".join(self.pending), []
        if self.is_gone or not data:
            return
        try:
            self.socket.sendall(data)
        except OSError:
            self.is_gone = True

    def pump(self, wait):
        """Reads what has come, for at most `wait` seconds until something has. False when the broker has gone and all is read."""
        readable = []
        try:
            readable = self.poll.poll(wait * 1000)
            if readable:
                data = self.socket.recv(1 << 18)
                if not data:
                    self.is_gone = True
                self.input += data
        except OSError:
            self.is_gone = True
        while len(self.input) >= 4:
            size = int.from_bytes(self.input[:4], "big")
            if len(self.input) < 4 + size:
                break
            data = bytes(self.input[4 : 4 + size])
            del self.input[: 4 + size]
            length = int.from_bytes(data[1:4], "big")
            header = json.loads(data[4 : 4 + length])
            body = data[4 + length :]
            if header["flag"] & 1:
                answered = self.waiting.pop(header["opaque"], None)
                if answered:
                    answered(header, body)
            elif self.on_request:
                self.on_request(header, body)
        return bool(readable) and not self.is_gone

    def drain(self):
        """Reads everything that a dead broker had still sent."""
        while not self.is_gone:
            if not self.pump(0.5):
                break

    def call(self, code, fields=None, body=b""):
        """One request and its answer. Throws Gone."""
        result = []
        self.post(code, fields or {}, body, lambda *answer: result.append(answer))
        self.push()
        deadline = time.monotonic() + self.timeout
        while not result:
            self.pump(0.2)
            if not result and (self.is_gone or time.monotonic() > deadline):
                raise Gone(f"no answer to {code}")
        return result[0]


def send_fields(topic, queue, properties, group="faults", is_batch=False):
    return {
        "a": group, "b": topic, "c": "TBW102", "d": "4", "e": str(queue), "f": "0", "g": str(int(time.time() * 1000)),
        "h": "0", "i": "\x02".join(f"{name}\x01{value}" for name, value in properties.items()), "j": "0", "k": "false",
        "m": "true" if is_batch else "false",
    }


def physical_of(message_id):
    """The offset in the log that an offset message id ends with."""
    return int(message_id[-16:], 16)


def records(data, topic, queue):
    """The records of a pull answer."""
    position = 0
    while position < len(data):
        size, _, crc, _, _, offset, physical, flags, _ = RECORD_HEAD.unpack_from(data, position)
        at = position + 48 + (20 if flags & 0x10 else 8) + 8 + (20 if flags & 0x20 else 8) + 4 + 8
        length = int.from_bytes(data[at : at + 4], "big")
        body = data[at + 4 : at + 4 + length]
        yield Stored(topic, queue, offset, physical, body, crc == zlib.crc32(body) & 0x7FFFFFFF)
        position += size


class ReadFailed(Exception):
    def __init__(self, topic, queue, offset, header):
        super().__init__(f"{topic}/{queue} at {offset}: {header}")
        self.offset, self.header = offset, header


def read_queue(peer, topic, queue, start=0, step=32):
    """All records from `start` on, and the queue's maximum offset."""
    result = []
    offset = start
    while True:
        header, body = peer.call(
            11,
            {
                "consumerGroup": "faults", "topic": topic, "queueId": str(queue), "queueOffset": str(offset),
                "maxMsgNums": str(step), "sysFlag": "4", "commitOffset": "0", "suspendTimeoutMillis": "0",
                "subscription": "*", "subVersion": "0", "expressionType": "TAG",
            },
        )
        fields = header.get("extFields", {})
        if header["code"] == 0:
            result += records(body, topic, queue)
            offset = int(fields["nextBeginOffset"])
        elif header["code"] in (19, 20, 21):
            following = int(fields["nextBeginOffset"])
            if header["code"] == 19 or following <= offset:
                return result, int(fields["maxOffset"])
            offset = following
        elif header["code"] == 17:
            # No such topic.
            return result, 0
        else:
            raise ReadFailed(topic, queue, offset, header)
