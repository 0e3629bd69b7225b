import Bytes

/// 35 `UNREGISTER_CLIENT`: a client leaves its groups.
public struct UnregisterClientHeader: CommandFields, Equatable {
    public var clientID: String
    public var producerGroup: String?
    public var consumerGroup: String?

    public init(clientID: String, producerGroup: String? = nil, consumerGroup: String? = nil) {
        self.clientID = clientID
        self.producerGroup = producerGroup
        self.consumerGroup = consumerGroup
    }

    public init(_ header: CommandHeader, in span: RawSpan) throws(HeaderError) {
        clientID = try header.string("clientID", in: span)
        producerGroup = header.string(ifPresent: "producerGroup", in: span)
        consumerGroup = header.string(ifPresent: "consumerGroup", in: span)
    }

    public func write(into writer: inout CommandWriter) {
        writer.field("clientID", clientID)
        writer.field("producerGroup", producerGroup)
        writer.field("consumerGroup", consumerGroup)
    }
}

/// 38 `GET_CONSUMER_LIST_BY_GROUP`: the members of a group.
public struct GetConsumerListByGroupHeader: CommandFields, Equatable {
    public var consumerGroup: String

    public init(consumerGroup: String) {
        self.consumerGroup = consumerGroup
    }

    public init(_ header: CommandHeader, in span: RawSpan) throws(HeaderError) {
        consumerGroup = try header.string("consumerGroup", in: span)
    }

    public func write(into writer: inout CommandWriter) {
        writer.field("consumerGroup", consumerGroup)
    }
}

/// 40 `NOTIFY_CONSUMER_IDS_CHANGED`, one-way to every member: who belongs to the group has changed.
public struct NotifyConsumerIDsChangedHeader: CommandFields, Equatable {
    public var consumerGroup: String

    public init(consumerGroup: String) {
        self.consumerGroup = consumerGroup
    }

    public init(_ header: CommandHeader, in span: RawSpan) throws(HeaderError) {
        consumerGroup = try header.string("consumerGroup", in: span)
    }

    public func write(into writer: inout CommandWriter) {
        writer.field("consumerGroup", consumerGroup)
    }
}

/// 203 `GET_CONSUMER_CONNECTION_LIST`.
public struct GetConsumerConnectionListHeader: CommandFields, Equatable {
    public var consumerGroup: String

    public init(consumerGroup: String) {
        self.consumerGroup = consumerGroup
    }

    public init(_ header: CommandHeader, in span: RawSpan) throws(HeaderError) {
        consumerGroup = try header.string("consumerGroup", in: span)
    }

    public func write(into writer: inout CommandWriter) {
        writer.field("consumerGroup", consumerGroup)
    }
}

/// 204 `GET_PRODUCER_CONNECTION_LIST`.
public struct GetProducerConnectionListHeader: CommandFields, Equatable {
    public var producerGroup: String

    public init(producerGroup: String) {
        self.producerGroup = producerGroup
    }

    public init(_ header: CommandHeader, in span: RawSpan) throws(HeaderError) {
        producerGroup = try header.string("producerGroup", in: span)
    }

    public func write(into writer: inout CommandWriter) {
        writer.field("producerGroup", producerGroup)
    }
}

/// 307 `GET_CONSUMER_RUNNING_INFO`, passed on to the client.
public struct GetConsumerRunningInfoHeader: CommandFields, Equatable {
    public var consumerGroup: String
    public var clientID: String
    public var isStackWanted: Bool

    public init(consumerGroup: String, clientID: String, isStackWanted: Bool = false) {
        self.consumerGroup = consumerGroup
        self.clientID = clientID
        self.isStackWanted = isStackWanted
    }

    public init(_ header: CommandHeader, in span: RawSpan) throws(HeaderError) {
        consumerGroup = try header.string("consumerGroup", in: span)
        clientID = try header.string("clientId", in: span)
        isStackWanted = header.bool(ifPresent: "jstackEnable", in: span) ?? false
    }

    public func write(into writer: inout CommandWriter) {
        writer.field("consumerGroup", consumerGroup)
        writer.field("clientId", clientID)
        writer.field("jstackEnable", isStackWanted)
    }
}

/// 309 `CONSUME_MESSAGE_DIRECTLY`, passed on to the client.
public struct ConsumeMessageDirectlyHeader: CommandFields, Equatable {
    public var consumerGroup: String
    public var clientID: String?
    public var messageID: String?
    public var brokerName: String?
    public var topic: String?

    public init(
        consumerGroup: String, clientID: String? = nil, messageID: String? = nil, brokerName: String? = nil,
        topic: String? = nil
    ) {
        self.consumerGroup = consumerGroup
        self.clientID = clientID
        self.messageID = messageID
        self.brokerName = brokerName
        self.topic = topic
    }

    public init(_ header: CommandHeader, in span: RawSpan) throws(HeaderError) {
        consumerGroup = try header.string("consumerGroup", in: span)
        clientID = header.string(ifPresent: "clientId", in: span)
        messageID = header.string(ifPresent: "msgId", in: span)
        brokerName = header.string(ifPresent: "brokerName", in: span)
        topic = header.string(ifPresent: "topic", in: span)
    }

    public func write(into writer: inout CommandWriter) {
        writer.field("consumerGroup", consumerGroup)
        writer.field("clientId", clientID)
        writer.field("msgId", messageID)
        writer.field("brokerName", brokerName)
        writer.field("topic", topic)
    }
}
