import BrokerCore

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
/// Unknown keys are errors: a permission that is spelled wrong must not be passed over. `dataVersion`, which RocketMQ's tools
/// add, is.
enum PlainAccessFile {
    private static let keyLengthMinimum = 6

    /// - Throws: what is wrong, and in which line.
    static func parse(_ text: String) throws(BlockTextError) -> AccessRules {
        var accounts: [AccessAccount] = []
        var trusted: [AddressPattern] = []
        let document = try BlockText(text)
        for member in try document.members("the file") {
            switch member.key {
            case "globalWhiteRemoteAddresses":
                for text in try member.value.texts(member.key) { trusted += try addresses(text, member.key) }
            case "accounts":
                for item in try member.value.items(member.key) {
                    let account = try account(item)
                    guard !accounts.contains(where: { $0.accessKey == account.accessKey }) else {
                        throw BlockTextError(
                            line: item.line, reason: "accounts: accessKey \(account.accessKey) stands there twice")
                    }
                    accounts.append(account)
                }
            case "dataVersion": continue
            default: throw unknown(member, in: "the file")
            }
        }
        return AccessRules(accounts: accounts, trustedAddresses: trusted)
    }

    private static func account(_ item: BlockText) throws(BlockTextError) -> AccessAccount {
        let members = try item.members("an account")
        var result = AccessAccount(
            accessKey: try key("accessKey", members, item.line), secretKey: try key("secretKey", members, item.line))
        for member in members {
            switch member.key {
            case "accessKey", "secretKey": continue
            case "whiteRemoteAddress":
                if let text = try member.value.text(member.key) {
                    result.trustedAddresses = try addresses((text, member.line), member.key)
                }
            case "admin": result.isAdministrator = try boolean(member)
            case "defaultTopicPerm":
                if let text = try member.value.text(member.key) {
                    result.topicDefault = try permissions(text, member.line, member.key)
                }
            case "defaultGroupPerm":
                if let text = try member.value.text(member.key) {
                    result.groupDefault = try permissions(text, member.line, member.key)
                }
            case "topicPerms":
                for row in try rows(member) { result.setTopic(row.name, row.permissions) }
            case "groupPerms":
                for row in try rows(member) { result.setGroup(row.name, row.permissions) }
            default: throw unknown(member, in: "an account")
            }
        }
        return result
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
