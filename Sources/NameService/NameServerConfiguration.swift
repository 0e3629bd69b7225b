import Base

/// The settings of a name server (`NamesrvConfig`, remoting reference Appendix C).
public struct NameServerConfiguration: Equatable, Sendable {
    /// How long a broker may be silent before it is dropped, in milliseconds. RocketMQ's `BROKER_CHANNEL_EXPIRED_TIME`: four
    /// registrations of 30 s each.
    public var brokerExpiryMilliseconds: Int64 = 120_000
    /// Whether routes carry the order configuration of their topic (`orderMessageEnable`).
    public var isOrderMessageEnabled = false
    /// The file that keeps the key-value configuration (`kvConfigPath`); nil keeps it in memory only.
    public var kvConfigPath: String?
    /// Brokers, pairs of a topic and a broker, keys, and bytes of keys and values that are kept at the most.
    public var brokersMaximum = Limits.registeredBrokersMaximum
    public var routeEntriesMaximum = Limits.routeEntriesMaximum
    public var keyValuesMaximum = Limits.keyValuesMaximum
    public var keyValueBytesMaximum = Limits.keyValueBytesMaximum
    public init() {}
}
