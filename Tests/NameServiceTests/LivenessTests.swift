import Base
import Model
import NameService
import Testing

@Suite("Liveness of brokers")
struct LivenessTests {
    let fixture = NameServerFixture()
    let a = NameServerFixture.identity("a")

    @Test(
        "a broker silent for 120 s is alive, and one millisecond later it is not",
        arguments: [(119_999, true), (120_000, true), (120_001, false)] as [(Int64, Bool)])
    func expiry(silence: Int64, isAlive: Bool) {
        fixture.register(a, topics: [.topic("T")], connection: 5)
        fixture.clock.milliseconds += silence
        #expect(fixture.server.expire() == (isAlive ? [] : [ConnectionToken(5)]))
        #expect(fixture.brokers(of: "T") == (isAlive ? ["a"] : []))
        #expect(fixture.server.metrics.brokersExpired == (isAlive ? 0 : 1))
    }

    @Test("registering again and asking for an unchanged data version count as being heard; a changed one does not")
    func touches() {
        fixture.register(a, topics: [.topic("T")])
        fixture.clock.milliseconds += 100_000
        #expect(fixture.check(1, of: a).isChanged == false)
        fixture.clock.milliseconds += 100_000
        #expect(fixture.server.expire() == [])
        fixture.register(a)
        fixture.clock.milliseconds += 100_000
        #expect(fixture.check(2, of: a).isChanged)
        #expect(fixture.server.expire() == [])
        fixture.clock.milliseconds += 20_001
        #expect(fixture.server.expire().count == 1)
        #expect(fixture.brokers(of: "T") == [])
    }

    @Test("only the silent ones expire, and the limit is a setting")
    func configuredLimit() {
        var configuration = NameServerConfiguration()
        configuration.brokerExpiryMilliseconds = 10
        let fixture = NameServerFixture(configuration)
        fixture.register(a, topics: [.topic("T")], connection: 1)
        fixture.clock.milliseconds += 6
        fixture.register(NameServerFixture.identity("b", port: 2), topics: [.topic("T")], connection: 2)
        fixture.clock.milliseconds += 6
        #expect(fixture.server.expire() == [ConnectionToken(1)])
        #expect(fixture.brokers(of: "T") == ["b"])
    }

    @Test("a closed connection takes the brokers that registered over it, and no others")
    func connectionClosed() {
        fixture.register(a, topics: [.topic("T")], connection: 1)
        fixture.register(NameServerFixture.identity("b", port: 2), topics: [.topic("T")], connection: 1)
        fixture.register(NameServerFixture.identity("c", port: 3), topics: [.topic("T")], connection: 2)
        fixture.server.connectionClosed(ConnectionToken(3))
        #expect(fixture.brokers(of: "T") == ["a", "b", "c"])
        fixture.server.connectionClosed(ConnectionToken(1))
        #expect(fixture.brokers(of: "T") == ["c"])
        #expect(fixture.server.metrics.brokersDisconnected == 2)
    }

    @Test("a broker that came back over a new connection survives the end of the old one")
    func reconnected() {
        fixture.register(a, topics: [.topic("T")], connection: 1)
        fixture.register(a, topics: [.topic("T")], connection: 2)
        fixture.server.connectionClosed(ConnectionToken(1))
        #expect(fixture.brokers(of: "T") == ["a"])
        fixture.server.connectionClosed(ConnectionToken(2))
        #expect(fixture.brokers(of: "T") == [])
    }

    @Test("a broker that was dropped brings its topics again with the same data version")
    func dropped() {
        fixture.register(a, topics: [.topic("T")], connection: 1)
        fixture.server.connectionClosed(ConnectionToken(1))
        fixture.register(a, topics: [.topic("T")], connection: 2)
        #expect(fixture.brokers(of: "T") == ["a"])
    }
}
