"""Quotas over real connections: what gets through, what waits, and what goes on beside it."""

import time

import pytest

from clocks import Clock
from wire import Peer, send_fields
from world import World

RATE = 200
SECONDS = 5


def produce(world, topic, seconds):
    """Sends with 32 requests under way; returns how many were stored, and how many refused."""
    stored = refused = 0

    def answered(header, _):
        nonlocal stored, refused
        if header["code"] == 0:
            stored += 1
        else:
            refused += 1

    with world.peer() as peer:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            while len(peer.waiting) < 32:
                peer.post(310, send_fields(topic, 0, {}), bytes(100), answered)
            peer.push()
            peer.pump(0.05)
            assert not peer.is_gone, "the connection was closed"
    return stored, refused


def maximum(peer, topic):
    return int(peer.call(30, {"topic": topic, "queueId": "0"})[0]["extFields"]["offset"])


def check_quota(folder, seed, environment=None):
    world = World(folder / "w", seed, "ASYNC_FLUSH", environment=environment)
    world.start()
    try:
        world.make_topics()
        world.server.run("topic", "update", "plain", "--quota-send-messages", str(RATE))
        # What the bucket holds by now, a second's worth, goes first.
        produce(world, "plain", 1.5)
        with Peer(world.server.broker_port) as peer:
            begin, start = maximum(peer, "plain"), time.monotonic()
            stored, refused = produce(world, "plain", SECONDS)
            passed, count = time.monotonic() - start, maximum(peer, "plain") - begin
        # Whoever had just stopped left some behind, of which the broker had taken up to 32.
        allowed = RATE * passed * 1.05 + 64
        assert count <= allowed, f"{count} messages in {passed:.1f} s got through a quota of {RATE} a second"
        assert count >= RATE * passed * 0.5 - 64, f"a quota of {RATE} a second let only {count} through in {passed:.1f} s"
        other, _ = produce(world, "ordered", 1)
        assert other > RATE, "a quota held up a topic that has none"
    finally:
        world.close()


def test_a_topic_takes_what_its_quota_allows_and_no_more(tmp_path, seed):
    check_quota(tmp_path, seed)


def test_a_quota_that_lets_too_much_through_is_caught(tmp_path, seed):
    """For the broker time goes four times as fast, so its buckets fill four times as fast."""
    with pytest.raises(AssertionError, match="got through a quota of 200 a second"):
        check_quota(tmp_path, seed, Clock(tmp_path, "RUNS_FAST").environment)
