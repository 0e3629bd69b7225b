import Bytes

/// 100 `PUT_KV_CONFIG`.
public struct PutKVConfigHeader: CommandFields, Equatable {
    public var namespace: String
    public var key: String
    public var value: String

    public init(namespace: String, key: String, value: String) {
        self.namespace = namespace
        self.key = key
        self.value = value
    }

    public init(_ header: CommandHeader, in span: RawSpan) throws(HeaderError) {
        namespace = try header.string("namespace", in: span)
        key = try header.string("key", in: span)
        value = try header.string("value", in: span)
    }

    public func write(into writer: inout CommandWriter) {
        writer.field("namespace", namespace)
        writer.field("key", key)
        writer.field("value", value)
    }
}

/// 101 `GET_KV_CONFIG`.
public struct GetKVConfigHeader: CommandFields, Equatable {
    public var namespace: String
    public var key: String

    public init(namespace: String, key: String) {
        self.namespace = namespace
        self.key = key
    }

    public init(_ header: CommandHeader, in span: RawSpan) throws(HeaderError) {
        namespace = try header.string("namespace", in: span)
        key = try header.string("key", in: span)
    }

    public func write(into writer: inout CommandWriter) {
        writer.field("namespace", namespace)
        writer.field("key", key)
    }
}

/// The answer to 101.
public struct GetKVConfigResponseHeader: CommandFields, Equatable {
    public var value: String?

    public init(value: String? = nil) {
        self.value = value
    }

    public init(_ header: CommandHeader, in span: RawSpan) throws(HeaderError) {
        value = header.string(ifPresent: "value", in: span)
    }

    public func write(into writer: inout CommandWriter) {
        writer.field("value", value)
    }
}

/// 102 `DELETE_KV_CONFIG`.
public struct DeleteKVConfigHeader: CommandFields, Equatable {
    public var namespace: String
    public var key: String

    public init(namespace: String, key: String) {
        self.namespace = namespace
        self.key = key
    }

    public init(_ header: CommandHeader, in span: RawSpan) throws(HeaderError) {
        namespace = try header.string("namespace", in: span)
        key = try header.string("key", in: span)
    }

    public func write(into writer: inout CommandWriter) {
        writer.field("namespace", namespace)
        writer.field("key", key)
    }
}

/// 103 `REGISTER_BROKER`; the body is a ``RegisterBrokerBody``.
public struct RegisterBrokerHeader: CommandFields, Equatable {
    public var brokerName: String
    public var brokerAddress: String
    public var clusterName: String
    public var haServerAddress: String
    /// 0 is the master.
    public var brokerID: Int64
    /// True when the body is in the compressed layout.
    public var isCompressed: Bool
    /// CRC-32 of the body as it travels; 0 when it is not to be checked.
    public var bodyCRC: Int32
    public var heartbeatTimeoutMilliseconds: Int64?

    public init(
        brokerName: String, brokerAddress: String, clusterName: String, haServerAddress: String, brokerID: Int64,
        isCompressed: Bool = false, bodyCRC: Int32 = 0, heartbeatTimeoutMilliseconds: Int64? = nil
    ) {
        self.brokerName = brokerName
        self.brokerAddress = brokerAddress
        self.clusterName = clusterName
        self.haServerAddress = haServerAddress
        self.brokerID = brokerID
        self.isCompressed = isCompressed
        self.bodyCRC = bodyCRC
        self.heartbeatTimeoutMilliseconds = heartbeatTimeoutMilliseconds
    }

    public init(_ header: CommandHeader, in span: RawSpan) throws(HeaderError) {
        brokerName = try header.string("brokerName", in: span)
        brokerAddress = try header.string("brokerAddr", in: span)
        clusterName = try header.string("clusterName", in: span)
        haServerAddress = try header.string("haServerAddr", in: span)
        brokerID = try header.int64("brokerId", in: span)
        isCompressed = header.bool(ifPresent: "compressed", in: span) ?? false
        bodyCRC = try header.int32(ifPresent: "bodyCrc32", in: span) ?? 0
        heartbeatTimeoutMilliseconds = try header.int64(ifPresent: "heartbeatTimeoutMillis", in: span)
    }

    public func write(into writer: inout CommandWriter) {
        writer.field("brokerName", brokerName)
        writer.field("brokerAddr", brokerAddress)
        writer.field("clusterName", clusterName)
        writer.field("haServerAddr", haServerAddress)
        writer.field("brokerId", brokerID)
        writer.field("compressed", isCompressed)
        writer.field("bodyCrc32", bodyCRC)
        writer.field("heartbeatTimeoutMillis", heartbeatTimeoutMilliseconds)
    }
}

/// The answer to 103; both are filled for slaves only.
public struct RegisterBrokerResponseHeader: CommandFields, Equatable {
    public var haServerAddress: String?
    public var masterAddress: String?

    public init(haServerAddress: String? = nil, masterAddress: String? = nil) {
        self.haServerAddress = haServerAddress
        self.masterAddress = masterAddress
    }

    public init(_ header: CommandHeader, in span: RawSpan) throws(HeaderError) {
        haServerAddress = header.string(ifPresent: "haServerAddr", in: span)
        masterAddress = header.string(ifPresent: "masterAddr", in: span)
    }

    public func write(into writer: inout CommandWriter) {
        writer.field("haServerAddr", haServerAddress)
        writer.field("masterAddr", masterAddress)
    }
}

/// 104 `UNREGISTER_BROKER`.
public struct UnregisterBrokerHeader: CommandFields, Equatable {
    public var brokerName: String
    public var brokerAddress: String
    public var clusterName: String
    public var brokerID: Int64

    public init(brokerName: String, brokerAddress: String, clusterName: String, brokerID: Int64) {
        self.brokerName = brokerName
        self.brokerAddress = brokerAddress
        self.clusterName = clusterName
        self.brokerID = brokerID
    }

    public init(_ header: CommandHeader, in span: RawSpan) throws(HeaderError) {
        brokerName = try header.string("brokerName", in: span)
        brokerAddress = try header.string("brokerAddr", in: span)
        clusterName = try header.string("clusterName", in: span)
        brokerID = try header.int64("brokerId", in: span)
    }

    public func write(into writer: inout CommandWriter) {
        writer.field("brokerName", brokerName)
        writer.field("brokerAddr", brokerAddress)
        writer.field("clusterName", clusterName)
        writer.field("brokerId", brokerID)
    }
}

/// 105 `GET_ROUTEINFO_BY_TOPIC`.
public struct GetRouteInfoHeader: CommandFields, Equatable {
    public var topic: String
    public var isStandardJSONOnly: Bool?

    public init(topic: String, isStandardJSONOnly: Bool? = nil) {
        self.topic = topic
        self.isStandardJSONOnly = isStandardJSONOnly
    }

    public init(_ header: CommandHeader, in span: RawSpan) throws(HeaderError) {
        topic = try header.string("topic", in: span)
        isStandardJSONOnly = header.bool(ifPresent: "acceptStandardJsonOnly", in: span)
    }

    public func write(into writer: inout CommandWriter) {
        writer.field("topic", topic)
        writer.field("acceptStandardJsonOnly", isStandardJSONOnly)
    }
}

/// 205 `WIPE_WRITE_PERM_OF_BROKER` and 327 `ADD_WRITE_PERM_OF_BROKER`.
public struct WipeWritePermissionHeader: CommandFields, Equatable {
    public var brokerName: String

    public init(brokerName: String) {
        self.brokerName = brokerName
    }

    public init(_ header: CommandHeader, in span: RawSpan) throws(HeaderError) {
        brokerName = try header.string("brokerName", in: span)
    }

    public func write(into writer: inout CommandWriter) {
        writer.field("brokerName", brokerName)
    }
}

/// The answer to 205.
public struct WipeWritePermissionResponseHeader: CommandFields, Equatable {
    public var wipedTopicCount: Int32

    public init(wipedTopicCount: Int32) {
        self.wipedTopicCount = wipedTopicCount
    }

    public init(_ header: CommandHeader, in span: RawSpan) throws(HeaderError) {
        wipedTopicCount = try header.int32("wipeTopicCount", in: span)
    }

    public func write(into writer: inout CommandWriter) {
        writer.field("wipeTopicCount", wipedTopicCount)
    }
}

/// The answer to 327.
public struct AddWritePermissionResponseHeader: CommandFields, Equatable {
    public var addedTopicCount: Int32

    public init(addedTopicCount: Int32) {
        self.addedTopicCount = addedTopicCount
    }

    public init(_ header: CommandHeader, in span: RawSpan) throws(HeaderError) {
        addedTopicCount = try header.int32("addTopicCount", in: span)
    }

    public func write(into writer: inout CommandWriter) {
        writer.field("addTopicCount", addedTopicCount)
    }
}

/// 216 `DELETE_TOPIC_IN_NAMESRV`.
public struct DeleteTopicInNameServerHeader: CommandFields, Equatable {
    public var topic: String
    public var clusterName: String?

    public init(topic: String, clusterName: String? = nil) {
        self.topic = topic
        self.clusterName = clusterName
    }

    public init(_ header: CommandHeader, in span: RawSpan) throws(HeaderError) {
        topic = try header.string("topic", in: span)
        clusterName = header.string(ifPresent: "clusterName", in: span)
    }

    public func write(into writer: inout CommandWriter) {
        writer.field("topic", topic)
        writer.field("clusterName", clusterName)
    }
}

/// 219 `GET_KVLIST_BY_NAMESPACE`.
public struct GetKVListByNamespaceHeader: CommandFields, Equatable {
    public var namespace: String

    public init(namespace: String) {
        self.namespace = namespace
    }

    public init(_ header: CommandHeader, in span: RawSpan) throws(HeaderError) {
        namespace = try header.string("namespace", in: span)
    }

    public func write(into writer: inout CommandWriter) {
        writer.field("namespace", namespace)
    }
}

/// 224 `GET_TOPICS_BY_CLUSTER`.
public struct GetTopicsByClusterHeader: CommandFields, Equatable {
    public var cluster: String

    public init(cluster: String) {
        self.cluster = cluster
    }

    public init(_ header: CommandHeader, in span: RawSpan) throws(HeaderError) {
        cluster = try header.string("cluster", in: span)
    }

    public func write(into writer: inout CommandWriter) {
        writer.field("cluster", cluster)
    }
}

/// 322 `QUERY_DATA_VERSION`; the body is a data version.
public struct QueryDataVersionHeader: CommandFields, Equatable {
    public var brokerName: String
    public var brokerAddress: String
    public var clusterName: String
    public var brokerID: Int64

    public init(brokerName: String, brokerAddress: String, clusterName: String, brokerID: Int64) {
        self.brokerName = brokerName
        self.brokerAddress = brokerAddress
        self.clusterName = clusterName
        self.brokerID = brokerID
    }

    public init(_ header: CommandHeader, in span: RawSpan) throws(HeaderError) {
        brokerName = try header.string("brokerName", in: span)
        brokerAddress = try header.string("brokerAddr", in: span)
        clusterName = try header.string("clusterName", in: span)
        brokerID = try header.int64("brokerId", in: span)
    }

    public func write(into writer: inout CommandWriter) {
        writer.field("brokerName", brokerName)
        writer.field("brokerAddr", brokerAddress)
        writer.field("clusterName", clusterName)
        writer.field("brokerId", brokerID)
    }
}

/// The answer to 322.
public struct QueryDataVersionResponseHeader: CommandFields, Equatable {
    public var isChanged: Bool

    public init(isChanged: Bool) {
        self.isChanged = isChanged
    }

    public init(_ header: CommandHeader, in span: RawSpan) throws(HeaderError) {
        isChanged = try header.bool("changed", in: span)
    }

    public func write(into writer: inout CommandWriter) {
        writer.field("changed", isChanged)
    }
}
