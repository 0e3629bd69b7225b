"""This end of `second_client.py`: the second client that we did not write, driven from tests."""

import base64
import collections
import itertools
import json
import os
import pathlib
import queue
import subprocess
import sys
import threading

from apus import eventually

FOLDER = pathlib.Path(__file__).parent
# Where Scripts/install-python.sh puts it.
INSTALLED = pathlib.Path(sys.prefix) / "second-client"


def message(topic, body, **fields):
    """A message as `second_client.py` takes it. With `told=True` its length goes along, so that a body with NUL bytes comes back whole."""
    data = body if isinstance(body, bytes) else body.encode()
    if fields.pop("told", False):
        fields["properties"] = {"length": str(len(data)), **fields.get("properties", {})}
    return {"topic": topic, "body": base64.b64encode(data).decode(), **fields}


def body(row):
    return base64.b64decode(row["body"])


class Refused(Exception):
    """The client raised; its message."""


class SecondClient:
    """A process with the client. Its parts (producers, consumers) have names; each of them has one connection to each server."""

    def __init__(self, server, folder):
        assert (INSTALLED / "rocketmq").exists(), f"{INSTALLED} is missing; run 'make .venv/ready'"
        self.server = server
        self.ids, self.names = itertools.count(1), itertools.count(1)
        self.answers, self.rows = {}, []
        # Instances that have a connection to the broker.
        self.met = set()
        self.guard = threading.Lock()
        self.errors = open(folder / f"second-client-{id(self)}.log", "wb")
        self.process = subprocess.Popen(
            [sys.executable, str(FOLDER / "second_client.py"), str(INSTALLED)], text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors,
            # Its log and its broadcasting offsets go below the home folder.
            env={**os.environ, "HOME": str(folder)},
        )
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self.process.stdout:
            told = json.loads(line)
            with self.guard:
                if "event" in told:
                    self.rows.append(told)
                else:
                    self.answers[told["id"]].put(told)
        with self.guard:
            for waiting in self.answers.values():
                waiting.put({"error": f"the client's process ended with {self.process.wait()}"})

    def start(self, action, **request):
        """Asks; returns a function that waits for the answer."""
        number = next(self.ids)
        waiting = queue.Queue()
        with self.guard:
            self.answers[number] = waiting
        self.process.stdin.write(json.dumps({"id": number, "do": action, **request}) + "\n")
        self.process.stdin.flush()

        def answer(within=60.0):
            told = waiting.get(timeout=within)
            if "error" in told:
                raise Refused(told["error"])
            return told["ok"]

        return answer

    def call(self, action, **request):
        return self.start(action, **request)()

    def part(self, action, group, **options):
        """A producer or consumer; returns its name."""
        name = options.pop("name", None) or f"{action}-{os.getpid()}-{next(self.names)}"
        server = options.pop("server", self.server)
        self.call(action, name=name, group=group, namesrv=server.name_server, **options)
        return name

    def producer(self, group, meets="meeting", **options):
        """Returns when the broker has taken a message for the topic `meets` from this client. While it connects, as its heartbeat
        makes it do, this client refuses to send, tries again at once five times, and says that there is no route."""
        name = self.part("producer", group, **options)
        if meets and options.get("instance") not in self.met and not options.get("transactions"):

            def met():
                try:
                    return self.call("send", name=name, message=message(meets, "met"))["status"] == 0
                except Refused as refused:
                    assert "No route info" in str(refused), refused

            eventually(met, what="a first send")
            self.met.add(options.get("instance"))
        return name

    def push(self, group, topic, **options):
        """With an instance of its own: only a first consumer looks for queues at once, others within ten seconds."""
        options.setdefault("instance", f"{group}-{next(self.names)}")
        return self.part("push", group, topics=topic if isinstance(topic, list) else [topic], **options)

    def events(self, kind, name=None):
        with self.guard:
            return [row for row in self.rows if row["event"] == kind and name in (None, row["name"])]

    def received(self, name=None):
        """Every message that came to a push consumer, in the order of its callbacks."""
        return self.events("message", name)

    def bodies(self, name=None):
        return sorted(body(row) for row in self.received(name))

    def pulled(self, topic, group, **options):
        """Every message of a topic as rows, by a pull consumer of this client."""
        return self.call("pull", name=self.part("pull_consumer", group), topic=topic, **options)["rows"]

    def pulled_bodies(self, topic, group, **options):
        return sorted(body(row) for row in self.pulled(topic, group, **options))

    def expect(self, name, expected, within=60.0):
        """Waits until exactly these bodies came, in any order; fails at once when something else did."""
        wanted = collections.Counter(data if isinstance(data, bytes) else data.encode() for data in expected)

        def all_came():
            seen = collections.Counter(self.bodies(name))
            assert seen <= wanted, f"not expected at {name}: {[data[:100] for data in seen - wanted]}"
            return seen == wanted

        eventually(all_came, within, f"{wanted.total()} messages at {name}")

    def kill(self):
        """SIGKILL: no part says goodbye."""
        self.process.kill()
        self.process.wait()
        self.errors.close()
