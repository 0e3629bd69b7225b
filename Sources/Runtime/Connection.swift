import Base
import Bytes
import CLibuv
import Telemetry

/// A TCP connection on an event loop; belongs to the loop's thread.
///
/// The handler appends frames to ``output`` and calls ``outputAdded()``. At the end of the turn all of them leave with one
/// call of the kernel; what does not fit follows as the peer takes it.
///
///     connecting ──► open ──► flushing ──► closed
///          │           └─────────────────────▲
///          └─────────────────────────────────┘
///
/// - Invariant: the handler hears `closed` exactly once, as its last call, from the close callback of the socket.
/// - Invariant: one write is under way at most; while it is, new output gathers in ``output``.
public final class Connection: HandleOwner {
    enum State { case connecting, open, flushing, closed }

    /// How long a closing connection waits for a peer that takes nothing.
    public static let lingerSeconds: Int64 = 5

    public let loop: EventLoop
    public let options: ConnectionOptions
    /// The other end.
    public private(set) var peer = HostAddress.loopback(port: 0)
    /// This end.
    public private(set) var local = HostAddress.loopback(port: 0)
    /// Unsent output is above the high watermark, and has not yet fallen below the low one. The handler should produce no
    /// more: it may leave the frames that it has, and will see them again.
    public internal(set) var isCongested = false

    let socket: UnsafeMutablePointer<uv_tcp_t>
    private(set) var state = State.connecting
    var handler: (any ConnectionHandler)?
    /// Bytes go as they are. False while the first byte has not said so, and with TLS; see Connection+TLS.swift.
    var isPlain = true
    var tls: ConnectionTLS?
    private var closeReason = CloseReason.loopStopped
    private weak var listener: Listener?
    /// Where the loop keeps this connection.
    fileprivate var slot = -1
    var lastTraffic: MonotonicTime
    /// Connections are numbered as they are made.
    let number: UInt64
    /// What of ``EventLoop/heldBytes`` is this connection's.
    @exclusivity(unchecked) var accountedBytes = 0
    /// Not read from until the loop has memory.
    var isStarving = false
    /// When the frame that has not wholly arrived began; nil when there is none.
    @exclusivity(unchecked) var frameBegan: MonotonicTime?
    private var queuedAtLastCheck = 0

    // Reading; see Connection+Reading.swift.
    var input: ByteBuffer?
    var expected = 0
    var isReading = false
    var isPaused = false
    var isDelivering = false
    var isRedelivering = false

    // Writing; see Connection+Writing.swift.
    var gathering: ByteBuffer?
    var writing: ByteBuffer?
    var writeRequest: UnsafeMutablePointer<uv_write_t>?
    var isDirty = false

    /// Makes a connection without a socket's descriptor.
    init(_ loop: EventLoop, options: ConnectionOptions) {
        self.loop = loop
        self.options = options
        lastTraffic = loop.turnClock.monotonic
        loop.lastConnectionNumber += 1
        number = loop.lastConnectionNumber
        socket = .allocate(capacity: 1)
        uv_tcp_init(loop.loop, socket)
        // SAFETY: given up in `connectionClosed`, after which libuv does not call back.
        socket.pointee.data = Unmanaged.passRetained(self).toOpaque()
    }

    var stream: UnsafeMutablePointer<uv_stream_t> {
        // SAFETY: uv_tcp_t starts with the fields of uv_stream_t; C code casts in the same way.
        UnsafeMutableRawPointer(socket).assumingMemoryBound(to: uv_stream_t.self)
    }

    /// True until either side ends the connection.
    public var isOpen: Bool { state == .open }
    /// True when the socket is gone or going, and must not be touched.
    var isClosed: Bool { state == .closed }

    // MARK: - Opening

    /// Takes up work on a connected socket with the handler that `choose` returns; closes it when there is none.
    /// - Returns: false when it was closed: unwanted, or gone already.
    func open(listener: Listener?, _ choose: (Connection) -> (any ConnectionHandler)?) -> Bool {
        guard let peer = address(of: socket, uv_tcp_getpeername), let local = address(of: socket, uv_tcp_getsockname)
        else {
            discard()
            return false
        }
        self.peer = peer
        self.local = local
        uv_tcp_nodelay(socket, 1)
        state = .open
        lastTraffic = loop.turnClock.monotonic
        self.listener = listener
        if let listener {
            listener.connectionOpened()
            loop.peers.opened(peer)
        }
        loop.add(self)
        if let server = listener?.tls { awaitFirstByte(server) }
        handler = choose(self)
        guard handler != nil else {
            discard()
            return false
        }
        resumeReadingIfAllowed()
        return true
    }

    // MARK: - Closing

    /// Ends the connection; the handler hears of it later in this turn or in a later one. Further calls change nothing,
    /// except that ``CloseMode/abort`` ends a close that still flushes.
    /// - Parameter reason: reported to the handler and logged.
    public func close(_ reason: String, _ mode: CloseMode = .afterFlush) {
        close(.asked(reason), mode)
    }

    /// Ends the connection because what came is no frame of the protocol. An address that does that often is refused for a
    /// while; see ``AcceptLimits``.
    public func reject(_ reason: String) {
        guard isOpen else { return }
        loop.counters.malformed += 1
        if loop.peers.strike(peer, now: loop.turnClock.monotonic) {
            loop.counters.penalties += 1
            loop.log.warning(
                "an address keeps sending what is no frame",
                ["peer": peer.address, "reason": reason, "refusedForMillis": "\(PeerTable.penaltyMilliseconds)"])
        }
        close(.malformed(reason), .afterFlush)
    }

    func close(_ reason: CloseReason, _ mode: CloseMode) {
        switch state {
        case .closed: return
        case .flushing: if mode == .abort { closeSocket() }
        case .connecting: closeSocket()
        case .open:
            closeReason = reason
            stopReading()
            state = .flushing
            if !isPlain { forgetWhatCannotLeave() }
            loop.log.debug("connection closes", ["peer": "\(peer)", "reason": "\(reason)"])
            if mode == .abort || unsentBytes == 0 && !owesGoodbye { closeSocket() } else { markDirty() }
        }
    }

    /// Closes the socket of a connection that no handler knows.
    func discard() { closeSocket() }

    func loopStopped() {
        if state == .open { closeReason = .loopStopped }
        closeSocket()
    }

    func closeSocket() {
        guard state != .closed else { return }
        state = .closed
        stopReading()
        if let gathering { loop.buffers.recycle(gathering) }
        gathering = nil
        if !isPlain { endTLS() }
        account()
        uv_close(handle(socket), connectionClosed)
    }

    /// After the last callback of the socket.
    fileprivate func socketClosed() {
        loop.turnClock.startTurn()
        writeRequest?.deallocate()
        writeRequest = nil
        if let input { loop.buffers.recycle(input) }
        input = nil
        account()
        loop.remove(self)
        if let listener {
            listener.connectionClosed()
            loop.peers.closed(peer)
        }
        let handler = self.handler
        self.handler = nil
        handler?.closed(self, reason: closeReason)
    }

    // MARK: - Memory

    /// Brings what the loop knows of this connection's memory up to date. Input and what libuv writes count with the memory
    /// that they hold, output that gathers with its bytes: its buffer is shared again at the end of the turn.
    @inline(__always)
    func account() {
        let bytes =
            (input?.capacity ?? 0) + (writing?.capacity ?? 0) + (gathering?.count ?? 0) + (tls?.records?.count ?? 0)
        guard bytes != accountedBytes else { return }
        loop.heldBytes += bytes - accountedBytes
        accountedBytes = bytes
    }

    // MARK: - Idleness

    /// Called once a second: closes the connection when nothing has moved for too long.
    fileprivate func checkTraffic(_ now: MonotonicTime) {
        let queued = uv_stream_get_write_queue_size(stream)
        if queued != queuedAtLastCheck {
            queuedAtLastCheck = queued
            lastTraffic = now
        }
        let quiet = now.milliseconds(since: lastTraffic)
        if state == .flushing, quiet >= Self.lingerSeconds * 1000 {
            closeSocket()
        } else if state == .open, !isPlain, isHandshakeOverdue(now) {
            endHandshake("the handshake takes too long", .abort)
        } else if state == .open, options.idleSeconds > 0, quiet >= Int64(options.idleSeconds) * 1000 {
            loop.log.info("connection was idle", ["peer": "\(peer)"])
            loop.counters.idle += 1
            close(.idle, .abort)
        } else if state == .open, isReading, options.frameSeconds > 0, let frameBegan,
            now.milliseconds(since: frameBegan) >= Int64(options.frameSeconds) * 1000
        {
            loop.log.info("a frame took too long", ["peer": "\(peer)"])
            loop.counters.idle += 1
            close(.frameTooSlow, .abort)
        }
    }
}

// MARK: - The loop's connections

extension EventLoop {
    fileprivate func add(_ connection: Connection) {
        connection.slot = connections.count
        connections.append(connection)
        counters.connections += 1
        if sweepTimer == nil {
            sweepTimer = schedule(afterMilliseconds: 1000, repeatingEveryMilliseconds: 1000) { [unowned self] in
                self.sweepConnections()
            }
        }
    }

    fileprivate func remove(_ connection: Connection) {
        guard connection.slot >= 0, let last = connections.popLast() else { return }
        if last !== connection {
            last.slot = connection.slot
            connections[connection.slot] = last
        }
        connection.slot = -1
        counters.connections -= 1
        if connections.isEmpty {
            sweepTimer?.cancel()
            sweepTimer = nil
        }
    }

    private func sweepConnections() {
        let now = clock.monotonic
        // Closing does not remove: that happens in the close callback, after this loop.
        for connection in connections { connection.checkTraffic(now) }
        peers.expire(now: now)
    }
}

private func connectionClosed(_ socket: UnsafeMutablePointer<uv_handle_t>?) {
    guard let socket else { return }
    // SAFETY: the last callback of this handle: gives up its reference and its memory, which was allocated as a uv_tcp_t.
    if let data = socket.pointee.data {
        Unmanaged<Connection>.fromOpaque(data).takeRetainedValue().socketClosed()
    }
    UnsafeMutableRawPointer(socket).deallocate()
}
