"""The accountant catches what it is there for. Runs without a broker, with `make test`."""

import pytest

from ledger import ACKNOWLEDGED, HALF, PLAIN, REFUSED, TIMER, Ledger, Stored, account, body_of, forget


def world(count=10):
    """A ledger with `count` acknowledged messages in one queue, and the queue as it should read."""
    ledger = Ledger()
    stored = []
    for index in range(count):
        entry = ledger.add("t", PLAIN, 100 + index, connection=1, queue=0)
        entry.outcome, entry.offset, entry.physical = ACKNOWLEDGED, index, 1000 * index
        stored.append(Stored("t", 0, index, 1000 * index, body_of(entry.number, entry.size)))
    return ledger, stored


def judge(ledger, stored, **options):
    return account(ledger, {("t", 0): stored}, {("t", 0): stored[0].offset if stored else 0}, **options)


def words(verdict):
    return sorted({violation.split(":")[0] for violation in verdict.violations})


def test_what_is_as_it_was_sent_is_right():
    verdict = judge(*world())
    assert verdict.violations == [] and verdict.read == 10 and verdict.lost == []


def test_a_missing_message_is_lost():
    ledger, stored = world()
    assert words(judge(ledger, stored[:-1])) == ["lost"]
    ledger, stored = world()
    assert words(judge(ledger, stored[:4] + stored[5:])) == ["gap", "lost"]


def test_the_newest_may_be_missing_after_a_power_cut_and_a_hole_may_not():
    ledger, stored = world()
    verdict = judge(ledger, stored[:7], loss_allowed=True)
    assert verdict.violations == [] and len(verdict.lost) == 3
    ledger, stored = world()
    moved = stored[:4] + [Stored("t", 0, s.offset - 1, s.physical, s.body) for s in stored[5:]]
    assert "hole" in words(judge(ledger, moved, loss_allowed=True))


def test_what_was_lost_must_not_come_back():
    ledger, stored = world()
    forget(ledger, judge(ledger, stored[:7], loss_allowed=True).lost)
    assert words(judge(ledger, stored)) == ["phantom"]


def test_what_nobody_sent_is_a_phantom():
    ledger, stored = world()
    assert words(judge(ledger, stored + [Stored("t", 0, 10, 99_000, b"hello")])) == ["phantom"]
    assert words(judge(ledger, stored + [Stored("t", 0, 10, 99_000, body_of(77, 10))])) == ["phantom"]


def test_a_refused_message_must_not_be_there():
    ledger, stored = world()
    ledger.entries[9].outcome = REFUSED
    assert words(judge(ledger, stored)) == ["phantom"]


def test_other_bytes_are_noticed():
    for position in (0, 5, 20, 90):
        ledger, stored = world()
        body = bytearray(stored[3].body)
        body[position] ^= 1
        stored[3] = Stored("t", 0, 3, 3000, bytes(body))
        assert judge(ledger, stored).violations, position
    ledger, stored = world()
    stored[3] = Stored("t", 0, 3, 3000, stored[3].body[:-1])
    assert words(judge(ledger, stored)) == ["altered"]


def test_a_record_that_does_not_match_its_checksum_must_not_be_served():
    ledger, stored = world()
    stored[3] = Stored("t", 0, 3, 3000, stored[3].body, crc_matches=False)
    assert words(judge(ledger, stored)) == ["damaged"]


def test_a_message_twice_and_a_message_elsewhere_are_noticed():
    ledger, stored = world()
    assert "twice" in words(judge(ledger, stored + [Stored("t", 0, 10, 99_000, stored[3].body)]))
    ledger, stored = world()
    bodies = [s.body for s in stored]
    bodies[3], bodies[4] = bodies[4], bodies[3]
    swapped = [Stored("t", 0, s.offset, s.physical, body) for s, body in zip(stored, bodies)]
    assert {"moved", "reordered"} <= set(words(judge(ledger, swapped)))


def test_unknown_messages_may_be_there_once_and_in_order():
    ledger, stored = world()
    for number in (8, 9):
        entry = ledger.entries[number]
        entry.outcome, entry.offset, entry.physical = "unknown", None, None
    assert judge(ledger, stored[:8]).violations == []
    ledger, stored = world()
    for number in (8, 9):
        entry = ledger.entries[number]
        entry.outcome, entry.offset, entry.physical = "unknown", None, None
    backwards = stored[:8] + [Stored("t", 0, 8, 8000, stored[9].body), Stored("t", 0, 9, 9000, stored[8].body)]
    assert words(judge(ledger, backwards)) == ["reordered"]


def test_an_unknown_message_that_was_seen_must_stay():
    ledger, stored = world()
    entry = ledger.entries[9]
    entry.outcome, entry.offset, entry.physical = "unknown", None, None
    assert judge(ledger, stored).violations == []
    assert words(judge(ledger, stored[:9])) == ["lost"]


@pytest.mark.parametrize("end, visible, expected", [
    ("commit", True, []), ("commit", False, ["lost"]), ("rollback", True, ["phantom"]), ("rollback", False, []),
    (None, True, ["phantom"]), (None, False, []),
])
def test_a_half_message_is_visible_when_it_was_committed(end, visible, expected):
    ledger = Ledger()
    entry = ledger.add("t", HALF, 10, queue=0)
    entry.outcome, entry.physical, entry.end, entry.end_outcome = ACKNOWLEDGED, 0, end, ACKNOWLEDGED
    stored = [Stored("t", 0, 0, 500, body_of(0, 10))] if visible else []
    assert words(judge(ledger, stored)) == expected


def test_a_timer_may_be_late_and_must_come():
    ledger = Ledger()
    entry = ledger.add("t", TIMER, 10)
    entry.outcome, entry.physical = ACKNOWLEDGED, 0
    assert judge(ledger, [], due=False).violations == []
    assert words(judge(ledger, [], due=True)) == ["lost"]
    assert judge(ledger, [Stored("t", 0, 0, 500, body_of(0, 10))]).violations == []


def test_only_what_was_read_is_judged():
    ledger, stored = world()
    assert judge(ledger, stored).violations == []
    assert judge(ledger, stored[6:]).violations == []
    assert words(judge(ledger, stored[6:9])) == ["lost"]
