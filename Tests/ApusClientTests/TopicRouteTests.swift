import Base
import Model
import RemotingProtocol
import Testing

@testable import ApusClient

@Suite("What a route means")
struct TopicRouteTests {
    private let data = TopicRouteData(
        queues: [
            QueueData(brokerName: "b", readQueueCount: 2, writeQueueCount: 1, permission: .readWrite),
            QueueData(brokerName: "a", readQueueCount: 1, writeQueueCount: 2, permission: .readWrite),
            QueueData(brokerName: "c", readQueueCount: 1, writeQueueCount: 1, permission: .read),
            QueueData(brokerName: "d", readQueueCount: 1, writeQueueCount: 1, permission: .write),
        ],
        brokers: [
            BrokerData(cluster: "C", brokerName: "a", addresses: [0: "h:1"]),
            BrokerData(cluster: "C", brokerName: "b", addresses: [0: "h:2", 1: "h:3"]),
            BrokerData(cluster: "C", brokerName: "c", addresses: [0: "h:4"]),
            BrokerData(cluster: "C", brokerName: "d", addresses: [1: "h:5"]),
        ])

    @Test("producers get writable queues of brokers with a master, sorted")
    func publish() {
        #expect(TopicRoute(topic: "T", data: data).publishQueues.map(\.description) == ["T@a:0", "T@a:1", "T@b:0"])
    }

    @Test("consumers get readable queues, sorted")
    func subscribe() {
        #expect(
            TopicRoute(topic: "T", data: data).subscribeQueues.map(\.description)
                == ["T@a:0", "T@b:0", "T@b:1", "T@c:0"])
    }

    @Test("a topic that does not exist yet borrows a route, with as many queues as its producer wants")
    func provisional() {
        let route = TopicRoute(topic: "New", from: data, queueCount: 1)
        #expect(route.isProvisional)
        #expect(route.publishQueues.map(\.description) == ["New@a:0", "New@b:0"])
    }

    @Test("the name server's order configuration decides the queues of an ordered topic")
    func ordered() {
        var data = data
        data.orderTopicConfig = "b:2;a:1;broken"
        #expect(TopicRoute(topic: "T", data: data).publishQueues.map(\.description) == ["T@b:0", "T@b:1", "T@a:0"])
    }

    @Test("a count of queues from outside does not decide how much memory is taken")
    func hugeCount() {
        var data = data
        data.queues = [QueueData(brokerName: "a", readQueueCount: .max, writeQueueCount: -5, permission: .readWrite)]
        let route = TopicRoute(topic: "T", data: data)
        #expect(route.subscribeQueues.count == Limits.queuesPerTopicMaximum)
        #expect(route.publishQueues.isEmpty)
    }

    @Test(
        "addresses are taken apart",
        arguments: [
            ("h:1", "h", 1), ("[::1]:9876", "::1", 9876), ("a.b:65535", "a.b", 65535), ("h", nil, 0), (":1", nil, 0),
            ("h:0", nil, 0), ("h:65536", nil, 0), ("h:x", nil, 0),
        ] as [(String, String?, Int)])
    func addresses(text: String, host: String?, port: Int) {
        let parts = ClientCore.hostAndPort(text)
        #expect(parts?.host == host)
        if host != nil { #expect(parts?.port == port) }
    }
}
