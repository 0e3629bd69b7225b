import Base
import Bytes

/// 14 `QUERY_CONSUMER_OFFSET`: where a group stands in a queue.
public struct QueryConsumerOffsetHeader: CommandFields, Equatable {
    public var consumerGroup: String
    public var topic: String
    public var queueID: QueueID
    /// Written by 4.9 clients; only a proxy looks at it.
    public var brokerName: String?
    /// 5.x: false asks for code 22 instead of 0 when nothing is stored.
    public var isZeroIfNotFound: Bool?

    public init(
        consumerGroup: String, topic: String, queueID: QueueID, brokerName: String? = nil, isZeroIfNotFound: Bool? = nil
    ) {
        self.consumerGroup = consumerGroup
        self.topic = topic
        self.queueID = queueID
        self.brokerName = brokerName
        self.isZeroIfNotFound = isZeroIfNotFound
    }

    public init(_ header: CommandHeader, in span: RawSpan) throws(HeaderError) {
        consumerGroup = try header.string("consumerGroup", in: span)
        topic = try header.string("topic", in: span)
        queueID = QueueID(try header.int32("queueId", in: span))
        brokerName = header.string(ifPresent: "bname", in: span)
        isZeroIfNotFound = header.bool(ifPresent: "setZeroIfNotFound", in: span)
    }

    public func write(into writer: inout CommandWriter) {
        writer.field("consumerGroup", consumerGroup)
        writer.field("topic", topic)
        writer.field("queueId", queueID.rawValue)
        writer.field("bname", brokerName)
        writer.field("setZeroIfNotFound", isZeroIfNotFound)
    }
}

/// 15 `UPDATE_CONSUMER_OFFSET`: stores where a group stands, normally one-way.
public struct UpdateConsumerOffsetHeader: CommandFields, Equatable {
    public var consumerGroup: String
    public var topic: String
    public var queueID: QueueID
    /// Written by 4.9 clients; only a proxy looks at it.
    public var brokerName: String?
    /// The first message that the group has not consumed.
    public var commitOffset: QueueOffset

    public init(
        consumerGroup: String, topic: String, queueID: QueueID, brokerName: String? = nil, commitOffset: QueueOffset
    ) {
        self.consumerGroup = consumerGroup
        self.topic = topic
        self.queueID = queueID
        self.brokerName = brokerName
        self.commitOffset = commitOffset
    }

    public init(_ header: CommandHeader, in span: RawSpan) throws(HeaderError) {
        consumerGroup = try header.string("consumerGroup", in: span)
        topic = try header.string("topic", in: span)
        queueID = QueueID(try header.int32("queueId", in: span))
        brokerName = header.string(ifPresent: "bname", in: span)
        commitOffset = QueueOffset(try header.int64("commitOffset", in: span))
    }

    public func write(into writer: inout CommandWriter) {
        writer.field("consumerGroup", consumerGroup)
        writer.field("topic", topic)
        writer.field("queueId", queueID.rawValue)
        writer.field("bname", brokerName)
        writer.field("commitOffset", commitOffset.rawValue)
    }
}

/// 29 `SEARCH_OFFSET_BY_TIMESTAMP`: the first message stored at `timestamp` or later.
public struct SearchOffsetHeader: CommandFields, Equatable {
    public var topic: String
    public var queueID: QueueID
    /// Written by 4.9 clients; only a proxy looks at it.
    public var brokerName: String?
    public var timestamp: Timestamp

    public init(topic: String, queueID: QueueID, brokerName: String? = nil, timestamp: Timestamp) {
        self.topic = topic
        self.queueID = queueID
        self.brokerName = brokerName
        self.timestamp = timestamp
    }

    public init(_ header: CommandHeader, in span: RawSpan) throws(HeaderError) {
        topic = try header.string("topic", in: span)
        queueID = QueueID(try header.int32("queueId", in: span))
        brokerName = header.string(ifPresent: "bname", in: span)
        timestamp = Timestamp(milliseconds: try header.int64("timestamp", in: span))
    }

    public func write(into writer: inout CommandWriter) {
        writer.field("topic", topic)
        writer.field("queueId", queueID.rawValue)
        writer.field("bname", brokerName)
        writer.field("timestamp", timestamp.milliseconds)
    }
}

/// 30 `GET_MAX_OFFSET`: the offset that the next message will get.
public struct GetMaximumOffsetHeader: CommandFields, Equatable {
    public var topic: String
    public var queueID: QueueID
    /// Written by 4.9 clients; only a proxy looks at it.
    public var brokerName: String?

    public init(topic: String, queueID: QueueID, brokerName: String? = nil) {
        self.topic = topic
        self.queueID = queueID
        self.brokerName = brokerName
    }

    public init(_ header: CommandHeader, in span: RawSpan) throws(HeaderError) {
        topic = try header.string("topic", in: span)
        queueID = QueueID(try header.int32("queueId", in: span))
        brokerName = header.string(ifPresent: "bname", in: span)
    }

    public func write(into writer: inout CommandWriter) {
        writer.field("topic", topic)
        writer.field("queueId", queueID.rawValue)
        writer.field("bname", brokerName)
    }
}

/// 31 `GET_MIN_OFFSET`: the oldest message that is still there.
public struct GetMinimumOffsetHeader: CommandFields, Equatable {
    public var topic: String
    public var queueID: QueueID
    /// Written by 4.9 clients; only a proxy looks at it.
    public var brokerName: String?

    public init(topic: String, queueID: QueueID, brokerName: String? = nil) {
        self.topic = topic
        self.queueID = queueID
        self.brokerName = brokerName
    }

    public init(_ header: CommandHeader, in span: RawSpan) throws(HeaderError) {
        topic = try header.string("topic", in: span)
        queueID = QueueID(try header.int32("queueId", in: span))
        brokerName = header.string(ifPresent: "bname", in: span)
    }

    public func write(into writer: inout CommandWriter) {
        writer.field("topic", topic)
        writer.field("queueId", queueID.rawValue)
        writer.field("bname", brokerName)
    }
}

/// 32 `GET_EARLIEST_MSG_STORETIME`: when the oldest message was stored.
public struct GetEarliestMessageStoreTimeHeader: CommandFields, Equatable {
    public var topic: String
    public var queueID: QueueID
    /// Written by 4.9 clients; only a proxy looks at it.
    public var brokerName: String?

    public init(topic: String, queueID: QueueID, brokerName: String? = nil) {
        self.topic = topic
        self.queueID = queueID
        self.brokerName = brokerName
    }

    public init(_ header: CommandHeader, in span: RawSpan) throws(HeaderError) {
        topic = try header.string("topic", in: span)
        queueID = QueueID(try header.int32("queueId", in: span))
        brokerName = header.string(ifPresent: "bname", in: span)
    }

    public func write(into writer: inout CommandWriter) {
        writer.field("topic", topic)
        writer.field("queueId", queueID.rawValue)
        writer.field("bname", brokerName)
    }
}

/// The answer to 14, 29, 30 and 31.
public struct OffsetResponseHeader: CommandFields, Equatable {
    public var offset: QueueOffset

    public init(offset: QueueOffset) {
        self.offset = offset
    }

    public init(_ header: CommandHeader, in span: RawSpan) throws(HeaderError) {
        offset = QueueOffset(try header.int64("offset", in: span))
    }

    public func write(into writer: inout CommandWriter) {
        writer.field("offset", offset.rawValue)
    }
}

/// The answer to 32.
public struct EarliestMessageStoreTimeResponseHeader: CommandFields, Equatable {
    /// -1 when there is no message.
    public var timestamp: Timestamp

    public init(timestamp: Timestamp) {
        self.timestamp = timestamp
    }

    public init(_ header: CommandHeader, in span: RawSpan) throws(HeaderError) {
        timestamp = Timestamp(milliseconds: try header.int64("timestamp", in: span))
    }

    public func write(into writer: inout CommandWriter) {
        writer.field("timestamp", timestamp.milliseconds)
    }
}

/// 222 `INVOKE_BROKER_TO_RESET_OFFSET`, and 220 `RESET_CONSUMER_CLIENT_OFFSET` to the members of the group.
public struct ResetOffsetHeader: CommandFields, Equatable {
    public var topic: String
    public var group: String
    /// In ms; -1 means the end of each queue.
    public var timestamp: Int64
    /// False moves offsets back only, never forth.
    public var isForced: Bool
    /// 5.x: this queue only.
    public var queueID: QueueID?
    /// 5.x: to this offset.
    public var offset: QueueOffset?

    public init(
        topic: String, group: String, timestamp: Int64 = 0, isForced: Bool = false, queueID: QueueID? = nil,
        offset: QueueOffset? = nil
    ) {
        self.topic = topic
        self.group = group
        self.timestamp = timestamp
        self.isForced = isForced
        self.queueID = queueID
        self.offset = offset
    }

    public init(_ header: CommandHeader, in span: RawSpan) throws(HeaderError) {
        topic = try header.string("topic", in: span)
        group = try header.string("group", in: span)
        timestamp = try header.int64(ifPresent: "timestamp", in: span) ?? 0
        isForced = header.bool(ifPresent: "isForce", in: span) ?? false
        queueID = try header.int32(ifPresent: "queueId", in: span).map { QueueID($0) }
        offset = try header.int64(ifPresent: "offset", in: span).map { QueueOffset($0) }
    }

    public func write(into writer: inout CommandWriter) {
        writer.field("topic", topic)
        writer.field("group", group)
        writer.field("timestamp", timestamp)
        writer.field("isForce", isForced)
        writer.field("queueId", queueID?.rawValue)
        writer.field("offset", offset?.rawValue)
    }
}

/// 223 `INVOKE_BROKER_TO_GET_CONSUMER_STATUS`, and 221 `GET_CONSUMER_STATUS_FROM_CLIENT` to the members.
public struct GetConsumerStatusHeader: CommandFields, Equatable {
    public var topic: String
    public var group: String
    public var clientAddress: String?

    public init(topic: String, group: String, clientAddress: String? = nil) {
        self.topic = topic
        self.group = group
        self.clientAddress = clientAddress
    }

    public init(_ header: CommandHeader, in span: RawSpan) throws(HeaderError) {
        topic = try header.string("topic", in: span)
        group = try header.string("group", in: span)
        clientAddress = header.string(ifPresent: "clientAddr", in: span)
    }

    public func write(into writer: inout CommandWriter) {
        writer.field("topic", topic)
        writer.field("group", group)
        writer.field("clientAddr", clientAddress)
    }
}

/// 314 `CLONE_GROUP_OFFSET`: gives one group the offsets of another.
public struct CloneGroupOffsetHeader: CommandFields, Equatable {
    public var sourceGroup: String
    public var destinationGroup: String
    public var topic: String?
    public var isOffline: Bool

    public init(sourceGroup: String, destinationGroup: String, topic: String? = nil, isOffline: Bool = false) {
        self.sourceGroup = sourceGroup
        self.destinationGroup = destinationGroup
        self.topic = topic
        self.isOffline = isOffline
    }

    public init(_ header: CommandHeader, in span: RawSpan) throws(HeaderError) {
        sourceGroup = try header.string("srcGroup", in: span)
        destinationGroup = try header.string("destGroup", in: span)
        topic = header.string(ifPresent: "topic", in: span)
        isOffline = header.bool(ifPresent: "offline", in: span) ?? false
    }

    public func write(into writer: inout CommandWriter) {
        writer.field("srcGroup", sourceGroup)
        writer.field("destGroup", destinationGroup)
        writer.field("topic", topic)
        writer.field("offline", isOffline)
    }
}

/// 308 `QUERY_CORRECTION_OFFSET`: the smallest offset of the groups of a topic.
public struct QueryCorrectionOffsetHeader: CommandFields, Equatable {
    /// Groups to leave out, joined by commas.
    public var filterGroups: String?
    public var compareGroup: String
    public var topic: String

    public init(filterGroups: String? = nil, compareGroup: String, topic: String) {
        self.filterGroups = filterGroups
        self.compareGroup = compareGroup
        self.topic = topic
    }

    public init(_ header: CommandHeader, in span: RawSpan) throws(HeaderError) {
        filterGroups = header.string(ifPresent: "filterGroups", in: span)
        compareGroup = try header.string("compareGroup", in: span)
        topic = try header.string("topic", in: span)
    }

    public func write(into writer: inout CommandWriter) {
        writer.field("filterGroups", filterGroups)
        writer.field("compareGroup", compareGroup)
        writer.field("topic", topic)
    }
}
