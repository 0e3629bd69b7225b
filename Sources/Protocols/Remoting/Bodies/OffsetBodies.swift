import Base
import Bytes
import Model

/// Where all groups stand: the answer to 43 `GET_ALL_CONSUMER_OFFSET`, and RocketMQ's `config/consumerOffset.json`.
public struct ConsumerOffsetSerializeWrapper: CommandBody, Equatable {
    /// By `topic@group`, then by queue: the first message that the group has not consumed.
    public var offsets: [String: [Int32: Int64]]

    public init(offsets: [String: [Int32: Int64]]) { self.offsets = offsets }

    public init(json: JSONValue) throws(BodyError) {
        offsets = try json.map(
            "offsetTable", key: { (key) throws(BodyError) in try key.asText("offsetTable") },
            value: { (value) throws(BodyError) in
                try value.map(
                    of: "offsetTable", key: { (key) throws(BodyError) in try key.asInt32("queue") },
                    value: { (offset) throws(BodyError) in try offset.asInt64("offset") })
            })
    }

    public func write(to json: inout JSONWriter) {
        json.object { json in
            json.field("offsetTable", map: offsets) { json, queues in
                json.numbered(queues) { $0.integer($1) }
            }
        }
    }
}

/// How far the delivery of each delay level is: the answer to 45 `GET_ALL_DELAY_OFFSET`, and RocketMQ's
/// `config/delayOffset.json`.
public struct DelayOffsetSerializeWrapper: CommandBody, Equatable {
    /// By delay level.
    public var offsets: [Int32: Int64]

    public init(offsets: [Int32: Int64]) { self.offsets = offsets }

    public init(json: JSONValue) throws(BodyError) {
        offsets = try json.map(
            "offsetTable", key: { (key) throws(BodyError) in try key.asInt32("offsetTable") },
            value: { (value) throws(BodyError) in try value.asInt64("offsetTable") })
    }

    public func write(to json: inout JSONWriter) {
        json.object { $0.field("offsetTable", numbered: offsets) { $0.integer($1) } }
    }
}

/// New offsets of a group: the body of 220, and the answer to 222 `INVOKE_BROKER_TO_RESET_OFFSET`.
public struct ResetOffsetBody: CommandBody, Equatable {
    public var offsets: [MessageQueue: QueueOffset]

    public init(offsets: [MessageQueue: QueueOffset]) { self.offsets = offsets }

    /// Takes a map and the list that ``writeList(to:)`` makes.
    public init(json: JSONValue) throws(BodyError) {
        guard case .array? = try json.member("offsetTable") else {
            offsets = try json.queueMap("offsetTable") { (value) throws(BodyError) in
                QueueOffset(try value.asInt64("offset"))
            }
            return
        }
        offsets = [:]
        let entries = try json.list("offsetTable") { (value) throws(BodyError) in
            (try MessageQueue(json: value), QueueOffset(try value.int64("offset")))
        }
        for (queue, offset) in entries { offsets[queue] = offset }
    }

    public func write(to json: inout JSONWriter) {
        json.object { $0.field("offsetTable", queues: offsets) { $0.integer($1.rawValue) } }
    }

    /// The form for a requester whose language is CPP: `{"offsetTable":[{"brokerName","offset","queueId","topic"}]}`.
    public func writeList(to json: inout JSONWriter) {
        json.object { json in
            json.field("offsetTable") { json in
                json.array(offsets.sorted { $0.key < $1.key }) { json, entry in
                    json.object { json in
                        json.field("brokerName", entry.key.brokerName)
                        json.field("offset", entry.value.rawValue)
                        json.field("queueId", entry.key.queueID.rawValue)
                        json.field("topic", entry.key.topic)
                    }
                }
            }
        }
    }
}

/// Where the members of a group say they are: the answers to 221 and 223.
public struct GetConsumerStatusBody: CommandBody, Equatable {
    /// By client, in the answer to 223.
    public var consumers: [String: [MessageQueue: QueueOffset]]
    /// Of one client, in the answer to 221.
    public var queues: [MessageQueue: QueueOffset]

    public init(
        consumers: [String: [MessageQueue: QueueOffset]] = [:], queues: [MessageQueue: QueueOffset] = [:]
    ) {
        self.consumers = consumers
        self.queues = queues
    }

    public init(json: JSONValue) throws(BodyError) {
        consumers = try json.map(
            "consumerTable", key: { (key) throws(BodyError) in try key.asText("consumerTable") },
            value: { (value) throws(BodyError) in
                try value.map(
                    of: "consumerTable", key: { (key) throws(BodyError) in try MessageQueue(json: key) },
                    value: { (offset) throws(BodyError) in QueueOffset(try offset.asInt64("offset")) })
            })
        queues = try json.queueMap("messageQueueTable") { (value) throws(BodyError) in
            QueueOffset(try value.asInt64("offset"))
        }
    }

    public func write(to json: inout JSONWriter) {
        json.object { json in
            json.field("consumerTable", map: consumers) { json, queues in
                json.queueMap(queues) { $0.integer($1.rawValue) }
            }
            json.field("messageQueueTable", queues: queues) { $0.integer($1.rawValue) }
        }
    }
}

/// The smallest offset of the other groups, by queue: the answer to 308 `QUERY_CORRECTION_OFFSET`.
public struct QueryCorrectionOffsetBody: CommandBody, Equatable {
    public var offsets: [Int32: Int64]

    public init(offsets: [Int32: Int64]) { self.offsets = offsets }

    public init(json: JSONValue) throws(BodyError) {
        offsets = try json.map(
            "correctionOffsets", key: { (key) throws(BodyError) in try key.asInt32("correctionOffsets") },
            value: { (value) throws(BodyError) in try value.asInt64("correctionOffsets") })
    }

    public func write(to json: inout JSONWriter) {
        json.object { $0.field("correctionOffsets", numbered: offsets) { $0.integer($1) } }
    }
}

/// How old the messages are that a group consumes, by queue: the answer to 303 `QUERY_CONSUME_TIME_SPAN`.
public struct QueryConsumeTimeSpanBody: CommandBody, Equatable {
    public var spans: [QueueTimeSpan]

    public struct QueueTimeSpan: CommandBody, Equatable {
        public var queue: MessageQueue
        public var minimumTimestamp: Timestamp
        public var maximumTimestamp: Timestamp
        public var consumeTimestamp: Timestamp
        /// Milliseconds between the newest message and the last consumed one.
        public var delayMilliseconds: Int64

        public init(
            queue: MessageQueue, minimumTimestamp: Timestamp, maximumTimestamp: Timestamp,
            consumeTimestamp: Timestamp, delayMilliseconds: Int64
        ) {
            self.queue = queue
            self.minimumTimestamp = minimumTimestamp
            self.maximumTimestamp = maximumTimestamp
            self.consumeTimestamp = consumeTimestamp
            self.delayMilliseconds = delayMilliseconds
        }

        public init(json: JSONValue) throws(BodyError) {
            queue = try json.body("messageQueue")
            minimumTimestamp = Timestamp(milliseconds: try json.int64("minTimeStamp", default: 0))
            maximumTimestamp = Timestamp(milliseconds: try json.int64("maxTimeStamp", default: 0))
            consumeTimestamp = Timestamp(milliseconds: try json.int64("consumeTimeStamp", default: 0))
            delayMilliseconds = try json.int64("delayTime", default: 0)
        }

        public func write(to json: inout JSONWriter) {
            json.object { json in
                json.field("consumeTimeStamp", consumeTimestamp.milliseconds)
                json.field("delayTime", delayMilliseconds)
                json.field("maxTimeStamp", maximumTimestamp.milliseconds)
                json.field("messageQueue", queue)
                json.field("minTimeStamp", minimumTimestamp.milliseconds)
            }
        }
    }

    public init(spans: [QueueTimeSpan]) { self.spans = spans }

    public init(json: JSONValue) throws(BodyError) {
        spans = try json.list("consumeTimeSpanSet") { (value) throws(BodyError) in try QueueTimeSpan(json: value) }
    }

    public func write(to json: inout JSONWriter) {
        json.object { $0.field("consumeTimeSpanSet", spans) }
    }
}
