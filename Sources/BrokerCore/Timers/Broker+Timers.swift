import Base
import Bytes
import Model
import Storage

extension Broker {
    /// Appends a message that is delivered to `queue` when it is due; at once when that is past.
    ///
    /// In memory on return, like ``append(_:to:)``. What is returned is where it waits.
    /// - Throws: as ``append(_:to:)``.
    public func append(
        _ draft: consuming MessageDraft, to queue: StoredQueue, dueAt due: Timestamp
    ) throws(BrokerError) -> MessageStore.Appended {
        let now = clock.timestamp.milliseconds
        guard due.milliseconds > now else { return try append(draft, to: queue) }
        let properties = timers.properties
        properties.removeAll()
        TimerProperties.appendWaiting(draft.properties, to: properties)
        TimerProperties.append(PropertyName.realTopic, draft.topic, to: properties)
        TimerProperties.append(PropertyName.realQueueID, Int64(queue.queueID.rawValue), to: properties)
        let wake = appendTimes(due: due.milliseconds, now: now, to: properties)
        let slot: StoredQueue
        do throws(StorageError) {
            slot = try timers.queue(TimerRing.slot(wake))
        } catch {
            throw .storage(error)
        }
        let topic = timers.topic
        var record = MessageDraft(topic: topic.span.bytes, body: draft.body, properties: properties.bytes)
        record.flag = draft.flag
        record.flags = draft.flags
        record.bornTimestamp = draft.bornTimestamp
        record.bornHost = draft.bornHost
        record.storeHost = draft.storeHost
        record.reconsumeTimes = draft.reconsumeTimes
        record.preparedTransactionOffset = draft.preparedTransactionOffset
        let appended = try append(record, to: slot)
        metrics.timersScheduled += 1
        return appended
    }

    /// - Returns: when the record is to be looked at.
    func appendTimes(due: Int64, now: Int64, to properties: ByteBuffer) -> Int64 {
        TimerProperties.append(PropertyName.timerOut, due, to: properties)
        let wake = timers.wake(due: due, now: now)
        if wake < due { TimerProperties.append(PropertyName.timerWake, wake, to: properties) }
        return wake
    }

    /// When ``endTurn()`` has timers to see to, in ms since 1970: `Int64.min` for at once, `Int64.max` for not by time.
    public var nextWake: Int64 { timers.blockedUntil == nil ? timers.nextWork : .max }

    /// Delayed messages that wait. Until all slots have been visited after a start it is a lower bound.
    public var pendingTimerCount: Int64 { timers.pendingCount }

    // MARK: - Recall

    /// Takes back the messages with this unique key that wait to be delivered to `topic`. Durable with the turn.
    ///
    /// They are found by the message index: without it nothing is.
    /// - Returns: how many there were.
    public func recall(topic: RawSpan, uniqueKey: RawSpan) throws(BrokerError) -> Int {
        let wheel = timers.topic
        let offsets = try query(
            topic: wheel.span.bytes, key: uniqueKey, from: Timestamp(milliseconds: 0),
            to: Timestamp(milliseconds: .max), maximumCount: Limits.queryMessagesMaximum)
        var found: [PendingID] = []
        for offset in offsets {
            let buffer = timers.record
            buffer.removeAll()
            guard try readRecord(at: offset, into: buffer), let record = try? MessageRecord(buffer.bytes) else {
                continue
            }
            let bytes = buffer.bytes
            let properties = bytes.extracting(record.properties)
            guard bytes.extracting(record.topic).equals(wheel.span.bytes),
                let key = MessageProperties.valueRange(of: "UNIQ_KEY", in: properties),
                properties.extracting(key).equals(uniqueKey),
                let target = MessageProperties.valueRange(of: "REAL_TOPIC", in: properties),
                properties.extracting(target).equals(topic),
                Int(record.queueID.rawValue) < TimerRing.slotCount
            else { continue }
            let pending = PendingID(.timer, record.queueID, record.queueOffset)
            if !state.ledger.isSettled(pending), !found.contains(pending) { found.append(pending) }
        }
        try settle(found)
        metrics.timersRecalled += Int64(found.count)
        return found.count
    }
}
