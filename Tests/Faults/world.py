"""A broker that is killed again and again while messages of every kind come in, and the accounting after each start."""

import json
import pathlib
import random
import shutil
import sys
import time

from ledger import ACKNOWLEDGED, HALF, PLAIN, REFUSED, TIMER, UNKNOWN, Ledger, account, body_of, forget
from wire import Gone, Peer, physical_of, read_queue, send_fields

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "Integration"))

from apus import Server  # noqa: E402

TOPICS = {"plain": 4, "ordered": 2, "batch": 2, "late": 2, "tx": 2}
COMMIT, ROLLBACK = 8, 12
# Returned by a strike after which no answer counts.
DEAF = object()
# Small files, so that segments and files of queues are rolled and made all the time.
SETTINGS = (
    "mappedFileSizeCommitLog=2097152", "mappedFileSizeConsumeQueue=2000", "transactionTimeOut=3600000", "logLevel=info",
    "maxHashSlotNum=1000", "maxIndexNum=4000",
)


class Broken(AssertionError):
    """A promise was broken; the text names seed and cycle."""


class World:
    """One store and its whole life."""

    def __init__(self, folder, seed, flush, settings=(), store=None, loss_allowed=False, settings_base=SETTINGS, wrap=(), environment=None):
        self.folder = pathlib.Path(folder)
        self.seed = seed
        self.chance = random.Random(seed)
        self.flush = flush
        self.server = Server(self.folder, f"flushDiskType={flush}", *settings_base, *settings)
        self.server.wrap, self.server.environment = list(wrap), dict(environment or {})
        if store is not None:
            self.server.store = pathlib.Path(store)
        self.loss_allowed = loss_allowed
        self.ledger = Ledger()
        self.cycle = 0
        self.connections = 0
        # Where the next look at each queue begins.
        self.verified = {}
        # Topics and offsets: what was acknowledged, and all that was asked for.
        self.topics = {}
        self.offsets = {}
        self.lost = 0
        self.max_delay_end = 0.0
        # The store has failed: topics and offsets that nobody was told about may be in the broker's memory and nowhere else.
        self.is_failed = False

    # Starting, reading back

    def start(self):
        self.server.start(within=60)
        self.log_tail = self.server.log

    def peer(self):
        return Peer(self.server.broker_port)

    def broken(self, violations):
        lines = "\n".join(violations[:20])
        return Broken(
            f"seed {self.seed}, cycle {self.cycle}, {self.flush}, {self.folder}: {len(violations)} violations\n{lines}\n"
            f"{self.server.tail()}")

    def look(self, everything=False, due=False, after_loss=False):
        """Reads back what may be new (or everything) and compares it with the ledger."""
        violations = []
        with self.peer() as peer:
            self.check_topics(peer, violations, after_loss)
            self.check_offsets(peer, violations, after_loss)
            stored, start = {}, {}
            for topic, queues in TOPICS.items():
                for queue in range(queues):
                    begin = 0 if everything else max(0, self.verified.get((topic, queue), 0) - 40)
                    found, maximum = self.read(peer, topic, queue, begin)
                    if found is None:
                        continue
                    if maximum < begin:
                        # Shorter than what was there: read all that is left, and let the accountant see what is missing.
                        begin = 0
                        found, maximum = self.read(peer, topic, queue, 0)
                    stored[topic, queue], start[topic, queue] = found, begin
                    self.verified[topic, queue] = maximum
                    if maximum - begin != len(found):
                        violations.append(f"gap: {topic}/{queue} has {len(found)} records from {begin} to {maximum}")
        verdict = account(
            self.ledger, stored, start, loss_allowed=after_loss and self.loss_allowed, due=due, after_power_cut=after_loss)
        violations += verdict.violations
        if violations:
            raise self.broken(violations)
        forget(self.ledger, verdict.lost)
        self.lost += len(verdict.lost)
        return verdict

    def read(self, peer, topic, queue, begin):
        header, _ = peer.call(30, {"topic": topic, "queueId": str(queue)})
        if header["code"] != 0:
            # No message ever went there.
            return None, 0
        return read_queue(peer, topic, queue, begin) if int(header["extFields"]["offset"]) > begin else ([], int(header["extFields"]["offset"]))

    def check_topics(self, peer, violations, after_loss):
        _, body = peer.call(21)
        known = json.loads(body)["topicConfigTable"] if body else {}
        for name, (queues, outcome) in list(self.topics.items()):
            if outcome != ACKNOWLEDGED:
                if name not in known:
                    del self.topics[name]
                elif not self.is_failed:
                    self.topics[name] = (queues, ACKNOWLEDGED)
            elif name not in known:
                if after_loss and self.loss_allowed:
                    del self.topics[name]
                else:
                    violations.append(f"lost: topic {name}, which was acknowledged")
            elif known[name]["writeQueueNums"] != queues:
                violations.append(f"altered: topic {name} has {known[name]['writeQueueNums']} queues, not {queues}")

    def check_offsets(self, peer, violations, after_loss):
        for (group, queue), (acknowledged, asked) in self.offsets.items():
            header, _ = peer.call(14, {"consumerGroup": group, "topic": "plain", "queueId": str(queue)})
            if header["code"] != 0:
                if acknowledged and not (after_loss and self.loss_allowed):
                    violations.append(f"lost: offset {acknowledged} of {group} in plain/{queue}: {header}")
                self.offsets[group, queue] = (0, {0})
                continue
            found = int(header["extFields"]["offset"])
            if found not in asked and found != 0:
                violations.append(f"phantom: offset {found} of {group} in plain/{queue}, which nobody committed")
            if found < acknowledged and not (after_loss and self.loss_allowed):
                violations.append(f"lost: {group} in plain/{queue} stands at {found}, acknowledged was {acknowledged}")
            if self.is_failed:
                continue
            self.offsets[group, queue] = (found, {offset for offset in asked if offset <= found} | {found})

    # Work

    def work(self, seconds, window=48, strike=None):
        """Keeps requests of every kind under way for `seconds`, then calls `strike` in the middle of them and reads what the
        broker still had answered."""
        self.connections += 1
        peer = self.peer()
        end = time.monotonic() + seconds
        while time.monotonic() < end and not peer.is_gone:
            while len(peer.waiting) < window:
                self.post_something(peer)
            peer.push()
            peer.pump(0.01)
        for _ in range(self.chance.randrange(0, window)):
            self.post_something(peer)
        peer.push()
        if strike is not None:
            # What was answered by now counts. After a power cut nobody hears anything; a file system that is shut down still
            # lets a synchronisation under way return, and ext4 then calls it done.
            peer.pump(0)
            if strike() is not DEAF:
                peer.drain()
        else:
            deadline = time.monotonic() + 20
            while peer.waiting and not peer.is_gone and time.monotonic() < deadline:
                peer.push()
                peer.pump(0.1)
            assert not peer.waiting or peer.is_gone, f"{len(peer.waiting)} requests were never answered"
        peer.close()

    def size(self):
        return self.chance.choice((0, 10, 100, 100, 100, 1000, 4000))

    def post_something(self, peer):
        what = self.chance.random()
        if what < 0.62:
            self.post_plain(peer, self.chance.choice(("plain", "plain", "ordered")))
        elif what < 0.72:
            self.post_batch(peer)
        elif what < 0.80:
            self.post_timer(peer)
        elif what < 0.90:
            self.post_half(peer)
        elif what < 0.98:
            self.post_offset(peer)
        else:
            self.post_topic(peer)

    def take(self, entry):
        """What an answer to a send says about the entry."""

        def answered(header, _):
            if header["code"] != 0:
                # 10: stored, and not flushed in time. Then nothing is known.
                entry.outcome = entry.outcome if header["code"] == 10 else REFUSED
                return
            fields = header["extFields"]
            entry.outcome = ACKNOWLEDGED
            entry.physical = physical_of(fields["msgId"])
            if entry.kind == PLAIN:
                entry.queue, entry.offset = int(fields["queueId"]), int(fields["queueOffset"])

        return answered

    def post_plain(self, peer, topic):
        queue = self.chance.randrange(TOPICS[topic])
        entry = self.ledger.add(topic, PLAIN, self.size(), self.connections, queue)
        named = {"UNIQ_KEY": f"U{entry.number}", "KEYS": f"k{entry.number % 100}"}
        peer.post(310, send_fields(topic, queue, named), body_of(entry.number, entry.size), self.take(entry))

    def post_batch(self, peer):
        queue = self.chance.randrange(TOPICS["batch"])
        entries = [
            self.ledger.add("batch", PLAIN, self.size(), self.connections, queue)
            for _ in range(self.chance.randrange(2, 6))
        ]
        data = b""
        for entry in entries:
            body = body_of(entry.number, entry.size)
            named = f"UNIQ_KEY\x01U{entry.number}".encode()
            data += (20 + 2 + len(body) + len(named)).to_bytes(4, "big") + bytes(4) + bytes(4) + bytes(4)
            data += len(body).to_bytes(4, "big") + body + len(named).to_bytes(2, "big") + named

        def answered(header, _):
            for index, entry in enumerate(entries):
                if header["code"] not in (0, 10):
                    # All or nothing, on a full disk too.
                    entry.outcome = REFUSED
                elif header["code"] == 0:
                    fields = header["extFields"]
                    entry.outcome = ACKNOWLEDGED
                    entry.physical = physical_of(fields["msgId"].split(",")[index])
                    entry.offset = int(fields["queueOffset"]) + index

        peer.post(320, send_fields("batch", queue, {}, is_batch=True), data, answered)

    def post_timer(self, peer):
        entry = self.ledger.add("late", TIMER, self.size(), self.connections)
        delay = self.chance.choice((1, 50, 400, 1500))
        self.max_delay_end = max(self.max_delay_end, time.time() + delay / 1000)
        named = {"UNIQ_KEY": f"U{entry.number}", "TIMER_DELAY_MS": str(delay)}
        queue = self.chance.randrange(TOPICS["late"])
        peer.post(310, send_fields("late", queue, named), body_of(entry.number, entry.size), self.take(entry))

    def post_half(self, peer):
        queue = self.chance.randrange(TOPICS["tx"])
        entry = self.ledger.add("tx", HALF, self.size(), self.connections, queue)
        named = {"UNIQ_KEY": f"U{entry.number}", "TRAN_MSG": "true", "PGROUP": "faults-tx"}
        take = self.take(entry)
        end = self.chance.choice(("commit", "commit", "rollback", None))

        def answered(header, body):
            take(header, body)
            if header["code"] == 0:
                entry.half = (header["extFields"]["queueOffset"], str(entry.physical))
                if end:
                    self.post_end(peer, entry, end)

        peer.post(310, send_fields("tx", queue, named, group="faults-tx"), body_of(entry.number, entry.size), answered)

    def post_end(self, peer, entry, end):
        entry.end = end

        def answered(header, _):
            if header["code"] == 0:
                entry.end_outcome = ACKNOWLEDGED

        peer.post(
            37,
            {
                "producerGroup": "faults-tx", "tranStateTableOffset": entry.half[0], "commitLogOffset": entry.half[1],
                "commitOrRollback": str(COMMIT if end == "commit" else ROLLBACK), "fromTransactionCheck": "false",
                "msgId": f"U{entry.number}",
            },
            answered=answered,
        )

    def post_offset(self, peer):
        queue = self.chance.randrange(TOPICS["plain"])
        key = (f"g{self.chance.randrange(3)}", queue)
        acknowledged, asked = self.offsets.get(key, (0, {0}))
        offset = max(asked) + self.chance.randrange(1, 3)
        if offset > self.verified.get(("plain", queue), 0):
            # Beyond what is known to be there.
            return
        asked.add(offset)
        self.offsets[key] = (acknowledged, asked)

        def answered(header, _):
            if header["code"] == 0:
                now, all_asked = self.offsets[key]
                self.offsets[key] = (max(now, offset), all_asked)

        peer.post(
            15, {"consumerGroup": key[0], "topic": "plain", "queueId": str(queue), "commitOffset": str(offset)},
            answered=answered)

    def post_topic(self, peer):
        name = f"made-{len(self.topics)}-{self.cycle}"
        queues = self.chance.randrange(1, 9)
        if name in self.topics or len(self.topics) > 300:
            return
        self.topics[name] = (queues, "unknown")

        def answered(header, _):
            if header["code"] == 0:
                self.topics[name] = (queues, ACKNOWLEDGED)

        peer.post(
            17,
            {
                "topic": name, "defaultTopic": "TBW102", "readQueueNums": str(queues), "writeQueueNums": str(queues),
                "perm": "6", "topicFilterType": "SINGLE_TAG", "topicSysFlag": "0", "order": "false",
            },
            answered=answered)

    # The end of a store's life

    def make_topics(self):
        """The topics of the workload, with as many queues as it says."""
        with self.peer() as peer:
            for topic, queues in TOPICS.items():
                header, _ = peer.call(
                    17,
                    {
                        "topic": topic, "defaultTopic": "TBW102", "readQueueNums": str(queues),
                        "writeQueueNums": str(queues), "perm": "6", "topicFilterType": "SINGLE_TAG",
                        "topicSysFlag": "0", "order": "false",
                    })
                assert header["code"] == 0, header

    def settle(self, after_loss=False):
        """Ends what is open, waits until every timer must have fired, and reads everything back. `after_loss` is for stores
        that lost pending records in the cycle before."""
        with self.peer() as peer:
            for entry in list(self.ledger.entries.values()):
                if entry.kind == HALF and entry.end == "commit" and entry.half and entry.end_outcome == UNKNOWN:
                    self.post_end(peer, entry, "commit")
            peer.push()
            deadline = time.monotonic() + 30
            while peer.waiting and time.monotonic() < deadline:
                peer.pump(0.1)
        deadline = time.monotonic() + 30 + max(0.0, self.max_delay_end - time.time())
        while True:
            late = self.timers_missing()
            if not late or time.monotonic() > deadline:
                break
            time.sleep(0.1)
        return self.look(everything=True, due=True)

    def timers_missing(self):
        with self.peer() as peer:
            found = set()
            for queue in range(TOPICS["late"]):
                header, _ = peer.call(30, {"topic": "late", "queueId": str(queue)})
                if header["code"] == 0:
                    found |= {int(r.body[1:11]) for r in read_queue(peer, "late", queue)[0]}
        return [
            entry for entry in self.ledger.entries.values()
            if entry.kind == TIMER and entry.outcome == ACKNOWLEDGED and entry.number not in found
        ]

    def kill(self):
        self.server.kill()

    def close(self):
        if self.server.process is not None:
            self.server.kill()


def kill_cycles(folder, cycles, flush, seed, per_store=25, say=lambda text: None):
    """`cycles` times: start, read back and compare, work, kill -9 in the middle. Returns what was counted."""
    counted = {"cycles": 0, "acknowledged": 0, "unknown": 0, "read": 0}
    number = 0
    begin = time.monotonic()
    while counted["cycles"] < cycles:
        home = folder / f"store-{flush}-{number}"
        # What a run that found something left behind.
        shutil.rmtree(home, ignore_errors=True)
        world = World(home, seed + number, flush)
        try:
            world.start()
            world.make_topics()
            for world.cycle in range(min(per_store, cycles - counted["cycles"])):
                world.work(world.chance.choice((0.005, 0.02, 0.05, 0.1)), strike=world.kill)
                world.start()
                counted["read"] += world.look().read
                counted["cycles"] += 1
            counted["read"] += world.settle().read
        finally:
            world.close()
        counted["acknowledged"] += world.ledger.count()
        counted["unknown"] += world.ledger.count("unknown")
        say(f"{counted['cycles']} cycles of kill -9 ({flush}), {counted['acknowledged']} acknowledged, "
            f"{counted['read']} read back, {time.monotonic() - begin:.0f} s")
        shutil.rmtree(world.folder)
        number += 1
    return counted


def power_cycles(folder, kind, cycles, flush, seed, per_store=20, say=lambda text: None, **options):
    """As kill_cycles, with the power cut: the file system is shut down without writing anything more, the process dies, and the
    file system is mounted again. `make_world` builds the world, for negative controls."""
    from mounts import LoopMount, write_back_some

    counted = {"cycles": 0, "acknowledged": 0, "unknown": 0, "read": 0, "lost": 0}
    mount = LoopMount(pathlib.Path(folder) / f"{kind}-{flush}-{seed}", kind)
    begin = time.monotonic()
    number = 0
    try:
        while counted["cycles"] < cycles:
            store = mount.path / "store"
            world = World(
                mount.folder / f"logs-{number}", seed + number, flush, store=store, loss_allowed=flush != "SYNC_FLUSH",
                **options)

            def strike():
                # Some of what is dirty reaches the medium before the rest, or nothing does.
                if world.chance.random() < 0.7:
                    write_back_some(store, world.chance)
                mount.cut()
                return DEAF

            try:
                world.start()
                world.make_topics()
                for world.cycle in range(min(per_store, cycles - counted["cycles"])):
                    world.work(world.chance.choice((0.01, 0.03, 0.1, 0.3, 0.7)), strike=strike)
                    world.kill()
                    mount.remount()
                    world.start()
                    counted["read"] += world.look(after_loss=True).read
                    counted["cycles"] += 1
                counted["read"] += world.settle(after_loss=True).read
            finally:
                world.close()
            counted["acknowledged"] += world.ledger.count()
            counted["unknown"] += world.ledger.count("unknown")
            counted["lost"] += world.lost
            say(f"{counted['cycles']} power cuts ({kind}, {flush}), {counted['acknowledged']} acknowledged, "
                f"{counted['read']} read back, {counted['lost']} taken by asynchronous flush, {time.monotonic() - begin:.0f} s")
            shutil.rmtree(store)
            number += 1
    finally:
        mount.remove()
    return counted
