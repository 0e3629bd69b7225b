/// What clients may do with a topic or a broker: RocketMQ's bits (remoting reference §1.8).
public struct Permission: OptionSet, Hashable, Sendable, CustomStringConvertible {
    public let rawValue: Int32
    public init(rawValue: Int32) { self.rawValue = rawValue }
    public static let priority = Permission(rawValue: 8)
    public static let read = Permission(rawValue: 4)
    public static let write = Permission(rawValue: 2)
    /// A topic with this bit lends its settings to topics that are created on first use.
    public static let inherit = Permission(rawValue: 1)
    public static let readWrite: Permission = [.read, .write]
    /// As RocketMQ's tools print it: `RW-`.
    public var description: String {
        (contains(.read) ? "R" : "-") + (contains(.write) ? "W" : "-") + (contains(.inherit) ? "X" : "-")
    }
}
