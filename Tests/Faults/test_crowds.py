"""Any bytes on any port: other clients keep being served, and nothing grows without bound."""

import multiprocessing
import os
import random
import resource
import socket
import struct
import time

import pytest

from apus import eventually
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
    # Sender and flood share the processors, so this says less about the broker than about the machine; a broker that does
    # nothing else would fail it.
    assert during > 0.25 * alone
    assert worst < 5
    eventually(lambda: descriptors(world) < open_before + 50, within=30, what="the file descriptors of the flood given back")
    assert status(world, "VmRSS") - before < 100 * 1024


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
