import Base
import BrokerCore
import Bytes
import Model
import RemotingProtocol
import Runtime
import Storage
import Telemetry

/// A broker behind the remoting protocol: what its connections share. Belongs to the thread of its event loop.
///
/// Give ``accept(_:)`` to a listener, call ``start(on:)`` once, and ``stop()`` at the end. Each turn of the loop ends with
/// ``endTurn()``: everything that arrived is written at once, and then its answers leave.
public final class BrokerFrontend {
    public let broker: Broker
    let log: Log
    /// Who may ask for what.
    let requestGuard: RequestGuard
    /// `syncFlushTimeout`, in ms.
    let flushTimeoutMilliseconds: Int64
    /// Requests are handled one at a time, so one header and one buffer of each kind serve all connections.
    let header = CommandHeader()
    let properties = ByteBuffer(capacity: 1024)
    let records = ByteBuffer(capacity: 64 * 1024)
    private let frameCopy = ByteBuffer(capacity: 4096)
    @exclusivity(unchecked) var batchEntries: ContiguousArray<MessageBatch.Entry> = []
    /// Answers to sends that are safe when written, and when flushed.
    @exclusivity(unchecked) var writtenGate = ReplyGate()
    @exclusivity(unchecked) var flushedGate = ReplyGate()
    /// `CLUSTER␁<cluster>`, which every stored message carries.
    let clusterProperty: [UInt8]
    private var sessions: [ObjectIdentifier: BrokerSession] = [:]
    /// Sessions whose clients have been asked something.
    private var asking: [ObjectIdentifier: BrokerSession] = [:]
    /// Producers that are not read from until the disk has taken what they sent.
    private var heldBack: [Connection] = []
    /// Requests that their quotas hold up.
    var quotaQueue = QuotaQueue()
    private(set) unowned var loop: EventLoop?
    private var ticker: LoopTimer?
    private var housekeeper: LoopTimer?
    /// Makes the turn in which the next delayed message is due, and when that is.
    private var waker: LoopTimer?
    @exclusivity(unchecked) private var wakeTime = Int64.max
    /// Called once when the store has failed: it takes nothing more, and reads go on.
    public var storeFailed: (StorageError) -> Void = { _ in }
    private var hasFailed = false
    /// What tools see and may not change; see ``BrokerSettingsView``.
    public var settings = BrokerSettingsView()
    /// How the listener treats TLS, for the figures that tools see.
    public var tls: TLSServer?

    /// Requests that were refused, by the code of the answer.
    private(set) var refusals: [Int32: Int64] = [:]
    /// Sends that were answered code 10.
    private(set) var flushTimeouts: Int64 = 0
    var clockWatch: ClockWatch
    /// Since when there has been something to flush.
    private(set) var behindSince: MonotonicTime?
    /// What the process knows of itself; nil where there is no process around it.
    public var processFacts: (() -> ProcessFacts)?

    /// Counts an answer that refuses a request.
    func countRefusal(_ code: Int32) { refusals[code, default: 0] += 1 }

    /// How often `Broker/keepHouse()` runs.
    static let housekeepingMilliseconds: Int64 = 50
    /// How often held pulls are looked at while there are any.
    static let tickMilliseconds: Int64 = 10

    public init(
        broker: Broker, flushTimeoutMilliseconds: Int64 = 5_000, requestGuard: RequestGuard = RequestGuard(), log: Log
    ) {
        self.broker = broker
        self.log = log.labelled("broker")
        self.requestGuard = requestGuard
        self.flushTimeoutMilliseconds = flushTimeoutMilliseconds
        clockWatch = ClockWatch((broker.timestamp, broker.monotonic))
        clusterProperty =
            Array("CLUSTER".utf8) + [PropertyName.nameSeparator] + Array(broker.configuration.cluster.utf8)
        // Not weak here and below: that would put every retain of the frontend on the slow path. The store and the loop live
        // as long as the process; what they call stops with ``stop()``.
        broker.store.flushFinished = { [unowned self] in self.flushFinished() }
    }

    /// Begins to end the loop's turns and to keep house.
    public func start(on loop: EventLoop) {
        self.loop = loop
        loop.atTurnEnd { self.endTurn() }
        housekeeper = loop.schedule(
            afterMilliseconds: Self.housekeepingMilliseconds,
            repeatingEveryMilliseconds: Self.housekeepingMilliseconds
        ) { self.keepHouse() }
    }

    /// The session for a new connection.
    public func accept(_ connection: Connection) -> any ConnectionHandler {
        let session = BrokerSession(self, peer: connection.peer, connection: connection)
        sessions[ObjectIdentifier(session)] = session
        return session
    }

    /// A session whose answers are appended to `output` instead of a connection's.
    /// - Parameter isLocal: whether the peer is on this machine.
    public func makeSession(peer: HostAddress, isLocal: Bool = true, output: ByteBuffer) -> BrokerSession {
        BrokerSession(self, peer: peer, isLocal: isLocal, output: output)
    }

    func closed(_ session: BrokerSession) {
        sessions[ObjectIdentifier(session)] = nil
        asking[ObjectIdentifier(session)] = nil
        // Looking for it in all groups takes time, of which strangers shall not get any.
        if session.isMember { broker.closed(session) }
    }

    /// The session waits for an answer of its client.
    func asked(_ session: BrokerSession) { asking[ObjectIdentifier(session)] = session }

    public var sessionCount: Int { sessions.count }

    // MARK: - Turns

    /// Writes everything of this turn, shows it to those who wait, and sends the answers that need no more than that.
    public func endTurn() {
        guard !hasFailed else { return }
        do {
            try broker.endTurn()
        } catch {
            return fail(error)
        }
        writtenGate.release(upTo: broker.written)
        flushedGate.release(upTo: broker.flushed)
        // Somebody may wait for the medium with asynchronous flush, too.
        if !flushedGate.isEmpty { broker.flush() }
        if !heldBack.isEmpty, !broker.store.isBehind, !flushedGate.isFull { resumeHeldBack() }
        let wake = broker.nextWake
        if wake != wakeTime { setWaker(wake) }
    }

    /// Between two requests of a turn.
    @inline(__always)
    func requestHandled() {
        do {
            try broker.store.flushEarly()
        } catch {
            fail(error)
        }
    }

    /// Sees to it that there is a turn at `wake`. What lies further ahead is looked at again after the next housekeeping, so that
    /// it does not matter when the wall clock is set.
    private func setWaker(_ wake: Int64) {
        waker?.cancel()
        waker = nil
        wakeTime = .max
        guard let loop, wake < .max else { return }
        let now = broker.timestamp.milliseconds
        guard wake <= now || wake - now <= Self.housekeepingMilliseconds else { return }
        wakeTime = wake
        // A turn that makes itself is enough: its end does the work.
        waker = loop.schedule(afterMilliseconds: wake <= now ? 0 : wake - now) { [unowned self] in
            waker = nil
            wakeTime = .max
        }
    }

    /// Whether a frame at the front of `input` brings a message. Looks at a copy of its header: reading JSON replaces escapes in
    /// place, and this frame may have to be read again.
    func bringsMessage(_ frame: Frame, in input: ByteBuffer) -> Bool {
        (try? header.decode(frame.withoutBody, in: copy(of: frame.withoutBody, in: input))) != nil && header.isSend
    }

    /// A copy of the frame at the front of `input`, until the next one is made.
    func copy(of frame: Frame, in input: ByteBuffer) -> ByteBuffer {
        let copy = frameCopy
        copy.removeAll()
        copy.append(input.bytes.extracting(0..<frame.range.upperBound))
        return copy
    }

    /// Reads nothing more from a producer while the disk is behind.
    func holdBack(_ connection: Connection) {
        connection.pauseReading()
        heldBack.append(connection)
    }

    private func resumeHeldBack() {
        for connection in heldBack { connection.resumeReading() }
        heldBack.removeAll(keepingCapacity: true)
    }

    private func flushFinished() {
        behindSince = nil
        if let failure = broker.store.failure { return fail(.stopped(failure)) }
        endTurn()
    }

    /// Does what is due by time, a few times a second; ``start(on:)`` sees to it.
    public func keepHouse() {
        for (key, session) in asking where !session.expireClientRequests() { asking[key] = nil }
        lookAtClock()
        behindSince = broker.flushed < broker.written ? behindSince ?? broker.monotonic : nil
        guard !hasFailed else { return }
        do {
            try broker.keepHouse()
        } catch .stopped(let error) {
            fail(.stopped(error))
        } catch {
            log.error("housekeeping failed; it is tried again", ["error": error.description])
        }
        expireFlushes()
    }

    private func lookAtClock() {
        guard let jump = clockWatch.look((broker.timestamp, broker.monotonic)) else { return }
        log.warning("the wall clock was set", ["byMillis": "\(jump)"])
    }

    /// Nothing that is only in memory may be acknowledged any more; reads go on until the process stops.
    private func fail(_ error: StorageError) {
        guard !hasFailed else { return }
        hasFailed = true
        log.error("the store has failed: no message is taken any more", ["error": error.description])
        writtenGate.abandon("the store has failed")
        flushedGate.abandon("the store has failed")
        resumeHeldBack()
        storeFailed(error)
    }

    // MARK: - Deadlines

    /// Tells producers whose message is written but not flushed in time so (code 10); it is stored all the same.
    private func expireFlushes() {
        let now = broker.monotonic
        while let first = flushedGate.first, first.deadline <= now {
            flushTimeouts += 1
            flushedGate.removeFirst { parked, answer in
                let buffer = ByteBuffer(capacity: answer.byteCount)
                buffer.append(answer)
                guard let frame = try? Frame.next(in: buffer) else { return }
                let header = CommandHeader()
                guard (try? header.decode(frame, in: buffer)) != nil else { return }
                parked.session.sendFlushTimeout(header, in: buffer)
            }
        }
    }

    /// Held pulls have deadlines, and quotas let pass by time: ticks while there are any.
    func startTicking() {
        guard ticker == nil, let loop else { return }
        ticker = loop.schedule(
            afterMilliseconds: Self.tickMilliseconds, repeatingEveryMilliseconds: Self.tickMilliseconds
        ) { self.tick() }
    }

    /// Answers held pulls whose time is up, and lets pass what quotas held up; ``start(on:)`` sees to it.
    public func tick() {
        broker.expireFetches()
        askQuotasAgain()
        if broker.heldFetchCount == 0, quotaQueue.isEmpty {
            ticker?.cancel()
            ticker = nil
        }
    }

    /// Forgets its sessions and what they wait for, as the end of the process would: for those who simulate it.
    package func vanish() {
        hasFailed = true
        broker.store.flushFinished = {}
        writtenGate.abandon("the process has ended")
        flushedGate.abandon("the process has ended")
        heldBack = []
        quotaQueue = QuotaQueue()
        sessions = [:]
        asking = [:]
    }

    /// Writes and flushes everything, answers what waits for it, and closes the store.
    /// - Throws: when the store cannot be closed in good order.
    public func stop() throws(StorageError) {
        housekeeper?.cancel()
        waker?.cancel()
        ticker?.cancel()
        // What is under way on worker threads may outlive this object.
        defer { broker.store.flushFinished = {} }
        guard !hasFailed else { return }
        endTurn()
        hasFailed = true
        try broker.close()
        flushedGate.release(upTo: broker.flushed)
    }
}
