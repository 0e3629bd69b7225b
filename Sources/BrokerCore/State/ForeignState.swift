import Base
import Model
import Storage

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
    public init() {}
}

extension Broker {
    /// Whether the store was written by RocketMQ and its topics, groups and offsets have not been taken over yet.
    public var needsForeignState: Bool { store.isForeign }

    /// Takes over the state of a store that RocketMQ wrote. Durable with the turn.
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
        store.foreignStateAdopted()
    }
}
