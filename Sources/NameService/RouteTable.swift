import Model

/// Which brokers exist and which topics they have. Knows nothing of time and connections; ``NameServer`` owns the only one.
///
/// A topic lists its queues by broker name, and a broker name lists its topics, so that a route costs as much as the topic has
/// brokers and the loss of a broker as much as it has topics, whatever the size of the table.
struct RouteTable {
    /// Everything under one broker name.
    struct Broker {
        /// The cluster of the first registration under this name.
        var cluster: String
        /// By id.
        var addresses: [BrokerAddress] = []
        /// The topics that have an entry for this name.
        var topics: Set<String> = []
    }

    private(set) var brokers: [String: Broker] = [:]
    /// Broker names by cluster. A name can be in two clusters when brokers disagree about it.
    private(set) var clusters: [String: Set<String>] = [:]
    /// By topic; each list is sorted by broker name and not empty.
    private(set) var topics: [String: [QueueRoute]] = [:]
    /// Entries of ``topics``: pairs of a topic and a broker name.
    private(set) var entryCount = 0
    /// Entries of ``topics`` that were read or written.
    var entriesVisited: UInt64 = 0

    // MARK: - Brokers

    /// The address of the broker with this name and id.
    func address(of name: String, id: Int64) -> String? {
        brokers[name]?.addresses.first { $0.id == id }?.address
    }

    /// Gives a broker its address. An id has one address, and an address one id: what disagrees under the same name goes
    /// (a slave that became master must not be listed twice).
    mutating func setAddress(_ identity: BrokerIdentity) {
        clusters[identity.cluster, default: []].insert(identity.name)
        var addresses = brokers[identity.name]?.addresses ?? []
        addresses.removeAll { $0.address == identity.address || $0.id == identity.id }
        let position = addresses.firstIndex { $0.id > identity.id } ?? addresses.endIndex
        addresses.insert(BrokerAddress(id: identity.id, address: identity.address), at: position)
        brokers[identity.name, default: Broker(cluster: identity.cluster)].addresses = addresses
    }

    /// Takes an address away from a broker name. With its last address the name goes, and with it its queues in all topics.
    /// - Returns: how many topics lost their queues there.
    mutating func removeAddress(_ address: String, of name: String) -> Int {
        guard var broker = brokers[name] else { return 0 }
        broker.addresses.removeAll { $0.address == address }
        guard broker.addresses.isEmpty else {
            brokers[name]?.addresses = broker.addresses
            return 0
        }
        brokers[name] = nil
        for cluster in Array(clusters.keys) {
            clusters[cluster]?.remove(name)
            if clusters[cluster]?.isEmpty == true { clusters[cluster] = nil }
        }
        for topic in broker.topics { removeQueues(of: topic, on: name) }
        return broker.topics.count
    }

    func brokerRoute(_ name: String) -> BrokerRoute? {
        brokers[name].map { BrokerRoute(cluster: $0.cluster, name: name, addresses: $0.addresses) }
    }

    // MARK: - Topics

    /// Sets the queues of topics on a broker name that is known. Topics that are not named keep theirs.
    mutating func setQueues(of configurations: [TopicConfiguration], on name: String) {
        guard let index = brokers.index(forKey: name) else { return }
        entriesVisited += UInt64(configurations.count)
        topics.reserveCapacity(max(topics.count, configurations.count))
        for configuration in configurations {
            let queues = QueueRoute(configuration, brokerName: name)
            let isNew = Self.set(queues, in: &topics[configuration.name, default: []])
            guard isNew else { continue }
            brokers.values[index].topics.insert(configuration.name)
            entryCount += 1
        }
    }

    /// - Returns: whether the list had no entry for the broker name yet.
    private static func set(_ queues: QueueRoute, in entries: inout [QueueRoute]) -> Bool {
        let position = entries.firstIndex { $0.brokerName >= queues.brokerName } ?? entries.endIndex
        let isNew = position == entries.endIndex || entries[position].brokerName != queues.brokerName
        if isNew {
            entries.insert(queues, at: position)
        } else {
            entries[position] = queues
        }
        return isNew
    }

    /// How many entries there would be more with these topics on a broker name.
    func growth(of configurations: [TopicConfiguration], on name: String) -> Int {
        let known = brokers[name]?.topics ?? []
        return configurations.count { !known.contains($0.name) }
    }

    /// Removes a topic on every broker.
    mutating func removeTopic(_ topic: String) {
        for queues in topics.removeValue(forKey: topic) ?? [] {
            entriesVisited += 1
            entryCount -= 1
            brokers[queues.brokerName]?.topics.remove(topic)
        }
    }

    /// Removes a topic on the brokers of one cluster.
    mutating func removeTopic(_ topic: String, cluster: String) {
        guard let names = clusters[cluster], let entries = topics[topic] else { return }
        for queues in entries where names.contains(queues.brokerName) {
            brokers[queues.brokerName]?.topics.remove(topic)
            removeQueues(of: topic, on: queues.brokerName)
        }
    }

    private mutating func removeQueues(of topic: String, on name: String) {
        entriesVisited += 1
        let before = topics[topic]?.count ?? 0
        topics[topic]?.removeAll { $0.brokerName == name }
        entryCount -= before - (topics[topic]?.count ?? 0)
        if topics[topic]?.isEmpty == true { topics[topic] = nil }
    }

    /// Changes what may be done with every topic of a broker name.
    /// - Returns: how many topics it has.
    mutating func setPermissions(of name: String, _ change: (Permission) -> Permission) -> Int {
        guard let names = brokers[name]?.topics else { return 0 }
        for topic in names {
            entriesVisited += 1
            guard let position = topics[topic]?.firstIndex(where: { $0.brokerName == name }) else { continue }
            let old = topics[topic]?[position].permission ?? []
            topics[topic]?[position].permission = change(old)
        }
        return names.count
    }
}
