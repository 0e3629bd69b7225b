"""Runs the ten lines of docs/security.md, with addresses and ports of this machine."""

import os
import re
import signal
import socket
import subprocess
import time

from apus import ROOT, binary, eventually


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_the_ten_lines_give_a_guarded_server(tmp_path):
    text = (ROOT / "docs" / "security.md").read_text()
    block = re.search(r"## Ten lines.*?```console\n(.*?)```", text, re.DOTALL).group(1)
    lines = [line[2:] for line in block.splitlines() if line.startswith("$ ")]
    assert len(lines) == 10
    broker, name_server = free_port(), free_port()
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "apus").symlink_to(binary().resolve())
    environment = {
        **os.environ, "PATH": f"{tools}:{os.environ['PATH']}", "APUS_LISTEN_PORT": str(broker),
        "APUS_NAME_SERVER_PORT": str(name_server), "APUS_BIND_ADDRESS": "127.0.0.1",
    }
    log = open(tmp_path / "log", "w+b")
    server = None
    try:
        for line in lines:
            line = line.replace("192.0.2.10:9876", f"127.0.0.1:{name_server}").replace("192.0.2.10", "127.0.0.1")
            if line.endswith("&"):
                server = subprocess.Popen(
                    ["bash", "-c", "exec " + line[:-1]], cwd=tmp_path, env=environment, stdin=subprocess.DEVNULL, stdout=log,
                    stderr=subprocess.STDOUT,
                )
                eventually(lambda: b"Apus is ready" in (tmp_path / "log").read_bytes(), what="the server")
                continue
            result = subprocess.run(
                ["bash", "-c", line], cwd=tmp_path, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                timeout=60,
            )
            assert result.returncode == 0, f"{line}\n{result.stdout}{result.stderr}"
        assert "hello" in result.stdout
        # An account for an application: the next block.
        block = re.search(r"## Ten lines.*?```console\n.*?```.*?```console\n(.*?)```", text, re.DOTALL).group(1)
        for line in block.splitlines():
            result = subprocess.run(
                ["bash", "-c", line[2:].replace("192.0.2.10:9876", f"127.0.0.1:{name_server}")], cwd=tmp_path, env=environment,
                stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60,
            )
            assert result.returncode == 0, f"{line}\n{result.stdout}{result.stderr}"
        assert "account orders-1 set" in result.stdout and "orders-1" in (tmp_path / "plain_acl.yml").read_text()
        for path in "operator.credentials", "plain_acl.yml", "server.key":
            assert (tmp_path / path).stat().st_mode & 0o077 == 0, path
        # Without the key, and without TLS, nothing goes.
        for options in ["--tls-trust", "root.pem"], ["--credentials", "operator.credentials"]:
            refused = subprocess.run(
                ["apus", "send", "greetings", "no", "-n", f"127.0.0.1:{name_server}", *options], cwd=tmp_path, env=environment,
                capture_output=True, timeout=60,
            )
            assert refused.returncode != 0
        secret = (tmp_path / "operator.credentials").read_text().split()[-1]
        assert secret.encode() not in (tmp_path / "log").read_bytes()
    finally:
        if server is not None:
            server.send_signal(signal.SIGTERM)
            server.wait(20)
        log.close()
