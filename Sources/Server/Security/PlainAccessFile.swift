import Base
import BrokerCore
import Model
import RemotingProtocol

/// RocketMQ's `plain_acl.yml` (RocketMQ reference §1.12):
///
///     globalWhiteRemoteAddresses:    addresses that are asked nothing
///     - 192.0.2.*
///     accounts:
///     - accessKey: orders            6 letters or more
///       secretKey: 12345678          6 letters or more
///       whiteRemoteAddress:          addresses that need no signature
///       admin: false
///       defaultTopicPerm: DENY       DENY, PUB, SUB or PUB|SUB
///       defaultGroupPerm: SUB
///       topicPerms:
///       - Orders=PUB|SUB
///       groupPerms:
///       - billing=SUB
///
///     dataVersion:                   written with each change by request
///     - counter: 1
///       timestamp: 1700000000000
///
/// Unknown keys are errors: a permission that is spelled wrong must not be passed over.
struct PlainAccessFile {
    /// What the file says, as it is spelled there.
    var config = AclConfig()
    var version = DataVersion()
    /// What that means.
    private(set) var rules = AccessRules()

    private static let keyLengthMinimum = 6

    /// - Throws: what is wrong, and in which line.
    static func parse(_ text: String) throws(BlockTextError) -> AccessRules { try PlainAccessFile(text).rules }

    /// - Throws: what is wrong, and in which line.
    init(_ text: String) throws(BlockTextError) {
        var accounts: [AccessAccount] = []
        var trusted: [AddressPattern] = []
        let document = try BlockText(text)
        for member in try document.members("the file") {
            switch member.key {
            case "globalWhiteRemoteAddresses":
                for text in try member.value.texts(member.key) {
                    trusted += try Self.addresses(text, member.key)
                    config.globalWhiteAddresses.append(text.text)
                }
            case "accounts":
                for item in try member.value.items(member.key) {
                    let (account, spelling) = try Self.account(item)
                    guard !accounts.contains(where: { $0.accessKey == account.accessKey }) else {
                        throw BlockTextError(
                            line: item.line, reason: "accounts: accessKey \(account.accessKey) stands there twice")
                    }
                    accounts.append(account)
                    config.accounts.append(spelling)
                }
            case "dataVersion": version = Self.version(member.value)
            default: throw Self.unknown(member, in: "the file")
            }
        }
        rules = AccessRules(accounts: accounts, trustedAddresses: trusted)
    }

    /// What cannot be read is no version: nothing hangs on it.
    private static func version(_ value: BlockText) -> DataVersion {
        guard let members = try? value.items("dataVersion").first?.members("dataVersion") else { return DataVersion() }
        func number(_ key: String) -> Int64 {
            members.first { $0.key == key }.flatMap { try? $0.value.text(key) }.flatMap { Int64($0) } ?? 0
        }
        return DataVersion(timestamp: Timestamp(milliseconds: number("timestamp")), counter: number("counter"))
    }

    private static func account(
        _ item: BlockText
    ) throws(BlockTextError) -> (account: AccessAccount, spelling: PlainAccessConfig) {
        let members = try item.members("an account")
        var result = AccessAccount(
            accessKey: try key("accessKey", members, item.line), secretKey: try key("secretKey", members, item.line))
        var spelling = PlainAccessConfig(accessKey: result.accessKey, secretKey: result.secretKey)
        for member in members {
            switch member.key {
            case "accessKey", "secretKey": continue
            case "whiteRemoteAddress":
                if let text = try member.value.text(member.key) {
                    result.trustedAddresses = try addresses((text, member.line), member.key)
                    spelling.whiteRemoteAddress = text
                }
            case "admin":
                result.isAdministrator = try boolean(member)
                spelling.isAdministrator = result.isAdministrator
            case "defaultTopicPerm":
                if let text = try member.value.text(member.key) {
                    result.topicDefault = try permissions(text, member.line, member.key)
                    spelling.defaultTopicPermission = text
                }
            case "defaultGroupPerm":
                if let text = try member.value.text(member.key) {
                    result.groupDefault = try permissions(text, member.line, member.key)
                    spelling.defaultGroupPermission = text
                }
            case "topicPerms":
                for row in try rows(member) { result.setTopic(row.name, row.permissions) }
                spelling.topicPermissions = try member.value.texts(member.key).map(\.text)
            case "groupPerms":
                for row in try rows(member) { result.setGroup(row.name, row.permissions) }
                spelling.groupPermissions = try member.value.texts(member.key).map(\.text)
            default: throw unknown(member, in: "an account")
            }
        }
        return (result, spelling)
    }

    // MARK: - Values

    private static func key(
        _ name: String, _ members: [BlockText.Member], _ line: Int
    ) throws(BlockTextError) -> String {
        guard let member = members.first(where: { $0.key == name }), let text = try member.value.text(name) else {
            throw BlockTextError(line: line, reason: "an account needs \(name)")
        }
        guard text.count >= keyLengthMinimum else {
            // Not the text: it may be the secret.
            throw BlockTextError(line: member.line, reason: "\(name) has fewer than \(keyLengthMinimum) letters")
        }
        return text
    }

    private static func boolean(_ member: BlockText.Member) throws(BlockTextError) -> Bool {
        switch try member.value.text(member.key) {
        case "true": return true
        case "false", nil: return false
        default: throw BlockTextError(line: member.line, reason: "\(member.key) is true or false")
        }
    }

    private static func permissions(
        _ text: String, _ line: Int, _ key: String
    ) throws(BlockTextError) -> AccessPermissions {
        switch text.filter({ $0 != " " }) {
        case "DENY": return .none
        case "PUB": return .publish
        case "SUB": return .subscribe
        case "PUB|SUB", "SUB|PUB": return .both
        default: throw BlockTextError(line: line, reason: "\(key): '\(text)' is none of DENY, PUB, SUB, PUB|SUB")
        }
    }

    private static func rows(
        _ member: BlockText.Member
    ) throws(BlockTextError) -> [(name: String, permissions: AccessPermissions)] {
        var result: [(name: String, permissions: AccessPermissions)] = []
        for (text, line) in try member.value.texts(member.key) {
            let parts = text.split(separator: "=", omittingEmptySubsequences: false).map { $0.trimmingSpaces() }
            guard parts.count == 2, !parts[0].isEmpty else {
                throw BlockTextError(line: line, reason: "\(member.key): '\(text)' is not of the form name=permission")
            }
            guard !result.contains(where: { $0.name == parts[0] }) else {
                throw BlockTextError(line: line, reason: "\(member.key): \(parts[0]) stands there twice")
            }
            result.append((parts[0], try permissions(parts[1], line, member.key)))
        }
        return result
    }

    private static func addresses(
        _ text: (text: String, line: Int), _ key: String
    ) throws(BlockTextError) -> [AddressPattern] {
        guard let patterns = AddressPattern.list(text.text) else {
            throw BlockTextError(
                line: text.line, reason: "\(key): '\(text.text)' is no address and no pattern of addresses")
        }
        return patterns
    }

    private static func unknown(_ member: BlockText.Member, in place: String) -> BlockTextError {
        BlockTextError(line: member.line, reason: "unknown key \(member.key) in \(place)")
    }
}

// MARK: - What stands where

extension BlockText {
    fileprivate func members(_ place: String) throws(BlockTextError) -> [Member] {
        switch self {
        case .mapping(let members, _): return members
        case .empty: return []
        default: throw BlockTextError(line: line, reason: "\(place) should hold 'key: value' lines")
        }
    }

    fileprivate func items(_ key: String) throws(BlockTextError) -> [BlockText] {
        switch self {
        case .list(let items, _): return items
        case .empty: return []
        default: throw BlockTextError(line: line, reason: "\(key) should be a list, each line with a dash")
        }
    }

    fileprivate func texts(_ key: String) throws(BlockTextError) -> [(text: String, line: Int)] {
        var result: [(text: String, line: Int)] = []
        for item in try items(key) {
            guard case .scalar(let text, let line) = item else {
                throw BlockTextError(line: item.line, reason: "\(key) should be a list of plain values")
            }
            result.append((text, line))
        }
        return result
    }

    /// Nil when there is nothing.
    fileprivate func text(_ key: String) throws(BlockTextError) -> String? {
        switch self {
        case .scalar(let text, _): return text.isEmpty ? nil : text
        case .empty: return nil
        default: throw BlockTextError(line: line, reason: "\(key) should be one value")
        }
    }
}
