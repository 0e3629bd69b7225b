"""A server process under test, and waiting without sleeping blindly."""

import json
import os
import pathlib
import signal
import subprocess
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]


def binary():
    """The program: $APUS, else the release build, else the debug build."""
    if os.environ.get("APUS"):
        return pathlib.Path(os.environ["APUS"])
    for configuration in ("release", "debug"):
        path = ROOT / ".build" / configuration / "apus"
        if path.exists():
            return path
    return ROOT / ".build" / "release" / "apus"


def eventually(condition, within=30.0, what="the condition"):
    """Polls until condition() is true and returns its value; fails after `within` seconds, saying what was seen last."""
    deadline = time.monotonic() + within
    pause = 0.01
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} did not come true within {within} s; last seen: {value!r}")
        time.sleep(pause)
        pause = min(pause * 1.5, 0.25)


class Server:
    """`apus start` on free ports of loopback, with a store of its own."""

    def __init__(self, folder, *settings):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.store = self.folder / "store"
        self.settings = list(settings)
        self.process = None
        self.ready = {}
        self.starts = 0
        # Of the broker and of the name server; 0 takes a free one.
        self.ports = (0, 0)
        self.bind = "127.0.0.1"
        # A command to run it under (strace, faketime), and variables on top of the environment.
        self.wrap = []
        self.environment = {}

    def start(self, within=20.0):
        """Returns when both listeners answer. The ready file is the contract: written whole, after everything listens."""
        assert self.process is None, "already started"
        if not binary().exists():
            raise AssertionError(f"{binary()} is not built; run 'make release' or set APUS")
        self.starts += 1
        # A second server in the same folder must not take the first one's file for its own.
        ready_file = self.folder / f"ready-{id(self)}-{self.starts}.json"
        self.log = self.folder / f"server-{self.starts}.log"
        command = [
            *self.wrap, str(binary()), "start", "--store", str(self.store), "--bind", self.bind, "--broker-ip", "127.0.0.1",
            "--listen-port", str(self.ports[0]), "--name-server-port", str(self.ports[1]),
            "--ready-file", str(ready_file),
        ]
        for setting in self.settings:
            command += ["--set", setting]
        environment = {k: v for k, v in os.environ.items() if not k.startswith("APUS_") and k != "NAMESRV_ADDR"}
        environment |= self.environment
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, env=environment
            )

        def is_ready():
            if self.process.poll() is not None:
                raise AssertionError(f"'apus start' ended with {self.process.returncode}:\n{self.tail()}")
            return ready_file.exists()

        eventually(is_ready, within, "the ready file")
        self.ready = json.loads(ready_file.read_text())
        return self

    @property
    def name_server(self):
        return f"127.0.0.1:{self.ready['namesrv']}"

    @property
    def broker_port(self):
        return self.ready["broker"]

    def stop(self, within=20.0):
        """SIGTERM, as an operator stops it. The exit code must be 0."""
        if self.process is None:
            return
        process, self.process = self.process, None
        process.send_signal(signal.SIGTERM)
        try:
            code = process.wait(within)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise AssertionError(f"the server did not stop within {within} s:\n{self.tail()}")
        assert code == 0, f"the server stopped with {code}:\n{self.tail()}"

    def kill(self):
        """SIGKILL, as a crash."""
        process, self.process = self.process, None
        process.kill()
        process.wait()

    def restart(self):
        self.stop()
        return self.start()

    def keep_ports(self):
        """From now on it starts where it is, for clients that live longer than it does."""
        self.ports = (self.ready["broker"], self.ready["namesrv"])
        return self

    def is_alive(self):
        return self.process is not None and self.process.poll() is None

    def tail(self, lines=30):
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def run(self, *words, check=True):
        """A command of apus against this server; returns its standard output."""
        result = subprocess.run(
            [str(binary()), *words], capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL,
            env={**os.environ, "NAMESRV_ADDR": self.name_server},
        )
        if check:
            assert result.returncode == 0, f"apus {' '.join(words)} ended with {result.returncode}: {result.stderr}"
        return result.stdout
