import Base
import Bytes
import Model

extension DataVersion: CommandBody {
    public init(json: JSONValue) throws(BodyError) {
        self.init(
            timestamp: Timestamp(milliseconds: try json.int64("timestamp", default: 0)),
            counter: try json.int64("counter", default: 0))
    }

    public func write(to json: inout JSONWriter) {
        json.object { json in
            json.field("counter", counter)
            json.field("timestamp", timestamp.milliseconds)
        }
    }
}

extension TopicConfiguration: CommandBody {
    public init(json: JSONValue) throws(BodyError) {
        // RocketMQ's constructor: 16 queues, to read and to write.
        self.init(
            name: try json.text("topicName"), readQueueCount: try json.int32("readQueueNums", default: 16),
            writeQueueCount: try json.int32("writeQueueNums", default: 16),
            permission: Permission(rawValue: try json.int32("perm", default: Permission.readWrite.rawValue)),
            systemFlag: try json.int32("topicSysFlag", default: 0), isOrdered: try json.bool("order", default: false),
            filterType: TopicFilterType(rawValue: try json.text(ifPresent: "topicFilterType") ?? "") ?? .singleTag)
        quota = try TrafficQuota(attributes: json)
    }

    public func write(to json: inout JSONWriter) {
        json.object { json in
            quota.writeAttributes(to: &json)
            json.field("order", isOrdered)
            json.field("perm", permission.rawValue)
            json.field("readQueueNums", readQueueCount)
            json.field("topicFilterType", filterType.rawValue)
            json.field("topicName", name)
            json.field("topicSysFlag", systemFlag)
            json.field("writeQueueNums", writeQueueCount)
        }
    }
}

/// All topics of a broker: the answer to 21 `GET_ALL_TOPIC_CONFIG`, part of ``RegisterBrokerBody``, and RocketMQ's
/// `config/topics.json`.
public struct TopicConfigSerializeWrapper: CommandBody, Equatable {
    public var dataVersion: DataVersion
    public var topics: [TopicConfiguration]

    public init(dataVersion: DataVersion, topics: [TopicConfiguration]) {
        self.dataVersion = dataVersion
        self.topics = topics
    }

    public init(json: JSONValue) throws(BodyError) {
        dataVersion =
            try json.member("dataVersion").map { (value) throws(BodyError) in try DataVersion(json: value) }
            ?? DataVersion()
        topics = []
        guard let table = try json.member("topicConfigTable") else { return }
        guard let members = table.members else { throw .invalid(field: "topicConfigTable", expected: "a map") }
        topics.reserveCapacity(members.count)
        for member in members { topics.append(try TopicConfiguration(json: member.value)) }
    }

    public func write(to json: inout JSONWriter) {
        json.object { json in
            json.field("dataVersion", dataVersion)
            json.field("topicConfigTable") { json in
                json.object { json in
                    for topic in topics {
                        json.key(text: topic.name)
                        topic.write(to: &json)
                    }
                }
            }
        }
    }
}

/// Names of topics: the answer to 206, 224, 304, 305 and 311 to 313.
public struct TopicList: CommandBody, Equatable {
    public var topics: [String]
    /// One broker's address, in the answer to 304.
    public var brokerAddress: String?

    public init(topics: [String], brokerAddress: String? = nil) {
        self.topics = topics
        self.brokerAddress = brokerAddress
    }

    public init(json: JSONValue) throws(BodyError) {
        topics = try json.texts("topicList")
        brokerAddress = try json.text(ifPresent: "brokerAddr")
    }

    public func write(to json: inout JSONWriter) {
        json.object { json in
            json.field("brokerAddr", brokerAddress)
            json.field("topicList", topics)
        }
    }
}

/// The offsets of every queue of a topic: the answer to 202 `GET_TOPIC_STATS_INFO`.
public struct TopicStatsTable: CommandBody, Equatable {
    public var offsets: [MessageQueue: TopicOffset]

    public struct TopicOffset: CommandBody, Equatable {
        public var minimumOffset: QueueOffset
        /// The offset that the next message will get.
        public var maximumOffset: QueueOffset
        /// When the newest message was stored; 0 when there is none.
        public var lastUpdateTimestamp: Timestamp

        public init(minimumOffset: QueueOffset, maximumOffset: QueueOffset, lastUpdateTimestamp: Timestamp) {
            self.minimumOffset = minimumOffset
            self.maximumOffset = maximumOffset
            self.lastUpdateTimestamp = lastUpdateTimestamp
        }

        public init(json: JSONValue) throws(BodyError) {
            minimumOffset = QueueOffset(try json.int64("minOffset", default: 0))
            maximumOffset = QueueOffset(try json.int64("maxOffset", default: 0))
            lastUpdateTimestamp = Timestamp(milliseconds: try json.int64("lastUpdateTimestamp", default: 0))
        }

        public func write(to json: inout JSONWriter) {
            json.object { json in
                json.field("lastUpdateTimestamp", lastUpdateTimestamp.milliseconds)
                json.field("maxOffset", maximumOffset.rawValue)
                json.field("minOffset", minimumOffset.rawValue)
            }
        }
    }

    public init(offsets: [MessageQueue: TopicOffset]) { self.offsets = offsets }

    public init(json: JSONValue) throws(BodyError) {
        offsets = try json.queueMap("offsetTable") { (value) throws(BodyError) in try TopicOffset(json: value) }
    }

    public func write(to json: inout JSONWriter) {
        json.object { $0.field("offsetTable", queues: offsets) { $1.write(to: &$0) } }
    }
}
