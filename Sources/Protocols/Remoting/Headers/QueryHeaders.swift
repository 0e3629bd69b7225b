import Base
import Bytes

/// 12 `QUERY_MESSAGE`: messages of a topic by one of their keys.
public struct QueryMessageHeader: CommandFields, Equatable {
    public var topic: String
    public var key: String
    public var maxMessageCount: Int32
    public var beginTimestamp: Timestamp
    public var endTimestamp: Timestamp
    /// True when `key` is the id that the producer gave (`UNIQ_KEY`); nil, which means false, leaves the field out.
    public var isUniqueKey: Bool?

    public init(
        topic: String, key: String, maxMessageCount: Int32, beginTimestamp: Timestamp, endTimestamp: Timestamp,
        isUniqueKey: Bool? = nil
    ) {
        self.topic = topic
        self.key = key
        self.maxMessageCount = maxMessageCount
        self.beginTimestamp = beginTimestamp
        self.endTimestamp = endTimestamp
        self.isUniqueKey = isUniqueKey
    }

    public init(_ header: CommandHeader, in span: RawSpan) throws(HeaderError) {
        topic = try header.string("topic", in: span)
        key = try header.string("key", in: span)
        maxMessageCount = try header.int32("maxNum", in: span)
        beginTimestamp = Timestamp(milliseconds: try header.int64("beginTimestamp", in: span))
        endTimestamp = Timestamp(milliseconds: try header.int64("endTimestamp", in: span))
        isUniqueKey = header.bool(ifPresent: "_UNIQUE_KEY_QUERY", in: span)
    }

    public func write(into writer: inout CommandWriter) {
        writer.field("topic", topic)
        writer.field("key", key)
        writer.field("maxNum", maxMessageCount)
        writer.field("beginTimestamp", beginTimestamp.milliseconds)
        writer.field("endTimestamp", endTimestamp.milliseconds)
        if let isUniqueKey { writer.field("_UNIQUE_KEY_QUERY", isUniqueKey) }
    }
}

/// The answer to 12, found or not.
public struct QueryMessageResponseHeader: CommandFields, Equatable {
    public var indexLastUpdateTimestamp: Timestamp
    public var indexLastUpdateOffset: PhysicalOffset

    public init(indexLastUpdateTimestamp: Timestamp, indexLastUpdateOffset: PhysicalOffset) {
        self.indexLastUpdateTimestamp = indexLastUpdateTimestamp
        self.indexLastUpdateOffset = indexLastUpdateOffset
    }

    public init(_ header: CommandHeader, in span: RawSpan) throws(HeaderError) {
        indexLastUpdateTimestamp = Timestamp(milliseconds: try header.int64("indexLastUpdateTimestamp", in: span))
        indexLastUpdateOffset = PhysicalOffset(try header.int64("indexLastUpdatePhyoffset", in: span))
    }

    public func write(into writer: inout CommandWriter) {
        writer.field("indexLastUpdateTimestamp", indexLastUpdateTimestamp.milliseconds)
        writer.field("indexLastUpdatePhyoffset", indexLastUpdateOffset.rawValue)
    }
}

/// 33 `VIEW_MESSAGE_BY_ID`: the message at an offset of the commit log.
public struct ViewMessageHeader: CommandFields, Equatable {
    public var topic: String?
    public var offset: PhysicalOffset

    public init(topic: String? = nil, offset: PhysicalOffset) {
        self.topic = topic
        self.offset = offset
    }

    public init(_ header: CommandHeader, in span: RawSpan) throws(HeaderError) {
        topic = header.string(ifPresent: "topic", in: span)
        offset = PhysicalOffset(try header.int64("offset", in: span))
    }

    public func write(into writer: inout CommandWriter) {
        writer.field("topic", topic)
        writer.field("offset", offset.rawValue)
    }
}

/// 321 `QUERY_CONSUME_QUEUE`: entries of a consume queue.
public struct QueryConsumeQueueHeader: CommandFields, Equatable {
    public var topic: String
    public var queueID: QueueID
    public var index: Int64
    public var count: Int32
    public var consumerGroup: String?

    public init(
        topic: String, queueID: QueueID = QueueID(0), index: Int64 = 0, count: Int32 = 0, consumerGroup: String? = nil
    ) {
        self.topic = topic
        self.queueID = queueID
        self.index = index
        self.count = count
        self.consumerGroup = consumerGroup
    }

    public init(_ header: CommandHeader, in span: RawSpan) throws(HeaderError) {
        topic = try header.string("topic", in: span)
        queueID = try header.int32(ifPresent: "queueId", in: span).map { QueueID($0) } ?? QueueID(0)
        index = try header.int64(ifPresent: "index", in: span) ?? 0
        count = try header.int32(ifPresent: "count", in: span) ?? 0
        consumerGroup = header.string(ifPresent: "consumerGroup", in: span)
    }

    public func write(into writer: inout CommandWriter) {
        writer.field("topic", topic)
        writer.field("queueId", queueID.rawValue)
        writer.field("index", index)
        writer.field("count", count)
        writer.field("consumerGroup", consumerGroup)
    }
}
