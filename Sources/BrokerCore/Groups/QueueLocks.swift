import Base
import Model

/// Which client may consume a queue in order: one client of a group at a time, for as long as it renews the lock.
public final class QueueLocks {
    private struct Key: Hashable {
        var group: String
        var queue: MessageQueue
    }

    private struct Lock {
        var clientID: String
        var deadline: MonotonicTime
    }

    private var locks: [Key: Lock] = [:]
    private let expiryMilliseconds: Int64

    init(expiryMilliseconds: Int64) { self.expiryMilliseconds = expiryMilliseconds }

    /// Locks the queues that are free, the client's own, or expired.
    /// - Returns: the queues that the client holds now, in the order asked.
    func lock(_ queues: [MessageQueue], group: String, clientID: String, now: MonotonicTime) -> [MessageQueue] {
        queues.filter { queue in
            let key = Key(group: group, queue: queue)
            if let lock = locks[key], lock.clientID != clientID, lock.deadline > now { return false }
            locks[key] = Lock(clientID: clientID, deadline: now.advanced(byMilliseconds: expiryMilliseconds))
            return true
        }
    }

    /// Frees the queues that the client holds; those of others stay locked.
    func unlock(_ queues: [MessageQueue], group: String, clientID: String) {
        for queue in queues {
            let key = Key(group: group, queue: queue)
            if locks[key]?.clientID == clientID { locks[key] = nil }
        }
    }

    /// Whether any client of the group consumes a queue in order.
    func hasLocks(_ group: String, now: MonotonicTime) -> Bool {
        locks.contains { $0.key.group == group && $0.value.deadline > now }
    }

    /// Forgets locks that have expired, so that the table does not grow with clients that are long gone.
    func expire(now: MonotonicTime) { locks = locks.filter { $0.value.deadline > now } }
}
