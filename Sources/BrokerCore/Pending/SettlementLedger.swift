import Base
import Model

/// Which records of the queues of pending records are settled: timers that have fired or were cancelled, half messages that
/// were committed, rolled back or given up. A view over the log; see `PendingID`.
///
/// A consumer's offset would not do: timers fire in the order of their time and transactions end in any order. So there is
/// one ``SettledOffsets`` for each queue.
final class SettlementLedger {
    /// By kind, then by queue number.
    private var queues: [[SettledOffsets]] = PendingID.Kind.allCases.map { _ in [] }

    /// Settling again changes nothing.
    func settle(_ pending: PendingID) {
        withQueue(pending) { $0.insert(pending.queueOffset) }
    }

    /// Settles everything before `pending` in its queue.
    func settle(before pending: PendingID) {
        withQueue(pending) { $0.insertAll(before: pending.queueOffset) }
    }

    /// Takes in a word of 64 offsets from `pending` on, whose offset is a multiple of 64: the lowest bit is the first.
    func settle(word: UInt64, at pending: PendingID) {
        withQueue(pending) { $0.insert(word: word, at: pending.queueOffset) }
    }

    func isSettled(_ pending: PendingID) -> Bool {
        offsets(pending.kind, pending.queueID)?.contains(pending.queueOffset) ?? false
    }

    /// The first record of the queue that waits, or would if there is none yet.
    func firstPending(_ kind: PendingID.Kind, _ queueID: QueueID) -> QueueOffset {
        offsets(kind, queueID)?.firstMissing ?? .zero
    }

    /// The first record of the queue at or behind `offset` that waits, or would if there is none yet.
    func firstPending(_ kind: PendingID.Kind, _ queueID: QueueID, from offset: QueueOffset) -> QueueOffset {
        offsets(kind, queueID)?.firstMissing(from: offset) ?? offset
    }

    /// How many records before `end` wait in the queue.
    func pendingCount(_ kind: PendingID.Kind, _ queueID: QueueID, before end: QueueOffset) -> Int64 {
        guard let offsets = offsets(kind, queueID) else { return end.rawValue }
        return max(0, end.rawValue - offsets.count)
    }

    private func offsets(_ kind: PendingID.Kind, _ queueID: QueueID) -> SettledOffsets? {
        let list = queues[Int(kind.rawValue)]
        let number = Int(queueID.rawValue)
        return list.indices.contains(number) ? list[number] : nil
    }

    private func withQueue(_ pending: PendingID, _ body: (inout SettledOffsets) -> Void) {
        let kind = Int(pending.kind.rawValue)
        let number = Int(pending.queueID.rawValue)
        while queues[kind].count <= number { queues[kind].append(SettledOffsets()) }
        body(&queues[kind][number])
    }

    /// Calls `emit` with records that bring an empty ledger to this state.
    func snapshot(_ emit: (StateRecord) -> Void) {
        for kind in PendingID.Kind.allCases {
            for (number, offsets) in queues[Int(kind.rawValue)].enumerated() where offsets.count > 0 {
                let queueID = QueueID(Int32(number))
                emit(.settledBefore(PendingID(kind, queueID, QueueOffset(offsets.base))))
                offsets.forEachRun(ofAtMost: Self.wordsPerRecord) { first, words in
                    emit(.settledWords(PendingID(kind, queueID, first), words))
                }
            }
        }
    }

    /// Words that one snapshot record holds at the most.
    static let wordsPerRecord = 4_096
}
