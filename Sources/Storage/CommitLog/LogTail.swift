import Base
import Bytes

/// The newest bytes of the log in memory: where records are laid out before they are written, and where consumers that keep
/// up read them without a system call.
///
/// A few chunks of fixed size. Each holds one contiguous range of the log; a record never spans chunks. The oldest chunk is
/// reused once all of it has been written to the segment, so memory is bounded by `chunkCount × chunkSize`.
struct LogTail {
    final class Chunk {
        @exclusivity(unchecked) var start: PhysicalOffset
        let buffer: ByteBuffer
        /// Bytes from `start` that the segment file has.
        @exclusivity(unchecked) var writtenCount = 0
        var end: PhysicalOffset { start.advanced(by: buffer.count) }

        init(start: PhysicalOffset, capacity: Int) {
            self.start = start
            buffer = ByteBuffer(capacity: capacity)
        }
    }

    let chunkSize: Int
    let chunkCount: Int
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

    /// Makes room for a record of `size` bytes at `offset` and returns the chunk to append it to; nil when every chunk holds
    /// bytes that are not written yet.
    mutating func chunk(for size: Int, at offset: PhysicalOffset) -> Chunk? {
        let current = current
        if current.end == offset, current.buffer.count + size <= chunkSize { return current }
        if chunks.count < chunkCount {
            let fresh = Chunk(start: offset, capacity: chunkSize)
            chunks.append(fresh)
            return fresh
        }
        guard chunks[0].writtenCount == chunks[0].buffer.count else { return nil }
        let reused = chunks.removeFirst()
        reused.start = offset
        reused.buffer.removeAll()
        reused.writtenCount = 0
        chunks.append(reused)
        return reused
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
