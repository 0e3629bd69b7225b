/// What a name server counted since it started.
public struct NameServerMetrics: Equatable, Sendable {
    /// Registrations of brokers, first ones and renewals.
    public var registrations: UInt64 = 0
    /// Those of them that had to read the topics of the broker.
    public var topicTableReads: UInt64 = 0
    public var routeLookups: UInt64 = 0
    /// Lookups of a topic that no live broker has.
    public var routeMisses: UInt64 = 0
    /// Brokers dropped because they were silent for too long.
    public var brokersExpired: UInt64 = 0
    /// Brokers dropped because their connection closed.
    public var brokersDisconnected: UInt64 = 0
    /// Entries of the route table (one topic on one broker) that were read or written: the work done, in a unit that does not
    /// depend on the machine.
    public var entriesVisited: UInt64 = 0
    /// Requests that were refused because a limit was reached.
    public var limitRefusals: UInt64 = 0
    public init() {}
}
