import Base
import CLibuv
import Glibc

extension EventLoop {
    /// Connects to a server: looks its name up on the worker pool and tries its addresses in the resolver's order.
    /// Exactly one of the two closures is called, on the loop, in a later turn (at once if the loop has stopped).
    /// - Parameters:
    ///   - timeoutMilliseconds: for everything together.
    ///   - tls: how to speak TLS; the handshake is over when `connected` is called. Nil connects plainly.
    ///   - connected: chooses the handler; with nil the connection is closed again.
    public func connect(
        host: String, port: Int, timeoutMilliseconds: Int64 = 3000, options: ConnectionOptions = .client,
        tls: TLSContext? = nil,
        connected: @escaping (Connection) -> (any ConnectionHandler)?, failed: @escaping (RuntimeError) -> Void
    ) {
        requireOnLoop()
        Connector(self, host, port, options, tls, connected, failed).start(timeoutMilliseconds)
    }
}

/// One attempt to connect to a server, over as many addresses as its name has.
final class Connector {
    private let loop: EventLoop
    private let host: String
    private let port: Int
    private let options: ConnectionOptions
    private let tls: TLSContext?
    private var connected: ((Connection) -> (any ConnectionHandler)?)?
    private var failed: ((RuntimeError) -> Void)?
    /// Addresses not yet tried, last one first.
    private var addresses: [SocketAddress] = []
    private var lookup: UnsafeMutablePointer<uv_getaddrinfo_t>?
    private var attempt: Connection?
    private var timer: LoopTimer?

    init(
        _ loop: EventLoop, _ host: String, _ port: Int, _ options: ConnectionOptions, _ tls: TLSContext?,
        _ connected: @escaping (Connection) -> (any ConnectionHandler)?, _ failed: @escaping (RuntimeError) -> Void
    ) {
        self.loop = loop
        self.host = host
        self.port = port
        self.options = options
        self.tls = tls
        self.connected = connected
        self.failed = failed
    }

    func start(_ timeoutMilliseconds: Int64) {
        guard !loop.isStopping else { return end(UV_ECANCELED.rawValue) }
        loop.connectors[ObjectIdentifier(self)] = self
        timer = loop.schedule(afterMilliseconds: max(1, timeoutMilliseconds)) { self.end(UV_ETIMEDOUT.rawValue) }
        guard let number = UInt16(exactly: port), number > 0 else { return failLater(UV_EINVAL.rawValue) }
        if let address = SocketAddress(numeric: host, port: number) {
            addresses = [address]
            tryNext(UV_EADDRNOTAVAIL.rawValue)
        } else {
            lookUp(number)
        }
    }

    /// The loop ends.
    func stop() { end(UV_ECANCELED.rawValue) }

    // MARK: - The name

    private func lookUp(_ port: UInt16) {
        let request = UnsafeMutablePointer<uv_getaddrinfo_t>.allocate(capacity: 1)
        // SAFETY: given up in `nameLookedUp`, which libuv calls exactly once if the call below succeeds.
        let context = Unmanaged.passRetained(self)
        request.pointee.data = context.toOpaque()
        var hints = addrinfo()
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        let status = uv_getaddrinfo(loop.loop, request, nameLookedUp, host, String(port), &hints)
        guard status == 0 else {
            context.release()
            request.deallocate()
            return failLater(status)
        }
        lookup = request
    }

    fileprivate func lookedUp(_ status: Int32, _ found: UnsafeMutablePointer<addrinfo>?) {
        loop.turnClock.startTurn()
        lookup = nil
        guard failed != nil else { return }
        guard status == 0 else { return end(status) }
        var next = found
        while let entry = next {
            if let address = SocketAddress(entry.pointee) { addresses.append(address) }
            next = entry.pointee.ai_next
        }
        addresses.reverse()
        tryNext(UV_EAI_NONAME.rawValue)
    }

    // MARK: - The addresses

    /// Tries the next address; when there is none left, fails with the status of the last one.
    private func tryNext(_ lastStatus: Int32) {
        var status = lastStatus
        while var address = addresses.popLast() {
            let connection = Connection(loop, options: options)
            status = begin(connection, &address)
            guard status < 0 else {
                attempt = connection
                return
            }
            connection.discard()
        }
        failLater(status)
    }

    private func begin(_ connection: Connection, _ address: inout SocketAddress) -> Int32 {
        let request = UnsafeMutablePointer<uv_connect_t>.allocate(capacity: 1)
        // SAFETY: given up in `connectEnded`, which libuv calls exactly once if the call below succeeds.
        let context = Unmanaged.passRetained(ConnectAttempt(self, connection))
        request.pointee.data = context.toOpaque()
        let status = address.withPointer { uv_tcp_connect(request, connection.socket, $0, connectEnded) }
        if status < 0 {
            context.release()
            request.deallocate()
        }
        return status
    }

    fileprivate func ended(_ connection: Connection, _ status: Int32) {
        loop.turnClock.startTurn()
        // An attempt that was given up: its connection is closing.
        guard connection === attempt else { return }
        attempt = nil
        guard status == 0 else {
            connection.discard()
            return tryNext(status)
        }
        if let tls {
            attempt = connection
            return connection.beginTLS(tls, host: host) { [weak self] outcome in self?.ended(connection, outcome) }
        }
        guard let connected = finish()?.connected else { return connection.discard() }
        _ = connection.open(listener: nil, connected)
    }

    /// The handshake is over, or failed, for the reason given. Another address of the same name would fail alike.
    private func ended(_ connection: Connection, _ failure: String?) {
        guard connection === attempt else { return }
        attempt = nil
        guard let (connected, failed) = finish() else { return connection.discard() }
        if let failure {
            failed(RuntimeError(untrusted: failure, subject: "\(host):\(port)"))
        } else {
            connection.takeOver(connected)
        }
    }

    // MARK: - The end

    /// Fails from the loop, since the caller of `connect` is still on the stack.
    private func failLater(_ status: Int32) {
        loop.schedule(afterMilliseconds: 0) { self.end(status) }
    }

    private func end(_ status: Int32) {
        finish()?.failed(RuntimeError(status, operation: "connect", subject: "\(host):\(port)"))
    }

    /// Gives up whatever is under way. Nil when that has happened before.
    private func finish() -> (connected: (Connection) -> (any ConnectionHandler)?, failed: (RuntimeError) -> Void)? {
        guard let connected, let failed else { return nil }
        self.connected = nil
        self.failed = nil
        timer?.cancel()
        timer = nil
        attempt?.discard()
        attempt = nil
        addresses = []
        if let lookup {
            // SAFETY: a uv_getaddrinfo_t starts with the fields of uv_req_t.
            uv_cancel(UnsafeMutableRawPointer(lookup).assumingMemoryBound(to: uv_req_t.self))
        }
        loop.connectors[ObjectIdentifier(self)] = nil
        return (connected, failed)
    }
}

private final class ConnectAttempt {
    let connector: Connector
    let connection: Connection
    init(_ connector: Connector, _ connection: Connection) {
        self.connector = connector
        self.connection = connection
    }
}

private func nameLookedUp(
    _ request: UnsafeMutablePointer<uv_getaddrinfo_t>?, _ status: Int32, _ found: UnsafeMutablePointer<addrinfo>?
) {
    guard let request, let data = request.pointee.data else { return }
    // SAFETY: set in `Connector.lookUp`; this is the one call that gives the reference and the request's memory up.
    Unmanaged<Connector>.fromOpaque(data).takeRetainedValue().lookedUp(status, found)
    uv_freeaddrinfo(found)
    request.deallocate()
}

private func connectEnded(_ request: UnsafeMutablePointer<uv_connect_t>?, _ status: Int32) {
    guard let request, let data = request.pointee.data else { return }
    // SAFETY: set in `Connector.begin`; this is the one call that gives the reference and the request's memory up.
    let attempt = Unmanaged<ConnectAttempt>.fromOpaque(data).takeRetainedValue()
    request.deallocate()
    attempt.connector.ended(attempt.connection, status)
}
