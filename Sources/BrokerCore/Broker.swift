import Base
import Bytes
import Model
import Storage
import Telemetry

/// A broker: topics, groups and their members, and the store they live on. One thread owns it; every call is synchronous.
///
/// It knows no protocol: a frontend turns requests into these calls and their outcome into answers. What is to be answered
/// when a message is safe waits on the store's watermarks (``written``, ``flushed``); what waits for messages is held
/// (``hold(_:filter:from:until:waiter:token:)``) and woken at the end of the turn.
///
/// A turn: any number of calls, then ``endTurn()``. From a timer, a few times a second: ``keepHouse()``.
public final class Broker {
    public let configuration: BrokerConfiguration
    public let store: MessageStore
    let state: BrokerState
    let clock: any Clock
    let random: any RandomSource
    let log: Log
    public let members: Membership
    let heldFetches: HeldFetches
    let selectors = SelectorCache()
    let timers: TimerWheel
    /// Called when a topic was created, changed or removed, with its name: name servers are told.
    public var topicChanged: (String) -> Void = { _ in }
    /// Called when a topic was created because a message came for it: the cluster's other brokers are told.
    public var topicAutoCreated: (TopicConfiguration) -> Void = { _ in }
    let transactions: TransactionChecks
    private let deadLetters: DeadLetterRetention
    /// Whether the store is RocketMQ's and no Apus has worked on it yet: what its topics of delayed messages hold is to be sorted.
    var holdsForeignTimers: Bool
    let retryProperties = ByteBuffer(capacity: 1024)
    private let recordBuffer = ByteBuffer(capacity: 1024)
    private var lastExpiry: MonotonicTime
    @exclusivity(unchecked) public internal(set) var metrics = BrokerMetrics()
    public private(set) var recentMetrics = RecentMetrics()
    public private(set) var dailyMetrics = DailyMetrics()
    public let started: Timestamp

    /// How often silent members and old locks are looked for.
    static let expiryIntervalMilliseconds: Int64 = 10_000

    /// Opens the store and the broker on it. Blocks while the log is replayed.
    /// - Throws: `StorageError` when the store cannot be opened; see `MessageStore/open(_:disk:clock:stateView:log:)`.
    public init(
        _ configuration: BrokerConfiguration, store storeConfiguration: StoreConfiguration, disk: any Disk,
        clock: any Clock, random: any RandomSource, log: Log
    ) throws(StorageError) {
        self.configuration = configuration
        self.clock = clock
        self.random = random
        self.log = log
        state = BrokerState()
        store = try MessageStore.open(
            storeConfiguration, disk: disk, clock: clock, stateView: state, log: log.labelled("store"))
        state.limitTraffic(configuration.quotas)
        members = Membership(
            expiryMilliseconds: configuration.memberExpiryMilliseconds, selectors: selectors, log: log)
        state.locks.expiryMilliseconds = configuration.lockExpiryMilliseconds
        state.locks.begin(now: clock.monotonic)
        heldFetches = HeldFetches(now: clock.monotonic)
        transactions = TransactionChecks(configuration.transactions)
        deadLetters = DeadLetterRetention(
            hours: configuration.deadLetterReservedHours, logHours: storeConfiguration.retention.reservedHours)
        let timers = TimerWheel(configuration.timers, store: store, ledger: state.ledger)
        self.timers = timers
        lastExpiry = clock.monotonic
        started = clock.timestamp
        // What RocketMQ left to deliver is known when its settings have been taken over.
        holdsForeignTimers = store.isForeign && state.topics.count == 0
        store.firstNeeded = { [unowned self] () throws(StorageError) in try self.firstNeeded() }
        if !holdsForeignTimers { timers.start(now: clock.timestamp.milliseconds) }
        do {
            try makeSystemTopics()
            transactions.begin(self, try halfQueue())
        } catch {
            throw error.storageError
        }
        hideOldDeadLetters()
    }

    /// What was too old to be shown before a start is so behind it, from the first pull on.
    private func hideOldDeadLetters() {
        do throws(BrokerError) {
            try deadLetters.step(self)
        } catch {
            log.warning("old dead letters are hidden a little later", ["error": "\(error)"])
        }
    }

    deinit { timers.detach() }

    /// Where the oldest record lies that must not expire: a delayed message, or a dead letter.
    private func firstNeeded() throws(StorageError) -> PhysicalOffset? {
        let timer = try timers.firstNeeded()
        let deadLetter = try deadLetters.firstNeeded(self)
        guard let timer, let deadLetter else { return timer ?? deadLetter }
        return min(timer, deadLetter)
    }

    public var written: PhysicalOffset { store.written }
    public var flushed: PhysicalOffset { store.flushed }
    public var timestamp: Timestamp { clock.timestamp }

    /// A state without anything in it, for those who look at a store and start no broker.
    public static func emptyState() -> any StateView { BrokerState() }

    // MARK: - Turns

    /// Delivers delayed messages that are due, logs the offsets that were committed, writes everything that was appended, shows it
    /// to consumers, and wakes those who waited for it. ``nextWake`` says when timers want the next turn.
    /// - Throws: `StorageError/stopped(_:)`: nothing of this turn may be acknowledged.
    public func endTurn() throws(StorageError) {
        if timers.nextWork <= clock.timestamp.milliseconds { try runTimersOrRest() }
        try logPendingOffsetsIfThereIsRoom()
        try store.endTurn()
        heldFetches.wakeDue()
    }

    /// Begins to make everything written durable. The store's `flushFinished` is called when ``flushed`` has moved.
    public func flush() { store.flush() }

    /// Does what is due by time. Bounded work per call.
    public func keepHouse() throws(StorageError) {
        let now = clock.monotonic
        // A snapshot must not know more than the log.
        try logPendingOffsetsIfThereIsRoom()
        try store.keepHouse()
        recentMetrics.sample(metrics, at: now)
        dailyMetrics.look(metrics, at: clock.timestamp)
        do {
            if now.milliseconds(since: lastExpiry) >= Self.expiryIntervalMilliseconds {
                lastExpiry = now
                members.expire(now: now) { notifies($0) }
                state.quotas.expire(now: now)
                try expireLocks(now: now)
            }
            try transactions.step(self)
            try deadLetters.step(self)
        } catch {
            throw error.storageError
        }
    }

    /// Wakes the fetches whose time is up. Call it every ``HeldFetches/slotMilliseconds``.
    public func expireFetches() { heldFetches.expire(now: clock.monotonic) }

    /// Makes everything durable. The broker must not be used afterwards.
    public func close() throws(StorageError) {
        try logPendingOffsets()
        try store.close()
    }

    // MARK: - State

    /// Makes a change durable with the turn, and takes it in.
    func change(_ record: StateRecord) throws(BrokerError) {
        let recordBuffer = recordBuffer
        recordBuffer.removeAll()
        record.encode(into: recordBuffer)
        do {
            try store.appendState(recordBuffer.bytes, isAnswered: true)
        } catch {
            throw .storage(error)
        }
    }

    /// Offsets that one record holds at the most; a turn may have several records.
    private static let offsetsPerRecord = 1_000

    /// On a full disk offsets stay pending, and reads go on.
    private func logPendingOffsetsIfThereIsRoom() throws(StorageError) {
        do {
            try logPendingOffsets()
        } catch .diskFull {
            return
        }
    }

    /// Logs the offsets that were committed, for one who waits until they are safe.
    /// - Returns: where the log must be written, or flushed, for that.
    /// - Throws: on a full disk, among others: they count, and stay pending until there is room.
    public func logOffsets() throws(BrokerError) -> PhysicalOffset {
        do {
            try logPendingOffsets()
            return store.end
        } catch {
            throw .storage(error)
        }
    }

    private func logPendingOffsets() throws(StorageError) {
        let pending = state.offsets.pending
        guard !pending.isEmpty else { return }
        let recordBuffer = recordBuffer
        var index = 0
        while index < pending.count {
            let end = min(index + Self.offsetsPerRecord, pending.count)
            recordBuffer.removeAll()
            StateRecord.beginOffsets(count: end - index, into: recordBuffer)
            for change in pending[index..<end] {
                StateRecord.appendOffset(
                    change.entry.topic, change.entry.group, change.queueID,
                    QueueOffset(change.entry.offsets[Int(change.queueID.rawValue)]), to: recordBuffer)
            }
            // Most clients wait for no answer; those who do wait until it is written.
            try store.appendState(recordBuffer.bytes, isAnswered: false)
            index = end
        }
        state.offsets.clearPending()
    }

    func notifies(_ group: String) -> Bool {
        configuration.notifiesMembers && state.groups[group]?.isMembershipNotificationEnabled ?? true
    }
}

extension BrokerError {
    /// The store's error behind this one; anything else is a programmer's error here.
    var storageError: StorageError {
        guard case .storage(let error) = self else { preconditionFailure("\(self) where only the store can fail") }
        return error
    }
}
