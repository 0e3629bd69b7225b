import Model

/// What topics, groups and clients may use when their own settings do not say so. All 0: no limit.
public struct QuotaConfiguration: Equatable, Sendable {
    /// Of each topic that is none of the system's, retries and dead letters included.
    public var topic = TrafficQuota()
    /// Of each consumer group; only pulls count.
    public var group = TrafficRate()
    /// Of each client address, over all its connections.
    public var client = TrafficQuota()
    /// A send that would have to wait for longer is refused, and a pull that may not be held is answered, in ms.
    public var waitMilliseconds: Int64 = 1_000

    public init() {}
}
