import Base
import Bytes
import BrokerCore
import Model
import RemotingFrontend
import RemotingProtocol
import Simulation
import Storage
import Testing

@Suite("When a send is acknowledged")
struct FlushTests {
    private func conversation(_ mode: StoreConfiguration.FlushMode) throws -> BrokerConversation {
        let it = try BrokerConversation { _, store in store.flushMode = mode }
        try it.putTopic("T")
        it.turn()
        return it
    }

    @Test("with synchronous flush only after the medium has it; WAIT=false does not wait")
    func synchronous() throws {
        let it = try conversation(.synchronous)
        let client = it.connect()
        let safe = client.send(.sendMessageV2, TestClient.sendFields("T"), body: [1])
        let hasty = client.send(.sendMessageV2, TestClient.sendFields("T", properties: "WAIT\u{1}false"), body: [2])
        #expect(try client.receive().isEmpty)
        it.frontend.endTurn()
        #expect(try client.answer(to: hasty)?.code == 0)
        #expect(try client.answer(to: safe) == nil)
        // The name of a new segment is made durable before its content.
        while it.disk.runCompletions() > 0 {}
        #expect(try client.answer(to: safe)?.code == 0)
    }

    @Test("with synchronous flush consumers see a message when the medium has it, whether its sender waits or not")
    func visible() throws {
        let it = try conversation(.synchronous)
        let client = it.connect()
        let sent = client.send(
            .sendMessageV2, TestClient.sendFields("T", properties: "WAIT\u{1}false"), body: [1])
        let pull = client.send(.pullMessage, TestClient.pullFields("T"))
        it.frontend.endTurn()
        #expect(try client.answer(to: pull)?.responseCode == .pullNotFound)
        let id = try #require(try client.answer(to: sent)?.fields["msgId"].flatMap { OffsetMessageID($0) })
        let view = client.send(.viewMessageByID, [("offset", "\(id.offset)")])
        #expect(try client.answer(to: view)?.responseCode == .systemError)
        while it.disk.runCompletions() > 0 {}
        let again = client.send(.pullMessage, TestClient.pullFields("T"))
        #expect(try client.answer(to: again)?.messages().count == 1)
        let viewAgain = client.send(.viewMessageByID, [("offset", "\(id.offset)")])
        #expect(try client.answer(to: viewAgain)?.responseCode == .success)
    }

    @Test("with asynchronous flush consumers see a message when it is written")
    func visibleUnflushed() throws {
        let it = try conversation(.asynchronous)
        let client = it.connect()
        client.send(.sendMessageV2, TestClient.sendFields("T"), body: [1])
        it.frontend.endTurn()
        let pull = client.send(.pullMessage, TestClient.pullFields("T"))
        #expect(try client.answer(to: pull)?.messages().count == 1)
    }

    private static let topicFields: [(StaticString, String)] = [
        ("topic", "U"), ("defaultTopic", "TBW102"), ("readQueueNums", "1"), ("writeQueueNums", "1"), ("perm", "6"),
        ("topicFilterType", "SINGLE_TAG"), ("topicSysFlag", "0"), ("order", "false"),
    ]
    @Test("with a failed disk a new group reads what is there, and nothing more is taken")
    func failedDisk() throws {
        let it = try conversation(.synchronous)
        let client = it.connect()
        try client.produce("one", to: "T")
        it.disk.faults.failSynchronize = true
        let lost = client.send(.sendMessageV2, TestClient.sendFields("T"), body: [2])
        it.turn()
        #expect(it.failure != nil)
        #expect(try client.answer(to: lost) == nil)
        it.disk.faults.failSynchronize = false
        let other = it.connect()
        #expect(
            try other.ask(.sendMessageV2, TestClient.sendFields("T"), body: [3]).responseCode == .serviceNotAvailable)
        #expect(try other.ask(.updateAndCreateTopic, Self.topicFields).responseCode == .serviceNotAvailable)
        #expect(try other.ask(.pullMessage, TestClient.pullFields("T", group: "new")).messages().first?.text == "one")
        #expect(try other.ask(.getBrokerRuntimeInfo).text.contains("storeFailure"))
    }

    @Test("nobody hears of a change that a power cut can still take")
    func heardOf() throws {
        let it = try conversation(.synchronous)
        let one = it.connect()
        let other = it.connect()
        one.send(.updateAndCreateTopic, Self.topicFields)
        let list = other.send(.getAllTopicConfig)
        let again = other.send(.updateAndCreateTopic, Self.topicFields)
        it.frontend.endTurn()
        #expect(try other.answer(to: list) == nil && other.answer(to: again) == nil)
        it.turn()
        #expect(try other.answer(to: list)?.text.contains("\"U\"") == true)
        #expect(try other.answer(to: again)?.responseCode == .success)
        // Nothing has changed since.
        let last = other.send(.getAllTopicConfig)
        #expect(try other.answer(to: last)?.responseCode == .success)
    }

    struct Change: CustomTestStringConvertible, Sendable {
        var name: String
        var code: RequestCode
        var fields: [String: String] = [:]
        var body: String = ""
        var testDescription: String { name }
    }

    static let changes: [Change] = [
        Change(
            name: "a topic", code: .updateAndCreateTopic,
            fields: [
                "topic": "N", "defaultTopic": "TBW102", "readQueueNums": "1", "writeQueueNums": "1", "perm": "6",
                "topicFilterType": "SINGLE_TAG", "order": "false",
            ]),
        Change(name: "a topic's end", code: .deleteTopicInBroker, fields: ["topic": "T"]),
        Change(name: "a group", code: .updateAndCreateSubscriptionGroup, body: #"{"groupName":"G"}"#),
        Change(name: "a group's end", code: .deleteSubscriptionGroup, fields: ["groupName": "CG"]),
        Change(
            name: "an offset", code: .updateConsumerOffset,
            fields: ["topic": "T", "consumerGroup": "CG", "queueId": "0", "commitOffset": "1"]),
        Change(
            name: "a lock", code: .lockBatch,
            body:
                #"{"clientId":"c","consumerGroup":"CG","mqSet":[{"brokerName":"broker-a","queueId":0,"topic":"T"}]}"#),
        Change(
            name: "a message that is sent back", code: .consumerSendMessageBack,
            fields: ["group": "CG", "delayLevel": "1", "offset": ""]),
    ]

    @Test("with synchronous flush every change that is answered is on the medium by then", arguments: changes)
    func answeredChange(_ change: Change) throws {
        let it = try conversation(.synchronous)
        let client = it.connect()
        try it.broker.putGroup(GroupConfiguration(name: "CG"))
        let sent = try client.produce("one", to: "T")
        it.turn()
        var fields: [(StaticString, String)] = []
        let text = try #require(sent.fields["msgId"])
        let id = try #require(OffsetMessageID(text))
        for (name, value) in change.fields.sorted(by: { $0.key < $1.key }) {
            fields.append((Self.name(name), name == "offset" ? "\(id.offset)" : value))
        }
        let opaque = client.send(change.code, fields, body: Array(change.body.utf8))
        it.frontend.endTurn()
        // To remove a topic its files must go, and before that the log must say so on the medium.
        if change.code != .deleteTopicInBroker { #expect(try client.answer(to: opaque) == nil) }
        it.turn()
        #expect(try client.answer(to: opaque)?.code == 0)
        #expect(it.broker.flushed == it.broker.store.end)
    }

    private static func name(_ text: String) -> StaticString {
        let names: [StaticString] = [
            "topic", "defaultTopic", "readQueueNums", "writeQueueNums", "perm", "topicFilterType", "order", "groupName",
            "consumerGroup", "queueId", "commitOffset", "group", "delayLevel", "offset",
        ]
        return names.first { $0.description == text } ?? "unknown"
    }

    @Test("a queue lock is on the medium when it is answered, with asynchronous flush too")
    func lock() throws {
        let it = try conversation(.asynchronous)
        try it.broker.putGroup(GroupConfiguration(name: "CG"))
        it.turn()
        let client = it.connect()
        let body = #"{"clientId":"c","consumerGroup":"CG","mqSet":[{"brokerName":"broker-a","queueId":0,"topic":"T"}]}"#
        let opaque = client.send(.lockBatch, body: Array(body.utf8))
        it.frontend.endTurn()
        #expect(try client.answer(to: opaque) == nil)
        it.turn()
        #expect(try client.answer(to: opaque)?.text.contains("queueId") == true)
        #expect(it.broker.flushed == it.broker.store.end)
    }

    @Test("an offset whose commit is answered survives a kill, even while the disk makes writers wait")
    func answeredOffset() throws {
        let it = try conversation(.asynchronous)
        let client = it.connect()
        it.disk.faults.pushesBack = true
        let opaque = client.send(
            .updateConsumerOffset,
            [("topic", "T"), ("consumerGroup", "CG"), ("queueId", "0"), ("commitOffset", "1")])
        it.frontend.endTurn()
        #expect(try client.answer(to: opaque) == nil)
        it.turn()
        #expect(try client.answer(to: opaque)?.code == 0)
        #expect(it.broker.written == it.broker.store.end)
    }

    @Test("with asynchronous flush at the end of the turn")
    func asynchronous() throws {
        let it = try conversation(.asynchronous)
        let client = it.connect()
        let send = client.send(.sendMessageV2, TestClient.sendFields("T"), body: [1])
        #expect(try client.answer(to: send) == nil)
        it.frontend.endTurn()
        #expect(try client.answer(to: send)?.code == 0)
    }

    @Test("a flush that ends when its frontend is gone does no harm")
    func lateFlush() throws {
        let disk = SimulatedDisk()
        do {
            let it = try BrokerConversation(disk: disk) { _, store in store.flushMode = .synchronous }
            try it.putTopic("T")
            it.turn()
            it.connect().send(.sendMessageV2, TestClient.sendFields("T"), body: [1])
            it.frontend.endTurn()
            try it.frontend.stop()
        }
        #expect(disk.hasCompletions)
        while disk.runCompletions() > 0 {}
    }

    @Test("while the disk is behind producers are held back, consumers are served, and nothing is lost")
    func slowDisk() throws {
        let it = try BrokerConversation { _, store in store.tailChunkSize = 8 * 1024 }
        try it.putTopic("T")
        it.turn()
        it.disk.faults.pushesBack = true
        let client = it.connect()
        let body = [UInt8](repeating: 7, count: 1024)
        var sent: [Int32] = []
        var held: ByteBuffer?
        while held == nil, sent.count < 100 {
            // JSON escapes the separators of properties, and reading it replaces them in place.
            let fields = TestClient.sendFields("T", properties: "KEYS\u{1}a \"key\"\u{2}")
            let request = client.request(.sendMessageV2, fields, body: body)
            switch client.session.next(request) {
            case .handled: sent.append(client.opaque)
            case .heldBack: held = request
            case let step: Issue.record("\(step)")
            }
            it.frontend.endTurn()
        }
        let heldNumber = client.opaque
        // Half of the tail.
        #expect((10...20).contains(sent.count))
        let question = client.send(.getMaximumOffset, [("topic", "T"), ("queueId", "0")])
        #expect(try client.answer(to: question)?.fields["offset"] == "0")
        #expect(try sent.allSatisfy { try client.answer(to: $0) == nil })
        while it.disk.runCompletions() > 0 { it.frontend.endTurn() }
        let request = try #require(held)
        #expect(client.session.next(request) == .handled)
        sent.append(heldNumber)
        it.frontend.endTurn()
        while it.disk.runCompletions() > 0 { it.frontend.endTurn() }
        #expect(try sent.map { try client.answer(to: $0)?.code } == sent.map { _ in 0 })
        let after = client.send(.getMaximumOffset, [("topic", "T"), ("queueId", "0")])
        #expect(try client.answer(to: after)?.fields["offset"] == String(sent.count))
        let pull = client.send(.pullMessage, TestClient.pullFields("T", from: Int64(sent.count - 1)))
        it.turn()
        let last = try #require(try client.answer(to: pull)?.messages().first)
        #expect(last.properties.hasPrefix("KEYS\u{1}a \"key\"\u{2}CLUSTER\u{1}"), "\(last.properties.debugDescription)")
    }

    @Test("many sends of one turn share one flush")
    func groupCommit() throws {
        let it = try conversation(.synchronous)
        let client = it.connect()
        let before = it.disk.counts.synchronisations
        for _ in 0..<500 { client.send(.sendMessageV2, TestClient.sendFields("T"), body: [1]) }
        it.turn()
        #expect(try client.receive().count == 500)
        #expect(it.disk.counts.synchronisations - before <= 2)
    }

    @Test("a flush that takes too long is answered with code 10, and only once")
    func timeout() throws {
        let it = try conversation(.synchronous)
        let client = it.connect()
        let first = client.send(.sendMessageV2, TestClient.sendFields("T"), body: [1])
        it.frontend.endTurn()
        it.clock.advance(milliseconds: 4_900)
        it.frontend.keepHouse()
        let second = client.send(.sendMessageV2, TestClient.sendFields("T"), body: [2])
        it.frontend.endTurn()
        #expect(try client.answer(to: first) == nil)
        it.clock.advance(milliseconds: 101)
        it.frontend.keepHouse()
        let late = try #require(try client.answer(to: first))
        #expect(late.responseCode == .flushDiskTimeout)
        #expect(late.fields["queueOffset"] == "0")
        #expect(late.fields["queueId"] == "0")
        #expect(late.fields["msgId"]?.count == 32)
        #expect(late.fields["MSG_REGION"] == "DefaultRegion")
        it.turn()
        #expect(try client.answer(to: second)?.code == 0)
        #expect(try client.receive().isEmpty)
    }

    @Test("when the store fails nothing is acknowledged, and later sends are refused")
    func failure() throws {
        let it = try conversation(.synchronous)
        let client = it.connect()
        client.send(.sendMessageV2, TestClient.sendFields("T"), body: [1])
        it.disk.faults.failSynchronize = true
        it.turn()
        #expect(it.failure != nil)
        #expect(try client.receive().isEmpty)
        let refused = client.send(.sendMessageV2, TestClient.sendFields("T"), body: [2])
        let answer = try #require(try client.answer(to: refused))
        #expect(answer.responseCode == .serviceNotAvailable)
        // Reads go on.
        let read = client.send(.getMaximumOffset, [("topic", "T"), ("queueId", "0")])
        #expect(try client.answer(to: read)?.code == 0)
    }

    @Test("a full disk refuses sends with code 14 and serves reads")
    func fullDisk() throws {
        let it = try BrokerConversation { _, store in store.segmentSize = 1024 * 1024 }
        try it.putTopic("T")
        let client = it.connect()
        try client.produce("before", to: "T")
        it.disk.capacity = it.disk.usedBytes + 64 * 1024
        var codes: Set<Int32> = []
        for _ in 0..<64 {
            codes.insert(try client.produce(String(repeating: "x", count: 60_000), to: "T").code)
        }
        #expect(codes.isSubset(of: [0, 14]) && codes.contains(14), "\(codes)")
        let pull = try client.ask(.pullMessage, TestClient.pullFields("T", count: 1))
        #expect(try pull.messages().map(\.text) == ["before"])
    }
}
