import Base
import Bytes

/// 207 `DELETE_SUBSCRIPTIONGROUP`.
public struct DeleteSubscriptionGroupHeader: CommandFields, Equatable {
    public var groupName: String
    /// True also forgets where the group stands (`cleanOffset` in 5.x).
    public var isOffsetRemoved: Bool

    public init(groupName: String, isOffsetRemoved: Bool = false) {
        self.groupName = groupName
        self.isOffsetRemoved = isOffsetRemoved
    }

    public init(_ header: CommandHeader, in span: RawSpan) throws(HeaderError) {
        groupName = try header.string("groupName", in: span)
        isOffsetRemoved =
            header.bool(ifPresent: "removeOffset", in: span) ?? header.bool(ifPresent: "cleanOffset", in: span) ?? false
    }

    public func write(into writer: inout CommandWriter) {
        writer.field("groupName", groupName)
        writer.field("removeOffset", isOffsetRemoved)
    }
}

/// 208 `GET_CONSUME_STATS`: how far a group is behind.
public struct GetConsumeStatsHeader: CommandFields, Equatable {
    public var consumerGroup: String
    public var topic: String?

    public init(consumerGroup: String, topic: String? = nil) {
        self.consumerGroup = consumerGroup
        self.topic = topic
    }

    public init(_ header: CommandHeader, in span: RawSpan) throws(HeaderError) {
        consumerGroup = try header.string("consumerGroup", in: span)
        topic = header.string(ifPresent: "topic", in: span)
    }

    public func write(into writer: inout CommandWriter) {
        writer.field("consumerGroup", consumerGroup)
        writer.field("topic", topic)
    }
}

/// 303 `QUERY_CONSUME_TIME_SPAN`.
public struct QueryConsumeTimeSpanHeader: CommandFields, Equatable {
    public var topic: String
    public var group: String

    public init(topic: String, group: String) {
        self.topic = topic
        self.group = group
    }

    public init(_ header: CommandHeader, in span: RawSpan) throws(HeaderError) {
        topic = try header.string("topic", in: span)
        group = try header.string("group", in: span)
    }

    public func write(into writer: inout CommandWriter) {
        writer.field("topic", topic)
        writer.field("group", group)
    }
}

/// 352 `GET_SUBSCRIPTIONGROUP_CONFIG` (5.x).
public struct GetSubscriptionGroupConfigHeader: CommandFields, Equatable {
    public var group: String

    public init(group: String) {
        self.group = group
    }

    public init(_ header: CommandHeader, in span: RawSpan) throws(HeaderError) {
        group = try header.string("group", in: span)
    }

    public func write(into writer: inout CommandWriter) {
        writer.field("group", group)
    }
}

/// 317 `GET_BROKER_CONSUME_STATS`.
public struct GetBrokerConsumeStatsHeader: CommandFields, Equatable {
    public var isOrdered: Bool

    public init(isOrdered: Bool = false) {
        self.isOrdered = isOrdered
    }

    public init(_ header: CommandHeader, in span: RawSpan) throws(HeaderError) {
        isOrdered = header.bool(ifPresent: "isOrder", in: span) ?? false
    }

    public func write(into writer: inout CommandWriter) {
        writer.field("isOrder", isOrdered)
    }
}

/// 36 `CONSUMER_SEND_MSG_BACK`: a message is to be tried again later.
public struct ConsumerSendMessageBackHeader: CommandFields, Equatable {
    /// Of the message in the commit log.
    public var offset: PhysicalOffset
    public var group: String
    /// 0: the broker chooses; negative: straight to the dead letters.
    public var delayLevel: Int32
    public var originMessageID: String?
    public var originTopic: String?
    public var isUnit: Bool
    public var maxReconsumeTimes: Int32?
    public var brokerName: String?

    public init(
        offset: PhysicalOffset, group: String, delayLevel: Int32, originMessageID: String? = nil,
        originTopic: String? = nil, isUnit: Bool = false, maxReconsumeTimes: Int32? = nil, brokerName: String? = nil
    ) {
        self.offset = offset
        self.group = group
        self.delayLevel = delayLevel
        self.originMessageID = originMessageID
        self.originTopic = originTopic
        self.isUnit = isUnit
        self.maxReconsumeTimes = maxReconsumeTimes
        self.brokerName = brokerName
    }

    public init(_ header: CommandHeader, in span: RawSpan) throws(HeaderError) {
        offset = PhysicalOffset(try header.int64("offset", in: span))
        group = try header.string("group", in: span)
        delayLevel = try header.int32("delayLevel", in: span)
        originMessageID = header.string(ifPresent: "originMsgId", in: span)
        originTopic = header.string(ifPresent: "originTopic", in: span)
        isUnit = header.bool(ifPresent: "unitMode", in: span) ?? false
        maxReconsumeTimes = try header.int32(ifPresent: "maxReconsumeTimes", in: span)
        brokerName = header.string(ifPresent: "bname", in: span)
    }

    public func write(into writer: inout CommandWriter) {
        writer.field("offset", offset.rawValue)
        writer.field("group", group)
        writer.field("delayLevel", delayLevel)
        writer.field("originMsgId", originMessageID)
        writer.field("originTopic", originTopic)
        writer.field("unitMode", isUnit)
        writer.field("maxReconsumeTimes", maxReconsumeTimes)
        writer.field("bname", brokerName)
    }
}
