import Base
import Bytes

/// The newest bytes of the log in memory: where records are laid out before they are written, and where consumers that keep
/// up read them without a system call.
///
/// A few chunks of fixed size. Each holds one contiguous range of one segment; a record never spans chunks. The oldest chunk is
/// reused once all of it has been written to the segment and seen by the views, so memory is bounded by `chunkCount × chunkSize`.
struct LogTail {
    final class Chunk {
        @exclusivity(unchecked) var start: PhysicalOffset
        let buffer: ByteBuffer
        /// Bytes from `start` that the segment file has.
        @exclusivity(unchecked) var writtenCount = 0
        /// A worker thread reads the bytes to write them: they stay what and where they are.
        @exclusivity(unchecked) var isLent = false
        /// The segment ends here: what follows belongs to another file, and so to another chunk.
        @exclusivity(unchecked) var isClosed = false
        var end: PhysicalOffset { start.advanced(by: buffer.count) }

        init(start: PhysicalOffset, capacity: Int) {
            self.start = start
            buffer = ByteBuffer(capacity: capacity)
        }
    }

    let chunkSize: Int
    let chunkCount: Int
    /// Records of a batch are on their way: there is a chunk for them even when all are still needed.
    var isOpenEnded = false
    /// Oldest first.
    private(set) var chunks: [Chunk] = []

    /// - Parameter chunkSize: at least the largest record.
    init(chunkSize: Int, chunkCount: Int, start: PhysicalOffset) {
        self.chunkSize = chunkSize
        self.chunkCount = chunkCount
        chunks = [Chunk(start: start, capacity: chunkSize)]
    }

    /// The chunk that records are appended to.
    var current: Chunk { chunks[chunks.count - 1] }

    /// Makes room for a record of `size` bytes at `offset` and returns the chunk to append it to; nil when every chunk is
    /// still needed.
    /// - Parameter dispatched: chunks that reach beyond this offset are needed by the views, which read them from here.
    mutating func chunk(for size: Int, at offset: PhysicalOffset, dispatched: PhysicalOffset) -> Chunk? {
        let current = current
        if current.end == offset, current.buffer.count + size <= chunkSize, !current.isClosed { return current }
        if chunks.count < chunkCount {
            let fresh = Chunk(start: offset, capacity: chunkSize)
            chunks.append(fresh)
            return fresh
        }
        guard isFree(chunks[0], dispatched) else {
            guard isOpenEnded else { return nil }
            let fresh = Chunk(start: offset, capacity: chunkSize)
            chunks.append(fresh)
            return fresh
        }
        // What a batch needed beyond the usual goes again.
        while chunks.count > chunkCount, isFree(chunks[1], dispatched) { chunks.removeFirst() }
        let reused = chunks.removeFirst()
        reused.start = offset
        reused.buffer.removeAll()
        reused.writtenCount = 0
        reused.isClosed = false
        chunks.append(reused)
        return reused
    }

    private func isFree(_ chunk: Chunk, _ dispatched: PhysicalOffset) -> Bool {
        chunk.writtenCount == chunk.buffer.count && chunk.end <= dispatched && !chunk.isLent
    }

    /// The chunk that holds all bytes from `offset` on, `size` of them; nil when they are only on disk.
    @inline(__always)
    func chunk(holding offset: PhysicalOffset, size: Int) -> Chunk? {
        var index = chunks.count - 1
        while index >= 0 {
            let chunk = chunks[index]
            if offset >= chunk.start { return chunk.end.bytes(since: offset) >= size ? chunk : nil }
            index -= 1
        }
        return nil
    }
}
