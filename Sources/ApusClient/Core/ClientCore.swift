import Base
import Model
import RemotingProtocol
import Runtime
import Telemetry

/// What all producers and consumers of one client share: connections, calls, routes and heartbeats.
///
/// Lives on the client's event loop: the loop is the actor's executor, so that callbacks of connections and timers are
/// within the actor, and a call to a server costs one suspension. Work begins with the first call; nothing waits for
/// ``RocketMQClient/run()``.
actor ClientCore {
    nonisolated var loop: EventLoop { thread.loop }
    nonisolated let configuration: ClientConfiguration
    nonisolated let identity: ClientIdentity
    nonisolated let log: Log
    /// Nil speaks plainly.
    nonisolated let tls: TLSContext?
    /// Signs every request; nil signs none.
    let signer: RequestSigner?
    nonisolated var unownedExecutor: UnownedSerialExecutor { loop.asUnownedSerialExecutor() }

    /// Runs the loop, and stops when the core goes: jobs of the client's actors, which all hold the core, never outlive it.
    private nonisolated let thread: LoopThread

    // Calls; see ClientCore+Calls.swift.
    let waits: WaitList
    var peers: [String: Peer] = [:]
    /// The name server that answered last, as an index.
    var nameServer = 0

    // Routes; see ClientCore+Routes.swift.
    var routes: [String: TopicRoute] = [:]
    var routeWaiters: [String: [Int32]] = [:]
    /// Brokers of all routes, by name.
    var brokers: [String: BrokerData] = [:]

    // Membership; see ClientCore+Heartbeat.swift.
    /// How many producers announce each group.
    var producerGroups: [String: Int] = [:]
    /// The producer groups that a broker was told of on the connection that it has now, by address.
    var announcedGroups: [String: Set<String>] = [:]
    var consumers: [String: ConsumerData] = [:]
    var consumerCores: [String: PushConsumerCore] = [:]

    /// Who answers the checks of half messages, by producer group; see ClientCore+Transactions.swift.
    var checkers: [String: TransactionChecks] = [:]
    /// Requests that wait for their replies, by correlation id; see ClientCore+Replies.swift.
    var replies: [String: ReplyState] = [:]

    private var timers: [LoopTimer] = []
    private var hasBegun = false
    private(set) var isClosed = false
    private var runners: [CheckedContinuation<Void, Never>] = []

    init(_ thread: LoopThread, configuration: ClientConfiguration, identity: ClientIdentity, tls: TLSContext?, log: Log)
    {
        self.thread = thread
        self.configuration = configuration
        self.identity = identity
        self.log = log
        self.tls = tls
        signer = configuration.credentials.flatMap { RequestSigner($0) }
        waits = WaitList(thread.loop)
    }

    func now() -> MonotonicTime { loop.clock.monotonic }

    func deadline(_ timeout: Duration?) -> MonotonicTime {
        now().advanced(by: timeout ?? configuration.requestTimeout)
    }

    // MARK: - Background work

    /// Starts the periodic work; called by everything that needs it.
    func begin() {
        guard !hasBegun, !isClosed else { return }
        hasBegun = true
        repeatEvery(configuration.routeRefreshInterval) { core in Task { await core.refreshRoutes() } }
        repeatEvery(configuration.heartbeatInterval) { core in Task { await core.sendHeartbeats() } }
    }

    private func repeatEvery(_ interval: Duration, _ body: @escaping @Sendable (isolated ClientCore) -> Void) {
        let period = max(1, interval.milliseconds)
        timers.append(
            loop.schedule(afterMilliseconds: period, repeatingEveryMilliseconds: period) { [weak self] in
                self?.assumeIsolated { body($0) }
            })
    }

    // MARK: - The end

    /// Returns when the client was shut down, or the task was cancelled.
    func waitForEnd() async {
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                if isClosed || Task.isCancelled { continuation.resume() } else { runners.append(continuation) }
            }
        } onCancel: {
            loop.post { self.assumeIsolated { $0.releaseRunners() } }
        }
    }

    private func releaseRunners() {
        for runner in runners { runner.resume() }
        runners = []
    }

    /// Stops consumers (storing their offsets), leaves all groups, and closes connections after their output is sent.
    func shutdown() async {
        guard !isClosed else { return }
        for consumer in consumerCores.values { await consumer.shutdown() }
        for group in producerGroups.keys { await unregister(producerGroup: group) }
        close()
    }

    /// Closes without goodbyes.
    func close() {
        guard !isClosed else { return }
        isClosed = true
        for timer in timers { timer.cancel() }
        timers = []
        waits.failAll(.closed())
        waits.cancelTimer()
        for peer in peers.values {
            if case .open(let connection) = peer.state { connection.close("client shut down") }
            peer.onAnswer = { _ in }
            peer.onRequest = { _, _ in }
            peer.onDrained = {}
            peer.onClosed = { _ in }
        }
        peers = [:]
        releaseRunners()
    }
}
