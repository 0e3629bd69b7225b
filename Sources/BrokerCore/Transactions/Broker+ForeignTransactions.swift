import Base
import Bytes
import Model
import Storage

/// Which half messages of a store that RocketMQ wrote are still pending.
///
/// RocketMQ notes nothing of the kind. Its group `CID_RMQ_SYS_TRANS` has an offset in the queue of half messages, before which
/// everything is settled; behind it those are settled that a message of `RMQ_SYS_TRANS_OP_HALF_TOPIC` with the tag `d` names
/// in its body: the offset as decimal digits (4.9), or several with commas (5.x) (remoting reference §1.9).
extension Broker {
    private static let group = "CID_RMQ_SYS_TRANS"
    /// Half messages that one state record settles at the most.
    private static let settledPerRecord = 2_000

    func adoptTransactions(_ offsets: [ForeignState.Offset]) throws(BrokerError) {
        let halves = try halfQueue()
        let first = Self.offset(SystemTopics.half, offsets)
        if first > .zero, first <= halves.maximumOffset {
            try change(.settledBefore(PendingID(.half, HalfMessage.queueID, first)))
        }
        do throws(StorageError) {
            let operations = try store.queue(topic: SystemTopics.operationHalf, QueueID(0))
            let minimum = try store.minimumOffset(of: operations)
            var next = max(minimum, Self.offset(SystemTopics.operationHalf, offsets))
            while next < operations.maximumOffset {
                let entries = try store.entries(
                    of: operations, from: next, maximumCount: Limits.pullMessagesMaximum)
                guard !entries.isEmpty else { break }
                try settle(named: entries, in: halves)
                next = next.advanced(by: entries.count)
            }
        } catch {
            throw .storage(error)
        }
    }

    private static func offset(_ topic: String, _ offsets: [ForeignState.Offset]) -> QueueOffset {
        offsets.first { $0.topic == topic && $0.group == group && $0.queueID == HalfMessage.queueID }?.offset ?? .zero
    }

    private func settle(named entries: [ConsumeQueueEntry], in halves: StoredQueue) throws(StorageError) {
        var settled: [PendingID] = []
        let buffer = ByteBuffer()
        for entry in entries {
            buffer.removeAll()
            guard try store.readRecord(at: entry.physicalOffset, into: buffer) else { continue }
            let span = buffer.bytes
            guard let record = try? MessageRecord(span) else { continue }
            let properties = span.extracting(record.properties)
            guard let tag = MessageProperties.valueRange(of: "TAGS", in: properties),
                properties.extracting(tag).equals("d")
            else { continue }
            settled += Self.offsets(span.extracting(record.body), below: halves.maximumOffset)
        }
        for start in stride(from: 0, to: settled.count, by: Self.settledPerRecord) {
            let end = min(start + Self.settledPerRecord, settled.count)
            do throws(BrokerError) {
                try settle(Array(settled[start..<end]))
            } catch {
                throw error.storageError
            }
        }
    }

    /// The half messages that the body of an operation names; what is no offset of one is passed over.
    static func offsets(_ body: RawSpan, below end: QueueOffset) -> [PendingID] {
        var found: [PendingID] = []
        var start = 0
        for position in 0...body.byteCount {
            guard position == body.byteCount || body.byte(at: position) == UInt8(ascii: ",") else { continue }
            if let number = body.extracting(start..<position).decimal(), number >= 0, number < end.rawValue {
                found.append(PendingID(.half, HalfMessage.queueID, QueueOffset(number)))
            }
            start = position + 1
        }
        return found
    }
}
