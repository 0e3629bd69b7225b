import Base
import Model
@testable import NameService
import Testing

@Suite("Registration of brokers")
struct RegistrationTests {
    let fixture = NameServerFixture()
    let a = NameServerFixture.identity("a")

    @Test("the topics of a new master have a route at once")
    func firstRegistration() {
        let reply = fixture.register(
            a, topics: [.topic("T"), .topic("TBW102", permission: [.read, .write, .inherit])])
        #expect(reply == RegistrationReply())
        let route = fixture.server.route(of: "TBW102")
        #expect(route?.brokers == [BrokerRoute(cluster: "C", name: "a", addresses: [.init(id: 0, address: a.address)])])
        #expect(route?.queues.map(\.permission.rawValue) == [7])
        #expect(fixture.brokers(of: "T") == ["a"])
    }

    @Test("an unchanged data version does not read the topics again")
    func unchangedVersion() {
        fixture.register(a, topics: [.topic("T")])
        fixture.register(a, topics: [.topic("T"), .topic("U")])
        #expect(fixture.brokers(of: "U") == [])
        #expect(fixture.server.metrics.topicTableReads == 1)
        #expect(fixture.server.metrics.registrations == 2)
    }

    @Test("any other data version does, also an older one", arguments: [0, 2, -5] as [Int64])
    func otherVersion(version: Int64) {
        fixture.register(a, version: 1, topics: [.topic("T")])
        fixture.register(a, version: version, topics: [.topic("T", permission: .read), .topic("U")])
        #expect(fixture.brokers(of: "U") == ["a"])
        #expect(fixture.permission(of: "T") == .read)
    }

    @Test("a topic that the broker no longer names stays until it is deleted")
    func missingTopic() {
        fixture.register(a, version: 1, topics: [.topic("T"), .topic("U")])
        fixture.register(a, version: 2, topics: [.topic("U")])
        #expect(fixture.brokers(of: "T") == ["a"])
    }

    @Test("a master with another address replaces the old one, and its topics are read though the version is the same")
    func otherAddress() {
        fixture.register(a, topics: [.topic("T")])
        let moved = NameServerFixture.identity("a", port: 10999)
        fixture.register(moved, topics: [.topic("T"), .topic("U")])
        #expect(fixture.server.route(of: "U")?.brokers[0].addresses == [BrokerAddress(id: 0, address: moved.address)])
        #expect(fixture.check(1, of: a).known == nil)
        // The goodbye of the old process comes late and must not hurt its successor.
        fixture.server.unregister(a)
        #expect(fixture.brokers(of: "T") == ["a"])
    }

    @Test("topics that cannot be decoded leave everything as it was")
    func failedTopics() {
        struct Malformed: Error {}
        fixture.register(a, version: 1, topics: [.topic("T")])
        let registration = BrokerRegistration(
            identity: a, haAddress: "h", dataVersion: DataVersion(counter: 9), connection: ConnectionToken(2))
        #expect(throws: Malformed.self) {
            _ = try fixture.server.register(registration, failure: { _ in Malformed() }) {
                () throws(Malformed) in throw Malformed()
            }
        }
        #expect(fixture.check(1, of: a).isChanged == false)
        fixture.server.connectionClosed(ConnectionToken(2))
        #expect(fixture.brokers(of: "T") == ["a"])
    }

    // MARK: - Several brokers

    @Test("a slave learns its master's addresses, and its own topics do not count")
    func slave() {
        fixture.register(a, topics: [.topic("T")])
        let slave = NameServerFixture.identity("a", id: 1, port: 10921)
        let reply = fixture.register(slave, topics: [.topic("OnlyOnSlave")], connection: 2)
        #expect(reply == RegistrationReply(masterAddress: a.address, haAddress: "10.0.0.1:20000"))
        #expect(fixture.brokers(of: "OnlyOnSlave") == [])
        #expect(
            fixture.server.route(of: "T")?.brokers[0].addresses == [
                BrokerAddress(id: 0, address: a.address), BrokerAddress(id: 1, address: slave.address),
            ])
    }

    @Test("a slave without a master learns nothing; the master that follows brings the topics")
    func slaveFirst() {
        let slave = NameServerFixture.identity("a", id: 1, port: 10921)
        #expect(fixture.register(slave, topics: [.topic("T")]) == RegistrationReply())
        #expect(fixture.brokers(of: "T") == [])
        fixture.register(a, topics: [.topic("T")], connection: 2)
        #expect(fixture.server.route(of: "T")?.brokers[0].addresses.map(\.id) == [0, 1])
    }

    @Test("a slave that becomes master is listed once")
    func promotion() {
        fixture.register(a, topics: [.topic("T")])
        fixture.register(NameServerFixture.identity("a", id: 1, port: 10921), connection: 2)
        let promoted = NameServerFixture.identity("a", id: 0, port: 10921)
        fixture.register(promoted, topics: [.topic("T"), .topic("U")], connection: 2)
        #expect(fixture.brokers(of: "U") == ["a"])
        let addresses = fixture.server.route(of: "T")?.brokers[0].addresses
        #expect(addresses == [BrokerAddress(id: 0, address: promoted.address)])
    }

    @Test("with the master gone its slave keeps the topics; with the last one they go")
    func masterGone() {
        fixture.register(a, topics: [.topic("T")], connection: 1)
        let slave = NameServerFixture.identity("a", id: 1, port: 10921)
        fixture.register(slave, connection: 2)
        fixture.server.unregister(a)
        let addresses = fixture.server.route(of: "T")?.brokers[0].addresses
        #expect(addresses == [BrokerAddress(id: 1, address: slave.address)])
        fixture.server.unregister(slave)
        #expect(fixture.brokers(of: "T") == [])
        #expect(fixture.server.topics == [])
        #expect(fixture.server.clusterInformation == ClusterInformation(brokers: [], clusters: []))
    }

    @Test("one broker name in two clusters keeps its first cluster and is listed under both")
    func duplicateName() {
        fixture.register(a, topics: [.topic("T")])
        fixture.register(NameServerFixture.identity("a", id: 1, cluster: "D", port: 10921), connection: 2)
        #expect(fixture.server.route(of: "T")?.brokers.map(\.cluster) == ["C"])
        #expect(fixture.server.clusterInformation.clusters.map(\.name) == ["C", "D"])
        #expect(fixture.server.topics(ofCluster: "D") == ["T"])
        fixture.server.connectionClosed(ConnectionToken(1))
        fixture.server.connectionClosed(ConnectionToken(2))
        #expect(fixture.server.clusterInformation.clusters == [])
        fixture.server.checkInvariants()
    }

    @Test("an address taken over by another broker name leaves its old name without topics")
    func addressTakenOver() {
        fixture.register(a, topics: [.topic("T"), .topic("OnlyA")])
        let b = BrokerIdentity(cluster: "C", name: "b", id: 0, address: a.address)
        fixture.register(b, topics: [.topic("T")], connection: 2)
        #expect(fixture.brokers(of: "T") == ["b"])
        #expect(fixture.brokers(of: "OnlyA") == [])
        fixture.server.connectionClosed(ConnectionToken(1))
        #expect(fixture.brokers(of: "T") == ["b"])
    }

    @Test("a slave learns the order configuration as a master does")
    func orderConfiguration() throws {
        try fixture.server.putKVConfig(namespace: NameServer.orderNamespace, key: "T", value: "a:4")
        #expect(fixture.register(a).orderConfiguration == ["T": "a:4"])
    }

    // MARK: - Data version and goodbye

    @Test("the data version of an unknown broker has changed; that of a known one when it differs")
    func dataVersion() {
        #expect(fixture.check(1, of: a) == (true, nil))
        fixture.register(a, version: 1)
        #expect(fixture.check(1, of: a).isChanged == false)
        #expect(fixture.check(2, of: a).isChanged)
        #expect(fixture.check(2, of: a).known?.counter == 1)
    }

    @Test("the goodbye of a broker that was never there changes nothing")
    func unknownGoodbye() {
        fixture.register(a, topics: [.topic("T")])
        fixture.server.unregister(NameServerFixture.identity("b", port: 1))
        fixture.server.unregister(BrokerIdentity(cluster: "C", name: "b", id: 0, address: a.address))
        #expect(fixture.brokers(of: "T") == ["a"])
    }
}

func == (a: (isChanged: Bool, known: DataVersion?), b: (Bool, DataVersion?)) -> Bool {
    a.isChanged == b.0 && a.known == b.1
}
