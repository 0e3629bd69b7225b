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
                var index = 0
                while index < offsets.words.count {
                    let end = min(index + Self.wordsPerRecord, offsets.words.count)
                    let first = QueueOffset(offsets.base + Int64(index * UInt64.bitWidth))
                    emit(
                        .settledWords(
                            PendingID(kind, queueID, first), Array(offsets.words.dropFirst(index).prefix(end - index))))
                    index = end
                }
            }
        }
    }

    /// Words that one snapshot record holds at the most.
    static let wordsPerRecord = 4_096
}

/// A set of the offsets of one queue that fills up from below: everything before ``base``, and what ``words`` says.
struct SettledOffsets {
    /// A multiple of 64.
    private(set) var base: Int64 = 0
    /// 64 offsets each, from ``base`` on; the lowest bit is the first. The first word is never full.
    private(set) var words: ArraySlice<UInt64> = []
    /// How many offsets are in the set.
    private(set) var count: Int64 = 0

    private static let width = Int64(UInt64.bitWidth)

    func contains(_ offset: QueueOffset) -> Bool {
        let distance = offset.rawValue - base
        guard distance >= 0 else { return true }
        guard distance / Self.width < words.count else { return false }
        return words[words.startIndex + Int(distance / Self.width)] & 1 << UInt64(distance % Self.width) != 0
    }

    var firstMissing: QueueOffset {
        guard let first = words.first else { return QueueOffset(base) }
        return QueueOffset(base + Int64((~first).trailingZeroBitCount))
    }

    func firstMissing(from offset: QueueOffset) -> QueueOffset {
        let distance = max(offset.rawValue, base) - base
        var index = Int(distance / Self.width)
        guard index < words.count else { return QueueOffset(base + distance) }
        // What lies before the offset counts as there.
        var word = words[words.startIndex + index] | (1 << UInt64(distance % Self.width) - 1)
        while word == .max {
            index += 1
            guard index < words.count else { return QueueOffset(base + Int64(index) * Self.width) }
            word = words[words.startIndex + index]
        }
        return QueueOffset(base + Int64(index) * Self.width + Int64((~word).trailingZeroBitCount))
    }

    mutating func insert(_ offset: QueueOffset) {
        insert(word: 1 << UInt64(offset.rawValue % Self.width), at: QueueOffset(offset.rawValue & ~(Self.width - 1)))
    }

    mutating func insertAll(before offset: QueueOffset) {
        let end = offset.rawValue & ~(Self.width - 1)
        if end > base {
            let dropped = min(Int((end - base) / Self.width), words.count)
            for word in words.prefix(dropped) { count -= Int64(word.nonzeroBitCount) }
            count += end - base
            words.removeFirst(dropped)
            base = end
        }
        let rest = offset.rawValue - base
        if rest > 0 { insert(word: 1 << UInt64(rest) - 1, at: QueueOffset(base)) }
        dropFullWords()
    }

    /// - Parameter offset: a multiple of 64.
    mutating func insert(word: UInt64, at offset: QueueOffset) {
        let distance = offset.rawValue - base
        guard distance >= 0, word != 0 else { return }
        let index = Int(distance / Self.width)
        while words.count <= index { words.append(0) }
        let old = words[words.startIndex + index]
        words[words.startIndex + index] = old | word
        count += Int64((word & ~old).nonzeroBitCount)
        dropFullWords()
    }

    private mutating func dropFullWords() {
        while words.first == .max {
            words.removeFirst()
            base += Self.width
        }
    }
}
