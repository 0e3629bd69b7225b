import Base
import Bytes
import Model

/// How the reading of one record went.
public enum RecordRead: Equatable, Sendable {
    /// Its bytes were appended.
    case done
    /// It is on the medium only: prefetch it, then read again.
    case cold
    /// It is not in the log any more, or what is there is not the record.
    case gone
}

/// What those need who keep records that wait in system queues.
extension MessageStore {
    /// Fills `entries` with those of the queue from `offset` on, as many as there are. Allocates nothing.
    /// - Returns: how many; 0 when `offset` is outside minimum and maximum.
    public func readEntries(
        of queue: StoredQueue, from offset: QueueOffset, into entries: UnsafeMutableBufferPointer<ConsumeQueueEntry>
    ) throws(StorageError) -> Int {
        do {
            return try queue.consumeQueue.read(from: offset, maximumCount: entries.count, into: entries).count
        } catch {
            throw StorageError(error)
        }
    }

    /// Appends the record that an entry of a consume queue names to `buffer`, when it is whole.
    /// - Parameter queueOffset: where the entry stands in `queue`: the record must be of that message.
    /// - Parameter mayWait: whether to block for a record that is on the medium only: true after a prefetch.
    public func readRecord(
        at offset: PhysicalOffset, size: Int, of queue: StoredQueue, _ queueOffset: QueueOffset, mayWait: Bool,
        into buffer: ByteBuffer
    ) throws(StorageError) -> RecordRead {
        let begin = buffer.count
        // So much is not read, nor room made for it, on the word of an entry alone.
        let entry = ConsumeQueueEntry(physicalOffset: offset, size: Int32(clamping: size), tagsCode: 0)
        if size > FetchLimits.trustedSize, try !isHeadThere(entry, of: queue, at: queueOffset) { return .gone }
        switch try commitLog.read(at: offset, size: size, mayWait: mayWait, into: buffer) {
        case .cold: return .cold
        case .outside: return .gone
        case .done: break
        }
        if isServable(entry, buffer.bytes.extracting(begin..<buffer.count), of: queue, at: queueOffset) { return .done }
        buffer.truncate(to: begin)
        metrics.damagedRecords += 1
        return .gone
    }

    /// Brings a record into the page cache, and calls `completion` in a later turn.
    public func prefetchRecord(at offset: PhysicalOffset, size: Int, _ completion: @escaping () -> Void) {
        metrics.coldReads += 1
        commitLog.prefetchInBackground(offset, size: size, completion)
    }

    /// Where the record of a message lies; nil when it is not there any more. What the entry says is compared with the log, for
    /// segments stay or go by it; one that is damaged is made anew.
    /// - Throws: ``StorageError/corrupt(file:position:reason:)`` when that cannot be told, or not yet.
    public func physicalOffset(
        in queue: StoredQueue, at offset: QueueOffset
    ) throws(StorageError) -> PhysicalOffset? {
        guard try offset >= minimumOffset(of: queue), let entry = try storedEntry(of: queue, at: offset) else {
            return nil
        }
        if entry.isSetAside { return entry.physicalOffset }
        if try isHeadThere(entry, of: queue, at: offset) { return entry.physicalOffset }
        guard try mendNow(queue, at: offset) == .mended else { return nil }
        return try storedEntry(of: queue, at: offset)?.physicalOffset
    }

    /// Whether a segment holds something that must not expire. When that cannot be told it does.
    func isNeeded(_ segment: Segment) -> Bool {
        do {
            return try firstNeeded().map { $0 < segment.end } ?? false
        } catch {
            return true
        }
    }

    /// Shows consumers no message of the queue before `offset`, until told otherwise; the log keeps them as long as all others. Not
    /// durable.
    public func hide(_ offset: QueueOffset, of queue: StoredQueue) { queue.hiddenBefore = offset }
}
