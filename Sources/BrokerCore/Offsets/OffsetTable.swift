import Base
import Bytes

/// Where consumer groups stand: for each topic and group, the first message of each queue that is not consumed yet.
///
/// Asked and told with borrowed bytes; the hot path makes no String. Changes gather in ``pending`` until the broker's turn
/// ends, when they become one record of the log.
final class OffsetTable {
    /// The offsets of one group in one topic.
    final class Entry {
        let topic: String
        let group: String
        /// By queue number; -1 where none is stored.
        fileprivate(set) var offsets: [Int64] = []

        init(topic: String, group: String) {
            self.topic = topic
            self.group = group
        }
    }

    /// A change that is not in the log yet.
    struct Change {
        var entry: Entry
        var queueID: QueueID
    }

    private var entries = ByteKeyTable<Entry>()
    private let key = ByteBuffer(capacity: 256)
    private(set) var pending: [Change] = []
    /// Offsets of all entries, with those that are not stored below one that is.
    private(set) var count = 0

    /// Between topic and group in a key, as in RocketMQ's `topic@group`; neither may contain it.
    private static let separator = UInt8(ascii: "@")

    func offset(topic: RawSpan, group: RawSpan, queueID: QueueID) -> QueueOffset? {
        guard let entry = entry(topic: topic, group: group), queueID.rawValue >= 0,
            Int(queueID.rawValue) < entry.offsets.count, entry.offsets[Int(queueID.rawValue)] >= 0
        else { return nil }
        return QueueOffset(entry.offsets[Int(queueID.rawValue)])
    }

    /// Stores the offset and notes that it is to be logged. The same offset again changes nothing.
    /// - Precondition: the queue number and the offset are not negative.
    func commit(topic: RawSpan, group: RawSpan, queueID: QueueID, offset: QueueOffset) {
        let entry = entry(topic: topic, group: group) ?? makeEntry(topic: topic.string(), group: group.string())
        if set(offset, of: entry, queueID) { pending.append(Change(entry: entry, queueID: queueID)) }
    }

    /// How many more offsets there will be when this one is stored.
    func growth(topic: RawSpan, group: RawSpan, queueID: QueueID) -> Int {
        max(0, Int(queueID.rawValue) + 1 - (entry(topic: topic, group: group)?.offsets.count ?? 0))
    }

    /// Stores an offset that the log has already.
    func apply(topic: String, group: String, queueID: QueueID, offset: QueueOffset) {
        let entry = entries[Self.key(topic, group)] ?? makeEntry(topic: topic, group: group)
        _ = set(offset, of: entry, queueID)
    }

    private func set(_ offset: QueueOffset, of entry: Entry, _ queueID: QueueID) -> Bool {
        let number = Int(queueID.rawValue)
        precondition(number >= 0 && offset.rawValue >= 0, "a negative queue number or offset")
        while entry.offsets.count <= number {
            entry.offsets.append(-1)
            count += 1
        }
        guard entry.offsets[number] != offset.rawValue else { return false }
        entry.offsets[number] = offset.rawValue
        return true
    }

    /// Forgets what the changes were; they are in the log now.
    func clearPending() { pending.removeAll(keepingCapacity: true) }

    func removeGroup(_ group: String) {
        for entry in all where entry.group == group { remove(entry) }
        pending.removeAll { $0.entry.group == group }
    }

    private func remove(_ entry: Entry) {
        entries[Self.key(entry.topic, entry.group)] = nil
        count -= entry.offsets.count
    }

    func removeTopic(_ topic: String) {
        for entry in all where entry.topic == topic { remove(entry) }
        pending.removeAll { $0.entry.topic == topic }
    }

    /// Every topic and group with offsets, in the order of their names.
    var all: [Entry] { entries.values.sorted { ($0.topic, $0.group) < ($1.topic, $1.group) } }

    /// The entries of one topic, by group. Looks at every entry of the table.
    func entries(ofTopic topic: String) -> [Entry] {
        entries.values.filter { $0.topic == topic }.sorted { $0.group < $1.group }
    }

    /// The entries of one group, by topic. Looks at every entry of the table.
    func entries(ofGroup group: String) -> [Entry] {
        entries.values.filter { $0.group == group }.sorted { $0.topic < $1.topic }
    }

    func entry(topic: String, group: String) -> Entry? { entries[Self.key(topic, group)] }

    private func entry(topic: RawSpan, group: RawSpan) -> Entry? {
        let key = key
        key.removeAll()
        key.append(topic)
        key.append(Self.separator)
        key.append(group)
        return entries[key.bytes]
    }

    private func makeEntry(topic: String, group: String) -> Entry {
        let entry = Entry(topic: topic, group: group)
        entries[Self.key(topic, group)] = entry
        return entry
    }

    private static func key(_ topic: String, _ group: String) -> String { topic + "@" + group }
}
