import Base
import BrokerCore
import Model
import RemotingFrontend
import RemotingProtocol
import Testing

@Suite("Long polling")
struct LongPollingTests {
    private let it: BrokerConversation
    private let consumer: TestClient
    private let producer: TestClient

    init() throws {
        it = try BrokerConversation()
        try it.putTopic("T")
        consumer = it.connect()
        producer = it.connect(port: 40_001)
    }

    @Test("a pull at the end is held, and answered in the turn in which a message comes")
    func wakes() throws {
        let pull = consumer.send(.pullMessage, TestClient.pullFields("T", holdMilliseconds: 15_000))
        it.turn()
        #expect(try consumer.answer(to: pull) == nil)
        #expect(it.broker.heldFetchCount == 1)
        try producer.produce("elsewhere", to: "T", queue: 1)
        #expect(try consumer.answer(to: pull) == nil)
        try producer.produce("here", to: "T", queue: 0)
        let answer = try #require(try consumer.answer(to: pull))
        #expect(answer.responseCode == .success)
        #expect(try answer.messages().map(\.text) == ["here"])
        #expect(it.broker.heldFetchCount == 0)
    }

    @Test("only a message whose tag is wanted wakes it")
    func filters() throws {
        let pull = consumer.send(
            .pullMessage, TestClient.pullFields("T", holdMilliseconds: 15_000, expression: "A || B"))
        it.turn()
        try producer.produce("no", to: "T", tags: "C")
        try producer.produce("none", to: "T")
        #expect(try consumer.answer(to: pull) == nil)
        try producer.produce("yes", to: "T", tags: "B")
        let answer = try #require(try consumer.answer(to: pull))
        #expect(try answer.messages().map(\.text) == ["yes"])
        #expect(answer.fields["nextBeginOffset"] == "3")
    }

    @Test("it expires on its own deadline, within one tick", arguments: [1, 10, 95, 1_000, 15_000, 60_001] as [Int64])
    func expires(_ milliseconds: Int64) throws {
        try producer.produce("old", to: "T")
        let pull = consumer.send(.pullMessage, TestClient.pullFields("T", from: 1, holdMilliseconds: milliseconds))
        it.turn()
        if milliseconds > 1 { it.advance(milliseconds: milliseconds - 1) }
        #expect(try consumer.answer(to: pull) == nil, "too early")
        it.advance(milliseconds: 21, step: 1)
        let answer = try #require(try consumer.answer(to: pull), "too late")
        #expect(answer.responseCode == .pullNotFound)
        #expect(answer.remark == "OFFSET_OVERFLOW_ONE")
        #expect(
            answer.fields == ["suggestWhichBrokerId": "0", "nextBeginOffset": "1", "minOffset": "0", "maxOffset": "1"])
    }

    @Test("many deadlines expire in their order", arguments: [1 as UInt64, 2, 3])
    func manyDeadlines(_ seed: UInt64) throws {
        let random = SeededRandom(seed: seed)
        var deadlines: [Int32: Int64] = [:]
        for _ in 0..<200 {
            let milliseconds = Int64(1 + random.next(below: 50_000))
            let pull = consumer.send(.pullMessage, TestClient.pullFields("T", holdMilliseconds: milliseconds))
            deadlines[pull] = milliseconds
        }
        var passed: Int64 = 0
        while passed < 50_100 {
            it.advance(milliseconds: 100)
            passed += 100
            for answer in try consumer.receive() {
                let kept = deadlines.removeValue(forKey: answer.opaque)
                let deadline = try #require(kept)
                #expect(deadline <= passed && deadline > passed - 130, "due at \(deadline), answered before \(passed)")
            }
        }
        #expect(deadlines.isEmpty)
        #expect(it.broker.heldFetchCount == 0)
    }

    @Test("closing the connection releases it")
    func closes() throws {
        for _ in 0..<10 {
            consumer.send(.pullMessage, TestClient.pullFields("T", holdMilliseconds: 15_000))
        }
        it.turn()
        #expect(it.broker.heldFetchCount == 10)
        consumer.session.close()
        #expect(it.broker.heldFetchCount == 0)
        try producer.produce("x", to: "T")
        it.advance(milliseconds: 20_000)
        #expect(try consumer.receive().isEmpty)
    }

    @Test("a connection holds no more than so many; further ones are answered at once")
    func limit() throws {
        let extra = 5
        for _ in 0..<Limits.heldPullsPerConnectionMaximum + extra {
            consumer.send(.pullMessage, TestClient.pullFields("T", holdMilliseconds: 60_000))
        }
        it.turn()
        #expect(it.broker.heldFetchCount == Limits.heldPullsPerConnectionMaximum)
        #expect(try consumer.receive().count == extra)
        try producer.produce("x", to: "T")
        #expect(try consumer.receive().count == Limits.heldPullsPerConnectionMaximum)
    }

    @Test(
        "a pull that may not be held, or not at this offset, is answered at once",
        arguments: [
            (0, nil, 19), (0, 0, 19), (0, -5, 19), (1, 15_000, 21), (-1, 15_000, 21),
        ] as [(Int64, Int64?, Int32)])
    func atOnce(_ offset: Int64, _ hold: Int64?, _ code: Int32) throws {
        let answer = try consumer.ask(
            .pullMessage, TestClient.pullFields("T", from: offset, holdMilliseconds: hold))
        #expect(answer.code == code, "\(answer)")
    }

    @Test("deleting the topic does not harm a held pull")
    func deletedTopic() throws {
        try producer.produce("x", to: "T")
        let pull = consumer.send(.pullMessage, TestClient.pullFields("T", from: 1, holdMilliseconds: 5_000))
        it.turn()
        #expect(try producer.ask(.deleteTopicInBroker, [("topic", "T")]).code == 0)
        it.advance(milliseconds: 6_000)
        let answer = try #require(try consumer.answer(to: pull))
        #expect(answer.code != 0)
        try it.putTopic("T")
        try producer.produce("new", to: "T")
        let again = try consumer.ask(.pullMessage, TestClient.pullFields("T"))
        #expect(try again.messages().map(\.text) == ["new"])
    }

    @Test("a broker without long polling answers at once")
    func disabled() throws {
        let it = try BrokerConversation { configuration, _ in configuration.isLongPollingEnabled = false }
        try it.putTopic("T")
        let answer = try it.connect().ask(.pullMessage, TestClient.pullFields("T", holdMilliseconds: 15_000))
        #expect(answer.responseCode == .pullNotFound)
    }
}
