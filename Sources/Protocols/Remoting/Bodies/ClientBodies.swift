import Base
import Bytes
import Model

extension Subscription: CommandBody {
    public init(json: JSONValue) throws(BodyError) {
        self.init(
            topic: try json.text("topic"), expressionType: try json.text(ifPresent: "expressionType") ?? Self.tagType,
            expression: try json.text(ifPresent: "subString") ?? "*", tags: try json.texts("tagsSet"),
            tagHashes: try json.list("codeSet") { (value) throws(BodyError) in try value.asInt32("codeSet") },
            version: try json.int64("subVersion", default: 0))
    }

    public func write(to json: inout JSONWriter) {
        json.object { json in
            json.field("classFilterMode", false)
            json.field("codeSet") { $0.array(tagHashes) { $0.integer($1) } }
            json.field("expressionType", expressionType)
            json.field("subString", expression)
            json.field("subVersion", version)
            json.field("tagsSet", tags)
            json.field("topic", topic)
        }
    }
}

/// What a client is to a broker: the body of 34 `HEART_BEAT`.
public struct HeartbeatData: CommandBody, Equatable {
    public var clientID: String
    public var producerGroups: [String]
    public var consumers: [ConsumerData]

    public init(clientID: String, producerGroups: [String] = [], consumers: [ConsumerData] = []) {
        self.clientID = clientID
        self.producerGroups = producerGroups
        self.consumers = consumers
    }

    public init(json: JSONValue) throws(BodyError) {
        clientID = try json.text("clientID")
        producerGroups = try json.list("producerDataSet") { (value) throws(BodyError) in
            try value.text("groupName")
        }
        consumers = try json.list("consumerDataSet") { (value) throws(BodyError) in try ConsumerData(json: value) }
    }

    public func write(to json: inout JSONWriter) {
        json.object { json in
            json.field("clientID", clientID)
            json.field("consumerDataSet", consumers)
            json.field("producerDataSet") { json in
                json.array(producerGroups) { json, group in json.object { $0.field("groupName", group) } }
            }
        }
    }
}

/// A client's membership in one consumer group.
public struct ConsumerData: CommandBody, Equatable {
    public var groupName: String
    public var consumeType: ConsumeType
    public var messageModel: MessageModel
    public var consumeFromWhere: ConsumeFromWhere
    public var subscriptions: [Subscription]
    public var isUnit: Bool

    public init(
        groupName: String, consumeType: ConsumeType, messageModel: MessageModel, consumeFromWhere: ConsumeFromWhere,
        subscriptions: [Subscription], isUnit: Bool = false
    ) {
        self.groupName = groupName
        self.consumeType = consumeType
        self.messageModel = messageModel
        self.consumeFromWhere = consumeFromWhere
        self.subscriptions = subscriptions
        self.isUnit = isUnit
    }

    public init(json: JSONValue) throws(BodyError) {
        groupName = try json.text("groupName")
        consumeType = try json.enumeration("consumeType", default: .push)
        messageModel = try json.enumeration("messageModel", default: .clustering)
        consumeFromWhere = try json.enumeration("consumeFromWhere", default: .lastOffset)
        subscriptions = try json.list("subscriptionDataSet") { (value) throws(BodyError) in
            try Subscription(json: value)
        }
        isUnit = try json.bool("unitMode", default: false)
    }

    public func write(to json: inout JSONWriter) {
        json.object { json in
            json.field("consumeFromWhere", consumeFromWhere.rawValue)
            json.field("consumeType", consumeType.rawValue)
            json.field("groupName", groupName)
            json.field("messageModel", messageModel.rawValue)
            json.field("subscriptionDataSet", subscriptions)
            json.field("unitMode", isUnit)
        }
    }
}

extension JSONValue {
    /// A member that is one of the names of `Name`, or its ordinal, which the C++ client sends and fastjson takes; `fallback`
    /// when it is missing.
    func enumeration<Name: RawRepresentable<String> & CaseIterable>(
        _ name: StaticString, default fallback: Name
    ) throws(BodyError) -> Name where Name.AllCases == [Name] {
        guard let member = try member(name) else { return fallback }
        if let ordinal = member.integerValue, let index = Int(exactly: ordinal), Name.allCases.indices.contains(index) {
            return Name.allCases[index]
        }
        guard let text = member.stringValue, let value = Name(rawValue: text) else {
            throw .invalid(field: name.description, expected: "a \(Name.self)")
        }
        return value
    }
}

/// A subscription to be checked: the body of 46 `CHECK_CLIENT_CONFIG`.
public struct CheckClientConfigBody: CommandBody, Equatable {
    public var clientID: String
    public var group: String
    public var subscription: Subscription

    public init(clientID: String, group: String, subscription: Subscription) {
        self.clientID = clientID
        self.group = group
        self.subscription = subscription
    }

    public init(json: JSONValue) throws(BodyError) {
        clientID = try json.text("clientId")
        group = try json.text("group")
        subscription = try json.body("subscriptionData")
    }

    public func write(to json: inout JSONWriter) {
        json.object { json in
            json.field("clientId", clientID)
            json.field("group", group)
            json.field("subscriptionData", subscription)
        }
    }
}

/// One client of a group.
public struct ClientConnection: CommandBody, Equatable {
    public var clientID: String
    /// `address:port`.
    public var address: String
    public var language: LanguageCode
    public var version: Int32

    public init(clientID: String, address: String, language: LanguageCode, version: Int32) {
        self.clientID = clientID
        self.address = address
        self.language = language
        self.version = version
    }

    public init(json: JSONValue) throws(BodyError) {
        clientID = try json.text("clientId")
        address = try json.text(ifPresent: "clientAddr") ?? ""
        language = LanguageCode(name: try json.text(ifPresent: "language") ?? "OTHER")
        version = try json.int32("version", default: 0)
    }

    public func write(to json: inout JSONWriter) {
        json.object { json in
            json.field("clientAddr", address)
            json.field("clientId", clientID)
            json.field("language", language.name.description)
            json.field("version", version)
        }
    }
}

/// The members of a consumer group and what they want: the answer to 203 `GET_CONSUMER_CONNECTION_LIST`.
public struct ConsumerConnection: CommandBody, Equatable {
    public var connections: [ClientConnection]
    public var subscriptions: [Subscription]
    public var consumeType: ConsumeType
    public var messageModel: MessageModel
    public var consumeFromWhere: ConsumeFromWhere
    /// Members who subscribe to something else, or consume in another way, than most. Our own field: RocketMQ knows nothing of
    /// it, and its tools pass over it.
    public var disagreements: [MemberDisagreement] = []

    public init(
        connections: [ClientConnection], subscriptions: [Subscription], consumeType: ConsumeType,
        messageModel: MessageModel, consumeFromWhere: ConsumeFromWhere, disagreements: [MemberDisagreement] = []
    ) {
        self.disagreements = disagreements
        self.connections = connections
        self.subscriptions = subscriptions
        self.consumeType = consumeType
        self.messageModel = messageModel
        self.consumeFromWhere = consumeFromWhere
    }

    public init(json: JSONValue) throws(BodyError) {
        connections = try json.list("connectionSet") { (value) throws(BodyError) in
            try ClientConnection(json: value)
        }
        let table = try json.map(
            "subscriptionTable", key: { (key) throws(BodyError) in try key.asText("subscriptionTable") },
            value: { (value) throws(BodyError) in try Subscription(json: value) })
        subscriptions = table.values.sorted { $0.topic < $1.topic }
        consumeType = try json.enumeration("consumeType", default: .push)
        messageModel = try json.enumeration("messageModel", default: .clustering)
        consumeFromWhere = try json.enumeration("consumeFromWhere", default: .lastOffset)
        disagreements = try json.list("disagreements") { (value) throws(BodyError) in
            try MemberDisagreement(json: value)
        }
    }

    public func write(to json: inout JSONWriter) {
        json.object { json in
            json.field("connectionSet", connections)
            json.field("consumeFromWhere", consumeFromWhere.rawValue)
            json.field("consumeType", consumeType.rawValue)
            if !disagreements.isEmpty { json.field("disagreements", disagreements) }
            json.field("messageModel", messageModel.rawValue)
            json.field("subscriptionTable") { json in
                json.object { json in
                    for subscription in subscriptions {
                        json.key(text: subscription.topic)
                        subscription.write(to: &json)
                    }
                }
            }
        }
    }
}

/// A member of a consumer group who subscribes to something else, or consumes in another way, than most; and in words how.
public struct MemberDisagreement: CommandBody, Equatable {
    public var clientID: String
    public var differences: [String]

    public init(clientID: String, differences: [String]) {
        self.clientID = clientID
        self.differences = differences
    }

    public init(json: JSONValue) throws(BodyError) {
        clientID = try json.text("clientId")
        differences = try json.texts("differences")
    }

    public func write(to json: inout JSONWriter) {
        json.object { json in
            json.field("clientId", clientID)
            json.field("differences", differences)
        }
    }
}

/// The members of a producer group: the answer to 204 `GET_PRODUCER_CONNECTION_LIST`.
public struct ProducerConnection: CommandBody, Equatable {
    public var connections: [ClientConnection]

    public init(connections: [ClientConnection]) { self.connections = connections }

    public init(json: JSONValue) throws(BodyError) {
        connections = try json.list("connectionSet") { (value) throws(BodyError) in
            try ClientConnection(json: value)
        }
    }

    public func write(to json: inout JSONWriter) {
        json.object { $0.field("connectionSet", connections) }
    }
}
