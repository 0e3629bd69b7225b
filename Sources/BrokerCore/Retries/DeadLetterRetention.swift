import Base
import Model
import Storage

/// How long dead letters stay, whatever other messages do (docs/decisions/0011-dead-letters.md).
///
///     their time          what it does
///     shorter than        the queue begins, for consumers, with the first that is young enough
///     longer than         the log keeps the segment with the oldest that is young enough, unless the disk is too full
///     the log's
///
/// Nothing of it is stored: where a queue begins follows from its messages and the clock. A clock that is set back brings back
/// what it had hidden, if the log still has it.
final class DeadLetterRetention {
    /// One queue of dead letters.
    private struct Place {
        var queue: StoredQueue
        /// The first that is young enough, and where it lies; nil when there is none.
        var first: QueueOffset
        var position: PhysicalOffset?
        /// When it will be too old.
        var expiry: Timestamp?
    }

    private let milliseconds: Int64
    private let isShorter: Bool
    private let isLonger: Bool
    /// By topic and queue; filled by the first round.
    private var places: [MessageQueue: Place] = [:]
    private var isComplete = false
    private var lastLook: MonotonicTime?
    private var lastTimestamp = Timestamp(milliseconds: 0)

    /// Time between two looks.
    static let intervalMilliseconds: Int64 = 10_000

    /// - Parameters:
    ///   - hours: `deadLetterReservedTime`.
    ///   - logHours: `fileReservedTime`.
    init(hours: Int, logHours: Int) {
        milliseconds = Int64(hours) * 3_600_000
        isShorter = hours < logHours
        isLonger = hours > logHours
    }

    /// Looks at what is due: a queue whose first message is too old by now, and one that was empty.
    func step(_ broker: Broker) throws(BrokerError) {
        guard isShorter || isLonger else { return }
        let now = broker.clock.monotonic
        if let lastLook, now.milliseconds(since: lastLook) < Self.intervalMilliseconds { return }
        lastLook = now
        try look(broker)
    }

    private func look(_ broker: Broker) throws(BrokerError) {
        let timestamp = broker.clock.timestamp
        // What was too old may not be so any more.
        if timestamp < lastTimestamp { places = [:] }
        lastTimestamp = timestamp
        var known: [MessageQueue: Place] = [:]
        for topic in broker.state.topics.deadLetters {
            for number in 0..<topic.configuration.queueCount {
                let key = MessageQueue(topic: topic.name, brokerName: "", queueID: QueueID(number))
                known[key] = try look(
                    broker, try topic.queue(QueueID(number), in: broker.store), places[key], timestamp)
            }
        }
        places = known
        isComplete = true
    }

    private func look(
        _ broker: Broker, _ queue: StoredQueue, _ before: Place?, _ now: Timestamp
    ) throws(BrokerError) -> Place {
        if let before, before.queue === queue, let expiry = before.expiry, now < expiry { return before }
        do throws(StorageError) {
            let oldest = Timestamp(milliseconds: now.milliseconds - milliseconds)
            if isShorter { broker.store.hide(.zero, of: queue) }
            let first = try broker.store.offset(in: queue, storedAtOrAfter: oldest)
            if isShorter { broker.store.hide(first, of: queue) }
            var place = Place(queue: queue, first: first)
            guard first < queue.maximumOffset else { return place }
            place.position = try broker.store.physicalOffset(in: queue, at: first)
            // A record that cannot be read is looked at again next time.
            place.expiry = try broker.store.storeTimestamp(in: queue, at: first).map {
                Timestamp(milliseconds: $0.milliseconds + milliseconds + 1)
            }
            return place
        } catch {
            throw .storage(error)
        }
    }

    /// Where the oldest dead letter lies that the log must keep; nil when none does.
    func firstNeeded(_ broker: Broker) throws(StorageError) -> PhysicalOffset? {
        guard isLonger else { return nil }
        if !isComplete {
            do throws(BrokerError) { try look(broker) } catch { throw error.storageError }
        }
        return places.values.compactMap(\.position).min()
    }
}
