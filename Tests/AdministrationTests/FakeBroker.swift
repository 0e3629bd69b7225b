import Base
import Bytes
import Model
import RemotingProtocol
import Runtime
import Synchronization

@testable import Administration

/// What a ``FakeBroker`` does wrong.
struct Faults: Sendable {
    /// Acknowledges the message with this number among all, and forgets it.
    var forgets: Int?
    /// Stores it twice.
    var duplicates: Int?
    /// Stores it only after the next one of its queue.
    var delays: Int?
    /// Changes a byte in the middle of its body.
    var corrupts: Int?
    /// Answers every send from this one on with code 2.
    var refusesFrom: Int?
    /// Holds all answers to sends back, once, from this message on and for so long.
    var stalls: (from: Int, milliseconds: Int64)?
    /// Closes the connection instead of answering it.
    var hangsUpAt: Int?
}

/// A name server and a broker in memory, on a loop of their own: enough of RocketMQ for a benchmark, and faults on request.
final class FakeBroker {
    private let loop: EventLoop
    private let faults: Faults
    private let log: Requests
    private var port = 0
    private var queueCounts: [String: Int32] = [:]
    private var queues: [String: [Stored]] = [:]
    private var held: [Held] = []
    private var late: (queue: String, body: [UInt8], properties: [UInt8], queueID: Int32)?
    private var messages = 0
    private var hasStalled = false
    private var isStalling = false
    private var stalled: [() -> Void] = []

    /// Codes of all requests so far, for tests to look at from outside.
    final class Requests: Sendable {
        private let counts = Mutex<[Int32: Int]>([:])
        func add(_ code: Int32) { counts.withLock { $0[code, default: 0] += 1 } }
        subscript(_ code: RequestCode) -> Int { counts.withLock { $0[code.rawValue] ?? 0 } }
    }

    private struct Stored {
        var record: [UInt8]
    }
    private struct Held {
        var queue: String
        var offset: Int64
        var maximum: Int
        var opaque: Int32
        var encoding: HeaderEncoding
        var connection: Connection
    }

    /// Starts one, runs `body` with its address, and stops it.
    static func with<R>(
        _ faults: Faults = Faults(), topics: [String: Int32] = [:],
        _ body: (_ address: String, _ requests: Requests) async throws -> R
    ) async throws -> R {
        let thread = try LoopThread(named: "fake-broker")
        defer { thread.stopAndJoin() }
        let requests = Requests()
        let port = await withCheckedContinuation { (started: CheckedContinuation<Int, Never>) in
            thread.loop.post { [loop = thread.loop] in
                started.resume(returning: FakeBroker(loop, faults, requests, topics).listen())
            }
        }
        return try await body("127.0.0.1:\(port)", requests)
    }

    private init(_ loop: EventLoop, _ faults: Faults, _ log: Requests, _ topics: [String: Int32]) {
        self.loop = loop
        self.faults = faults
        self.log = log
        queueCounts = topics
    }

    private func listen() -> Int {
        let listener = try? loop.listen(host: "127.0.0.1", port: 0) { _ in Session(self) }
        port = listener?.port ?? 0
        return port
    }

    // MARK: - Requests

    /// Cuts requests out of what arrives.
    private final class Session: ConnectionHandler {
        private let broker: FakeBroker
        private let header = CommandHeader()
        init(_ broker: FakeBroker) { self.broker = broker }
        func received(_ input: ByteBuffer, on connection: Connection) {
            while let frame = try? Frame.next(in: input), connection.isOpen {
                try? header.decode(frame, in: input)
                broker.handle(header, frame, input.bytes, connection)
                input.consume(frame.size)
            }
        }
        func drained(_ connection: Connection) {}
        func closed(_ connection: Connection, reason: CloseReason) {
            broker.held.removeAll { $0.connection === connection }
        }
    }

    private func handle(_ header: CommandHeader, _ frame: Frame, _ bytes: RawSpan, _ connection: Connection) {
        log.add(header.code)
        let body = bytes.extracting(frame.body)
        switch header.requestCode {
        case .getRouteInfoByTopic: route(header, bytes, connection)
        case .getBrokerClusterInfo: cluster(header, connection)
        case .updateAndCreateTopic:
            if let topic = try? CreateTopicHeader(header, in: bytes) {
                queueCounts[topic.topic] = topic.writeQueueCount
            }
            answer(header, connection)
        case .getMaximumOffset, .getMinimumOffset:
            let isMaximum = header.requestCode == .getMaximumOffset
            let count = (try? GetMaximumOffsetHeader(header, in: bytes)).map {
                queues[Self.key($0.topic, $0.queueID.rawValue), default: []].count
            }
            answer(header, connection) { $0.field("offset", Int64(isMaximum ? count ?? 0 : 0)) }
        case .sendMessageV2, .sendBatchMessage: send(header, bytes, body, connection)
        case .pullMessage: pull(header, bytes, connection)
        case .heartbeat, .unregisterClient: answer(header, connection)
        default: answer(header, connection, .requestCodeNotSupported)
        }
    }

    private func answer(
        _ header: CommandHeader, _ connection: Connection, _ code: ResponseCode = .success,
        remark: CommandWriter.Remark = .none, body: [UInt8] = [], _ fields: (inout CommandWriter) -> Void = { _ in }
    ) {
        answer(opaque: header.opaque, header.encoding, connection, code, remark: remark, body: body, fields)
    }

    private func answer(
        opaque: Int32, _ encoding: HeaderEncoding, _ connection: Connection, _ code: ResponseCode,
        remark: CommandWriter.Remark = .none, body: [UInt8] = [], _ fields: (inout CommandWriter) -> Void
    ) {
        var writer = CommandWriter(connection.output, encoding: encoding)
        writer.begin(response: code, opaque: opaque, remark: remark)
        fields(&writer)
        writer.beginBody()
        connection.output.append(body)
        writer.end()
        connection.outputAdded()
    }

    private func route(_ header: CommandHeader, _ bytes: RawSpan, _ connection: Connection) {
        guard let topic = try? header.string("topic", in: bytes), let count = queueCounts[topic] else {
            return answer(header, connection, .topicNotExist, remark: "No topic route info")
        }
        let queue = QueueData(
            brokerName: "fake", readQueueCount: count, writeQueueCount: count, permission: .readWrite)
        answer(
            header, connection, body: TopicRouteData(queues: [queue], brokers: [brokerData]).encoded())
    }

    private func cluster(_ header: CommandHeader, _ connection: Connection) {
        answer(
            header, connection,
            body: ClusterInfo(brokers: ["fake": brokerData], clusters: ["c": ["fake"]]).encoded())
    }

    private var brokerData: BrokerData {
        BrokerData(cluster: "c", brokerName: "fake", addresses: [0: "127.0.0.1:\(port)"])
    }

    // MARK: - Sends

    private func send(_ header: CommandHeader, _ bytes: RawSpan, _ body: RawSpan, _ connection: Connection) {
        guard let fields = try? SendMessageHeader(header, in: bytes) else {
            return answer(header, connection, .systemError, remark: "unreadable")
        }
        if let limit = faults.refusesFrom, messages >= limit {
            return answer(header, connection, .systemBusy, remark: "[OVERLOAD]system busy")
        }
        if faults.hangsUpAt == messages {
            messages += 1
            return connection.close("fault", .abort)
        }
        let topic = bytes.extracting(fields.topic).string()
        if fields.isBatch {
            var position = 0
            while let entry = (try? MessageBatch.next(in: body, at: &position)) ?? nil {
                store(
                    topic, fields.queueID.rawValue, body.extracting(entry.body).array(),
                    body.extracting(entry.properties).array())
            }
        } else {
            store(topic, fields.queueID.rawValue, body.array(), bytes.extracting(fields.properties).array())
        }
        let opaque = header.opaque
        let encoding = header.encoding
        afterStall {
            self.answer(opaque: opaque, encoding, connection, .success) { $0.field("queueId", fields.queueID.rawValue) }
        }
    }

    private func afterStall(_ body: @escaping () -> Void) {
        if let stall = faults.stalls, messages >= stall.from, !hasStalled {
            hasStalled = true
            isStalling = true
            loop.schedule(afterMilliseconds: stall.milliseconds) {
                self.isStalling = false
                for answer in self.stalled { answer() }
                self.stalled = []
            }
        }
        if isStalling { stalled.append(body) } else { body() }
    }

    private func store(_ topic: String, _ queueID: Int32, _ body: [UInt8], _ properties: [UInt8]) {
        let key = Self.key(topic, queueID)
        let number = messages
        messages += 1
        if number == faults.forgets { return }
        if number == faults.delays {
            late = (key, body, properties, queueID)
            return
        }
        var body = body
        if number == faults.corrupts { body[body.count / 2] ^= 0x20 }
        append(key, topic, queueID, body, properties)
        if number == faults.duplicates { append(key, topic, queueID, body, properties) }
        if let waiting = late, waiting.queue == key {
            late = nil
            append(key, topic, queueID, waiting.body, waiting.properties)
        }
    }

    private func append(_ key: String, _ topic: String, _ queueID: Int32, _ body: [UInt8], _ properties: [UInt8]) {
        let offset = queues[key, default: []].count
        let record = Self.record(topic, queueID, Int64(offset), body, properties)
        queues[key, default: []].append(Stored(record: record))
        let waiting = held.filter { $0.queue == key && $0.offset <= offset }
        held.removeAll { $0.queue == key && $0.offset <= offset }
        for pull in waiting { serve(pull) }
    }

    // MARK: - Pulls

    private func pull(_ header: CommandHeader, _ bytes: RawSpan, _ connection: Connection) {
        guard let fields = try? PullMessageHeader(header, in: bytes) else {
            return answer(header, connection, .systemError, remark: "unreadable")
        }
        let pull = Held(
            queue: Self.key(bytes.extracting(fields.topic).string(), fields.queueID.rawValue),
            offset: fields.queueOffset.rawValue, maximum: Int(fields.maxMessageCount), opaque: header.opaque,
            encoding: header.encoding, connection: connection)
        if Int(pull.offset) >= queues[pull.queue, default: []].count, fields.flags.contains(.suspend) {
            held.append(pull)
        } else {
            serve(pull)
        }
    }

    private func serve(_ pull: Held) {
        let stored = queues[pull.queue, default: []]
        let found = stored.dropFirst(Int(pull.offset)).prefix(pull.maximum)
        let next = pull.offset + Int64(found.count)
        answer(
            opaque: pull.opaque, pull.encoding, pull.connection, found.isEmpty ? .pullNotFound : .success,
            body: found.flatMap(\.record)
        ) { writer in
            PullMessageResponseHeader(
                nextBeginOffset: QueueOffset(next), minimumOffset: .zero,
                maximumOffset: QueueOffset(Int64(stored.count))
            ).write(into: &writer)
        }
    }

    private static func key(_ topic: String, _ queueID: Int32) -> String { "\(topic)/\(queueID)" }

    /// A record as ``MessageRecord`` draws it, with hosts 127.0.0.1.
    static func record(
        _ topic: String, _ queueID: Int32, _ offset: Int64, _ body: [UInt8], _ properties: [UInt8]
    ) -> [UInt8] {
        let buffer = ByteBuffer()
        let bytes = ByteBuffer()
        bytes.append(body)
        buffer.append(bigEndian: Int32(MessageRecord.sizeMinimum + body.count + topic.utf8.count + properties.count))
        buffer.append(bigEndian: MessageRecord.magicV1)
        buffer.append(bigEndian: crc32(bytes.bytes) & 0x7FFF_FFFF)
        buffer.append(bigEndian: queueID)
        buffer.append(bigEndian: Int32(0))
        buffer.append(bigEndian: offset)
        buffer.append(bigEndian: Int64(0))
        buffer.append(bigEndian: Int32(0))
        for _ in 0..<2 {
            buffer.append(bigEndian: Int64(1_700_000_000_000))
            buffer.append(bigEndian: UInt32(0x7F00_0001))
            buffer.append(bigEndian: Int32(10_911))
        }
        buffer.append(bigEndian: Int32(0))
        buffer.append(bigEndian: Int64(0))
        buffer.append(bigEndian: Int32(body.count))
        buffer.append(body)
        buffer.append(UInt8(topic.utf8.count))
        buffer.append(utf8: topic)
        buffer.append(bigEndian: UInt16(properties.count))
        buffer.append(properties)
        return buffer.bytes.array()
    }
}
