import Base
import BrokerCore
import Bytes
import Model
import Storage
import Telemetry

/// A fixed life of one broker in which every call of the disk fails once: whatever breaks, and wherever, the promises hold.
///
/// The life has everything in it that writes: a first start, sends that fill several segments, flushes, checkpoints with snapshots,
/// committed offsets, segments that expire, delayed messages, transactions, a clean stop and a start. ``callCount()`` says how many
/// calls that takes; ``run(_:at:)`` lives it again with a fault in one of them.
public final class FaultSweep {
    /// What happens in the call.
    public enum Fault: String, CaseIterable, Sendable {
        /// EIO, once; of a write only a part arrives.
        case inputOutput = "EIO"
        /// ENOSPC, once; of a write only a part arrives.
        case full = "ENOSPC"
        /// The process is killed within the call.
        case kill
        /// The power goes within the call.
        case powerLoss = "power loss"
    }

    public struct Violation: Error, CustomStringConvertible {
        public var fault: Fault?
        public var call: Int
        public var message: String
        public var description: String { "\(fault?.rawValue ?? "nothing") in call \(call): \(message)" }
    }

    private enum Kind { case ordinary, delayed, committed, rolledBack }

    /// A message that was accepted.
    private struct Sent {
        var body: [UInt8]
        var kind: Kind
        var queue: Int32
        var offset: Int64
        /// Where its record ends in the log, and the record that commits it.
        var end: Int64
        var isLost = false
    }

    private let fault: Fault?
    private let call: Int
    private let clock = SimulatedClock()
    private let disk: SimulatedDisk
    private let random = SeededRandom(seed: 7)
    private var broker: Broker?
    private var sent: [Sent] = []
    private var offsets: [(offset: Int64, end: Int64)] = []
    private var lastNumber = 0
    private var starts = 0
    private let buffer = ByteBuffer()
    private static let topic = Array("T".utf8)
    private static let group = Array("G".utf8)

    private init(_ fault: Fault?, at call: Int) {
        self.fault = fault
        self.call = call
        disk = SimulatedDisk(seed: UInt64(call), clock: clock)
        disk.faults.writeBackOneIn = 2
        switch fault {
        case .inputOutput?, .full?:
            disk.faults.failCall = call
            disk.faults.failKind = fault == .full ? .full : .inputOutput
        case .kill?, .powerLoss?: disk.faults.dieAtCall = call
        case nil: break
        }
    }

    /// Calls of the disk that the life takes when nothing goes wrong.
    public static func callCount() throws(Violation) -> Int {
        let sweep = FaultSweep(nil, at: 0)
        try sweep.live()
        return sweep.disk.callCount
    }

    /// Lives with a fault in one call.
    public static func run(_ fault: Fault, at call: Int) throws(Violation) {
        try FaultSweep(fault, at: call).live()
    }

    private func violation(_ message: String) -> Violation { Violation(fault: fault, call: call, message: message) }

    // MARK: - The life

    private func live() throws(Violation) {
        try start()
        try step { () throws(BrokerError) in
            guard broker?.topic("T") == nil else { return }
            try broker?.putTopic(TopicConfiguration(name: "T", readQueueCount: 2, writeQueueCount: 2))
        }
        for round in 0..<10 {
            for _ in 0..<4 { try send(.ordinary) }
            try step { () throws(BrokerError) in try commit(Int64(round)) }
            if round % 2 == 0 { try flush() }
            try keepHouse(milliseconds: 250)
        }
        // Two hours later the first segments have expired.
        clock.setWallClock(Timestamp(milliseconds: clock.timestamp.milliseconds + 7_200_000))
        for _ in 0..<12 { try keepHouse(milliseconds: 300) }
        for _ in 0..<3 {
            try send(.delayed)
            try send(.committed)
            try send(.rolledBack)
            try flush()
        }
        for _ in 0..<12 { try keepHouse(milliseconds: 400) }
        try flush()
        try stop()
        try start()
        try send(.ordinary)
        try flush()
        for _ in 0..<4 { try keepHouse(milliseconds: 400) }
        try finish()
    }

    /// Does something, ends the turn, and starts again when the process is over.
    private func step(_ body: () throws(BrokerError) -> Void) throws(Violation) {
        do {
            try body()
        } catch {
            try check(error)
        }
        try endTurn()
    }

    /// Nothing but the disk may refuse.
    private func check(_ error: BrokerError) throws(Violation) {
        switch error {
        case .storage(.corrupt): throw violation("the store finds damage that nobody did: \(error)")
        case .storage, .refusesMessages: return
        // The topic could not be made, or the half message cannot be seen yet for want of room.
        case .topicUnknown, .transaction(.notFound): return
        default: throw violation("refused with \(error)")
        }
    }

    private func endTurn() throws(Violation) {
        do throws(StorageError) { try broker?.endTurn() } catch {}
        try restartIfOver()
    }

    private func flush() throws(Violation) {
        for _ in 0..<4 {
            broker?.flush()
            disk.runCompletions()
            try endTurn()
        }
    }

    private func keepHouse(milliseconds: Int64) throws(Violation) {
        clock.advance(milliseconds: milliseconds)
        do throws(StorageError) {
            try broker?.keepHouse()
        } catch {
            if case .corrupt = error { throw violation("housekeeping finds damage: \(error)") }
        }
        try restartIfOver()
        disk.runCompletions()
        try endTurn()
    }

    private func restartIfOver() throws(Violation) {
        guard let store = broker?.store, disk.hasDied || store.failure != nil else { return }
        let flushed = store.flushed.rawValue
        let written = store.written.rawValue
        // What a failed synchronisation has left behind is certain only without the page cache.
        let crash: SimulatedCrash = disk.hasDied && fault == .kill ? .processKill : .powerLoss
        broker = nil
        disk.crash(crash)
        try start(required: crash == .processKill ? written : flushed)
    }

    // MARK: - Start and stop

    private func start(required: Int64 = 0) throws(Violation) {
        var refusal = ""
        for _ in 0..<3 {
            starts += 1
            do throws(StorageError) {
                broker = try Broker(
                    Self.configuration, store: Self.store, disk: disk, clock: clock, random: random, log: .silent)
            } catch {
                refusal = "\(error)"
                if case .corrupt = error, !disk.hasDied { throw violation("a start finds damage: \(error)") }
                disk.crash(fault == .powerLoss ? .powerLoss : .processKill)
                continue
            }
            if disk.hasDied {
                broker = nil
                disk.crash(fault == .powerLoss ? .powerLoss : .processKill)
                continue
            }
            return try recovered(required)
        }
        throw violation("the broker does not start: \(refusal)")
    }

    private func recovered(_ required: Int64) throws(Violation) {
        guard let broker else { return }
        let end = broker.store.written.rawValue
        guard end >= required else { throw violation("the log ends at \(end), and \(required) was safe") }
        for index in sent.indices where sent[index].end > end { sent[index].isLost = true }
        offsets.removeAll { $0.end > end }
        try look(isFinal: false)
    }

    private func stop() throws(Violation) {
        do throws(StorageError) {
            try broker?.close()
        } catch {
            if case .corrupt = error { throw violation("a stop finds damage: \(error)") }
        }
        broker = nil
        disk.crash(disk.hasDied && fault == .powerLoss ? .powerLoss : .processKill)
    }

    private static var configuration: BrokerConfiguration {
        var configuration = BrokerConfiguration()
        configuration.messageSizeMaximum = 4_096
        configuration.transactions.checkIntervalMilliseconds = 1_000
        return configuration
    }

    private static var store: StoreConfiguration {
        var store = StoreConfiguration(root: "store")
        store.segmentSize = 16 * 1024
        store.tailChunkSize = 8 * 1024
        store.messageSizeMaximum = 4_096
        store.consumeQueue = ConsumeQueueConfiguration(entriesPerFile: 20, tailEntriesMaximum: 4)
        store.messageIndex = MessageIndexConfiguration(slotCount: 16, entryCount: 129, pendingEntriesMaximum: 8)
        store.checkpointIntervalMilliseconds = 400
        store.openFilesMaximum = 3
        store.retention.reservedHours = 1
        store.retention.deletionHours = Set(0..<24)
        store.retention.intervalMilliseconds = 1_000
        return store
    }

    // MARK: - Work

    private func send(_ kind: Kind) throws(Violation) {
        try step { () throws(BrokerError) in try sendNow(kind) }
    }

    private func sendNow(_ kind: Kind) throws(BrokerError) {
        guard let broker else { return }
        lastNumber += 1
        let body = Array("message \(lastNumber) ".utf8) + [UInt8](repeating: UInt8(lastNumber % 251), count: 700)
        let properties = Array("UNIQ_KEY\u{1}M\(lastNumber)".utf8)
        let queueNumber = Int32(lastNumber % 2)
        var request = SendRequest(
            topic: Self.topic.span.bytes, defaultTopic: Self.topic.span.bytes, peer: .loopback(port: 1))
        request.queueID = QueueID(queueNumber)
        let queue = try broker.queue(for: request)
        let draft = MessageDraft(
            topic: Self.topic.span.bytes, body: body.span.bytes, properties: properties.span.bytes)
        var end: Int64
        var offset: Int64 = -1
        switch kind {
        case .ordinary:
            let appended = try broker.append(draft, to: queue)
            (end, offset) = (appended.end.rawValue, appended.queueOffset.rawValue)
        case .delayed:
            let due = Timestamp(milliseconds: broker.timestamp.milliseconds + 1_500)
            end = try broker.append(draft, to: queue, dueAt: due).end.rawValue
        case .committed, .rolledBack:
            let half = try broker.prepare(draft, for: queue, group: Self.group.span.bytes)
            end = half.end.rawValue
            do throws(StorageError) { try broker.endTurn() } catch { throw .storage(error) }
            let ended = try broker.endTransaction(
                kind == .committed ? .commit : .rollback, at: half.physicalOffset, queueOffset: half.queueOffset,
                group: Self.group.span.bytes, mayWait: true)
            if case .ended(let last) = ended { end = last.rawValue }
        }
        sent.append(Sent(body: body, kind: kind, queue: queueNumber, offset: offset, end: end))
    }

    private func commit(_ offset: Int64) throws(BrokerError) {
        guard let broker, broker.topic("T") != nil else { return }
        try broker.commitOffset(
            topic: Self.topic.span.bytes, group: Self.group.span.bytes, queueID: QueueID(0),
            offset: QueueOffset(offset + 1))
        let end = try broker.logOffsets()
        offsets.append((offset + 1, end.rawValue))
    }

    // MARK: - Checks

    private func finish() throws(Violation) {
        // Everything that is late comes now.
        for _ in 0..<8 { try keepHouse(milliseconds: 2_000) }
        try look(isFinal: true)
        for crash in SimulatedCrash.allCases {
            let flushed = broker?.flushed.rawValue ?? 0
            broker = nil
            disk.crash(crash)
            try start(required: flushed)
            try look(isFinal: true)
        }
    }

    /// Compares what the queues show with what was accepted.
    private func look(isFinal: Bool) throws(Violation) {
        guard let broker, broker.topic("T") != nil else {
            if sent.contains(where: { !$0.isLost }) { throw violation("the topic is gone") }
            return
        }
        var found: [[UInt8]: [(queue: Int32, offset: Int64)]] = [:]
        // The fault may strike the reader: looked at again later.
        for queue in Int32(0)..<2 { guard try read(broker, queue, &found) else { return } }
        let start = broker.store.start.rawValue
        for message in sent {
            let places = found.removeValue(forKey: message.body) ?? []
            let isExpired = message.end <= start
            if places.count > 1 { throw violation("\(name(message)) is there \(places.count) times") }
            if message.kind == .rolledBack, !places.isEmpty { throw violation("\(name(message)) was rolled back") }
            guard !message.isLost, !isExpired else { continue }
            let isDue = message.kind == .ordinary || message.kind == .committed || (message.kind == .delayed && isFinal)
            // What the views lack for want of room shows later.
            let isVisible = message.end <= broker.store.dispatched.rawValue
            if isDue, isVisible, places.isEmpty { throw violation("\(name(message)) is gone") }
            if message.kind == .ordinary, let place = places.first,
                place.queue != message.queue || place.offset != message.offset
            {
                throw violation("\(name(message)) is at \(place), not at \(message.queue)/\(message.offset)")
            }
        }
        let known = Set(sent.map(\.body))
        for body in found.keys where !known.contains(body) {
            throw violation(
                "a message is there that was not accepted: \(String(decoding: body.prefix(12), as: UTF8.self))")
        }
        try lookAtOffset(broker)
    }

    private func name(_ message: Sent) -> String {
        "\(message.kind) \(String(decoding: message.body.prefix(11), as: UTF8.self))"
    }

    private func lookAtOffset(_ broker: Broker) throws(Violation) {
        guard let last = offsets.last?.offset else { return }
        let found = broker.consumerOffset(
            topic: Self.topic.span.bytes, group: Self.group.span.bytes, queueID: QueueID(0))
        guard let found, found.rawValue >= last else {
            throw violation("the group stands at \(found?.rawValue ?? -1), and \(last) was kept")
        }
    }

    private func read(
        _ broker: Broker, _ queueNumber: Int32, _ found: inout [[UInt8]: [(queue: Int32, offset: Int64)]]
    ) throws(Violation) -> Bool {
        do throws(BrokerError) {
            let queue = try broker.queue(
                forPulling: Self.topic.span.bytes, queueID: QueueID(queueNumber), group: Self.group.span.bytes)
            let range = try broker.range(topic: Self.topic.span.bytes, queueID: QueueID(queueNumber))
            var offset = range.lowerBound
            while offset < range.upperBound {
                buffer.removeAll()
                let result = try broker.fetch(
                    queue, from: QueueOffset(offset), maximumCount: 100, filter: .all, mayWait: true, into: buffer)
                guard result.messageCount > 0 else { break }
                take(&found)
                offset = result.nextOffset.rawValue
            }
            return true
        } catch {
            try check(error)
            return false
        }
    }

    private func take(_ found: inout [[UInt8]: [(queue: Int32, offset: Int64)]]) {
        let buffer = buffer
        var position = 0
        while position < buffer.count {
            let span = buffer.bytes.extracting(position..<buffer.count)
            guard let record = try? MessageRecord(span) else { return }
            found[span.extracting(record.body).array(), default: []].append(
                (record.queueID.rawValue, record.queueOffset.rawValue))
            position += record.size
        }
    }
}
