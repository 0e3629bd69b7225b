import Base
import Bytes
import NameService
import RemotingProtocol
import Runtime
import Telemetry

/// The connection to one name server: made, made anew after a growing pause when it breaks, and given a conversation.
/// Belongs to the loop.
final class NameServerLink {
    let endpoint: NameServerEndpoint
    private let loop: EventLoop
    private let security: OutgoingSecurity
    private let broker: RegisteredBroker
    private let configuration: NameServerRegistrarConfiguration
    private let log: Log
    private let registered: (RegistrationReply) -> Void
    private var connection: Connection?
    private var conversation: RegistrationConversation?
    private var pauseMilliseconds: Int64
    /// Complains once about a name server that is away, not at every attempt.
    private var isKnownAway = false
    private var stopped: (() -> Void)?
    private var isStopping = false

    init(
        _ endpoint: NameServerEndpoint, _ loop: EventLoop, _ security: OutgoingSecurity, _ broker: RegisteredBroker,
        _ configuration: NameServerRegistrarConfiguration, log: Log, registered: @escaping (RegistrationReply) -> Void
    ) {
        self.endpoint = endpoint
        self.loop = loop
        self.security = security
        self.broker = broker
        self.configuration = configuration
        self.log = log
        self.registered = registered
        pauseMilliseconds = configuration.reconnectMillisecondsMinimum
    }

    /// Whether the name server has every topic of the broker.
    var isRegistered: Bool { conversation?.acknowledged == broker.dataVersion() }

    // MARK: - Connecting

    func connect() {
        guard !isStopping else { return }
        loop.connect(host: endpoint.host, port: endpoint.port, options: .client, tls: security.tls) {
            [weak self] connection in
            self?.connected(connection)
        } failed: { [weak self] error in
            self?.away(error.description)
        }
    }

    private func connected(_ connection: Connection) -> (any ConnectionHandler)? {
        guard !isStopping else { return nil }
        self.connection = connection
        conversation = RegistrationConversation(broker, configuration, log: log)
        speak()
        return self
    }

    private func away(_ reason: String) {
        guard !isStopping else { return finish() }
        if !isKnownAway {
            isKnownAway = true
            log.warning("name server cannot be reached", ["name server": endpoint.description, "reason": reason])
        }
        let pause = pauseMilliseconds
        pauseMilliseconds = min(pause * 2, configuration.reconnectMillisecondsMaximum)
        loop.schedule(afterMilliseconds: pause) { [weak self] in self?.connect() }
    }

    // MARK: - What the broker wants

    /// Lets the conversation note something, and says what is due then.
    func tell(_ note: (RegistrationConversation) -> Void) {
        guard let conversation else { return }
        note(conversation)
        speak()
    }

    /// Says goodbye, closes the connection and calls back; at once when there is no connection.
    func stop(_ completion: @escaping () -> Void) {
        isStopping = true
        stopped = completion
        guard connection != nil else { return finish() }
        tell { $0.stop() }
    }

    private func finish() {
        let stopped = self.stopped
        self.stopped = nil
        stopped?()
    }

    private func speak() {
        guard let connection, let conversation else { return }
        if conversation.speak(connection.output, at: loop.clock.monotonic) { connection.outputAdded() }
    }

    /// Gives up on a name server that does not answer. Called every second.
    func checkDeadline() {
        guard let connection, conversation?.isOverdue(at: loop.clock.monotonic) == true else { return }
        connection.close("the name server does not answer", .abort)
    }
}

extension NameServerLink: ConnectionHandler {
    func received(_ input: ByteBuffer, on connection: Connection) {
        guard let conversation else { return input.removeAll() }
        while connection.isOpen {
            switch conversation.hear(input) {
            case .incomplete(let bytes):
                connection.expect(bytes: bytes)
                return speak()
            case .registered(let reply): taken(reply)
            case .other: break
            case .failed(let reason):
                log.warning(
                    "name server failed", ["name server": endpoint.description, "reason": reason])
                return connection.close(reason, .abort)
            }
            if conversation.hasLeft { connection.close("the broker stops") }
        }
    }

    private func taken(_ reply: RegistrationReply) {
        pauseMilliseconds = configuration.reconnectMillisecondsMinimum
        if isKnownAway { log.notice("name server is back", ["name server": endpoint.description]) }
        isKnownAway = false
        registered(reply)
    }

    func drained(_ connection: Connection) {}

    func closed(_ connection: Connection, reason: CloseReason) {
        self.connection = nil
        conversation = nil
        away(reason.description)
    }
}
