import Base
import Model
import NameService
import Testing

/// Work is counted in entries of the route table, so these tests mean the same on any machine.
@Suite("A hundred thousand topics")
struct ScaleTests {
    static let topicCount = 100_000
    let fixture = NameServerFixture()
    static let topics = (0..<topicCount).map { TopicConfiguration(name: "OrdersOfTheShopWithNumber\($0)") }
    let a = NameServerFixture.identity("a", port: 1)
    let b = NameServerFixture.identity("b", port: 2)

    /// Entries that `body` visits.
    private func work(_ body: () -> Void) -> Int {
        let before = fixture.server.metrics.entriesVisited
        body()
        return Int(fixture.server.metrics.entriesVisited - before)
    }

    private func register(_ identity: BrokerIdentity, version: Int64, connection: UInt64) {
        let registration = BrokerRegistration(
            identity: identity, haAddress: "", dataVersion: DataVersion(counter: version),
            connection: ConnectionToken(connection))
        _ = fixture.server.register(registration, failure: { preconditionFailure("\($0)") }) { () throws(Never) in
            Self.topics
        }
    }

    @Test("each call does the work of what it touches, not of the whole table")
    func bounded() {
        #expect(work { register(a, version: 1, connection: 1) } == Self.topicCount)
        #expect(work { register(b, version: 1, connection: 2) } == Self.topicCount)
        #expect(work { register(a, version: 1, connection: 1) } == 0, "an unchanged version is free")
        #expect(work { _ = fixture.server.route(of: Self.topics[77].name) } == 2, "a route costs its brokers")
        #expect(work { _ = fixture.server.route(of: "unknown") } == 0)
        #expect(work { fixture.server.deleteTopic(Self.topics[78].name, inCluster: "C") } == 2)
        #expect(work { _ = fixture.server.expire() } == 0)
        #expect(work { fixture.server.connectionClosed(ConnectionToken(99)) } == 0)
        fixture.server.checkInvariants()

        let lone = NameServerFixture.identity("lone", port: 3)
        fixture.register(lone, topics: [.topic("OnlyOne")], connection: 3)
        #expect(work { fixture.server.unregister(lone) } == 1, "a broker's end costs its own topics")
        #expect(work { fixture.server.connectionClosed(ConnectionToken(1)) } == Self.topicCount - 1)
        #expect(fixture.brokers(of: Self.topics[0].name) == ["b"])
    }

    @Test("random registrations, ends and deletions keep the tables in agreement", arguments: 0..<8 as Range<UInt64>)
    func randomWalk(seed: UInt64) {
        let random = SeededRandom(seed: seed)
        let names = ["a", "b", "c"], clusters = ["C", "D"]
        func anyIdentity() -> BrokerIdentity {
            NameServerFixture.identity(
                names[random.next(below: 3)], id: Int64(random.next(below: 3)),
                cluster: clusters[random.next(below: 2)],
                port: random.next(below: 5))
        }
        func anyTopics() -> [TopicConfiguration] {
            (0..<random.next(below: 4)).map { _ in .topic("T\(random.next(below: 6))") }
        }
        for _ in 0..<2_000 {
            switch random.next(below: 12) {
            case 0: fixture.server.unregister(anyIdentity())
            case 1: fixture.server.connectionClosed(ConnectionToken(UInt64(random.next(below: 4))))
            case 2: fixture.server.deleteTopic("T\(random.next(below: 6))")
            case 3: fixture.server.deleteTopic("T\(random.next(below: 6))", inCluster: clusters[random.next(below: 2)])
            case 4: _ = fixture.server.wipeWritePermission(ofBroker: names[random.next(below: 3)])
            case 5: _ = fixture.server.expire()
            default:
                fixture.clock.milliseconds += Int64(random.next(below: 40_000))
                fixture.register(
                    anyIdentity(), version: Int64(random.next(below: 3)), topics: anyTopics(),
                    filterServers: random.next(below: 3) == 0 ? ["f"] : nil, connection: UInt64(random.next(below: 4)))
            }
            fixture.server.checkInvariants()
        }
    }
}
