import Base
import BrokerCore
import Model
import RemotingFrontend
import RemotingProtocol
import Testing

/// The refusals of sends in the order in which RocketMQ checks (remoting reference §1.9, "Send"): each row breaks this rule and
/// every later one too.
@Suite("Refused sends")
struct SendErrorTests {
    struct Row: CustomTestStringConvertible, Sendable {
        var name: String
        var code: ResponseCode
        var remark: String
        var change: @Sendable (BrokerConversation, inout Fields, inout [UInt8]) throws -> Void
        var testDescription: String { name }
    }

    /// The fields of a request, by name.
    struct Fields {
        var list: [(StaticString, String)]
        subscript(name: StaticString) -> String? {
            get { list.first { $0.0.description == name.description }?.1 }
            set {
                list.removeAll { $0.0.description == name.description }
                if let newValue { list.append((name, newValue)) }
            }
        }
    }

    static let big = String(repeating: "p", count: 33_000)
    static let rows: [Row] = [
        Row(name: "blank topic", code: .systemError, remark: "The specified topic is blank.") { _, fields, _ in
            fields["b"] = " "
        },
        Row(name: "empty topic", code: .systemError, remark: "The specified topic is blank.") { _, fields, _ in
            fields["b"] = ""
        },
        Row(
            name: "bad characters", code: .systemError,
            remark: "The specified topic contains illegal characters, allowing only ^[%|a-zA-Z0-9_-]+$"
        ) { _, fields, _ in fields["b"] = "no/slash" },
        Row(
            name: "too long", code: .systemError, remark: "The specified topic is longer than topic max length."
        ) { _, fields, _ in fields["b"] = String(repeating: "t", count: 128) },
        Row(
            name: "system topic", code: .noPermission,
            remark: "Sending message to topic[SCHEDULE_TOPIC_XXXX] is forbidden."
        ) { _, fields, _ in fields["b"] = "SCHEDULE_TOPIC_XXXX" },
        Row(
            name: "state topic", code: .noPermission,
            remark: "Sending message to topic[rmq_sys_APUS_STATE] is forbidden."
        ) { _, fields, _ in fields["b"] = "rmq_sys_APUS_STATE" },
        Row(
            name: "unknown topic", code: .topicNotExist,
            remark: "topic[Unknown] not exist, apply first please!\nSee http://rocketmq.apache.org/docs/faq/"
        ) { _, fields, _ in
            fields["b"] = "Unknown"
            fields["c"] = "NoSuchDefault"
        },
        Row(
            name: "read-only topic", code: .noPermission, remark: "the topic[ReadOnly] sending message is forbidden"
        ) { it, fields, _ in
            try it.putTopic("ReadOnly", permission: .read)
            fields["b"] = "ReadOnly"
        },
        Row(name: "queue beyond the last", code: .systemError, remark: "request queueId[99] is illegal, TopicConfig [")
        {
            _, fields, _ in
            fields["e"] = "99"
        },
        Row(name: "body too large", code: .messageIllegal, remark: "the message is illegal, maybe msg body or") {
            _, fields, body in
            fields["e"] = "0"
            body = [UInt8](repeating: 1, count: Limits.messageSizeDefault + 1)
        },
        Row(name: "properties too long", code: .messageIllegal, remark: "the message is illegal, maybe msg body or") {
            _, fields, _ in
            fields["e"] = "0"
            fields["i"] = "big\u{1}\(big)"
        },
        Row(name: "queue id that is no number", code: .systemError, remark: "") { _, fields, _ in fields["e"] = "one" },
        Row(name: "queue id of 64 bits", code: .systemError, remark: "") { _, fields, _ in fields["e"] = "4294967296" },
        Row(name: "no topic", code: .systemError, remark: "") { _, fields, _ in fields["b"] = nil },
        Row(name: "no queue", code: .systemError, remark: "") { _, fields, _ in fields["e"] = nil },
    ]

    @Test("the code, the words and the region are RocketMQ's", arguments: rows, [HeaderEncoding.json, .binary])
    func refusal(_ row: Row, _ encoding: HeaderEncoding) throws {
        let it = try BrokerConversation()
        try it.putTopic("T")
        let client = it.connect()
        client.encoding = encoding
        var fields = Fields(list: TestClient.sendFields("T", queue: 99))
        var body = Array("x".utf8)
        try row.change(it, &fields, &body)
        let answer = try client.ask(.sendMessageV2, fields.list, body: body)
        #expect(answer.responseCode == row.code)
        #expect(answer.remark?.hasPrefix(row.remark) == true, "\(answer)")
        #expect(answer.fields == ["MSG_REGION": "DefaultRegion", "TRACE_ON": "true"])
        #expect(it.broker.metrics.messagesSent == 0)
        #expect(it.broker.metrics.sendsRefused == 1)
        // The connection and the broker go on.
        #expect(try client.produce("after", to: "T").code == 0)
    }

    @Test("a broker that may not be written refuses before everything else")
    func brokerPermission() throws {
        let it = try BrokerConversation { configuration, _ in configuration.permission = .read }
        let answer = try it.connect().ask(.sendMessageV2, TestClient.sendFields("no/slash"))
        #expect(answer.responseCode == .noPermission)
        #expect(answer.remark == "the broker[127.0.0.1] sending message is forbidden")
    }

    @Test("topics of the broker itself take no message, in any queue", arguments: SystemTopics.sendForbidden.sorted())
    func systemTopics(_ name: String) throws {
        let it = try BrokerConversation()
        let answer = try it.connect().produce("x", to: name)
        #expect(answer.responseCode == .noPermission)
        #expect(answer.remark == "Sending message to topic[\(name)] is forbidden.")
    }

    @Test("a one-way send is never answered, refused or not", arguments: ["T", "no/slash", ""])
    func oneway(_ topic: String) throws {
        let it = try BrokerConversation()
        try it.putTopic("T")
        let client = it.connect()
        client.send(.sendMessageV2, TestClient.sendFields(topic), body: [1], isOneway: true)
        it.turn()
        #expect(try client.receive().isEmpty)
    }

    @Test("a negative queue id means any queue")
    func anyQueue() throws {
        let it = try BrokerConversation()
        try it.putTopic("T", queues: 8)
        let client = it.connect()
        let used = try (0..<64).map { _ in try client.produce("x", to: "T", queue: -1).fields["queueId"] }
        #expect(Set(used).count > 4)
    }

    @Test(
        "a new topic has as many queues as the producer asks, up to those of the default topic",
        arguments: [
            ("4", 4), ("0", 0), ("100", 8), ("-3", 0), ("2147483647", 8),
        ] as [(String, Int32)])
    func creation(_ asked: String, _ expected: Int32) throws {
        let it = try BrokerConversation()
        let client = it.connect()
        var created: [TopicConfiguration] = []
        it.broker.topicAutoCreated = { created.append($0) }
        var fields = TestClient.sendFields("New")
        fields[3] = ("d", asked)
        let answer = try client.ask(.sendMessageV2, fields, body: [1])
        #expect((answer.code == 0) == (expected > 0), "\(answer)")
        #expect(it.broker.topic("New")?.configuration.writeQueueCount == expected)
        #expect(created.map(\.name) == ["New"])
        #expect(it.broker.topic("New")?.configuration.permission == .readWrite)
    }
}
