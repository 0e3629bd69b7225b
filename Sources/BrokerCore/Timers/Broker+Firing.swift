import Base
import Bytes
import Model
import Storage
import Telemetry

/// The delivery of delayed messages that are due: a bounded piece in each turn.
extension Broker {
    /// What a turn may still deliver.
    struct TimerBudget {
        var messages: Int
        var bytes: Int
        var isLeft: Bool { messages > 0 && bytes > 0 }
    }

    /// What came of looking at a timer.
    private enum Fired {
        /// It waits no longer, or its record is on its way from the medium.
        case done
        /// The store takes no messages now, or too many records are on their way: the timer stays where it is.
        case stays
    }

    /// Does what is due. What the disk refuses is tried again a little later, while everything else goes on.
    /// - Throws: `StorageError/stopped(_:)`.
    func runTimersOrRest() throws(StorageError) {
        if let blocked = timers.blockedUntil {
            guard clock.monotonic >= blocked else { return }
            timers.blockedUntil = nil
        }
        do {
            try runTimers()
            timers.failure = nil
        } catch .stopped(let error) {
            throw .stopped(error)
        } catch {
            _ = rest()
            guard timers.failure != error else { return }
            timers.failure = error
            log.error("delayed messages are held up", ["error": error.description])
        }
    }

    /// Does what is due.
    private func runTimers() throws(StorageError) {
        let now = clock.timestamp.milliseconds
        var budget = TimerBudget(
            messages: timers.configuration.messagesPerTurn, bytes: timers.configuration.bytesPerTurn)
        while budget.isLeft, let timer = timers.thawed.last {
            timers.thawed.removeLast()
            var fired = Fired.stays
            // It may come again at once, with another place.
            defer { if fired == .stays { timers.thawed.append(timer) } }
            fired = try fire(timer, now, mayWait: true, &budget)
            guard fired == .done else { return }
        }
        while budget.isLeft, let timer = timers.heap.first, timer.wake <= now {
            guard try fire(timer, now, &budget) == .done else { return }
            metrics.timerLatenessMaximum = max(metrics.timerLatenessMaximum, now - timer.wake)
            timers.removeFirst()
        }
        try scanSlots(now, &budget)
    }

    // MARK: - Scan

    private func scanSlots(_ now: Int64, _ budget: inout TimerBudget) throws(StorageError) {
        var left = timers.configuration.entriesPerTurn
        while left > 0, budget.isLeft {
            if timers.scan == nil {
                guard try timers.beginScan(now) else { return }
                // The queue may have to be loaded.
                left -= timers.configuration.entriesPerTurn / 16
                try skipWhatIsGone()
            }
            let count = try timers.readPiece()
            guard count > 0 else {
                timers.endScan()
                continue
            }
            left -= count
            guard try look(count, now, &budget) else { return }
        }
    }

    /// Settles what waits in the scan's queue and whose records the log has no more: forced cleaning took them.
    private func skipWhatIsGone() throws(StorageError) {
        guard let scan = timers.scan else { return }
        let minimum = try store.minimumOffset(of: scan.queue)
        guard scan.next < minimum else { return }
        let first = PendingID(.timer, scan.number, minimum)
        let pending = state.ledger.pendingCount(.timer, scan.number, before: minimum)
        log.error(
            "delayed messages were lost with removed segments",
            ["slot": "\(scan.number)", "messages": "\(pending)"])
        metrics.timersLost += pending
        try changeState(.settledBefore(first))
        timers.moveScan(to: minimum)
    }

    /// Looks at the first `count` entries of the piece.
    /// - Returns: false when the turn is over for timers.
    private func look(_ count: Int, _ now: Int64, _ budget: inout TimerBudget) throws(StorageError) -> Bool {
        guard let scan = timers.scan else { return false }
        for index in 0..<count {
            let entry = timers.entries[index]
            let pending = PendingID(.timer, scan.number, scan.next.advanced(by: index))
            guard !state.ledger.isSettled(pending) else { continue }
            // One that belongs to another slot is damaged: its record says when it is due.
            if entry.tagsCode <= now || scan.isSchedule || TimerRing.slot(entry.tagsCode) != Int(scan.number.rawValue) {
                let timer = PendingTimer(
                    wake: entry.tagsCode, offset: entry.physicalOffset, pending: pending.field, size: entry.size)
                guard budget.isLeft, try fire(timer, now, &budget) == .done else {
                    timers.advanceScan(by: index)
                    return false
                }
            } else {
                timers.insert(entry, pending)
            }
        }
        timers.advanceScan(by: count)
        return true
    }

    // MARK: - One timer

    private func fire(
        _ timer: PendingTimer, _ now: Int64, mayWait: Bool = false, _ budget: inout TimerBudget
    ) throws(StorageError) -> Fired {
        guard let pending = PendingID(field: timer.pending), !state.ledger.isSettled(pending) else { return .done }
        guard store.isWritable else { return rest() }
        let buffer = timers.record
        buffer.removeAll()
        let queue = try timers.queue(Int(pending.queueID.rawValue))
        switch try store.readRecord(
            at: timer.offset, size: Int(timer.size), of: queue, pending.queueOffset, mayWait: mayWait, into: buffer)
        {
        case .cold: return fetchFromMedium(timer)
        case .gone:
            if try look(again: timer, pending, queue) { return .done }
            try lose(pending, "its record is gone or damaged")
        case .done:
            do throws(StorageError) {
                try deliver(timer, pending, now)
            } catch .diskFull {
                return rest()
            } catch .recordTooLarge {
                try lose(pending, "it is larger than messages may be now")
            }
        }
        budget.messages -= 1
        budget.bytes -= Int(timer.size)
        return .done
    }

    /// Looks in the log for a timer whose record is not where its entry says.
    /// - Returns: whether it comes again: with the right place, or when more of the log has been read.
    private func look(
        again timer: PendingTimer, _ pending: PendingID, _ queue: StoredQueue
    ) throws(StorageError) -> Bool {
        guard try pending.queueOffset >= store.minimumOffset(of: queue) else { return false }
        do throws(StorageError) {
            switch try store.mend(queue, at: pending.queueOffset) {
            case .absent: return false
            case .looking(let place):
                timers.prefetches += 1
                let timers = timers
                store.prefetchRecord(at: place) {
                    timers.prefetches -= 1
                    timers.thawed.append(timer)
                }
                return true
            case .mended:
                guard let entry = try store.entry(of: queue, at: pending.queueOffset),
                    (entry.physicalOffset, entry.size) != (timer.offset, timer.size)
                else { return false }
                timers.thawed.append(
                    PendingTimer(
                        wake: timer.wake, offset: entry.physicalOffset, pending: timer.pending, size: entry.size))
                return true
            }
        } catch .corrupt {
            return false
        }
    }

    /// Tries again a little later.
    private func rest() -> Fired {
        timers.blockedUntil = clock.monotonic.advanced(byMilliseconds: timers.configuration.blockedMilliseconds)
        return .stays
    }

    private func fetchFromMedium(_ timer: PendingTimer) -> Fired {
        guard timers.prefetches < timers.configuration.prefetchesMaximum else { return .stays }
        timers.prefetches += 1
        let timers = timers
        store.prefetchRecord(at: timer.offset, size: Int(timer.size)) {
            timers.prefetches -= 1
            timers.thawed.append(timer)
        }
        return .done
    }

    private func lose(_ pending: PendingID, _ reason: String) throws(StorageError) {
        log.error("a delayed message is lost", ["reason": reason, "slot": "\(pending.queueID)"])
        metrics.timersLost += 1
        try changeState(.settled([pending]))
    }

    func changeState(_ record: StateRecord) throws(StorageError) {
        do throws(BrokerError) {
            try change(record)
        } catch {
            throw error.storageError
        }
    }

    /// Appends what the record in ``TimerWheel/record`` becomes: the message, or a record in another slot when it is not due yet.
    private func deliver(_ timer: PendingTimer, _ pending: PendingID, _ now: Int64) throws(StorageError) {
        let buffer = timers.record
        let bytes = buffer.bytes
        guard let record = try? MessageRecord(bytes) else { return try lose(pending, "its record does not decode") }
        let old = bytes.extracting(record.properties)
        guard let topicRange = MessageProperties.valueRange(of: "REAL_TOPIC", in: old), !topicRange.isEmpty,
            topicRange.count <= Limits.groupLengthMaximum + SystemTopics.retryPrefix.utf8.count
        else { return try lose(pending, "it does not say where it goes") }
        let number = MessageProperties.valueRange(of: "REAL_QID", in: old).flatMap { old.extracting($0).decimal() } ?? 0
        let due = MessageProperties.valueRange(of: "TIMER_OUT_MS", in: old).flatMap { old.extracting($0).decimal() }
        let properties = timers.properties
        properties.removeAll()
        TimerProperties.appendDelivered(old, to: properties)
        let dueTime = due ?? timer.wake
        if dueTime > now {
            let wake = appendTimes(due: dueTime, now: now, to: properties)
            let slot = try timers.queue(TimerRing.slot(wake))
            let topic = timers.topic
            let draft = MessageDraft(
                topic: topic.span.bytes, body: bytes.extracting(record.body), properties: properties.bytes)
            try append(draft, of: record, pending, to: slot)
            metrics.timersRolled += 1
        } else {
            let topic = old.extracting(topicRange)
            let queue = try queue(forDelivery: topic, number)
            let draft = MessageDraft(
                topic: topic, body: bytes.extracting(record.body), properties: properties.bytes)
            try append(draft, of: record, pending, to: queue)
            metrics.timersFired += 1
        }
    }

    private func append(
        _ draft: consuming MessageDraft, of record: MessageRecord, _ pending: PendingID, to queue: StoredQueue
    ) throws(StorageError) {
        draft.flag = record.flag
        draft.flags = record.flags.withTransactionState(0)
        draft.bornTimestamp = record.bornTimestamp
        draft.bornHost = record.bornHost
        draft.storeHost = record.storeHost
        draft.reconsumeTimes = record.reconsumeTimes
        draft.preparedTransactionOffset = pending.field
        _ = try store.append(draft, to: queue)
    }

    /// The queue that a delayed message goes to. When its topic has been removed meanwhile the message is stored all the same, as
    /// RocketMQ does: it is seen when the topic is created again. A retry topic is created. Of a topic that has fewer queues now,
    /// another one is taken.
    private func queue(forDelivery name: RawSpan, _ number: Int64) throws(StorageError) -> StoredQueue {
        var known = state.topics[name]
        do throws(BrokerError) {
            if known == nil { known = try remadeRetryTopic(name) }
            if let topic = known {
                let count = Int64(topic.configuration.queueCount)
                let queueID = number >= 0 && number < count ? number : max(0, number) % max(1, count)
                return try topic.queue(QueueID(Int32(queueID)), in: store)
            }
        } catch {
            throw error.storageError
        }
        log.warning("a delayed message is stored for a topic that is not there", ["topic": name.string()])
        let queueID = number >= 0 && number < Limits.queuesPerTopicMaximum ? number : 0
        return try store.queue(topic: name.string(), QueueID(Int32(queueID)))
    }

    private func remadeRetryTopic(_ name: RawSpan) throws(BrokerError) -> Topic? {
        guard name.byteCount > 7, name.extracting(0..<7).equals("%RETRY%") else { return nil }
        return try makeRetryTopic(name.string())
    }
}
