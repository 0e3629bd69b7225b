import Base
import Model
import NameService
import Telemetry
import Testing

@Suite("Limits of a name server")
struct LimitTests {
    private static func registration(_ name: String, port: Int, version: Int64 = 1) -> BrokerRegistration {
        BrokerRegistration(
            identity: NameServerFixture.identity(name, port: port), haAddress: "10.0.0.1:1",
            dataVersion: DataVersion(timestamp: Timestamp(milliseconds: 7), counter: version),
            connection: ConnectionToken(1))
    }

    private static func register(
        _ server: NameServer, _ registration: BrokerRegistration, _ topics: [String] = []
    ) throws(NameServerError) {
        _ = try server.register(registration, failure: { $0 }) { () throws(NameServerError) in topics.map { .topic($0) }
        }
    }

    @Test("one broker more than there may be is refused, those that are there renew, and one that goes makes room")
    func brokers() throws {
        var configuration = NameServerConfiguration()
        configuration.brokersMaximum = 2
        let server = NameServerFixture(configuration).server
        try Self.register(server, Self.registration("a", port: 1))
        try Self.register(server, Self.registration("b", port: 2))
        #expect(throws: NameServerError.limitReached("brokers", 2)) {
            try Self.register(server, Self.registration("c", port: 3))
        }
        try Self.register(server, Self.registration("a", port: 1, version: 2))
        server.unregister(NameServerFixture.identity("b", port: 2))
        try Self.register(server, Self.registration("c", port: 3))
        #expect(server.metrics.limitRefusals == 1)
    }

    @Test("topics beyond the limit are refused as a whole, and nothing of that registration happened")
    func routes() throws {
        var configuration = NameServerConfiguration()
        configuration.routeEntriesMaximum = 3
        let server = NameServerFixture(configuration).server
        try Self.register(server, Self.registration("a", port: 1), ["T", "U"])
        #expect(throws: NameServerError.limitReached("topics on brokers", 3)) {
            try Self.register(server, Self.registration("b", port: 2), ["T", "U"])
        }
        #expect(server.route(of: "T")?.brokers.map(\.name) == ["a"])
        try Self.register(server, Self.registration("b", port: 2), ["T"])
        try Self.register(server, Self.registration("a", port: 1, version: 2), ["T", "U"])
        server.deleteTopic("U")
        try Self.register(server, Self.registration("a", port: 1, version: 3), ["V"])
        #expect(throws: NameServerError.self) {
            try Self.register(server, Self.registration("a", port: 1, version: 4), ["W"])
        }
        server.unregister(NameServerFixture.identity("b", port: 2))
        try Self.register(server, Self.registration("a", port: 1, version: 5), ["W"])
        server.checkInvariants()
    }

    @Test("a key, or a byte, too many is refused; keys that are there may change")
    func keyValues() throws {
        var configuration = NameServerConfiguration()
        configuration.keyValuesMaximum = 2
        configuration.keyValueBytesMaximum = 20
        let server = NameServerFixture(configuration).server
        try server.putKVConfig(namespace: "N", key: "a", value: "1")
        try server.putKVConfig(namespace: "M", key: "a", value: "1")
        #expect(throws: NameServerError.limitReached("keys", 2)) {
            try server.putKVConfig(namespace: "N", key: "b", value: "1")
        }
        try server.putKVConfig(namespace: "N", key: "a", value: String(repeating: "x", count: 15))
        #expect(throws: NameServerError.limitReached("bytes of keys and values", 20)) {
            try server.putKVConfig(namespace: "N", key: "a", value: String(repeating: "x", count: 16))
        }
        #expect(server.kvConfig(namespace: "N", key: "a")?.utf8.count == 15)
    }

    @Test("names have a length", arguments: [255, 256])
    func names(_ length: Int) {
        let server = NameServerFixture().server
        let name = String(repeating: "x", count: length)
        func isRefused(_ body: () throws(NameServerError) -> Void) -> Bool {
            do throws(NameServerError) {
                try body()
                return false
            } catch {
                return true
            }
        }
        let isTooLong = length > Limits.nameLengthMaximum
        #expect(
            isRefused { () throws(NameServerError) in
                try Self.register(server, Self.registration(name, port: 1))
            } == isTooLong)
        #expect(
            isRefused { () throws(NameServerError) in
                try Self.register(server, Self.registration("a", port: 2), [name])
            } == isTooLong)
        #expect(
            isRefused { () throws(NameServerError) in
                try server.putKVConfig(namespace: name, key: "k", value: "v")
            } == isTooLong)
        #expect(
            isRefused { () throws(NameServerError) in
                try server.putKVConfig(namespace: "n", key: name, value: "v")
            } == isTooLong)
    }
}
