import Model

/// Where the queues of one topic are. Lists are sorted, so equal tables give equal answers.
public struct TopicRoute: Equatable, Sendable {
    /// The brokers that have the topic, by name.
    public var brokers: [BrokerRoute]
    /// One entry per broker name, in the same order.
    public var queues: [QueueRoute]
    /// Filter servers of those brokers, by broker address.
    public var filterServers: [FilterServerRoute]
    /// `broker-a:4;broker-b:4`, when the name server serves order configurations and the topic has one.
    public var orderConfiguration: String?
}

/// The addresses under one broker name.
public struct BrokerRoute: Equatable, Sendable {
    public var cluster: String
    public var name: String
    /// By broker id, the master (0) first.
    public var addresses: [BrokerAddress]
}

public struct BrokerAddress: Equatable, Sendable {
    /// The broker's id: 0 for the master.
    public var id: Int64
    /// `host:port`.
    public var address: String
}

/// The queues of one topic on one broker name (`QueueData`).
public struct QueueRoute: Equatable, Sendable {
    public var brokerName: String
    public var readQueueCount: Int32
    public var writeQueueCount: Int32
    public var permission: Permission
    /// Bit 0: unit topic; bit 1: unit subscription.
    public var systemFlag: Int32

    init(_ topic: TopicConfiguration, brokerName: String) {
        self.brokerName = brokerName
        readQueueCount = topic.readQueueCount
        writeQueueCount = topic.writeQueueCount
        permission = topic.permission
        systemFlag = topic.systemFlag
    }
}

public struct FilterServerRoute: Equatable, Sendable {
    public var brokerAddress: String
    public var servers: [String]
}

/// All clusters and brokers (`ClusterInfo`), sorted by name.
public struct ClusterInformation: Equatable, Sendable {
    public var brokers: [BrokerRoute]
    public var clusters: [Cluster]
    public struct Cluster: Equatable, Sendable {
        public var name: String
        public var brokerNames: [String]
    }
}
