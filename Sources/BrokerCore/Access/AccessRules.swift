import Base
import Bytes

/// Who may do what to which topic and group: accounts by access key, and the addresses that are asked nothing.
///
/// Knows no protocol: whoever uses it has made sure that a request comes from the account that it names. A value; replaced as a
/// whole when the rules change. Lookups by borrowed bytes allocate nothing.
public struct AccessRules: Sendable {
    public private(set) var accounts: [AccessAccount]
    /// From here everything is allowed, to anybody.
    public var trustedAddresses: [AddressPattern]

    /// - Precondition: access keys are unique.
    public init(accounts: [AccessAccount] = [], trustedAddresses: [AddressPattern] = []) {
        self.accounts = accounts
        self.trustedAddresses = trustedAddresses
    }

    public func trusts(_ address: HostAddress) -> Bool { trustedAddresses.contains { $0.matches(address) } }
}

/// What an account may do to a topic or a group.
public struct AccessPermissions: OptionSet, Hashable, Sendable {
    public let rawValue: UInt8
    public init(rawValue: UInt8) { self.rawValue = rawValue }
    public static let publish = AccessPermissions(rawValue: 1)
    public static let subscribe = AccessPermissions(rawValue: 2)
    public static let none: AccessPermissions = []
    public static let both: AccessPermissions = [.publish, .subscribe]
}

/// Somebody with an access key.
public struct AccessAccount: Sendable, CustomStringConvertible {
    public var accessKey: String
    /// What requests are signed with. HMAC needs the secret itself, so no hash of it would do.
    public var secretKey: String
    /// May also change topics, groups, offsets and settings.
    public var isAdministrator = false
    /// From here the account needs no signature, and may do everything.
    public var trustedAddresses: [AddressPattern] = []
    /// For topics without a row of their own.
    public var topicDefault = AccessPermissions.none
    /// For groups without a row of their own.
    public var groupDefault = AccessPermissions.none
    private var topics = ByteKeyTable<AccessPermissions>()
    private var groups = ByteKeyTable<AccessPermissions>()
    /// Whether any topic or group has a row of its own.
    private var hasRows = false

    public init(accessKey: String, secretKey: String) {
        self.accessKey = accessKey
        self.secretKey = secretKey
    }

    /// Without the secret.
    public var description: String { "account \(accessKey)" }

    public mutating func setTopic(_ name: String, _ permissions: AccessPermissions) {
        topics[name] = permissions
        hasRows = true
    }

    public mutating func setGroup(_ name: String, _ permissions: AccessPermissions) {
        groups[name] = permissions
        hasRows = true
    }

    public func trusts(_ address: HostAddress) -> Bool { trustedAddresses.contains { $0.matches(address) } }

    /// Whether `needed` may be done to a topic. An administrator without rows may do everything, as in RocketMQ 4.9.
    public func allows(_ needed: AccessPermissions, topic: RawSpan) -> Bool {
        if isAdministrator, !hasRows { return true }
        return (topics[topic] ?? topicDefault).isSuperset(of: needed)
    }

    /// Whether the messages of a group may be consumed, and its progress stored.
    public func allowsSubscription(group: RawSpan) -> Bool {
        if isAdministrator, !hasRows { return true }
        return (groups[group] ?? groupDefault).contains(.subscribe)
    }
}
