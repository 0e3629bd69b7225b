import Base
import Bytes
import Model
import Synchronization

/// What the replay needs to know of one whole record, so that it need not look at its bytes again.
struct ReplayedRecord {
    /// Where it begins in the batch's bytes.
    var begin: Int
    var size: Int
    var queueID: QueueID
    var queueOffset: QueueOffset
    /// What its entry in the consume queue says besides place and size; nil when it has no such entry.
    var tagsCode: Int64?
    /// Position of its topic in the batch's bytes.
    var topic: Range<Int>
    /// Its keys in ``ReplayBatch/keys``.
    var keys: Range<Int>
    /// Belongs to the queue of the record before it in the batch.
    var isOfSameQueue: Bool
    /// A message that changes its queue and the index and nothing else; any other is read again by the thread that folds.
    var isPlain: Bool
}

/// A piece of the log that has been read and checked: whole records one behind the other.
final class ReplayBatch: @unchecked Sendable {
    // SAFETY: one thread at a time has it: the one that fills it until it sets `isFilled`, then the one that folds until it
    // clears that and begins the next piece of work of the reader.
    let bytes = ByteBuffer()
    /// Where the first of ``bytes`` lies in the log.
    var start = PhysicalOffset.zero
    var records: [ReplayedRecord] = []
    var keys: [HashedKey] = []
    /// Behind the last record: where the next batch goes on.
    var end = PhysicalOffset.zero
    /// What stands at ``end`` when it is no whole record and no blank one either: the log ends there.
    var finding: LogScanner.Finding?
    /// What the disk said instead; the records before are good.
    var failure: DiskError?
    let isFilled = Atomic(false)

    func removeAll() {
        bytes.removeAll()
        records.removeAll(keepingCapacity: true)
        keys.removeAll(keepingCapacity: true)
        finding = nil
        failure = nil
    }

    /// Checks the records up to ``end``, which ``LogWalk`` has followed by their sizes alone, and finds out what they say.
    func check() {
        let buffer = self.bytes
        let bytes = buffer.bytes
        let count = min(end.bytes(since: start), bytes.byteCount)
        // Taken out, so that no access to them is checked for each record.
        var records: [ReplayedRecord] = []
        var keys: [HashedKey] = []
        swap(&records, &self.records)
        swap(&keys, &self.keys)
        defer {
            swap(&records, &self.records)
            swap(&keys, &self.keys)
        }
        var begin = 0
        while begin < count {
            let span = bytes.extracting(begin..<count)
            let place = start.advanced(by: begin)
            do throws(RecordDamage) {
                let record = try LogScanner.checkedRecord(at: place, in: span)
                Self.add(record, bytes, at: begin, to: &records, &keys)
                begin += record.size
            } catch {
                // What the walk found behind it does not count.
                finding = .damaged(reason: error.reason)
                failure = nil
                end = place
                return
            }
        }
    }

    @inline(__always)
    private static func add(
        _ record: MessageRecord, _ bytes: RawSpan, at begin: Int, to records: inout [ReplayedRecord],
        _ keys: inout [HashedKey]
    ) {
        let span = bytes.extracting(begin..<begin + record.size)
        let topic = begin + record.topic.lowerBound..<begin + record.topic.upperBound
        var isOfSameQueue = false
        if let last = records.last, last.queueID == record.queueID {
            isOfSameQueue = bytes.extracting(topic).equals(bytes.extracting(last.topic))
        }
        let firstKey = keys.count
        let isPlain = ReplayedRecord.isPlain(record, span)
        var tagsCode: Int64?
        if isPlain { tagsCode = ViewFold.digest(record, span, keys: &keys) }
        records.append(
            ReplayedRecord(
                begin: begin, size: record.size, queueID: record.queueID, queueOffset: record.queueOffset,
                tagsCode: tagsCode, topic: topic, keys: firstKey..<keys.count, isOfSameQueue: isOfSameQueue,
                isPlain: isPlain))
    }
}

extension ReplayedRecord {
    @inline(__always)
    fileprivate static func isPlain(_ record: MessageRecord, _ span: RawSpan) -> Bool {
        !record.flags.contains(.setAside) && PendingID(field: record.preparedTransactionOffset) == nil
            && !span.extracting(record.topic).equals("rmq_sys_APUS_STATE")
    }
}
