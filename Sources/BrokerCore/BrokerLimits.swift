import Base

/// How much a broker keeps for its clients. What it has already it keeps, also when a limit is lowered.
public struct BrokerLimits: Sendable {
    /// `maximumTopics`; those of the system and of retries and dead letters count.
    public var topics = Limits.topicsDefault
    /// `maximumGroups`.
    public var groups = Limits.groupsDefault
    /// `maximumHeldPulls`, over all connections.
    public var heldPulls = Limits.heldPullsDefault
    public var membersPerGroup = Limits.membersPerGroupMaximum
    public var members = Limits.membersMaximum
    public var consumerOffsets = Limits.consumerOffsetsMaximum
    public var queueLocks = Limits.queueLocksMaximum

    public init() {}
}
