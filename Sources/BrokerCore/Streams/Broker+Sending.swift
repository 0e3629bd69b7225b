import Base
import Bytes
import Model
import Storage

/// What a producer asks for, as far as the broker needs to know it beyond the message itself.
public struct SendRequest: ~Escapable {
    public var topic: RawSpan
    /// The topic that lends its settings when `topic` is not there.
    public var defaultTopic: RawSpan
    public var defaultQueueCount: Int32 = 4
    /// Negative: any queue will do.
    public var queueID = QueueID(0)
    /// Who sends, for the error message.
    public var peer: HostAddress

    @_lifetime(copy topic, copy defaultTopic)
    public init(topic: RawSpan, defaultTopic: RawSpan, peer: HostAddress) {
        self.topic = topic
        self.defaultTopic = defaultTopic
        self.peer = peer
    }
}

extension Broker {
    /// The queue that a request's messages go to, after every check that does not depend on the message, in RocketMQ's order
    /// (remoting reference §1.9).
    public func queue(for request: borrowing SendRequest) throws(BrokerError) -> StoredQueue {
        guard configuration.permission.contains(.write) else { throw .sendingForbidden }
        let topic: Topic
        if let known = state.topics[request.topic], known.takesMessages {
            topic = known
        } else {
            topic = try uncommonTopic(for: request)
        }
        guard request.queueID.rawValue < topic.queueCount else {
            throw .queueIllegal(request.queueID, topic.configuration)
        }
        if request.queueID.rawValue < 0 { return try anyQueue(of: topic, request.queueID) }
        return try topic.queue(request.queueID, in: store)
    }

    @inline(never)
    private func anyQueue(of topic: Topic, _ asked: QueueID) throws(BrokerError) -> StoredQueue {
        let count = topic.configuration.writeQueueCount
        guard count > 0 else { throw .queueIllegal(asked, topic.configuration) }
        return try topic.queue(QueueID(Int32(random.next(below: Int(count)))), in: store)
    }

    @inline(never)
    private func uncommonTopic(for request: borrowing SendRequest) throws(BrokerError) -> Topic {
        try TopicName.check(request.topic)
        let name = request.topic.string()
        guard !SystemTopics.sendForbidden.contains(name) else { throw .topicIsSystem(name) }
        let topic = try topic(
            forSending: request.topic, defaultTopic: request.defaultTopic,
            defaultQueueCount: request.defaultQueueCount)
        guard topic.configuration.permission.contains(.write) else { throw .topicNotWritable(topic.name) }
        return topic
    }

    /// Appends one message to a queue that ``queue(for:)`` gave.
    ///
    /// In memory on return. Acknowledge it when ``written``, or with synchronous flush ``flushed``, has reached `end`.
    /// - Throws: ``BrokerError/messageTooLarge(bodyMaximum:)``, ``BrokerError/refusesMessages``, ``BrokerError/storage(_:)``.
    @inline(__always)
    public func append(
        _ draft: consuming MessageDraft, to queue: StoredQueue
    ) throws(BrokerError) -> MessageStore.Appended {
        let size = draft.body.byteCount
        guard size <= configuration.messageSizeMaximum,
            draft.properties.byteCount <= Limits.propertiesSizeMaximum
        else { throw .messageTooLarge(bodyMaximum: configuration.messageSizeMaximum) }
        guard store.isWritable else { throw .refusesMessages }
        do {
            let appended = try store.append(draft, to: queue)
            metrics.messagesSent += 1
            metrics.bytesSent += Int64(size)
            return appended
        } catch {
            throw .storage(error)
        }
    }

    /// Makes room for a batch of messages; see `MessageStore/makeBatch()`.
    public func makeBatch() throws(BrokerError) -> MessageStore.Batch {
        guard store.isWritable else { throw .refusesMessages }
        return store.makeBatch()
    }

    /// Reserves room for one message of the batch.
    /// - Throws: ``BrokerError/storage(_:)``; nothing was appended.
    public func reserve(
        body: Int, properties: Int, topic: Int, in batch: inout MessageStore.Batch
    ) throws(BrokerError) {
        do {
            try store.reserve(
                MessageStore.recordSizeMaximum(body: body, properties: properties, topic: topic), in: &batch)
        } catch {
            throw .storage(error)
        }
    }

    /// Counts a send that was refused.
    public func sendRefused() { metrics.sendsRefused += 1 }
}
