import Base
import Bytes
import Model
import Telemetry

/// Consume queues whose oldest files were lost. Without a word their messages would be gone for consumers, who are told that the
/// queue begins later, while the log still has them.
extension MessageStore {
    /// Bytes of the log that are looked through for the oldest message of one queue: it is read by the broker's thread.
    static let frontSearchMaximum = 256 * 1024 * 1024

    /// Looks whether files at the front of the queue were lost, once for each queue and start. If so the queue begins again with
    /// the oldest message that the log has of it; the entries that are missing are made anew as they are read (``QueueMending``).
    func findFront(of queue: StoredQueue) throws(StorageError) {
        let consumeQueue = queue.consumeQueue
        do throws(DiskError) {
            guard let end = try consumeQueue.placeBehindMissingFiles(logStart: commitLog.start) else {
                return queue.isFrontKnown = true
            }
            guard let first = try firstRecord(of: queue, before: end) else { return queue.isFrontKnown = true }
            let location = consumeQueue.location(of: first)
            log.error(
                "the oldest files of a consume queue are missing; its entries are made anew from the log",
                [
                    "file": location.file, "topic": queue.topic.name, "queue": "\(queue.queueID)",
                    "from": "\(first)", "before": "\(consumeQueue.minimumOffset)",
                ])
            try consumeQueue.beginAgain(at: first)
        } catch {
            throw StorageError(error)
        }
        queue.isFrontKnown = true
    }

    /// The offset of the first message before the queue's minimum that the log has before `end`.
    private func firstRecord(of queue: StoredQueue, before end: PhysicalOffset) throws(DiskError) -> QueueOffset? {
        var scanner = LogScanner()
        var position = commitLog.start
        let stop = min(end, dispatched, position.advanced(by: Self.frontSearchMaximum))
        let name = queue.topic.nameBytes
        while position < stop {
            let segment = commitLog.segment(holding: position)
            let finding: LogScanner.Finding
            do throws(StorageError) {
                finding = try scanner.find(at: position, in: segment)
            } catch .disk(let error) {
                throw error
            } catch {
                return nil
            }
            switch finding {
            case .record(let size):
                let window = scanner.window
                let span = window.bytes.extracting(scanner.range(at: position, size: size))
                if let record = try? MessageRecord(span), record.queueID == queue.queueID,
                    record.queueOffset >= .zero, record.queueOffset < queue.consumeQueue.minimumOffset,
                    span.extracting(record.topic).equals(name.span.bytes), ViewFold.entry(of: record, span) != nil
                {
                    return record.queueOffset
                }
                position = position.advanced(by: size)
            case .blank: position = segment.end
            // Damage of the log itself is for `apus store check`.
            case .nothing, .damaged: return nil
            }
        }
        if position < min(end, dispatched) {
            log.error(
                "the oldest files of a consume queue may be missing; 'apus store check' finds out",
                ["topic": queue.topic.name, "queue": "\(queue.queueID)"])
        }
        return nil
    }
}
