import Base
import Bytes
import Model
import Storage

/// What is known of a simulated cluster from outside: what clients meant to send, what was acknowledged, what was seen; and whether
/// that can be true of a broker that keeps its promises.
///
/// It is told of everything as it happens, and complains at once. The names of the promises, P1 to P5, are those of
/// `docs/simulation.md`.
final class Oracle {
    enum Kind: UInt8 { case ordinary, delayed, half }

    /// What a producer makes of a half message.
    enum Decision: UInt8 { case undecided, commit, rollback }

    enum Recall: UInt8 { case never, asked, confirmed }

    /// One message that a client meant to send.
    struct Fact {
        var kind: Kind
        var topic: Int
        /// How often it was handed to the network.
        var attempts = 0
        /// How many of these were refused for want of a quota, and so not stored.
        var refusals = 0
        /// Places in its own topic where it is known to be.
        var copies = 0
        /// An acknowledgement that must be kept, by broker and physical offset; nil when there was none or power took it.
        var kept: (broker: Int, position: Int64)?
        var decision = Decision.undecided
        /// The end of its transaction was acknowledged, and nothing has happened since that may have undone it.
        var isEnded = false
        /// When the wall clock of the broker shows less, it is too early.
        var dueWall: Int64 = -1 << 60
        /// When the world's clock shows less, it is too early, but for clocks that were set. In ms.
        var dueTime: Int64 = -1 << 60
        var recall = Recall.never
        /// It was seen in its own topic at some time.
        var isSeen = false
        /// Nobody promised anything.
        var isExcused = false
    }

    struct QueueKey: Hashable, Comparable {
        var broker: Int
        var topic: Int
        var queue: Int
        static func < (a: Self, b: Self) -> Bool {
            (a.broker, a.topic, a.queue) < (b.broker, b.topic, b.queue)
        }
    }

    struct Place {
        var id: Int
        var physical: Int64
        /// When it was stored by the broker's clock, in ms; nil until it was seen.
        var stored: Int64?
        /// A consumer has received it.
        var isReceived = false
    }

    /// What one consumer group has done.
    final class Group {
        let name: String
        /// Messages that were handled, by id.
        var done: Set<Int> = []
        /// Messages that nobody owes it any more, and why.
        var excused: Set<Int> = []
        /// How far a member has read.
        var reached: [QueueKey: Int64] = [:]
        /// A power cut took what a member had read already: offsets before `offset` that come again from `physical` on.
        var skips: [(queue: QueueKey, offset: Int64, physical: Int64)] = []
        /// Returned for another attempt: acknowledged, and not seen since.
        var returned: [Int: Int] = [:]
        /// Until when a member believes in its lock of a queue, in ms of the world.
        var beliefs: [QueueKey: [String: Int64]] = [:]
        /// The group of the broker that it is, or whose member it is.
        let consumerGroup: String
        /// For one member of a broadcast group: where it has begun in each queue. Nil for a group that shares its queues.
        var joined: [QueueKey: Int64]?

        init(_ name: String) {
            self.name = name
            consumerGroup = name
        }

        /// One member of a broadcast group: it handles everything behind where it began.
        init(member: String, of group: String) {
            name = member
            consumerGroup = group
            joined = [:]
        }

        /// Whether it has to handle what is at `offset`.
        func wants(_ queue: QueueKey, _ offset: Int64) -> Bool {
            guard let joined else { return true }
            return joined[queue].map { $0 <= offset } ?? false
        }

        func excuseReturned() {
            excused.formUnion(returned.keys)
            returned = [:]
        }
    }

    unowned let world: ClusterSimulation
    private(set) var facts: [Fact] = []
    private(set) var places: [QueueKey: [Int64: Place]] = [:]
    let groups: [Group]
    let replies: ReplyLedger
    let retention: RetentionWatch
    let quotas: QuotaWatch
    /// For each producer and queue, the last offset that was acknowledged.
    private var lastOffsets: [String: Int64] = [:]
    /// What a committed offset must be at least, and what was asked last.
    private(set) var committed: [QueueKey: (kept: Int64, asked: Int64)] = [:]

    init(_ world: ClusterSimulation, groups: [Group]) {
        self.world = world
        self.groups = groups
        replies = ReplyLedger(world)
        retention = RetentionWatch(world)
        quotas = QuotaWatch(world)
    }

    func group(_ name: String) -> Group {
        guard let group = groups.first(where: { $0.name == name }) else { preconditionFailure("no group \(name)") }
        return group
    }

    // MARK: - What is sent

    func newFact(_ kind: Kind, topic: Int) -> Int {
        facts.append(Fact(kind: kind, topic: topic))
        facts[facts.count - 1].isExcused = world.isTemporary(topic)
        return facts.count - 1
    }

    func change(_ id: Int, _ body: (inout Fact) -> Void) { body(&facts[id]) }

    /// The body that belongs to a message: its number, then what follows from the number and the seed.
    static func body(_ id: Int, seed: UInt64) -> [UInt8] {
        var state = seed &* 0x9E37_79B9_7F4A_7C15 ^ UInt64(id)
        func mix() -> UInt64 {
            state &+= 0x9E37_79B9_7F4A_7C15
            var z = state
            z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
            z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
            return z ^ (z >> 31)
        }
        let first = mix()
        let words = first % 16 == 0 ? 2 + Int(first >> 8 % 300) : 2 + Int(first >> 8 % 24)
        var body: [UInt8] = []
        body.reserveCapacity(words * 8)
        func append(_ word: UInt64) {
            for shift in stride(from: UInt64(56), through: 0, by: -8) {
                body.append(UInt8(truncatingIfNeeded: word >> shift))
            }
        }
        append(UInt64(id))
        for _ in 1..<words { append(mix()) }
        return body
    }

    // MARK: - What is acknowledged

    /// A message was acknowledged at a place in a queue.
    func acknowledged(_ id: Int, _ queue: QueueKey, offset: Int64, physical: Int64, producer: String?) {
        let isKept = facts[id].kept != nil
        if !isKept { facts[id].kept = (queue.broker, physical) }
        guard facts[id].kind == .ordinary, !world.isTemporary(queue.topic) else { return }
        put(id, queue, offset, physical)
        guard let producer, !isKept else { return }
        let name = "\(producer) \(queue)"
        if let last = lastOffsets[name], last >= offset {
            world.fail(
                "P2",
                "message \(id) was acknowledged at \(offset) of \(queue), behind one at \(last) that was sent later")
        }
        lastOffsets[name] = offset
    }

    private func put(_ id: Int, _ queue: QueueKey, _ offset: Int64, _ physical: Int64, stored: Int64? = nil) {
        if let known = places[queue]?[offset] {
            if known.id == id, known.physical == physical {
                if known.stored == nil, let stored { places[queue]?[offset]?.stored = stored }
                return
            }
            // Entries of consume queues have no checksum.
            guard !world.profile.forgivesLoss else { return }
            return world.fail(
                "P2",
                "offset \(offset) of \(world.describe(queue)) shows message \(id) at \(physical), and showed \(known.id) at "
                    + "\(known.physical)")
        }
        places[queue, default: [:]][offset] = Place(id: id, physical: physical, stored: stored)
        guard queue.topic == facts[id].topic else { return }
        facts[id].copies += 1
        facts[id].isSeen = true
        if facts[id].copies > max(1, facts[id].attempts) {
            world.fail(
                "P2", "message \(id) is there \(facts[id].copies) times and was sent \(facts[id].attempts) times")
        }
        checkRefusals(id)
    }

    // MARK: - What is refused

    /// An attempt to send the message was refused for want of a quota: it is not stored.
    func refused(_ id: Int) {
        facts[id].refusals += 1
        checkRefusals(id)
    }

    private func checkRefusals(_ id: Int) {
        let fact = facts[id]
        guard fact.refusals > 0, fact.copies > fact.attempts - fact.refusals else { return }
        world.fail(
            "P2",
            "message \(id) is there \(fact.copies) times, was sent \(fact.attempts) times, and refused \(fact.refusals) of them"
        )
    }

    // MARK: - What is seen

    /// A record was served.
    /// - Returns: the message's number.
    func seen(_ record: MessageRecord, _ span: RawSpan, _ queue: QueueKey) -> Int? {
        let body = span.extracting(record.body)
        guard record.bodyMatchesCRC(in: span), body.byteCount >= 16 else {
            world.fail("P3", "\(world.describe(queue)) served bytes that fail their checksum, at \(record.queueOffset)")
            return nil
        }
        let number = body.bigEndian(at: 0, as: UInt64.self)
        guard number < UInt64(facts.count) else {
            world.fail("P3", "\(world.describe(queue)) shows a message that nobody sent, at \(record.queueOffset)")
            return nil
        }
        let id = Int(number)
        guard Self.body(id, seed: world.seed).withUnsafeBytes({ body.equals(RawSpan(_unsafeBytes: $0)) }) else {
            world.fail("P3", "\(world.describe(queue)) served message \(id) with other bytes")
            return nil
        }
        let fact = facts[id]
        guard fact.topic == queue.topic || world.isRetry(queue.topic) else {
            world.fail("P2", "message \(id) of \(world.topicName(fact.topic)) is in \(world.describe(queue))")
            return nil
        }
        guard record.queueID.rawValue == Int32(queue.queue) else {
            world.fail("P2", "\(world.describe(queue)) shows a message of queue \(record.queueID)")
            return nil
        }
        if fact.topic == queue.topic { checkKind(id, fact, record, queue) }
        if !world.isTemporary(queue.topic) {
            put(
                id, queue, record.queueOffset.rawValue, record.physicalOffset.rawValue,
                stored: record.storeTimestamp.milliseconds)
            if world.profile.hasQuotas, fact.kind == .ordinary, fact.topic == queue.topic {
                quotas.seen(record, queue)
            }
        }
        return id
    }

    /// A record was served to a consumer.
    /// - Returns: the message's number.
    func received(_ record: MessageRecord, _ span: RawSpan, _ queue: QueueKey) -> Int? {
        guard let id = seen(record, span, queue) else { return nil }
        if !world.isTemporary(queue.topic) { places[queue]?[record.queueOffset.rawValue]?.isReceived = true }
        return id
    }

    /// The records of an answer to a consumer, which is to have no holes from `offset` on.
    /// - Returns: offsets and numbers of the messages; those before the first that is wrong.
    func received(
        _ answer: ReceivedFrame, _ queue: QueueKey, from offset: Int64,
        _ body: ((MessageRecord, RawSpan, Int) -> Void)? = nil
    ) -> [(offset: Int64, id: Int)] {
        let input = answer.input
        let span = input.bytes.extracting(answer.body)
        var found: [(offset: Int64, id: Int)] = []
        var position = 0
        var expected = offset
        while position < span.byteCount {
            let rest = span.extracting(position..<span.byteCount)
            guard let record = try? MessageRecord(rest) else {
                world.fail("P3", "\(world.describe(queue)) served something that is no record")
                return found
            }
            let one = rest.extracting(0..<record.size)
            guard let id = received(record, one, queue) else { return found }
            let place = record.queueOffset.rawValue
            // An entry of the queue that is damaged may cost a message.
            if world.profile.forgivesLoss { expected = max(expected, place) }
            guard place == expected else {
                world.fail("P2", "\(world.describe(queue)) shows \(place) where \(expected) was to come")
                return found
            }
            expected += 1
            found.append((place, id))
            body?(record, one, id)
            position += record.size
        }
        return found
    }

    private func checkKind(_ id: Int, _ fact: Fact, _ record: MessageRecord, _ queue: QueueKey) {
        switch fact.kind {
        case .ordinary: break
        case .half where fact.decision != .commit:
            world.fail("P2", "half message \(id) is visible and was not committed (\(fact.decision))")
        case .delayed where fact.recall == .confirmed && !fact.isSeen:
            world.fail("P2", "message \(id) was recalled and came all the same")
        case .delayed:
            let early = fact.dueWall - record.storeTimestamp.milliseconds
            if early > 0 {
                world.fail("P2", "message \(id) came \(early) ms early by the broker's clock")
            }
            let jump = world.brokers[queue.broker].largestJump
            if fact.dueTime - world.schedule.milliseconds > jump {
                world.fail(
                    "P5",
                    "message \(id) came \(fact.dueTime - world.schedule.milliseconds) ms early, and the clock leapt \(jump) ms"
                )
            }
        case .half: break
        }
    }

    // MARK: - Committed offsets

    func askedToCommit(_ queue: QueueKey, _ offset: Int64) { committed[queue, default: (0, 0)].asked = offset }
    func commitKept(_ queue: QueueKey, _ offset: Int64) {
        committed[queue, default: (0, 0)].kept = max(committed[queue]?.kept ?? 0, offset)
    }

    // MARK: - Crash

    /// The log of a broker ends at `end` after a crash that may have cost what lay behind.
    func cut(_ broker: Int, at end: Int64, _ kind: SimulatedCrash) {
        for (queue, offsets) in places where queue.broker == broker {
            guard offsets.contains(where: { $0.value.physical >= end }) else { continue }
            var kept = offsets
            for (offset, place) in offsets where place.physical >= end {
                kept[offset] = nil
                if place.isReceived { checkReceived(place, offset, queue, kind) }
                if facts[place.id].topic == queue.topic { facts[place.id].copies -= 1 }
                world.coverage.placesCut += 1
            }
            places[queue] = kept
            lastOffsets = lastOffsets.filter { !$0.key.hasSuffix(" \(queue)") }
            let next = (kept.keys.max() ?? -1) + 1
            for group in groups {
                guard let reached = group.reached[queue], reached > next else { continue }
                group.skips.append((queue, reached, end))
                // What comes again for another attempt may come where a member has been already.
                if world.isRetry(queue.topic) { group.excuseReturned() }
            }
        }
        for id in facts.indices {
            if let kept = facts[id].kept, kept.broker == broker, kept.position >= end {
                facts[id].kept = nil
                world.coverage.acknowledgementsLost += 1
            }
        }
    }

    /// What a consumer has received is gone: only a power cut may do that, and only with asynchronous flush. What is not gone keeps its
    /// place, and ``put(_:_:_:_:stored:)`` sees to it that its offset shows nothing else.
    private func checkReceived(_ place: Place, _ offset: Int64, _ queue: QueueKey, _ kind: SimulatedCrash) {
        world.coverage.receivedAndLost += 1
        guard kind == .processKill || world.profile.showsOnlyFlushed else { return }
        world.fail(
            "P2",
            "message \(place.id) was received at \(offset) of \(world.describe(queue)) and is gone after a \(kind)")
    }

    /// What a power cut may have undone although its message is there: nobody relies on it any more.
    func forgetUnflushed(_ broker: Int) {
        for id in facts.indices where facts[id].kept?.broker == broker {
            facts[id].isEnded = false
            if facts[id].recall == .confirmed { facts[id].recall = .asked }
        }
        for group in groups {
            group.excuseReturned()
        }
    }

    // MARK: - The end

    /// What should have happened by now and has not; nil when nothing is left to do.
    func unfinished() -> String? {
        for id in facts.indices {
            let fact = facts[id]
            guard !fact.isExcused, fact.kept != nil, !fact.isSeen || fact.copies == 0 else { continue }
            switch fact.kind {
            case .ordinary: return "message \(id) was acknowledged and is not there"
            case .delayed where fact.recall == .never && !hasExpired(fact): return "delayed message \(id) has not come"
            case .half where fact.decision == .commit && !world.mayLoseHalves:
                return "committed message \(id) has not come"
            default: continue
            }
        }
        for group in groups {
            for (queue, offsets) in places.sorted(by: { $0.key < $1.key })
            where world.isSubscribed(group.consumerGroup, to: queue.topic) {
                let start = world.brokers[queue.broker].logStart
                for (offset, place) in offsets.sorted(by: { $0.key < $1.key }) where place.physical >= start {
                    guard group.wants(queue, offset), !group.done.contains(place.id), !group.excused.contains(place.id),
                        !facts[place.id].isExcused, !isSkipped(group, queue, offset, place),
                        !isRetrySkipped(group, place.id)
                    else { continue }
                    return
                        "group \(group.name) has not handled message \(place.id) at \(offset) of \(world.describe(queue))"
                        + elsewhere(place.id, group)
                }
            }
        }
        return nil
    }

    /// The segment with its record is gone. A delayed message keeps its segment for as long as it waits: so it has come, and has
    /// expired as well, if there was time enough for that.
    private func hasExpired(_ fact: Fact) -> Bool {
        guard let kept = fact.kept, world.profile.hasRetention else { return false }
        let machine = world.brokers[kept.broker]
        guard kept.position < machine.logStart else { return false }
        if world.profile.store.retention.isForcedDeletionEnabled { return true }
        let reserved = Int64(world.profile.store.retention.reservedHours) * 3_600_000
        return fact.dueWall + reserved <= machine.clock.timestamp.milliseconds
    }

    /// A copy for another attempt came where a member had been before a power cut.
    private func isRetrySkipped(_ group: Group, _ id: Int) -> Bool {
        guard group.skips.contains(where: { world.isRetry($0.queue.topic) }) else { return false }
        return places.contains { queue, offsets in
            world.isRetry(queue.topic)
                && offsets.contains { $0.value.id == id && isSkipped(group, queue, $0.key, $0.value) }
        }
    }

    /// Where else the message is, and how far members have come there.
    private func elsewhere(_ id: Int, _ group: Group) -> String {
        var text = group.returned[id].map { ", returned after \($0) attempts" } ?? ""
        for (queue, offsets) in places.sorted(by: { $0.key < $1.key }) where world.isRetry(queue.topic) {
            for (offset, place) in offsets.sorted(by: { $0.key < $1.key }) where place.id == id {
                text += ", at \(offset) of \(world.describe(queue)) (read to \(group.reached[queue] ?? 0))"
            }
        }
        return text
    }

    private func isSkipped(_ group: Group, _ queue: QueueKey, _ offset: Int64, _ place: Place) -> Bool {
        group.skips.contains { $0.queue == queue && offset < $0.offset && place.physical >= $0.physical }
    }

    // MARK: - Locks

    /// A member of a group believes from now on to hold a queue alone.
    func believes(_ groupName: String, _ member: String, _ queue: QueueKey, until end: Int64) {
        let group = group(groupName)
        let now = world.schedule.milliseconds
        for (other, until) in group.beliefs[queue] ?? [:] where other != member && until > now {
            world.fail("P5", "\(member) and \(other) both hold \(world.describe(queue)) for \(groupName)")
        }
        group.beliefs[queue, default: [:]][member] = end
    }

    func letGo(_ groupName: String, _ member: String, _ queue: QueueKey) {
        group(groupName).beliefs[queue]?[member] = nil
    }

    func letGo(_ groupName: String, _ member: String) {
        let group = group(groupName)
        for queue in group.beliefs.keys { group.beliefs[queue]?[member] = nil }
    }
}
