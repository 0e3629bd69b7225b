import Base
import Model
import NameService
import Runtime
import Telemetry

/// Keeps name servers informed about one broker: registers it with each of them when it starts, when topics change and every
/// 30 s, and unregisters it when it stops. Belongs to the thread of its loop.
///
/// Each name server has a connection of its own, whose end makes the name server forget the broker; so it is made anew as
/// soon as it breaks. Name servers do not wait for each other.
public final class NameServerRegistrar {
    private let loop: EventLoop
    private let configuration: NameServerRegistrarConfiguration
    private var links: [NameServerLink] = []
    private var timers: [LoopTimer] = []
    /// Called when a name server took a registration; a slave learns from the reply where its master is.
    public var onRegistered: ((NameServerEndpoint, RegistrationReply) -> Void)?

    /// How long stopping waits for name servers to answer a goodbye.
    private static let goodbyeMilliseconds: Int64 = 1_000

    public init(
        _ configuration: NameServerRegistrarConfiguration, broker: RegisteredBroker, loop: EventLoop,
        security: OutgoingSecurity = OutgoingSecurity(), log: Log
    ) {
        self.loop = loop
        self.configuration = configuration
        let log = log.labelled("registration")
        links = configuration.nameServers.map { endpoint in
            NameServerLink(endpoint, loop, security, broker, configuration, log: log) { [weak self] reply in
                self?.onRegistered?(endpoint, reply)
            }
        }
    }

    /// Begins to connect and to register.
    public func start() {
        for link in links { link.connect() }
        let interval = configuration.intervalMilliseconds
        timers = [
            loop.schedule(afterMilliseconds: interval, repeatingEveryMilliseconds: interval) { [weak self] in
                self?.tell { $0.renew() }
            },
            loop.schedule(afterMilliseconds: 1_000, repeatingEveryMilliseconds: 1_000) { [weak self] in
                self?.links.forEach { $0.checkDeadline() }
            },
        ]
    }

    /// Name servers that have every topic of the broker now.
    public var registeredCount: Int { links.count { $0.isRegistered } }

    /// Tells the name servers of topics that were made or changed. Every change of the broker's data version must be reported
    /// here (with no topics after a deletion) or by ``registerAll()``.
    public func topicsChanged(_ topics: [TopicConfiguration]) { tell { $0.topicsChanged(topics) } }

    /// Tells the name servers all topics again.
    public func registerAll() { tell { $0.registerAll() } }

    private func tell(_ note: (RegistrationConversation) -> Void) {
        for link in links { link.tell(note) }
    }

    /// Says goodbye to the name servers and closes the connections. Calls back when all have answered, or after a second.
    public func stop(_ completion: @escaping () -> Void) {
        for timer in timers { timer.cancel() }
        timers = []
        var waiting = links.count
        var isDone = false
        func done() {
            guard !isDone else { return }
            isDone = true
            completion()
        }
        guard waiting > 0 else { return done() }
        loop.schedule(afterMilliseconds: Self.goodbyeMilliseconds) { done() }
        for link in links {
            link.stop {
                waiting -= 1
                if waiting == 0 { done() }
            }
        }
    }
}
