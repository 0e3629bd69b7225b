import Base
import BrokerCore
import Bytes
import Model
import RemotingProtocol
import Simulation
import Storage
import Testing

@testable import RemotingFrontend

@Suite("Delayed messages and retries over the protocol")
struct DelayTests {
    private static func make(
        _ change: @escaping (inout BrokerConfiguration) -> Void = { _ in }
    ) throws -> BrokerConversation {
        let it = try BrokerConversation { broker, _ in
            broker.name = "broker-a"
            change(&broker)
        }
        try it.putTopic("T")
        it.turn()
        return it
    }

    private static func bodies(_ client: TestClient, _ topic: String, queue: Int32 = 0) throws -> [String] {
        let answer = try client.ask(.pullMessage, TestClient.pullFields(topic, queue: queue))
        return answer.responseCode == .success ? try answer.messages().map(\.text) : []
    }

    @Test(
        "a message that says so is delivered later",
        arguments: [
            ("DELAY\u{1}1", 1_000), ("DELAY\u{1}2\u{2}TIMER_DELAY_MS\u{1}77", 5_000), ("DELAY\u{1}18", 7_200_000),
            ("DELAY\u{1}19", 7_200_000), ("DELAY\u{1}2147483647", 7_200_000), ("DELAY\u{1}0", 0), ("DELAY\u{1}-1", 0),
            ("DELAY\u{1}0\u{2}TIMER_DELAY_MS\u{1}77", 77), ("TIMER_DELAY_SEC\u{1}3", 3_000),
            ("TIMER_DELAY_SEC\u{1}3\u{2}TIMER_DELAY_MS\u{1}77", 3_000), ("TIMER_DELAY_MS\u{1}1", 1),
            ("TIMER_DELAY_MS\u{1}0", 0), ("TIMER_DELAY_MS\u{1}-5", 0), ("TIMER_DELAY_SEC\u{1}-9223372036854775808", 0),
            ("TIMER_DELAY_MS\u{1}-9223372036854775808", 0), ("TIMER_DELIVER_MS\u{1}5", 0),
            ("TIMER_DELIVER_MS\u{1}1795200000250", 250), ("TIMER_DELIVER_MS\u{1}-1", 0),
        ] as [(String, Int64)])
    func due(properties: String, delay: Int64) throws {
        let it = try Self.make()
        let client = it.connect()
        let start = it.clock.timestamp.milliseconds
        #expect(start == 1_795_200_000_000)
        let sent = try client.ask(
            .sendMessageV2, TestClient.sendFields("T", queue: 2, properties: properties), body: [65])
        #expect(sent.responseCode == .success)
        #expect(sent.fields["queueId"] == "2")
        if delay > 0 {
            it.advance(milliseconds: delay - 1, step: max(10, delay / 50))
            #expect(try Self.bodies(client, "T", queue: 2) == [])
            it.advance(milliseconds: 1)
        }
        #expect(try Self.bodies(client, "T", queue: 2) == ["A"])
    }

    @Test(
        "what is no time is refused, and what is no level is no number",
        arguments: [
            ("TIMER_DELAY_SEC\u{1}x", ResponseCode.messageIllegal, "timer message illegal, the delay time"),
            ("TIMER_DELAY_MS\u{1}", .messageIllegal, "timer message illegal"),
            ("TIMER_DELIVER_MS\u{1}1.5", .messageIllegal, "timer message illegal"),
            ("TIMER_DELIVER_MS\u{1}9223372036854775808", .messageIllegal, "timer message illegal"),
            ("DELAY\u{1}x", .systemError, "java.lang.NumberFormatException: For input string: \"x\""),
            ("DELAY\u{1}2147483648", .systemError, "java.lang.NumberFormatException"),
        ] as [(String, ResponseCode, String)])
    func illegal(properties: String, code: ResponseCode, remark: String) throws {
        let client = try Self.make().connect()
        let answer = try client.ask(.sendMessageV2, TestClient.sendFields("T", properties: properties), body: [65])
        #expect(answer.responseCode == code)
        #expect(answer.remark?.hasPrefix(remark) == true, "\(answer)")
        #expect(try Self.bodies(client, "T") == [])
    }

    @Test(
        "what is due in the far future is taken", arguments: ["TIMER_DELAY_SEC", "TIMER_DELAY_MS", "TIMER_DELIVER_MS"])
    func farFuture(name: String) throws {
        let it = try Self.make()
        let client = it.connect()
        let properties = "\(name)\u{1}9223372036854775807"
        let answer = try client.ask(.sendMessageV2, TestClient.sendFields("T", properties: properties), body: [65])
        #expect(answer.responseCode == .success)
        it.advance(milliseconds: 100_000_000, step: 1_000_000)
        #expect(try Self.bodies(client, "T") == [])
        #expect(it.broker.pendingTimerCount == 1)
    }

    @Test("levels are what the setting says")
    func levels() throws {
        let it = try Self.make { $0.timers.delayLevels = [10, 20] }
        let client = it.connect()
        _ = try client.ask(.sendMessageV2, TestClient.sendFields("T", properties: "DELAY\u{1}9"), body: [65])
        it.advance(milliseconds: 20)
        #expect(try Self.bodies(client, "T") == ["A"])
    }

    @Test("nobody sends to the wheel or reads it")
    func wheel() throws {
        let client = try Self.make().connect()
        let sent = try client.ask(.sendMessageV2, TestClient.sendFields("rmq_sys_wheel_timer"), body: [65])
        #expect(sent.responseCode == .noPermission)
        let pulled = try client.ask(.pullMessage, TestClient.pullFields("rmq_sys_wheel_timer"))
        #expect(pulled.responseCode == .topicNotExist)
    }

    @Test("a segment does not expire while a message waits in it", arguments: [true, false])
    func retention(rolls: Bool) throws {
        let it = try BrokerConversation { broker, store in
            store.segmentSize = 256 * 1024
            store.retention.reservedHours = 1
            store.retention.deletionHours = Set(0..<24)
            if rolls { broker.timers.windowMilliseconds = 1_800_000 }
        }
        try it.putTopic("T")
        let client = it.connect()
        let fields = TestClient.sendFields("T", properties: "TIMER_DELAY_SEC\u{1}7200")
        #expect(try client.ask(.sendMessageV2, fields, body: [65]).responseCode == .success)
        for _ in 0..<8 {
            _ = try client.ask(
                .sendMessageV2, TestClient.sendFields("T", queue: 1), body: [UInt8](repeating: 66, count: 100_000))
        }
        it.advance(milliseconds: 5_400_000, step: 5_000)
        // A message that was moved to another slot leaves its old segment to expire.
        #expect((it.broker.store.start > .zero) == rolls)
        it.advance(milliseconds: 1_795_000, step: 5_000)
        #expect(try Self.bodies(client, "T") == [])
        it.advance(milliseconds: 5_000, step: 1_000)
        #expect(try Self.bodies(client, "T") == ["A"])
        it.advance(milliseconds: 100_000, step: 5_000)
        #expect(it.broker.store.start > .zero)
        #expect(it.broker.metrics.timersLost == 0)
    }

    // MARK: - Recall

    @Test("a timer is taken back with the handle that its send answered, once")
    func recall() throws {
        let it = try Self.make()
        let client = it.connect()
        let sent = try client.ask(
            .sendMessageV2, TestClient.sendFields("T", properties: "UNIQ_KEY\u{1}ABC\u{2}TIMER_DELAY_MS\u{1}5000"),
            body: [65])
        let handle = try #require(sent.fields["recallHandle"])
        #expect(RecallHandle(handle)?.uniqueKey == "ABC")
        #expect(RecallHandle(handle)?.due.milliseconds == 1_795_200_005_000)
        let recalled = try client.ask(.recallMessage, [("topic", "T"), ("recallHandle", handle)])
        #expect(recalled.responseCode == .success)
        #expect(recalled.fields["msgId"] == "ABC")
        let again = try client.ask(.recallMessage, [("topic", "T"), ("recallHandle", handle)])
        #expect(again.responseCode == .illegalOperation)
        it.advance(milliseconds: 6_000, step: 500)
        #expect(try Self.bodies(client, "T") == [])
    }

    private static func handle(_ text: String) -> String { Base64URL.encode(Array(text.utf8)) }

    @Test(
        "a recall that cannot be is refused with RocketMQ's code",
        arguments: [
            ("T", "", 604, "recall handle is invalid"), ("T", "!!", 604, "recall handle is invalid"),
            ("T", handle("v2 T broker-a 1795200005000 A"), 604, "recall handle is invalid"),
            ("T", handle("v1 T broker-a 1795200005000"), 604, "recall handle is invalid"),
            ("T", handle("v1 U broker-a 1795200005000 A"), 604, "recall failed, topic not match"),
            ("T", handle("v1 T broker-b 1795200005000 A"), 604, "recall failed, broker service not available"),
            ("T", handle("v1 T broker-a 1795200000000 A"), 604, "recall failed, timestamp invalid"),
            ("T", handle("v1 T broker-a 1795200005000 A"), 604, "recall failed, the message does not wait any more"),
            ("U", handle("v1 U broker-a 1795200005000 A"), 17, "recall failed, the topic[U] not exist"),
        ] as [(String, String, Int32, String)])
    func recallRefused(topic: String, handle: String, code: Int32, remark: String) throws {
        let client = try Self.make().connect()
        let answer = try client.ask(.recallMessage, [("topic", topic), ("recallHandle", handle)])
        #expect(answer.code == code)
        #expect(answer.remark == remark)
    }

    @Test("base64 goes there and back", arguments: 0..<10)
    func base64(count: Int) {
        let bytes = (0..<count).map { UInt8($0 * 29 & 0xFF) }
        let text = Base64URL.encode(bytes)
        #expect(text.utf8.count % 4 == 0)
        if count > 0 { #expect(Base64URL.decode(text) == bytes) }
    }

    // MARK: - Retries

    private static func sendBackFields(_ offset: Int64, _ group: String = "G", level: String = "0") -> [(
        StaticString, String
    )] {
        [("offset", String(offset)), ("group", group), ("delayLevel", level)]
    }

    @Test("a message that is sent back comes again, and then is a dead letter that can be read")
    func sendBack() throws {
        let it = try Self.make()
        let client = it.connect()
        try client.subscribe("G", to: ["T", "%RETRY%G"], clientID: "c")
        try client.produce("again", to: "T", tags: "a")
        let first = try #require(try client.ask(.pullMessage, TestClient.pullFields("T", group: "G")).messages().first)
        let back = try client.ask(.consumerSendMessageBack, Self.sendBackFields(first.physicalOffset, level: "1"))
        #expect(back.responseCode == .success)
        #expect(back.fields == [:])
        it.advance(milliseconds: 1_000, step: 100)
        let second = try #require(
            try client.ask(.pullMessage, TestClient.pullFields("%RETRY%G", group: "G")).messages().first)
        #expect(second.text == "again")
        let dead = try client.ask(
            .consumerSendMessageBack,
            Self.sendBackFields(second.physicalOffset) + [("maxReconsumeTimes", "1")])
        #expect(dead.responseCode == .success)
        #expect(try Self.bodies(client, "%DLQ%G") == ["again"])
    }

    @Test("what cannot be sent back is refused with RocketMQ's words")
    func sendBackRefused() throws {
        let it = try Self.make { $0.createsGroups = false }
        let client = it.connect()
        let unknown = try client.ask(.consumerSendMessageBack, Self.sendBackFields(0, "nobody"))
        #expect(unknown.responseCode == .subscriptionGroupNotExist)
        #expect(
            unknown.remark
                == "subscription group not exist, nobody \nSee http://rocketmq.apache.org/docs/faq/ for further details."
        )
        try it.broker.putGroup(GroupConfiguration(name: "G"))
        let gone = try client.ask(.consumerSendMessageBack, Self.sendBackFields(123_456_789))
        #expect(gone.responseCode == .systemError)
        #expect(gone.remark == "look message by offset failed, 123456789")
    }

    @Test(
        "what a client sends to a retry topic itself",
        arguments: [
            (attempts: "1", maximum: "3", isDead: false), (attempts: "3", maximum: "3", isDead: false),
            (attempts: "4", maximum: "3", isDead: true), (attempts: "17", maximum: nil, isDead: true),
        ] as [(attempts: String, maximum: String?, isDead: Bool)])
    func retrySend(attempts: String, maximum: String?, isDead: Bool) throws {
        let it = try Self.make()
        let client = it.connect()
        var fields = TestClient.sendFields(
            "%RETRY%G", properties: "RETRY_TOPIC\u{1}T\u{2}DELAY\u{1}4\u{2}TRAN_MSG\u{1}true\u{2}UNIQ_KEY\u{1}K")
        fields[fields.firstIndex { $0.0.description == "j" } ?? 0].1 = attempts
        if let maximum { fields.append(("l", maximum)) }
        let sent = try client.ask(.sendMessageV2, fields, body: Array("x".utf8))
        #expect(sent.responseCode == .success)
        #expect(sent.fields["recallHandle"] == nil)
        #expect(try Self.bodies(client, isDead ? "%DLQ%G" : "%RETRY%G") == (isDead ? ["x"] : []))
        guard !isDead else { return }
        it.advance(milliseconds: 30_000, step: 1_000)
        #expect(try Self.bodies(client, "%RETRY%G") == ["x"])
    }

    @Test("a group's retry policy goes there and back in RocketMQ's words")
    func policy() throws {
        let it = try Self.make()
        let client = it.connect()
        let json =
            #"{"groupName":"G","retryMaxTimes":5,"groupRetryPolicy":{"type":"EXPONENTIAL","exponentialRetryPolicy":{"initial":100,"max":900,"multiplier":3}}}"#
        #expect(try client.ask(.updateAndCreateSubscriptionGroup, body: Array(json.utf8)).responseCode == .success)
        #expect(
            it.broker.group("G")?.retryPolicy == .exponential(initial: 100, maximum: 900, multiplier: 3))
        for policy in [RetryPolicy.ladder, .exponentialDefault, .list([1, 2, 3])] {
            var group = GroupConfiguration(name: "H")
            group.retryPolicy = policy
            #expect(try client.ask(.updateAndCreateSubscriptionGroup, body: group.encoded()).responseCode == .success)
            #expect(it.broker.group("H")?.retryPolicy == policy)
        }
    }
}
