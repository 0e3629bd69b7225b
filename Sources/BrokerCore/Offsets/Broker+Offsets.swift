import Base
import Bytes
import Model
import Storage

extension Broker {
    /// Where a group stands in a queue: its stored offset.
    public func consumerOffset(topic: RawSpan, group: RawSpan, queueID: QueueID) -> QueueOffset? {
        state.offsets.offset(topic: topic, group: group, queueID: queueID)
    }

    /// Stores where a group stands. Durable with the turn.
    /// - Throws: ``BrokerError/topicUnknown(_:)``, ``BrokerError/queueIllegal(_:_:)``, ``BrokerError/invalid(_:)``.
    public func commitOffset(
        topic name: RawSpan, group: RawSpan, queueID: QueueID, offset: QueueOffset
    ) throws(BrokerError) {
        guard let topic = state.topics[name] else { throw .topicUnknown(name.string()) }
        guard queueID.rawValue >= 0, queueID.rawValue < topic.configuration.queueCount else {
            throw .queueIllegal(queueID, topic.configuration)
        }
        guard offset.rawValue >= 0 else { throw .invalid("the offset \(offset) is negative") }
        guard group.byteCount > 0, group.byteCount <= Limits.groupLengthMaximum else {
            throw .invalid("a group's name has 1 to \(Limits.groupLengthMaximum) bytes")
        }
        let limit = configuration.limits.consumerOffsets
        // A queue of a higher number makes room for all below it.
        if state.offsets.count + Int(queueID.rawValue) >= limit,
            state.offsets.count + state.offsets.growth(topic: name, group: group, queueID: queueID) > limit
        {
            throw limitReached("consumer offsets", limit)
        }
        state.offsets.commit(topic: name, group: group, queueID: queueID, offset: offset)
    }

    /// The offsets of every group in every topic, by topic and group; -1 where a queue has none.
    public var allOffsets: [(topic: String, group: String, offsets: [Int64])] {
        state.offsets.all.map { ($0.topic, $0.group, $0.offsets) }
    }

    /// The oldest and the newest-but-one offset of a queue; both 0 for a queue that is not there.
    public func range(topic name: RawSpan, queueID: QueueID) throws(BrokerError) -> Range<Int64> {
        guard let queue = try queue(topic: name, queueID) else { return 0..<0 }
        do {
            let minimum = try store.minimumOffset(of: queue)
            return minimum.rawValue..<max(minimum, queue.maximumOffset).rawValue
        } catch {
            throw .storage(error)
        }
    }

    /// The first offset whose message was stored at `timestamp` or later; 0 for a queue that is not there.
    public func offset(
        topic name: RawSpan, queueID: QueueID, storedAtOrAfter timestamp: Timestamp
    ) throws(BrokerError) -> QueueOffset {
        guard let queue = try queue(topic: name, queueID) else { return .zero }
        do {
            return try store.offset(in: queue, storedAtOrAfter: timestamp)
        } catch {
            throw .storage(error)
        }
    }

    /// When the queue's oldest message was stored; nil when it has none.
    public func earliestStoreTimestamp(topic name: RawSpan, queueID: QueueID) throws(BrokerError) -> Timestamp? {
        guard let queue = try queue(topic: name, queueID) else { return nil }
        do {
            return try store.earliestStoreTimestamp(of: queue)
        } catch {
            throw .storage(error)
        }
    }

    /// When the message at `offset` was stored; nil when it is not there.
    public func storeTimestamp(
        topic name: RawSpan, queueID: QueueID, at offset: QueueOffset
    ) throws(BrokerError) -> Timestamp? {
        guard let queue = try queue(topic: name, queueID) else { return nil }
        do {
            return try store.storeTimestamp(in: queue, at: offset)
        } catch {
            throw .storage(error)
        }
    }

    /// The queue of a topic that is there; nil otherwise.
    func queue(topic name: RawSpan, _ queueID: QueueID) throws(BrokerError) -> StoredQueue? {
        guard let topic = state.topics[name], queueID.rawValue >= 0, queueID.rawValue < topic.configuration.queueCount
        else { return nil }
        return try topic.queue(queueID, in: store)
    }
}

extension Broker {
    /// Whether the queue's message 0 is still among the newest of the log, where a new group may well begin with it
    /// (`checkInDiskByConsumeOffset` of RocketMQ).
    public func isFirstMessageRecent(topic name: RawSpan, queueID: QueueID) -> Bool {
        guard let queue = try? queue(topic: name, queueID) else { return false }
        return (try? store.isRecent(queue, at: .zero)) ?? false
    }

    /// The newest record of the message index, for the answers to queries.
    public var lastIndexed: (offset: PhysicalOffset, timestamp: Timestamp) { store.lastIndexed }
}
