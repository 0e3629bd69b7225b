import Base
import BrokerCore
import Model
import Storage
import Testing

@Suite("State of a broker")
struct StateTests {
    @Test("topics, groups and offsets survive a stop and a kill", arguments: [false, true])
    func survives(isKilled: Bool) throws {
        let test = try TestBroker()
        try test.send("Orders", "body")
        try test.broker.putTopic(
            TopicConfiguration(name: "Made", readQueueCount: 2, writeQueueCount: 5, permission: .read, isOrdered: true))
        var group = GroupConfiguration(name: "billing")
        group.retryMaximum = 3
        group.isBroadcastEnabled = false
        try test.broker.putGroup(group)
        try test.commit("Orders", "billing", 1)
        try test.broker.endTurn()
        if isKilled { try test.kill() } else { try test.restart() }
        #expect(test.broker.topic("Made")?.configuration.writeQueueCount == 5)
        #expect(test.broker.topic("Made")?.configuration.isOrdered == true)
        #expect(test.broker.topic("Made")?.configuration.permission == .read)
        #expect(test.broker.group("billing") == group)
        #expect(test.offset("Orders", "billing") == 1)
        #expect(try test.fetch("Orders").1 == ["body"])
        // And it goes on from there.
        #expect(try test.send("Orders", "next").queueOffset.rawValue == 1)
    }

    @Test("what was removed stays removed", arguments: [false, true])
    func removed(isKilled: Bool) throws {
        let test = try TestBroker()
        try test.send("Orders", "body")
        try test.commit("Orders", "billing", 1)
        try test.broker.putGroup(GroupConfiguration(name: "billing"))
        try test.broker.endTurn()
        try test.broker.removeTopic("Orders")
        try test.broker.removeGroup("billing", removesOffsets: true)
        try test.broker.endTurn()
        if isKilled { try test.kill() } else { try test.restart() }
        #expect(test.broker.topic("Orders") == nil)
        #expect(test.broker.group("billing") == nil)
        #expect(test.offset("Orders", "billing") == nil)
    }

    @Test("a topic that is made again is empty")
    func madeAgain() throws {
        let test = try TestBroker()
        for _ in 0..<3 { try test.send("Orders", "old") }
        try test.broker.removeTopic("Orders")
        #expect(try test.send("Orders", "new").queueOffset.rawValue == 0)
        #expect(try test.fetch("Orders").1 == ["new"])
    }

    @Test("an offset that is committed again costs no record")
    func unchangedOffset() throws {
        let test = try TestBroker()
        try test.send("Orders", "body")
        try test.commit("Orders", "billing", 1)
        try test.broker.endTurn()
        let written = test.broker.written
        try test.commit("Orders", "billing", 1)
        try test.broker.endTurn()
        #expect(test.broker.written == written)
        // Backwards is allowed: that is how a group reads again.
        try test.commit("Orders", "billing", 0)
        try test.broker.endTurn()
        #expect(test.offset("Orders", "billing") == 0)
        #expect(test.broker.written > written)
    }

    @Test("offsets of nothing are refused")
    func badOffsets() throws {
        let test = try TestBroker()
        try test.send("Orders", "body")
        #expect(throws: BrokerError.topicUnknown("Nothing")) { try test.commit("Nothing", "g", 0) }
        #expect(throws: BrokerError.self) { try test.commit("Orders", "g", 0, queueID: 4) }
        #expect(throws: BrokerError.self) { try test.commit("Orders", "g", 0, queueID: -1) }
        #expect(throws: BrokerError.self) { try test.commit("Orders", "g", -1) }
        #expect(throws: BrokerError.self) { try test.commit("Orders", "", 0) }
    }

    @Test("system topics can be neither changed nor removed")
    func systemTopics() throws {
        let test = try TestBroker()
        for name in ["TBW102", "SELF_TEST_TOPIC", "broker-a"] {
            #expect(throws: BrokerError.topicIsSystem(name)) {
                try test.broker.putTopic(TopicConfiguration(name: name))
            }
            #expect(throws: BrokerError.topicIsSystem(name)) { try test.broker.removeTopic(name) }
        }
        #expect(throws: BrokerError.topicReserved("DefaultCluster")) {
            try test.broker.putTopic(TopicConfiguration(name: "DefaultCluster"))
        }
    }

    @Test("a topic has at most 65,536 queues")
    func queueCount() throws {
        let test = try TestBroker()
        let maximum = Int32(Limits.queuesPerTopicMaximum)
        try test.broker.putTopic(TopicConfiguration(name: "Wide", readQueueCount: maximum, writeQueueCount: maximum))
        #expect(throws: BrokerError.self) {
            try test.broker.putTopic(TopicConfiguration(name: "Wider", readQueueCount: maximum + 1, writeQueueCount: 1))
        }
        #expect(throws: BrokerError.self) {
            try test.broker.putTopic(TopicConfiguration(name: "Wider", readQueueCount: -1, writeQueueCount: 1))
        }
    }
}
