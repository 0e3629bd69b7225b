import Base
import Bytes
import Model
import Storage

/// Everything of a broker that must survive it and is no message: topics, groups, consumer offsets, which pending records are
/// settled, how often producers were asked about half messages. A view over the state records of the log, and over the messages that pending records became.
final class BrokerState: StateView {
    let quotas = Quotas()
    let topics: TopicTable
    let groups: GroupTable
    let offsets = OffsetTable()
    let ledger = SettlementLedger()
    let checkedHalves = CheckedHalves()
    let locks = QueueLocks()
    /// Offsets that one snapshot record holds at the most, to keep records small.
    static let offsetsPerRecord = 1_000

    init() {
        topics = TopicTable(quotas: quotas)
        groups = GroupTable(quotas: quotas)
    }

    /// Takes over the limits that the configuration gives to topics and groups.
    func limitTraffic(_ configuration: QuotaConfiguration) {
        quotas.configure(configuration)
        for topic in topics.all { topic.limitTraffic() }
        for group in groups.all { groups.limitTraffic(group) }
    }

    func apply(_ span: RawSpan) throws(StateRecordError) {
        switch try StateRecord(span) {
        case .topicPut(let topic, let time): topics.put(topic, at: time)
        case .topicRemoved(let name, let time):
            topics.remove(name, at: time)
            offsets.removeTopic(name)
        case .groupPut(let group, let time): groups.put(group, at: time)
        case .groupRemoved(let name, let time): groups.remove(name, at: time)
        case .offsets(let list):
            for item in list {
                offsets.apply(topic: item.topic, group: item.group, queueID: item.queueID, offset: item.offset)
            }
        case .groupOffsetsRemoved(let name): offsets.removeGroup(name)
        case .topicOffsetsRemoved(let name): offsets.removeTopic(name)
        case .settled(let list): for pending in list { settle(pending) }
        case .settledBefore(let pending):
            ledger.settle(before: pending)
            if pending.kind == .half { checkedHalves.remove(before: pending.queueOffset) }
        case .settledWords(let first, let words):
            for (index, word) in words.enumerated() {
                let offset = first.queueOffset.advanced(by: index * UInt64.bitWidth)
                guard offset.rawValue <= PendingID.offsetMaximum else {
                    throw StateRecordError("settled offsets go on at \(offset)")
                }
                ledger.settle(word: word, at: PendingID(first.kind, first.queueID, offset))
            }
        case .queuesLocked(let queues, let group, let clientID):
            locks.put(queues, group: group, clientID: clientID)
        case .halvesChecked(let list):
            for half in list where !ledger.isSettled(half.pending) { checkedHalves.note(half) }
        }
    }

    func settle(_ pending: PendingID) {
        ledger.settle(pending)
        if pending.kind == .half { checkedHalves.remove(pending.queueOffset) }
    }

    func topicRemoved(by span: RawSpan) -> String? {
        guard case .topicRemoved(let name, _)? = try? StateRecord(span) else { return nil }
        return name
    }

    func snapshot(_ emit: (RawSpan) -> Void) {
        let buffer = ByteBuffer(capacity: 4096)
        func emitRecord(_ record: StateRecord) {
            buffer.removeAll()
            record.encode(into: buffer)
            emit(buffer.bytes)
        }
        for topic in topics.all { emitRecord(.topicPut(topic.configuration, at: topics.version.timestamp)) }
        for group in groups.all { emitRecord(.groupPut(group, at: groups.version.timestamp)) }
        var batch: [StateRecord.Offset] = []
        for entry in offsets.all {
            for (number, offset) in entry.offsets.enumerated() where offset >= 0 {
                batch.append(
                    StateRecord.Offset(
                        topic: entry.topic, group: entry.group, queueID: QueueID(Int32(number)),
                        offset: QueueOffset(offset)))
                if batch.count == Self.offsetsPerRecord {
                    emitRecord(.offsets(batch))
                    batch.removeAll()
                }
            }
        }
        if !batch.isEmpty { emitRecord(.offsets(batch)) }
        ledger.snapshot(emitRecord)
        checkedHalves.snapshot(emitRecord)
        for lock in locks.all {
            emitRecord(.queuesLocked(lock.queues, group: lock.group, clientID: lock.clientID))
        }
    }
}
