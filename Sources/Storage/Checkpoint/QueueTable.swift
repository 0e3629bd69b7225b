import Base
import Bytes
import Model

/// How far each consume queue reached at an offset of the log: the file `queues/<log offset in 20 digits>`.
///
///     offset  size  field
///          0     8  "APUSQUE1"
///          8     8  offset of the log: the entries of all records before it are counted in
///         16     4  CRC-32 of everything behind these 20 bytes
///         20     …  topics: 2 bytes of length, the name, 4 bytes with the number of queues, for each queue 8 bytes: its maximum
///                   offset, −1 when it has never been touched
///
/// Written with each checkpoint. A queue's own files say how far it reaches only by which of their entries are not blank; a
/// file that lost a piece would make it shorter without a word, and offsets would be given twice. With the table, what
/// is missing in the files reads as damaged entries, and those are made anew from the log.
struct QueueTable {
    static let folder = "queues"
    static let headerSize = 20
    private static let magic: UInt64 = 0x4150_5553_5155_4531  // "APUSQUE1"

    /// By topic, then by number.
    private(set) var maxima: [String: [Int64]] = [:]

    static func path(root: String, _ offset: PhysicalOffset) -> String {
        "\(root)/\(folder)/\(Segment.name(start: offset))"
    }

    /// Where the queue ended; nil when it was not there.
    func maximum(_ topic: String, _ queueID: QueueID) -> QueueOffset? {
        guard let queues = maxima[topic], queues.indices.contains(Int(queueID.rawValue)) else { return nil }
        let maximum = queues[Int(queueID.rawValue)]
        return maximum < 0 ? nil : QueueOffset(maximum)
    }

    /// Forgets a topic that has been removed.
    mutating func remove(_ topic: String) { maxima[topic] = nil }

    /// Takes in how far the queues of a topic reach now; those that are not loaded reach as far as before.
    mutating func update(_ topic: StoredTopic) {
        guard topic.queues.contains(where: { $0 != nil }) else { return }
        Self.fill(&maxima[topic.name, default: []], topic)
    }

    private static func fill(_ queues: inout [Int64], _ topic: StoredTopic) {
        while queues.count < topic.queues.count { queues.append(-1) }
        for (number, queue) in topic.queues.enumerated() {
            if let queue { queues[number] = queue.maximumOffset.rawValue }
        }
    }

    func encode(at offset: PhysicalOffset) -> ByteBuffer {
        let buffer = ByteBuffer(capacity: 4096)
        buffer.append(bigEndian: Self.magic)
        buffer.append(bigEndian: offset.rawValue)
        buffer.append(bigEndian: UInt32(0))
        for (topic, queues) in maxima {
            let name = Array(topic.utf8)
            buffer.append(bigEndian: UInt16(truncatingIfNeeded: name.count))
            buffer.append(name.span.bytes)
            buffer.append(bigEndian: UInt32(truncatingIfNeeded: queues.count))
            for maximum in queues { buffer.append(bigEndian: maximum) }
        }
        buffer.patch(bigEndian: crc32(buffer.bytes.extracting(Self.headerSize..<buffer.count)), at: 16)
        return buffer
    }

    init() {}

    /// - Throws: ``StorageError/corrupt(file:position:reason:)`` when the bytes are no whole table of `offset`.
    init(_ bytes: RawSpan, path: String, at offset: PhysicalOffset) throws(StorageError) {
        func corrupt(_ position: Int, _ reason: String) -> StorageError {
            .corrupt(file: path, position: position, reason: reason)
        }
        guard bytes.byteCount >= Self.headerSize, bytes.bigEndian(at: 0, as: UInt64.self) == Self.magic else {
            throw corrupt(0, "not a table of queues")
        }
        guard bytes.bigEndian(at: 8, as: Int64.self) == offset.rawValue else {
            throw corrupt(8, "a table of another offset")
        }
        let end = bytes.byteCount
        guard bytes.bigEndian(at: 16, as: UInt32.self) == crc32(bytes.extracting(Self.headerSize..<end)) else {
            throw corrupt(16, "the checksum does not match")
        }
        var position = Self.headerSize
        while position < end {
            guard end - position >= 2 else { throw corrupt(position, "a length is cut short") }
            let length = Int(bytes.bigEndian(at: position, as: UInt16.self))
            guard length <= end - position - 6 else { throw corrupt(position, "a name is cut short") }
            let name = bytes.extracting(position + 2..<position + 2 + length).string()
            position += 2 + length
            let count = Int(bytes.bigEndian(at: position, as: UInt32.self))
            position += 4
            guard count <= Limits.queuesPerTopicMaximum, count * 8 <= end - position else {
                throw corrupt(position, "queues are cut short")
            }
            let queues = (0..<count).map { bytes.bigEndian(at: position + $0 * 8, as: Int64.self) }
            // Files are made for what a queue lacks, so it is not believed to hold more than the log had room for.
            guard queues.allSatisfy({ $0 >= -1 && $0 <= offset.rawValue / Int64(MessageRecord.sizeMinimum) }) else {
                throw corrupt(position, "a queue reaches further than the log")
            }
            maxima[name] = queues
            position += count * 8
        }
    }
}
