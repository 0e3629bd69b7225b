import Base
import Model
import Storage
import Telemetry

/// Topics, groups and offsets that another broker kept beside its log.
public struct ForeignState: Sendable {
    public struct Offset: Sendable {
        public var topic: String
        public var group: String
        public var queueID: QueueID
        public var offset: QueueOffset
        public init(topic: String, group: String, queueID: QueueID, offset: QueueOffset) {
            self.topic = topic
            self.group = group
            self.queueID = queueID
            self.offset = offset
        }
    }
    public var topics: [TopicConfiguration] = []
    public var groups: [GroupConfiguration] = []
    public var offsets: [Offset] = []
    /// By level, from 1: the first message in the level's queue of `SystemTopics/schedule` that has not been delivered.
    public var delayOffsets: [Int32: QueueOffset] = [:]
    public init() {}
}

extension Broker {
    /// Whether the store was written by RocketMQ and its topics, groups and offsets have not been taken over yet.
    public var needsForeignState: Bool { store.isForeign }

    /// Takes over the state of a store that RocketMQ wrote, and notes which of its half messages are settled. Durable with the turn.
    public func adopt(_ foreign: ForeignState) throws(BrokerError) {
        for topic in foreign.topics { try change(.topicPut(topic, at: clock.timestamp)) }
        for group in foreign.groups { try change(.groupPut(group, at: clock.timestamp)) }
        for offset in foreign.offsets where offset.queueID.rawValue < Limits.queuesPerTopicMaximum {
            try change(
                .offsets([
                    StateRecord.Offset(
                        topic: offset.topic, group: offset.group, queueID: offset.queueID, offset: offset.offset)
                ]))
        }
        try adoptTimers(foreign)
        try adoptTransactions(foreign.offsets)
        store.foreignStateAdopted()
    }

    /// Delayed messages that RocketMQ had delivered count as settled; the others are delivered or moved to the wheel in the
    /// background, as the slots of the wheel are visited. What RocketMQ 5 had in its own timer wheel is in a form of its own,
    /// beside the log: it is left alone.
    private func adoptTimers(_ foreign: ForeignState) throws(BrokerError) {
        for (level, offset) in foreign.delayOffsets where level > 0 && level <= TimerRing.scheduleMaximum {
            guard (0...PendingID.offsetMaximum).contains(offset.rawValue) else { continue }
            let queue = QueueID(Int32(TimerRing.scheduleBase) + level - 1)
            try change(.settledBefore(PendingID(.timer, queue, offset)))
        }
        guard holdsForeignTimers else { return }
        holdsForeignTimers = false
        do throws(StorageError) {
            let end = try timers.queue(0).maximumOffset
            if end > .zero {
                log.warning(
                    "delayed messages in RocketMQ 5's timer wheel are not delivered", ["messages": "\(end)"])
                try changeState(.settledBefore(PendingID(.timer, QueueID(0), end)))
            }
        } catch {
            throw .storage(error)
        }
        timers.start(now: clock.timestamp.milliseconds)
    }
}
