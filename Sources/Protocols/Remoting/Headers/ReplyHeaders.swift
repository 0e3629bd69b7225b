import Base
import Bytes
import Model

/// 326 `PUSH_REPLY_MESSAGE_TO_CLIENT`: the reply to a request, to the client that asked (remoting reference §1.11).
public struct ReplyMessageHeader: CommandFields, Equatable {
    public var producerGroup: String
    public var topic: String
    public var defaultTopic: String
    public var defaultTopicQueueCount: Int32
    public var queueID: QueueID
    public var flags: MessageFlags
    public var bornTimestamp: Timestamp
    public var flag: Int32
    public var properties: String?
    public var reconsumeTimes: Int32?
    public var isUnit: Bool
    /// `address:port`.
    public var bornHost: String
    public var storeHost: String
    public var storeTimestamp: Timestamp

    public init(
        producerGroup: String, topic: String, defaultTopic: String, defaultTopicQueueCount: Int32, queueID: QueueID,
        flags: MessageFlags, bornTimestamp: Timestamp, flag: Int32, properties: String? = nil,
        reconsumeTimes: Int32? = nil, isUnit: Bool = false, bornHost: String, storeHost: String,
        storeTimestamp: Timestamp
    ) {
        self.producerGroup = producerGroup
        self.topic = topic
        self.defaultTopic = defaultTopic
        self.defaultTopicQueueCount = defaultTopicQueueCount
        self.queueID = queueID
        self.flags = flags
        self.bornTimestamp = bornTimestamp
        self.flag = flag
        self.properties = properties
        self.reconsumeTimes = reconsumeTimes
        self.isUnit = isUnit
        self.bornHost = bornHost
        self.storeHost = storeHost
        self.storeTimestamp = storeTimestamp
    }

    public init(_ header: CommandHeader, in span: RawSpan) throws(HeaderError) {
        producerGroup = try header.string("producerGroup", in: span)
        topic = try header.string("topic", in: span)
        defaultTopic = try header.string("defaultTopic", in: span)
        defaultTopicQueueCount = try header.int32("defaultTopicQueueNums", in: span)
        queueID = QueueID(try header.int32("queueId", in: span))
        flags = MessageFlags(rawValue: try header.int32("sysFlag", in: span))
        bornTimestamp = Timestamp(milliseconds: try header.int64("bornTimestamp", in: span))
        flag = try header.int32("flag", in: span)
        properties = header.string(ifPresent: "properties", in: span)
        reconsumeTimes = try header.int32(ifPresent: "reconsumeTimes", in: span)
        isUnit = header.bool(ifPresent: "unitMode", in: span) ?? false
        bornHost = try header.string("bornHost", in: span)
        storeHost = try header.string("storeHost", in: span)
        storeTimestamp = Timestamp(milliseconds: try header.int64("storeTimestamp", in: span))
    }

    public func write(into writer: inout CommandWriter) {
        writer.field("producerGroup", producerGroup)
        writer.field("topic", topic)
        writer.field("defaultTopic", defaultTopic)
        writer.field("defaultTopicQueueNums", defaultTopicQueueCount)
        writer.field("queueId", queueID.rawValue)
        writer.field("sysFlag", flags.rawValue)
        writer.field("bornTimestamp", bornTimestamp.milliseconds)
        writer.field("flag", flag)
        writer.field("properties", properties)
        writer.field("reconsumeTimes", reconsumeTimes)
        writer.field("unitMode", isUnit)
        writer.field("bornHost", bornHost)
        writer.field("storeHost", storeHost)
        writer.field("storeTimestamp", storeTimestamp.milliseconds)
    }
}
