import Base
import Bytes
import Model
import RemotingProtocol
import Testing

@testable import ApusClient

@Suite("Brokers that are slow or fail are passed over for a while")
struct FaultTableTests {
    @Test(
        "the time grows with the latency as in MQFaultStrategy",
        arguments: [
            (0, 0), (49, 0), (50, 0), (100, 0), (549, 0), (550, 30_000), (999, 30_000), (1000, 60_000), (2000, 120_000),
            (3000, 180_000), (14_999, 180_000), (15_000, 600_000), (30_000, 600_000),
        ] as [(Int64, Int64)])
    func durations(latency: Int64, expected: Int64) {
        #expect(FaultTable.duration(latencyMilliseconds: latency) == expected)
    }

    @Test("a failure counts as 30 s, and the broker is available again when its time is up")
    func failure() {
        var table = FaultTable()
        let start = MonotonicTime(nanoseconds: 0)
        #expect(table.isAvailable("a", now: start))
        table.record("a", latencyMilliseconds: 3, isFailure: true, now: start)
        #expect(!table.isAvailable("a", now: start.advanced(byMilliseconds: 599_999)))
        #expect(table.isAvailable("a", now: start.advanced(byMilliseconds: 600_000)))
        table.record("a", latencyMilliseconds: 3, isFailure: false, now: start)
        #expect(table.isAvailable("a", now: start))
    }

    @Test("when no broker is available, the one that is so first is taken")
    func leastBad() {
        var table = FaultTable()
        let start = MonotonicTime(nanoseconds: 0)
        table.record("a", latencyMilliseconds: 3000, isFailure: false, now: start)
        table.record("b", latencyMilliseconds: 600, isFailure: false, now: start)
        #expect(table.leastBad(of: ["a", "b"]) == "b")
        var rotation = QueueRotation(start: 0)
        let queues = ["a", "b"].map { MessageQueue(topic: "T", brokerName: $0, queueID: QueueID(0)) }
        #expect(rotation.queue(of: queues, avoiding: nil, table, now: start)?.brokerName == "b")
    }
}

@Suite("A message finds its queue")
struct QueueChoiceTests {
    private let queues = ["a", "b"].flatMap { broker in
        (0..<2).map { MessageQueue(topic: "T", brokerName: broker, queueID: QueueID($0)) }
    }

    @Test("queues are taken in turn")
    func turns() {
        var rotation = QueueRotation(start: 3)
        let taken = (0..<5).map { _ in
            rotation.queue(of: queues, avoiding: nil, nil, now: MonotonicTime(nanoseconds: 0))?.description
        }
        #expect(taken == ["T@b:1", "T@a:0", "T@a:1", "T@b:0", "T@b:1"])
    }

    @Test("after a failure another broker's queue is taken, and the same broker's when there is no other")
    func avoidance() {
        var rotation = QueueRotation(start: 0)
        let now = MonotonicTime(nanoseconds: 0)
        #expect(rotation.queue(of: queues, avoiding: "a", nil, now: now)?.brokerName == "b")
        #expect(rotation.queue(of: Array(queues[..<2]), avoiding: "a", nil, now: now)?.brokerName == "a")
        #expect(rotation.queue(of: [], avoiding: "a", nil, now: now) == nil)
    }

    @Test(
        "a key's queue is RocketMQ's: the Java hash over the number of queues",
        arguments: [("TagA", 2_598_919 % 4), ("TagB", 2_598_920 % 4), ("", 0), ("polygenelubricants", 0)])
    func keys(key: String, expected: Int) {
        // "polygenelubricants" has the hash -2^31, whose magnitude no Int32 can hold.
        #expect(queue(forKey: key, of: queues) == queues[expected])
    }
}

@Suite("Ids of messages")
struct MessageIDGeneratorTests {
    @Test("an id is the address, the process, a number, the time of the month and a counter")
    func layout() throws {
        let generator = MessageIDGenerator(address: 0x7F00_0001, process: 0x1_2345, number: 0xDEAD_BEEF)
        let now = Timestamp(milliseconds: 1_795_195_456_883)
        let first = generator.next(at: now)
        #expect(first.count == 32)
        #expect(first.hasPrefix("7F000001" + "2345" + "DEADBEEF"))
        let elapsed = now.milliseconds - MessageIDGenerator.month(of: now).start
        #expect(Int64(first.dropFirst(20).prefix(8), radix: 16) == elapsed)
        #expect(first.hasSuffix("0001"))
        #expect(generator.next(at: now).hasSuffix("0002"))
    }

    @Test("no id comes twice from tasks that make them at once")
    func uniqueness() async {
        let generator = MessageIDGenerator(address: 1, process: 2, number: 3)
        let now = Timestamp(milliseconds: 1_795_195_456_883)
        let ids = await withTaskGroup(of: [String].self) { group in
            for _ in 0..<8 { group.addTask { (0..<1000).map { _ in generator.next(at: now) } } }
            return await group.reduce(into: []) { $0 += $1 }
        }
        #expect(Set(ids).count == 8000)
    }
}

@Suite("Messages are checked and encoded before they are sent")
struct PreparedMessageTests {
    private let now = Timestamp(milliseconds: 1000)
    private var configuration = ProducerConfiguration(group: "g")

    private func prepare(_ message: Message) throws -> PreparedMessage {
        try PreparedMessage(message, id: "ID", at: now, configuration)
    }

    @Test("properties come in the order of RocketMQ's clients")
    func properties() throws {
        var message = Message(
            topic: "T", text: "hi", tag: "a", keys: ["k1", "k2"], properties: ["up": "v"], shardingKey: "s")
        message.delayLevel = 3
        let text = String(decoding: try prepare(message).properties, as: UTF8.self)
        #expect(
            text
                == "KEYS\u{1}k1 k2\u{2}up\u{1}v\u{2}UNIQ_KEY\u{1}ID\u{2}WAIT\u{1}true\u{2}__SHARDINGKEY\u{1}s\u{2}DELAY\u{1}3\u{2}TAGS\u{1}a"
        )
    }

    @Test(
        "what a broker would refuse is refused here",
        arguments: [
            (Message(topic: "", text: ""), .invalidArgument), (Message(topic: "a b", text: ""), .invalidArgument),
            (Message(topic: String(repeating: "t", count: 128), text: ""), .invalidArgument),
            (Message(topic: "SCHEDULE_TOPIC_XXXX", text: ""), .invalidArgument),
            (Message(topic: "T", text: "", properties: ["UNIQ_KEY": "x"]), .invalidArgument),
            (Message(topic: "T", text: "", properties: ["a": "b\u{1}c"]), .invalidArgument),
            (Message(topic: "T", text: "", properties: ["": "b"]), .invalidArgument),
            (Message(topic: "T", text: "", properties: ["a": String(repeating: "b", count: 32_767)]), .messageTooLarge),
            (Message(topic: "T", body: [UInt8](repeating: 0, count: 101)), .messageTooLarge),
        ] as [(Message, ClientError.Code)])
    func refusals(message: Message, code: ClientError.Code) {
        var configuration = configuration
        configuration.messageSizeMaximum = 100
        let error = #expect(throws: ClientError.self) {
            try PreparedMessage(message, id: "ID", at: now, configuration)
        }
        #expect(error?.code == code)
        #expect(error?.isRetriable == false)
    }

    @Test(
        "a large body is compressed as the configuration says, and comes back",
        arguments: [(.zlib, 0x301), (.lz4, 0x101), (.zstd, 0x201)] as [(CompressionCodec, Int32)])
    func compression(codec: CompressionCodec, flags: Int32) throws {
        var configuration = configuration
        configuration.compression = codec
        let body = [UInt8](repeating: 65, count: 4097)
        let prepared = try PreparedMessage(Message(topic: "T", body: body), id: "ID", at: now, configuration)
        #expect(prepared.flags.rawValue == flags)
        #expect(prepared.body.count < 200)
        var received = try StoredRecord(body: prepared.body, flags: prepared.flags).message()
        try received.decompress()
        #expect(received.body == body)
        #expect(received.storedBody == prepared.body)
    }

    @Test("a body of 4096 bytes, and one that does not get smaller, stay as they are")
    func noCompression() throws {
        #expect(try prepare(Message(topic: "T", body: [UInt8](repeating: 65, count: 4096))).flags == [])
        let noise = (0..<5000).map { UInt8(truncatingIfNeeded: $0 &* 2_654_435_761 >> 13 ^ $0 &* 40_503 >> 3) }
        let random = SeededRandom(seed: 7)
        let incompressible = noise.map { _ in UInt8(truncatingIfNeeded: random.next()) }
        #expect(try prepare(Message(topic: "T", body: incompressible)).flags == [])
    }

    @Test("a batch holds every message with an id of its own")
    func batch() throws {
        let messages = (0..<3).map { Message(topic: "T", text: "batch\($0)") }
        let prepared = try PreparedMessage(batch: messages, ids: ["a", "b", "c"], at: now, configuration)
        #expect(prepared.isBatch)
        #expect(String(decoding: prepared.properties, as: UTF8.self) == "WAIT\u{1}true")
        let span = prepared.body.span.bytes
        var position = 0
        var bodies: [String] = []
        while let entry = try MessageBatch.next(in: span, at: &position) {
            bodies.append(span.extracting(entry.body).string())
        }
        #expect(bodies == ["batch0", "batch1", "batch2"])
    }

    @Test(
        "a batch that a broker could not store whole is refused",
        arguments: [
            [], [Message(topic: "T", text: "a"), Message(topic: "U", text: "b")],
            [Message(topic: "%RETRY%g", text: "a")],
        ])
    func badBatch(messages: [Message]) {
        let error = #expect(throws: ClientError.self) {
            try PreparedMessage(batch: messages, ids: messages.map { _ in "i" }, at: now, configuration)
        }
        #expect(error?.code == .invalidArgument)
    }
}
