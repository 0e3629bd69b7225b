import Base
import BrokerCore
import Bytes
import Model
import RemotingFrontend
import RemotingProtocol
import Simulation
import Testing

/// Requests and replies between two clients, with the broker between them.
@Suite("Request and reply")
struct ReplyTests {
    private let it: BrokerConversation
    private let requester: TestClient
    private let replier: TestClient
    private static let topic = "DefaultCluster_REPLY_TOPIC"

    init() throws {
        it = try BrokerConversation()
        requester = it.connect(port: 41_000)
        replier = it.connect(port: 42_000)
        try Self.announce("requester@1", on: requester)
    }

    /// A heartbeat of a client that produces.
    private static func announce(_ clientID: String, on client: TestClient, groups: [String] = ["PG_REQ"]) throws {
        let heartbeat = HeartbeatData(clientID: clientID, producerGroups: groups, consumers: [])
        #expect(try client.ask(.heartbeat, body: heartbeat.encoded()).code == 0)
    }

    private static func properties(_ client: String? = "requester@1") -> String {
        let reply = "MSG_TYPE\u{1}reply\u{2}CORRELATION_ID\u{1}c-1\u{2}TTL\u{1}3000"
        return client.map { "\(reply)\u{2}REPLY_TO_CLIENT\u{1}\($0)" } ?? reply
    }

    /// Sends a reply without waiting for what comes of it.
    @discardableResult
    private func reply(
        _ text: String, to client: String? = "requester@1", on it: BrokerConversation? = nil, from: TestClient? = nil,
        isOneway: Bool = false
    ) -> Int32 {
        let number = (from ?? replier).send(
            .sendReplyMessageV2,
            TestClient.sendFields(Self.topic, properties: Self.properties(client), group: "PG_REPLY"),
            body: Array(text.utf8), isOneway: isOneway)
        (it ?? self.it).turn()
        return number
    }

    private func pushed(to client: TestClient? = nil) throws -> Received {
        try #require(
            try (client ?? requester).receive().first { $0.code == RequestCode.pushReplyMessageToClient.rawValue })
    }

    @Test("a reply reaches its requester, and the replier hears of it when the requester has taken it")
    func reply() throws {
        let number = reply("pong")
        #expect(try replier.answer(to: number) == nil)
        let push = try pushed()
        #expect(push.text == "pong")
        #expect(!push.isResponse && push.flag == 0)
        #expect(push.fields["topic"] == Self.topic)
        #expect(push.fields["producerGroup"] == "PG_REPLY")
        #expect(push.fields["bornHost"] == "127.0.0.1:42000")
        #expect(push.fields["storeHost"] == "127.0.0.1:31911")
        #expect(
            push.fields["properties"]
                == Self.properties() + "\u{2}PUSH_REPLY_TIME\u{1}\(it.clock.timestamp.milliseconds)")
        requester.reply(to: push, code: .success)
        let answer = try #require(try replier.answer(to: number))
        #expect(answer.code == 0)
        #expect(answer.fields["queueId"] == "0")
        #expect(answer.fields["queueOffset"] == "0")
        #expect(answer.fields["msgId"]?.count == 32)
        #expect(answer.fields["MSG_REGION"] == "DefaultRegion")
        // It is stored, too.
        let pull = try replier.ask(.pullMessage, TestClient.pullFields(Self.topic))
        #expect(try pull.messages().map(\.text) == ["pong"])
    }

    @Test("with long names it is the same", arguments: [HeaderEncoding.json, .binary])
    func longNames(encoding: HeaderEncoding) throws {
        replier.encoding = encoding
        let number = replier.send(
            .sendReplyMessage,
            [
                ("producerGroup", "PG_REPLY"), ("topic", Self.topic), ("defaultTopic", "TBW102"),
                ("defaultTopicQueueNums", "4"), ("queueId", "0"), ("sysFlag", "0"), ("bornTimestamp", "1"),
                ("flag", "7"), ("properties", Self.properties()), ("reconsumeTimes", "0"), ("unitMode", "false"),
            ], body: Array("pong".utf8))
        it.turn()
        let push = try pushed()
        #expect(push.fields["flag"] == "7" && push.text == "pong")
        requester.reply(to: push, code: .success)
        #expect(try replier.answer(to: number)?.code == 0)
    }

    @Test("a broker with storeReplyMessageEnable=false passes replies on and stores nothing")
    func notStored() throws {
        let it = try BrokerConversation { configuration, _ in configuration.storesReplies = false }
        let (requester, replier) = (it.connect(port: 1), it.connect(port: 2))
        try Self.announce("requester@1", on: requester)
        let number = reply("pong", on: it, from: replier)
        requester.reply(to: try pushed(to: requester), code: .success)
        let answer = try #require(try replier.answer(to: number))
        #expect(answer.code == 0)
        #expect(answer.fields["msgId"] == "0" && answer.fields["queueOffset"] == "0")
        #expect(try replier.ask(.pullMessage, TestClient.pullFields(Self.topic)).responseCode == .pullNotFound)
    }

    // MARK: - What goes wrong

    @Test("a reply to nobody is refused")
    func nobody() throws {
        let missing = try #require(try replier.answer(to: reply("pong", to: nil)))
        #expect(missing.code == 1)
        #expect(missing.remark == "reply message properties[REPLY_TO_CLIENT] is null")
        #expect(missing.fields["MSG_REGION"] == "DefaultRegion")
        let unknown = try #require(try replier.answer(to: reply("pong", to: "other@1")))
        #expect(unknown.code == 1)
        #expect(unknown.remark == "push reply message fail, channel of <other@1> not found.")
    }

    @Test(
        "a requester that refuses, or is silent for 10 s, or goes, fails the reply",
        arguments: ["refuses", "silent", "goes"])
    func failure(way: String) throws {
        let number = reply("pong")
        let push = try pushed()
        switch way {
        case "refuses": requester.reply(to: push, code: .systemError)
        case "silent":
            it.advance(milliseconds: 9_900)
            #expect(try replier.answer(to: number) == nil)
            it.advance(milliseconds: 300)
        default: requester.session.close()
        }
        let answer = try #require(try replier.answer(to: number))
        #expect(answer.code == 1)
        #expect(answer.remark == "push reply message to requester@1fail.")
        #expect(answer.fields["MSG_REGION"] == "DefaultRegion")
    }

    @Test("an answer that comes too late is left alone")
    func late() throws {
        let number = reply("pong")
        let push = try pushed()
        it.advance(milliseconds: 10_200)
        #expect(try replier.answer(to: number)?.code == 1)
        requester.reply(to: push, code: .success)
        #expect(try replier.receive().isEmpty)
    }

    @Test("a one-way reply is passed on, and nobody is told")
    func oneway() throws {
        reply("pong", isOneway: true)
        requester.reply(to: try pushed(), code: .success)
        it.turn()
        #expect(try replier.receive().isEmpty)
    }

    @Test("a replier that has gone does no harm")
    func replierGoes() throws {
        reply("pong")
        let push = try pushed()
        replier.session.close()
        requester.reply(to: push, code: .success)
        it.turn()
    }

    @Test("a body beyond the maximum is refused before anybody is asked")
    func tooLarge() throws {
        let it = try BrokerConversation { configuration, _ in configuration.messageSizeMaximum = 10 }
        let (requester, replier) = (it.connect(port: 1), it.connect(port: 2))
        try Self.announce("requester@1", on: requester)
        let number = reply(String(repeating: "x", count: 11), on: it, from: replier)
        #expect(try replier.answer(to: number)?.responseCode == .messageIllegal)
        #expect(try requester.receive().isEmpty)
    }

    // MARK: - Whose connection it is

    @Test("a client is found as long as it is in any producer group, and on its newest connection")
    func connections() throws {
        let second = it.connect(port: 41_001)
        try Self.announce("requester@1", on: second, groups: ["PG_REQ", "CLIENT_INNER_PRODUCER"])
        reply("to the second")
        #expect(try pushed(to: second).text == "to the second")
        // The old connection's end does not hide the new one.
        requester.session.close()
        reply("again")
        #expect(try pushed(to: second).text == "again")
        #expect(
            try second.ask(.unregisterClient, [("clientID", "requester@1"), ("producerGroup", "PG_REQ")]).code == 0)
        reply("still")
        #expect(try pushed(to: second).text == "still")
        second.session.close()
        let gone = try #require(try replier.answer(to: reply("gone")))
        #expect(gone.remark == "push reply message fail, channel of <requester@1> not found.")
    }

    @Test("one client can wait for so many at once; further replies fail")
    func bound() throws {
        for _ in 0..<1_024 { reply("x") }
        #expect(try replier.receive().isEmpty)
        let extra = try #require(try replier.answer(to: reply("x")))
        #expect(extra.remark == "push reply message to requester@1fail.")
    }
}
