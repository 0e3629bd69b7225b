import Base
import Bytes
import Model

/// Folds one record of the log into its consume queue and the message index. The same code runs when a message has just been
/// written and when recovery reads it again, so both give the same views.
enum ViewFold {
    /// Takes in the record.
    /// - Returns: the hash of its tag, or nil when consumers do not see the record: half messages and rolled back ones.
    static func fold(
        _ record: MessageRecord, _ span: RawSpan, into queue: StoredQueue, index: MessageIndex?
    ) throws(StorageError) -> Int64? {
        let state = record.flags.transactionState
        let properties = span.extracting(record.properties)
        var tagsCode: Int64?
        if state != MessageFlags.transactionPrepared, state != MessageFlags.transactionRollback {
            let code = Self.tagsCode(properties)
            let entry = ConsumeQueueEntry(
                physicalOffset: record.physicalOffset, size: Int32(truncatingIfNeeded: record.size), tagsCode: code)
            do {
                try queue.consumeQueue.append(entry, at: record.queueOffset)
            } catch {
                throw StorageError(error)
            }
            if queue.nextOffset < queue.maximumOffset { queue.nextOffset = queue.maximumOffset }
            tagsCode = code
        }
        if let index, state != MessageFlags.transactionRollback {
            do {
                try insert(record, topic: span.extracting(record.topic), properties: properties, into: index)
            } catch {
                throw StorageError(error)
            }
        }
        return tagsCode
    }

    /// Java's hash of the tag, 0 when there is none.
    @inline(__always)
    static func tagsCode(_ properties: RawSpan) -> Int64 {
        guard let range = MessageProperties.valueRange(of: "TAGS", in: properties), !range.isEmpty else { return 0 }
        return Int64(javaHash(utf8: properties.extracting(range)))
    }

    /// The unique key, then each of the user's keys, which are joined by spaces.
    private static func insert(
        _ record: MessageRecord, topic: RawSpan, properties: RawSpan, into index: MessageIndex
    ) throws(DiskError) {
        if let range = MessageProperties.valueRange(of: "UNIQ_KEY", in: properties), !range.isEmpty {
            try index.insert(
                topic: topic, key: properties.extracting(range), physicalOffset: record.physicalOffset,
                storeTimestamp: record.storeTimestamp)
        }
        guard let keys = MessageProperties.valueRange(of: "KEYS", in: properties) else { return }
        var start = keys.lowerBound
        while start < keys.upperBound {
            let end = min(
                MessageProperties.index(of: UInt8(ascii: " "), in: properties, from: start) ?? keys.upperBound,
                keys.upperBound)
            if end > start {
                try index.insert(
                    topic: topic, key: properties.extracting(start..<end), physicalOffset: record.physicalOffset,
                    storeTimestamp: record.storeTimestamp)
            }
            start = end + 1
        }
    }
}
