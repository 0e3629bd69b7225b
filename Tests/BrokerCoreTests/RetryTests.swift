import Base
import Bytes
import Model
import Simulation
import Storage
import Testing

@testable import BrokerCore

@Suite("Messages that come again")
struct RetryTests {
    private static func make(_ change: (inout GroupConfiguration) -> Void = { _ in }) throws -> TestBroker {
        let it = try TestBroker()
        try it.broker.putTopic(TopicConfiguration(name: "T", readQueueCount: 1, writeQueueCount: 1))
        var group = GroupConfiguration(name: "G")
        change(&group)
        try it.broker.putGroup(group)
        return it
    }

    private static func sendBack(
        _ it: TestBroker, _ offset: PhysicalOffset, level: Int32 = 0, maximum: Int32? = nil
    ) throws -> MessageStore.Appended? {
        let appended = try it.broker.sendBack(
            SendBackRequest(offset: offset, group: "G", delayLevel: level, retryMaximum: maximum))
        try it.broker.endTurn()
        return appended
    }

    /// The properties by name, without the checksum.
    private static func properties(_ text: String) -> [String: String] {
        var result: [String: String] = [:]
        for property in text.split(separator: "\u{2}") {
            let parts = property.split(separator: "\u{1}", maxSplits: 1)
            if parts.count == 2, parts[0] != "__CRC32#" { result[String(parts[0])] = String(parts[1]) }
        }
        return result
    }

    @Test("a message climbs the ladder, keeps its first id, and ends among the dead letters", arguments: [true, false])
    func ladder(kills: Bool) throws {
        let it = try Self.make { $0.retryMaximum = 4 }
        let sent = try it.send("T", "body", tag: "a")
        let first = OffsetMessageID(host: .loopback(port: 0), offset: sent.physicalOffset).description
        var offset = sent.physicalOffset
        for (attempt, delay) in [10_000, 30_000, 60_000, 120_000].enumerated() as EnumeratedSequence<[Int64]> {
            _ = try Self.sendBack(it, offset)
            if kills { try it.kill() }
            try it.run(milliseconds: delay - 1)
            #expect(try it.bodies("%RETRY%G").count == attempt)
            try it.run(milliseconds: 1)
            #expect(try it.bodies("%RETRY%G").count == attempt + 1)
            let (record, text) = try it.lastRecord("%RETRY%G")
            #expect(record.reconsumeTimes == Int32(attempt + 1))
            let properties = Self.properties(text)
            #expect(properties["RETRY_TOPIC"] == "T")
            #expect(properties["ORIGIN_MESSAGE_ID"] == first)
            #expect(properties["DELAY"] == String(attempt + 3))
            #expect(properties["REAL_TOPIC"] == "%RETRY%G")
            #expect(properties["TAGS"] == "a")
            offset = record.physicalOffset
        }
        #expect(it.broker.topic("%DLQ%G") == nil)
        _ = try Self.sendBack(it, offset)
        #expect(try it.bodies("%DLQ%G") == ["body"])
        let (record, text) = try it.lastRecord("%DLQ%G")
        #expect(record.reconsumeTimes == 5)
        #expect(
            Self.properties(text) == ["RETRY_TOPIC": "T", "ORIGIN_MESSAGE_ID": first, "TAGS": "a"])
        let configuration = try #require(it.broker.topic("%DLQ%G")).configuration
        #expect(configuration.queueCount == 1 && configuration.permission == .readWrite)
    }

    @Test(
        "what the consumer says goes before what the group says",
        arguments: [
            (level: -1, maximum: nil, isDead: true, delay: 0), (level: 1, maximum: nil, isDead: false, delay: 1_000),
            (level: 99, maximum: nil, isDead: false, delay: 7_200_000), (level: 0, maximum: 0, isDead: true, delay: 0),
            (level: 5, maximum: -1, isDead: true, delay: 0), (level: 0, maximum: 1, isDead: false, delay: 10_000),
        ] as [(level: Int32, maximum: Int32?, isDead: Bool, delay: Int64)])
    func consumer(level: Int32, maximum: Int32?, isDead: Bool, delay: Int64) throws {
        let it = try Self.make()
        let sent = try it.send("T", "body")
        _ = try Self.sendBack(it, sent.physicalOffset, level: level, maximum: maximum)
        #expect((it.broker.topic("%DLQ%G") != nil) == isDead)
        guard !isDead else { return }
        try it.run(milliseconds: delay - 1)
        #expect(try it.bodies("%RETRY%G") == [])
        try it.run(milliseconds: 1)
        #expect(try it.bodies("%RETRY%G") == ["body"])
    }

    @Test(
        "a group's own policy says when",
        arguments: [
            (.exponential(initial: 1_000, maximum: 5_000, multiplier: 2), [1_000, 2_000, 4_000, 5_000, 5_000]),
            (.exponential(initial: 0, maximum: 5_000, multiplier: 2), [0, 0]),
            (.exponential(initial: 3, maximum: Int64.max, multiplier: Int64.max), [3, Int64.max]),
            (.exponential(initial: -5, maximum: -3, multiplier: -2), [0, 0]),
            (.list([1, 2, 30, 40, 50]), [30, 40, 50, 50]), (.list([7]), [7, 7]), (.list([]), [nil]),
            (.ladder, [nil, nil]),
        ] as [(RetryPolicy, [Int64?])])
    func policy(policy: RetryPolicy, delays: [Int64?]) {
        for (attempt, delay) in delays.enumerated() { #expect(policy.delay(attempts: Int32(attempt)) == delay) }
    }

    @Test(
        "a policy survives in the state",
        arguments: [.ladder, .exponentialDefault, .list([1, 2, 3, 4])] as [RetryPolicy])
    func stored(policy: RetryPolicy) throws {
        let it = try Self.make { $0.retryPolicy = policy }
        try it.broker.endTurn()
        try it.kill()
        #expect(it.broker.group("G")?.retryPolicy == policy)
        try it.restart()
        #expect(it.broker.group("G")?.retryPolicy == policy)
        guard case .list = policy else { return }
        let sent = try it.send("T", "body")
        _ = try Self.sendBack(it, sent.physicalOffset)
        try it.run(milliseconds: 3)
        #expect(try it.bodies("%RETRY%G") == ["body"])
    }

    @Test("what cannot be sent back is refused")
    func refusals() throws {
        let it = try Self.make { $0.retryQueueCount = 0 }
        let sent = try it.send("T", "body")
        #expect(try Self.sendBack(it, sent.physicalOffset) == nil)
        try it.broker.putGroup(GroupConfiguration(name: "G"))
        for offset in [sent.physicalOffset.rawValue + 1, -1, Int64.max, Int64.min, 1 << 40] {
            #expect(throws: BrokerError.messageUnknown(PhysicalOffset(offset))) {
                try Self.sendBack(it, PhysicalOffset(offset))
            }
        }
        // A message that waits was never given to a consumer.
        let waiting = try it.sendLater("T", "later", in: 1_000)
        #expect(throws: BrokerError.messageUnknown(waiting.physicalOffset)) {
            try Self.sendBack(it, waiting.physicalOffset)
        }
        try it.broker.putTopic(
            TopicConfiguration(name: "%RETRY%G", readQueueCount: 1, writeQueueCount: 1, permission: .read))
        #expect(throws: BrokerError.topicNotWritable("%RETRY%G")) { try Self.sendBack(it, sent.physicalOffset) }
    }

    @Test("a group that nobody knows cannot send back when groups are not made on first use")
    func unknownGroup() throws {
        let it = try TestBroker { $0.createsGroups = false }
        #expect(throws: BrokerError.groupUnknown("G")) {
            try it.broker.sendBack(SendBackRequest(offset: .zero, group: "G", delayLevel: 0))
        }
    }

    @Test("what a client sends to a retry topic itself goes to the dead letters when its attempts are used up")
    func retrySend() throws {
        let it = try Self.make { $0.retryMaximum = 3 }
        #expect(try it.broker.retrySend(to: "%RETRY%G", attempts: 3, retryMaximum: nil) == .asSent)
        #expect(try it.broker.retrySend(to: "%RETRY%G", attempts: 9, retryMaximum: 9) == .asSent)
        guard case .dead(let queue) = try it.broker.retrySend(to: "%RETRY%G", attempts: 4, retryMaximum: nil) else {
            Issue.record("not dead")
            return
        }
        #expect(queue.topic.name == "%DLQ%G")
        // An orderly consumer gives up when the maximum is reached.
        _ = try it.broker.lock(
            [MessageQueue(topic: "T", brokerName: "broker-a", queueID: QueueID(0))], group: "G", clientID: "c")
        guard case .dead = try it.broker.retrySend(to: "%RETRY%G", attempts: 3, retryMaximum: nil) else {
            Issue.record("not dead")
            return
        }
        try it.broker.putGroup(
            {
                var group = GroupConfiguration(name: "H")
                group.retryPolicy = .exponential(initial: 100, maximum: 1_000, multiplier: 3)
                return group
            }())
        #expect(
            try it.broker.retrySend(to: "%RETRY%H", attempts: 3, retryMaximum: nil) == .delayed(milliseconds: 900))
    }
}
