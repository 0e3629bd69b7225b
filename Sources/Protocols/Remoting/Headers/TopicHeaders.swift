import Bytes
import Model

/// 17 `UPDATE_AND_CREATE_TOPIC`.
public struct CreateTopicHeader: CommandFields, Equatable {
    public var topic: String
    public var defaultTopic: String
    public var readQueueCount: Int32
    public var writeQueueCount: Int32
    public var permission: Permission
    public var topicFilterType: String
    public var systemFlag: Int32?
    public var isOrdered: Bool
    /// 5.x: `+name=value,-name`.
    public var attributes: String?

    public init(
        topic: String, defaultTopic: String, readQueueCount: Int32, writeQueueCount: Int32, permission: Permission,
        topicFilterType: String = "SINGLE_TAG", systemFlag: Int32? = nil, isOrdered: Bool = false,
        attributes: String? = nil
    ) {
        self.topic = topic
        self.defaultTopic = defaultTopic
        self.readQueueCount = readQueueCount
        self.writeQueueCount = writeQueueCount
        self.permission = permission
        self.topicFilterType = topicFilterType
        self.systemFlag = systemFlag
        self.isOrdered = isOrdered
        self.attributes = attributes
    }

    public init(_ header: CommandHeader, in span: RawSpan) throws(HeaderError) {
        topic = try header.string("topic", in: span)
        defaultTopic = try header.string("defaultTopic", in: span)
        readQueueCount = try header.int32("readQueueNums", in: span)
        writeQueueCount = try header.int32("writeQueueNums", in: span)
        permission = Permission(rawValue: try header.int32("perm", in: span))
        topicFilterType = header.string(ifPresent: "topicFilterType", in: span) ?? "SINGLE_TAG"
        systemFlag = try header.int32(ifPresent: "topicSysFlag", in: span)
        isOrdered = header.bool(ifPresent: "order", in: span) ?? false
        attributes = header.string(ifPresent: "attributes", in: span)
    }

    public func write(into writer: inout CommandWriter) {
        writer.field("topic", topic)
        writer.field("defaultTopic", defaultTopic)
        writer.field("readQueueNums", readQueueCount)
        writer.field("writeQueueNums", writeQueueCount)
        writer.field("perm", permission.rawValue)
        writer.field("topicFilterType", topicFilterType)
        writer.field("topicSysFlag", systemFlag)
        writer.field("order", isOrdered)
        writer.field("attributes", attributes)
    }
}

/// 215 `DELETE_TOPIC_IN_BROKER`.
public struct DeleteTopicHeader: CommandFields, Equatable {
    public var topic: String

    public init(topic: String) {
        self.topic = topic
    }

    public init(_ header: CommandHeader, in span: RawSpan) throws(HeaderError) {
        topic = try header.string("topic", in: span)
    }

    public func write(into writer: inout CommandWriter) {
        writer.field("topic", topic)
    }
}

/// 202 `GET_TOPIC_STATS_INFO`.
public struct GetTopicStatsInfoHeader: CommandFields, Equatable {
    public var topic: String

    public init(topic: String) {
        self.topic = topic
    }

    public init(_ header: CommandHeader, in span: RawSpan) throws(HeaderError) {
        topic = try header.string("topic", in: span)
    }

    public func write(into writer: inout CommandWriter) {
        writer.field("topic", topic)
    }
}

/// 300 `QUERY_TOPIC_CONSUME_BY_WHO`: the groups that have an offset in a topic.
public struct QueryTopicConsumeByWhoHeader: CommandFields, Equatable {
    public var topic: String

    public init(topic: String) {
        self.topic = topic
    }

    public init(_ header: CommandHeader, in span: RawSpan) throws(HeaderError) {
        topic = try header.string("topic", in: span)
    }

    public func write(into writer: inout CommandWriter) {
        writer.field("topic", topic)
    }
}

/// 351 `GET_TOPIC_CONFIG` (5.x).
public struct GetTopicConfigHeader: CommandFields, Equatable {
    public var topic: String

    public init(topic: String) {
        self.topic = topic
    }

    public init(_ header: CommandHeader, in span: RawSpan) throws(HeaderError) {
        topic = try header.string("topic", in: span)
    }

    public func write(into writer: inout CommandWriter) {
        writer.field("topic", topic)
    }
}
