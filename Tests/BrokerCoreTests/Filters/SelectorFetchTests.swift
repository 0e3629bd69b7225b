import Base
import BrokerCore
import Bytes
import Model
import Simulation
import Storage
import Testing

@Suite("Fetches with an SQL92 filter")
struct SelectorFetchTests {
    private let test: TestBroker

    init() throws { test = try TestBroker() }

    private func selector(_ expression: String) throws -> MessageFilter {
        .selector(try SelectorProgram(expression))
    }

    private func heartbeat(_ expression: String, type: String = "SQL92", version: Int64 = 1) throws {
        try test.broker.heartbeat(
            Heartbeat(
                identity: ClientIdentity(clientID: "c", language: "JAVA", version: 409), producerGroups: [],
                consumers: [
                    Heartbeat.Consumer(
                        group: "group", consumeType: .push, messageModel: .clustering, consumeFromWhere: .firstOffset,
                        subscriptions: [
                            Subscription(
                                topic: "Orders", expressionType: type, expression: expression, version: version)
                        ])
                ]), on: TestChannel())
    }

    private func subscriptionFilter(version: Int64 = 1) throws(BrokerError) -> MessageFilter {
        let (topic, group) = (Array("Orders".utf8), Array("group".utf8))
        return try test.broker.subscriptionFilter(
            topic: topic.span.bytes, group: group.span.bytes, version: version)
    }

    @Test("what passes is fetched, in memory and after a restart")
    func fetches() throws {
        for number in 0..<6 { try test.send("Orders", "\(number)", tag: number % 2 == 0 ? "even" : "odd") }
        let odd = try selector("TAGS = 'odd'")
        #expect(try test.fetch("Orders", matching: odd).1 == ["1", "3", "5"])
        try test.restart()
        let (result, bodies) = try test.fetch("Orders", matching: odd)
        #expect(bodies == ["1", "3", "5"] && result.nextOffset.rawValue == 6)
        let (empty, _) = try test.fetch("Orders", matching: try selector("TAGS IS NULL"))
        #expect(empty.status == .noMatchedMessage && empty.nextOffset.rawValue == 6)
    }

    @Test("the longer an expression, the fewer messages one fetch looks at, and at least one")
    func weights() throws {
        for number in 0..<900 { try test.send("Orders", "\(number)") }
        func looked(_ terms: Int) throws -> Int64 {
            let expression = (0..<terms).map { "TAGS = '\($0)'" }.joined(separator: " OR ")
            return try test.fetch("Orders", matching: try selector(expression)).0.nextOffset.rawValue
        }
        #expect(try looked(1) == 800)
        #expect(try looked(20) == 800)
        #expect(try looked(100) < 200)
        let longest = try looked(Limits.selectorTermsMaximum / 2)
        #expect(longest >= 1 && longest < 20)
    }

    @Test("a held fetch is woken by what passes, and knows where that is")
    func holds() throws {
        try test.send("Orders", "first")
        let waiter = TestWaiter()
        let fetch = test.broker.hold(
            try test.queue("Orders"), filter: try selector("TAGS = 'red'"), from: QueueOffset(1),
            until: test.clock.monotonic.advanced(byMilliseconds: 1000), waiter: waiter, token: 7)
        for _ in 0..<3 { try test.send("Orders", "no", tag: "blue") }
        #expect(waiter.woken.isEmpty && fetch.found == nil)
        try test.send("Orders", "yes", tag: "red")
        #expect(waiter.woken.map(\.token) == [7])
        #expect(fetch.found == QueueOffset(4))
    }

    @Test("a group's expression is what its newest heartbeat says, or the last that could be used")
    func subscriptions() throws {
        #expect(throws: BrokerError.groupOffline("group")) { try subscriptionFilter() }
        try heartbeat("a >")
        #expect(throws: BrokerError.self) { try subscriptionFilter() }
        try heartbeat("a > 5", version: 2)
        guard case .selector(let program) = try subscriptionFilter(version: 2) else {
            Issue.record("a filter by tags")
            return
        }
        #expect(program.expression == "a > 5")
        try heartbeat("a > 5", version: 3)
        guard case .selector(let again) = try subscriptionFilter(version: 3) else { return }
        #expect(again === program, "compiled twice")
        try heartbeat("a > 5 5", version: 4)
        guard case .selector = try subscriptionFilter(version: 3) else { return }
        #expect(throws: BrokerError.selectorOld) { try subscriptionFilter(version: 4) }
        try heartbeat("*", type: "", version: 5)
        guard case .tags = try subscriptionFilter(version: 5) else {
            Issue.record("still an expression")
            return
        }
    }

    @Test("a filter type that nobody knows is refused when it is used")
    func unknownType() throws {
        try heartbeat("//order", type: "XPATH")
        #expect(throws: BrokerError.filterTypeDisabled("XPATH")) { try subscriptionFilter() }
    }
}
