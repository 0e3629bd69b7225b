"""What was sent, what the broker said to it, and whether a store that is read back agrees.

The ledger is written while faults happen; the accountant judges afterwards. An entry is acknowledged only when the broker's OK was
read from the socket; what was sent and not answered is unknown: it may be in the store, once, or not.
"""

import random
import zlib
from dataclasses import dataclass, field

_PATTERN = random.Random(4).randbytes(1 << 16)

PLAIN, TIMER, HALF = "plain", "timer", "half"
# Seen: a consumer had it, and nobody was told that it is safe.
UNKNOWN, SEEN, ACKNOWLEDGED, REFUSED = "unknown", "seen", "acknowledged", "refused"


def body_of(number, size):
    """The body of message `number`: its name, then bytes that no other message has in this place."""
    name = b"m%010d:%06d:" % (number, size)
    start = number * 7919 % (len(_PATTERN) // 2)
    return name + _PATTERN[start : start + size]


def number_of(body):
    """The number that a body names, or None."""
    try:
        return int(body[1:11]) if body[:1] == b"m" and body[11:12] == b":" else None
    except ValueError:
        return None


@dataclass
class Entry:
    number: int
    topic: str
    kind: str
    size: int
    crc: int
    # Sends of one connection to one queue are ordered by their numbers.
    connection: int = 0
    queue: int | None = None
    outcome: str = UNKNOWN
    offset: int | None = None
    # Where the record lies in the log: of a half message and a timer, the record that waits.
    physical: int | None = None
    # Of a half message: None, "commit", "rollback", and whether the broker answered that.
    end: str | None = None
    end_outcome: str = UNKNOWN
    half: tuple | None = None
    is_verified: bool = False

    @property
    def must_be_visible(self):
        """Whether the broker promised that consumers see it (a timer: when it is due)."""
        if self.kind == HALF:
            return self.end == "commit" and {self.end_outcome, self.outcome} <= {ACKNOWLEDGED, SEEN}
        return self.outcome in (ACKNOWLEDGED, SEEN)

    @property
    def may_be_visible(self):
        if self.kind == HALF:
            return self.end == "commit"
        return self.outcome != REFUSED


@dataclass(frozen=True)
class Stored:
    """A record as a consumer got it."""

    topic: str
    queue: int
    offset: int
    physical: int
    body: bytes
    crc_matches: bool = True


@dataclass
class Verdict:
    """`violations` are broken promises, each a sentence. `lost` are entries that a power cut was allowed to take."""

    violations: list = field(default_factory=list)
    lost: list = field(default_factory=list)
    read: int = 0


class Ledger:
    def __init__(self):
        self.entries = {}
        self.next_number = 0
        self.gone = set()

    def add(self, topic, kind, size, connection=0, queue=None):
        number = self.next_number
        self.next_number += 1
        crc = zlib.crc32(body_of(number, size))
        entry = Entry(number, topic, kind, size, crc, connection, queue)
        self.entries[number] = entry
        return entry

    def count(self, outcome=ACKNOWLEDGED):
        return sum(1 for entry in self.entries.values() if entry.outcome == outcome)


def account(ledger, stored, start=None, loss_allowed=False, due=True, after_power_cut=False):
    """Compares the ledger with everything that was read back.

    - stored: for each (topic, queue) its records in the order in which they were read.
    - start: for each (topic, queue) the offset from which it was read; what was verified before and lies in front counts as there.
    - loss_allowed: the newest acknowledged messages may be missing, when everything behind the first missing one is missing too.
    - after_power_cut: what consumers had seen and nobody had acknowledged may be gone, or wait to be delivered again.
    - due: whether timers and ended transactions must have arrived by now.
    """
    verdict = Verdict()
    wrong = verdict.violations.append
    start = start or {}
    seen = {}
    highest_seen = -1
    for (topic, queue), records in stored.items():
        expected = start.get((topic, queue))
        last_physical = -1
        last_number = {}
        for record in records:
            verdict.read += 1
            place = f"{topic}/{queue} at {record.offset}"
            if expected is not None and record.offset != expected:
                wrong(f"gap: {place} came where {expected} should be")
            expected = record.offset + 1
            if record.physical <= last_physical:
                wrong(f"order: the record of {place} lies before its predecessor's")
            last_physical = record.physical
            if not record.crc_matches:
                wrong(f"damaged: {place} was served and does not match its checksum")
            number = number_of(record.body)
            entry = ledger.entries.get(number)
            if entry is None:
                if number in ledger.gone:
                    wrong(f"phantom: {place} is message {number}, which was lost before")
                else:
                    wrong(f"phantom: {place} holds what nobody sent: {record.body[:32]!r}")
                continue
            if entry.topic != topic or (entry.kind != TIMER and entry.queue not in (None, queue)):
                wrong(f"misplaced: {place} is message {number} of {entry.topic}/{entry.queue}")
            if record.body != body_of(number, entry.size) or zlib.crc32(record.body) != entry.crc:
                wrong(f"altered: {place} is message {number} with other bytes")
            if number in seen:
                wrong(f"twice: message {number} is at {seen[number]} and at {place}")
            seen[number] = place
            if not entry.may_be_visible:
                wrong(f"phantom: {place} is message {number}, which was {entry.outcome}, {entry.end or 'not committed'}")
            if entry.kind == PLAIN:
                if entry.offset is not None and entry.offset != record.offset:
                    wrong(f"moved: message {number} was acknowledged at {entry.offset} and is at {place}")
                before = last_number.get(entry.connection, -1)
                if number < before:
                    wrong(f"reordered: message {number} is behind {before} of the same sender, {place}")
                last_number[entry.connection] = number
            entry.queue, entry.offset = queue, record.offset
            if entry.kind == PLAIN:
                entry.physical = record.physical
                entry.outcome = ACKNOWLEDGED
            else:
                # It was delivered: until a power cut that counts as an acknowledgement does.
                if entry.outcome == UNKNOWN:
                    entry.outcome = SEEN
                if entry.end_outcome == UNKNOWN:
                    entry.end_outcome = SEEN
            if entry.kind == PLAIN:
                # Timers are delivered after the start, too: only these tell how far the log reached before.
                highest_seen = max(highest_seen, record.physical)
            entry.is_verified = True
    missing = []
    if loss_allowed:
        for entry in ledger.entries.values():
            if entry.kind != PLAIN and not entry.is_verified:
                reopen(entry, highest_seen)
    for entry in ledger.entries.values():
        if entry.number in seen or not entry.must_be_visible:
            continue
        if entry.kind != PLAIN and not due and not entry.is_verified:
            continue
        if entry.is_verified and entry.offset is not None:
            # Only what was read says something about it.
            begin = start.get((entry.topic, entry.queue), 0)
            if entry.offset < begin:
                continue
        missing.append(entry)
    for entry in missing:
        if after_power_cut and not loss_allowed and entry.kind != PLAIN and (entry.kind == TIMER or entry.end_outcome == SEEN):
            # The record that delivered it was not flushed; the one that waits was, if it was acknowledged.
            entry.offset, entry.is_verified = None, False
            entry.end_outcome = UNKNOWN
            if entry.outcome == SEEN:
                entry.outcome = UNKNOWN
        elif not loss_allowed:
            wrong(
                f"lost: message {entry.number} ({entry.kind}) of {entry.topic}/{entry.queue}, acknowledged at offset "
                f"{entry.offset}, log {entry.physical}")
        elif entry.kind != PLAIN:
            reopen(entry, highest_seen)
        elif entry.physical is not None and entry.physical < highest_seen:
            wrong(
                f"hole: message {entry.number} at {entry.physical} of the log is lost, and one at {highest_seen} is there")
        else:
            verdict.lost.append(entry)
    return verdict


def reopen(entry, survived):
    """The power cut took the record with which a waiting message was delivered: it waits again, if the log still has what waits."""
    entry.offset = None
    entry.is_verified = False
    entry.end_outcome = UNKNOWN
    if entry.outcome == REFUSED:
        return
    if entry.outcome == SEEN or entry.physical is None or entry.physical > survived:
        entry.outcome = UNKNOWN


def forget(ledger, entries):
    """What a power cut took was lost for good: it must not come back."""
    for entry in entries:
        ledger.entries.pop(entry.number, None)
        ledger.gone.add(entry.number)
