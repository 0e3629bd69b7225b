import Base

/// How much may be sent to a topic, or be pulled from a topic or by a group, in a second.
public struct TrafficQuota: Equatable, Sendable {
    /// Of messages sent; a group has none.
    public var send = TrafficRate()
    /// Of messages pulled.
    public var pull = TrafficRate()
    public init(send: TrafficRate = TrafficRate(), pull: TrafficRate = TrafficRate()) {
        self.send = send
        self.pull = pull
    }

    /// Everything as the broker's configuration says.
    public static let byDefault = TrafficQuota()
    public var isByDefault: Bool { self == .byDefault }

    // MARK: - As attributes

    /// The attribute of a topic or group that carries each number. Not RocketMQ's; 4.9 takes no notice of attributes.
    private static let attributes: [(name: String, path: any WritableKeyPath<Self, Int64> & Sendable)] = [
        ("quota.pull.bytes", \.pull.bytes), ("quota.pull.messages", \.pull.messages),
        ("quota.send.bytes", \.send.bytes), ("quota.send.messages", \.send.messages),
    ]

    /// The numbers that are set, by name.
    public var settings: [(name: String, value: Int64)] {
        Self.attributes.compactMap { self[keyPath: $0.path] == 0 ? nil : ($0.name, self[keyPath: $0.path]) }
    }

    /// Sets the number that an attribute names.
    /// - Returns: false for a name that is none of these, and for a number out of range.
    public mutating func set(_ name: String, _ value: Int64) -> Bool {
        guard let attribute = Self.attributes.first(where: { $0.name == name }),
            (TrafficRate.unlimited...Limits.quotaRateMaximum).contains(value)
        else { return false }
        self[keyPath: attribute.path] = value
        return true
    }

    /// Takes in the attributes of a request: `+quota.send.messages=100,-quota.pull.bytes` (5.x's way of writing them).
    /// - Returns: the first that it does not understand.
    public mutating func apply(attributes text: String) -> String? {
        for part in text.split(separator: ",") {
            guard part.first == "+" || part.first == "-" else { return String(part) }
            let pieces = part.dropFirst().split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            let value = part.first == "-" ? 0 : pieces.count == 2 ? Int64(pieces[1]) : nil
            guard let value, let name = pieces.first, set(String(name), value) else { return String(part) }
        }
        return nil
    }

    /// What ``apply(attributes:)`` makes this quota of any other.
    public var attributeText: String {
        Self.attributes.map { attribute in
            let value = self[keyPath: attribute.path]
            return value == 0 ? "-\(attribute.name)" : "+\(attribute.name)=\(value)"
        }.joined(separator: ",")
    }
}

/// A rate in both units. 0 is what the broker's configuration says, ``unlimited`` none whatever it says.
public struct TrafficRate: Equatable, Sendable {
    public var messages: Int64
    public var bytes: Int64
    public init(messages: Int64 = 0, bytes: Int64 = 0) {
        self.messages = messages
        self.bytes = bytes
    }

    public static let unlimited: Int64 = -1

    /// This rate with `defaults` where it says nothing, and 0 for what has no limit.
    public func resolved(_ defaults: TrafficRate) -> TrafficRate {
        func resolve(_ own: Int64, _ other: Int64) -> Int64 { max(0, own == 0 ? other : own) }
        return TrafficRate(messages: resolve(messages, defaults.messages), bytes: resolve(bytes, defaults.bytes))
    }
}
