"""A server on ::1, plainly and with TLS: the Swift client finds it, sends and consumes over IPv6."""

import json
import os
import socket
import subprocess

import pytest

from apus import binary, eventually
from certificates import Certificates


def has_ipv6():
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
        return True
    except OSError:
        return False


@pytest.mark.skipif(not has_ipv6(), reason="no IPv6 here")
@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("bind, told", [("::1", None), ("::", "::1")])
def test_messages_over_ipv6(tmp_path, bind, told, tls):
    ready = tmp_path / "ready.json"
    command = [
        str(binary()), "start", "--store", str(tmp_path / "store"), "--bind", bind, "--listen-port", "0", "--name-server-port", "0",
        "--ready-file", str(ready),
    ]
    if told:
        command += ["--broker-ip", told]
    options = []
    if tls:
        made = Certificates(tmp_path / "certificates")
        certificate, key = made.make("server", names="IP:0:0:0:0:0:0:0:1")
        command += ["--tls-mode", "enforcing", "--tls-certificate", str(certificate), "--tls-key", str(key)]
        options = ["--tls-trust", str(made.root)]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("APUS_") and k != "NAMESRV_ADDR"}
    with open(tmp_path / "log", "wb") as log:
        server = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, env=environment)
    try:
        eventually(ready.exists, what="the server")
        ports = json.loads(ready.read_text())

        def run(*words):
            result = subprocess.run(
                [str(binary()), *words, "-n", f"[::1]:{ports['namesrv']}", *options], capture_output=True, text=True, timeout=60,
                stdin=subprocess.DEVNULL, env=environment,
            )
            assert result.returncode == 0, f"{words}: {result.stderr}\n{(tmp_path / 'log').read_text()}"
            return result.stdout

        assert f"[0:0:0:0:0:0:0:1]:{ports['broker']}" in run("topic", "route", "TBW102")
        run("send", "Six", "over six")
        assert "over six" in run("consume", "Six", "--group", "g", "--from", "first", "--count", "1")
        run("bench", "e2e", "--create-topic", "--count", "200", "--no-progress")
    finally:
        server.terminate()
        server.wait(20)
