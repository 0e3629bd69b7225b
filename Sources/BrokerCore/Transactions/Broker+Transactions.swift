import Base
import Bytes
import Model
import Storage
import Telemetry

/// How a producer ends a transaction.
public enum TransactionOutcome: Sendable {
    case commit
    case rollback
}

/// Transactions: a half message is stored where no consumer sees it, and its producer says later what becomes of it. Who does
/// not say is asked: see ``TransactionChecks``.
///
/// Storing the committed message settles its half message in the same record (``PendingID``), so that no crash parts them; a
/// rollback is a state record. A half message is ended once: what comes later finds it settled.
extension Broker {
    /// Stores a half message for a queue that ``queue(for:)`` gave.
    ///
    /// In memory on return, as with ``append(_:to:)``; the offsets are those of the half message, which its producer ends it by.
    /// - Parameters:
    ///   - draft: as it would be sent to the queue.
    ///   - group: the producer's, for a message whose properties do not say it.
    public func prepare(
        _ draft: borrowing MessageDraft, for queue: StoredQueue, group: RawSpan
    ) throws(BrokerError) -> MessageStore.Appended {
        let halves = try halfQueueOrMake()
        let properties = transactions.properties
        properties.removeAll()
        HalfMessage.appendStored(draft.properties, for: queue, group: group, to: properties)
        let topic = HalfMessage.topic
        let size = properties.count
        var half = MessageDraft(
            topic: topic.span.bytes, body: draft.body, properties: properties.bytes.extracting(0..<size))
        half.flag = draft.flag
        half.flags = draft.flags.withTransactionState(0)
        half.bornTimestamp = draft.bornTimestamp
        half.bornHost = draft.bornHost
        half.storeHost = draft.storeHost
        half.reconsumeTimes = draft.reconsumeTimes
        let appended = try append(half, to: halves)
        metrics.halvesStored += 1
        return appended
    }

    /// What came of ending a transaction.
    public enum TransactionEnd: Equatable, Sendable {
        /// It is ended when the log's watermark has come to `end`.
        case ended(end: PhysicalOffset)
        /// The half message is on the medium only: ``prefetchHalf(at:_:)``, then again with `mayWait`.
        case cold
    }

    /// Commits or rolls back a half message, after RocketMQ's checks and one more: that it has not been ended before.
    /// - Parameters:
    ///   - physicalOffset: of the half message, as its producer was told.
    ///   - queueOffset: likewise.
    ///   - group: the producer's.
    ///   - messageID, transactionID: how else the producer names the half message that it means; empty where it does not.
    ///   - mayWait: whether to block for a half message that is on the medium only.
    /// - Throws: ``BrokerError/transaction(_:)``; and of a commit what a send throws. The half message waits on then.
    public func endTransaction(
        _ outcome: TransactionOutcome, at physicalOffset: PhysicalOffset, queueOffset: QueueOffset, group: RawSpan,
        messageID: RawSpan = RawSpan(), transactionID: RawSpan = RawSpan(), mayWait: Bool = false
    ) throws(BrokerError) -> TransactionEnd {
        let buffer = transactions.record
        buffer.removeAll()
        switch try readHalf(at: physicalOffset, mayWait: mayWait, into: buffer) {
        case .done: break
        case .cold: return .cold
        case .missing: throw .transaction(.notFound)
        }
        let span = buffer.bytes
        guard let record = try? MessageRecord(span), let half = HalfMessage(record, in: span) else {
            throw .transaction(.notFound)
        }
        guard let known = half.producerGroup, span.extracting(known).equals(group) else {
            throw .transaction(.groupWrong)
        }
        guard record.queueOffset == queueOffset else { throw .transaction(.queueOffsetWrong) }
        // A body may hold what looks like a record. The queue knows where its messages lie.
        guard let entry = try halfEntry(at: queueOffset) else { throw .transaction(.notFound) }
        guard entry.physicalOffset == physicalOffset else { throw .transaction(.commitLogOffsetWrong) }
        guard half.mayBeMeant(by: messageID, transactionID, in: span) else {
            log.warning(
                "the end of a transaction names another half message than lies at its place; it is refused",
                ["named": messageID.string(), "there": half.uniqueKey.map { span.extracting($0).string() } ?? ""])
            throw .transaction(.otherMessage)
        }
        let pending = PendingID(.half, HalfMessage.queueID, queueOffset)
        guard !state.ledger.isSettled(pending) else { throw .transaction(.ended) }
        switch outcome {
        case .commit: return .ended(end: try commit(half, span, pending))
        case .rollback:
            try settle([pending])
            metrics.transactionsRolledBack += 1
            return .ended(end: store.end)
        }
    }

    /// Brings a half message that was found cold into the page cache and calls `completion` in a later turn.
    public func prefetchHalf(at offset: PhysicalOffset, _ completion: @escaping () -> Void) {
        store.prefetchRecord(at: offset, completion)
    }

    /// Half messages that are neither ended nor given up.
    public var pendingTransactionCount: Int64 {
        guard let queue = try? halfQueue() else { return 0 }
        return state.ledger.pendingCount(.half, HalfMessage.queueID, before: queue.maximumOffset)
    }

    // MARK: - Commit

    private func commit(
        _ half: HalfMessage, _ span: RawSpan, _ pending: PendingID
    ) throws(BrokerError) -> PhysicalOffset {
        guard let topicName = half.realTopic, let queueID = half.realQueueID else {
            throw .transaction(.withoutDestination)
        }
        let name = span.extracting(topicName)
        let queue = try queue(forCommitted: name, queueID)
        let properties = transactions.properties
        properties.removeAll()
        half.appendCommitted(from: span, to: properties)
        let size = properties.count
        var draft = MessageDraft(
            topic: name, body: span.extracting(half.record.body), properties: properties.bytes.extracting(0..<size))
        draft.take(half.record)
        draft.flags = half.record.flags.withTransactionState(MessageFlags.transactionCommit)
        draft.preparedTransactionOffset = pending.field
        // A delay begins with the commit, as in RocketMQ. One that makes no sense was refused with the half message.
        let now = clock.timestamp
        let due = try? MessageDelay.due(properties.bytes, now: now, configuration.timers)
        let appended = try append(draft, to: queue, dueAt: due ?? now)
        metrics.transactionsCommitted += 1
        return appended.end
    }

    /// The queue that a committed message goes to. It was accepted when its half was, so nothing is asked again; a topic that
    /// was removed meanwhile is made again as the first message to it would make it.
    private func queue(forCommitted name: RawSpan, _ queueID: QueueID) throws(BrokerError) -> StoredQueue {
        if let topic = state.topics[name], topic.takesMessages { return try topic.queue(queueID, in: store) }
        // A half message of another broker may say anything.
        guard !SystemTopics.sendForbidden.contains(name.string()) else { throw .transaction(.withoutDestination) }
        try TopicName.check(name)
        if let topic = state.topics[name] { return try topic.queue(queueID, in: store) }
        let model = Array(SystemTopics.autoCreate.utf8)
        let topic = try topic(forSending: name, defaultTopic: model.span.bytes, defaultQueueCount: queueID.rawValue + 1)
        let count = max(1, topic.configuration.writeQueueCount)
        return try topic.queue(QueueID(queueID.rawValue % count), in: store)
    }

    // MARK: - The queue of half messages

    /// Loaded when it is used for the first time.
    func halfQueue() throws(BrokerError) -> StoredQueue {
        if let queue = transactions.queue { return queue }
        do {
            let queue = try store.queue(topic: SystemTopics.half, HalfMessage.queueID)
            transactions.queue = queue
            return queue
        } catch {
            throw .storage(error)
        }
    }

    /// Operators find the topic in the lists from the first half message on, as with RocketMQ.
    func halfQueueOrMake() throws(BrokerError) -> StoredQueue {
        if transactions.isTopicKnown, let queue = transactions.queue { return queue }
        _ = try systemTopic(SystemTopics.half)
        transactions.isTopicKnown = true
        return try halfQueue()
    }

    private func readHalf(
        at offset: PhysicalOffset, mayWait: Bool, into buffer: ByteBuffer
    ) throws(BrokerError) -> MessageStore.RecordOutcome {
        do {
            return try store.readRecord(at: offset, mayWait: mayWait, into: buffer)
        } catch {
            throw .storage(error)
        }
    }

    func halfEntry(at offset: QueueOffset) throws(BrokerError) -> ConsumeQueueEntry? {
        let queue = try halfQueue()
        do {
            return try store.entry(of: queue, at: offset)
        } catch {
            throw .storage(error)
        }
    }
}

extension MessageDraft {
    /// Takes over what does not change when a message moves from a pending queue to another.
    mutating func take(_ record: MessageRecord) {
        flag = record.flag
        flags = record.flags
        bornTimestamp = record.bornTimestamp
        bornHost = record.bornHost
        storeHost = record.storeHost
        reconsumeTimes = record.reconsumeTimes
    }
}
