import Base

/// The settings of one consumer group on one broker (`SubscriptionGroupConfig`, reference §1.7).
public struct GroupConfiguration: Equatable, Sendable {
    public var name: String
    public var isConsumeEnabled = true
    public var isConsumeFromMinimumEnabled = true
    public var isBroadcastEnabled = true
    public var retryQueueCount: Int32 = 1
    /// Attempts before a message goes to the dead letters.
    public var retryMaximum: Int32 = 16
    /// When a message that could not be handled comes again.
    public var retryPolicy = RetryPolicy.ladder
    public var brokerID: Int64 = 0
    public var brokerIDWhenSlow: Int64 = 1
    public var isMembershipNotificationEnabled = true
    /// What its members may pull together.
    public var quota = TrafficQuota.byDefault
    public init(name: String) { self.name = name }
}

/// How a member of a group takes its messages (`ConsumeType`). The order is Java's: the C++ client sends the ordinal.
public enum ConsumeType: String, CaseIterable, Sendable {
    case pull = "CONSUME_ACTIVELY"
    case push = "CONSUME_PASSIVELY"
    case pop = "CONSUME_POP"
}

/// Whether a group shares its messages among the members or each member gets all (`MessageModel`). In Java's order.
public enum MessageModel: String, CaseIterable, Sendable {
    case broadcasting = "BROADCASTING"
    case clustering = "CLUSTERING"
}

/// Where a group without a stored offset begins (`ConsumeFromWhere`). In Java's order.
public enum ConsumeFromWhere: String, CaseIterable, Sendable {
    case lastOffset = "CONSUME_FROM_LAST_OFFSET"
    case lastOffsetAndFromMinimumWhenBootFirst = "CONSUME_FROM_LAST_OFFSET_AND_FROM_MIN_WHEN_BOOT_FIRST"
    case minimumOffset = "CONSUME_FROM_MIN_OFFSET"
    case maximumOffset = "CONSUME_FROM_MAX_OFFSET"
    case firstOffset = "CONSUME_FROM_FIRST_OFFSET"
    case timestamp = "CONSUME_FROM_TIMESTAMP"
}

/// What a group wants of one topic (`SubscriptionData`).
public struct Subscription: Equatable, Sendable {
    public var topic: String
    /// `TAG` or `SQL92`.
    public var expressionType: String
    /// `*`, tags joined by `||`, or an SQL92 expression.
    public var expression: String
    public var tags: [String]
    /// Java hashes of `tags`.
    public var tagHashes: [Int32]
    /// The client's clock when it subscribed, in ms: the newest of a group wins.
    public var version: Int64
    public init(
        topic: String, expressionType: String = "TAG", expression: String = "*", tags: [String] = [],
        tagHashes: [Int32] = [], version: Int64 = 0
    ) {
        self.topic = topic
        self.expressionType = expressionType
        self.expression = expression
        self.tags = tags
        self.tagHashes = tagHashes
        self.version = version
    }
    public static let tagType = "TAG"
    public static let sqlType = "SQL92"
    /// True for a filter by tags; a client may leave the type away.
    public var isByTags: Bool { expressionType == Self.tagType || expressionType.isEmpty }
    /// True when every message of the topic passes.
    public var matchesAll: Bool { isByTags && (expression == "*" || expression.isEmpty) }
}

/// One queue of a topic on one broker, as clients name it.
public struct MessageQueue: Hashable, Comparable, Sendable, CustomStringConvertible {
    public var topic: String
    public var brokerName: String
    public var queueID: QueueID
    public init(topic: String, brokerName: String, queueID: QueueID) {
        self.topic = topic
        self.brokerName = brokerName
        self.queueID = queueID
    }
    /// Topic, then broker name, then queue: the order in which every client of a group must see the queues.
    public static func < (a: Self, b: Self) -> Bool {
        (a.topic, a.brokerName, a.queueID) < (b.topic, b.brokerName, b.queueID)
    }
    public var description: String { "\(topic)@\(brokerName):\(queueID)" }
}
