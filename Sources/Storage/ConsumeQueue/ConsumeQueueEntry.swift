import Base
import Bytes

/// Where one message of a queue lies in the commit log. On disk it has 20 bytes, big-endian, RocketMQ's to the byte
/// (reference §2.1):
///
///     offset  size  field
///          0     8  physical offset of the record
///          8     4  size of the record in bytes; 0 in the part of a file that was never written
///         12     8  Java hash of the tag; in SCHEDULE_TOPIC_XXXX the time of delivery
public struct ConsumeQueueEntry: Equatable, Sendable {
    public var physicalOffset: PhysicalOffset
    public var size: Int32
    public var tagsCode: Int64

    /// Bytes of an entry on disk.
    public static let encodedSize = 20

    @inlinable
    public init(physicalOffset: PhysicalOffset, size: Int32, tagsCode: Int64) {
        self.physicalOffset = physicalOffset
        self.size = size
        self.tagsCode = tagsCode
    }

    /// Stands for the offsets before the first message of a queue whose first message does not begin a file; RocketMQ
    /// fills them with this value (`fillPreBlank`).
    public static let fill = ConsumeQueueEntry(physicalOffset: .zero, size: .max, tagsCode: 0)

    /// What a place that was never written reads as.
    public static let blank = ConsumeQueueEntry(physicalOffset: .zero, size: 0, tagsCode: 0)

    /// Stands for a message whose record was damaged and has been set aside. No record is as long, so a fetch passes it over as
    /// it does one whose segment went.
    static func setAside(at offset: PhysicalOffset) -> ConsumeQueueEntry {
        ConsumeQueueEntry(physicalOffset: offset, size: .max, tagsCode: -1)
    }

    /// Whether the entry stands for a record that was set aside: there is nothing to serve.
    @inlinable var isSetAside: Bool { size == .max && tagsCode == -1 }

    /// False for what no record's entry looks like: blank, filled, or set aside.
    @inlinable var hasRecord: Bool { size > 0 && size < .max }

    /// Whether the tags code can be the hash of a tag, which has 32 bits and is widened with its sign. That of a delayed message is a
    /// time.
    @inlinable var hasTagsCode: Bool { Int64(Int32(truncatingIfNeeded: tagsCode)) == tagsCode }

    /// True for a place that was never written, or whose write was lost.
    @inlinable public var isBlank: Bool { size <= 0 }

    /// Reads the 20 bytes at `position`, which must lie in the span.
    @inlinable
    init(_ span: RawSpan, at position: Int) {
        physicalOffset = PhysicalOffset(span.bigEndian(at: position))
        size = span.bigEndian(at: position + 8)
        tagsCode = span.bigEndian(at: position + 12)
    }

    /// Writes the 20 bytes to `memory`, which needs no alignment.
    @inlinable
    func store(to memory: UnsafeMutableRawPointer) {
        memory.storeBytes(of: physicalOffset.rawValue.bigEndian, as: Int64.self)
        memory.storeBytes(of: size.bigEndian, toByteOffset: 8, as: Int32.self)
        memory.storeBytes(of: tagsCode.bigEndian, toByteOffset: 12, as: Int64.self)
    }
}
