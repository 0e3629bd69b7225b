import Base
import Model
import Telemetry

extension NameServer {
    /// Where a topic's queues are, or nil when no live broker has it.
    /// - Complexity: O(brokers of the topic).
    public func route(of topic: String) -> TopicRoute? {
        counts.routeLookups += 1
        guard let queues = routes.topics[topic] else {
            counts.routeMisses += 1
            return nil
        }
        routes.entriesVisited += UInt64(queues.count)
        let brokers = queues.compactMap { routes.brokerRoute($0.brokerName) }
        return TopicRoute(
            brokers: brokers, queues: queues, filterServers: filterServers(of: brokers),
            orderConfiguration: configuration.isOrderMessageEnabled
                ? kvConfig.value(of: topic, in: KVConfig.orderNamespace) : nil)
    }

    private func filterServers(of brokers: [BrokerRoute]) -> [FilterServerRoute] {
        guard live.withFilterServers > 0 else { return [] }
        return brokers.flatMap(\.addresses).compactMap { broker in
            guard let servers = live[broker.address]?.filterServers, !servers.isEmpty else { return nil }
            return FilterServerRoute(brokerAddress: broker.address, servers: servers)
        }.sorted { $0.brokerAddress < $1.brokerAddress }
    }

    /// All clusters and all brokers.
    public var clusterInformation: ClusterInformation {
        ClusterInformation(
            brokers: routes.brokers.keys.sorted().compactMap { routes.brokerRoute($0) },
            clusters: routes.clusters.sorted { $0.key < $1.key }.map {
                ClusterInformation.Cluster(name: $0.key, brokerNames: $0.value.sorted())
            })
    }

    // MARK: - Lists of topics, sorted

    public var topics: [String] { routes.topics.keys.sorted() }

    /// The topics that a broker of the cluster has; none for an unknown cluster.
    public func topics(ofCluster cluster: String) -> [String] {
        let names = routes.clusters[cluster] ?? []
        return names.reduce(into: Set<String>()) { $0.formUnion(routes.brokers[$1]?.topics ?? []) }.sorted()
    }

    /// The names that brokers keep as topics for themselves, which are their own names and those of their clusters, and the
    /// address of one broker that can tell the others (any will do).
    public var systemTopics: (topics: [String], brokerAddress: String?) {
        let names = Set(routes.clusters.keys).union(routes.clusters.values.joined())
        let first = routes.brokers.keys.min().flatMap { routes.brokers[$0]?.addresses.first }
        return (names.sorted(), first?.address)
    }

    /// The topics of one kind of RocketMQ's "units" (sites that each serve their own users): by the bits of `topicSysFlag` that
    /// the first broker tells.
    public func topics(_ kind: UnitTopicKind) -> [String] {
        routes.topics.filter { $1.first.map { kind.holds(systemFlag: $0.systemFlag) } ?? false }.keys.sorted()
    }

    // MARK: - Changes by an operator

    /// Takes the right to write from every topic of a broker name. Lasts until ``addWritePermission(ofBroker:)`` or until the
    /// broker registers with another data version.
    /// - Returns: how many topics the broker has; 0 for an unknown one.
    public func wipeWritePermission(ofBroker name: String) -> Int {
        let count = routes.setPermissions(of: name) { $0.subtracting(.write) }
        log.notice("write permission wiped", ["broker": name, "topics": String(count)])
        return count
    }

    /// Sets every topic of a broker name to readable and writable, whatever it was before.
    /// - Returns: how many topics the broker has; 0 for an unknown one.
    public func addWritePermission(ofBroker name: String) -> Int {
        let count = routes.setPermissions(of: name) { _ in .readWrite }
        log.notice("write permission added", ["broker": name, "topics": String(count)])
        return count
    }

    /// Removes a topic from the routes. It comes back when a broker that still has it registers with another data version.
    public func deleteTopic(_ topic: String) {
        log.notice("topic deleted", ["topic": topic])
        routes.removeTopic(topic)
    }

    /// Removes a topic from the routes of one cluster's brokers.
    public func deleteTopic(_ topic: String, inCluster cluster: String) {
        log.notice("topic deleted", ["topic": topic, "cluster": cluster])
        routes.removeTopic(topic, cluster: cluster)
    }
}

/// Which topics of RocketMQ's "unit" feature are asked for (requests 311 to 313).
public enum UnitTopicKind: Sendable, CaseIterable {
    /// Bit 0 is set.
    case unit
    /// Bit 1 is set: subscribed to across units.
    case unitSubscription
    /// Bit 1 is set and bit 0 is not.
    case unitSubscriptionOnly

    func holds(systemFlag: Int32) -> Bool {
        let isUnit = systemFlag & 1 != 0
        let isSubscribed = systemFlag & 2 != 0
        return switch self {
        case .unit: isUnit
        case .unitSubscription: isSubscribed
        case .unitSubscriptionOnly: isSubscribed && !isUnit
        }
    }
}
