import Base
import Bytes
import Model
import Storage
import Telemetry

/// When the producers of pending half messages are asked what became of them (39 `CHECK_TRANSACTION_STATE`).
///
/// Each half message has its own time: a while after it was stored, then in intervals, up to a number of times; then it is
/// given up and goes to `TRANS_CHECK_MAX_TIME_TOPIC`. A question that reaches nobody does not count.
///
/// What waits is a view: the queue of half messages, less what the ledger knows as settled. A cursor follows that queue at a
/// small distance, and only what is still pending when the cursor comes by gets a place in the heap, so that transactions
/// which end at once cost nothing here. After a start the cursor begins at the first pending half message and catches up in
/// small pieces. Memory is bounded: when the heap is full the cursor waits.
///
/// Times within the process are measured on the monotonic clock. Only what was stored before the start is measured by the wall
/// clock, and then no longer than the whole wait, so that a clock that jumps can neither lose nor endlessly put off a question.
final class TransactionChecks {
    private let configuration: TransactionConfiguration
    /// The queue of half messages, once it is loaded.
    @exclusivity(unchecked) var queue: StoredQueue?
    /// Whether the topic of half messages is in the table of topics.
    @exclusivity(unchecked) var isTopicKnown = false
    /// The record that is looked at.
    let record = ByteBuffer(capacity: 4096)
    /// The properties of a message that is put together.
    let properties = ByteBuffer(capacity: 1024)
    private let checkRecord = ByteBuffer(capacity: 4096)

    private var heap = CheckHeap()
    /// Half messages of groups without a producer online, by group.
    private var parked: [String: [QueueOffset]] = [:]
    private var parkedCount = 0
    /// Whether some were dropped from ``parked`` for want of room: they are on the disk, before the cursor.
    private var hasForgotten = false
    /// Everything before is settled, in the heap, or parked.
    private var cursor = QueueOffset.zero
    /// Where the queue ended at certain moments, which tells how old its messages are; the first is the start, without a time.
    private var marks: [Mark] = []
    private var isPrefetching = false
    /// What was fetched from the medium last is read without asking whether it is there: some file systems never tell.
    private var fetched = PhysicalOffset.zero..<PhysicalOffset.zero
    private var hasBegun = false
    /// Both clocks when the cursor began.
    private var beginning = (wall: Timestamp(milliseconds: 0), monotonic: MonotonicTime(nanoseconds: 0))

    private struct Mark {
        var end: QueueOffset
        var time: MonotonicTime?
    }

    /// How far the cursor stays behind the end of the queue, in ms: most transactions end sooner.
    static let distanceMilliseconds: Int64 = 500
    static let marksMaximum = 64
    /// Half messages that one step loads, and checks, and bytes of records that it reads for each.
    static let loadsPerStep = 2_000
    static let checksPerStep = 256
    static let bytesPerStep = 1024 * 1024
    /// When a question is tried again that the disk or the producer's connection had no room for, in ms.
    static let retryMilliseconds: Int64 = 1_000

    init(_ configuration: TransactionConfiguration) { self.configuration = configuration }

    /// Half messages that are in memory.
    var waitingCount: Int { heap.count + parkedCount }

    // MARK: - Step

    /// Does what is due. Bounded work per call.
    func step(_ broker: Broker) throws(BrokerError) {
        let queue = try broker.halfQueue()
        let now = broker.clock.monotonic
        if !hasBegun { begin(broker, queue) }
        try settleRemoved(broker, queue)
        mark(queue.maximumOffset, at: now)
        guard !isPrefetching else { return }
        try load(broker, queue, now)
        guard !isPrefetching, broker.store.isWritable else { return }
        try checkDue(broker, queue, now)
    }

    /// A group that had no producer has one now: what waits for it is asked at once.
    func producerCame(_ group: String, now: MonotonicTime) {
        if let offsets = parked.removeValue(forKey: group) {
            parkedCount -= offsets.count
            for offset in offsets { heap.insert(CheckHeap.Entry(due: now, offset: offset)) }
        }
        if hasForgotten { startOver() }
    }

    /// Notes what was there before the process.
    func begin(_ broker: Broker, _ queue: StoredQueue) {
        hasBegun = true
        beginning = (broker.clock.timestamp, broker.clock.monotonic)
        cursor = broker.state.ledger.firstPending(.half, HalfMessage.queueID)
        marks.append(Mark(end: queue.maximumOffset, time: nil))
    }

    /// Reads the queue again from its first pending message on. What was asked before keeps its time.
    private func startOver() {
        hasForgotten = false
        heap.removeAll()
        parked.removeAll()
        parkedCount = 0
        marks.removeAll()
        hasBegun = false
    }

    private func mark(_ end: QueueOffset, at now: MonotonicTime) {
        guard end > marks.last?.end ?? cursor else { return }
        if marks.count >= Self.marksMaximum { marks.removeLast() }
        marks.append(Mark(end: end, time: now))
    }

    /// Half messages whose segment has gone are nothing that anybody could commit.
    private func settleRemoved(_ broker: Broker, _ queue: StoredQueue) throws(BrokerError) {
        let minimum: QueueOffset
        do throws(StorageError) {
            minimum = try broker.store.minimumOffset(of: queue)
        } catch {
            throw .storage(error)
        }
        let first = broker.state.ledger.firstPending(.half, HalfMessage.queueID)
        guard first < minimum, minimum <= queue.maximumOffset else { return }
        broker.log.warning(
            "half messages were removed with their segment before they were ended",
            ["from": "\(first)", "to": "\(minimum)"])
        try broker.change(.settledBefore(PendingID(.half, HalfMessage.queueID, minimum)))
        for (group, offsets) in parked {
            let kept = offsets.filter { $0 >= minimum }
            parkedCount -= offsets.count - kept.count
            parked[group] = kept.isEmpty ? nil : kept
        }
    }

    // MARK: - Load

    private func load(_ broker: Broker, _ queue: StoredQueue, _ now: MonotonicTime) throws(BrokerError) {
        let distance = min(Self.distanceMilliseconds, configuration.timeoutMilliseconds)
        var budget = Budget(count: Self.loadsPerStep, bytes: Self.bytesPerStep)
        while let mark = marks.first {
            if let time = mark.time, now.milliseconds(since: time) < distance { return }
            guard try load(broker, queue, upTo: mark, now, &budget) else { return }
            marks.removeFirst()
        }
    }

    private struct Budget {
        var count: Int
        var bytes: Int
        var isSpent: Bool { count <= 0 || bytes <= 0 }
        mutating func spend(_ size: Int) {
            count -= 1
            bytes -= size
        }
    }

    /// - Returns: whether the cursor has come to the mark.
    private func load(
        _ broker: Broker, _ queue: StoredQueue, upTo mark: Mark, _ now: MonotonicTime, _ budget: inout Budget
    ) throws(BrokerError) -> Bool {
        while true {
            cursor = broker.state.ledger.firstPending(.half, HalfMessage.queueID, from: cursor)
            guard cursor < mark.end else { return true }
            guard !budget.isSpent, hasRoom() else { return false }
            var due = now
            switch try read(broker, queue, cursor) {
            case .half(let half):
                due = firstCheck(of: half, broker, mark.time, now)
                budget.spend(half.record.size)
            case .cold: return false
            case .missing: budget.spend(MessageRecord.sizeMinimum)
            }
            heap.insert(CheckHeap.Entry(due: due, offset: cursor))
            cursor = cursor.advanced(by: 1)
        }
    }

    /// Whether another half message may wait in memory. Those that wait for a producer make room: they are found again.
    private func hasRoom() -> Bool {
        guard waitingCount >= configuration.waitingMaximum else { return true }
        guard parkedCount > 0 else { return false }
        parked.removeAll()
        parkedCount = 0
        hasForgotten = true
        return true
    }

    private func firstCheck(
        of half: HalfMessage, _ broker: Broker, _ stored: MonotonicTime?, _ now: MonotonicTime
    ) -> MonotonicTime {
        // As a clock would show that nobody has set since.
        let wall = Timestamp(
            milliseconds: beginning.wall.milliseconds + now.milliseconds(since: beginning.monotonic))
        if let checked = broker.state.checkedHalves[half.record.queueOffset] {
            return Self.time(configuration.checkIntervalMilliseconds, after: checked.time, wall, now)
        }
        let wait = half.immunitySeconds.map { $0 * 1_000 } ?? configuration.timeoutMilliseconds
        if let stored { return stored.advanced(byMilliseconds: wait) }
        return Self.time(wait, after: half.record.storeTimestamp, wall, now)
    }

    /// The moment `wait` after a time of the wall clock, but neither past nor further away than `wait`.
    private static func time(
        _ wait: Int64, after start: Timestamp, _ wall: Timestamp, _ now: MonotonicTime
    ) -> MonotonicTime {
        // A damaged time may be anything.
        let passed = wall.milliseconds.subtractingReportingOverflow(start.milliseconds)
        let rest = passed.overflow ? 0 : wait - min(max(0, passed.partialValue), wait)
        return now.advanced(byMilliseconds: rest)
    }

    // MARK: - Read

    private enum Found {
        case half(HalfMessage)
        case cold
        /// There is no such record, or it is damaged.
        case missing
    }

    /// Reads a half message into ``record``. One that is on the medium only is fetched in the background.
    private func read(_ broker: Broker, _ queue: StoredQueue, _ offset: QueueOffset) throws(BrokerError) -> Found {
        let buffer = record
        buffer.removeAll()
        do throws(StorageError) {
            guard let entry = try broker.store.entry(of: queue, at: offset) else { return .missing }
            let mayWait = fetched.contains(entry.physicalOffset)
            switch try broker.store.readRecord(at: entry.physicalOffset, mayWait: mayWait, into: buffer) {
            case .done: break
            case .missing: return .missing
            case .cold:
                isPrefetching = true
                broker.store.prefetchRecord(at: entry.physicalOffset) {
                    self.isPrefetching = false
                    let end = entry.physicalOffset.advanced(by: MessageStore.prefetchedSize)
                    self.fetched = entry.physicalOffset..<end
                }
                return .cold
            }
        } catch {
            throw .storage(error)
        }
        let span = buffer.bytes
        guard let record = try? MessageRecord(span), let half = HalfMessage(record, in: span) else { return .missing }
        return .half(half)
    }

    // MARK: - Check

    private func checkDue(_ broker: Broker, _ queue: StoredQueue, _ now: MonotonicTime) throws(BrokerError) {
        var budget = Budget(count: Self.checksPerStep, bytes: Self.bytesPerStep)
        var asked: [CheckedHalf] = []
        var failure: BrokerError?
        while let next = heap.first, next.due <= now, !budget.isSpent, failure == nil, !isPrefetching {
            do throws(BrokerError) {
                try checkFirst(next, broker, queue, now, &budget, &asked)
            } catch {
                failure = error
            }
        }
        // Whatever has failed, the questions that leave with this turn are counted.
        try count(asked, broker)
        if let failure { throw failure }
    }

    private func count(_ asked: [CheckedHalf], _ broker: Broker) throws(BrokerError) {
        guard !asked.isEmpty else { return }
        do {
            try broker.change(.halvesChecked(asked))
        } catch {
            // The disk is full: this process counts them all the same.
            for half in asked { broker.state.checkedHalves.note(half) }
            throw error
        }
    }

    private func checkFirst(
        _ entry: CheckHeap.Entry, _ broker: Broker, _ queue: StoredQueue, _ now: MonotonicTime,
        _ budget: inout Budget, _ asked: inout [CheckedHalf]
    ) throws(BrokerError) {
        let pending = PendingID(.half, HalfMessage.queueID, entry.offset)
        guard !broker.state.ledger.isSettled(pending) else { return heap.removeFirst() }
        switch try read(broker, queue, entry.offset) {
        case .cold: return
        case .missing:
            budget.spend(MessageRecord.sizeMinimum)
            heap.removeFirst()
            broker.log.error("a half message cannot be read", ["offset": "\(entry.offset)"])
            again(entry.offset, after: configuration.checkIntervalMilliseconds, now)
        case .half(let half):
            budget.spend(half.record.size)
            heap.removeFirst()
            let known = broker.state.checkedHalves[entry.offset]?.count ?? half.checkCount
            guard known < configuration.checkMaximum else { return giveUp(half, pending, known, broker, now) }
            guard try ask(half, known + 1, broker, now) else { return }
            asked.append(CheckedHalf(pending: pending, count: known + 1, time: broker.clock.timestamp))
            again(entry.offset, after: configuration.checkIntervalMilliseconds, now)
        }
    }

    private func again(_ offset: QueueOffset, after milliseconds: Int64, _ now: MonotonicTime) {
        heap.insert(CheckHeap.Entry(due: now.advanced(byMilliseconds: milliseconds), offset: offset))
    }

    /// Asks one of the group's producers, any of them, about the half message in ``record``.
    /// - Returns: false when nobody could be asked; then it waits for a producer, or is tried again soon.
    private func ask(
        _ half: HalfMessage, _ count: Int32, _ broker: Broker, _ now: MonotonicTime
    ) throws(BrokerError) -> Bool {
        let record = record
        let span = record.bytes
        let offset = half.record.queueOffset
        let group = half.producerGroup.map { span.extracting($0).string() } ?? ""
        guard let members = broker.members.producerGroup(group)?.members, !members.isEmpty else {
            parked[group, default: []].append(offset)
            parkedCount += 1
            return false
        }
        let channels = members.map(\.channel).filter(\.isReachable)
        guard !channels.isEmpty, let topic = half.realTopic else {
            again(offset, after: Self.retryMilliseconds, now)
            return false
        }
        let properties = properties
        properties.removeAll()
        half.appendChecked(count, from: span, to: properties)
        var draft = MessageDraft(
            topic: span.extracting(topic), body: span.extracting(half.record.body), properties: properties.bytes)
        draft.take(half.record)
        draft.queueID = half.realQueueID ?? QueueID(0)
        let checkRecord = checkRecord
        checkRecord.removeAll()
        draft.appendRecord(
            queueOffset: offset, physicalOffset: half.record.physicalOffset,
            storeTimestamp: half.record.storeTimestamp, to: checkRecord)
        channels[broker.random.next(below: channels.count)].checkTransaction(
            TransactionCheck(
                record: checkRecord, queueOffset: offset, physicalOffset: half.record.physicalOffset,
                uniqueKey: half.uniqueKey.map { span.extracting($0).string() }))
        broker.metrics.transactionsChecked += 1
        return true
    }

    /// Stores the half message for operators to look at. That record settles it.
    private func giveUp(
        _ half: HalfMessage, _ pending: PendingID, _ count: Int32, _ broker: Broker, _ now: MonotonicTime
    ) {
        do throws(BrokerError) {
            try store(half, givenUp: pending, count, broker)
        } catch {
            // The disk is full, or a message of its size is not allowed any more: it is not lost, and nothing is in a hurry.
            return again(half.record.queueOffset, after: configuration.checkIntervalMilliseconds, now)
        }
        broker.metrics.transactionsGivenUp += 1
        let record = record
        let span = record.bytes
        broker.log.warning(
            "a transaction was given up: its producers never said what became of it",
            [
                "group": half.producerGroup.map { span.extracting($0).string() } ?? "",
                "topic": half.realTopic.map { span.extracting($0).string() } ?? "",
                "message": half.uniqueKey.map { span.extracting($0).string() } ?? "", "checks": "\(count)",
            ])
    }

    private func store(
        _ half: HalfMessage, givenUp pending: PendingID, _ count: Int32, _ broker: Broker
    ) throws(BrokerError) {
        let topic = try broker.systemTopic(SystemTopics.transactionCheckExceeded)
        let queue = try topic.queue(HalfMessage.queueID, in: broker.store)
        let record = record
        let span = record.bytes
        let properties = properties
        properties.removeAll()
        half.appendChecked(count, from: span, to: properties)
        let size = properties.count
        let name = Self.givenUpTopic
        var draft = MessageDraft(
            topic: name.span.bytes, body: span.extracting(half.record.body),
            properties: properties.bytes.extracting(0..<size))
        draft.take(half.record)
        draft.preparedTransactionOffset = pending.field
        _ = try broker.append(draft, to: queue)
    }

    private static let givenUpTopic = Array(SystemTopics.transactionCheckExceeded.utf8)
}

/// A question to a producer: what became of this half message?
public struct TransactionCheck {
    /// Holds the message as a record, with the topic and the queue that it is for; valid during the call only.
    public let record: ByteBuffer
    /// Of the half message among its like, by which it is ended.
    public let queueOffset: QueueOffset
    public let physicalOffset: PhysicalOffset
    /// The id that the producer gave the message.
    public let uniqueKey: String?
}
