import Base
import BrokerCore
import Model
import RemotingFrontend
import RemotingProtocol

/// Changes by request: 50, 51 and 53, as RocketMQ 4.9's `PlainPermissionManager` makes them, in its words where it has them.
/// What it takes first and stumbles over when it reads the file again is refused here. Secrets are in no refusal.
extension PlainAccessFile {
    /// An access key or secret that a request brings must be longer than this.
    private static let newKeyLengthMinimum = 6

    /// Makes a change.
    /// - Throws: why it is not made; nothing has changed then.
    mutating func apply(_ change: AccountChange, at now: Timestamp) throws(AccountChangeFailure) {
        var changed = self
        switch change {
        case .put(let fields): try changed.put(fields)
        case .delete(let accessKey): try changed.delete(accessKey)
        case .trust(let addresses): try changed.trust(addresses)
        }
        changed.version.advance(at: now)
        self = try Self.checked(changed)
    }

    /// The file as it will be read: what its text cannot hold, or what is wrong in it, is found before it is written.
    private static func checked(_ changed: PlainAccessFile) throws(AccountChangeFailure) -> PlainAccessFile {
        let read: PlainAccessFile
        do throws(BlockTextError) {
            read = try PlainAccessFile(changed.text)
        } catch {
            throw AccountChangeFailure(error.reason)
        }
        guard read.config == changed.config, read.version == changed.version else {
            throw AccountChangeFailure("the file of accounts cannot hold this")
        }
        return read
    }

    private mutating func put(_ fields: UpdateAccessConfigHeader) throws(AccountChangeFailure) {
        let place = config.accounts.firstIndex { $0.accessKey == fields.accessKey }
        var account = place.map { config.accounts[$0] } ?? PlainAccessConfig(accessKey: fields.accessKey)
        if let secret = fields.secretKey, !secret.isEmpty { account.secretKey = secret }
        // RocketMQ wants the secret with each change, and prints it here.
        guard fields.accessKey.utf16.count > Self.newKeyLengthMinimum || place != nil,
            let secret = account.secretKey,
            secret.utf16.count > Self.newKeyLengthMinimum || fields.secretKey?.isEmpty != false
        else {
            throw AccountChangeFailure(
                "The accessKey=\(fields.accessKey) and secretKey=*** cannot be null and length should longer than 6")
        }
        if let address = fields.whiteRemoteAddress { account.whiteRemoteAddress = address.isEmpty ? nil : address }
        if let isAdministrator = fields.isAdministrator { account.isAdministrator = isAdministrator }
        if let text = fields.defaultTopicPermission, !text.isEmpty { account.defaultTopicPermission = text }
        if let text = fields.defaultGroupPermission, !text.isEmpty { account.defaultGroupPermission = text }
        if let rows = fields.topicPermissions { account.topicPermissions = try Self.rows(rows) }
        if let rows = fields.groupPermissions { account.groupPermissions = try Self.rows(rows) }
        if let place { config.accounts[place] = account } else { config.accounts.append(account) }
    }

    /// Rows that are joined by commas (`Permission.checkResourcePerms`).
    private static func rows(_ text: String) throws(AccountChangeFailure) -> [String] {
        var rows: [String] = []
        for part in text.split(separator: ",") {
            let row = part.trimmingSpaces()
            let sides = row.split(separator: "=", omittingEmptySubsequences: false).map { $0.trimmingSpaces() }
            guard sides.count == 2, !sides[0].isEmpty else {
                throw AccountChangeFailure(
                    "Parse Resource format error for \(row).\nThe expected resource format is 'Res=Perm'. For example: "
                        + "topicA=SUB")
            }
            guard ["DENY", "PUB", "SUB", "PUB|SUB", "SUB|PUB"].contains(sides[1]) else {
                throw AccountChangeFailure(
                    "Parse resource permission error for \(row).\nThe expected permissions are 'SUB' or 'PUB' or 'SUB|PUB' "
                        + "or 'PUB|SUB'.")
            }
            rows.append("\(sides[0])=\(sides[1])")
        }
        return rows
    }

    private mutating func delete(_ accessKey: String) throws(AccountChangeFailure) {
        guard let place = config.accounts.firstIndex(where: { $0.accessKey == accessKey }) else {
            throw AccountChangeFailure(
                "The accesskey[\(accessKey)] corresponding to accessConfig has been deleted failed.")
        }
        config.accounts.remove(at: place)
    }

    private mutating func trust(_ addresses: String) throws(AccountChangeFailure) {
        config.globalWhiteAddresses = AddressPattern.split(addresses)
    }

    // MARK: - Text

    /// The file anew, in the form that RocketMQ reads too. What comes from outside is always in quotes: `12345678` without would
    /// be a number to it, and `no` a truth value.
    var text: String {
        var lines = ["# Written when accounts were changed by request, which keeps no comments."]
        lines += Self.list("globalWhiteRemoteAddresses", config.globalWhiteAddresses, indentation: "")
        lines.append(config.accounts.isEmpty ? "accounts: []" : "accounts:")
        for account in config.accounts { lines += Self.lines(of: account) }
        lines += [
            "dataVersion:", "- counter: \(version.counter)", "  timestamp: \(version.timestamp.milliseconds)", "",
        ]
        return lines.joined(separator: "\n")
    }

    private static func lines(of account: PlainAccessConfig) -> [String] {
        var lines = ["- accessKey: \(quoted(account.accessKey))", "  secretKey: \(quoted(account.secretKey ?? ""))"]
        func add(_ key: String, _ value: String?) { if let value { lines.append("  \(key): \(quoted(value))") } }
        add("whiteRemoteAddress", account.whiteRemoteAddress)
        lines.append("  admin: \(account.isAdministrator)")
        add("defaultTopicPerm", account.defaultTopicPermission)
        add("defaultGroupPerm", account.defaultGroupPermission)
        lines += list("topicPerms", account.topicPermissions, indentation: "  ")
        lines += list("groupPerms", account.groupPermissions, indentation: "  ")
        return lines
    }

    private static func list(_ key: String, _ values: [String], indentation: String) -> [String] {
        guard !values.isEmpty else { return ["\(indentation)\(key): []"] }
        return ["\(indentation)\(key):"] + values.map { "\(indentation)- \(quoted($0))" }
    }

    /// A text with both kinds of quotes, or a line's end, comes out as what ``checked(_:)`` refuses.
    private static func quoted(_ text: String) -> String {
        text.contains("'") ? "\"\(text)\"" : "'\(text)'"
    }
}
