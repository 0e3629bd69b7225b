import Base
import Model

/// Which client may consume a queue in order: one client of a group at a time, for as long as it renews the lock.
///
/// Who owns a queue is a view over the log, so that a broker that was started again does not give a queue to the first who
/// asks while its owner, who knows nothing of the start, still works on it. Renewals are no records: after a start every lock
/// holds for as long as its owner can believe in it, and then it must have been renewed.
final class QueueLocks {
    private struct Lock {
        var clientID: String
        /// Nil since the start of the process.
        var renewed: MonotonicTime?
        /// Whether its owner's connection is gone.
        var isAbandoned = false
    }

    /// What came of asking for a lock.
    enum Outcome: Equatable {
        /// The client had it and has it for longer.
        case renewed
        /// It is the client's when ``put(_:group:clientID:)`` says so.
        case free
        case taken
    }

    /// By group, then by queue.
    private var groups: [String: [MessageQueue: Lock]] = [:]
    /// Locks of all groups.
    private(set) var count = 0
    /// How long a lock holds that is not renewed, in ms.
    var expiryMilliseconds: Int64 = 60_000
    /// How long a client believes in a lock that it could not renew, in ms (`rocketmq.client.rebalance.lockMaxLiveTime`), and
    /// two seconds for the way of its last renewal.
    static let clientBeliefMilliseconds: Int64 = 30_000 + 2_000
    /// When the locks of the process before end that nobody has renewed.
    private var inheritedEnd = MonotonicTime(nanoseconds: 0)

    /// The broker has started.
    func begin(now: MonotonicTime) {
        inheritedEnd = now.advanced(byMilliseconds: min(expiryMilliseconds, Self.clientBeliefMilliseconds))
    }

    // MARK: - The view

    /// Gives queues to a client; nil frees them.
    func put(_ queues: [MessageQueue], group: String, clientID: String?) {
        for queue in queues {
            if groups[group]?[queue] != nil { count -= 1 }
            if clientID != nil { count += 1 }
            groups[group, default: [:]][queue] = clientID.map { Lock(clientID: $0) }
        }
        if groups[group]?.isEmpty == true { groups[group] = nil }
    }

    /// Every lock, by group and client.
    var all: [(group: String, clientID: String, queues: [MessageQueue])] {
        groups.flatMap { group, locks in
            Dictionary(grouping: locks, by: \.value.clientID).map { ($0.key, $0.value.map(\.key)) }
                .map { (group: group, clientID: $0.0, queues: $0.1) }
        }
    }

    // MARK: - Time

    /// Asks for the client, and renews the lock if it is its own.
    func ask(_ queue: MessageQueue, group: String, clientID: String, now: MonotonicTime) -> Outcome {
        guard let lock = groups[group]?[queue] else { return .free }
        guard lock.clientID == clientID else { return end(of: lock) > now ? .taken : .free }
        renew(queue, group: group, now: now)
        return .renewed
    }

    func renew(_ queue: MessageQueue, group: String, now: MonotonicTime) {
        groups[group]?[queue]?.renewed = now
        groups[group]?[queue]?.isAbandoned = false
    }

    private func end(of lock: Lock) -> MonotonicTime {
        guard let renewed = lock.renewed else { return inheritedEnd }
        let life = lock.isAbandoned ? min(expiryMilliseconds, Self.clientBeliefMilliseconds) : expiryMilliseconds
        return renewed.advanced(byMilliseconds: life)
    }

    /// Those of the queues that the client holds.
    func owned(_ queues: [MessageQueue], group: String, clientID: String) -> [MessageQueue] {
        queues.filter { groups[group]?[$0]?.clientID == clientID }
    }

    func owned(group: String, clientID: String) -> [MessageQueue] {
        groups[group]?.filter { $0.value.clientID == clientID }.map(\.key) ?? []
    }

    /// Whether any client of the group consumes a queue in order.
    func hasLocks(_ group: String, now: MonotonicTime) -> Bool {
        groups[group]?.contains { end(of: $0.value) > now } ?? false
    }

    /// The client's connection is gone. It may be alive, and at work on what it holds, for as long as it believes in its locks.
    func abandon(group: String, clientID: String) {
        for queue in owned(group: group, clientID: clientID) { groups[group]?[queue]?.isAbandoned = true }
    }

    /// Locks that have ended, by group.
    func expired(now: MonotonicTime) -> [(group: String, queues: [MessageQueue])] {
        groups.compactMap { group, locks in
            let queues = locks.filter { end(of: $0.value) <= now }.map(\.key)
            return queues.isEmpty ? nil : (group, queues)
        }
    }
}
