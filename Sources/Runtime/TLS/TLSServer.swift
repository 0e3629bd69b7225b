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
    /// Handshakes under way.
    private(set) var handshakes = 0
    /// Handshakes that succeeded, and those that did not.
    public private(set) var established = 0
    public private(set) var failed = 0
    /// Plain connections that were refused, and TLS where there is none.
    public private(set) var refused = 0

    /// Handshakes that may be under way at a time. OpenSSL reserves up to 128 KiB for each as soon as a peer announces a long
    /// message, so this bounds that memory to 128 MiB.
    static let handshakesMaximum = 1024
    /// The first byte of a TLS handshake record. A remoting frame begins with the upper byte of its length: 0, or 1 for the
    /// largest.
    static let handshakeByte: UInt8 = 0x16

    /// - Parameter configuration: nil when there is no certificate; then no client gets TLS.
    /// - Throws: what is wrong with the files, or that enforcing needs a certificate.
    public init(
        _ mode: Mode, _ configuration: TLSServerConfiguration?, handshakeMilliseconds: Int64 = 10_000,
        log: Log = .silent
    ) throws(TLSError) {
        self.mode = mode
        self.configuration = configuration
        self.handshakeMilliseconds = handshakeMilliseconds
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
    func judge(_ byte: UInt8) -> Judgement {
        guard byte == Self.handshakeByte else {
            return mode == .enforcing ? .refused("this port takes TLS only") : .plain
        }
        guard let context else { return .refused("this port has no TLS") }
        guard handshakes < Self.handshakesMaximum else { return .refused("too many TLS handshakes at a time") }
        return .tls(context)
    }

    func handshakeBegan() { handshakes += 1 }

    func handshakeEnded(established: Bool) {
        handshakes -= 1
        if established { self.established += 1 } else { failed += 1 }
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
