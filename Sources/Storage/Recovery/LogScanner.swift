import Base
import Bytes
import Model

/// Tells what stands at a place of the log, straight from the files.
struct LogScanner {
    /// Bytes read at once; a record that does not fit is read by itself.
    static let readSize = 4 * 1024 * 1024

    /// What stands at a place of the log.
    enum Finding: Equatable {
        /// A whole record with the right checksum.
        case record(size: Int)
        /// A blank record: the log goes on in the next segment.
        case blank
        /// Nothing was written here: zeros, or the end of the last file.
        case nothing
        /// Bytes that are no whole record.
        case damaged(reason: String)
    }

    /// Bytes of the log that have been read.
    let window = ByteBuffer(capacity: 0)
    /// Where the window's first byte lies in the log.
    private var windowStart = PhysicalOffset.zero
    /// What stands at `position`, which lies in `segment`.
    mutating func find(at position: PhysicalOffset, in segment: Segment) throws(StorageError) -> Finding {
        let rest = segment.end.bytes(since: position)
        var count = min(CommitLog.blankSize, rest)
        while true {
            let isThere = try fill(from: position, count: count, in: segment)
            let window = self.window
            let begin = position.bytes(since: windowStart)
            let span = window.bytes.extracting(begin..<window.count)
            switch Self.look(at: span, rest: rest, isAll: !isThere) {
            case .record(let size):
                do throws(RecordDamage) {
                    _ = try Self.checkedRecord(at: position, in: span.extracting(0..<size))
                } catch {
                    return .damaged(reason: error.reason)
                }
                return .record(size: size)
            case .blank: return .blank
            case .nothing: return .nothing
            case .damaged(let reason): return .damaged(reason: reason)
            case .needs(let more): count = more
            }
        }
    }

    /// What the first eight bytes of a place say.
    enum Look {
        /// A record, all bytes of which are there.
        case record(size: Int)
        case blank
        case nothing
        case damaged(reason: String)
        /// What stands here can be told when this many bytes from here on have been read.
        case needs(Int)
    }

    /// Looks at what begins with `span`; whether a record there is whole is for ``checkedRecord(at:in:)`` to tell.
    /// - Parameter rest: bytes of the segment from there on.
    /// - Parameter isAll: the file has no more bytes than `span`.
    @inline(__always)
    static func look(at span: RawSpan, rest: Int, isAll: Bool) -> Look {
        guard rest >= CommitLog.blankSize else { return .damaged(reason: "less than a blank record is left") }
        guard span.byteCount >= CommitLog.blankSize else { return isAll ? .nothing : .needs(CommitLog.blankSize) }
        let size = Int(span.bigEndian(at: 0, as: Int32.self))
        let magic = span.bigEndian(at: 4, as: UInt32.self)
        guard magic == MessageRecord.magicV1 || magic == MessageRecord.magicV2 else {
            return lookWithoutRecord(size: size, magic: magic, rest: rest)
        }
        guard size >= MessageRecord.sizeMinimum, size <= rest else {
            return .damaged(reason: "a record of \(size) bytes where \(rest) are left")
        }
        guard span.byteCount >= size else { return isAll ? .damaged(reason: "the file is cut short") : .needs(size) }
        return .record(size: size)
    }

    /// The record with which `span` begins, compared with its checksum.
    @inline(__always)
    static func checkedRecord(at position: PhysicalOffset, in span: RawSpan) throws(RecordDamage) -> MessageRecord {
        guard let record = try? MessageRecord(span) else { throw RecordDamage("the lengths do not add up") }
        guard record.physicalOffset == position else {
            throw RecordDamage("the record says that it lies at \(record.physicalOffset)")
        }
        guard RecordCheck.isIntact(record, in: span.extracting(0..<record.size)) else {
            throw RecordDamage("the checksum does not match")
        }
        // RocketMQ's own checksum is over the body alone. Such an offset would be passed over, or begin a queue far away.
        guard (0...PendingID.offsetMaximum).contains(record.queueOffset.rawValue) else {
            throw RecordDamage("no queue comes to the offset \(record.queueOffset)")
        }
        return record
    }

    private static func lookWithoutRecord(size: Int, magic: UInt32, rest: Int) -> Look {
        if size == 0, magic == 0 { return .nothing }
        if magic == MessageRecord.blankMagic {
            return size == rest ? .blank : .damaged(reason: "a blank record of \(size) bytes where \(rest) are left")
        }
        return .damaged(reason: "the magic number 0x\(String(magic, radix: 16)) is no record's")
    }

    /// Where the record that ``find(at:in:)`` has just found lies in ``window``.
    func range(at position: PhysicalOffset, size: Int) -> Range<Int> {
        let begin = position.bytes(since: windowStart)
        return begin..<begin + size
    }

    /// Makes the window hold `count` bytes from `position`; false when the file ends before.
    private mutating func fill(from position: PhysicalOffset, count: Int, in segment: Segment) throws(StorageError)
        -> Bool
    {
        if position >= windowStart, position.advanced(by: count) <= windowStart.advanced(by: window.count) {
            return true
        }
        window.removeAll()
        windowStart = position
        let wanted = min(max(count, Self.readSize), segment.end.bytes(since: position))
        do {
            try window.append(from: segment.file, at: position.bytes(since: segment.start), count: wanted)
        } catch {
            throw StorageError(error)
        }
        return window.count >= count
    }
}

/// Why the bytes of a record are not what was written.
struct RecordDamage: Error {
    var reason: String
    init(_ reason: String) { self.reason = reason }
}
