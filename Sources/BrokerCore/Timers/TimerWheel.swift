import Base
import Bytes
import Model
import Storage

/// Where delayed messages wait. The wheel itself is a topic of the store, `SystemTopics/timerWheel`: a delayed message is an
/// ordinary record in one of its queues, the slots of a ring (``TimerRing``), and the entries of the consume queues, whose tags
/// code is the time to wake, are the index on disk. ``SettlementLedger`` says which of them wait still. In memory there is only
/// what wakes soon.
///
///     wake time     … overdue │ now          horizon                 now + window
///     in memory                │▓▓▓▓▓▓▓▓▓▓▓▓▓▓│
///     on disk       ░░░░░░░░░░░│░░░░░░░░░░░░░░│░░░░░░░░░░░░░░░░░░░░░░░│
///
/// Everything that wakes before the horizon is in the heap, was delivered, or lies in a slot that is yet to be visited since the
/// start. New timers come into the heap when they become visible. When the horizon comes near, the slot behind it is scanned; when
/// the heap is full its later half leaves and the horizon moves back. That the heap holds a timer twice, or one that was
/// settled meanwhile, does no harm: the ledger is asked before anything is delivered.
///
/// ``Broker`` delivers (`Broker+Firing.swift`).
final class TimerWheel: StoredQueueObserver {
    let configuration: TimerConfiguration
    private let store: MessageStore
    private let ledger: SettlementLedger
    /// The slots that have been touched, then the queues of RocketMQ's schedule topic.
    private var queues = [StoredQueue?](
        repeating: nil, count: TimerRing.scheduleBase + TimerRing.scheduleMaximum)
    private(set) var heap = TimerHeap()
    /// Everything that wakes before is in memory, in milliseconds since 1970; see above.
    private(set) var horizon: Int64 = .max
    /// When the slot behind the horizon is to be scanned.
    private var refillTime: Int64 = .max
    /// Slots that are still to be visited since the start, from ``nextVisit`` on around the ring, and then the schedule topic's.
    private var visitsLeft = 0
    private var nextVisit = 0
    private(set) var scan: Scan?
    /// Timers whose records have come from the medium.
    var thawed: [PendingTimer] = []
    /// Records on their way from the medium.
    var prefetches = 0
    /// The store takes no messages: nothing is delivered until then.
    var blockedUntil: MonotonicTime?
    /// Why, when it was not the disk's room: for the log, once.
    var failure: StorageError?
    let entries: UnsafeMutableBufferPointer<ConsumeQueueEntry>
    let topic = Array(SystemTopics.timerWheel.utf8)
    let record = ByteBuffer(capacity: 4096)
    let properties = ByteBuffer(capacity: 1024)

    /// The visit of one slot.
    struct Scan {
        var queue: StoredQueue
        /// The number of the slot among the pending queues.
        var number: QueueID
        var next: QueueOffset
        /// What comes from here on was seen when it became visible.
        var end: QueueOffset
        var isSchedule: Bool { number.rawValue >= TimerRing.scheduleBase }
    }

    /// How long before its time a slot is scanned, in ms.
    static let leadMilliseconds: Int64 = 60_000
    /// Entries that are read in one piece.
    static let pieceCount = 256

    init(_ configuration: TimerConfiguration, store: MessageStore, ledger: SettlementLedger) {
        self.configuration = configuration
        self.store = store
        self.ledger = ledger
        entries = .allocate(capacity: Self.pieceCount)
        entries.initialize(repeating: .blank)
    }

    deinit { entries.deallocate() }

    /// Begins to visit all slots, that of the present first: for the start, and when the clock has leapt over the whole ring.
    func start(now: Int64) {
        horizon = TimerRing.end(now)
        refillTime = horizon - Self.leadMilliseconds
        scan = nil
        nextVisit = TimerRing.slot(now)
        visitsLeft = TimerRing.slotCount + TimerRing.scheduleMaximum
    }

    /// Hears of no more messages: the queues hold their observer, and this holds the queues.
    func detach() {
        for queue in queues where queue?.observer === self { queue?.observer = nil }
        queues.removeAll()
    }

    // MARK: - Slots

    /// The queue of a slot, or of a level of RocketMQ's schedule topic.
    func queue(_ number: Int) throws(StorageError) -> StoredQueue {
        if let queue = queues[number] { return queue }
        let queue: StoredQueue
        if number >= TimerRing.scheduleBase {
            queue = try store.queue(
                topic: SystemTopics.schedule, QueueID(Int32(number - TimerRing.scheduleBase)))
        } else {
            queue = try store.queue(topic: SystemTopics.timerWheel, QueueID(Int32(number)))
            queue.observer = self
        }
        queues[number] = queue
        return queue
    }

    /// When the record of a message is to be looked at that is due at `due`.
    func wake(due: Int64, now: Int64) -> Int64 {
        min(due, now + min(configuration.windowMilliseconds, TimerRing.windowMaximum))
    }

    func messageVisible(in queue: StoredQueue, tagsCode wake: Int64, properties _: RawSpan) {
        guard wake < horizon, let entry = queue.lastEntry else { return }
        insert(entry, PendingID(.timer, queue.queueID, queue.maximumOffset.advanced(by: -1)))
    }

    func insert(_ entry: ConsumeQueueEntry, _ pending: PendingID) {
        guard entry.tagsCode < horizon else { return }
        heap.insert(
            PendingTimer(
                wake: entry.tagsCode, offset: entry.physicalOffset, pending: pending.field, size: entry.size))
        if heap.count > configuration.heapMaximum { shrink() }
    }

    private func shrink() {
        horizon = heap.removeLaterHalf()
        // When nearly all wake in the same millisecond, scanning before that would only fill the heap again.
        refillTime = heap.count < configuration.heapMaximum / 4 ? horizon : horizon - Self.leadMilliseconds
    }

    func removeFirst() { heap.removeFirst() }

    // MARK: - Work

    /// Whether the slot behind the horizon is to be scanned. Not while the heap is well filled: all of that wakes earlier.
    private func needsRefill(_ now: Int64) -> Bool { refillTime <= now && hasRoom }

    private var hasRoom: Bool { heap.count <= configuration.heapMaximum / 4 }

    /// When there is something to do next, in ms since 1970: `Int64.min` for at once, `Int64.max` for not by time.
    var nextWork: Int64 {
        if !thawed.isEmpty { return .min }
        // What is cold is waited for before more is looked at.
        guard prefetches < configuration.prefetchesMaximum else { return .max }
        if scan != nil || visitsLeft > 0 { return .min }
        let next = heap.first?.wake ?? .max
        return hasRoom ? min(next, refillTime) : next
    }

    /// Makes the next scan the current one; false when there is none to do.
    func beginScan(_ now: Int64) throws(StorageError) -> Bool {
        if now - horizon > TimerRing.windowMaximum { start(now: now) }
        let number: Int
        if needsRefill(now) {
            number = TimerRing.slot(horizon)
            // The queue first: what becomes visible from now on is compared with the new horizon.
            _ = try queue(number)
            horizon = TimerRing.end(horizon)
            refillTime = horizon - Self.leadMilliseconds
        } else if visitsLeft > 0 {
            number =
                visitsLeft > TimerRing.scheduleMaximum
                ? nextVisit : TimerRing.scheduleBase + TimerRing.scheduleMaximum - visitsLeft
            _ = try queue(number)
            nextVisit = (nextVisit + 1) % TimerRing.slotCount
            visitsLeft -= 1
        } else {
            return false
        }
        let queue = try queue(number)
        let id = QueueID(Int32(number))
        scan = Scan(
            queue: queue, number: id, next: ledger.firstPending(.timer, id), end: queue.maximumOffset)
        return true
    }

    /// Fills ``entries`` with the next piece of the scan.
    /// - Returns: how many entries; 0 when the scan is over.
    func readPiece() throws(StorageError) -> Int {
        guard let scan, scan.next < scan.end else { return 0 }
        let count = min(entries.count, scan.end.messages(since: scan.next))
        return try store.readEntries(
            of: scan.queue, from: scan.next, into: UnsafeMutableBufferPointer(rebasing: entries[..<count]))
    }

    func advanceScan(by count: Int) {
        guard let next = scan?.next else { return }
        moveScan(to: next.advanced(by: count))
    }

    func moveScan(to offset: QueueOffset) { scan?.next = offset }

    func endScan() { scan = nil }

    // MARK: - Figures

    /// Records that wait, in the slots that have been touched since the start.
    var pendingCount: Int64 {
        var count: Int64 = 0
        for (number, queue) in queues.enumerated() {
            guard let queue else { continue }
            count += ledger.pendingCount(.timer, QueueID(Int32(number)), before: queue.maximumOffset)
        }
        return count
    }

    /// Messages of one slot that are looked for when the log does not have those before.
    private static let absentMaximum = 64

    /// Where the oldest record lies that waits, nil when none does.
    func firstNeeded() throws(StorageError) -> PhysicalOffset? {
        var first: PhysicalOffset?
        for number in queues.indices where number < TimerRing.slotCount || queues[number] != nil {
            guard let position = try firstNeeded(of: try queue(number), QueueID(Int32(number))) else { continue }
            first = min(first ?? position, position)
        }
        return first
    }

    private func firstNeeded(of queue: StoredQueue, _ number: QueueID) throws(StorageError) -> PhysicalOffset? {
        var offset = ledger.firstPending(.timer, number)
        for _ in 0..<Self.absentMaximum {
            guard offset < queue.maximumOffset else { return nil }
            if let position = try store.physicalOffset(in: queue, at: offset) { return position }
            offset = ledger.firstPending(.timer, number, from: offset.advanced(by: 1))
        }
        // So much is missing that nothing goes until the slot has been worked off.
        return store.start
    }
}
