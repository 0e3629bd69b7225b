import Base
import Bytes
import Model
import Storage

/// How far one queue of a topic reaches.
public struct QueueStatus: Equatable, Sendable {
    public var minimumOffset: QueueOffset
    /// The offset that the next message will get.
    public var maximumOffset: QueueOffset
}

/// What operators ask about topics, groups and queues. None of it is on the hot path, and nothing is kept for it.
extension Broker {
    // MARK: - Queues

    /// How far a queue reaches.
    /// - Precondition: the topic has a queue of this number.
    public func status(_ topic: Topic, _ queueID: QueueID) throws(BrokerError) -> QueueStatus {
        let queue = try topic.queue(queueID, in: store)
        do throws(StorageError) {
            let minimum = try store.minimumOffset(of: queue)
            return QueueStatus(minimumOffset: minimum, maximumOffset: max(minimum, queue.maximumOffset))
        } catch {
            throw .storage(error)
        }
    }

    /// When the message at `offset` was stored; nil when it is not there.
    /// - Precondition: the topic has a queue of this number.
    public func storeTimestamp(
        _ topic: Topic, _ queueID: QueueID, at offset: QueueOffset
    ) throws(BrokerError) -> Timestamp? {
        let queue = try topic.queue(queueID, in: store)
        do throws(StorageError) {
            return try store.storeTimestamp(in: queue, at: offset)
        } catch {
            throw .storage(error)
        }
    }

    /// The entries of a queue's consume queue.
    /// - Precondition: the topic has a queue of this number.
    public func entries(
        _ topic: Topic, _ queueID: QueueID, from offset: QueueOffset, maximumCount: Int
    ) throws(BrokerError) -> [ConsumeQueueEntry] {
        let queue = try topic.queue(queueID, in: store)
        do throws(StorageError) {
            return try store.entries(of: queue, from: offset, maximumCount: maximumCount)
        } catch {
            throw .storage(error)
        }
    }

    // MARK: - Groups

    /// Where a group stands in a queue; nil when nothing is stored.
    public func consumerOffset(_ topic: String, _ group: String, _ queueID: QueueID) -> QueueOffset? {
        guard let offsets = state.offsets.entry(topic: topic, group: group)?.offsets, queueID.rawValue >= 0,
            Int(queueID.rawValue) < offsets.count, offsets[Int(queueID.rawValue)] >= 0
        else { return nil }
        return QueueOffset(offsets[Int(queueID.rawValue)])
    }

    /// The topics in which a group has offsets, by name.
    public func topicNames(consumedBy group: String) -> [String] {
        state.offsets.entries(ofGroup: group).map(\.topic)
    }

    /// The groups that subscribe a topic now or have offsets in it, by name.
    public func groupNames(consuming topic: String) -> [String] {
        var names = Set(state.offsets.entries(ofTopic: topic).map(\.group))
        let bytes = Array(topic.utf8)
        for group in members.allConsumerGroups where group.subscription(topic: bytes.span.bytes) != nil {
            names.insert(group.name)
        }
        return names.sorted()
    }

    /// The topics of a group whose progress means something: it has offsets there, the topic is still there, and when members
    /// are online they subscribe it.
    /// - Parameter name: only this topic, whether there are offsets or not.
    public func progressTopics(of group: String, only name: String? = nil) -> [Topic] {
        let online = members.consumerGroup(group)
        return (name.map { [$0] } ?? topicNames(consumedBy: group)).compactMap { name in
            guard let topic = topic(name) else { return nil }
            if let online, !online.allSubscriptions.isEmpty {
                let bytes = Array(name.utf8)
                guard online.subscription(topic: bytes.span.bytes) != nil else { return nil }
            }
            return topic
        }
    }

    /// The smallest offset that any group has in each queue of a topic, of those that are still there.
    public func smallestOffsets(
        _ topic: Topic, excluding groups: Set<String>
    ) throws(BrokerError) -> [Int32: Int64] {
        var smallest: [Int32: Int64] = [:]
        for entry in state.offsets.entries(ofTopic: topic.name) where !groups.contains(entry.group) {
            for (number, offset) in entry.offsets.enumerated() where number < topic.configuration.queueCount {
                let queueID = QueueID(Int32(number))
                guard offset >= 0, offset >= (try status(topic, queueID)).minimumOffset.rawValue else { continue }
                smallest[queueID.rawValue] = min(offset, smallest[queueID.rawValue] ?? .max)
            }
        }
        return smallest
    }

    /// Gives `destination` the offsets that `source` has in a topic. Durable with the turn.
    public func cloneOffsets(
        from source: String, to destination: String, topic: Topic
    ) throws(BrokerError) {
        guard let offsets = state.offsets.entry(topic: topic.name, group: source)?.offsets else { return }
        let name = Array(topic.name.utf8)
        let group = Array(destination.utf8)
        for (number, offset) in offsets.enumerated() where offset >= 0 && number < topic.configuration.queueCount {
            try commitOffset(
                topic: name.span.bytes, group: group.span.bytes, queueID: QueueID(Int32(number)),
                offset: QueueOffset(offset))
        }
    }

    // MARK: - Cleaning

    /// Removes segments that have expired, whatever the hour of the day.
    public func removeExpiredSegments() throws(BrokerError) {
        do throws(StorageError) {
            try store.removeExpiredSegments()
        } catch {
            throw .storage(error)
        }
    }

    /// Removes the queues of topics that are not there any more; those of system topics stay.
    /// - Returns: how many topics' queues went.
    @discardableResult
    public func removeUnusedQueues() throws(BrokerError) -> Int {
        do throws(StorageError) {
            return try store.removeQueues { topic($0) != nil || isSystemTopic($0) }
        } catch {
            throw .storage(error)
        }
    }
}
