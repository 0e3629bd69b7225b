"""Clocks that jump and processes that freeze."""

import json
import signal
import time

import pytest

from apus import eventually
from clocks import Clock
from ledger import TIMER, body_of
from wire import Peer, send_fields
from world import World


@pytest.mark.parametrize("flush", ["ASYNC_FLUSH", "SYNC_FLUSH"])
def test_nothing_is_lost_when_the_clock_jumps(tmp_path, seed, flush):
    clock = Clock(tmp_path)
    world = World(tmp_path / "w", seed, flush, environment=clock.environment)
    try:
        world.start()
        world.make_topics()
        for seconds in (3600, -7200, 5, 86_400, -86_400 * 30, 0):
            world.work(0.15)
            clock.set(seconds)
            world.work(0.15)
            world.look()
            world.kill()
            world.start()
            world.look()
        # Timers that were set while the clock was ahead are due when the true time is there; those at hand come now.
        clock.set(86_400 + 60)
        world.settle()
    finally:
        world.close()


def test_a_timer_is_early_by_no_more_than_the_jump(tmp_path, seed):
    check_timers(tmp_path, seed, Clock(tmp_path))


def test_a_timer_that_is_earlier_than_the_jump_is_caught(tmp_path, seed):
    """The clock jumps by twice what the test says."""
    with pytest.raises(AssertionError, match="a timer of 6 s came after"):
        check_timers(tmp_path, seed, Clock(tmp_path, "JUMPS_TWICE"))


def check_timers(folder, seed, clock):
    world = World(folder / "w", seed, "ASYNC_FLUSH", environment=clock.environment)
    world.start()
    world.make_topics()
    try:
        with world.peer() as peer:
            entry = world.ledger.add("late", TIMER, 10)
            start = time.monotonic()
            header, _ = peer.call(
                310, send_fields("late", 0, {"UNIQ_KEY": "U", "TIMER_DELAY_MS": "6000"}), body_of(entry.number, 10))
            assert header["code"] == 0
            clock.set(3)
            eventually(lambda: came(peer), within=30, what="the timer")
            passed = time.monotonic() - start
            assert passed > 2.9, f"a timer of 6 s came after {passed:.2f} s, the clock jumped by 3"
            # Back: it waits longer, and comes.
            start = time.monotonic()
            peer.call(310, send_fields("late", 0, {"UNIQ_KEY": "V", "TIMER_DELAY_MS": "2000"}), body_of(entry.number, 10))
            clock.set(1)
            eventually(lambda: came(peer) == 2, within=30, what="the second timer")
            assert time.monotonic() - start > 1.9
    finally:
        world.close()


def came(peer):
    return int(peer.call(30, {"topic": "late", "queueId": "0"})[0]["extFields"]["offset"])


def test_a_lock_is_safe_from_the_wall_clock(tmp_path, seed):
    check_locks(tmp_path, seed, Clock(tmp_path), (3600, -3600, 100_000, 0))


def test_a_lock_that_follows_the_wall_clock_is_caught(tmp_path, seed):
    """The clock that nobody sets jumps with the one that everybody sees: locks last 60 s of it, and connections 120 s."""
    with pytest.raises(AssertionError, match="the lock was given away when the clock jumped"):
        check_locks(tmp_path, seed, Clock(tmp_path, "JUMPS_ALL"), (70,))


def check_locks(folder, seed, clock, jumps):
    world = World(folder / "w", seed, "ASYNC_FLUSH", environment=clock.environment)
    world.start()
    world.make_topics()
    # The first pull makes the group.
    world.work(0.05)
    world.look()
    try:
        with Peer(world.server.ready["namesrv"]) as names:
            _, route = names.call(105, {"topic": "plain"})
        broker = json.loads(route)["queueDatas"][0]["brokerName"]
        with world.peer() as one, world.peer() as two:
            assert lock(one, "one", broker), "nobody has it"
            for seconds in jumps:
                clock.set(seconds)
                assert not lock(two, "two", broker), f"the lock was given away when the clock jumped to {seconds:+d} s"
                assert lock(one, "one", broker)
    finally:
        world.close()


def lock(peer, client, broker):
    body = {
        "consumerGroup": "faults", "clientId": client, "mqSet": [{"topic": "plain", "brokerName": broker, "queueId": 0}],
    }
    header, answer = peer.call(41, {}, json.dumps(body).encode())
    assert header["code"] == 0, header
    return bool(json.loads(answer).get("lockOKMQSet"))


@pytest.mark.parametrize("flush", ["ASYNC_FLUSH", "SYNC_FLUSH"])
def test_a_frozen_process_goes_on_where_it_was(tmp_path, seed, flush):
    world = World(tmp_path / "w", seed, flush)
    world.start()
    world.make_topics()
    try:
        for _ in range(3):
            process = world.server.process
            peer = world.peer()
            for _ in range(100):
                world.post_something(peer)
            peer.push()
            process.send_signal(signal.SIGSTOP)
            time.sleep(1.0)
            process.send_signal(signal.SIGCONT)
            deadline = time.monotonic() + 20
            while peer.waiting and time.monotonic() < deadline:
                peer.push()
                peer.pump(0.1)
            assert not peer.waiting, "requests from before the freeze were not answered"
            peer.close()
            world.work(0.1)
            world.look()
        world.settle()
    finally:
        world.close()
