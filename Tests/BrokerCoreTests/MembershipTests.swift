import Base
import BrokerCore
import Model
import Simulation
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
        test.broker.unregister(channel: first, producerGroup: "producers", consumerGroup: "billing")
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

    @Test("a queue is locked by one client until it lets go or expires")
    func locks() throws {
        let test = try TestBroker()
        let queue = MessageQueue(topic: "Orders", brokerName: "broker-a", queueID: QueueID(0))
        #expect(test.broker.lock([queue], group: "g", clientID: "a") == [queue])
        #expect(test.broker.lock([queue], group: "g", clientID: "a") == [queue])
        #expect(test.broker.lock([queue], group: "g", clientID: "b").isEmpty)
        #expect(test.broker.lock([queue], group: "other", clientID: "b") == [queue])
        test.broker.unlock([queue], group: "g", clientID: "b")
        #expect(test.broker.lock([queue], group: "g", clientID: "b").isEmpty)
        test.broker.unlock([queue], group: "g", clientID: "a")
        #expect(test.broker.lock([queue], group: "g", clientID: "b") == [queue])
        test.clock.advance(milliseconds: 59_999)
        #expect(test.broker.lock([queue], group: "g", clientID: "a").isEmpty)
        test.clock.advance(milliseconds: 1)
        #expect(test.broker.lock([queue], group: "g", clientID: "a") == [queue])
    }
}
