import Base
import BrokerCore
import Model
import Simulation
import Testing

@Suite("Limits of a broker")
struct BrokerLimitTests {
    private static func heartbeat(
        _ client: String, groups: [String] = [], producers: [String] = [], topics: [String] = ["T"],
        expression: String = "*", tags: Int = 0
    ) -> Heartbeat {
        Heartbeat(
            identity: ClientIdentity(clientID: client, language: "JAVA", version: 1), producerGroups: producers,
            consumers: groups.map { group in
                Heartbeat.Consumer(
                    group: group, consumeType: .push, messageModel: .clustering, consumeFromWhere: .lastOffset,
                    subscriptions: topics.map {
                        Subscription(
                            topic: $0, expression: expression, tagHashes: [Int32](repeating: 1, count: tags), version: 1
                        )
                    })
            })
    }

    private static func refusal(_ body: () throws(BrokerError) -> Void) -> BrokerError? {
        do throws(BrokerError) {
            try body()
            return nil
        } catch {
            return error
        }
    }

    @Test("one topic too many is refused, made by hand or by a message; the others go on, and one that goes makes room")
    func topics() throws {
        let it = try TestBroker()
        try it.broker.putTopic(TopicConfiguration(name: "A"))
        it.configuration.limits.topics = it.broker.topicCount + 1
        try it.restart()
        try it.send("B", "made by a message")
        let reached = BrokerError.limitReached("topics", it.configuration.limits.topics)
        #expect(
            Self.refusal { () throws(BrokerError) in
                try it.broker.putTopic(TopicConfiguration(name: "C"))
            } == reached)
        #expect(throws: reached) { try it.send("C", "x") }
        #expect(it.broker.metrics.limitRefusals == 2)
        try it.send("A", "served")
        try it.broker.putTopic(TopicConfiguration(name: "A", readQueueCount: 9, writeQueueCount: 9))
        try it.broker.removeTopic("B")
        try it.send("C", "now there is room")
        it.configuration.limits.topics = 1
        try it.restart()
        #expect(it.broker.topic("C") != nil, "a lower limit takes nothing away")
    }

    @Test("one group too many is refused, made by hand, by a pull or by a heartbeat")
    func groups() throws {
        let it = try TestBroker { $0.limits.groups = 2 }
        try it.broker.putTopic(TopicConfiguration(name: "T"))
        try it.broker.putGroup(GroupConfiguration(name: "A"))
        _ = try it.queue("T")
        let reached = BrokerError.limitReached("groups", 2)
        #expect(
            Self.refusal { () throws(BrokerError) in
                try it.broker.putGroup(GroupConfiguration(name: "C"))
            } == reached)
        #expect(
            Self.refusal { () throws(BrokerError) in
                try it.broker.heartbeat(Self.heartbeat("1", groups: ["C"]), on: TestChannel())
            } == reached)
        _ = try it.queue("T")
        try it.broker.putGroup(GroupConfiguration(name: "A"))
    }

    @Test("members of a group, and of all groups, have a limit; those that are in renew, and one that goes makes room")
    func members() throws {
        let it = try TestBroker {
            $0.limits.membersPerGroup = 2
            $0.limits.members = 3
        }
        let channels = (0..<5).map { _ in TestChannel() }
        try it.broker.heartbeat(Self.heartbeat("0", groups: ["A"]), on: channels[0])
        try it.broker.heartbeat(Self.heartbeat("1", groups: ["A"]), on: channels[1])
        #expect(
            Self.refusal { () throws(BrokerError) in
                try it.broker.heartbeat(Self.heartbeat("2", groups: ["A"]), on: channels[2])
            } == .limitReached("members of the group A", 2))
        try it.broker.heartbeat(Self.heartbeat("3", producers: ["P"]), on: channels[3])
        #expect(
            Self.refusal { () throws(BrokerError) in
                try it.broker.heartbeat(Self.heartbeat("4", producers: ["P"]), on: channels[4])
            } == .limitReached("members of groups", 3))
        try it.broker.heartbeat(Self.heartbeat("0", groups: ["A"]), on: channels[0])
        it.broker.closed(channels[3])
        try it.broker.heartbeat(Self.heartbeat("4", producers: ["P"]), on: channels[4])
        #expect(it.broker.members.count == 3)
        for channel in channels { it.broker.closed(channel) }
        #expect(it.broker.members.count == 0)
    }

    @Test("what one heartbeat may say has limits, each met exactly and gone beyond by one")
    func heartbeats() throws {
        let it = try TestBroker()
        func names(_ count: Int) -> [String] { (0..<count).map { "n\($0)" } }
        let table: [(Heartbeat, isRefused: Bool)] = [
            (Self.heartbeat(String(repeating: "c", count: Limits.clientIDLengthMaximum), producers: ["P"]), false),
            (Self.heartbeat(String(repeating: "c", count: Limits.clientIDLengthMaximum + 1), producers: ["P"]), true),
            (Self.heartbeat("1", producers: names(Limits.groupsPerHeartbeatMaximum)), false),
            (Self.heartbeat("1", producers: names(Limits.groupsPerHeartbeatMaximum + 1)), true),
            (Self.heartbeat("1", producers: [String(repeating: "g", count: Limits.groupLengthMaximum)]), false),
            (Self.heartbeat("1", producers: [String(repeating: "g", count: Limits.groupLengthMaximum + 1)]), true),
            (Self.heartbeat("1", groups: ["A"], topics: names(Limits.subscriptionsPerMemberMaximum)), false),
            (Self.heartbeat("1", groups: ["A"], topics: names(Limits.subscriptionsPerMemberMaximum + 1)), true),
            (
                Self.heartbeat(
                    "1", groups: ["A"], expression: String(repeating: "e", count: Limits.selectorLengthMaximum)), false
            ),
            (
                Self.heartbeat(
                    "1", groups: ["A"], expression: String(repeating: "e", count: Limits.selectorLengthMaximum + 1)),
                true
            ),
            (Self.heartbeat("1", groups: ["A"], tags: Limits.tagsPerSubscriptionMaximum), false),
            (Self.heartbeat("1", groups: ["A"], tags: Limits.tagsPerSubscriptionMaximum + 1), true),
        ]
        for (index, row) in table.enumerated() {
            let channel = TestChannel()
            let refusal = Self.refusal { () throws(BrokerError) in try it.broker.heartbeat(row.0, on: channel) }
            #expect((refusal != nil) == row.isRefused, "row \(index): \(String(describing: refusal))")
            it.broker.closed(channel)
        }
    }

    @Test("offsets have a limit over all groups and topics; those that are there move on")
    func offsets() throws {
        let it = try TestBroker { $0.limits.consumerOffsets = 10 }
        try it.broker.putTopic(TopicConfiguration(name: "T", readQueueCount: 16, writeQueueCount: 16))
        try it.commit("T", "A", 1, queueID: 7)
        try it.commit("T", "B", 1, queueID: 1)
        let reached = BrokerError.limitReached("consumer offsets", 10)
        #expect(throws: reached) { try it.commit("T", "B", 1, queueID: 2) }
        #expect(throws: reached) { try it.commit("T", "C", 1, queueID: 0) }
        try it.commit("T", "A", 5, queueID: 3)
        #expect(it.offset("T", "A", queueID: 3) == 5)
        try it.broker.removeGroup("A", removesOffsets: true)
        try it.commit("T", "B", 1, queueID: 9)
        try it.restart()
        #expect(throws: reached) { try it.commit("T", "C", 1, queueID: 0) }
    }

    @Test("locks have a limit; who holds one renews it")
    func locks() throws {
        let it = try TestBroker { $0.limits.queueLocks = 3 }
        try it.broker.putTopic(TopicConfiguration(name: "T"))
        try it.broker.putGroup(GroupConfiguration(name: "A"))
        func queues(_ numbers: Range<Int32>) -> [MessageQueue] {
            numbers.map { MessageQueue(topic: "T", brokerName: "broker-a", queueID: QueueID($0)) }
        }
        #expect(try it.broker.lock(queues(0..<3), group: "A", clientID: "1").count == 3)
        #expect(
            Self.refusal { () throws(BrokerError) in
                _ = try it.broker.lock(queues(3..<4), group: "A", clientID: "1")
            } == .limitReached("locked queues", 3))
        #expect(try it.broker.lock(queues(0..<3), group: "A", clientID: "1").count == 3)
        try it.broker.unlock(queues(0..<1), group: "A", clientID: "1")
        #expect(try it.broker.lock(queues(3..<4), group: "A", clientID: "1").count == 1)
    }

    @Test("held pulls have a limit over all connections")
    func heldPulls() throws {
        let it = try TestBroker { $0.limits.heldPulls = 2 }
        try it.broker.putTopic(TopicConfiguration(name: "T"))
        let queue = try it.queue("T")
        let waiter = TestWaiter()
        for token in 0..<2 {
            #expect(it.broker.mayHold)
            _ = it.broker.hold(
                queue, filter: .all, from: .zero, until: it.clock.monotonic.advanced(byMilliseconds: 1_000),
                waiter: waiter, token: token)
        }
        #expect(!it.broker.mayHold)
        #expect(it.broker.metrics.holdRefusals == 1)
        try it.send("T", "wakes both")
        #expect(waiter.woken.count == 2 && it.broker.mayHold)
    }
}
