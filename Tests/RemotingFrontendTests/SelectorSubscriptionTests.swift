import Base
import BrokerCore
import Model
import RemotingFrontend
import RemotingProtocol
import Testing

/// SQL92 subscriptions over the wire: where they come from, what is refused in which words, and what holds and wakes pulls.
@Suite("SQL92 subscriptions")
struct SelectorSubscriptionTests {
    private let it: BrokerConversation
    private let consumer: TestClient
    private let producer: TestClient

    init() throws {
        it = try BrokerConversation()
        try it.putTopic("T")
        consumer = it.connect()
        producer = it.connect(port: 40_001)
    }

    // MARK: - Requests

    private func send(_ text: String, _ properties: String) throws {
        let encoded = properties.replacing(" ", with: "\u{2}").replacing("=", with: "\u{1}")
        let fields = TestClient.sendFields("T", properties: encoded)
        #expect(try producer.ask(.sendMessageV2, fields, body: Array(text.utf8)).code == 0)
    }

    /// A pull that brings its expression.
    static func pull(
        _ expression: String?, type: String? = "SQL92", from offset: Int64 = 0, hold: Int64? = nil
    ) -> [(StaticString, String)] {
        var fields = TestClient.pullFields("T", from: offset, holdMilliseconds: hold)
        fields.removeAll { "\($0.0)" == "subscription" || "\($0.0)" == "expressionType" }
        if let expression { fields.append(("subscription", expression)) }
        if let type { fields.append(("expressionType", type)) }
        return fields
    }

    /// A pull that relies on the heartbeat.
    static func pullByHeartbeat(version: Int64 = 1) -> [(StaticString, String)] {
        TestClient.pullFields("T").map { name, value in
            switch "\(name)" {
            case "sysFlag": (name, "0")
            case "subVersion": (name, String(version))
            default: (name, value)
            }
        }
    }

    @discardableResult
    private func subscribe(
        _ expression: String, type: String = "SQL92", version: Int64 = 1, on client: TestClient? = nil,
        clientID: String = "c1"
    ) throws -> Received {
        let heartbeat = HeartbeatData(
            clientID: clientID, producerGroups: [],
            consumers: [
                ConsumerData(
                    groupName: "CG", consumeType: .push, messageModel: .clustering, consumeFromWhere: .lastOffset,
                    subscriptions: [
                        Subscription(topic: "T", expressionType: type, expression: expression, version: version)
                    ])
            ])
        return try (client ?? consumer).ask(.heartbeat, body: heartbeat.encoded())
    }

    private func check(_ expression: String, type: String) throws -> Received {
        let body = CheckClientConfigBody(
            clientID: "c1", group: "CG",
            subscription: Subscription(topic: "T", expressionType: type, expression: expression))
        return try consumer.ask(.checkClientConfig, body: body.encoded())
    }

    // MARK: - Pulls

    @Test("a pull that brings its expression gets what passes, and goes on behind what was looked at")
    func inHeader() throws {
        for number in 0..<10 { try send("\(number)", "a=\(number) region=\(number % 2 == 0 ? "EU" : "ASIA")") }
        let answer = try consumer.ask(.pullMessage, Self.pull("a > 5 AND region IN ('EU','US')"))
        #expect(answer.code == 0)
        #expect(try answer.messages().map(\.text) == ["6", "8"])
        #expect(answer.fields["nextBeginOffset"] == "10")
        let none = try consumer.ask(.pullMessage, Self.pull("a > 50"))
        #expect(none.responseCode == .pullRetryImmediately)
        #expect(none.remark == "NO_MATCHED_MESSAGE")
        #expect(none.fields["nextBeginOffset"] == "10")
        #expect(none.body.isEmpty)
    }

    @Test("a group's heartbeat brings the expression, compiled once for all pulls")
    func byHeartbeat() throws {
        try send("yes", "TAGS=red a=1")
        try send("no", "TAGS=blue a=1")
        #expect(try subscribe("TAGS = 'red'").code == 0)
        for _ in 0..<3 {
            let answer = try consumer.ask(.pullMessage, Self.pullByHeartbeat())
            #expect(try answer.messages().map(\.text) == ["yes"])
        }
        #expect(try subscribe("TAGS = 'blue'", version: 2).code == 0)
        #expect(try consumer.ask(.pullMessage, Self.pullByHeartbeat(version: 2)).messages().map(\.text) == ["no"])
        #expect(try consumer.ask(.pullMessage, Self.pullByHeartbeat(version: 3)).responseCode == .subscriptionNotLatest)
    }

    @Test("a pull that filters nearly everything looks at a bounded number of messages, and gets on")
    func progress() throws {
        for number in 0..<2_000 { try send("\(number)", "a=\(number)") }
        var offset: Int64 = 0
        var pulls = 0
        while true {
            let answer = try consumer.ask(.pullMessage, Self.pull("a = 1999", from: offset))
            pulls += 1
            offset = try #require(answer.fields["nextBeginOffset"].flatMap { Int64($0) })
            guard answer.responseCode == .pullRetryImmediately else {
                #expect(try answer.messages().map(\.text) == ["1999"])
                break
            }
            #expect(answer.body.isEmpty)
        }
        #expect(pulls == 3)
    }

    @Test("a pull at the end is woken by a message that passes, and by no other")
    func holds() throws {
        try send("old", "a=1")
        let pull = consumer.send(.pullMessage, Self.pull("a > 5", from: 1, hold: 15_000))
        it.turn()
        for number in 0..<1_000 { try send("\(number)", "a=\(number % 6)") }
        try send("text", "a=x")
        try send("none", "b=9")
        #expect(try consumer.answer(to: pull) == nil)
        #expect(it.broker.heldFetchCount == 1)
        try send("yes", "a=6")
        let answer = try #require(try consumer.answer(to: pull))
        #expect(try answer.messages().map(\.text) == ["yes"])
        #expect(answer.fields["nextBeginOffset"] == "1004")
    }

    @Test("a pull whose time is over goes on behind what did not pass")
    func expires() throws {
        let pull = consumer.send(.pullMessage, Self.pull("a > 5", hold: 1_000))
        it.turn()
        for number in 0..<3 { try send("\(number)", "a=1") }
        it.advance(milliseconds: 1_100)
        let answer = try #require(try consumer.answer(to: pull))
        #expect(answer.responseCode == .pullRetryImmediately)
        #expect(answer.fields["nextBeginOffset"] == "3")
    }

    @Test("a wake-up by tag leaves out what came before, too")
    func tagWakes() throws {
        let pull = consumer.send(
            .pullMessage, TestClient.pullFields("T", holdMilliseconds: 15_000, expression: "red"))
        it.turn()
        for number in 0..<900 { try send("\(number)", "TAGS=blue") }
        try send("yes", "TAGS=red")
        let answer = try #require(try consumer.answer(to: pull))
        #expect(try answer.messages().map(\.text) == ["yes"])
    }

    // MARK: - Refusals

    @Test(
        "a pull's expression that cannot be used is refused, with the place",
        arguments: [
            (
                "a >",
                "parse the consumer's subscription failed (at character 4: expected a property, a literal, NOT or (, found the end)"
            ),
            (
                "",
                "parse the consumer's subscription failed (at character 1: the expression is empty, expected a condition)"
            ),
        ])
    func badPull(expression: String, remark: String) throws {
        let answer = try consumer.ask(.pullMessage, Self.pull(expression))
        #expect(answer.responseCode == .subscriptionParseFailed)
        #expect(answer.remark == remark)
    }

    @Test("a pull without an expression gets everything by tags, and is refused for SQL92")
    func noExpression() throws {
        try send("x", "a=1")
        #expect(try consumer.ask(.pullMessage, Self.pull(nil, type: nil)).messages().count == 1)
        #expect(try consumer.ask(.pullMessage, Self.pull(nil, type: "TAG")).messages().count == 1)
        #expect(try consumer.ask(.pullMessage, Self.pull(nil)).responseCode == .subscriptionParseFailed)
    }

    @Test("an expression of a heartbeat that cannot be used is told to those who pull")
    func badHeartbeat() throws {
        try send("x", "a=1")
        #expect(try subscribe("a ==", version: 1).code == 0)
        let missing = try consumer.ask(.pullMessage, Self.pullByHeartbeat(version: 1))
        #expect(missing.responseCode == .filterDataNotExist)
        #expect(
            missing.remark
                == "The broker's consumer filter data is not exist!Your expression may be wrong! "
                + "(at character 4: expected a property, a literal, NOT or (, found =)")
        #expect(try subscribe("a = 1", version: 2).code == 0)
        #expect(try consumer.ask(.pullMessage, Self.pullByHeartbeat(version: 2)).messages().count == 1)
        // The former expression goes on for those who know no newer one.
        #expect(try subscribe("a =", version: 3).code == 0)
        let old = try consumer.ask(.pullMessage, Self.pullByHeartbeat(version: 3))
        #expect(old.responseCode == .filterDataNotLatest)
        #expect(old.remark == "the consumer's consumer filter data not latest")
        #expect(try consumer.ask(.pullMessage, Self.pullByHeartbeat(version: 2)).messages().count == 1)
        #expect(try subscribe("*", type: "TAG", version: 4).code == 0)
        #expect(try consumer.ask(.pullMessage, Self.pullByHeartbeat(version: 4)).messages().count == 1)
    }

    @Test("members of one group with different expressions are named in the group's connections (203), others are not")
    func disagreements() throws {
        func connections() throws -> (ConsumerConnection, String) {
            let answer = try consumer.ask(.getConsumerConnectionList, [("consumerGroup", "CG")])
            return (try ConsumerConnection(parsing: answer.body.span.bytes), answer.text)
        }
        let other = it.connect(port: 40_002)
        try subscribe("a > 5")
        try subscribe("a > 5", on: other, clientID: "c2")
        let (agreed, text) = try connections()
        #expect(agreed.disagreements.isEmpty && !text.contains("disagreements"))
        try subscribe("a > 6", version: 2, on: other, clientID: "c2")
        #expect(
            try connections().0.disagreements == [
                MemberDisagreement(
                    clientID: "c2", differences: ["subscribes T by SQL92 a > 6, others by SQL92 a > 5"])
            ])
    }

    @Test(
        "a client may ask whether its subscription will be served",
        arguments: [
            ("*", "TAG", 0, nil), ("a || b", "", 0, nil), ("a > 5", "SQL92", 0, nil),
            (
                "a >", "SQL92", 23,
                "Invalid MessageSelector. at character 4: expected a property, a literal, NOT or (, found the end"
            ),
            ("x", "XPATH", 1, "The broker does not support consumer to filter message by XPATH"),
        ] as [(String, String, Int32, String?)])
    func checks(expression: String, type: String, code: Int32, remark: String?) throws {
        let answer = try check(expression, type: type)
        #expect(answer.code == code)
        #expect(answer.remark == remark)
    }

    @Test("a broker with enablePropertyFilter=false refuses SQL92 in RocketMQ's words, and serves tags")
    func disabled() throws {
        let it = try BrokerConversation { configuration, _ in configuration.isPropertyFilterEnabled = false }
        try it.putTopic("T")
        let remark = "The broker does not support consumer to filter message by SQL92"
        let client = it.connect()
        let inHeader = try client.ask(.pullMessage, Self.pull("a > 5"))
        #expect(inHeader.code == 1 && inHeader.remark == remark)
        #expect(try subscribe("a > 5", on: client).code == 0)
        let byHeartbeat = try client.ask(.pullMessage, Self.pullByHeartbeat())
        #expect(byHeartbeat.code == 1 && byHeartbeat.remark == remark)
        let body = CheckClientConfigBody(
            clientID: "c1", group: "CG",
            subscription: Subscription(topic: "T", expressionType: "SQL92", expression: "a > 5"))
        let check = try client.ask(.checkClientConfig, body: body.encoded())
        #expect(check.code == 1 && check.remark == remark)
        #expect(try client.ask(.pullMessage, TestClient.pullFields("T")).responseCode == .pullNotFound)
    }
}
