"""TLS on the port of the remoting protocol: Python's ssl module and openssl s_client against a real process."""

import os
import random
import signal
import socket
import ssl
import subprocess
import time

import pytest

from apus import Server, eventually
from certificates import Certificates
from remoting import Connection, frame

PROBE = frame({"code": 29_999, "opaque": 1, "flag": 0})


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def tls_server(own_server, certificates):
    """A function that makes a server with a certificate: tls_server("enforcing", "more=settings")."""
    made = certificates.make("server")

    def make(mode="enforcing", *settings, certificate=made):
        return own_server(
            f"tls.server.mode={mode}", f"tls.server.certPath={certificate[0]}", f"tls.server.keyPath={certificate[1]}", *settings
        )

    return make


def context(certificates, **changes):
    result = ssl.create_default_context(cafile=str(certificates.root))
    for name, value in changes.items():
        setattr(result, name, value)
    return result


class Secure(Connection):
    """A connection of the remoting protocol over TLS."""

    def __init__(self, port, tls, name="localhost", timeout=10.0):
        super().__init__(port, timeout)
        try:
            self.socket = tls.wrap_socket(self.socket, server_hostname=name)
        except BaseException:
            self.socket.close()
            raise


def is_well(port, tls):
    with Secure(port, tls) as connection:
        return connection.request(29_999)[0]["code"] == 3


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("which", ["broker", "namesrv"])
def test_both_versions_are_served_by_both_servers(tls_server, certificates, version, which):
    server = tls_server("permissive")
    tls = context(certificates, minimum_version=version, maximum_version=version)
    with Secure(server.ready[which], tls) as connection:
        assert connection.socket.version() == {772: "TLSv1.3", 771: "TLSv1.2"}[int(version)]
        assert connection.socket.compression() is None
        for _ in range(100):
            assert connection.request(29_999)[0]["code"] == 3
        # Frames larger than a record, in both directions.
        large = frame({"code": 29_999, "opaque": 7, "flag": 0}, b"x" * 9_000_000)
        connection.send(large)
        assert connection.answer()[0]["opaque"] == 7
    # Permissive: the same port speaks plainly too.
    with Connection(server.ready[which]) as connection:
        assert connection.request(29_999)[0]["code"] == 3


def test_a_plain_client_is_refused_when_tls_is_enforced(tls_server, certificates):
    server = tls_server("enforcing")
    for port in server.ready["broker"], server.ready["namesrv"]:
        with Connection(port) as connection:
            connection.send(PROBE)
            assert connection.is_closed()
        assert is_well(port, context(certificates))
    assert "this port takes TLS only" in server.log.read_text()


def test_tls_is_refused_where_it_is_disabled(tls_server, certificates):
    server = tls_server("disabled")
    with pytest.raises((ssl.SSLError, ConnectionError)):
        Secure(server.broker_port, context(certificates))
    with Connection(server.broker_port) as connection:
        assert connection.request(29_999)[0]["code"] == 3


@pytest.mark.parametrize("flag", ["-tls1", "-tls1_1"])
def test_old_versions_are_refused(tls_server, certificates, flag):
    server = tls_server("enforcing")
    # Security level 0 lets this client offer what it has been told not to.
    result = subprocess.run(
        ["openssl", "s_client", "-connect", f"127.0.0.1:{server.broker_port}", flag, "-cipher", "ALL:@SECLEVEL=0"],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30,
    )
    assert result.returncode != 0
    assert "alert protocol version" in result.stderr, result.stderr
    assert is_well(server.broker_port, context(certificates))


def test_a_client_that_was_talked_down_can_tell(tls_server, certificates):
    """Who stands on the wire can hide that a client speaks 1.3. The server then marks its random number (RFC 8446 §4.1.3), which
    is signed, and a client that does speak 1.3 breaks off."""
    server = tls_server("enforcing")
    for version, mark in (ssl.TLSVersion.TLSv1_2, b"DOWNGRD\x01"), (ssl.TLSVersion.TLSv1_3, None):
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = context(certificates, maximum_version=version).wrap_bio(incoming, outgoing, server_hostname="localhost")
        with pytest.raises(ssl.SSLWantReadError):
            tls.do_handshake()
        with Connection(server.broker_port) as connection:
            connection.send(outgoing.read())
            # Record header 5, message header 4, version 2, random 32.
            hello = connection._exactly(43)
        assert hello[0] == 0x16 and hello[5] == 2
        assert (hello[35:43] == mark) == (mark is not None)


@pytest.mark.parametrize("cipher", ["NULL", "AES256-SHA", "AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-SHA"])
def test_weak_ciphers_are_refused(tls_server, certificates, cipher):
    server = tls_server("enforcing")
    result = subprocess.run(
        [
            "openssl", "s_client", "-connect", f"127.0.0.1:{server.broker_port}", "-tls1_2", "-cipher",
            f"{cipher}:@SECLEVEL=0",
        ],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30,
    )
    assert result.returncode != 0
    assert "handshake failure" in result.stderr or "no ciphers" in result.stderr, result.stderr


def test_renegotiation_is_refused(tls_server, certificates):
    server = tls_server("enforcing")
    result = subprocess.run(
        ["openssl", "s_client", "-connect", f"127.0.0.1:{server.broker_port}", "-tls1_2", "-CAfile", str(certificates.root)],
        input="R\n", capture_output=True, text=True, timeout=30,
    )
    assert "Verify return code: 0 (ok)" in result.stdout
    assert "RENEGOTIATING" in result.stderr + result.stdout
    assert "no renegotiation" in result.stderr, result.stderr
    assert is_well(server.broker_port, context(certificates))


def test_no_session_is_resumed(tls_server, certificates):
    server = tls_server("enforcing")
    tls = context(certificates, maximum_version=ssl.TLSVersion.TLSv1_2)
    with Secure(server.broker_port, tls) as first:
        session = first.socket.session
    with socket.create_connection(("127.0.0.1", server.broker_port), timeout=10) as plain:
        with tls.wrap_socket(plain, server_hostname="localhost", session=session) as again:
            assert not again.session_reused


@pytest.mark.parametrize("why", ["another root", "another name", "expired", "the system's roots"])
def test_a_client_refuses_a_certificate_that_it_cannot_believe(tls_server, certificates, tmp_path, why):
    certificate = certificates.make("odd", names="DNS:elsewhere.example" if why == "another name" else "DNS:localhost,IP:127.0.0.1",
                                    days=-1 if why == "expired" else 2)
    server = tls_server("enforcing", certificate=certificate)
    tls = context(Certificates(tmp_path / "other") if why == "another root" else certificates)
    if why == "the system's roots":
        tls = ssl.create_default_context()
    with pytest.raises(ssl.SSLCertVerificationError):
        Secure(server.broker_port, tls)
    # The command line's client refuses as well.
    root = certificates.root if why != "another root" else tmp_path / "other" / "root.pem"
    options = ["--tls"] if why == "the system's roots" else ["--tls-trust", str(root)]
    result = run(server, "topic", "list", *options)
    assert result.returncode != 0
    assert "certificate refused" in result.stderr, result.stderr


def run(server, *words, environment={}):
    from apus import binary

    return subprocess.run(
        [str(binary()), *words], capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL,
        env={**os.environ, "NAMESRV_ADDR": server.name_server, **environment},
    )


def test_apus_sends_and_consumes_over_tls(tls_server, certificates):
    server = tls_server("enforcing")
    trust = ["--tls-trust", str(certificates.root)]
    assert run(server, "send", "Secure", "hello", *trust).returncode == 0
    received = run(server, "consume", "Secure", "--group", "g", "--from", "first", "--count", "1", *trust)
    assert received.returncode == 0 and "hello" in received.stdout
    plain = run(server, "send", "Secure", "hello")
    assert plain.returncode != 0
    # As RocketMQ's clients: the root counts, the name does not.
    other = certificates.make("renamed", names="DNS:elsewhere.example")
    renamed = tls_server("enforcing", certificate=other)
    assert run(renamed, "send", "Secure", "hello", *trust).returncode != 0
    assert run(renamed, "send", "Secure", "hello", *trust, "--tls-any-name").returncode == 0


@pytest.mark.parametrize("demand", ["optional", "require"])
def test_client_certificates(tls_server, certificates, tmp_path, demand):
    server = tls_server(
        "enforcing", f"tls.server.need.client.auth={demand}", f"tls.server.trustCertPath={certificates.root}"
    )
    good = context(certificates)
    good.load_cert_chain(*certificates.make("client"))
    assert is_well(server.broker_port, good)

    def is_served(tls):
        try:
            return is_well(server.broker_port, tls)
        except (ssl.SSLError, ConnectionError):
            return False

    assert is_served(context(certificates)) == (demand == "optional")
    for bad in Certificates(tmp_path / "other").make("client"), certificates.make("late", days=-1):
        tls = context(certificates)
        tls.load_cert_chain(*bad)
        assert not is_served(tls)


def test_a_client_certificate_on_the_command_line(tls_server, certificates):
    # The broker shows its own certificate to its name server.
    server = tls_server(
        "enforcing", "tls.server.need.client.auth=require", f"tls.server.trustCertPath={certificates.root}"
    )
    trust = ["--tls-trust", str(certificates.root)]
    client = certificates.make("tool")
    shown = ["--tls-certificate", str(client[0]), "--tls-key", str(client[1])]
    assert run(server, "send", "Secure", "hello", *trust, *shown).returncode == 0
    assert run(server, "send", "Secure", "hello", *trust).returncode != 0


def test_a_broker_checks_its_name_server(tls_server, certificates, tmp_path):
    tls_server("enforcing", f"tls.client.trustCertPath={certificates.root}")
    other = Certificates(tmp_path / "other")
    made = certificates.make("server")
    server = Server(
        tmp_path / "distrustful", "tls.server.mode=enforcing", f"tls.server.certPath={made[0]}", f"tls.server.keyPath={made[1]}",
        f"tls.client.trustCertPath={other.root}",
    )
    try:
        # It is not ready before a name server knows it.
        with pytest.raises(AssertionError, match="the ready file"):
            server.start(within=3)
        assert "certificate refused" in server.log.read_text()
    finally:
        server.kill()


def test_a_changed_certificate_is_shown_without_a_restart(tls_server, certificates):
    certificate, key = certificates.make("changing")
    server = tls_server("enforcing", certificate=(certificate, key))
    tls = context(certificates, check_hostname=False)

    def names():
        with Secure(server.broker_port, tls) as connection:
            return [name for _, name in connection.socket.getpeercert()["subjectAltName"]]

    assert names() == ["localhost", "127.0.0.1"]
    with Secure(server.broker_port, tls) as old:
        good = certificate.read_bytes()
        certificate.write_text("-----BEGIN CERTIFICATE-----\nnothing\n-----END CERTIFICATE-----\n")
        eventually(lambda: "those from before stay in use" in server.log.read_text(), what="the complaint")
        assert names() == ["localhost", "127.0.0.1"]
        certificate.write_bytes(good)
        certificates.make("changing", names="DNS:second.example")
        eventually(lambda: names() == ["second.example"], what="the new certificate")
        # An open connection goes on with what it has.
        assert old.request(29_999)[0]["code"] == 3
    server.process.send_signal(signal.SIGHUP)
    eventually(lambda: "SIGHUP" in server.log.read_text(), what="the answer to SIGHUP")
    assert names() == ["second.example"]


def test_an_enforcing_server_without_a_certificate_does_not_start(tmp_path):
    with pytest.raises(AssertionError, match="tls.server.certPath"):
        Server(tmp_path / "a", "tls.server.mode=enforcing").start()
    with pytest.raises(AssertionError, match="no usable certificate"):
        Server(tmp_path / "b", "tls.server.certPath=/none.pem", "tls.server.keyPath=/none.key").start()


def test_a_key_with_a_password(tls_server, certificates, tmp_path):
    certificate, key = certificates.make("locked")
    locked = tmp_path / "locked.key"
    subprocess.run(
        ["openssl", "pkcs8", "-topk8", "-in", str(key), "-out", str(locked), "-passout", "pass:geheim"], check=True, timeout=30
    )
    server = tls_server("enforcing", "tls.server.keyPassword=geheim", certificate=(certificate, locked))
    assert is_well(server.broker_port, context(certificates))
    assert "geheim" not in server.log.read_text()
    with Secure(server.broker_port, context(certificates)) as connection:
        # 26 GET_BROKER_CONFIG tells everybody every setting, but no secret.
        _, body = connection.request(26)
        assert b"tls.server.certPath" in body and b"geheim" not in body and b"keyPassword" not in body
    shown = run(server, "config", "show", "--all", "--set", "tls.server.keyPassword=geheim").stdout
    assert "tls.server.keyPassword" in shown and "geheim" not in shown
    with pytest.raises(AssertionError, match="no usable key"):
        tls_server("enforcing", "tls.server.keyPassword=wrong", certificate=(certificate, locked))
    with pytest.raises(AssertionError, match="no usable key"):
        tls_server("enforcing", certificate=(certificate, locked))


def test_nothing_is_lost_or_changed_under_load(tls_server, certificates):
    server = tls_server("enforcing")
    result = run(
        server, "bench", "e2e", "--tls-trust", str(certificates.root), "--create-topic", "--count", "20000", "--connections", "8",
        "--in-flight", "64", "--size", "3K", "--consumers", "3", "--verify", "--no-progress",
    )
    assert result.returncode == 0, result.stderr
    assert "lost 0 · duplicated 0 · out of order 0 · corrupt 0 · misplaced 0" in result.stdout, result.stdout


# MARK: hostile peers


def client_hello(certificates):
    """The first record of a real handshake."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context(certificates).wrap_bio(incoming, outgoing, server_hostname="localhost")
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


def test_truncated_handshakes_leave_nothing_behind(tls_server, certificates):
    server = tls_server("enforcing")
    hello = client_hello(certificates)
    before = descriptors(server)
    for size in list(range(1, 20)) + list(range(20, len(hello), 37)):
        with Connection(server.broker_port) as connection:
            connection.send(hello[:size])
    eventually(lambda: descriptors(server) <= before, what="the connections are gone")
    assert is_well(server.broker_port, context(certificates))


def test_a_handshake_that_does_not_end_is_ended(tls_server, certificates):
    server = tls_server("enforcing", "tlsHandshakeTimeout=300")
    hello = client_hello(certificates)
    for begin in b"", hello[:1], hello[:50], hello:
        with Connection(server.broker_port) as connection:
            connection.send(begin)
            eventually(lambda: drained(connection), what="the server closes")
    with Secure(server.broker_port, context(certificates)) as connection:
        # One that ended in time may wait as long as it likes.
        time.sleep(1.5)
        assert connection.request(29_999)[0]["code"] == 3


def drained(connection):
    """Whether the server has closed, whatever it said before."""
    try:
        return connection.socket.recv(65_536) == b""
    except ConnectionError:
        return True


def test_changed_handshakes_do_no_harm(tls_server, certificates):
    server = tls_server("enforcing", "tlsHandshakeTimeout=500")
    hello = client_hello(certificates)
    chance = random.Random(int(os.environ.get("SEED", "3")))
    for _ in range(150):
        data = bytearray(hello)
        for _ in range(chance.randrange(1, 8)):
            data[chance.randrange(1, len(data))] = chance.randrange(256)
        with Connection(server.broker_port, timeout=0.05) as connection:
            connection.send(bytes(data))
            connection.is_closed()
    assert is_well(server.broker_port, context(certificates))


def test_a_huge_handshake_is_cut_off(tls_server, certificates):
    server = tls_server("enforcing")
    before = resident_kibibytes(server)
    # A ClientHello that announces 16 MiB - 1, and goes on and on.
    connections = [Connection(server.broker_port) for _ in range(50)]
    for connection in connections:
        try:
            connection.send(b"\x16\x03\x01\x40\x00\x01\xff\xff\xff" + b"\0" * (0x4000 - 4))
            for _ in range(20):
                connection.send(b"\x16\x03\x01\x40\x00" + b"\0" * 0x4000)
        except ConnectionError:
            pass
    for connection in connections:
        eventually(lambda: drained(connection), what="the server closes")
        connection.socket.close()
    assert resident_kibibytes(server) < before + 64 * 1024
    assert is_well(server.broker_port, context(certificates))


def test_garbage_after_the_handshake_closes_that_connection_only(tls_server, certificates):
    server = tls_server("enforcing")
    tls = context(certificates)
    with Secure(server.broker_port, tls) as bystander, Secure(server.broker_port, tls) as connection:
        assert connection.request(29_999)[0]["code"] == 3
        # Behind the back of the ssl module, on the same socket.
        os.write(connection.socket.fileno(), b"\x17\x03\x03\x00\x20" + b"\x55" * 32)
        with pytest.raises((ssl.SSLError, ConnectionError)):
            connection.request(29_999)
        assert bystander.request(29_999)[0]["code"] == 3
    assert "TLS connection broken" in server.log.read_text()


def test_records_of_one_connection_mean_nothing_on_another(tls_server, certificates):
    """Capture and replay: what went over one connection is sent again, on it and on a second one with a handshake of its own."""
    server = tls_server("enforcing")
    tls = context(certificates)

    class Tapped:
        """TLS over memory, so that the records can be seen."""

        def __init__(self):
            self.socket = socket.create_connection(("127.0.0.1", server.broker_port), timeout=10)
            self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            self.tls = tls.wrap_bio(self.incoming, self.outgoing, server_hostname="localhost")
            self.step(self.tls.do_handshake)

        def step(self, action):
            while True:
                try:
                    result = action()
                    self.socket.sendall(self.outgoing.read())
                    return result
                except ssl.SSLWantReadError:
                    self.socket.sendall(self.outgoing.read())
                    data = self.socket.recv(65_536)
                    if not data:
                        raise ConnectionError("closed")
                    self.incoming.write(data)

    first, second = Tapped(), Tapped()
    first.tls.write(PROBE)
    captured = first.outgoing.read()
    first.socket.sendall(captured)
    assert first.step(lambda: first.tls.read(4)) != b""
    before = server.log.read_text().count("TLS connection broken")
    for victim in second, first:
        victim.socket.sendall(captured)
        with pytest.raises((ssl.SSLError, ConnectionError)):
            while True:
                victim.step(lambda: victim.tls.read(65_536))
        victim.socket.close()
    eventually(lambda: server.log.read_text().count("TLS connection broken") == before + 2, what="two complaints")
    assert is_well(server.broker_port, tls)


def test_a_peer_that_never_reads_is_not_fed_without_end(tls_server, certificates):
    server = tls_server("enforcing")
    with Secure(server.broker_port, context(certificates)) as connection:
        connection.socket.settimeout(2.0)
        try:
            for _ in range(400):
                connection.send(PROBE * 1000)
        except (TimeoutError, ssl.SSLError, ConnectionError):
            pass
        assert resident_kibibytes(server) < 400 * 1024
        assert is_well(server.broker_port, context(certificates))


def descriptors(server):
    return len(os.listdir(f"/proc/{server.process.pid}/fd"))


def resident_kibibytes(server):
    with open(f"/proc/{server.process.pid}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))
