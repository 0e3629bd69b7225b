"""The remoting protocol by hand, for what no client would send."""

import json
import socket
import struct


def frame(header, body=b""):
    """Length, header length with the JSON flag in its upper byte, header, body."""
    text = json.dumps(header).encode()
    return struct.pack(">ii", 4 + len(text) + len(body), len(text)) + text + body


class Connection:
    def __init__(self, port, timeout=10.0, source=None, host="127.0.0.1"):
        """With a source, from that address of this machine."""
        self.socket = socket.create_connection((host, port), timeout, source and (source, 0))
        self.opaque = 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def request(self, code, fields=None, body=b"", flag=0):
        """Sends a request and returns (header, body) of its answer."""
        self.opaque += 1
        self.send(
            frame(
                {
                    "code": code, "language": "PYTHON", "version": 409, "opaque": self.opaque, "flag": flag,
                    "extFields": fields or {},
                },
                body,
            )
        )
        return self.answer()

    def answer(self):
        length = struct.unpack(">i", self._exactly(4))[0]
        data = self._exactly(length)
        size = struct.unpack(">I", data[:4])[0] & 0xFFFFFF
        assert data[0] == 0, "the answer to a JSON request is JSON"
        return json.loads(data[4 : 4 + size]), data[4 + size :]

    def is_closed(self):
        """Waits for the server to close; False when it says something or nothing instead."""
        try:
            return self.socket.recv(1) == b""
        except ConnectionError:
            return True
        except TimeoutError:
            return False

    def _exactly(self, count):
        data = b""
        while len(data) < count:
            part = self.socket.recv(count - len(data))
            if not part:
                raise ConnectionError(f"closed after {len(data)} of {count} bytes")
            data += part
        return data
