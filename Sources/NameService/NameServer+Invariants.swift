import Base

extension NameServer {
    /// Stops the process when the tables disagree. O(everything): for tests and simulations.
    public func checkInvariants() {
        for (topic, entries) in routes.topics {
            invariant(!entries.isEmpty, "topic \(topic) has no queues")
            for (one, next) in zip(entries, entries.dropFirst()) {
                invariant(one.brokerName < next.brokerName, "queues of \(topic) are not sorted")
            }
            for queues in entries {
                let isListed = routes.brokers[queues.brokerName]?.topics.contains(topic) == true
                invariant(isListed, "broker \(queues.brokerName) does not list \(topic)")
            }
        }
        for (name, broker) in routes.brokers { check(name, broker) }
        for (cluster, names) in routes.clusters {
            invariant(!names.isEmpty, "cluster \(cluster) is empty")
            invariant(names.allSatisfy { routes.brokers[$0] != nil }, "cluster \(cluster) lists an unknown broker")
        }
        checkLive()
    }

    private func check(_ name: String, _ broker: RouteTable.Broker) {
        invariant(!broker.addresses.isEmpty, "broker \(name) has no address")
        invariant(routes.clusters[broker.cluster]?.contains(name) == true, "broker \(name) is in no cluster")
        for (one, next) in zip(broker.addresses, broker.addresses.dropFirst()) {
            invariant(one.id < next.id, "addresses of \(name) are not sorted")
        }
        for address in broker.addresses {
            let holder = live[address.address]?.identity
            invariant(holder?.name == name && holder?.id == address.id, "\(address) of \(name) is \(holder as Any)")
        }
        for topic in broker.topics {
            let isListed = routes.topics[topic]?.contains { $0.brokerName == name } == true
            invariant(isListed, "topic \(topic) does not list \(name)")
        }
    }

    private func checkLive() {
        for (address, entry) in live.entries {
            let routed = routes.address(of: entry.identity.name, id: entry.identity.id)
            invariant(routed == address, "live broker \(entry.identity) is routed as \(routed as Any)")
            let isListed = live.addresses[entry.connection]?.contains(address) == true
            invariant(isListed, "connection of \(entry.identity) does not list it")
        }
        let listed = live.addresses.values.reduce(0) { $0 + $1.count }
        invariant(listed == live.entries.count, "\(listed) addresses by connection, \(live.entries.count) by address")
        let withFilterServers = live.entries.values.count { !$0.filterServers.isEmpty }
        invariant(withFilterServers == live.withFilterServers, "filter servers are miscounted")
    }
}
