import Base

/// The settings of a name server as tools see them: RocketMQ's names and texts (remoting reference, appendix C).
public struct NameServerSettings: Equatable, Sendable {
    /// Names that tools must not change (`configBlackList`).
    public static let protected = ["configBlackList", "configStorePath", "kvConfigPath"]

    /// Settings that cannot be changed while the name server runs, by name, as they are shown.
    public var fixed: [String: String] = [
        "clusterTest": "false",
        "configBlackList": protected.joined(separator: ";"),
        "configStorePath": "",
        "kvConfigPath": "",
        "listenPort": "9876",
        "productEnvName": "center",
        "rocketmqHome": "",
        "serverChannelMaxIdleTimeSeconds": String(Limits.connectionIdleSeconds),
    ]

    public init() {}
}
