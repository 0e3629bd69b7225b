import Base
import BrokerCore
import Bytes
import Model
import Simulation
import Storage
import Synchronization
import Telemetry

/// A broker on a simulated disk, with a clock that moves by hand.
final class TestBroker {
    let disk: SimulatedDisk
    let clock = SimulatedClock()
    var configuration = BrokerConfiguration()
    private let log: Log
    private(set) var broker: Broker

    init(log: Log = .silent, _ change: (inout BrokerConfiguration) -> Void = { _ in }) throws {
        disk = SimulatedDisk()
        self.log = log
        configuration.name = "broker-a"
        change(&configuration)
        broker = try Self.open(configuration, disk, clock, log)
    }

    private static func open(
        _ configuration: BrokerConfiguration, _ disk: SimulatedDisk, _ clock: SimulatedClock, _ log: Log
    ) throws -> Broker {
        var store = StoreConfiguration(root: "/store")
        store.segmentSize = 1024 * 1024
        store.messageIndex = MessageIndexConfiguration(slotCount: 100, entryCount: 400)
        return try Broker(
            configuration, store: store, disk: disk, clock: clock, random: SeededRandom(seed: 1), log: log)
    }

    /// Stops in good order and starts again on the same disk.
    func restart() throws {
        try broker.close()
        broker = try Self.open(configuration, disk, clock, log)
    }

    /// The process is killed: what the kernel has stays. Then it starts again.
    func kill() throws {
        disk.crash(.processKill)
        broker = try Self.open(configuration, disk, clock, log)
    }

    /// The power fails: what is not on the medium may be lost. Then it starts again.
    func losePower() throws {
        disk.crash(.powerLoss)
        broker = try Self.open(configuration, disk, clock, log)
    }

    /// Brings everything written onto the medium.
    func flush() throws {
        try broker.endTurn()
        while broker.flushed < broker.written {
            broker.flush()
            disk.runCompletions()
        }
    }

    /// Sends one message in a turn of its own.
    @discardableResult
    func send(
        _ topic: String, _ body: String, queueID: Int32 = 0, tag: String? = nil
    ) throws -> MessageStore.Appended {
        let topicBytes = Array(topic.utf8)
        let defaultTopic = Array(SystemTopics.autoCreate.utf8)
        var request = SendRequest(
            topic: topicBytes.span.bytes, defaultTopic: defaultTopic.span.bytes, peer: .loopback(port: 1))
        request.queueID = QueueID(queueID)
        let queue = try broker.queue(for: request)
        let bodyBytes = Array(body.utf8)
        let properties = tag.map { Array("TAGS\u{1}\($0)".utf8) } ?? []
        let draft = MessageDraft(
            topic: topicBytes.span.bytes, body: bodyBytes.span.bytes, properties: properties.span.bytes)
        let appended = try broker.append(draft, to: queue)
        try broker.endTurn()
        return appended
    }

    /// Sends bytes that are no text.
    func sendBytes(_ topic: String, _ body: [UInt8]) throws {
        let topicBytes = Array(topic.utf8)
        let queue = try broker.store.queue(topic: topic, QueueID(0))
        _ = try broker.append(
            MessageDraft(topic: topicBytes.span.bytes, body: body.span.bytes, properties: RawSpan()), to: queue)
        try broker.endTurn()
    }

    func fetch(
        _ topic: String, from offset: Int64 = 0, queueID: Int32 = 0, filter: TagFilter = .all
    ) throws -> (FetchResult, [String]) {
        try fetch(topic, from: offset, queueID: queueID, matching: .tags(filter))
    }

    func fetch(
        _ topic: String, from offset: Int64 = 0, queueID: Int32 = 0, matching filter: MessageFilter
    ) throws -> (FetchResult, [String]) {
        let buffer = ByteBuffer()
        let queue = try queue(topic, queueID)
        let result = try broker.fetch(queue, from: QueueOffset(offset), maximumCount: 32, filter: filter, into: buffer)
        return (result, Self.bodies(buffer))
    }

    func queue(_ topic: String, _ queueID: Int32 = 0) throws -> StoredQueue {
        let name = Array(topic.utf8)
        let group = Array("group".utf8)
        return try broker.queue(
            forPulling: name.span.bytes, queueID: QueueID(queueID), group: group.span.bytes)
    }

    static func bodies(_ buffer: ByteBuffer) -> [String] {
        var bodies: [String] = []
        while buffer.count > 0, let record = try? MessageRecord(buffer.bytes) {
            bodies.append(buffer.bytes.extracting(record.body).string())
            buffer.consume(record.size)
        }
        return bodies
    }

    func commit(_ topic: String, _ group: String, _ offset: Int64, queueID: Int32 = 0) throws {
        let topicBytes = Array(topic.utf8)
        let groupBytes = Array(group.utf8)
        try broker.commitOffset(
            topic: topicBytes.span.bytes, group: groupBytes.span.bytes, queueID: QueueID(queueID),
            offset: QueueOffset(offset))
    }

    func offset(_ topic: String, _ group: String, queueID: Int32 = 0) -> Int64? {
        let topicBytes = Array(topic.utf8)
        let groupBytes = Array(group.utf8)
        return broker.consumerOffset(
            topic: topicBytes.span.bytes, group: groupBytes.span.bytes, queueID: QueueID(queueID))?.rawValue
    }
}

/// A client that notes what it is told.
final class TestChannel: ClientChannel {
    let peer = HostAddress.loopback(port: 2)
    var notices: [String] = []
    func membersChanged(of group: String) { notices.append(group) }
    var isReachable = true
    var checks: [(queueOffset: Int64, physicalOffset: Int64, record: [UInt8], uniqueKey: String?)] = []
    func checkTransaction(_ check: TransactionCheck) {
        checks.append(
            (
                check.queueOffset.rawValue, check.physicalOffset.rawValue, check.record.bytes.array(), check.uniqueKey
            ))
    }
}

/// Somebody who waits for messages and notes how the waiting ended.
final class TestWaiter: FetchWaiter {
    var woken: [(token: Int, isExpired: Bool)] = []
    func wake(_ fetch: HeldFetch, isExpired: Bool) { woken.append((fetch.token, isExpired)) }
}

/// One line of the log.
struct LogEntry {
    var level: LogLevel
    var message: String
    var metadata: [String: String]
}

/// Keeps what is logged.
final class CollectingSink: LogSink {
    private let written = Mutex<[LogEntry]>([])
    var entries: [LogEntry] { written.withLock { $0 } }

    func write(level: LogLevel, label: String, message: String, metadata: [(key: String, value: String)]) {
        let entry = LogEntry(level: level, message: message, metadata: Dictionary(metadata) { $1 })
        written.withLock { $0.append(entry) }
    }
}
