import Base
import BrokerCore
import Model
import Simulation
import Telemetry
import Testing

@Suite("Members of groups")
struct MembershipTests {
    private func heartbeat(_ client: String, _ expression: String = "*", version: Int64 = 1) -> Heartbeat {
        Heartbeat(
            identity: ClientIdentity(clientID: client, language: "JAVA", version: 409), producerGroups: ["producers"],
            consumers: [
                Heartbeat.Consumer(
                    group: "billing", consumeType: .push, messageModel: .clustering, consumeFromWhere: .firstOffset,
                    subscriptions: [
                        Subscription(
                            topic: "Orders", expression: expression, tags: TagFilter.tags(of: expression),
                            version: version)
                    ])
            ])
    }

    @Test("every member hears of a newcomer and of one who goes, and nobody of a mere heartbeat")
    func notices() throws {
        let test = try TestBroker()
        let (first, second) = (TestChannel(), TestChannel())
        try test.broker.heartbeat(heartbeat("a"), on: first)
        #expect(first.notices == ["billing"])
        try test.broker.heartbeat(heartbeat("b"), on: second)
        #expect(first.notices.count == 2 && second.notices.count == 1)
        try test.broker.heartbeat(heartbeat("a"), on: first)
        #expect(first.notices.count == 2)
        test.broker.closed(second)
        #expect(first.notices.count == 3)
        #expect(test.broker.members.consumerGroup("billing")?.members.map(\.identity.clientID) == ["a"])
        try test.broker.unregister(channel: first, producerGroup: "producers", consumerGroup: "billing")
        #expect(test.broker.members.consumerGroup("billing") == nil)
        #expect(test.broker.members.producerGroup("producers") == nil)
    }

    @Test("a heartbeat makes the group and its retry topic")
    func makesGroup() throws {
        let test = try TestBroker()
        try test.broker.heartbeat(heartbeat("a"), on: TestChannel())
        #expect(test.broker.group("billing") != nil)
        #expect(test.broker.topic("%RETRY%billing")?.configuration.writeQueueCount == 1)
    }

    @Test("a silent member is gone after 120 s, not before")
    func expiry() throws {
        let test = try TestBroker()
        let channel = TestChannel()
        try test.broker.heartbeat(heartbeat("a"), on: channel)
        test.clock.advance(milliseconds: 119_999)
        try test.broker.keepHouse()
        #expect(test.broker.members.consumerGroup("billing") != nil)
        test.clock.advance(milliseconds: 10_001)
        try test.broker.keepHouse()
        #expect(test.broker.members.consumerGroup("billing") == nil)
    }

    @Test("the newer version of a subscription wins")
    func versions() throws {
        let test = try TestBroker()
        try test.broker.heartbeat(heartbeat("a", "old", version: 5), on: TestChannel())
        try test.broker.heartbeat(heartbeat("b", "older", version: 4), on: TestChannel())
        #expect(test.broker.members.consumerGroup("billing")?.allSubscriptions.first?.expression == "old")
        try test.broker.heartbeat(heartbeat("b", "new", version: 6), on: TestChannel())
        #expect(test.broker.members.consumerGroup("billing")?.allSubscriptions.first?.expression == "new")
    }

    // MARK: - Queue locks

    private static let queue = MessageQueue(topic: "Orders", brokerName: "broker-a", queueID: QueueID(0))

    private func broker() throws -> TestBroker {
        let test = try TestBroker()
        try test.broker.putTopic(TopicConfiguration(name: "Orders", readQueueCount: 4, writeQueueCount: 4))
        for group in ["g", "other", "billing"] { try test.broker.putGroup(GroupConfiguration(name: group)) }
        try test.broker.endTurn()
        return test
    }

    @Test("a queue is locked by one client until it lets go or expires")
    func locks() throws {
        let test = try broker()
        let queue = Self.queue
        #expect(try test.broker.lock([queue], group: "g", clientID: "a") == [queue])
        #expect(try test.broker.lock([queue], group: "g", clientID: "a") == [queue])
        #expect(try test.broker.lock([queue], group: "g", clientID: "b").isEmpty)
        #expect(try test.broker.lock([queue], group: "other", clientID: "b") == [queue])
        try test.broker.unlock([queue], group: "g", clientID: "b")
        #expect(try test.broker.lock([queue], group: "g", clientID: "b").isEmpty)
        try test.broker.unlock([queue], group: "g", clientID: "a")
        #expect(try test.broker.lock([queue], group: "g", clientID: "b") == [queue])
        test.clock.advance(milliseconds: 59_999)
        #expect(try test.broker.lock([queue], group: "g", clientID: "a").isEmpty)
        test.clock.advance(milliseconds: 1)
        #expect(try test.broker.lock([queue], group: "g", clientID: "a") == [queue])
    }

    @Test("what is not there cannot be locked, nor by a group that nobody knows")
    func badLocks() throws {
        let test = try broker()
        let wrong = [
            MessageQueue(topic: "Orders", brokerName: "broker-a", queueID: QueueID(4)),
            MessageQueue(topic: "Orders", brokerName: "broker-a", queueID: QueueID(-1)),
            MessageQueue(topic: "Nothing", brokerName: "broker-a", queueID: QueueID(0)),
            MessageQueue(topic: "Orders", brokerName: String(repeating: "x", count: 70_000), queueID: QueueID(0)),
        ]
        #expect(try test.broker.lock(wrong + [Self.queue], group: "g", clientID: "a") == [Self.queue])
        #expect(try test.broker.lock([Self.queue], group: "strangers", clientID: "a").isEmpty)
        #expect(try test.broker.lock([Self.queue], group: "g", clientID: "").isEmpty)
        #expect(
            try test.broker.lock([Self.queue], group: "other", clientID: String(repeating: "x", count: 70_000)).isEmpty)
        try test.broker.unlock(wrong, group: "g", clientID: "a")
    }

    @Test(
        "over a start a queue stays its owner's for as long as the owner may believe in it", arguments: [false, true])
    func locksSurvive(isKilled: Bool) throws {
        let test = try broker()
        _ = try test.broker.lock([Self.queue], group: "g", clientID: "a")
        try test.broker.endTurn()
        if isKilled { try test.kill() } else { try test.restart() }
        #expect(try test.broker.lock([Self.queue], group: "g", clientID: "b").isEmpty)
        #expect(try test.broker.lock([Self.queue], group: "g", clientID: "a") == [Self.queue])
        try test.broker.endTurn()
        if isKilled { try test.kill() } else { try test.restart() }
        test.clock.advance(milliseconds: 31_999)
        #expect(try test.broker.lock([Self.queue], group: "g", clientID: "b").isEmpty)
        test.clock.advance(milliseconds: 1)
        #expect(try test.broker.lock([Self.queue], group: "g", clientID: "b") == [Self.queue])
    }

    @Test("a lock that was given back or has expired does not come back", arguments: [false, true])
    func freeLocksStayFree(isKilled: Bool) throws {
        let test = try broker()
        let second = MessageQueue(topic: "Orders", brokerName: "broker-a", queueID: QueueID(1))
        _ = try test.broker.lock([Self.queue, second], group: "g", clientID: "a")
        try test.broker.unlock([Self.queue], group: "g", clientID: "a")
        test.clock.advance(milliseconds: 60_000)
        try test.broker.keepHouse()
        try test.broker.endTurn()
        if isKilled { try test.kill() } else { try test.restart() }
        #expect(try test.broker.lock([Self.queue, second], group: "g", clientID: "b") == [Self.queue, second])
    }

    @Test("who says goodbye frees its queues; whose connection breaks keeps them while it may be at work")
    func lockHandOver() throws {
        let test = try broker()
        let (first, second) = (TestChannel(), TestChannel())
        try test.broker.heartbeat(heartbeat("a"), on: first)
        try test.broker.heartbeat(heartbeat("b"), on: second)
        _ = try test.broker.lock([Self.queue], group: "billing", clientID: "a")
        test.clock.advance(milliseconds: 10_000)
        test.broker.closed(first)
        test.clock.advance(milliseconds: 21_999)
        #expect(try test.broker.lock([Self.queue], group: "billing", clientID: "b").isEmpty)
        test.clock.advance(milliseconds: 1)
        #expect(try test.broker.lock([Self.queue], group: "billing", clientID: "b") == [Self.queue])
        try test.broker.unregister(channel: second, producerGroup: nil, consumerGroup: "billing")
        #expect(try test.broker.lock([Self.queue], group: "billing", clientID: "a") == [Self.queue])
    }

    @Test("who comes back in time keeps its queues")
    func reconnection() throws {
        let test = try broker()
        let (first, again) = (TestChannel(), TestChannel())
        try test.broker.heartbeat(heartbeat("a"), on: first)
        _ = try test.broker.lock([Self.queue], group: "billing", clientID: "a")
        test.broker.closed(first)
        try test.broker.heartbeat(heartbeat("a"), on: again)
        test.clock.advance(milliseconds: 20_000)
        #expect(try test.broker.lock([Self.queue], group: "billing", clientID: "a") == [Self.queue])
        test.clock.advance(milliseconds: 40_000)
        #expect(try test.broker.lock([Self.queue], group: "billing", clientID: "b").isEmpty)
    }

    @Test("topics that the name server calls ordered are ordered from then on")
    func orderedTopics() throws {
        let test = try broker()
        try test.broker.markOrdered(["Orders", "Nothing", "TBW102"])
        #expect(test.broker.topic("Orders")?.configuration.isOrdered == true)
        #expect(test.broker.topic("Nothing") == nil)
        let version = test.broker.topicVersion
        try test.broker.markOrdered(["Orders"])
        #expect(test.broker.topicVersion == version)
        try test.restart()
        #expect(test.broker.topic("Orders")?.configuration.isOrdered == true)
    }
}

@Suite("Members of a group that disagree")
struct DisagreementTests {
    private let test: TestBroker
    private let sink = CollectingSink()

    init() throws { test = try TestBroker(log: Log(label: "test", level: .debug, sink: sink)) }

    private struct Wish {
        var filters: [(topic: String, type: String, expression: String)]
        var consumeType = ConsumeType.push
        var messageModel = MessageModel.clustering

        init(_ filters: (String, String, String)...) {
            self.filters = filters.map { (topic: $0.0, type: $0.1, expression: $0.2) }
        }
    }

    private func heartbeat(_ client: String, _ wish: Wish, version: Int64 = 1, on channel: TestChannel) throws {
        try test.broker.heartbeat(
            Heartbeat(
                identity: ClientIdentity(clientID: client, language: "JAVA", version: 409), producerGroups: [],
                consumers: [
                    Heartbeat.Consumer(
                        group: "billing", consumeType: wish.consumeType, messageModel: wish.messageModel,
                        consumeFromWhere: .firstOffset,
                        subscriptions: wish.filters.map {
                            Subscription(
                                topic: $0.topic, expressionType: $0.type, expression: $0.expression, version: version)
                        })
                ]), on: channel)
    }

    private var disagreements: [SubscriptionDisagreement] {
        test.broker.members.consumerGroup("billing")?.disagreements ?? []
    }

    private var warnings: [LogEntry] { sink.entries.filter { $0.level == .warning } }

    @Test("those who differ from most are named, with what differs, once for each change")
    func named() throws {
        let usual = Wish(("Orders", "TAG", "a || b"))
        let channels = (0..<4).map { _ in TestChannel() }
        for index in 0..<3 { try heartbeat("c\(index)", usual, on: channels[index]) }
        #expect(disagreements.isEmpty && warnings.isEmpty)
        let odd = Wish(("Orders", "SQL92", "a > 5"), ("Other", "TAG", "*"))
        try heartbeat("odd", odd, on: channels[3])
        let expected = SubscriptionDisagreement(
            clientID: "odd",
            differences: [
                "subscribes Orders by SQL92 a > 5, others by TAG a || b", "subscribes Other by TAG *, others do not",
            ])
        #expect(disagreements == [expected])
        #expect(warnings.count == 1)
        for index in 0..<3 { try heartbeat("c\(index)", usual, on: channels[index]) }
        try heartbeat("odd", odd, on: channels[3])
        #expect(warnings.count == 1)
        try heartbeat("odd", usual, version: 2, on: channels[3])
        #expect(disagreements.isEmpty)
        #expect(
            warnings.count == 1 && sink.entries.contains { $0.level == .notice && $0.message.contains("agree again") })
    }

    @Test("who goes takes the disagreement along")
    func gone() throws {
        let (first, second, third) = (TestChannel(), TestChannel(), TestChannel())
        try heartbeat("a", Wish(("Orders", "TAG", "*")), on: first)
        try heartbeat("b", Wish(("Orders", "TAG", "x")), on: second)
        #expect(disagreements.map(\.clientID) == ["b"])
        // Now most want something else.
        try heartbeat("c", Wish(("Orders", "TAG", "x")), on: third)
        #expect(disagreements.map(\.clientID) == ["a"])
        test.broker.closed(first)
        #expect(disagreements.isEmpty)
        test.broker.closed(second)
        test.broker.closed(third)
        #expect(test.broker.members.consumerGroup("billing") == nil)
        try heartbeat("d", Wish(("Orders", "TAG", "y")), on: first)
        #expect(disagreements.isEmpty)
    }

    @Test("a missing topic, another way to consume and another model are differences")
    func kinds() throws {
        let usual = Wish(("Orders", "TAG", "*"), ("Other", "TAG", "*"))
        try heartbeat("a", usual, on: TestChannel())
        try heartbeat("b", usual, on: TestChannel())
        var odd = Wish(("Orders", "TAG", "*"))
        odd.consumeType = .pull
        odd.messageModel = .broadcasting
        try heartbeat("odd", odd, on: TestChannel())
        #expect(
            disagreements.first?.differences == [
                "is CONSUME_ACTIVELY, others are CONSUME_PASSIVELY", "is BROADCASTING, others are CLUSTERING",
                "does not subscribe Other, others do by TAG *",
            ])
    }

    @Test("the same tags in other words, and the retry topic, are no difference")
    func same() throws {
        try heartbeat("a", Wish(("Orders", "TAG", "a||b"), ("%RETRY%billing", "TAG", "*")), on: TestChannel())
        try heartbeat("b", Wish(("Orders", "", " b || a || b ")), on: TestChannel())
        #expect(disagreements.isEmpty)
    }
}
