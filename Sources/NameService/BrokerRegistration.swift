import Model

/// Who a broker says it is.
public struct BrokerIdentity: Hashable, Sendable, CustomStringConvertible {
    /// The id of the broker that accepts writes; any other id is a slave's (`MixAll.MASTER_ID`).
    public static let masterID: Int64 = 0

    public var cluster: String
    /// Shared by a master and its slaves.
    public var name: String
    public var id: Int64
    /// Where clients reach it: `host:port`.
    public var address: String

    public init(cluster: String, name: String, id: Int64, address: String) {
        self.cluster = cluster
        self.name = name
        self.id = id
        self.address = address
    }

    public var isMaster: Bool { id == Self.masterID }
    public var description: String { "\(cluster)/\(name)/\(id) at \(address)" }
}

/// Names the connection that a registration came over, so that its end can take the broker's routes with it. The frontend
/// chooses the numbers and never uses one twice.
public struct ConnectionToken: Hashable, Sendable {
    public var rawValue: UInt64
    public init(_ rawValue: UInt64) { self.rawValue = rawValue }
}

/// What a broker tells with each registration, apart from its topics.
public struct BrokerRegistration: Sendable {
    public var identity: BrokerIdentity
    /// Where slaves replicate from: `host:port`.
    public var haAddress: String
    /// Version of the broker's topics: they are read again when it is not the one known.
    public var dataVersion: DataVersion
    /// Filter servers beside the broker. Nil leaves those known as they are.
    public var filterServers: [String]?
    public var connection: ConnectionToken

    public init(
        identity: BrokerIdentity, haAddress: String, dataVersion: DataVersion, filterServers: [String]? = nil,
        connection: ConnectionToken
    ) {
        self.identity = identity
        self.haAddress = haAddress
        self.dataVersion = dataVersion
        self.filterServers = filterServers
        self.connection = connection
    }
}

/// What a broker learns from registering.
public struct RegistrationReply: Equatable, Sendable {
    /// For a slave whose master lives: the master's address.
    public var masterAddress: String?
    /// For a slave whose master lives: where to replicate from.
    public var haAddress: String?
    /// Order configuration by topic, or nil when there never was any.
    public var orderConfiguration: [String: String]?

    public init(
        masterAddress: String? = nil, haAddress: String? = nil, orderConfiguration: [String: String]? = nil
    ) {
        self.masterAddress = masterAddress
        self.haAddress = haAddress
        self.orderConfiguration = orderConfiguration
    }
}
