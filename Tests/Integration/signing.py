"""RocketMQ's signature, written down a second time, independently of the server."""

import base64
import hashlib
import hmac

from remoting import Connection, frame


def sign(fields, body, secret):
    """The signature of a request with these fields."""
    names = sorted(name for name in fields if name not in ("Signature", "_UNIQUE_KEY_QUERY"))
    content = "".join(fields[name] for name in names).encode() + body
    return base64.b64encode(hmac.new(secret.encode(), content, hashlib.sha1).digest()).decode()


class Signed(Connection):
    """A connection that signs its requests."""

    def __init__(self, port, key, secret, **options):
        super().__init__(port, **options)
        self.key, self.secret = key, secret

    def signed_frame(self, code, fields=None, body=b""):
        self.opaque += 1
        fields = {**(fields or {}), "AccessKey": self.key}
        fields["Signature"] = sign(fields, body, self.secret)
        header = {
            "code": code, "language": "PYTHON", "version": 409, "opaque": self.opaque, "flag": 0, "extFields": fields,
        }
        return frame(header, body)

    def request(self, code, fields=None, body=b"", flag=0):
        self.send(self.signed_frame(code, fields, body))
        return self.answer()
