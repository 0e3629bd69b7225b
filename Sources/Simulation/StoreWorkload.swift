import Base
import BrokerCore
import Bytes
import Model
import Storage
import Telemetry

/// A broker on a simulated disk, worked hard and crashed often, beside a model of what it was told.
///
/// Everything follows from the seed. What is checked after each crash: every message that was acknowledged as written (kill) or
/// flushed (power loss) is there, with its bytes, at its offset, once; nothing else is; topics, consumer offsets and the
/// message index agree with the log. At the end the views are removed, made anew from the log, and compared.
public final class StoreWorkload {
    /// What did not hold.
    public struct Violation: Error, CustomStringConvertible {
        public var seed: UInt64
        public var step: Int
        public var message: String
        /// The last things that were done.
        public var trace: [String]
        public var description: String {
            "seed \(seed), step \(step): \(message)\n" + trace.map { "    " + $0 }.joined(separator: "\n")
        }
    }

    /// What the runs did, so that a test can see that they did something.
    public struct Coverage: Equatable, Sendable {
        public var messages = 0
        public var kills = 0
        public var powerLosses = 0
        public var messagesLost = 0
        public var stops = 0
        public var refusals = 0
        public var segmentsRemoved = 0
        public var topicsRemoved = 0
        public var checkpoints = 0
        /// Turns that ended with something unwritten, because the disk made writers wait.
        public var turnsBehind = 0
        public init() {}

        public mutating func add(_ other: Coverage) {
            messages += other.messages
            kills += other.kills
            powerLosses += other.powerLosses
            messagesLost += other.messagesLost
            stops += other.stops
            refusals += other.refusals
            segmentsRemoved += other.segmentsRemoved
            topicsRemoved += other.topicsRemoved
            checkpoints += other.checkpoints
            turnsBehind += other.turnsBehind
        }
    }

    private let seed: UInt64
    private let random: SeededRandom
    private let clock = SimulatedClock()
    private let disk: SimulatedDisk
    private let liesAboutSynchronizing: Bool
    private var storeConfiguration = StoreConfiguration(root: "store")
    private var broker: Broker?
    private var model = StoreModel()
    /// The log is known to reach this far in the page cache, and on the medium.
    private var acknowledgedWritten: Int64 = 0
    private var acknowledgedFlushed: Int64 = 0
    private var pendingOffsets: [StoreModel.Event] = []
    private var messageCount = 0
    private var step = 0
    private var hasSnapshots = true
    private var areViewsNew = false
    /// Where the log began at the latest: segments before it were removed.
    private var removedBelow: Int64 = 0
    private var trace: [String] = []
    /// Lines of ``Violation/trace`` at the most.
    public var traceLimit = 40
    private let buffer = ByteBuffer()
    public private(set) var coverage = Coverage()

    public init(seed: UInt64, liesAboutSynchronizing: Bool = false) {
        self.seed = seed
        self.liesAboutSynchronizing = liesAboutSynchronizing
        random = SeededRandom(seed: seed)
        disk = SimulatedDisk(seed: seed &+ 1, clock: clock)
        disk.faults.liesAboutSynchronizing = liesAboutSynchronizing
        disk.faults.reorderCompletions = random.next(below: 2) == 0
        storeConfiguration.segmentSize = [16, 64, 256][random.next(below: 3)] * 1024
        storeConfiguration.consumeQueue = ConsumeQueueConfiguration(
            entriesPerFile: [20, 300][random.next(below: 2)], tailEntriesMaximum: [2, 16][random.next(below: 2)])
        storeConfiguration.messageIndex = MessageIndexConfiguration(
            slotCount: 16, entryCount: [65, 4001][random.next(below: 2)], pendingEntriesMaximum: 8)
        storeConfiguration.messageSizeMaximum = 4096
        storeConfiguration.tailChunkSize = [8 * 1024, nil][random.next(below: 2)]
        storeConfiguration.checkpointIntervalMilliseconds = 400
        storeConfiguration.openFilesMaximum = 3
        storeConfiguration.retention.reservedHours = 1
        storeConfiguration.retention.deletionHours = Set(0..<24)
        storeConfiguration.retention.intervalMilliseconds = 1000
    }

    private static let topicNames = ["orders", "payments", "%RETRY%shop"]
    private static let keyNames = ["k1", "k2", "k3", "k4"]
    private static let tagNames = ["red", "green", ""]

    // MARK: - Run

    /// Does `steps` steps, then compares the views with ones made anew.
    public func run(steps: Int) throws(Violation) {
        try open()
        while step < steps {
            step += 1
            try takeStep()
        }
        try crash(.processKill)
        try compareWithViewsMadeAnew()
    }

    private func takeStep() throws(Violation) {
        switch random.next(below: 100) {
        case 0..<45: try send()
        case 45..<55: commitOffset()
        case 55..<70: try endTurn()
        case 70..<75: run("flush") { $0.flush() }
        case 75..<82: try keepHouse()
        case 82..<88: runCompletions()
        case 88..<91: try readSomewhere()
        case 91..<93: try changeTopics()
        case 93: changeRoom()
        case 94: advance(hours: random.next(below: 2))
        case 95: injectFault()
        case 96: disk.dropCache()
        case 97: changePressure()
        default:
            if random.next(below: 4) == 0 { try crash(random.next(below: 2) == 0 ? .processKill : .powerLoss) }
        }
    }

    private func note(_ line: String) {
        trace.append("\(step): \(line)")
        if trace.count > traceLimit { trace.removeFirst(trace.count / 3) }
    }

    private func violation(_ message: String) -> Violation {
        let files = disk.files(below: "store").map { "\($0): \(disk.contents($0)?.count ?? 0)" }
        return Violation(seed: seed, step: step, message: message, trace: trace + files)
    }

    private func check(_ condition: Bool, _ message: @autoclosure () -> String) throws(Violation) {
        if !condition { throw violation(message()) }
    }

    private func run(_ name: String, _ body: (Broker) -> Void) {
        guard let broker else { return }
        note(name)
        body(broker)
    }

    // MARK: - Steps

    private func topic() -> String { Self.topicNames[random.next(below: Self.topicNames.count)] }

    private func send() throws(Violation) {
        guard let broker else { return }
        let name = topic()
        guard let count = model.topics[name] else { return }
        let queueID = Int32(random.next(below: Int(count)))
        for _ in 0..<(1 + random.next(below: 4)) { try send(broker, name, queueID) }
    }

    private func send(_ broker: Broker, _ topicName: String, _ queueNumber: Int32) throws(Violation) {
        messageCount += 1
        let key = Self.keyNames[random.next(below: Self.keyNames.count)]
        let tag = Self.tagNames[random.next(below: Self.tagNames.count)]
        var body = Array("\(messageCount):".utf8)
        let size = random.next(below: 10) == 0 ? random.next(below: 3000) : random.next(below: 200)
        while body.count < size { body.append(UInt8(truncatingIfNeeded: random.next())) }
        var properties = "KEYS\u{1}\(key)"
        if !tag.isEmpty { properties += "\u{2}TAGS\u{1}\(tag)" }
        let topicBytes = Array(topicName.utf8)
        let propertyBytes = Array(properties.utf8)
        do throws(BrokerError) {
            var request = SendRequest(
                topic: topicBytes.span.bytes, defaultTopic: topicBytes.span.bytes, peer: .loopback(port: 1))
            request.queueID = QueueID(queueNumber)
            let queue = try broker.queue(for: request)
            let draft = MessageDraft(
                topic: topicBytes.span.bytes, body: body.span.bytes, properties: propertyBytes.span.bytes)
            let appended = try broker.append(draft, to: queue)
            // An empty queue may begin anywhere: the names of its files survive what was in them.
            let last = model.queues[.init(topic: topicName, queue: queueNumber)]?.last?.offset
            let known = last.map { $0 + 1 } ?? appended.queueOffset.rawValue
            try checkLater(
                appended.queueOffset.rawValue == known,
                "\(topicName)/\(queueNumber) gave offset \(appended.queueOffset) to its message \(known)")
            let message = StoreModel.Message(
                topic: topicName, queue: queueNumber, offset: appended.queueOffset.rawValue,
                position: appended.physicalOffset.rawValue, end: appended.end.rawValue, body: body, key: key, tag: tag)
            model.happened(.message(message), end: appended.end.rawValue)
            coverage.messages += 1
            note("sent \(topicName)/\(queueNumber) \(appended.queueOffset) at \(appended.physicalOffset)")
        } catch {
            coverage.refusals += 1
            note("send refused: \(error)")
        }
        if let late = laterViolation { throw late }
    }

    /// A violation inside a block that throws another error.
    private var laterViolation: Violation?
    private func checkLater(_ condition: Bool, _ message: String) throws(BrokerError) {
        if !condition, laterViolation == nil { laterViolation = violation(message) }
    }

    private func commitOffset() {
        guard let broker else { return }
        let name = topic()
        guard let count = model.topics[name] else { return }
        let queueNumber = Int32(random.next(below: Int(count)))
        let group = ["shop", "audit"][random.next(below: 2)]
        let offset = Int64(random.next(below: 100))
        let topicBytes = Array(name.utf8)
        let groupBytes = Array(group.utf8)
        do throws(BrokerError) {
            try broker.commitOffset(
                topic: topicBytes.span.bytes, group: groupBytes.span.bytes, queueID: QueueID(queueNumber),
                offset: QueueOffset(offset))
            pendingOffsets.append(.offset(topic: name, group: group, queue: queueNumber, offset))
            note("commit \(group) in \(name)/\(queueNumber): \(offset)")
        } catch {
            note("commit refused: \(error)")
        }
    }

    private func endTurn() throws(Violation) {
        guard let broker else { return }
        do throws(StorageError) {
            try broker.endTurn()
        } catch {
            return try stopped("end of turn", error)
        }
        let written = broker.written.rawValue
        try check(
            written == broker.store.end.rawValue || disk.hasCompletions,
            "a turn ended and not everything is written, nor under way")
        if written < broker.store.end.rawValue { coverage.turnsBehind += 1 }
        try check(written >= acknowledgedWritten, "written went back from \(acknowledgedWritten) to \(written)")
        acknowledgedWritten = written
        note("end of turn at \(written)")
        offsetsLogged(end: broker.store.end.rawValue)
        noteFlushed()
    }

    private func offsetsLogged(end: Int64) {
        guard disk.capacity >= 1 << 40 else { return }
        for event in pendingOffsets { model.happened(event, end: end) }
        pendingOffsets = []
    }

    private func noteFlushed() {
        guard let broker else { return }
        removedBelow = max(removedBelow, broker.store.start.rawValue)
        if broker.flushed.rawValue < acknowledgedFlushed {
            laterViolation = laterViolation ?? violation("flushed went back to \(broker.flushed)")
        }
        acknowledgedFlushed = broker.flushed.rawValue
    }

    private func keepHouse() throws(Violation) {
        guard let broker else { return }
        clock.advance(milliseconds: Int64(random.next(below: 300)))
        // Several at once, for a round of the checkpoint has several steps.
        for _ in 0..<(1 + random.next(below: 5)) {
            do throws(StorageError) {
                try broker.keepHouse()
            } catch .diskFull {
                note("no room to keep house")
            } catch {
                return try stopped("housekeeping", error)
            }
        }
        note("kept house; checkpoints \(broker.store.metrics.checkpoints), start \(broker.store.start)")
        acknowledgedWritten = max(acknowledgedWritten, broker.written.rawValue)
        // Offsets are logged before a round of housekeeping.
        offsetsLogged(end: broker.store.end.rawValue)
        noteFlushed()
    }

    private func runCompletions() {
        guard disk.hasCompletions else { return }
        disk.runCompletions()
        noteFlushed()
        note("completions ran; flushed \(broker?.flushed.rawValue ?? 0)")
    }

    private func advance(hours: Int) {
        clock.advance(milliseconds: Int64(hours) * 3_600_000 + 1)
    }

    private func changeRoom() {
        if disk.capacity < 1 << 40 {
            disk.capacity = 1 << 40
        } else if random.next(below: 2) == 0 {
            disk.capacity = disk.usedBytes + Int64(random.next(below: 20) * 4096)
        }
        // So that a nearly full disk is met by the store, not by retention.
        note("room: \(disk.capacity)")
    }

    private func changePressure() {
        disk.faults.pushesBack.toggle()
        note("the disk \(disk.faults.pushesBack ? "makes writers wait" : "keeps up")")
    }

    private func injectFault() {
        guard random.next(below: 3) == 0 else { return }
        if random.next(below: 3) == 0 {
            disk.faults.failSynchronize = true
            note("synchronisation is going to fail")
        } else {
            disk.faults.failCall = disk.callCount + 1 + random.next(below: 30)
            disk.faults.failKind = [.inputOutput, .full][random.next(below: 2)]
            note("call \(disk.callCount) and later is going to fail: \(disk.faults.failKind)")
        }
    }

    private func changeTopics() throws(Violation) {
        guard let broker else { return }
        let name = topic()
        do throws(BrokerError) {
            if model.topics[name] != nil {
                guard random.next(below: 3) == 0 else { return }
                note("remove \(name)")
                try broker.removeTopic(name)
                topicRemoved(broker, name)
                coverage.topicsRemoved += 1
            } else {
                let count = Int32(1 + random.next(below: 3))
                note("put \(name) with \(count) queues")
                try broker.putTopic(TopicConfiguration(name: name, readQueueCount: count, writeQueueCount: count))
                model.happened(.topicPut(name, queues: count), end: broker.store.end.rawValue)
            }
        } catch {
            note("refused: \(error)")
            // The record may be in the log although the files could not be removed.
            if model.topics[name] != nil, broker.topic(name) == nil { topicRemoved(broker, name) }
            if case .storage(.diskFull) = error { return try crash(.processKill) }
            if case .storage(let error) = error { return try stopped("topics", error) }
        }
        acknowledgedWritten = max(acknowledgedWritten, broker.written.rawValue)
        noteFlushed()
    }

    private func topicRemoved(_ broker: Broker, _ name: String) {
        for event in pendingOffsets { model.mayHaveHappened(event) }
        pendingOffsets.removeAll {
            guard case .offset(let topic, _, _, _) = $0 else { return false }
            return topic == name
        }
        model.happened(.topicRemoved(name), end: broker.store.end.rawValue)
    }

    /// An operation failed. Reads must go on, appends must not; then the process ends.
    private func stopped(_ operation: String, _ error: StorageError) throws(Violation) {
        note("\(operation) failed: \(error)")
        coverage.stops += 1
        guard let broker else { return }
        if broker.store.failure != nil {
            try check(!broker.store.isWritable, "a stopped store is writable")
            let flushed = broker.flushed
            let synchronisations = disk.counts.synchronisations
            broker.flush()
            try check(disk.counts.synchronisations == synchronisations, "a failed synchronisation was tried again")
            disk.runCompletions()
            acknowledgedFlushed = max(acknowledgedFlushed, broker.flushed.rawValue, flushed.rawValue)
        }
        // Pages that could not be written are lost with the cache; after a failed synchronisation only that is certain.
        try crash(.powerLoss)
    }

    // MARK: - Crash

    private func crash(_ kind: SimulatedCrash) throws(Violation) {
        // A failed synchronisation leaves pages that look written and are not. A killed process would find them in the cache.
        let kind = broker?.store.failure == nil && !disk.faults.failSynchronize ? kind : .powerLoss
        note("crash: \(kind)")
        coverage.checkpoints += Int(broker?.store.metrics.checkpoints ?? 0)
        coverage.segmentsRemoved += Int(broker?.store.metrics.segmentsRemoved ?? 0)
        broker = nil
        disk.crash(kind)
        disk.faults.failSynchronize = false
        disk.faults.failCall = nil
        disk.capacity = 1 << 40
        switch kind {
        case .processKill: coverage.kills += 1
        case .powerLoss: coverage.powerLosses += 1
        }
        if random.next(below: 4) == 0 { try openWithFault() }
        try open()
        try recovered(from: kind)
    }

    /// A start that fails halfway must not harm what is there.
    private func openWithFault() throws(Violation) {
        disk.faults.failCall = disk.callCount + 1 + random.next(below: 60)
        disk.faults.failKind = .inputOutput
        note("start with a fault")
        do throws(StorageError) {
            _ = try makeBroker()
        } catch {
            note("start failed: \(error)")
            if case .corrupt = error { throw violation("a start with an I/O error found damage: \(error)") }
        }
        disk.faults.failCall = nil
        disk.crash(.processKill)
    }

    private func makeBroker() throws(StorageError) -> Broker {
        try Broker(
            BrokerConfiguration(), store: storeConfiguration, disk: disk, clock: clock, random: random, log: .silent)
    }

    private func open() throws(Violation) {
        do throws(StorageError) {
            broker = try makeBroker()
        } catch {
            throw violation("the store does not open: \(error)")
        }
    }

    private func recovered(from kind: SimulatedCrash) throws(Violation) {
        guard let broker else { return }
        let end = broker.store.written.rawValue
        let required = kind == .processKill ? acknowledgedWritten : acknowledgedFlushed
        try check(end >= required, "the log ends at \(end), and \(required) was acknowledged")
        note("recovered to \(end) of \(acknowledgedWritten), flushed \(acknowledgedFlushed)")
        let before = model.queues.values.reduce(0) { $0 + $1.count }
        for event in pendingOffsets { model.happened(event, end: .max) }
        pendingOffsets = []
        model.cut(at: end)
        coverage.messagesLost += before - model.queues.values.reduce(0) { $0 + $1.count }
        acknowledgedWritten = end
        acknowledgedFlushed = broker.flushed.rawValue
        try checkEverything(broker)
    }

    // MARK: - Checks

    private func readSomewhere() throws(Violation) {
        guard let broker, let name = model.queues.keys.sorted(by: { ($0.topic, $0.queue) < ($1.topic, $1.queue) }).first
        else { return }
        try checkQueue(broker, name, from: Int64(random.next(below: 50)), isComplete: false)
    }

    private func checkEverything(_ broker: Broker) throws(Violation) {
        removedBelow = max(removedBelow, broker.store.start.rawValue)
        for name in Self.topicNames {
            let found = broker.topic(name)?.configuration.queueCount
            try check(found == model.topics[name], "\(name) has \(found ?? -1) queues, not \(model.topics[name] ?? -1)")
            for queue in 0..<(model.topics[name] ?? 0) {
                try checkQueue(broker, .init(topic: name, queue: queue), from: 0, isComplete: true)
                for group in ["shop", "audit"] { try checkOffset(broker, name, group, queue) }
            }
            for key in Self.keyNames { try checkKey(broker, name, key) }
        }
    }

    private func checkOffset(_ broker: Broker, _ topic: String, _ group: String, _ queue: Int32) throws(Violation) {
        let topicBytes = Array(topic.utf8)
        let groupBytes = Array(group.utf8)
        let found = broker.consumerOffset(
            topic: topicBytes.span.bytes, group: groupBytes.span.bytes, queueID: QueueID(queue))?.rawValue
        let name = StoreModel.OffsetName(topic: topic, group: group, queue: queue)
        let isUncertain = found.map { model.uncertainOffsets[name]?.contains($0) ?? false } ?? false
        if !hasSnapshots, model.unlogged.contains(name) { return }
        try check(
            found == model.offsets[name] || isUncertain,
            "\(group) stands at \(found ?? -1) in \(topic)/\(queue), not at \(model.offsets[name] ?? -1)")
        if isUncertain { model.foundUnlogged(name) }
    }

    private func checkKey(_ broker: Broker, _ topic: String, _ key: String) throws(Violation) {
        let topicBytes = Array(topic.utf8)
        let keyBytes = Array(key.utf8)
        let positions = (model.keys[StoreModel.key(topic, key)] ?? []).map(\.position)
        let expected = positions.filter { $0 >= removedBelow && $0 < broker.store.dispatched.rawValue }
        do throws(BrokerError) {
            let found = try broker.query(
                topic: topicBytes.span.bytes, key: keyBytes.span.bytes, from: Timestamp(milliseconds: 0),
                to: Timestamp(milliseconds: .max), maximumCount: 100_000
            ).map(\.rawValue)
            let counted = found.filter { $0 >= removedBelow }
            try checkLater(
                counted == expected && Set(found).isSubset(of: positions),
                "\(topic) key \(key): index has \(counted.count) of \(expected.count), differing in "
                    + "\(Set(counted).symmetricDifference(expected).sorted())")
        } catch {
            note("query refused: \(error)")
        }
        if let late = laterViolation { throw late }
    }

    /// Reads a queue to its end and compares.
    private func checkQueue(
        _ broker: Broker, _ name: StoreModel.QueueName, from offset: Int64, isComplete: Bool
    ) throws(Violation) {
        let topicBytes = Array(name.topic.utf8)
        let messages = model.queues[name] ?? []
        do throws(BrokerError) {
            let queue = try broker.queue(
                forPulling: topicBytes.span.bytes, queueID: QueueID(name.queue), group: topicBytes.span.bytes)
            let range = try broker.range(topic: topicBytes.span.bytes, queueID: QueueID(name.queue))
            // The record that the views could not take for want of room may be in one view and not in the other.
            let partly: Int64 = broker.store.dispatched < broker.written ? 1 : 0
            let base = messages.first?.offset ?? range.upperBound
            let visible = messages.count { $0.end <= broker.store.dispatched.rawValue }
            try checkLater(
                [base + Int64(visible), base + Int64(visible) + partly].contains(range.upperBound)
                    || (range.isEmpty && (visible == 0 || areViewsNew)),
                "\(name) ends at \(range.upperBound), not at \(base + Int64(visible))")
            // A removed segment may come back after a power cut, its entries need not.
            let start = broker.store.start.rawValue
            let first = messages.firstIndex { $0.position >= start } ?? messages.count
            let last = messages.firstIndex { $0.position >= removedBelow } ?? messages.count
            try checkLater(
                (base + Int64(first)...base + Int64(last)).contains(range.lowerBound) || visible == 0
                    || last == messages.count,
                "\(name) begins at \(range.lowerBound), not at \(base) and \(first) to \(last)")
            if laterViolation == nil {
                try read(broker, queue, max(offset, range.lowerBound), range.upperBound, messages)
            }
        } catch {
            if isComplete { throw violation("\(name) cannot be read: \(error)") }
            note("\(name) cannot be read: \(error)")
        }
        if let late = laterViolation { throw late }
    }

    private func read(
        _ broker: Broker, _ queue: StoredQueue, _ first: Int64, _ end: Int64, _ messages: [StoreModel.Message]
    ) throws(BrokerError) {
        var offset = first
        let buffer = buffer
        while offset < end {
            buffer.removeAll()
            let result = try broker.fetch(
                queue, from: QueueOffset(offset), maximumCount: 1 + random.next(below: 40), filter: .all, mayWait: true,
                into: buffer)
            try checkLater(result.status == .found, "\(queue.topic.name) from \(offset): \(result)")
            guard laterViolation == nil else { return }
            var position = 0
            while position < buffer.count {
                let span = buffer.bytes.extracting(position..<buffer.count)
                guard let record = try? MessageRecord(span) else { return try checkLater(false, "no record") }
                let expected = messages[Int(offset - (messages.first?.offset ?? 0))]
                try checkLater(
                    record.queueOffset.rawValue == offset && record.physicalOffset.rawValue == expected.position
                        && span.extracting(record.body).array() == expected.body,
                    "\(queue.topic.name)/\(queue.queueID) shows another message at \(offset)")
                position += record.size
                offset += 1
            }
            try checkLater(
                result.nextOffset.rawValue == offset, "the next offset is \(result.nextOffset), not \(offset)")
            guard laterViolation == nil else { return }
        }
    }

    // MARK: - Views made anew

    /// Removes the views and compares what is made anew from the log.
    private func compareWithViewsMadeAnew() throws(Violation) {
        try endTurn()
        try recoverWithout(["consumequeue", "index"])
        guard broker?.store.start == .zero else { return }
        hasSnapshots = false
        try recoverWithout(["consumequeue", "index", "snapshots", "checkpoint"])
    }

    private func recoverWithout(_ names: [String]) throws(Violation) {
        note("removes \(names)")
        broker = nil
        disk.crash(.processKill)
        // A queue of which the log holds nothing any more is not made again.
        areViewsNew = true
        for name in names { disk.uninstall("store/" + name) }
        try open()
        try recovered(from: .processKill)
        try endTurn()
    }
}

extension RawSpan {
    fileprivate func array() -> [UInt8] { withUnsafeBytes { Array($0) } }
}
