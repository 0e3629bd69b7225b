import Base
import Model
import NameService
import RemotingProtocol
import Runtime
import Telemetry

/// Makes topics that this broker created on first use appear on every master of its cluster. Belongs to the loop.
///
/// A producer of a new topic is routed to the brokers that have it. In RocketMQ that is the one that its first message happened
/// to reach, and stays so: the most frequent surprise of automatic creation. Here the broker asks a name server who else is in
/// the cluster, asks those masters whether they have the topic, and has those that do not create it with the same settings.
/// A topic that is there is never changed, and a topic that came this way is not passed on, so that there is no loop.
///
/// Best effort, tried again for ``TopicPropagationConfiguration/givingUpMilliseconds``: messages do not wait for it.
public final class TopicPropagation {
    /// A topic that some master may not have yet.
    private struct Pending {
        var topic: TopicConfiguration
        /// Names of the brokers that have it.
        var told: Set<String> = []
        var deadline: MonotonicTime
    }

    private struct Peer {
        var name: String
        var endpoint: NameServerEndpoint
    }

    private let configuration: TopicPropagationConfiguration
    private let identity: BrokerIdentity
    private let loop: EventLoop
    private let security: OutgoingSecurity
    private let log: Log
    private var pending: [String: Pending] = [:]
    private var isRunning = false
    private var isStopped = false
    private var pauseMilliseconds: Int64
    private var timer: LoopTimer?

    /// Topics that one round tells.
    private static let topicsPerRound = 256

    public init(
        _ configuration: TopicPropagationConfiguration, identity: BrokerIdentity, loop: EventLoop,
        security: OutgoingSecurity = OutgoingSecurity(), log: Log
    ) {
        self.configuration = configuration
        self.identity = identity
        self.loop = loop
        self.security = security
        self.log = log.labelled("propagation")
        pauseMilliseconds = configuration.pauseMillisecondsMinimum
    }

    /// Topics that some master may not have yet.
    public var pendingCount: Int { pending.count }

    /// The broker made a topic because a message came for it.
    public func topicCreated(_ topic: TopicConfiguration) {
        guard !isStopped, !configuration.nameServers.isEmpty else { return }
        let deadline = loop.clock.monotonic.advanced(byMilliseconds: configuration.givingUpMilliseconds)
        pending[topic.name] = Pending(topic: topic, deadline: deadline)
        guard !isRunning else { return }
        // In the next turn, so that topics that are made together go together.
        schedule(afterMilliseconds: 0)
    }

    /// Begins nothing any more.
    public func stop() {
        isStopped = true
        timer?.cancel()
        timer = nil
        pending = [:]
    }

    // MARK: - Rounds

    private func schedule(afterMilliseconds milliseconds: Int64) {
        timer?.cancel()
        timer = loop.schedule(afterMilliseconds: milliseconds) { [weak self] in self?.beginRound() }
    }

    private func beginRound() {
        timer = nil
        guard !isRunning, !isStopped, !pending.isEmpty else { return }
        isRunning = true
        let names = pending.keys.sorted().prefix(Self.topicsPerRound)
        findPeers(configuration.nameServers[...]) { [weak self] peers in
            guard let self else { return }
            guard let peers else { return self.endRound(Array(names), peers: nil) }
            self.tell(peers[...], Array(names)) { [weak self] in self?.endRound(Array(names), peers: peers) }
        }
    }

    /// Asks one name server after the other until one answers.
    private func findPeers(_ nameServers: ArraySlice<NameServerEndpoint>, _ body: @escaping ([Peer]?) -> Void) {
        guard let nameServer = nameServers.first else { return body(nil) }
        Exchange.run(
            [Exchange.Request(code: .getBrokerClusterInfo)], to: nameServer, on: loop, security: security,
            timeoutMilliseconds: configuration.timeoutMilliseconds
        ) { [weak self] answers in
            guard let self else { return }
            guard let answer = answers?.first, answer.code == .success,
                let information = try? ClusterInfo(parsing: answer.body.span.bytes)
            else { return self.findPeers(nameServers.dropFirst(), body) }
            body(self.peers(in: information))
        }
    }

    private func peers(in information: ClusterInfo) -> [Peer] {
        (information.clusters[identity.cluster] ?? []).sorted().compactMap { name in
            guard name != identity.name, let address = information.brokers[name]?.addresses[BrokerIdentity.masterID],
                let endpoint = NameServerEndpoint(address)
            else { return nil }
            return Peer(name: name, endpoint: endpoint)
        }
    }

    /// Tells one peer after the other.
    private func tell(_ peers: ArraySlice<Peer>, _ names: [String], _ body: @escaping () -> Void) {
        guard let peer = peers.first else { return body() }
        tell(peer, names) { [weak self] in self?.tell(peers.dropFirst(), names, body) }
    }

    private func tell(_ peer: Peer, _ names: [String], _ body: @escaping () -> Void) {
        let topics = names.compactMap { pending[$0] }.filter { !$0.told.contains(peer.name) }.map(\.topic)
        guard !topics.isEmpty else { return body() }
        // 202 is what every version of RocketMQ answers with "there is no such topic".
        ask(peer, topics.map(Self.question)) { [weak self] answers in
            guard let self, let answers else { return body() }
            var missing: [TopicConfiguration] = []
            for (topic, answer) in zip(topics, answers) {
                switch answer.code {
                case .success: self.pending[topic.name]?.told.insert(peer.name)
                case .topicNotExist: missing.append(topic)
                default: self.refused(topic, peer, answer)
                }
            }
            self.create(missing, on: peer, body)
        }
    }

    private func create(_ topics: [TopicConfiguration], on peer: Peer, _ body: @escaping () -> Void) {
        guard !topics.isEmpty else { return body() }
        ask(peer, topics.map(Self.creation)) { [weak self] answers in
            for (topic, answer) in zip(topics, answers ?? []) {
                guard answer.code == .success else {
                    self?.refused(topic, peer, answer)
                    continue
                }
                self?.pending[topic.name]?.told.insert(peer.name)
                self?.log.info("created a topic on another broker", ["topic": topic.name, "broker": peer.name])
            }
            body()
        }
    }

    private func ask(_ peer: Peer, _ requests: [Exchange.Request], _ body: @escaping ([Exchange.Answer]?) -> Void) {
        Exchange.run(
            requests, to: peer.endpoint, on: loop, security: security,
            timeoutMilliseconds: configuration.timeoutMilliseconds, body)
    }

    private func refused(_ topic: TopicConfiguration, _ peer: Peer, _ answer: Exchange.Answer) {
        log.warning(
            "another broker does not take a topic",
            [
                "topic": topic.name, "broker": peer.name, "code": answer.code.description, "remark": answer.remark,
            ])
    }

    private static func question(_ topic: TopicConfiguration) -> Exchange.Request {
        Exchange.Request(code: .getTopicStatsInfo) { writer in
            GetTopicStatsInfoHeader(topic: topic.name).write(into: &writer)
        }
    }

    private static func creation(_ topic: TopicConfiguration) -> Exchange.Request {
        Exchange.Request(code: .updateAndCreateTopic) { writer in
            CreateTopicHeader(
                topic: topic.name, defaultTopic: SystemTopics.autoCreate, readQueueCount: topic.readQueueCount,
                writeQueueCount: topic.writeQueueCount, permission: topic.permission,
                topicFilterType: topic.filterType.rawValue, systemFlag: topic.systemFlag, isOrdered: topic.isOrdered
            ).write(into: &writer)
        }
    }

    /// Forgets what is done or hopeless, and goes on with the rest.
    /// - Parameter peers: nil when no name server answered.
    private func endRound(_ names: [String], peers: [Peer]?) {
        isRunning = false
        guard !isStopped else { return }
        let now = loop.clock.monotonic
        var isAnyLeft = false
        for name in names {
            guard let topic = pending[name] else { continue }
            if let peers, peers.allSatisfy({ topic.told.contains($0.name) }) {
                pending[name] = nil
            } else if topic.deadline <= now {
                pending[name] = nil
                log.warning("a topic did not reach every broker of the cluster", ["topic": name])
            } else {
                isAnyLeft = true
            }
        }
        guard !pending.isEmpty else {
            pauseMilliseconds = configuration.pauseMillisecondsMinimum
            return
        }
        guard isAnyLeft else { return schedule(afterMilliseconds: 0) }
        schedule(afterMilliseconds: pauseMilliseconds)
        pauseMilliseconds = min(pauseMilliseconds * 2, configuration.pauseMillisecondsMaximum)
    }
}

/// How ``TopicPropagation`` goes about it.
public struct TopicPropagationConfiguration: Equatable, Sendable {
    public var nameServers: [NameServerEndpoint]
    /// How long one server may take to answer.
    public var timeoutMilliseconds: Int64 = 3_000
    /// Pauses between attempts begin here, and double.
    public var pauseMillisecondsMinimum: Int64 = 200
    public var pauseMillisecondsMaximum: Int64 = 10_000
    /// How long a topic is tried to be told.
    public var givingUpMilliseconds: Int64 = 300_000

    public init(nameServers: [NameServerEndpoint]) { self.nameServers = nameServers }
}
