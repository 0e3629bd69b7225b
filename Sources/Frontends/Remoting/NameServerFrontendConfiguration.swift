import Base

/// How a name server behaves towards tools, and what it tells them of its settings.
public struct NameServerFrontendConfiguration: Equatable, Sendable {
    /// Time between two looks for silent brokers (`scanNotActiveBrokerInterval`).
    public var scanIntervalMilliseconds: Int64 = 5_000
    /// Whether anybody may ask for the names of all topics, 206 (`enableAllTopicList`, 5.x).
    public var isAllTopicListEnabled = true
    /// Whether anybody may ask for the topics of a cluster or unit, 224 and 311 to 313 (`enableTopicList`, 5.x).
    public var isTopicListEnabled = true
    /// Settings that requests 318 and 319 show and cannot change, by RocketMQ's names (remoting reference, appendix C).
    public var fixedProperties: [String: String] = [
        "clusterTest": "false",
        "configBlackList": protectedProperties.joined(separator: ";"),
        "configStorePath": "",
        "kvConfigPath": "",
        "listenPort": "9876",
        "productEnvName": "center",
        "rocketmqHome": "",
        "serverChannelMaxIdleTimeSeconds": String(Limits.connectionIdleSeconds),
    ]

    /// Names that tools must not even mention in a change (`configBlackList`).
    public static let protectedProperties = ["configBlackList", "configStorePath", "kvConfigPath"]

    public init() {}
}
