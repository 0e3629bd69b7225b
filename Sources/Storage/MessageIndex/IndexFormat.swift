import Base
import Bytes

/// Where things are in an index file, RocketMQ's to the byte (reference §2.1). All integers are big-endian.
///
///     offset           size  field
///          0              8  store timestamp of the first entry (ms)
///          8              8  store timestamp of the last entry (ms)
///         16              8  physical offset of the first entry
///         24              8  physical offset of the last entry
///         32              4  slots in use
///         36              4  number of the next entry, from 1
///         40    4 × slots    per slot the number of its newest entry, 0 when it has none
///          …  20 × entries   the entries; entry 0 is never used
///
/// An entry goes to slot `hash % slots`, and leads to the older entries of its slot:
///
///     offset  size  field
///          0     4  hash of `topic#key`, never negative
///          4     8  physical offset of the record
///         12     4  seconds from the file's first timestamp to the record's store timestamp, rounded down
///         16     4  number of the slot's entry before this one, 0 when it was the first
///
/// Neither count of slots nor room for entries is in the file: they come from the configuration and the file's length.
struct IndexLayout: Equatable {
    var slotCount: Int
    var entryCount: Int

    static let headerSize = 40
    static let slotSize = 4
    static let entrySize = 20

    /// End of the slots and start of the entries.
    var slotsEnd: Int { Self.headerSize + slotCount * Self.slotSize }
    var fileSize: Int { slotsEnd + entryCount * Self.entrySize }
    func position(ofSlot slot: Int) -> Int { Self.headerSize + slot * Self.slotSize }
    func position(ofEntry number: Int) -> Int { slotsEnd + number * Self.entrySize }
    func slot(ofHash hash: Int32) -> Int { Int(UInt32(bitPattern: hash) % UInt32(truncatingIfNeeded: slotCount)) }
}

struct IndexHeader: Equatable {
    var beginTimestamp: Int64 = 0
    var endTimestamp: Int64 = 0
    var beginOffset: Int64 = 0
    var endOffset: Int64 = 0
    var slotsInUse: Int32 = 0
    /// One more than the number of entries.
    var nextEntry: Int32 = 1

    init() {}

    /// - Precondition: `span` has 40 bytes.
    init(_ span: RawSpan) {
        beginTimestamp = span.bigEndian(at: 0)
        endTimestamp = span.bigEndian(at: 8)
        beginOffset = span.bigEndian(at: 16)
        endOffset = span.bigEndian(at: 24)
        slotsInUse = span.bigEndian(at: 32)
        // RocketMQ leaves 0 in a file that it has prepared and not used.
        nextEntry = max(span.bigEndian(at: 36), 1)
    }

    func store(to memory: UnsafeMutableRawPointer) {
        memory.storeBytes(of: beginTimestamp.bigEndian, as: Int64.self)
        memory.storeBytes(of: endTimestamp.bigEndian, toByteOffset: 8, as: Int64.self)
        memory.storeBytes(of: beginOffset.bigEndian, toByteOffset: 16, as: Int64.self)
        memory.storeBytes(of: endOffset.bigEndian, toByteOffset: 24, as: Int64.self)
        memory.storeBytes(of: slotsInUse.bigEndian, toByteOffset: 32, as: Int32.self)
        memory.storeBytes(of: nextEntry.bigEndian, toByteOffset: 36, as: Int32.self)
    }

    var isEmpty: Bool { nextEntry <= 1 }

    /// Whether the file can hold messages stored from `begin` to `end`, as RocketMQ asks (`isTimeMatched`).
    func overlaps(from begin: Int64, to end: Int64) -> Bool {
        (begin < beginTimestamp && end > endTimestamp)
            || (begin >= beginTimestamp && begin <= endTimestamp)
            || (end >= beginTimestamp && end <= endTimestamp)
    }
}

struct IndexEntry: Equatable {
    var hash: Int32
    var physicalOffset: Int64
    var seconds: Int32
    var previous: Int32

    init(hash: Int32, physicalOffset: Int64, seconds: Int32, previous: Int32) {
        self.hash = hash
        self.physicalOffset = physicalOffset
        self.seconds = seconds
        self.previous = previous
    }

    /// Reads the 20 bytes at `position`, which must lie in the span.
    init(_ span: RawSpan, at position: Int) {
        hash = span.bigEndian(at: position)
        physicalOffset = span.bigEndian(at: position + 4)
        seconds = span.bigEndian(at: position + 12)
        previous = span.bigEndian(at: position + 16)
    }

    func store(to memory: UnsafeMutableRawPointer) {
        memory.storeBytes(of: hash.bigEndian, as: Int32.self)
        memory.storeBytes(of: physicalOffset.bigEndian, toByteOffset: 4, as: Int64.self)
        memory.storeBytes(of: seconds.bigEndian, toByteOffset: 12, as: Int32.self)
        memory.storeBytes(of: previous.bigEndian, toByteOffset: 16, as: Int32.self)
    }

    /// Whether this can be entry `number` of a file; false for a place that was never written.
    func isPlausible(as number: Int) -> Bool {
        let isBlank = hash == 0 && physicalOffset == 0 && seconds == 0 && previous == 0
        return !isBlank && hash >= 0 && physicalOffset >= 0 && seconds >= 0 && previous >= 0 && Int(previous) < number
    }
}
