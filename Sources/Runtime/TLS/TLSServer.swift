import Base
import Telemetry

/// How listeners treat clients that begin with TLS, and those that do not. Belongs to the loop's thread; may serve several
/// listeners.
public final class TLSServer {
    /// `tls.server.mode` (remoting reference §1.1).
    public enum Mode: String, CaseIterable, Sendable {
        /// Plain connections only.
        case disabled
        /// Both, told apart by their first byte.
        case permissive
        /// TLS only.
        case enforcing
    }

    public let mode: Mode
    /// How long a client may take from its connection to the end of the handshake, in ms.
    public let handshakeMilliseconds: Int64
    private let configuration: TLSServerConfiguration?
    private(set) var context: TLSContext?
    private let log: Log
    private var throttle = LogThrottle()
    private let limits: TLSHandshakeLimits
    private var budget: HandshakeBudget
    /// Handshakes under way, and those that wait.
    public private(set) var handshakes = 0
    /// Connections whose handshake waits for its turn, in the order of arrival; some may be closed by now.
    private var waiting: [WaitingHandshake] = []
    private var firstWaiting = 0
    private var timer: LoopTimer?
    /// Handshakes that succeeded, and those that did not.
    public private(set) var established = 0
    public private(set) var failed = 0
    /// Plain connections that were refused, TLS where there is none, and what ``handshakesRefused`` counts.
    public private(set) var refused = 0
    /// Handshakes that would have been too many.
    public private(set) var handshakesRefused = 0
    /// Handshakes that had to wait.
    public private(set) var handshakesDelayed = 0

    /// The first byte of a TLS handshake record. A remoting frame begins with the upper byte of its length: 0, or 1 for the
    /// largest.
    static let handshakeByte: UInt8 = 0x16

    /// - Parameter configuration: nil when there is no certificate; then no client gets TLS.
    /// - Throws: what is wrong with the files, or that enforcing needs a certificate.
    public init(
        _ mode: Mode, _ configuration: TLSServerConfiguration?, handshakeMilliseconds: Int64 = 10_000,
        limits: TLSHandshakeLimits = TLSHandshakeLimits(), log: Log = .silent
    ) throws(TLSError) {
        self.mode = mode
        self.configuration = configuration
        self.handshakeMilliseconds = handshakeMilliseconds
        self.limits = limits
        budget = HandshakeBudget(percent: limits.sharePercent)
        self.log = log.labelled("tls")
        guard mode != .disabled else { return }
        guard let configuration else {
            guard mode != .enforcing else { throw TLSError("enforcing TLS needs a certificate") }
            return
        }
        context = try TLSContext(server: configuration)
        warn()
    }

    /// Reads the files again. Connections that are open, or shaking hands, keep what they have.
    /// - Throws: what is wrong with the files; the old certificate stays.
    public func reload() throws(TLSError) {
        guard mode != .disabled, let configuration else { return }
        context = try TLSContext(server: configuration)
        warn()
    }

    private func warn() {
        guard let warning = context?.certificateWarning else { return }
        log.warning(warning, ["file": configuration?.certificatePath ?? ""])
    }

    // MARK: - What connections ask and tell

    enum Judgement {
        case plain
        case tls(TLSContext)
        case refused(String)
    }

    /// What to do with a client that begins with `byte`.
    /// - Parameter peers: what the loop knows of addresses.
    func judge(_ byte: UInt8, of peer: HostAddress, _ peers: PeerTable) -> Judgement {
        guard byte == Self.handshakeByte else {
            return mode == .enforcing ? .refused("this port takes TLS only") : .plain
        }
        guard let context else { return .refused("this port has no TLS") }
        guard handshakes < limits.maximum else { return tooMany("too many TLS handshakes at a time") }
        if limits.includesLoopback || !peer.isLoopback, peers.handshakes(of: peer) >= limits.perAddressMaximum {
            return tooMany("too many TLS handshakes of one address at a time")
        }
        return .tls(context)
    }

    private func tooMany(_ reason: String) -> Judgement {
        handshakesRefused += 1
        return .refused(reason)
    }

    func handshakeBegan(_ connection: Connection) {
        handshakes += 1
        connection.loop.peers.handshakeBegan(connection.peer)
    }

    func handshakeEnded(_ connection: Connection, established: Bool) {
        handshakes -= 1
        connection.loop.peers.handshakeEnded(connection.peer)
        if established { self.established += 1 } else { failed += 1 }
    }

    // MARK: - Taking turns

    /// Whether a handshake may begin at once: there is time for it, and none waits already.
    func mayBegin(on loop: EventLoop) -> Bool {
        budget.refill(loop.turnClock.available)
        return budget.isOpen && firstWaiting == waiting.count
    }

    /// Work on a handshake has been done, which began when the loop's clock of available time said `begin`.
    func charge(since begin: MonotonicTime, on loop: EventLoop) {
        charge(loop.turnClock.available.nanoseconds - begin.nanoseconds)
    }

    /// Handshakes took so long.
    func charge(_ nanoseconds: Int64) { budget.charge(nanoseconds) }

    /// Calls `Connection.beginWaitingHandshake` when it is this connection's turn, unless it is closed by then.
    func wait(_ connection: Connection) {
        handshakesDelayed += 1
        waiting.append(WaitingHandshake(connection: connection))
        if timer == nil { setTimer(on: connection.loop) }
    }

    private func setTimer(on loop: EventLoop) {
        timer = loop.schedule(afterMilliseconds: budget.millisecondsUntilOpen) { [weak self, unowned loop] in
            self?.beginWaiting(on: loop)
        }
    }

    private func beginWaiting(on loop: EventLoop) {
        timer = nil
        budget.refill(loop.turnClock.available)
        while budget.isOpen, firstWaiting < waiting.count {
            let connection = waiting[firstWaiting].connection
            firstWaiting += 1
            connection?.beginWaitingHandshake()
        }
        if firstWaiting == waiting.count {
            waiting.removeAll()
            firstWaiting = 0
            return
        }
        if firstWaiting > 1024 {
            waiting.removeSubrange(..<firstWaiting)
            firstWaiting = 0
        }
        setTimer(on: loop)
    }

    func refusedConnection(_ peer: HostAddress, _ reason: String, at now: MonotonicTime) {
        refused += 1
        complain("connection refused", peer, reason, now)
    }

    /// Records that nobody who knows the keys has sent, or a handshake that failed.
    func complain(_ message: String, _ peer: HostAddress, _ reason: String, _ now: MonotonicTime) {
        guard let count = throttle.admit(at: now) else { return }
        log.warning(message, ["peer": "\(peer)", "reason": reason, "sinceLastLine": "\(count)"])
    }
}

private struct WaitingHandshake {
    weak var connection: Connection?
}
