import Base
import Bytes
import Model

/// What operators ask of a store. None of it is on the hot path.
extension MessageStore {
    /// The entries of a queue from `offset` on, up to `maximumCount`; none when `offset` is outside minimum and maximum.
    public func entries(
        of queue: StoredQueue, from offset: QueueOffset, maximumCount: Int
    ) throws(StorageError) -> [ConsumeQueueEntry] {
        _ = try minimumOffset(of: queue)
        let count = max(0, min(maximumCount, Limits.pullMessagesMaximum))
        let buffer = UnsafeMutableBufferPointer<ConsumeQueueEntry>.allocate(capacity: count)
        defer { buffer.deallocate() }
        buffer.initialize(repeating: .blank)
        do throws(DiskError) {
            let result = try queue.consumeQueue.read(from: offset, maximumCount: count, into: buffer)
            return Array(buffer[..<result.count])
        } catch {
            throw StorageError(error)
        }
    }

    /// Room on the file system of the store.
    public func space() throws(StorageError) -> DiskSpace {
        do throws(DiskError) {
            return try disk.space(at: configuration.root)
        } catch {
            throw StorageError(error)
        }
    }

    /// When the oldest record of the log was stored; nil when the log is empty.
    public func earliestStoreTimestamp() throws(StorageError) -> Timestamp? {
        let buffer = ByteBuffer()
        guard try readRecord(at: commitLog.start, into: buffer) else { return nil }
        return (try? MessageRecord(buffer.bytes))?.storeTimestamp
    }

    /// Removes the queues of every topic that `isKept` does not want, those that were never touched since the start included.
    /// - Returns: how many topics went.
    public func removeQueues(except isKept: (String) -> Bool) throws(StorageError) -> Int {
        let folders: [DirectoryEntry]
        do throws(DiskError) {
            folders = try disk.list("\(configuration.root)/consumequeue")
        } catch {
            throw StorageError(error)
        }
        var count = 0
        for folder in folders where folder.isDirectory && !isKept(folder.name) {
            try removeQueues(ofTopic: folder.name)
            count += 1
        }
        return count
    }
}
