import Base
import Bytes

/// Walks the log from a place on, from record to record by their sizes alone: which bytes belong to a batch is known then, and
/// the next batch can be read while this one's records are checked.
struct LogWalk: Sendable {
    struct Piece: Sendable {
        var start: PhysicalOffset
        var size: Int
        var end: PhysicalOffset { start.advanced(by: size) }
    }

    /// Bytes that the medium is asked for in advance.
    static let aheadSize = 16 * 1024 * 1024

    private let segments: [Piece]
    private let batchSize: Int
    /// Where the next batch begins.
    private var position: PhysicalOffset
    /// The segment that holds `position`, if one does.
    private var number = 0
    /// Bytes of that segment that the medium has been asked for.
    private var asked = 0
    private var isOver = false
    /// Batches read.
    private(set) var batches = 0

    init(segments: [Piece], from start: PhysicalOffset, batchSize: Int) {
        self.segments = segments
        self.batchSize = batchSize
        position = start
    }

    /// Reads what comes next into the batch, whose records are still to be checked.
    mutating func read(_ batch: ReplayBatch, from files: any ReadableFiles) {
        batches += 1
        batch.removeAll()
        batch.start = position
        batch.end = position
        guard !isOver else { return }
        while number < segments.count, position >= segments[number].end {
            number += 1
            asked = 0
        }
        guard number < segments.count, position >= segments[number].start else { return finish(batch, .nothing) }
        do throws(DiskError) {
            try read(batch, segments[number], from: files)
        } catch {
            isOver = true
            batch.failure = error
        }
    }

    private mutating func finish(_ batch: ReplayBatch, _ finding: LogScanner.Finding) {
        isOver = true
        batch.finding = finding
    }

    private mutating func read(
        _ batch: ReplayBatch, _ segment: Piece, from files: any ReadableFiles
    ) throws(DiskError) {
        var size = batchSize
        while true {
            askAhead(segment, size, files)
            let wanted = min(size, segment.end.bytes(since: position))
            try append(wanted, to: batch, segment, files)
            guard let needed = walk(batch, segment, isAll: batch.bytes.count < wanted) else { return }
            // The first record is larger than a batch.
            size = needed
            batch.bytes.removeAll()
        }
    }

    /// Keeps the medium busy while records are checked.
    private mutating func askAhead(_ segment: Piece, _ size: Int, _ files: any ReadableFiles) {
        let reached = position.bytes(since: segment.start)
        guard reached + size + Self.aheadSize / 2 > asked, asked < segment.size else { return }
        let start = max(asked, reached)
        files.willRead(number, at: start, count: Self.aheadSize)
        asked = start + Self.aheadSize
    }

    private func append(
        _ count: Int, to batch: ReplayBatch, _ segment: Piece, _ files: any ReadableFiles
    ) throws(DiskError) {
        var failure: DiskError?
        let place = position.bytes(since: segment.start)
        batch.bytes.appendUninitialized(count) { destination in
            do throws(DiskError) {
                return try files.read(number, into: destination, at: place)
            } catch {
                failure = error
                return 0
            }
        }
        if let failure { throw failure }
    }

    /// Goes on to behind the last record that lies wholly in the batch's bytes, which begin at `position`.
    /// - Parameter isAll: the file has no more bytes.
    /// - Returns: how many bytes it needs when not even one record does; else nil.
    private mutating func walk(_ batch: ReplayBatch, _ segment: Piece, isAll: Bool) -> Int? {
        let buffer = batch.bytes
        let bytes = buffer.bytes
        let rest = segment.end.bytes(since: position)
        var begin = 0
        var next = 0
        defer {
            batch.end = batch.start.advanced(by: begin)
            position = max(batch.end, batch.start.advanced(by: next))
        }
        while begin < rest {
            let span = bytes.extracting(begin..<bytes.byteCount)
            switch LogScanner.look(at: span, rest: rest - begin, isAll: isAll) {
            case .record(let size): begin += size
            case .blank:
                next = rest
                return nil
            case .nothing:
                finish(batch, .nothing)
                return nil
            case .damaged(let reason):
                finish(batch, .damaged(reason: reason))
                return nil
            case .needs(let count): return begin == 0 ? count : nil
            }
        }
        return nil
    }
}
