import Base
import Bytes
import Model
import Storage

extension Broker {
    /// Has producers asked about a message again from the beginning: about a half message whose questions are nearly used up, or
    /// about one that was given up, which becomes a half message once more (323 `RESUME_CHECK_HALF_MESSAGE`). Durable with
    /// the turn.
    /// - Parameter offset: of the half message, or of the message in `TRANS_CHECK_MAX_TIME_TOPIC`.
    /// - Throws: ``BrokerError/transaction(_:)`` when there is neither, or the half message was ended.
    public func resumeChecks(at offset: PhysicalOffset) throws(BrokerError) {
        let buffer = transactions.record
        buffer.removeAll()
        guard try readRecord(at: offset, into: buffer), let record = try? MessageRecord(buffer.bytes) else {
            throw .transaction(.notFound)
        }
        if let half = HalfMessage(record, in: buffer.bytes) { return try resume(half) }
        guard buffer.bytes.extracting(record.topic).equals("TRANS_CHECK_MAX_TIME_TOPIC"),
            try givenUpOffset(record.queueOffset) == offset
        else { throw .transaction(.notFound) }
        try prepareAgain(record)
    }

    /// Where the message at this offset of the queue of given up messages lies. A body may hold what looks like a record.
    private func givenUpOffset(_ offset: QueueOffset) throws(BrokerError) -> PhysicalOffset? {
        do throws(StorageError) {
            let queue = try store.queue(topic: SystemTopics.transactionCheckExceeded, HalfMessage.queueID)
            return try store.entry(of: queue, at: offset)?.physicalOffset
        } catch {
            throw .storage(error)
        }
    }

    private func resume(_ half: HalfMessage) throws(BrokerError) {
        let offset = half.record.queueOffset
        guard let entry = try halfEntry(at: offset), entry.physicalOffset == half.record.physicalOffset else {
            throw .transaction(.notFound)
        }
        let pending = PendingID(.half, HalfMessage.queueID, offset)
        guard !state.ledger.isSettled(pending) else { throw .transaction(.ended) }
        try change(.halvesChecked([CheckedHalf(pending: pending, count: 0, time: clock.timestamp)]))
    }

    /// Its properties still say where it goes and whose it is.
    private func prepareAgain(_ record: MessageRecord) throws(BrokerError) {
        let halves = try halfQueueOrMake()
        let buffer = transactions.record
        let span = buffer.bytes
        let properties = transactions.properties
        properties.removeAll()
        HalfMessage.appendWithoutChecks(span.extracting(record.properties), to: properties)
        let topic = HalfMessage.topic
        let size = properties.count
        var draft = MessageDraft(
            topic: topic.span.bytes, body: span.extracting(record.body),
            properties: properties.bytes.extracting(0..<size))
        draft.take(record)
        _ = try append(draft, to: halves)
        metrics.halvesStored += 1
    }
}
