import Base
import Model

/// The settings of a broker as tools see them: RocketMQ's names and texts (remoting reference, appendix C). Whoever configures
/// the broker fills it; nothing else reads it.
public struct BrokerSettingsView: Sendable {
    /// Names that tools must not change (`configBlackList`, after CVE-2023-33246).
    public static let protected: Set<String> = ["configBlackList", "brokerConfigPath"]

    /// The effective settings, in the order in which they are shown.
    public var settings: [(name: String, value: String)] = []
    /// When they were read. They do not change while the broker runs.
    public var version = DataVersion()

    public init() {}
}
