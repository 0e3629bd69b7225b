import Base
import Model
@testable import NameService
import Testing

@Suite("Routes, lists and what operators change")
struct RouteTests {
    let fixture = NameServerFixture()
    let a = NameServerFixture.identity("a", port: 1)
    let b = NameServerFixture.identity("b", cluster: "D", port: 2)

    @Test("an unknown topic has no route")
    func unknown() {
        fixture.register(a, topics: [.topic("T")])
        #expect(fixture.server.route(of: "U") == nil)
        #expect(fixture.server.route(of: "") == nil)
        #expect(fixture.server.metrics.routeMisses == 2)
    }

    @Test("a route lists brokers and queues by broker name, in whatever order they came")
    func order() {
        for (port, name) in ["m", "z", "b", "q"].enumerated() {
            fixture.register(
                NameServerFixture.identity(name, port: port), topics: [.topic("T")], connection: UInt64(port))
        }
        let route = fixture.server.route(of: "T")
        #expect(route?.brokers.map(\.name) == ["b", "m", "q", "z"])
        #expect(route?.queues.map(\.brokerName) == ["b", "m", "q", "z"])
    }

    @Test("queue counts, permission and system flag are each broker's own")
    func queues() {
        fixture.register(a, topics: [.topic("T", permission: .read, systemFlag: 2)])
        fixture.register(
            b, topics: [TopicConfiguration(name: "T", readQueueCount: 7, writeQueueCount: 3)], connection: 2)
        let queues = fixture.server.route(of: "T")?.queues ?? []
        #expect(queues.map(\.readQueueCount) == [4, 7])
        #expect(queues.map(\.writeQueueCount) == [4, 3])
        #expect(queues.map(\.permission) == [.read, .readWrite])
        #expect(queues.map(\.systemFlag) == [2, 0])
    }

    @Test("filter servers are in the routes of their broker, until it names none or goes")
    func filterServers() {
        fixture.register(a, topics: [.topic("T")], filterServers: ["f:1", "f:2"])
        #expect(
            fixture.server.route(of: "T")?.filterServers == [
                FilterServerRoute(brokerAddress: a.address, servers: ["f:1", "f:2"])
            ])
        fixture.register(a, filterServers: nil)
        #expect(fixture.server.route(of: "T")?.filterServers.count == 1)
        fixture.register(a, filterServers: [])
        #expect(fixture.server.route(of: "T")?.filterServers == [])
    }

    @Test("the order configuration is in a route only when the setting says so")
    func orderConfiguration() throws {
        fixture.register(a, topics: [.topic("T"), .topic("U")])
        try fixture.server.putKVConfig(namespace: NameServer.orderNamespace, key: "T", value: "a:4")
        #expect(fixture.server.route(of: "T")?.orderConfiguration == nil)
        fixture.server.setOrderMessageEnabled(true)
        #expect(fixture.server.route(of: "T")?.orderConfiguration == "a:4")
        #expect(fixture.server.route(of: "U")?.orderConfiguration == nil)
    }

    @Test("cluster information lists all brokers and clusters, sorted")
    func clusters() {
        fixture.register(b, connection: 2)
        fixture.register(a)
        fixture.register(NameServerFixture.identity("a", id: 3, port: 4), connection: 3)
        let information = fixture.server.clusterInformation
        #expect(information.brokers.map(\.name) == ["a", "b"])
        #expect(information.brokers[0].addresses.map(\.id) == [0, 3])
        #expect(
            information.clusters == [
                ClusterInformation.Cluster(name: "C", brokerNames: ["a"]),
                ClusterInformation.Cluster(name: "D", brokerNames: ["b"]),
            ])
    }

    @Test("topic lists: all, of a cluster, of the system")
    func lists() {
        #expect(fixture.server.systemTopics == ([], nil))
        fixture.register(a, topics: [.topic("U"), .topic("T")])
        fixture.register(b, topics: [.topic("V"), .topic("T")], connection: 2)
        #expect(fixture.server.topics == ["T", "U", "V"])
        #expect(fixture.server.topics(ofCluster: "D") == ["T", "V"])
        #expect(fixture.server.topics(ofCluster: "unknown") == [])
        #expect(fixture.server.systemTopics == (["C", "D", "a", "b"], a.address))
    }

    @Test(
        "unit topics by the bits of the system flag",
        arguments: [
            (.unit, ["unit", "unitAndSubscribed"]), (.unitSubscription, ["subscribed", "unitAndSubscribed"]),
            (.unitSubscriptionOnly, ["subscribed"]),
        ] as [(UnitTopicKind, [String])])
    func unitTopics(kind: UnitTopicKind, expected: [String]) {
        fixture.register(
            a,
            topics: [
                .topic("plain", systemFlag: 0), .topic("unit", systemFlag: 1), .topic("subscribed", systemFlag: 2),
                .topic("unitAndSubscribed", systemFlag: 3), .topic("otherBits", systemFlag: 4),
            ])
        #expect(fixture.server.topics(kind) == expected)
    }

    // MARK: - Changes by an operator

    @Test(
        "wiping takes the write bit alone; adding sets read and write alone",
        arguments: [(7, 5, 6), (6, 4, 6), (2, 0, 6), (4, 4, 6), (12, 12, 6)] as [(Int32, Int32, Int32)])
    func writePermission(before: Int32, wiped: Int32, added: Int32) {
        fixture.register(a, topics: [.topic("T", permission: Permission(rawValue: before)), .topic("U")])
        fixture.register(b, topics: [.topic("T", permission: Permission(rawValue: before))], connection: 2)
        #expect(fixture.server.wipeWritePermission(ofBroker: "a") == 2)
        #expect(fixture.permission(of: "T")?.rawValue == wiped)
        #expect(fixture.permission(of: "T", on: "b")?.rawValue == before)
        // It lasts while the broker says that nothing changed.
        fixture.register(a)
        #expect(fixture.permission(of: "T")?.rawValue == wiped)
        #expect(fixture.server.addWritePermission(ofBroker: "a") == 2)
        #expect(fixture.permission(of: "T")?.rawValue == added)
    }

    @Test("changing the permission of an unknown broker counts nothing")
    func unknownBroker() {
        #expect(fixture.server.wipeWritePermission(ofBroker: "a") == 0)
        #expect(fixture.server.addWritePermission(ofBroker: "a") == 0)
    }

    @Test("a topic is deleted everywhere, or in one cluster")
    func deleteTopic() {
        fixture.register(a, topics: [.topic("T"), .topic("U")])
        fixture.register(b, topics: [.topic("T"), .topic("U")], connection: 2)
        fixture.server.deleteTopic("T", inCluster: "unknown")
        fixture.server.deleteTopic("T", inCluster: "C")
        #expect(fixture.brokers(of: "T") == ["b"])
        fixture.server.deleteTopic("T", inCluster: "D")
        #expect(fixture.brokers(of: "T") == [])
        fixture.server.deleteTopic("U")
        fixture.server.deleteTopic("U")
        #expect(fixture.server.topics == [])
        fixture.server.checkInvariants()
    }

    @Test("a deleted topic comes back only with another data version")
    func deletedTopicReturns() {
        fixture.register(a, version: 1, topics: [.topic("T")])
        fixture.server.deleteTopic("T")
        fixture.register(a, version: 1, topics: [.topic("T")])
        #expect(fixture.brokers(of: "T") == [])
        fixture.register(a, version: 2, topics: [.topic("T")])
        #expect(fixture.brokers(of: "T") == ["a"])
    }
}
