import Base
import Bytes
import Model

/// Walks the records of the log's segments in order, straight from the files.
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

    private let segments: [Segment]
    /// Bytes of the log that have been read.
    let window = ByteBuffer(capacity: 0)
    /// Where the window's first byte lies in the log.
    private var windowStart = PhysicalOffset.zero
    /// Where the walk is: behind the record that ``next()`` found last.
    private(set) var position: PhysicalOffset

    init(segments: [Segment], from start: PhysicalOffset = .zero) {
        self.segments = segments
        position = start
    }

    /// Where the next whole record lies in ``window``, until the next call; nil where the walk ends.
    mutating func next() throws(StorageError) -> Range<Int>? {
        while let segment = segments.first(where: { position >= $0.start && position < $0.end }) {
            switch try find(at: position, in: segment) {
            case .record(let size):
                let begin = position.bytes(since: windowStart)
                position = position.advanced(by: size)
                return begin..<begin + size
            case .blank: position = segment.end
            case .nothing, .damaged: return nil
            }
        }
        return nil
    }

    /// What stands where the walk ended.
    mutating func findingAtEnd() throws(StorageError) -> Finding {
        guard let segment = segments.first(where: { position >= $0.start && position < $0.end }) else {
            return .nothing
        }
        return try find(at: position, in: segment)
    }

    /// What stands at `position`, which lies in `segment`.
    mutating func find(at position: PhysicalOffset, in segment: Segment) throws(StorageError) -> Finding {
        let rest = segment.end.bytes(since: position)
        guard rest >= CommitLog.blankSize else { return .damaged(reason: "less than a blank record is left") }
        guard try fill(from: position, count: CommitLog.blankSize, in: segment) else { return .nothing }
        var begin = position.bytes(since: windowStart)
        let size = Int(window.bytes.bigEndian(at: begin, as: Int32.self))
        let magic = window.bytes.bigEndian(at: begin + 4, as: UInt32.self)
        if size == 0, magic == 0 { return .nothing }
        if magic == MessageRecord.blankMagic {
            return size == rest ? .blank : .damaged(reason: "a blank record of \(size) bytes where \(rest) are left")
        }
        guard magic == MessageRecord.magicV1 || magic == MessageRecord.magicV2 else {
            return .damaged(reason: "the magic number 0x\(String(magic, radix: 16)) is no record's")
        }
        guard size >= MessageRecord.sizeMinimum, size <= rest else {
            return .damaged(reason: "a record of \(size) bytes where \(rest) are left")
        }
        guard try fill(from: position, count: size, in: segment) else {
            return .damaged(reason: "the file is cut short")
        }
        begin = position.bytes(since: windowStart)
        let span = window.bytes.extracting(begin..<begin + size)
        guard let record = try? MessageRecord(span) else { return .damaged(reason: "the lengths do not add up") }
        guard record.physicalOffset == position else {
            return .damaged(reason: "the record says that it lies at \(record.physicalOffset)")
        }
        guard RecordCheck.isIntact(record, in: span) else { return .damaged(reason: "the checksum does not match") }
        return .record(size: size)
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
