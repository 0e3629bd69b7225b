import Base
import Bytes
import Model

/// Where a topic is: the answer to 105 `GET_ROUTEINFO_BY_TOPIC`.
public struct TopicRouteData: CommandBody, Equatable {
    /// `broker:queues;broker:queues` of a topic whose order the name server keeps.
    public var orderTopicConfig: String?
    public var queues: [QueueData]
    public var brokers: [BrokerData]

    public init(orderTopicConfig: String? = nil, queues: [QueueData], brokers: [BrokerData]) {
        self.orderTopicConfig = orderTopicConfig
        self.queues = queues
        self.brokers = brokers
    }

    public init(json: JSONValue) throws(BodyError) {
        orderTopicConfig = try json.text(ifPresent: "orderTopicConf")
        queues = try json.list("queueDatas") { (value) throws(BodyError) in try QueueData(json: value) }
        brokers = try json.list("brokerDatas") { (value) throws(BodyError) in try BrokerData(json: value) }
    }

    /// Writes broker numbers in quotes, which every client reads.
    public func write(to json: inout JSONWriter) {
        write(to: &json, isStandard: true)
    }

    /// - Parameter isStandard: false writes broker numbers without quotes, as RocketMQ does to clients older than
    ///   ``CommandVersion/standardRouteJSON`` that did not ask for standard JSON.
    public func write(to json: inout JSONWriter, isStandard: Bool) {
        json.object { json in
            json.field("brokerDatas") { json in
                json.array(brokers) { $1.write(to: &$0, isStandard: isStandard) }
            }
            // Nobody has filter servers any more, but clients look for the member.
            json.field("filterServerTable") { $0.object { _ in } }
            json.field("orderTopicConf", orderTopicConfig)
            json.field("queueDatas", queues)
        }
    }
}

/// The queues of a topic on one broker.
public struct QueueData: CommandBody, Equatable {
    public var brokerName: String
    public var readQueueCount: Int32
    public var writeQueueCount: Int32
    public var permission: Permission
    public var systemFlag: Int32

    public init(
        brokerName: String, readQueueCount: Int32, writeQueueCount: Int32, permission: Permission, systemFlag: Int32 = 0
    ) {
        self.brokerName = brokerName
        self.readQueueCount = readQueueCount
        self.writeQueueCount = writeQueueCount
        self.permission = permission
        self.systemFlag = systemFlag
    }

    public init(json: JSONValue) throws(BodyError) {
        brokerName = try json.text("brokerName")
        readQueueCount = try json.int32("readQueueNums", default: 0)
        writeQueueCount = try json.int32("writeQueueNums", default: 0)
        permission = Permission(rawValue: try json.int32("perm", default: 0))
        systemFlag = try json.int32("topicSysFlag", default: 0)
    }

    public func write(to json: inout JSONWriter) {
        json.object { json in
            json.field("brokerName", brokerName)
            json.field("perm", permission.rawValue)
            json.field("readQueueNums", readQueueCount)
            json.field("topicSysFlag", systemFlag)
            json.field("writeQueueNums", writeQueueCount)
        }
    }
}

/// A broker and the addresses of its replicas.
public struct BrokerData: CommandBody, Equatable {
    public var cluster: String
    public var brokerName: String
    /// `address:port` by broker number; 0 is the master.
    public var addresses: [Int64: String]

    public init(cluster: String, brokerName: String, addresses: [Int64: String]) {
        self.cluster = cluster
        self.brokerName = brokerName
        self.addresses = addresses
    }

    public init(json: JSONValue) throws(BodyError) {
        cluster = try json.text(ifPresent: "cluster") ?? ""
        brokerName = try json.text("brokerName")
        addresses = try json.map(
            "brokerAddrs", key: { (key) throws(BodyError) in try key.asInt64("brokerAddrs") },
            value: { (value) throws(BodyError) in try value.asText("brokerAddrs") })
    }

    /// Writes broker numbers without quotes, as in 106 (remoting reference §1.6).
    public func write(to json: inout JSONWriter) {
        write(to: &json, isStandard: false)
    }

    public func write(to json: inout JSONWriter, isStandard: Bool) {
        json.object { json in
            json.field("brokerAddrs") { json in
                json.object { json in
                    for (brokerID, address) in addresses.sorted(by: { $0.key < $1.key }) {
                        if isStandard { json.key(text: String(brokerID)) } else { json.key(integer: brokerID) }
                        json.string(address)
                    }
                }
            }
            json.field("brokerName", brokerName)
            json.field("cluster", cluster)
        }
    }
}

/// All brokers: the answer to 106 `GET_BROKER_CLUSTER_INFO`.
public struct ClusterInfo: CommandBody, Equatable {
    public var brokers: [String: BrokerData]
    /// Names of the brokers of each cluster.
    public var clusters: [String: [String]]

    public init(brokers: [String: BrokerData], clusters: [String: [String]]) {
        self.brokers = brokers
        self.clusters = clusters
    }

    public init(json: JSONValue) throws(BodyError) {
        brokers = try json.map(
            "brokerAddrTable", key: { (key) throws(BodyError) in try key.asText("brokerAddrTable") },
            value: { (value) throws(BodyError) in try BrokerData(json: value) })
        clusters = [:]
        guard let table = try json.member("clusterAddrTable") else { return }
        for member in table.members ?? [] {
            var names: [String] = []
            for name in member.value.arrayValue ?? [] { names.append(try name.asText("clusterAddrTable")) }
            clusters[try member.key.asText("clusterAddrTable")] = names
        }
    }

    public func write(to json: inout JSONWriter) {
        json.object { json in
            json.field("brokerAddrTable", map: brokers) { $1.write(to: &$0) }
            json.field("clusterAddrTable", map: clusters) { json, names in json.array(names) { $0.string($1) } }
        }
    }
}

/// Names and values: the answer to 28, 103 and 219.
public struct KVTable: CommandBody, Equatable {
    public var table: [String: String]

    public init(table: [String: String] = [:]) { self.table = table }

    public init(json: JSONValue) throws(BodyError) {
        table = try json.map(
            "table", key: { (key) throws(BodyError) in try key.asText("table") },
            value: { (value) throws(BodyError) in try value.asText("table") })
    }

    public func write(to json: inout JSONWriter) {
        json.object { $0.field("table", map: table) { $0.string($1) } }
    }
}
