import Base
import Bytes

/// What keeps the broker's thread from waiting for the disk: writes on a worker thread while the kernel holds writers up, and
/// room on the disk that is there before it is needed.
extension CommitLog {
    /// Bytes that may wait for the disk before producers should be held up: half of the tail, so that what one turn still
    /// brings finds a place.
    private var behindMaximum: Int { tail.chunkSize * tail.chunkCount / 2 }

    /// True while so much lies behind `showable`, which the tail has to keep for the views, that nothing more should be taken.
    @inline(__always)
    func isBehind(_ showable: PhysicalOffset) -> Bool { end.bytes(since: showable) > behindMaximum }

    /// Writes the oldest chunk that has something new on a worker thread; one at a time, so that ``written`` never jumps over a
    /// hole. The end of the next turn goes on.
    func writeBehind() {
        guard let chunk = tail.chunks.first(where: { $0.writtenCount < $0.buffer.count }) else { return }
        let segment = segment(holding: chunk.start)
        let range = chunk.writtenCount..<chunk.buffer.count
        let position = chunk.start.bytes(since: segment.start) + range.lowerBound
        // A blank record at the end of a segment has 8 bytes here and the rest of the segment in the log.
        let reached = chunk.isClosed ? segment.end : chunk.end
        isWritingBehind = true
        chunk.isLent = true
        chunk.buffer.withUnsafeBytes { bytes in
            // SAFETY: the bytes leave the closure. They stay in place, for a chunk has all its memory from the start, and
            // unchanged, for only what lies behind them is appended to and a chunk that is lent is not reused.
            segment.file.writeInBackground(
                UnsafeRawBufferPointer(rebasing: bytes[range]), of: chunk.buffer, at: position
            ) { error in
                self.isWritingBehind = false
                chunk.isLent = false
                if let error { return self.failInBackground(error) }
                guard self.failure == nil else { return }
                // Somebody may have had to write the same on his own thread meanwhile.
                chunk.writtenCount = max(chunk.writtenCount, range.upperBound)
                self.written = max(self.written, reached)
            }
        }
    }

    // MARK: - Room

    /// Name of the file that becomes the next segment.
    private var sparePath: String { directory + "/next" }

    /// Reserves room, and makes the next segment's file, on a worker thread when the end comes near. What is not there in time,
    /// or fails, is done by whoever needs it.
    func makeRoomAhead() {
        guard !isMakingRoom, let segment = segments.last else { return }
        let used = end.bytes(since: segment.start)
        let ahead = min(Self.reservationStep, segment.size) / 2
        if segment.reservedSize < segment.size {
            guard segment.reservedSize - used < ahead else { return }
            let size = min(segment.reservedSize + Self.reservationStep, segment.size)
            isMakingRoom = true
            segment.file.allocateInBackground(size: size) { error in
                self.isMakingRoom = false
                if error == nil { segment.reservedSize = max(segment.reservedSize, size) }
            }
        } else if segment.size - used < ahead, spare == nil {
            isMakingRoom = true
            let reserved = min(Self.reservationStep, segmentSize)
            disk.makeFileInBackground(sparePath, size: segmentSize, reserved: reserved) { made in
                self.isMakingRoom = false
                if case .success(let file) = made { self.spare = file }
            }
        }
    }

    /// The spare file as the segment at `start`, or nil when there is none.
    func takeSpare(_ path: String, start: PhysicalOffset) throws(StorageError) -> Segment? {
        guard let spare, !disk.exists(path) else { return nil }
        self.spare = nil
        spare.close()
        do {
            try disk.rename(sparePath, to: path)
            let file = try disk.open(path, .existing)
            let reserved = min(Self.reservationStep, segmentSize)
            return Segment(start: start, size: segmentSize, file: file, reservedSize: reserved)
        } catch {
            throw StorageError(error)
        }
    }
}
