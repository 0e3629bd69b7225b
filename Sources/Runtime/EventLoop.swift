import Base
import Bytes
import CLibuv
import Glibc
import Synchronization
import Telemetry

/// A thread that waits for sockets, timers, signals, the worker pool and other threads, and does one thing at a time.
///
/// Made on any thread, run by one: ``run()`` takes the calling thread until ``stop()``. Only ``post(_:)``, ``stop()`` and
/// `enqueue` may be called from elsewhere; everything else belongs to the loop's thread (before `run()`, to the thread
/// that made the loop). A loop runs once.
///
/// One turn, between two waits for the kernel:
///
///     1. callbacks: bytes received, connections accepted, timers, signals, worker pool, posted jobs
///     2. jobs posted meanwhile
///     3. hooks of `atTurnEnd`, in order of registration
///     4. one write for each connection with output
///
/// - Invariant: hooks run exactly once in each turn in which anything happened, and before the turn's output leaves.
public final class EventLoop: SerialExecutor, TaskExecutor, @unchecked Sendable {
    // SAFETY: other threads reach only `mailbox` (a lock), `thread` (an atomic) and `wakeHandle` (uv_async_send is made for
    // it, and is called under the mailbox's lock, which also guards the closing of the handle). All else is confined.
    let loop: UnsafeMutablePointer<uv_loop_t>
    let wakeHandle: UnsafeMutablePointer<uv_async_t>
    private let turnEndHandle: UnsafeMutablePointer<uv_prepare_t>
    let mailbox = Mutex(MailboxState())
    /// The thread that the loop belongs to, or 0 when it has ended.
    let thread: Atomic<UInt>

    let log: Log
    let turnClock = TurnClock()
    var isStopping = false
    var letters: [Letter] = []
    private var hooks: [() -> Void] = []

    /// What every connection reads into. 256 KiB holds a batch of a pipelining producer in one call of the kernel.
    let readBuffer = ByteBuffer(capacity: 256 * 1024)
    let buffers = BufferPool()
    /// What connections with TLS read into, and where their records pass. The loop's first such connection makes them.
    private(set) lazy var records = ByteBuffer(capacity: 64 * 1024)
    private(set) lazy var wire = TLSWire()
    /// Where handlers of closed connections write; emptied at the end of each turn.
    let discarded = ByteBuffer()
    var connections: [Connection] = []
    var dirty: [Connection] = []
    private var flushing: [Connection] = []
    var redeliveries: [Connection] = []
    var connectors: [ObjectIdentifier: Connector] = [:]
    var sweepTimer: LoopTimer?
    let peers = PeerTable()
    /// Bytes of memory that peers may make this loop hold; see EventLoop+Memory.swift.
    public var memoryBudget = Int.max
    /// Bytes that they make it hold now.
    @exclusivity(unchecked) public internal(set) var heldBytes = 0
    /// Since when that has been too much.
    var shortSince: MonotonicTime?
    /// Connections that are not read from until there is memory.
    var starving: [Connection] = []
    /// The number of the newest connection.
    var lastConnectionNumber: UInt64 = 0

    /// What the loop has done so far.
    public internal(set) var counters = LoopCounters()
    /// Nanoseconds from the end of the wait to the end of each turn: how long anything else had to wait.
    public private(set) var turnDurations = Histogram()

    /// Prepares a loop; nothing happens until ``run()``.
    /// - Throws: when the process has no descriptors left.
    public init(log: Log = .silent) throws(RuntimeError) {
        _ = Self.ignoreBrokenPipes
        self.log = log.labelled("runtime")
        thread = Atomic(pthread_self())
        loop = .allocate(capacity: 1)
        wakeHandle = .allocate(capacity: 1)
        turnEndHandle = .allocate(capacity: 1)
        let status = uv_loop_init(loop)
        guard status == 0 else {
            loop.deallocate()
            wakeHandle.deallocate()
            turnEndHandle.deallocate()
            mailbox.withLock { $0.phase = .ended }
            throw RuntimeError(status, operation: "create event loop")
        }
        // SAFETY: the callbacks run only inside uv_run, during which `self` is alive.
        let context = Unmanaged.passUnretained(self).toOpaque()
        loop.pointee.data = context
        uv_async_init(loop, wakeHandle, wokenUp)
        wakeHandle.pointee.data = context
        // "Prepare" callbacks run just before the loop waits: after the callbacks of sockets and of closed handles, which
        // follow the wait, and after those of timers, which come last. So one place ends every turn.
        uv_prepare_init(loop, turnEndHandle)
        turnEndHandle.pointee.data = context
        uv_prepare_start(turnEndHandle, turnEnds)
    }

    deinit {
        guard mailbox.withLock({ $0.phase }) == .open else { return }
        // The loop was never run, and nothing is attached to it: connections, listeners and timers keep their loop alive.
        uv_close(handle(wakeHandle), nil)
        uv_close(handle(turnEndHandle), nil)
        uv_run(loop, UV_RUN_DEFAULT)
        release()
    }

    /// A peer that goes away while we write must be an error of that write, not the end of the process.
    private static let ignoreBrokenPipes: Void = { _ = signal(SIGPIPE, SIG_IGN) }()

    // MARK: - Run and stop

    /// Runs the loop on the calling thread until ``stop()``. On return every listener, timer and connection is closed,
    /// their handlers know, and work on the worker pool has completed. Jobs posted later run on a thread made for them.
    public func run() {
        precondition(!isStopping, "an event loop runs once")
        thread.store(pthread_self(), ordering: .relaxed)
        uv_run(loop, UV_RUN_DEFAULT)
        endTurn()
        closeEverything()
        // A second `stop` may have come after the first took effect, and would end this round before the handles have closed.
        while uv_run(loop, UV_RUN_DEFAULT) != 0 {}
        release()
        // The callbacks of closing handles began a turn that nothing else ends.
        _ = turnClock.endTurn()
        endMailbox()
    }

    /// Makes ``run()`` return after the jobs posted so far. From any thread. Does not wait for output that peers have not
    /// taken: close connections first for that.
    public func stop() {
        post {
            // A loop that is closing needs no second call, and one that has ended has no memory for it.
            guard !self.isStopping else { return }
            uv_stop(self.loop)
        }
    }

    private func closeEverything() {
        isStopping = true
        mailbox.withLock { $0.phase = .closing }
        for connector in connectors.values { connector.stop() }
        uv_walk(loop, stopHandle, nil)
        uv_close(handle(wakeHandle), nil)
        uv_close(handle(turnEndHandle), nil)
        hooks = []
    }

    private func release() {
        let status = uv_loop_close(loop)
        invariant(status == 0, "an event loop ended with handles open: \(describe(status))")
        wakeHandle.deallocate()
        turnEndHandle.deallocate()
        loop.deallocate()
    }

    // MARK: - Where and when

    /// True on the loop's own thread.
    public var isOnLoop: Bool { thread.load(ordering: .relaxed) == pthread_self() }

    func requireOnLoop() {
        precondition(isOnLoop, "called from another thread than the event loop's")
    }

    /// The time, which stands still during a turn: the kernel is asked once, when the turn starts.
    public var clock: any Clock { turnClock }

    // MARK: - The end of a turn

    /// Adds a hook that runs at the end of every turn, before the output of the turn leaves.
    public func atTurnEnd(_ hook: @escaping () -> Void) {
        requireOnLoop()
        hooks.append(hook)
    }

    func endTurn() {
        guard turnClock.isInTurn || !dirty.isEmpty else { return }
        turnClock.startTurn()
        runLetters()
        for hook in hooks { hook() }
        flushConnections()
        if isMemoryShort || !starving.isEmpty { settleMemory() }
        settleMailbox(another: !dirty.isEmpty || !redeliveries.isEmpty)
        counters.turns += 1
        turnDurations.record(turnClock.endTurn())
    }

    private func flushConnections() {
        // What handlers add while they learn that their connection has drained waits for the next turn, and its hooks.
        swap(&dirty, &flushing)
        var index = 0
        while index < flushing.count {
            flushing[index].flush()
            index += 1
        }
        flushing.removeAll(keepingCapacity: true)
        if !discarded.isEmpty { discarded.removeAll(keeping: 0) }
    }

    /// Hands connections that may read again the bytes that their handlers had left.
    fileprivate func redeliver() {
        guard !redeliveries.isEmpty else { return }
        let waiting = redeliveries
        redeliveries.removeAll()
        for connection in waiting { connection.redeliver() }
    }

    fileprivate func wake() {
        turnClock.startTurn()
        runLetters()
        redeliver()
    }
}

/// What an event loop has counted since it was made.
public struct LoopCounters: Equatable, Sendable {
    /// Connections that are open now.
    public var connections = 0
    /// Connections that listeners took.
    public var accepted = 0
    /// Connections that listeners closed at once, by ``Listener/Refusal``.
    public var refusals = [Int](repeating: 0, count: Listener.Refusal.allCases.count)
    public var refused: Int { refusals.reduce(0, +) }
    /// Connections that sent what is no frame, and addresses that were refused for a while because of it.
    public var malformed = 0
    public var penalties = 0
    /// Connections that were closed because peers held too much memory.
    public var shed = 0
    /// Connections that were closed because nothing moved, or a frame took too long.
    public var idle = 0
    /// Connections that were closed because their peer did not take its output.
    public var outputOverflows = 0
    public var bytesReceived = 0
    public var bytesSent = 0
    public var turns = 0
}

/// Whatever owns a libuv handle. The handle's `data` holds a reference to it, given up in the handle's close callback.
protocol HandleOwner: AnyObject {
    /// The loop ends: close the handle.
    func loopStopped()
}

// MARK: - From and to C

private func eventLoop(_ data: UnsafeMutableRawPointer?) -> EventLoop? {
    // SAFETY: the loop's own handles hold an unretained reference to it, and only call back while it runs.
    data.map { Unmanaged<EventLoop>.fromOpaque($0).takeUnretainedValue() }
}

private func wokenUp(_ wake: UnsafeMutablePointer<uv_async_t>?) { eventLoop(wake?.pointee.data)?.wake() }

private func turnEnds(_ prepare: UnsafeMutablePointer<uv_prepare_t>?) { eventLoop(prepare?.pointee.data)?.endTurn() }

private func stopHandle(_ handle: UnsafeMutablePointer<uv_handle_t>?, _: UnsafeMutableRawPointer?) {
    guard let handle, uv_is_closing(handle) == 0, let data = handle.pointee.data else { return }
    // SAFETY: every handle but the loop's own two holds a reference to its owner.
    guard handle.pointee.type != UV_ASYNC, handle.pointee.type != UV_PREPARE else { return }
    (Unmanaged<AnyObject>.fromOpaque(data).takeUnretainedValue() as? any HandleOwner)?.loopStopped()
}

/// A libuv handle seen as its first fields, which all handles share.
func handle<T>(_ pointer: UnsafeMutablePointer<T>) -> UnsafeMutablePointer<uv_handle_t> {
    // SAFETY: libuv's handles start with the fields of uv_handle_t; C code casts in the same way.
    UnsafeMutableRawPointer(pointer).assumingMemoryBound(to: uv_handle_t.self)
}
