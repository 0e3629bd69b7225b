import Base
import Model

/// The brokers that are alive, by address: when each was last heard, over which connection, and with which topics.
struct LiveBrokers {
    struct Entry {
        var identity: BrokerIdentity
        var haAddress: String
        var dataVersion: DataVersion
        var connection: ConnectionToken
        var lastHeard: MonotonicTime
        var filterServers: [String]
    }

    private(set) var entries: [String: Entry] = [:]
    /// The addresses that registered over each connection. Most connections of a name server are clients' and have none.
    private(set) var addresses: [ConnectionToken: Set<String>] = [:]
    /// Entries with filter servers, so that a route need not look for any when there are none.
    private(set) var withFilterServers = 0

    subscript(address: String) -> Entry? { entries[address] }

    mutating func set(_ entry: Entry) {
        remove(entry.identity.address)
        entries[entry.identity.address] = entry
        addresses[entry.connection, default: []].insert(entry.identity.address)
        if !entry.filterServers.isEmpty { withFilterServers += 1 }
    }

    mutating func touch(_ address: String, at now: MonotonicTime) {
        entries[address]?.lastHeard = now
    }

    @discardableResult
    mutating func remove(_ address: String) -> Entry? {
        guard let entry = entries.removeValue(forKey: address) else { return nil }
        addresses[entry.connection]?.remove(address)
        if addresses[entry.connection]?.isEmpty == true { addresses[entry.connection] = nil }
        if !entry.filterServers.isEmpty { withFilterServers -= 1 }
        return entry
    }
}
