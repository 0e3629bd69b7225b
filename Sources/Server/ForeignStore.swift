import Base
import BrokerCore
import Bytes
import Model
import RemotingProtocol

/// The settings files of RocketMQ beside a store that it wrote: topics, groups, consumer offsets and how far delayed messages
/// were delivered, in `config/*.json`. They are read once, at the first start on such a store, and become records of the log.
///
/// The files have no checksum. Rather than start with less than was there, a start is refused for what RocketMQ never writes: an
/// empty file, a table that is missing or spelled wrong, an entry under another name than its own, numbers out of range.
enum ForeignStore {
    static func read(root: String, disk: any Disk) throws(ServerError) -> ForeignState {
        var state = ForeignState()
        if let file = try file("topics", "topicConfigTable", root, disk) {
            state.topics = try file.entries(named: "topicName", with: ["perm", "readQueueNums", "writeQueueNums"])
            let counts = 0...Int32(Limits.queuesPerTopicMaximum)
            for topic in state.topics
            where !counts.contains(topic.readQueueCount) || !counts.contains(topic.writeQueueCount) {
                throw file.wrong("topic \(topic.name) has \(topic.readQueueCount) and \(topic.writeQueueCount) queues")
            }
        }
        if let file = try file("subscriptionGroup", "subscriptionGroupTable", root, disk) {
            state.groups = try file.entries(
                named: "groupName",
                with: ["consumeEnable", "consumeBroadcastEnable", "retryQueueNums", "retryMaxTimes", "brokerId"])
            let counts = 0...Int32(Limits.queuesPerTopicMaximum)
            for group in state.groups where !counts.contains(group.retryQueueCount) {
                throw file.wrong("group \(group.name) has \(group.retryQueueCount) queues for retries")
            }
        }
        if let file = try file("consumerOffset", "offsetTable", root, disk) { try readOffsets(file, into: &state) }
        if let file = try file("delayOffset", "offsetTable", root, disk) {
            let delays: DelayOffsetSerializeWrapper = try file.body()
            guard delays.offsets.count == file.table.count else { throw file.wrong("a level stands there twice") }
            for (level, offset) in delays.offsets where offset >= 0 {
                guard level > 0 else { throw file.wrong("there is no delay level \(level)") }
                state.delayOffsets[level] = QueueOffset(offset)
            }
        }
        return state
    }

    private static func readOffsets(_ file: SettingsFile, into state: inout ForeignState) throws(ServerError) {
        let table: ConsumerOffsetSerializeWrapper = try file.body()
        let count = table.offsets.values.reduce(0) { $0 + $1.count }
        guard table.offsets.count == file.table.count,
            count == file.table.reduce(0, { $0 + ($1.value.members?.count ?? 0) })
        else { throw file.wrong("a group or a queue stands there twice") }
        for (key, queues) in table.offsets {
            guard let separator = key.firstIndex(of: "@") else { throw file.wrong("'\(key)' is no topic@group") }
            for (queueID, offset) in queues where offset >= 0 {
                guard (0..<Int32(Limits.queuesPerTopicMaximum)).contains(queueID) else {
                    throw file.wrong("\(key) has a queue \(queueID)")
                }
                state.offsets.append(
                    ForeignState.Offset(
                        topic: String(key[..<separator]), group: String(key[key.index(after: separator)...]),
                        queueID: QueueID(queueID), offset: QueueOffset(offset)))
            }
        }
    }

    /// The content of `config/<name>.json`, or of the backup beside it where that one is empty or not there; nil when there is
    /// neither.
    private static func file(
        _ name: String, _ table: String, _ root: String, _ disk: any Disk
    ) throws(ServerError) -> SettingsFile? {
        var empty: String?
        for suffix in [".json", ".json.bak"] {
            let path = "\(root)/config/\(name)\(suffix)"
            guard disk.exists(path) else { continue }
            let bytes = try content(path, disk)
            // A crash of RocketMQ may leave an empty file, beside which lies the one before.
            guard !bytes.isEmpty else {
                empty = empty ?? path
                continue
            }
            return try SettingsFile(path, bytes, table: table)
        }
        if let empty { throw ServerError("\(empty): the file is empty; \(SettingsFile.remedy)") }
        return nil
    }

    private static func content(_ path: String, _ disk: any Disk) throws(ServerError) -> [UInt8] {
        do throws(DiskError) {
            let file = try disk.open(path, .existing)
            var bytes = [UInt8](repeating: 0, count: try file.size())
            var failure: DiskError?
            let count = bytes.withUnsafeMutableBytes { buffer in
                do throws(DiskError) {
                    return try file.read(into: buffer, at: 0)
                } catch {
                    failure = error
                    return 0
                }
            }
            if let failure { throw failure }
            return Array(bytes[..<count])
        } catch {
            throw ServerError("\(path) cannot be read: \(error)")
        }
    }
}

/// One of RocketMQ's settings files: a document with one table in it.
private struct SettingsFile {
    static let remedy = "mend or remove the file, then start again"
    let path: String
    private let json: JSONValue
    let table: [JSONValue.Member]

    init(_ path: String, _ bytes: [UInt8], table name: String) throws(ServerError) {
        self.path = path
        // The parser takes them for letters of a name, and a name may then hold what were entries.
        if let position = bytes.firstIndex(where: { $0 < 0x20 && ![0x09, 0x0A, 0x0D].contains($0) }) {
            throw ServerError("\(path): byte \(position) is no text; \(Self.remedy)")
        }
        do throws(JSONError) {
            json = try JSONValue(parsing: bytes.span.bytes)
        } catch {
            throw ServerError("\(path): \(BodyError.syntax(error)); \(Self.remedy)")
        }
        guard let members = json[name]?.members else {
            throw ServerError("\(path): \(name) is missing, or no table; \(Self.remedy)")
        }
        table = members
    }

    func wrong(_ reason: String) -> ServerError { ServerError("\(path): \(reason); \(Self.remedy)") }

    func body<Body: CommandBody>() throws(ServerError) -> Body { try body(of: json) }

    private func body<Body: CommandBody>(of value: JSONValue) throws(ServerError) -> Body {
        do throws(BodyError) { return try Body(json: value) } catch { throw wrong("\(error)") }
    }

    /// The table's entries, each of which must have these fields, and the key that it stands under as its name.
    func entries<Entry: CommandBody>(named name: String, with fields: [String]) throws(ServerError) -> [Entry] {
        var entries: [Entry] = []
        var names: Set<String> = []
        for member in table {
            guard case .string(let key) = member.key, names.insert(key).inserted else {
                throw wrong("an entry has no name, or another one's")
            }
            guard member.value[name]?.stringValue == key else {
                throw wrong("the entry '\(key)' says that it is another one, or nothing")
            }
            for field in fields where member.value[field] == nil {
                throw wrong("'\(key)' lacks \(field)")
            }
            entries.append(try body(of: member.value))
        }
        return entries
    }
}
