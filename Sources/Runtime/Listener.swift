import Base
import CLibuv
import Glibc
import Telemetry

/// A socket on which an event loop accepts connections. Belongs to the loop's thread; lives until ``close()`` or the loop's end.
///
/// It polls its own socket instead of using `uv_listen`, which has no way to pause: when the process runs out of descriptors,
/// connections wait in the kernel's backlog for 100 ms at a time.
public final class Listener: HandleOwner {
    /// Chooses the handler of a new connection, or nil to close it.
    public typealias Accept = (Connection) -> (any ConnectionHandler)?

    /// Where it listens, with the port that the kernel chose if 0 was asked for.
    public let address: HostAddress
    public var port: Int { Int(address.port) }
    /// Connections accepted here that are open.
    public private(set) var connections = 0

    private let loop: EventLoop
    private let descriptor: Int32
    private let poll = UnsafeMutablePointer<uv_poll_t>.allocate(capacity: 1)
    private let limits: AcceptLimits
    private let options: ConnectionOptions
    /// How it treats the first byte; nil takes every byte for plain.
    let tls: TLSServer?
    private var accept: Accept?
    private var lastComplaint: MonotonicTime?
    private var silentComplaints = 0
    /// Whether the last attempt to accept failed.
    public private(set) var isPaused = false
    public var connectionsMaximum: Int { limits.connectionsMaximum }

    private static let pauseMilliseconds: Int64 = 100

    fileprivate init(
        _ loop: EventLoop, _ descriptor: Int32, _ address: HostAddress, _ limits: AcceptLimits,
        _ options: ConnectionOptions, _ tls: TLSServer?, _ accept: @escaping Accept
    ) throws(RuntimeError) {
        self.loop = loop
        self.descriptor = descriptor
        self.address = address
        self.limits = limits
        self.options = options
        self.tls = tls
        self.accept = accept
        let status = uv_poll_init(loop.loop, poll, descriptor)
        guard status == 0 else {
            poll.deallocate()
            throw RuntimeError(status, operation: "listen", subject: "\(address)")
        }
        // SAFETY: given up in `listenerClosed`, after which libuv does not call back.
        poll.pointee.data = Unmanaged.passRetained(self).toOpaque()
        startPolling()
    }

    /// Accepts no more connections and frees the port. Connections that are open stay.
    public func close() {
        guard accept != nil else { return }
        loop.requireOnLoop()
        accept = nil
        uv_close(handle(poll), listenerClosed)
        // libuv allows this directly after uv_close, and the port should be free on return.
        Glibc.close(descriptor)
    }

    func loopStopped() { close() }

    func connectionOpened() { connections += 1 }
    func connectionClosed() { connections -= 1 }

    // MARK: - Accepting

    private func startPolling() {
        guard accept != nil else { return }
        isPaused = false
        uv_poll_start(poll, Int32(bitPattern: UV_READABLE.rawValue), connectionsWait)
    }

    fileprivate func acceptConnections() {
        loop.turnClock.startTurn()
        for _ in 0..<limits.perTurnMaximum {
            guard accept != nil else { return }
            let accepted = apus_accept(descriptor)
            guard accepted < 0 else {
                take(accepted)
                continue
            }
            switch -accepted {
            case EAGAIN: return
            // The peer gave up while it waited, or a network error of the new connection shows here (accept(2)).
            case EINTR, ECONNABORTED, EPROTO, ENETDOWN, ENOPROTOOPT, EHOSTDOWN, ENONET, EHOSTUNREACH, EOPNOTSUPP,
                ENETUNREACH:
                continue
            default: return pause(accepted)
            }
        }
    }

    private func pause(_ status: Int32) {
        complain("connections cannot be accepted", describe(status))
        isPaused = true
        uv_poll_stop(poll)
        loop.schedule(afterMilliseconds: Self.pauseMilliseconds) { [weak self] in self?.startPolling() }
    }

    private func take(_ socket: Int32) {
        guard let accept else {
            Glibc.close(socket)
            return
        }
        if let refusal = refusal(of: socket) {
            complain("connection refused", refusal.words)
            loop.counters.refusals[refusal.rawValue] += 1
            Glibc.close(socket)
            return
        }
        let connection = Connection(loop, options: options)
        guard uv_tcp_open(connection.socket, socket) == 0 else {
            Glibc.close(socket)
            return connection.discard()
        }
        if connection.open(listener: self, accept) {
            loop.counters.accepted += 1
        } else {
            loop.counters.refusals[Refusal.handler.rawValue] += 1
        }
    }

    /// Why a socket is not taken; nil when it is. Asked before anything is allocated for it.
    private func refusal(of socket: Int32) -> Refusal? {
        if connections >= limits.connectionsMaximum { return .tooMany }
        if loop.isMemoryShort { return .memory }
        guard let peer = SocketAddress(peerOf: socket)?.hostAddress else { return nil }
        if peer.isLoopback, !limits.includesLoopback { return nil }
        return loop.peers.objection(to: peer, maximum: limits.perAddressMaximum, now: loop.clock.monotonic)
    }

    /// Logs at most once a second, since a stranger may provoke it at will.
    private func complain(_ message: String, _ detail: String) {
        let now = loop.clock.monotonic
        if let lastComplaint, now.milliseconds(since: lastComplaint) < 1000 {
            silentComplaints += 1
            return
        }
        loop.log.warning(
            message, ["listener": "\(address)", "detail": detail, "sinceLastLine": "\(silentComplaints + 1)"])
        lastComplaint = now
        silentComplaints = 0
    }
}

// MARK: - Opening

extension EventLoop {
    /// Listens for TCP connections.
    /// - Parameters:
    ///   - host: an address in digits of either family, or a name, which is looked up while the caller waits.
    ///   - port: 0 lets the kernel choose; see ``Listener/port``.
    ///   - backlog: connections that may wait in the kernel; it caps the number at `net.core.somaxconn`.
    ///   - limits: connections beyond them are closed at once.
    ///   - maximumConnections: the only limit, when there are no `limits`.
    ///   - tls: who gets TLS; nil takes every connection for plain.
    public func listen(
        host: String, port: Int, backlog: Int = 1024, limits: AcceptLimits? = nil, maximumConnections: Int = 65_536,
        options: ConnectionOptions = ConnectionOptions(), tls: TLSServer? = nil, accept: @escaping Listener.Accept
    ) throws(RuntimeError) -> Listener {
        requireOnLoop()
        let subject = "\(host):\(port)"
        guard !isStopping else {
            throw RuntimeError(UV_ECANCELED.rawValue, operation: "listen", subject: subject)
        }
        guard let number = UInt16(exactly: port) else {
            throw RuntimeError(UV_EINVAL.rawValue, operation: "listen", subject: subject)
        }
        var address = try addressToListen(host, number)
        let descriptor = try socketListening(&address, backlog, subject)
        do throws(RuntimeError) {
            return try Listener(
                self, descriptor, address.hostAddress, limits ?? AcceptLimits(connectionsMaximum: maximumConnections),
                options, tls, accept)
        } catch {
            Glibc.close(descriptor)
            throw error
        }
    }

    private func addressToListen(_ host: String, _ port: UInt16) throws(RuntimeError) -> SocketAddress {
        if let address = SocketAddress(numeric: host, port: port) { return address }
        var request = uv_getaddrinfo_t()
        var hints = addrinfo()
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        hints.ai_flags = AI_PASSIVE
        // Without a callback the call answers directly.
        let status = uv_getaddrinfo(loop, &request, nil, host, String(port), &hints)
        defer { uv_freeaddrinfo(request.addrinfo) }
        guard status == 0, let found = request.addrinfo, let address = SocketAddress(found.pointee) else {
            let reason = status == 0 ? UV_EAI_NONAME.rawValue : status
            throw RuntimeError(reason, operation: "look up", subject: host)
        }
        return address
    }

    /// A bound and listening socket; `address` becomes what it is bound to.
    private func socketListening(
        _ address: inout SocketAddress, _ backlog: Int, _ subject: String
    ) throws(RuntimeError) -> Int32 {
        let kind = SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue
        let descriptor = Glibc.socket(address.family, Int32(bitPattern: kind), 0)
        guard descriptor >= 0 else { throw RuntimeError(-errno, operation: "listen", subject: subject) }
        // A restarted server must not wait until connections of its predecessor have left TIME_WAIT.
        var yes: Int32 = 1
        setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &yes, socklen_t(MemoryLayout<Int32>.size))
        var size = address.size
        let bound = address.withPointer { Glibc.bind(descriptor, $0, size) }
        guard bound == 0, Glibc.listen(descriptor, Int32(clamping: backlog)) == 0,
            address.withPointer({ getsockname(descriptor, $0, &size) }) == 0
        else {
            let status = -errno
            Glibc.close(descriptor)
            throw RuntimeError(status, operation: "listen", subject: subject)
        }
        return descriptor
    }
}

private func connectionsWait(_ poll: UnsafeMutablePointer<uv_poll_t>?, _: Int32, _: Int32) {
    guard let data = poll?.pointee.data else { return }
    // SAFETY: set in `Listener.init`, released in `listenerClosed`.
    Unmanaged<Listener>.fromOpaque(data).takeUnretainedValue().acceptConnections()
}

private func listenerClosed(_ poll: UnsafeMutablePointer<uv_handle_t>?) {
    guard let poll else { return }
    // SAFETY: the last callback of this handle: gives up its reference and its memory, which was allocated as a uv_poll_t.
    if let data = poll.pointee.data { Unmanaged<Listener>.fromOpaque(data).release() }
    UnsafeMutableRawPointer(poll).deallocate()
}
