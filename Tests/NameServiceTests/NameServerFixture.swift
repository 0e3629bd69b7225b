import Base
import Model
import NameService
import Telemetry

/// A clock that tests move by hand.
final class HandClock: Clock {
    var milliseconds: Int64 = 1_000_000
    var timestamp: Timestamp { Timestamp(milliseconds: milliseconds) }
    var monotonic: MonotonicTime { MonotonicTime(nanoseconds: milliseconds * 1_000_000) }
}

/// A name server on a clock moved by hand, with short ways to say what a broker does.
struct NameServerFixture {
    let clock = HandClock()
    let server: NameServer

    init(_ configuration: NameServerConfiguration = NameServerConfiguration()) {
        server = NameServer(configuration: configuration, clock: clock, log: .silent)
    }

    static func identity(
        _ name: String, id: Int64 = 0, cluster: String = "C", port: Int = 10911
    ) -> BrokerIdentity {
        BrokerIdentity(cluster: cluster, name: name, id: id, address: "10.0.0.1:\(port)")
    }

    @discardableResult
    func register(
        _ identity: BrokerIdentity, version: Int64 = 1, topics: [TopicConfiguration] = [],
        filterServers: [String]? = nil, connection: UInt64 = 1
    ) -> RegistrationReply {
        let registration = BrokerRegistration(
            identity: identity, haAddress: "10.0.0.1:\(identity.id + 20_000)",
            dataVersion: DataVersion(timestamp: Timestamp(milliseconds: 7), counter: version),
            filterServers: filterServers, connection: ConnectionToken(connection))
        let reply = server.register(registration, failure: { preconditionFailure("\($0)") }) {
            () throws(Never) in topics
        }
        server.checkInvariants()
        return reply
    }

    func check(_ version: Int64, of identity: BrokerIdentity) -> (isChanged: Bool, known: DataVersion?) {
        server.checkDataVersion(
            DataVersion(timestamp: Timestamp(milliseconds: 7), counter: version), ofBrokerAt: identity.address)
    }

    /// The broker names of a topic's route; empty when there is none.
    func brokers(of topic: String) -> [String] {
        server.checkInvariants()
        return server.route(of: topic)?.brokers.map(\.name) ?? []
    }

    func permission(of topic: String, on broker: String = "a") -> Permission? {
        server.route(of: topic)?.queues.first { $0.brokerName == broker }?.permission
    }
}

extension TopicConfiguration {
    static func topic(_ name: String, permission: Permission = .readWrite, systemFlag: Int32 = 0) -> Self {
        TopicConfiguration(
            name: name, readQueueCount: 4, writeQueueCount: 4, permission: permission, systemFlag: systemFlag)
    }
}
