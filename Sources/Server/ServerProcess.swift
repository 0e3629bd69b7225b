import Base
import BrokerCore
import Glibc
import Model
import NameService
import RemotingFrontend
import Runtime
import Storage
import Telemetry

/// A process with a name server, a broker, or both: configuration in, listeners out. The only room that knows everything.
///
/// All of it lives on one event loop, which runs on the thread that calls ``run(readyFile:announce:)``.
public final class ServerProcess {
    private let configuration: Configuration
    private let log: Log
    private let loop: EventLoop
    private let disk: LoopDisk
    private let security: ServerSecurity
    private var listeners: [Listener] = []
    private var nameServerFrontend: NameServerFrontend?
    private var brokerFrontend: BrokerFrontend?
    private var registrar: NameServerRegistrar?
    private var propagation: TopicPropagation?
    private let openFilesMaximum = OpenFileLimit.raise()
    private var isStopping = false
    /// Called once, when a name server knows the broker.
    private var firstRegistration: (() -> Void)?
    private var failure: ServerError?

    /// What was started, for the banner and the ready file.
    public struct Started: Sendable {
        public var nameServerPort: Int?
        public var brokerPort: Int?
        public var address: AdvertisedAddress?
        public var storePath: String?
        public var bindAddress: String
    }
    private var started: Started

    /// - Throws: ``ServerError`` when the loop cannot be made.
    public init(_ configuration: Configuration, log: Log) throws(ServerError) {
        self.configuration = configuration
        self.log = log
        do throws(RuntimeError) {
            loop = try EventLoop(log: log.labelled("loop"))
        } catch {
            throw ServerError("the event loop cannot be made: \(error)")
        }
        disk = LoopDisk(loop: loop)
        loop.memoryBudget = configuration.integer("maximumPeerMemory")
        security = try ServerSecurity(configuration.security, clock: loop.clock, log: log)
        started = Started(bindAddress: configuration.text("bindAddress"))
    }

    /// Starts everything, says so, and serves until a signal comes. A store that fails takes no more messages and goes on serving
    /// those that it has.
    /// - Parameters:
    ///   - readyFile: written when every listener answers and the broker is registered.
    ///   - announce: called at the same moment.
    /// - Throws: ``ServerError``: why it could not start, or what went wrong before it was stopped.
    public func run(readyFile: String?, announce: @escaping (Started) -> Void) throws(ServerError) {
        security.watch(on: loop)
        if configuration.role != .broker { try startNameServer() }
        if configuration.role != .nameServer { try startBroker() }
        for signal in [SIGINT, SIGTERM] {
            loop.onSignal(signal) { [weak self] in self?.stop() }
        }
        whenRegistered { [weak self] in self?.ready(readyFile, announce) }
        loop.run()
        if let failure { throw failure }
    }

    // MARK: - Name server

    private func startNameServer() throws(ServerError) {
        let settings = configuration.nameServer
        var configuration = NameServerConfiguration()
        configuration.isOrderMessageEnabled = settings.addsOrderConfiguration
        configuration.kvConfigPath = settings.keyValueFile
        let server: NameServer
        do throws(NameServerError) {
            server = try NameServer(configuration: configuration, clock: loop.clock, disk: disk, log: log)
        } catch {
            throw ServerError("the name server cannot start: \(error)")
        }
        var tools = NameServerFrontendConfiguration()
        tools.scanIntervalMilliseconds = settings.scanInterval.milliseconds
        tools.isAllTopicListEnabled = settings.listsAllTopics
        tools.isTopicListEnabled = settings.listsClusterTopics
        tools.fixedProperties["listenPort"] = "\(settings.listener.port)"
        tools.fixedProperties["kvConfigPath"] = settings.keyValueFile
        let frontend = NameServerFrontend(
            server: server, configuration: tools, requestGuard: security.requestGuard, log: log)
        nameServerFrontend = frontend
        // Beside a broker a quarter: clients have one connection to it, and many to brokers.
        let share = self.configuration.role == .standalone ? 2 : 8
        let listener = try listen(settings.listener, share: share) { frontend.accept($0) }
        frontend.start(on: loop)
        started.nameServerPort = listener.port
    }

    /// - Parameter share: what part of the descriptors that connections may have is this listener's, in eighths.
    private func listen(
        _ settings: ListenerSettings, share: Int, accept: @escaping Listener.Accept
    ) throws(ServerError) -> Listener {
        var options = ConnectionOptions()
        options.idleSeconds = Int(settings.idleTime.components.seconds)
        let maximum = OpenFileLimit.connections(
            configured: settings.connectionsMaximum, limit: openFilesMaximum, share: share)
        if maximum < settings.connectionsMaximum {
            log.notice(
                "fewer connections than maximumConnections: the limit of open files is too low (ulimit -n)",
                ["connections": "\(maximum)", "openFiles": "\(openFilesMaximum)"])
        }
        var limits = AcceptLimits(connectionsMaximum: maximum)
        limits.perAddressMaximum = settings.connectionsPerAddressMaximum
        limits.includesLoopback = settings.limitsLoopback
        do throws(RuntimeError) {
            let listener = try loop.listen(
                host: settings.host, port: settings.port, limits: limits,
                options: options, tls: security.tls, accept: accept)
            listeners.append(listener)
            return listener
        } catch {
            throw ServerError(
                "\(settings.host):\(settings.port) cannot be listened on: \(error.message); "
                    + "stop what uses the port, or choose another one")
        }
    }

    // MARK: - Broker

    private func startBroker() throws(ServerError) {
        let settings = configuration.broker
        // Bound before the store opens, so that two processes with one configuration collide here.
        let hasVIP = settings.vipListener != nil
        let share = (configuration.role == .standalone ? 6 : 8) - (hasVIP ? 1 : 0)
        let listener = try listen(settings.listener, share: share) { [weak self] in self?.brokerFrontend?.accept($0) }
        let address = try AdvertisedAddress.choose(
            configured: settings.advertisedHost, bound: settings.listener.host, port: listener.port,
            candidates: AdvertisedAddress.ownAddresses())
        let broker: Broker
        do throws(StorageError) {
            broker = try Broker(
                settings.brokerConfiguration(address: address.address), store: settings.storeConfiguration, disk: disk,
                clock: loop.clock, random: SystemRandom(), log: log.labelled("broker"))
        } catch {
            throw ServerError(Self.advice(error))
        }
        if broker.needsForeignState { try adopt(settings.store.root, broker) }
        let frontend = BrokerFrontend(
            broker: broker, flushTimeoutMilliseconds: settings.store.flushTimeout.milliseconds,
            requestGuard: security.requestGuard, log: log)
        frontend.storeFailed = { [weak self] error in
            // Reads go on: what is flushed is all there. Whoever stops the process learns of it by its exit code.
            self?.failure = ServerError("the store has failed: \(error.description)")
        }
        frontend.tls = security.tls
        frontend.settings = configuration.brokerView(
            started: broker.started,
            found: ["brokerName": settings.name, "brokerIP1": address.host, "listenPort": "\(listener.port)"])
        frontend.processFacts = { [weak self] in ProcessFacts(self?.listeners ?? []) }
        brokerFrontend = frontend
        frontend.start(on: loop)
        startVIPListener(settings)
        started.brokerPort = listener.port
        started.address = address
        started.storePath = settings.store.root
        startRegistration(settings, broker, address)
    }

    /// RocketMQ's "VIP channel". Where its port is not to be had, the broker does without: few clients need it.
    private func startVIPListener(_ settings: BrokerSettings) {
        guard let listener = settings.vipListener else { return }
        do throws(ServerError) {
            _ = try listen(listener, share: 1) { [weak self] in self?.brokerFrontend?.accept($0) }
        } catch {
            log.warning("clients with vipChannelEnabled cannot send", ["error": "\(error)"])
        }
    }

    private func adopt(_ root: String, _ broker: Broker) throws(ServerError) {
        let foreign = try ForeignStore.read(root: root, disk: disk)
        do throws(BrokerError) {
            try broker.adopt(foreign)
        } catch {
            throw ServerError("the settings beside the store cannot be taken over: \(error)")
        }
        log.notice(
            "took over a store of RocketMQ",
            [
                "topics": "\(foreign.topics.count)", "groups": "\(foreign.groups.count)",
                "offsets": "\(foreign.offsets.count)",
            ])
    }

    private static func advice(_ error: StorageError) -> String {
        switch error {
        case .locked(let path): "\(path) is held by another process; stop it, or choose another storePathRootDir"
        case .corrupt:
            "\(error.description); nothing was changed. Restore the file from a copy, or see what 'apus store check' and "
                + "'apus store repair' say"
        case .diskFull: "the disk is full; make room, then start again"
        default: "the store cannot be opened: \(error.description)"
        }
    }

    private func startRegistration(_ settings: BrokerSettings, _ broker: Broker, _ address: AdvertisedAddress) {
        var endpoints = settings.nameServers.compactMap { NameServerEndpoint($0) }
        if let port = started.nameServerPort {
            let host = AdvertisedAddress.isLoopback(started.bindAddress) ? started.bindAddress : "127.0.0.1"
            endpoints.append(NameServerEndpoint(host: host, port: port))
        }
        var configuration = NameServerRegistrarConfiguration(nameServers: endpoints)
        configuration.intervalMilliseconds = settings.registrationPeriod.milliseconds
        configuration.timeoutMilliseconds = settings.registrationTimeout.milliseconds
        let port = broker.configuration.address.port
        let identity = BrokerIdentity(
            cluster: settings.clusterName, name: settings.name, id: settings.id, address: "\(address.host):\(port)")
        let registrar = NameServerRegistrar(
            configuration,
            broker: RegisteredBroker(
                identity: identity,
                haAddress: "\(address.host):\(port + 1)", dataVersion: { broker.topicVersion },
                topics: { broker.topics.map(\.configuration) }),
            loop: loop, security: security.outgoing, log: log)
        broker.topicChanged = { [unowned broker, unowned registrar] name in
            registrar.topicsChanged(broker.topic(name).map { [$0.configuration] } ?? [])
        }
        self.registrar = registrar
        registrar.onRegistered = { [weak self] _, reply in self?.registered(reply) }
        registrar.start()
        let propagation = TopicPropagation(
            TopicPropagationConfiguration(nameServers: endpoints), identity: identity, loop: loop,
            security: security.outgoing, log: log)
        broker.topicAutoCreated = { [weak propagation] in propagation?.topicCreated($0) }
        self.propagation = propagation
    }

    // MARK: - Ready

    /// Calls back when one name server knows the broker; at once without a broker or without name servers.
    private func whenRegistered(_ body: @escaping () -> Void) {
        guard registrar != nil, started.nameServerPort != nil || !configuration.broker.nameServers.isEmpty else {
            loop.schedule(afterMilliseconds: 0) { body() }
            return
        }
        firstRegistration = body
    }

    private func registered(_ reply: RegistrationReply) {
        do throws(BrokerError) {
            try brokerFrontend?.broker.markOrdered((reply.orderConfiguration ?? [:]).keys)
        } catch {
            log.warning("topics were not marked as ordered", ["error": "\(error)"])
        }
        firstRegistration?()
        firstRegistration = nil
    }

    private func ready(_ readyFile: String?, _ announce: (Started) -> Void) {
        announce(started)
        guard let readyFile else { return }
        do throws(ConfigurationError) {
            try ReadyFile(
                nameServerPort: started.nameServerPort, brokerPort: started.brokerPort,
                address: started.address?.host ?? started.bindAddress
            ).write(to: readyFile)
        } catch {
            failure = ServerError(error.description)
            stop()
        }
    }

    // MARK: - Stop

    /// Says goodbye to the name servers, takes no more connections, makes everything durable, and ends the loop.
    private func stop() {
        guard !isStopping else { return }
        isStopping = true
        log.info("stopping")
        propagation?.stop()
        guard let registrar else { return finish() }
        registrar.stop { [weak self] in self?.finish() }
    }

    private func finish() {
        for listener in listeners { listener.close() }
        do throws(StorageError) {
            try brokerFrontend?.stop()
        } catch {
            failure = failure ?? ServerError("the store was not closed in good order: \(error.description)")
        }
        loop.stop()
    }
}

extension Duration {
    /// Whole milliseconds.
    var milliseconds: Int64 { components.seconds * 1000 + components.attoseconds / 1_000_000_000_000_000 }
}
