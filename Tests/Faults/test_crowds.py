"""Any bytes on any port: other clients keep being served, and nothing grows without bound."""

import multiprocessing
import os
import random
import resource
import signal
import socket
import struct
import subprocess
import time

import pytest

from apus import binary, eventually
from certificates import Certificates
from mounts import skip
from wire import Peer, frame, send_fields
from world import World


@pytest.fixture
def world(tmp_path, seed):
    world = World(tmp_path / "w", seed, "ASYNC_FLUSH")
    world.start()
    world.make_topics()
    yield world
    assert world.server.is_alive(), world.server.tail()
    world.settle()
    world.close()


def status(world, name):
    with open(f"/proc/{world.server.process.pid}/status") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith(name))


def descriptors(world):
    """Open sockets. Files of consume queues are kept open, too, up to a number."""
    folder = f"/proc/{world.server.process.pid}/fd"
    count = 0
    for name in os.listdir(folder):
        try:
            count += os.readlink(f"{folder}/{name}").startswith("socket:")
        except OSError:
            continue
    return count


def rate(world, seconds):
    """Answered sends a second of one well-behaved client with 16 requests under way, and its longest wait."""
    done = 0
    worst = 0.0
    with world.peer() as peer:
        begun = {}

        def answered(number):
            def take(header, _):
                nonlocal done, worst
                assert header["code"] == 0, header
                done += 1
                worst = max(worst, time.monotonic() - begun.pop(number))

            return take

        end = time.monotonic() + seconds
        number = 0
        while time.monotonic() < end:
            while len(peer.waiting) < 16:
                number += 1
                begun[number] = time.monotonic()
                peer.post(310, send_fields("crowd", 0, {}), bytes(100), answered(number))
            peer.push()
            peer.pump(1.0)
            assert not peer.is_gone, "the well-behaved client was thrown out"
        deadline = time.monotonic() + 30
        while peer.waiting and time.monotonic() < deadline:
            peer.pump(0.5)
        assert not peer.waiting
    return done / seconds, worst


def flood_frames(port, seed, stop):
    """Opens connections and throws frames at them that are wrong in every way."""
    chance = random.Random(seed)
    good = frame(310, 1, send_fields("crowd", 0, {}), bytes(200))
    while not stop.is_set():
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=5) as peer:
                for _ in range(20):
                    data = bytearray(good)
                    for _ in range(chance.randrange(1, 8)):
                        data[chance.randrange(8, len(data))] = chance.randrange(256)
                    if chance.random() < 0.3:
                        data[:4] = struct.pack(">i", chance.choice((-1, 0, 3, 1 << 24, 0x7FFFFFFF)))
                    peer.sendall(data)
        except OSError:
            continue


def flood_connections(port, stop):
    while not stop.is_set():
        try:
            socket.create_connection(("127.0.0.1", port), timeout=5).close()
        except OSError:
            continue


@pytest.mark.parametrize("kind", ["frames", "connections"])
def test_a_flood_does_not_stop_others(world, say, kind):
    rate(world, 1)
    alone, _ = rate(world, 4)
    before, open_before = status(world, "VmRSS"), descriptors(world)
    stop = multiprocessing.Event()
    port = world.server.broker_port
    target, arguments = (flood_frames, (port, 1, stop)) if kind == "frames" else (flood_connections, (port, stop))
    flood = multiprocessing.Process(target=target, args=arguments)
    flood.start()
    try:
        during, worst = rate(world, 6)
    finally:
        stop.set()
        flood.join(20)
    say(f"flood of {kind}: {alone:.0f} sends a second alone, {during:.0f} during it, longest wait {worst * 1000:.0f} ms")
    check_rates(alone, during, worst)
    eventually(lambda: descriptors(world) < open_before + 50, within=30, what="the file descriptors of the flood given back")
    check_memory(world, before)


def check_rates(alone, during, worst):
    """Sender and flood share the processors, so this says less about the broker than about the machine; a broker that does
    nothing else would fail it."""
    assert during > 0.25 * alone, f"{during:.0f} sends a second of {alone:.0f} are left"
    assert worst < 5


def check_memory(world, before):
    assert status(world, "VmRSS") - before < 100 * 1024


def flood_of_handshakes(world, say, share):
    """Well-behaved sends alone, and while TLS handshakes come as fast as they are answered, 200 at a time."""
    rate(world, 1)
    alone, _ = rate(world, 4)
    flood = subprocess.Popen(
        [binary(), "bench", "flood", "--kind", "handshakes", "--broker", f"127.0.0.1:{world.server.broker_port}", "--duration", "60s"],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        time.sleep(1)
        during, worst = rate(world, 6)
        assert flood.poll() is None, "the flood has ended"
    finally:
        flood.kill()
        flood.wait()
    say(f"flood of handshakes, share {share} %: {alone:.0f} sends a second alone, {during:.0f} during it, longest wait {worst * 1000:.0f} ms")
    check_rates(alone, during, worst)


@pytest.fixture
def with_tls(tmp_path, seed):
    worlds = []

    def start(share):
        certificate, key = Certificates(tmp_path / f"certificates-{share}").make("server")
        world = World(
            tmp_path / f"w-{share}", seed, "ASYNC_FLUSH",
            (f"tls.server.certPath={certificate}", f"tls.server.keyPath={key}", f"tlsHandshakeShare={share}"))
        world.start()
        world.make_topics()
        worlds.append(world)
        return world

    yield start
    for world in worlds:
        assert world.server.is_alive(), world.server.tail()
        world.settle()
        world.close()


def test_a_flood_of_handshakes_does_not_stop_others(with_tls, say):
    flood_of_handshakes(with_tls(15), say, 15)


def test_a_flood_of_handshakes_without_a_limit_is_caught(with_tls, say):
    """A share of 100 % is no limit."""
    with pytest.raises(AssertionError, match="sends a second of .* are left"):
        flood_of_handshakes(with_tls(100), say, 100)


def test_a_broker_that_serves_nobody_else_is_caught(world):
    """The same accounting as in the other tests of this file, for a broker that is stopped every other moment."""
    stop = multiprocessing.Event()
    rate(world, 1)
    alone, _ = rate(world, 3)
    brake = multiprocessing.Process(target=hold_up, args=(world.server.process.pid, stop))
    brake.start()
    try:
        during, _ = rate(world, 4)
    finally:
        stop.set()
        brake.join(20)
    with pytest.raises(AssertionError, match="sends a second of .* are left"):
        check_rates(alone, during, 0.0)


def hold_up(process, stop):
    """Lets the process run for a tenth of the time."""
    while not stop.is_set():
        os.kill(process, signal.SIGSTOP)
        time.sleep(0.18)
        os.kill(process, signal.SIGCONT)
        time.sleep(0.02)


def test_memory_that_grows_is_caught(world):
    """A crowd that makes the broker keep what it is allowed to keep: the check of memory sees it."""
    before = status(world, "VmRSS")
    crowd = []
    for _ in range(24):
        peer = socket.create_connection(("127.0.0.1", world.server.broker_port), timeout=20)
        # Most of a frame of 8 MB: it is kept until the rest comes.
        peer.sendall(struct.pack(">i", 8 << 20) + bytes(6 << 20))
        crowd.append(peer)
    eventually(lambda: status(world, "VmRSS") - before > 100 * 1024, within=60, what="the memory of the crowd")
    with pytest.raises(AssertionError):
        check_memory(world, before)
    for peer in crowd:
        peer.close()


def test_ten_thousand_idle_connections(world, say):
    wanted = 10_000
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < wanted + 1000:
        skip(f"only {hard} open files are allowed")
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted + 1000, hard))
    # The broker inherits the limit.
    world.server.stop()
    world.start()
    before, open_before = status(world, "VmRSS"), descriptors(world)
    crowd = []
    try:
        for number in range(wanted):
            # Some of them say something, some begin to.
            peer = socket.create_connection(("127.0.0.1", world.server.broker_port), timeout=20)
            crowd.append(peer)
            if number % 10 == 0:
                peer.sendall(frame(29_999, 1, {}))
            elif number % 10 == 1:
                peer.sendall(frame(29_999, 1, {})[:9])
        eventually(lambda: descriptors(world) > wanted, within=60, what="all connections")
        resident = status(world, "VmRSS")
        say(f"{wanted} connections: {resident / 1024:.0f} MB resident, {before / 1024:.0f} MB before")
        assert resident < 150 * 1024
        speed, worst = rate(world, 2)
        assert speed > 100 and worst < 5
        for peer in crowd[:100:10]:
            peer.settimeout(20)
            assert peer.recv(4)
    finally:
        for peer in crowd:
            peer.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    eventually(lambda: descriptors(world) < open_before + 100, within=60, what="the file descriptors given back")


def test_slow_readers_cost_little(world, say):
    """Clients that ask for much and take nothing."""
    for _ in range(3):
        world.work(0.3)
    before = status(world, "VmRSS")
    crowd = []
    request = frame(
        11, 1,
        {
            "consumerGroup": "faults", "topic": "plain", "queueId": "0", "queueOffset": "0", "maxMsgNums": "32",
            "sysFlag": "4", "commitOffset": "0", "suspendTimeoutMillis": "0", "subscription": "*", "subVersion": "0",
            "expressionType": "TAG",
        })
    for _ in range(50):
        peer = socket.socket()
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        peer.connect(("127.0.0.1", world.server.broker_port))
        peer.setblocking(False)
        try:
            for _ in range(2000):
                peer.send(request)
        except BlockingIOError:
            pass
        crowd.append(peer)
    speed, worst = rate(world, 3)
    grown = (status(world, "VmRSS") - before) / 1024
    say(f"50 slow readers: {grown:.0f} MB more, {speed:.0f} sends a second, longest wait {worst * 1000:.0f} ms")
    assert grown < 200 and speed > 100 and worst < 5
    for peer in crowd:
        peer.close()
