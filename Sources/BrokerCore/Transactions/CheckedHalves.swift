import Base
import Model

/// How often a half message's producer was asked about it, and when last.
struct CheckedHalf: Equatable {
    var pending: PendingID
    var count: Int32
    var time: Timestamp
}

/// The half messages that were asked about and are still pending. A view over the log: the count survives a restart without
/// the message being stored again, which is RocketMQ's way.
///
/// Some 40 bytes each; a half message gets here with its first check, so there are no more than the broker has asked about
/// and heard nothing of, ``TransactionConfiguration/checkMaximum`` intervals back at the most.
final class CheckedHalves {
    private struct Checks {
        var count: Int32
        var time: Timestamp
    }

    private var checks: [QueueOffset: Checks] = [:]
    /// Half messages that one snapshot record names at the most.
    static let countPerRecord = 2_000

    subscript(offset: QueueOffset) -> CheckedHalf? {
        checks[offset].map { CheckedHalf(pending: Self.pending(offset), count: $0.count, time: $0.time) }
    }

    var count: Int { checks.count }

    func note(_ half: CheckedHalf) {
        checks[half.pending.queueOffset] = Checks(count: half.count, time: half.time)
    }

    @inline(__always)
    func remove(_ offset: QueueOffset) {
        guard !checks.isEmpty else { return }
        checks[offset] = nil
    }

    func remove(before offset: QueueOffset) {
        for known in checks.keys.filter({ $0 < offset }) { checks[known] = nil }
    }

    /// Calls `emit` with records that bring an empty view to this state.
    func snapshot(_ emit: (StateRecord) -> Void) {
        var batch: [CheckedHalf] = []
        for (offset, checks) in checks {
            batch.append(CheckedHalf(pending: Self.pending(offset), count: checks.count, time: checks.time))
            if batch.count == Self.countPerRecord {
                emit(.halvesChecked(batch))
                batch.removeAll(keepingCapacity: true)
            }
        }
        if !batch.isEmpty { emit(.halvesChecked(batch)) }
    }

    private static func pending(_ offset: QueueOffset) -> PendingID { PendingID(.half, HalfMessage.queueID, offset) }
}
