import Base
import NameService
import RemotingProtocol
import Runtime
import Telemetry

/// A name server behind the remoting protocol: what its connections share. Belongs to the thread of its event loop.
///
/// Give ``accept(_:)`` to a listener and call ``start(on:)`` once.
public final class NameServerFrontend {
    public let server: NameServer
    public internal(set) var configuration: NameServerFrontendConfiguration
    let log: Log
    /// Who may change what.
    let requestGuard: RequestGuard
    /// Requests are handled one at a time, so one header serves all connections.
    let header = CommandHeader()
    private var connections: [ConnectionToken: Connection] = [:]
    private var lastToken: UInt64 = 0

    public init(
        server: NameServer, configuration: NameServerFrontendConfiguration = NameServerFrontendConfiguration(),
        requestGuard: RequestGuard = RequestGuard(), log: Log
    ) {
        self.server = server
        self.configuration = configuration
        self.log = log.labelled("name server")
        self.requestGuard = requestGuard
    }

    /// Begins to drop silent brokers. Call it once, on the loop that the connections belong to.
    public func start(on loop: EventLoop) {
        let interval = configuration.scanIntervalMilliseconds
        loop.schedule(afterMilliseconds: interval, repeatingEveryMilliseconds: interval) { [weak self] in
            self?.expire()
        }
    }

    /// The session for a new connection.
    public func accept(_ connection: Connection) -> any ConnectionHandler {
        let isLocal = HostAddress.areOneMachine(connection.peer, connection.local)
        let session = makeSession(peer: connection.peer, isLocal: isLocal)
        connections[session.token] = connection
        return session
    }

    /// A session without a connection: bytes in, bytes out.
    /// - Parameter isLocal: whether the peer is on this machine.
    public func makeSession(peer: HostAddress, isLocal: Bool = true) -> NameServerSession {
        lastToken += 1
        return NameServerSession(self, token: ConnectionToken(lastToken), peer: peer, isLocal: isLocal)
    }

    /// Drops the brokers that were silent for too long, and closes their connections, as RocketMQ does.
    public func expire() {
        for token in server.expire() {
            connections[token]?.close("the broker was silent for too long", .abort)
        }
    }

    func closed(_ token: ConnectionToken) {
        connections[token] = nil
        server.connectionClosed(token)
    }
}
