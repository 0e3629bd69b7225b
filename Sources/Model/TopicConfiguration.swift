import Base

/// The settings of one topic on one broker. Field names on the wire and in `topics.json` are RocketMQ's (reference §1.7).
public struct TopicConfiguration: Equatable, Sendable {
    public var name: String
    /// Queues that consumers may read, from 0.
    public var readQueueCount: Int32
    /// Queues that producers may write, from 0.
    public var writeQueueCount: Int32
    public var permission: Permission
    /// Bit 0: unit topic; bit 1: unit subscription.
    public var systemFlag: Int32
    /// True for a topic whose order across broker changes the name server's order configuration keeps.
    public var isOrdered: Bool
    public var filterType: TopicFilterType
    /// What producers and consumers may use of it.
    public var quota = TrafficQuota.byDefault

    public init(
        name: String, readQueueCount: Int32 = 8, writeQueueCount: Int32 = 8, permission: Permission = .readWrite,
        systemFlag: Int32 = 0, isOrdered: Bool = false, filterType: TopicFilterType = .singleTag
    ) {
        self.name = name
        self.readQueueCount = readQueueCount
        self.writeQueueCount = writeQueueCount
        self.permission = permission
        self.systemFlag = systemFlag
        self.isOrdered = isOrdered
        self.filterType = filterType
    }

    /// Queues that may hold messages: the larger of both counts.
    public var queueCount: Int32 { max(readQueueCount, writeQueueCount) }
}

public enum TopicFilterType: String, Sendable {
    case singleTag = "SINGLE_TAG"
    case multiTag = "MULTI_TAG"
}

/// Counts the changes of a set of topics or groups, so that two copies can be compared without comparing the sets.
public struct DataVersion: Hashable, Sendable {
    /// When it was last changed.
    public var timestamp: Timestamp
    /// How often it was changed.
    public var counter: Int64
    public init(timestamp: Timestamp = Timestamp(milliseconds: 0), counter: Int64 = 0) {
        self.timestamp = timestamp
        self.counter = counter
    }
    public mutating func advance(at now: Timestamp) {
        timestamp = now
        counter += 1
    }
}
