import Base
import BrokerCore
import Bytes
import Model
import RemotingProtocol
import Simulation
import Storage
import Testing

@testable import RemotingFrontend

@Suite("Transactions on the wire")
struct TransactionRequestTests {
    private func conversation(
        _ configure: (inout BrokerConfiguration, inout StoreConfiguration) -> Void = { _, _ in }
    ) throws -> BrokerConversation {
        let it = try BrokerConversation(configure)
        try it.putTopic("T")
        it.turn()
        return it
    }

    static func half(
        _ client: TestClient, _ text: String = "paid", queue: Int32 = 1, topic: String = "T", properties: String = ""
    ) throws -> Received {
        var fields = TestClient.sendFields(
            topic, queue: queue,
            properties: "TRAN_MSG\u{1}true\u{2}UNIQ_KEY\u{1}U-\(text)\u{2}WAIT\u{1}true\u{2}PGROUP\u{1}PG" + properties)
        fields[5] = ("f", "4")
        return try client.ask(.sendMessageV2, fields, body: Array(text.utf8))
    }

    static func endFields(
        _ half: Received, _ outcome: Int32 = 8, group: String = "PG"
    ) throws -> [(StaticString, String)] {
        let text = try #require(half.fields["msgId"])
        let id = try #require(OffsetMessageID(text))
        return [
            ("producerGroup", group), ("tranStateTableOffset", try #require(half.fields["queueOffset"])),
            ("commitLogOffset", "\(id.offset)"), ("commitOrRollback", "\(outcome)"), ("fromTransactionCheck", "false"),
            ("msgId", "U-paid"),
        ]
    }

    private static func bodies(_ client: TestClient, queue: Int32 = 1) throws -> [String] {
        try client.ask(.pullMessage, TestClient.pullFields("T", queue: queue)).messages().map(\.text)
    }

    @Test("a half message is answered like any other, and its commit with nothing", arguments: [true, false])
    func commit(isOneway: Bool) throws {
        let it = try conversation()
        let client = it.connect()
        let half = try Self.half(client)
        #expect(half.code == 0 && half.fields["queueId"] == "1" && half.fields["queueOffset"] == "0")
        #expect(Set(half.fields.keys) == ["queueId", "msgId", "queueOffset", "MSG_REGION", "TRACE_ON"])
        #expect(try Self.bodies(client).isEmpty)
        let opaque = client.send(.endTransaction, try Self.endFields(half), isOneway: isOneway)
        it.turn()
        let answer = try client.answer(to: opaque)
        #expect(answer?.code == (isOneway ? nil : 0) && answer?.fields.isEmpty != false)
        #expect(try Self.bodies(client) == ["paid"])
        #expect(try Self.bodies(client, queue: 0).isEmpty)
    }

    @Test("with synchronous flush the end of a transaction is answered when it is on the medium", arguments: [8, 12])
    func flush(outcome: Int32) throws {
        let it = try conversation { _, store in store.flushMode = .synchronous }
        let client = it.connect()
        let half = try Self.half(client)
        let opaque = client.send(.endTransaction, try Self.endFields(half, outcome))
        it.frontend.endTurn()
        #expect(try client.answer(to: opaque) == nil)
        it.turn()
        #expect(try client.answer(to: opaque)?.code == 0)
    }

    @Test("an unknown outcome is no end")
    func unknown() throws {
        let it = try conversation()
        let client = it.connect()
        let half = try Self.half(client)
        #expect(try client.ask(.endTransaction, try Self.endFields(half, 0)).code == 0)
        #expect(it.broker.pendingTransactionCount == 1)
        #expect(try client.ask(.endTransaction, try Self.endFields(half, 12)).code == 0)
        #expect(it.broker.pendingTransactionCount == 0)
        #expect(try Self.bodies(client).isEmpty)
    }

    struct BadEnd: CustomTestStringConvertible, Sendable {
        var name: String
        var remark: String
        var field: Int
        var value: String?
        var testDescription: String { name }
    }

    static let badEnds: [BadEnd] = [
        BadEnd(name: "another group", remark: "The producer group wrong", field: 0, value: "strangers"),
        BadEnd(name: "no group", remark: "The producer group wrong", field: 0, value: ""),
        BadEnd(
            name: "another place in the queue", remark: "The transaction state table offset wrong", field: 1, value: "1"
        ),
        BadEnd(name: "before the queue", remark: "The transaction state table offset wrong", field: 1, value: "-1"),
        BadEnd(
            name: "far off the queue", remark: "The transaction state table offset wrong", field: 1,
            value: "\(Int64.max)"),
        BadEnd(name: "the start of the log", remark: "Find prepared transaction message failed", field: 2, value: "0"),
        BadEnd(name: "before the log", remark: "Find prepared transaction message failed", field: 2, value: "-1"),
        BadEnd(
            name: "far off the log", remark: "Find prepared transaction message failed", field: 2, value: "\(Int64.max)"
        ),
        BadEnd(name: "a prepared state", remark: "commitOrRollback is 0, 8 or 12, not 4", field: 3, value: "4"),
        BadEnd(name: "an unheard of state", remark: "commitOrRollback is 0, 8 or 12, not -8", field: 3, value: "-8"),
        BadEnd(name: "no number for the queue", remark: "", field: 1, value: "one"),
        BadEnd(name: "too large a number", remark: "", field: 2, value: "9223372036854775808"),
        BadEnd(name: "a field missing", remark: "", field: 0, value: nil),
        BadEnd(name: "the place missing", remark: "", field: 2, value: nil),
        BadEnd(name: "the outcome missing", remark: "", field: 3, value: nil),
    ]

    @Test(
        "an end that fits no half message is refused in RocketMQ's words and changes nothing", arguments: badEnds,
        [HeaderEncoding.json, .binary])
    func badEnd(_ row: BadEnd, _ encoding: HeaderEncoding) throws {
        let it = try conversation()
        let client = it.connect()
        client.encoding = encoding
        try client.produce("ordinary", to: "T", queue: 1)
        let half = try Self.half(client)
        var fields = try Self.endFields(half)
        if let value = row.value { fields[row.field].1 = value } else { fields.remove(at: row.field) }
        let answer = try client.ask(.endTransaction, fields)
        #expect(answer.responseCode == .systemError)
        #expect(answer.remark?.hasPrefix(row.remark) == true, "\(answer)")
        // One-way nobody hears of it.
        client.send(.endTransaction, fields, isOneway: true)
        it.turn()
        #expect(try client.receive().isEmpty)
        #expect(it.broker.pendingTransactionCount == 1)
        #expect(try client.ask(.endTransaction, try Self.endFields(half)).code == 0)
        #expect(try Self.bodies(client) == ["ordinary", "paid"])
    }

    /// How a producer names its half message: with the key that it gave, with the id that the broker gave, or not at all.
    struct Names: Sendable {
        var messageID: String?
        var transactionID: String?
        var isMeant: Bool
    }

    static let key = "7F0000010007D872C6F000000000002A"
    /// Of the same form.
    static let otherKey = "7F0000010007D872C6F000000000002B"
    static let place = "the id of its place"
    static let waysToName: [Names] = [
        Names(messageID: key, isMeant: true), Names(messageID: key, transactionID: key, isMeant: true),
        Names(messageID: key, transactionID: otherKey, isMeant: true), Names(transactionID: key, isMeant: true),
        Names(messageID: place, transactionID: key, isMeant: true), Names(messageID: place, isMeant: true),
        Names(transactionID: place, isMeant: true), Names(isMeant: true),
        Names(messageID: "", transactionID: "", isMeant: true),
        Names(messageID: otherKey, isMeant: false), Names(messageID: otherKey, transactionID: otherKey, isMeant: false),
        Names(messageID: "", transactionID: otherKey, isMeant: true), Names(messageID: "M1", isMeant: false),
        Names(messageID: String(key.dropLast()), isMeant: false), Names(messageID: key + "0", isMeant: false),
    ]

    @Test(
        "a half message is ended by who names it, or names nothing", arguments: waysToName,
        [(8, false), (12, false), (8, true)] as [(Int32, Bool)])
    func named(_ names: Names, _ end: (outcome: Int32, isOneway: Bool)) throws {
        let (outcome, isOneway) = end
        let it = try conversation()
        let client = it.connect()
        var fields = TestClient.sendFields(
            "T", queue: 1, properties: "TRAN_MSG\u{1}true\u{2}UNIQ_KEY\u{1}\(Self.key)\u{2}PGROUP\u{1}PG")
        fields[5] = ("f", "4")
        let half = try client.ask(.sendMessageV2, fields, body: Array("paid".utf8))
        var endFields = try Self.endFields(half, outcome)
        endFields.removeLast()
        let place = try #require(half.fields["msgId"])
        if let id = names.messageID { endFields.append(("msgId", id == Self.place ? place : id)) }
        if let id = names.transactionID { endFields.append(("transactionId", id == Self.place ? place : id)) }
        if isOneway {
            client.send(.endTransaction, endFields, isOneway: true)
            it.turn()
        } else {
            let answer = try client.ask(.endTransaction, endFields)
            #expect(answer.code == (names.isMeant ? 0 : 1))
            if !names.isMeant {
                #expect(answer.remark == "The prepared message is another one than msgId says")
            }
        }
        #expect(it.broker.pendingTransactionCount == (names.isMeant ? 0 : 1))
        #expect(try Self.bodies(client) == (names.isMeant && outcome == 8 ? ["paid"] : []))
    }

    @Test("an ordinary message is no half message")
    func ordinary() throws {
        let it = try conversation()
        let client = it.connect()
        let sent = try client.produce("ordinary", to: "T", queue: 1)
        let answer = try client.ask(.endTransaction, try Self.endFields(sent))
        #expect(answer.remark == "Find prepared transaction message failed")
        #expect(try Self.bodies(client) == ["ordinary"])
    }

    @Test("a transaction ends once", arguments: [8, 12] as [Int32], [8, 12] as [Int32])
    func once(_ first: Int32, _ second: Int32) throws {
        let it = try conversation()
        let client = it.connect()
        let half = try Self.half(client)
        #expect(try client.ask(.endTransaction, try Self.endFields(half, first)).code == 0)
        let answer = try client.ask(.endTransaction, try Self.endFields(half, second))
        #expect(answer.responseCode == .systemError && answer.remark == "The transaction has been ended before")
        #expect(try Self.bodies(client) == (first == 8 ? ["paid"] : []))
    }

    @Test("rejectTransactionMessage refuses half messages and nothing else")
    func rejected() throws {
        let it = try conversation { configuration, _ in configuration.transactions.rejectsHalves = true }
        let client = it.connect()
        let answer = try Self.half(client)
        #expect(answer.responseCode == .noPermission)
        #expect(answer.remark == "the broker[127.0.0.1] sending transaction message is forbidden")
        #expect(try client.produce("ordinary", to: "T").code == 0)
    }

    @Test("a message that was not marked true is an ordinary one")
    func notMarked() throws {
        let it = try conversation()
        let client = it.connect()
        let fields = TestClient.sendFields("T", queue: 1, properties: "TRAN_MSG\u{1}false\u{2}")
        #expect(try client.ask(.sendMessageV2, fields, body: [65]).code == 0)
        #expect(try Self.bodies(client) == ["A"])
    }

    @Test("the producers of the group are asked, and nobody else")
    func check() throws {
        let it = try conversation()
        let (producer, stranger) = (it.connect(port: 1), it.connect(port: 2))
        for (client, group) in [(producer, "PG"), (stranger, "PX")] {
            client.encoding = .binary
            let heartbeat = HeartbeatData(clientID: group, producerGroups: [group], consumers: [])
            _ = try client.ask(.heartbeat, body: heartbeat.encoded())
        }
        let half = try Self.half(producer)
        it.advance(milliseconds: 6_200, step: 50)
        #expect(try stranger.receive().isEmpty)
        let check = try #require(try producer.receive().first)
        #expect(check.code == 39 && check.flag & 2 != 0 && check.encoding == .json)
        let id = try #require(half.fields["msgId"])
        let place = try #require(OffsetMessageID(id))
        #expect(
            check.fields == [
                "commitLogOffset": "\(place.offset)", "msgId": "U-paid", "tranStateTableOffset": "0",
                "offsetMsgId": id, "transactionId": "U-paid",
            ])
        let message = try #require(try check.messages().first)
        #expect(message.topic == "T" && message.queueID == 1 && message.text == "paid")
        // The producer ends it as the question says.
        producer.send(
            .endTransaction,
            [
                ("producerGroup", "PG"), ("tranStateTableOffset", try #require(check.fields["tranStateTableOffset"])),
                ("commitLogOffset", try #require(check.fields["commitLogOffset"])), ("commitOrRollback", "8"),
                ("fromTransactionCheck", "true"), ("msgId", "U-paid"), ("transactionId", "U-paid"),
            ], isOneway: true)
        it.turn()
        #expect(try Self.bodies(stranger) == ["paid"])
        it.advance(milliseconds: 61_000, step: 50)
        #expect(try producer.receive().isEmpty)
    }

    @Test("what was given up can be asked about again, and what is ended cannot")
    func resume() throws {
        let it = try conversation { configuration, _ in
            configuration.transactions.checkMaximum = 1
            configuration.memberExpiryMilliseconds = 1_000_000_000
        }
        let producer = it.connect()
        let heartbeat = HeartbeatData(clientID: "c", producerGroups: ["PG"], consumers: [])
        _ = try producer.ask(.heartbeat, body: heartbeat.encoded())
        let half = try Self.half(producer)
        it.advance(milliseconds: 6_200, step: 50)
        #expect(try producer.receive().map(\.code) == [39])
        // One question more for the half message.
        let id = try #require(half.fields["msgId"])
        #expect(try producer.ask(.resumeCheckHalfMessage, [("msgId", id)]).code == 0)
        it.advance(milliseconds: 60_100, step: 50)
        #expect(try producer.receive().map(\.code) == [39])
        it.advance(milliseconds: 60_100, step: 50)
        let fields = TestClient.pullFields("TRANS_CHECK_MAX_TIME_TOPIC")
        let givenUp = try #require(try producer.ask(.pullMessage, fields).messages().first)
        #expect(try producer.ask(.resumeCheckHalfMessage, [("msgId", id)]).responseCode == .systemError)
        let givenUpID = OffsetMessageID(
            host: it.broker.configuration.address, offset: PhysicalOffset(givenUp.physicalOffset))
        #expect(try producer.ask(.resumeCheckHalfMessage, [("msgId", "\(givenUpID)")]).code == 0)
        #expect(it.broker.pendingTransactionCount == 1)
        it.advance(milliseconds: 6_200, step: 50)
        let check = try #require(try producer.receive().first)
        var end = try Self.endFields(half)
        end[1].1 = try #require(check.fields["tranStateTableOffset"])
        end[2].1 = try #require(check.fields["commitLogOffset"])
        #expect(try producer.ask(.endTransaction, end).code == 0)
        #expect(try Self.bodies(producer) == ["paid"])
        for wrong in ["", "0", String(repeating: "0", count: 32), String(repeating: "F", count: 32)] {
            let answer = try producer.ask(.resumeCheckHalfMessage, [("msgId", wrong)])
            #expect(answer.responseCode == .systemError, "\(wrong)")
        }
        #expect(try producer.ask(.resumeCheckHalfMessage).responseCode == .systemError)
    }

    @Test("a connection that goes is not asked any more")
    func gone() throws {
        let it = try conversation()
        let producer = it.connect()
        let heartbeat = HeartbeatData(clientID: "c", producerGroups: ["PG"], consumers: [])
        _ = try producer.ask(.heartbeat, body: heartbeat.encoded())
        _ = try Self.half(producer)
        producer.session.close()
        it.advance(milliseconds: 7_000, step: 50)
        #expect(try producer.receive().isEmpty)
        #expect(it.broker.metrics.transactionsChecked == 0 && it.broker.pendingTransactionCount == 1)
    }
}
