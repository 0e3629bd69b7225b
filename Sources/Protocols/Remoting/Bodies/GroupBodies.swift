import Base
import Bytes
import Model

extension GroupConfiguration: CommandBody {
    public init(json: JSONValue) throws(BodyError) {
        self.init(name: try json.text("groupName"))
        isConsumeEnabled = try json.bool("consumeEnable", default: isConsumeEnabled)
        isConsumeFromMinimumEnabled = try json.bool("consumeFromMinEnable", default: isConsumeFromMinimumEnabled)
        isBroadcastEnabled = try json.bool("consumeBroadcastEnable", default: isBroadcastEnabled)
        retryQueueCount = try json.int32("retryQueueNums", default: retryQueueCount)
        retryMaximum = try json.int32("retryMaxTimes", default: retryMaximum)
        brokerID = try json.int64("brokerId", default: brokerID)
        brokerIDWhenSlow = try json.int64("whichBrokerWhenConsumeSlowly", default: brokerIDWhenSlow)
        isMembershipNotificationEnabled = try json.bool(
            "notifyConsumerIdsChangedEnable", default: isMembershipNotificationEnabled)
        quota = try TrafficQuota(attributes: json)
        if let policy = try json.member("groupRetryPolicy") { retryPolicy = try RetryPolicy(json: policy) }
    }

    public func write(to json: inout JSONWriter) {
        json.object { json in
            quota.writeAttributes(to: &json)
            json.field("brokerId", brokerID)
            json.field("consumeBroadcastEnable", isBroadcastEnabled)
            json.field("consumeEnable", isConsumeEnabled)
            json.field("consumeFromMinEnable", isConsumeFromMinimumEnabled)
            json.field("groupName", name)
            // RocketMQ 4 does not know it, and 5 takes what is not there for the ladder.
            if retryPolicy != .ladder { json.field("groupRetryPolicy") { retryPolicy.write(to: &$0) } }
            json.field("notifyConsumerIdsChangedEnable", isMembershipNotificationEnabled)
            json.field("retryMaxTimes", retryMaximum)
            json.field("retryQueueNums", retryQueueCount)
            json.field("whichBrokerWhenConsumeSlowly", brokerIDWhenSlow)
        }
    }
}

/// `GroupRetryPolicy` of RocketMQ 5. A policy of type CUSTOMIZED without a list is the ladder.
extension RetryPolicy: CommandBody {
    public init(json: JSONValue) throws(BodyError) {
        switch try json.text(ifPresent: "type") ?? "CUSTOMIZED" {
        case "EXPONENTIAL":
            guard let policy = try json.member("exponentialRetryPolicy") else {
                self = .ladder
                return
            }
            self = .exponential(
                initial: try policy.int64("initial", default: 5_000),
                maximum: try policy.int64("max", default: 7_200_000),
                multiplier: try policy.int64("multiplier", default: 2))
        case "CUSTOMIZED":
            let policy = try json.member("customizedRetryPolicy")
            let delays: [Int64] =
                try policy?.list("next") { (value) throws(BodyError) -> Int64 in
                    guard let delay = value.integerValue else { throw .invalid(field: "next", expected: "a number") }
                    return delay
                } ?? []
            self = delays.isEmpty || delays == DelayLevels.milliseconds ? .ladder : .list(delays)
        default: throw .invalid(field: "type", expected: "EXPONENTIAL or CUSTOMIZED")
        }
    }

    public func write(to json: inout JSONWriter) {
        json.object { json in
            switch self {
            case .ladder: json.field("type", "CUSTOMIZED")
            case .exponential(let initial, let maximum, let multiplier):
                json.field("exponentialRetryPolicy") { json in
                    json.object { json in
                        json.field("initial", initial)
                        json.field("max", maximum)
                        json.field("multiplier", multiplier)
                    }
                }
                json.field("type", "EXPONENTIAL")
            case .list(let delays):
                json.field("customizedRetryPolicy") { json in
                    json.object { json in
                        json.field("next") { json in
                            json.array(delays) { $0.integer($1) }
                        }
                    }
                }
                json.field("type", "CUSTOMIZED")
            }
        }
    }
}

/// All groups of a broker: the answer to 201 `GET_ALL_SUBSCRIPTIONGROUP_CONFIG`, and RocketMQ's
/// `config/subscriptionGroup.json`.
public struct SubscriptionGroupWrapper: CommandBody, Equatable {
    public var dataVersion: DataVersion
    public var groups: [GroupConfiguration]

    public init(dataVersion: DataVersion, groups: [GroupConfiguration]) {
        self.dataVersion = dataVersion
        self.groups = groups
    }

    public init(json: JSONValue) throws(BodyError) {
        dataVersion =
            try json.member("dataVersion").map { (value) throws(BodyError) in try DataVersion(json: value) }
            ?? DataVersion()
        groups = []
        guard let table = try json.member("subscriptionGroupTable") else { return }
        guard let members = table.members else {
            throw .invalid(field: "subscriptionGroupTable", expected: "a map")
        }
        for member in members { groups.append(try GroupConfiguration(json: member.value)) }
    }

    public func write(to json: inout JSONWriter) {
        json.object { json in
            json.field("dataVersion", dataVersion)
            json.field("subscriptionGroupTable") { json in
                json.object { json in
                    for group in groups {
                        json.key(text: group.name)
                        group.write(to: &json)
                    }
                }
            }
        }
    }
}

/// The members of a group: the answer to 38 `GET_CONSUMER_LIST_BY_GROUP`.
public struct ConsumerIDList: CommandBody, Equatable {
    public var clientIDs: [String]

    public init(clientIDs: [String]) { self.clientIDs = clientIDs }

    public init(json: JSONValue) throws(BodyError) { clientIDs = try json.texts("consumerIdList") }

    public func write(to json: inout JSONWriter) {
        json.object { $0.field("consumerIdList", clientIDs) }
    }
}

/// Names of groups: the answer to 300 `QUERY_TOPIC_CONSUME_BY_WHO`.
public struct GroupList: CommandBody, Equatable {
    public var groups: [String]

    public init(groups: [String]) { self.groups = groups }

    public init(json: JSONValue) throws(BodyError) { groups = try json.texts("groupList") }

    public func write(to json: inout JSONWriter) {
        json.object { $0.field("groupList", groups) }
    }
}

/// How far a group is: the answer to 208 `GET_CONSUME_STATS`.
public struct ConsumeStats: CommandBody, Equatable {
    public var offsets: [MessageQueue: OffsetWrapper]
    /// Messages a second.
    public var consumeTPS: Double

    public struct OffsetWrapper: CommandBody, Equatable {
        /// The offset that the queue's next message will get.
        public var brokerOffset: QueueOffset
        /// The first message that the group has not consumed.
        public var consumerOffset: QueueOffset
        /// When the last consumed message was stored; 0 when that is not known.
        public var lastTimestamp: Timestamp

        public init(brokerOffset: QueueOffset, consumerOffset: QueueOffset, lastTimestamp: Timestamp) {
            self.brokerOffset = brokerOffset
            self.consumerOffset = consumerOffset
            self.lastTimestamp = lastTimestamp
        }

        public init(json: JSONValue) throws(BodyError) {
            brokerOffset = QueueOffset(try json.int64("brokerOffset", default: 0))
            consumerOffset = QueueOffset(try json.int64("consumerOffset", default: 0))
            lastTimestamp = Timestamp(milliseconds: try json.int64("lastTimestamp", default: 0))
        }

        public func write(to json: inout JSONWriter) {
            json.object { json in
                json.field("brokerOffset", brokerOffset.rawValue)
                json.field("consumerOffset", consumerOffset.rawValue)
                json.field("lastTimestamp", lastTimestamp.milliseconds)
            }
        }
    }

    public init(offsets: [MessageQueue: OffsetWrapper], consumeTPS: Double = 0) {
        self.offsets = offsets
        self.consumeTPS = consumeTPS
    }

    public init(json: JSONValue) throws(BodyError) {
        offsets = try json.queueMap("offsetTable") { (value) throws(BodyError) in try OffsetWrapper(json: value) }
        consumeTPS = try json.double("consumeTps", default: 0)
    }

    public func write(to json: inout JSONWriter) {
        json.object { json in
            json.field("consumeTps", double: consumeTPS)
            json.field("offsetTable", queues: offsets) { $1.write(to: &$0) }
        }
    }
}
