import Base
import Bytes
import Model

/// Numbers of one statistic over the last minute, hour and day: the answer to 315 `VIEW_BROKER_STATS_DATA`.
public struct BrokerStatsData: CommandBody, Equatable {
    public var minute: Item
    public var hour: Item
    public var day: Item

    public struct Item: CommandBody, Equatable {
        public var sum: Int64
        /// Times a second.
        public var tps: Double
        /// The average of what was counted each time.
        public var average: Double

        public init(sum: Int64 = 0, tps: Double = 0, average: Double = 0) {
            self.sum = sum
            self.tps = tps
            self.average = average
        }

        public init(json: JSONValue) throws(BodyError) {
            sum = try json.int64("sum", default: 0)
            tps = try json.double("tps", default: 0)
            average = try json.double("avgpt", default: 0)
        }

        public func write(to json: inout JSONWriter) {
            json.object { json in
                json.field("avgpt", double: average)
                json.field("sum", sum)
                json.field("tps", double: tps)
            }
        }
    }

    public init(minute: Item, hour: Item, day: Item) {
        self.minute = minute
        self.hour = hour
        self.day = day
    }

    public init(json: JSONValue) throws(BodyError) {
        minute = try json.body("statsMinute")
        hour = try json.body("statsHour")
        day = try json.body("statsDay")
    }

    public func write(to json: inout JSONWriter) {
        json.object { json in
            json.field("statsDay", day)
            json.field("statsHour", hour)
            json.field("statsMinute", minute)
        }
    }
}

/// How far every group of a broker is: the answer to 317 `GET_BROKER_CONSUME_STATS`.
public struct ConsumeStatsList: CommandBody, Equatable {
    public var brokerAddress: String
    /// Messages that all groups together have not consumed.
    public var totalDifference: Int64
    /// One entry a group, with one element a topic.
    public var groups: [[String: [ConsumeStats]]]

    public init(brokerAddress: String, totalDifference: Int64, groups: [[String: [ConsumeStats]]]) {
        self.brokerAddress = brokerAddress
        self.totalDifference = totalDifference
        self.groups = groups
    }

    public init(json: JSONValue) throws(BodyError) {
        brokerAddress = try json.text(ifPresent: "brokerAddr") ?? ""
        totalDifference = try json.int64("totalDiff", default: 0)
        groups = try json.list("consumeStatsList") { (value) throws(BodyError) in
            try value.map(
                of: "consumeStatsList", key: { (key) throws(BodyError) in try key.asText("group") },
                value: { (value) throws(BodyError) in
                    var topics: [ConsumeStats] = []
                    for element in value.arrayValue ?? [] { topics.append(try ConsumeStats(json: element)) }
                    return topics
                })
        }
    }

    public func write(to json: inout JSONWriter) {
        json.object { json in
            json.field("brokerAddr", brokerAddress)
            json.field("consumeStatsList") { json in
                json.array(groups) { json, group in
                    json.object { json in
                        for (name, topics) in group.sorted(by: { $0.key < $1.key }) {
                            json.key(text: name)
                            json.array(topics) { $1.write(to: &$0) }
                        }
                    }
                }
            }
            json.field("totalDiff", totalDifference)
        }
    }
}

/// Entries of a consume queue: the answer to 321 `QUERY_CONSUME_QUEUE`.
public struct QueryConsumeQueueBody: CommandBody, Equatable {
    public var subscription: Subscription?
    /// The broker's filter in words; `null` as text when there is none.
    public var filterData: String?
    public var entries: [Entry]
    public var maximumOffset: QueueOffset
    public var minimumOffset: QueueOffset

    public struct Entry: CommandBody, Equatable {
        public var physicalOffset: PhysicalOffset
        public var size: Int32
        public var tagsCode: Int64
        /// Whether the message passes the group's subscription.
        public var isMatched: Bool
        /// Why the entry cannot be judged.
        public var message: String?

        public init(
            physicalOffset: PhysicalOffset, size: Int32, tagsCode: Int64, isMatched: Bool, message: String? = nil
        ) {
            self.physicalOffset = physicalOffset
            self.size = size
            self.tagsCode = tagsCode
            self.isMatched = isMatched
            self.message = message
        }

        public init(json: JSONValue) throws(BodyError) {
            physicalOffset = PhysicalOffset(try json.int64("physicOffset", default: 0))
            size = try json.int32("physicSize", default: 0)
            tagsCode = try json.int64("tagsCode", default: 0)
            isMatched = try json.bool("eval", default: false)
            message = try json.text(ifPresent: "msg")
        }

        public func write(to json: inout JSONWriter) {
            json.object { json in
                json.field("eval", isMatched)
                json.field("msg", message)
                json.field("physicOffset", physicalOffset.rawValue)
                json.field("physicSize", size)
                json.field("tagsCode", tagsCode)
            }
        }
    }

    public init(
        subscription: Subscription? = nil, filterData: String? = nil, entries: [Entry], maximumOffset: QueueOffset,
        minimumOffset: QueueOffset
    ) {
        self.subscription = subscription
        self.filterData = filterData
        self.entries = entries
        self.maximumOffset = maximumOffset
        self.minimumOffset = minimumOffset
    }

    public init(json: JSONValue) throws(BodyError) {
        subscription = try json.member("subscriptionData").map { (value) throws(BodyError) in
            try Subscription(json: value)
        }
        filterData = try json.text(ifPresent: "filterData")
        entries = try json.list("queueData") { (value) throws(BodyError) in try Entry(json: value) }
        maximumOffset = QueueOffset(try json.int64("maxQueueIndex", default: 0))
        minimumOffset = QueueOffset(try json.int64("minQueueIndex", default: 0))
    }

    public func write(to json: inout JSONWriter) {
        json.object { json in
            json.field("filterData", filterData)
            json.field("maxQueueIndex", maximumOffset.rawValue)
            json.field("minQueueIndex", minimumOffset.rawValue)
            json.field("queueData", entries)
            if let subscription { json.field("subscriptionData", subscription) }
        }
    }
}

/// All producers of a broker, by group: the answer to 328 `GET_ALL_PRODUCER_INFO`.
public struct ProducerTableInfo: CommandBody, Equatable {
    public var groups: [String: [Producer]]

    public struct Producer: CommandBody, Equatable {
        public var clientID: String
        /// As Java prints a socket address: `/127.0.0.1:35048`.
        public var remoteAddress: String
        public var language: LanguageCode
        public var version: Int32
        public var lastUpdateTimestamp: Timestamp

        public init(
            clientID: String, remoteAddress: String, language: LanguageCode, version: Int32,
            lastUpdateTimestamp: Timestamp
        ) {
            self.clientID = clientID
            self.remoteAddress = remoteAddress
            self.language = language
            self.version = version
            self.lastUpdateTimestamp = lastUpdateTimestamp
        }

        public init(json: JSONValue) throws(BodyError) {
            clientID = try json.text("clientId")
            remoteAddress = try json.text(ifPresent: "remoteIP") ?? ""
            language = LanguageCode(name: try json.text(ifPresent: "language") ?? "OTHER")
            version = try json.int32("version", default: 0)
            lastUpdateTimestamp = Timestamp(milliseconds: try json.int64("lastUpdateTimestamp", default: 0))
        }

        public func write(to json: inout JSONWriter) {
            json.object { json in
                json.field("clientId", clientID)
                json.field("language", language.name.description)
                json.field("lastUpdateTimestamp", lastUpdateTimestamp.milliseconds)
                json.field("remoteIP", remoteAddress)
                json.field("version", version)
            }
        }
    }

    public init(groups: [String: [Producer]]) { self.groups = groups }

    public init(json: JSONValue) throws(BodyError) {
        groups = try json.map(
            "data", key: { (key) throws(BodyError) in try key.asText("data") },
            value: { (value) throws(BodyError) in
                var producers: [Producer] = []
                for element in value.arrayValue ?? [] { producers.append(try Producer(json: element)) }
                return producers
            })
    }

    public func write(to json: inout JSONWriter) {
        json.object { $0.field("data", map: groups) { json, producers in json.array(producers) { $1.write(to: &$0) } } }
    }
}

/// What a client says of itself: the answer to 307 `GET_CONSUMER_RUNNING_INFO`. The broker passes it on unread, and
/// what a client puts in differs by version, so it stays a document.
public struct ConsumerRunningInfo: CommandBody, Equatable {
    public var document: JSONValue

    public init(document: JSONValue) { self.document = document }

    public init(json: JSONValue) throws(BodyError) {
        guard case .object = json else { throw .invalid(field: "body", expected: "an object") }
        document = json
    }

    public func write(to json: inout JSONWriter) { json.value(document) }
}
