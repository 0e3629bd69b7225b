import Base
import Bytes
import Model
import Telemetry

/// The one log of a broker: every record of every topic in the order of arrival, in segments of fixed size.
///
/// Owned by the broker's thread. An append lays the record out in memory and gives it its offset; ``writeOut()``, once per
/// turn of the loop, hands everything new to the kernel; ``flushInBackground()`` makes it durable. Three offsets follow each
/// other and never go back: `flushed` ≤ `written` ≤ `end`.
///
/// While the disk makes writers wait, a worker thread writes (`CommitLog+WriteBehind.swift`): `written` follows when it has,
/// and ``isBehind(_:)`` says when producers should be held up until then.
///
/// - Invariant: a record never spans two segments; where one does not fit, a blank record fills the segment (size of the
///   rest, magic 0xCBD43194).
/// - Invariant: behind `end` the segments hold zeros, so a scan after a crash cannot take old bytes for new ones.
/// - Invariant: after a failed write or synchronisation nothing is appended any more and the synchronisation is not repeated:
///   the kernel may have dropped the pages that it failed to write.
public final class CommitLog {
    /// Bytes that stay free at the end of each segment for the blank record: size and magic (`END_FILE_MIN_BLANK_LENGTH`).
    static let blankSize = 8
    /// Room is reserved on the disk in steps of this size, so that a full disk refuses an append instead of failing a write.
    static let reservationStep = 64 * 1024 * 1024
    /// Chunks of the tail; see ``LogTail``.
    static let tailChunkCount = 4
    static let tailChunkSizeMinimum = 4 * 1024 * 1024

    let directory: String
    let segmentSize: Int
    let disk: any Disk
    private let log: Log
    @exclusivity(unchecked) private(set) var segments: [Segment]
    @exclusivity(unchecked) var tail: LogTail

    /// Where the next record will begin.
    @exclusivity(unchecked) public private(set) var end: PhysicalOffset
    /// Everything before is in the page cache: it survives the process.
    @exclusivity(unchecked) public internal(set) var written: PhysicalOffset
    /// Everything before is on the medium: it survives a power cut.
    @exclusivity(unchecked) public private(set) var flushed: PhysicalOffset
    /// Everything before is in the views; what lies behind stays in memory for them.
    @exclusivity(unchecked) var dispatched: PhysicalOffset
    /// Why the log takes no more appends, or nil.
    @exclusivity(unchecked) public private(set) var failure: DiskError?
    /// A worker thread writes.
    @exclusivity(unchecked) var isWritingBehind = false
    /// Room is being reserved, or the next segment made, on a worker thread.
    @exclusivity(unchecked) var isMakingRoom = false
    /// Segments that follow the last one, made for a batch that did not find room after all.
    var prepared: [Segment] = []
    /// The next segment's file, made in advance under another name.
    var spare: (any DiskFile)?
    /// Called when the tail is full: writes everything and shows it to the views, so that its memory is free again.
    var drainTail: () throws(StorageError) -> Void = { () throws(StorageError) in }
    /// Called when ``flushed`` has moved, or the log has failed.
    var flushFinished: () -> Void = {}
    @exclusivity(unchecked) private var isFlushing = false
    /// A removed segment's name may come back after a power cut until the folder is synchronised.
    private(set) var isRemoving = false

    /// Where the oldest record begins.
    public var start: PhysicalOffset { segments.first?.start ?? end }

    /// Takes over segments whose content is known up to `end`.
    /// - Parameter flushed: up to where they are known to be on the medium.
    init(
        directory: String, configuration: StoreConfiguration, segments: [Segment], end: PhysicalOffset,
        flushed: PhysicalOffset, disk: any Disk, log: Log
    ) {
        self.directory = directory
        segmentSize = configuration.segmentSize
        self.disk = disk
        self.log = log
        self.segments = segments
        self.end = end
        written = end
        dispatched = end
        self.flushed = flushed
        // A record is a body and at most 64 KiB of everything else, twice for the checksum's separator and rounding.
        let recordMaximum = configuration.messageSizeMaximum + 128 * 1024
        let chunkSize = configuration.tailChunkSize ?? max(recordMaximum, Self.tailChunkSizeMinimum)
        tail = LogTail(chunkSize: chunkSize, chunkCount: Self.tailChunkCount, start: end)
    }

    // MARK: - Append

    /// Lays out the record of `draft` at the end of the log.
    ///
    /// On return it is in memory: ``writeOut()`` makes it survive the process.
    /// - Returns: where the record begins.
    /// - Throws: ``StorageError/diskFull``, ``StorageError/recordTooLarge(size:maximum:)``, ``StorageError/stopped(_:)``.
    @inline(__always)
    func append(
        _ draft: borrowing MessageDraft, queueOffset: QueueOffset, storeTimestamp: Timestamp
    ) throws(StorageError) -> PhysicalOffset {
        let size = RecordWriter.size(of: draft)
        let chunk = try room(for: size)
        let offset = end
        RecordWriter.append(
            draft, size: size, queueOffset: queueOffset, physicalOffset: offset, storeTimestamp: storeTimestamp,
            to: chunk.buffer)
        end = offset.advanced(by: size)
        return offset
    }

    /// Makes room for `size` bytes at ``end``, which moves to the next segment when they do not fit this one.
    @inline(__always)
    private func room(for size: Int) throws(StorageError) -> LogTail.Chunk {
        if let segment = segments.last, segment.end.bytes(since: end) >= size + Self.blankSize,
            segment.reservedSize >= end.bytes(since: segment.start) + size + Self.blankSize, failure == nil,
            let chunk = tail.chunk(for: size, at: end, dispatched: dispatched)
        {
            return chunk
        }
        return try makeRoom(for: size)
    }

    @inline(never)
    private func makeRoom(for size: Int) throws(StorageError) -> LogTail.Chunk {
        if let failure { throw .stopped(failure) }
        try checkSize(size)
        if let segment = segments.last, segment.end.bytes(since: end) < size + Self.blankSize {
            // The next segment first: when there is no room for it, this one is not closed either.
            let next = try nextSegment(start: segment.end)
            try appendBlank(to: segment)
            segments.append(next)
            prepared.removeAll { $0 === next }
        } else if segments.isEmpty {
            let next = try nextSegment(start: end)
            segments.append(next)
            prepared.removeAll { $0 === next }
            // Once in the life of a store: if a power cut took the first segment and left the second, nobody would miss it.
            do { try disk.synchronizeDirectory(directory) } catch { throw fail(error) }
        }
        try reserve(end.bytes(since: segments[segments.count - 1].start) + size + Self.blankSize)
        return try tailChunk(for: size)
    }

    func checkSize(_ size: Int) throws(StorageError) {
        let maximum = min(tail.chunkSize, segmentSize - Self.blankSize)
        guard size <= maximum else { throw .recordTooLarge(size: size, maximum: maximum) }
    }

    private func nextSegment(start: PhysicalOffset) throws(StorageError) -> Segment {
        if let segment = prepared.first(where: { $0.start == start }) { return segment }
        return try makeSegment(start: start)
    }

    private func tailChunk(for size: Int) throws(StorageError) -> LogTail.Chunk {
        if let chunk = tail.chunk(for: size, at: end, dispatched: dispatched) { return chunk }
        try drainTail()
        // The views cannot take more while the disk is full.
        guard let chunk = tail.chunk(for: size, at: end, dispatched: dispatched) else { throw .diskFull }
        return chunk
    }

    private func appendBlank(to segment: Segment) throws(StorageError) {
        let rest = segment.end.bytes(since: end)
        // A power cut took the next segment's file, and left this one whole.
        guard rest > 0 else { return }
        let chunk = try tailChunk(for: Self.blankSize)
        chunk.buffer.append(bigEndian: Int32(truncatingIfNeeded: rest))
        chunk.buffer.append(bigEndian: MessageRecord.blankMagic)
        chunk.isClosed = true
        end = segment.end
    }

    func makeSegment(start: PhysicalOffset) throws(StorageError) -> Segment {
        let path = directory + "/" + Segment.name(start: start)
        if let segment = try takeSpare(path, start: start) { return segment }
        do {
            let isPreallocated = disk.exists(path)
            let file = try disk.open(path, .createIfMissing)
            // A file that is there already was made in advance, by RocketMQ or before a crash: nothing in it is a record.
            if isPreallocated { try file.truncate(to: 0) }
            try file.truncate(to: segmentSize)
            let segment = Segment(start: start, size: segmentSize, file: file, reservedSize: 0)
            try reserve(min(Self.reservationStep, segmentSize), in: segment)
            return segment
        } catch {
            throw StorageError(error)
        }
    }

    private func reserve(_ size: Int) throws(StorageError) {
        let segment = segments[segments.count - 1]
        guard segment.reservedSize < size else { return }
        do {
            try reserve(min(size + Self.reservationStep, segment.size), in: segment)
        } catch {
            throw StorageError(error)
        }
    }

    func reserve(_ size: Int, in segment: Segment) throws(DiskError) {
        try segment.file.allocate(size: size)
        segment.reservedSize = size
    }

    // MARK: - Write and flush

    /// Hands every record that is only in memory to the kernel; ``written`` becomes ``end``. While the disk makes writers wait
    /// it does so on a worker thread, and ``written`` follows in a later turn.
    /// - Throws: ``StorageError/stopped(_:)``; the log takes no appends any more.
    func writeOut() throws(StorageError) {
        if let failure { throw .stopped(failure) }
        guard written < end, !isWritingBehind else { return }
        makeRoomAhead()
        if disk.pushesBack { writeBehind() } else { try writeNow() }
    }

    /// Hands every record that is only in memory to the kernel on this thread; ``written`` becomes ``end``.
    /// - Throws: ``StorageError/stopped(_:)``; the log takes no appends any more.
    func writeNow() throws(StorageError) {
        if let failure { throw .stopped(failure) }
        guard written < end else { return }
        do {
            for chunk in tail.chunks where chunk.writtenCount < chunk.buffer.count {
                let segment = segment(holding: chunk.start)
                let buffer = chunk.buffer
                try segment.file.write(
                    buffer.bytes.extracting(chunk.writtenCount..<buffer.count),
                    at: chunk.start.bytes(since: segment.start) + chunk.writtenCount)
                chunk.writtenCount = buffer.count
            }
            written = end
        } catch {
            throw fail(error)
        }
    }

    /// New bytes for which a flush begins before the turn ends: some thirty messages of 1 KiB. A flush of fewer costs no less.
    static let earlyFlushSize = 32 * 1024

    /// Whether a flush that begins now would do something worth its while at once.
    @inline(__always)
    var isWorthFlushing: Bool { !isFlushing && end.bytes(since: written) >= Self.earlyFlushSize }

    /// Makes everything written so far durable on a worker thread; ``flushFinished`` is called when it is. Does nothing while
    /// another call is under way or nothing is new.
    func flushInBackground() {
        guard !isFlushing, failure == nil, flushed < written else { return }
        isFlushing = true
        flush(index(holding: flushed), until: written)
    }

    /// One segment after the other, oldest first, so that `flushed` is never ahead of a hole; a new segment's name before its
    /// content.
    private func flush(_ index: Int, until target: PhysicalOffset) {
        let segment = segments[index]
        guard segment.isNameDurable else { return flushNames(until: target) }
        segment.file.synchronizeInBackground { error in
            if let error { return self.flushFailed(error) }
            guard self.failure == nil else { return self.isFlushing = false }
            self.flushed = max(self.flushed, min(target, segment.end))
            // Segments may have been removed meanwhile, so the next one is found by its offset.
            if segment.end < target {
                self.flush(self.index(holding: segment.end), until: target)
            } else {
                self.isFlushing = false
                self.flushFinished()
            }
        }
    }

    private func flushNames(until target: PhysicalOffset) {
        let named = segments
        disk.synchronizeDirectoryInBackground(directory) { error in
            if let error { return self.flushFailed(error) }
            guard self.failure == nil else { return self.isFlushing = false }
            for segment in named { segment.isNameDurable = true }
            self.flush(self.index(holding: self.flushed), until: target)
        }
    }

    private func flushFailed(_ error: DiskError) {
        isFlushing = false
        failInBackground(error)
    }

    /// ``fail(_:)``, for work that nobody waits for: those who wait for a watermark hear of it.
    func failInBackground(_ error: DiskError) {
        fail(error)
        flushFinished()
    }

    /// Writes and synchronises everything, on this thread.
    func flushNow() throws(StorageError) {
        try writeNow()
        guard flushed < written else { return }
        do {
            try disk.synchronizeDirectory(directory)
            for segment in segments { segment.isNameDurable = true }
            for segment in segments where segment.end > flushed && segment.start < written {
                try segment.file.synchronize()
            }
            flushed = written
        } catch {
            throw fail(error)
        }
    }

    /// Stops the log: what the files hold is no longer known.
    @discardableResult
    func fail(_ error: DiskError) -> StorageError {
        if failure == nil {
            failure = error
            log.error("the commit log takes no more messages after an I/O error", ["error": "\(error)"])
        }
        return .stopped(error)
    }

    // MARK: - Read

    /// How a read went.
    enum ReadOutcome: Equatable {
        /// The bytes were appended.
        case done
        /// The bytes must come from the medium: prefetch them, then read again.
        case cold
        /// Not within the log.
        case outside
    }

    /// Appends the `size` bytes at `offset` to `buffer`.
    /// - Parameter mayWait: whether to block until the medium delivers, instead of answering ``ReadOutcome/cold``.
    @inline(__always)
    func read(
        at offset: PhysicalOffset, size: Int, mayWait: Bool, into buffer: ByteBuffer
    ) throws(StorageError) -> ReadOutcome {
        // Offsets and sizes come from files, so nothing is added to them before they are compared.
        guard size > 0, offset >= start, offset < end else { return .outside }
        if let chunk = tail.chunk(holding: offset, size: size) {
            let position = offset.bytes(since: chunk.start)
            let source = chunk.buffer
            buffer.append(source.bytes.extracting(position..<position + size))
            return .done
        }
        return try readFile(at: offset, size: size, mayWait: mayWait, into: buffer)
    }

    /// True when the bytes at `offset` are still in memory.
    func isInMemory(_ offset: PhysicalOffset, size: Int) -> Bool { tail.chunk(holding: offset, size: size) != nil }

    /// The buffer that holds the `size` bytes at `offset`, and where they begin in it; nil when they have left memory. Valid
    /// until the next append.
    func inMemory(_ offset: PhysicalOffset, size: Int) -> (buffer: ByteBuffer, position: Int)? {
        tail.chunk(holding: offset, size: size).map { ($0.buffer, offset.bytes(since: $0.start)) }
    }

    @inline(never)
    private func readFile(
        at offset: PhysicalOffset, size: Int, mayWait: Bool, into buffer: ByteBuffer
    ) throws(StorageError) -> ReadOutcome {
        // In this order no offset from outside overflows.
        guard offset >= start, size >= 0, written.bytes(since: offset) >= size, offset < written else {
            return .outside
        }
        let segment = segment(holding: offset)
        guard segment.end.bytes(since: offset) >= size else { return .outside }
        let position = offset.bytes(since: segment.start)
        var outcome = ReadOutcome.done
        var failure: DiskError?
        buffer.appendUninitialized(size) { destination in
            do throws(DiskError) {
                let count =
                    mayWait
                    ? try segment.file.read(into: destination, at: position)
                    : try segment.file.readIfCached(into: destination, at: position)
                guard let count else {
                    outcome = .cold
                    return 0
                }
                guard count == size else {
                    outcome = .outside
                    return 0
                }
                return count
            } catch {
                failure = error
                return 0
            }
        }
        if let failure { throw StorageError(failure) }
        return outcome
    }

    /// The buffer of the tail's chunk that holds `offset`, and where `offset` lies in it; nil when it has left memory.
    ///
    /// For the views, which follow the log within a turn. A blank record at the end of a segment has only its 8 bytes here.
    func unread(from offset: PhysicalOffset) -> (buffer: ByteBuffer, position: Int)? {
        guard let chunk = tail.chunk(holding: offset, size: 1) else { return nil }
        return (chunk.buffer, offset.bytes(since: chunk.start))
    }

    /// The error that tells where the bytes at `offset` lie.
    func corruption(at offset: PhysicalOffset, reason: String) -> StorageError {
        let segment = segment(holding: offset)
        return .corrupt(file: segment.file.path, position: offset.bytes(since: segment.start), reason: reason)
    }

    /// Brings a range into the page cache on a worker thread.
    func prefetchInBackground(_ offset: PhysicalOffset, size: Int, _ completion: @escaping () -> Void) {
        let segment = segment(holding: offset)
        let position = offset.bytes(since: segment.start)
        segment.file.prefetchInBackground(offset: position, count: min(size, segment.size - position)) { _ in
            // An error shows itself again when the range is read.
            completion()
        }
    }

    // MARK: - Segments

    func segment(holding offset: PhysicalOffset) -> Segment { segments[index(holding: offset)] }

    private func index(holding offset: PhysicalOffset) -> Int {
        if let last = segments.last, offset >= last.start { return segments.count - 1 }
        var low = 0
        var high = segments.count - 1
        while low < high {
            let middle = (low + high + 1) / 2
            if segments[middle].start <= offset { low = middle } else { high = middle - 1 }
        }
        return low
    }

    /// Removes the oldest segment and its file. The newest one stays.
    ///
    /// One at a time: were the removal of two undone by a power cut in part, the rest would have a gap.
    /// - Parameter limit: where the segment must end at the latest.
    /// - Returns: false when there is only one, when it is still needed, or while ``isRemoving``.
    func removeFirstSegment(before limit: PhysicalOffset) throws(StorageError) -> Bool {
        guard failure == nil, !isRemoving, segments.count > 1, let first = segments.first,
            first.end <= min(flushed, limit)
        else {
            return false
        }
        // The process before may have removed one and not lived to see it durable.
        guard first.isNameDurable else {
            synchronizeRemoval()
            return false
        }
        do {
            try disk.remove(first.file.path)
            first.file.closeInBackground()
        } catch {
            throw StorageError(error)
        }
        segments.removeFirst()
        synchronizeRemoval()
        return true
    }

    private func synchronizeRemoval() {
        isRemoving = true
        let named = segments
        disk.synchronizeDirectoryInBackground(directory) { error in
            self.isRemoving = false
            if let error { return self.flushFailed(error) }
            for segment in named { segment.isNameDurable = true }
        }
    }
}
