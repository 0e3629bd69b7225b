/// Key-value configuration by namespace (`KVConfigManager`): what operators leave at the name server for clients and brokers.
struct KVConfig: Equatable, Sendable {
    /// Holds, by topic, how many queues each broker has of an ordered topic: `broker-a:4;broker-b:4`.
    static let orderNamespace = "ORDER_TOPIC_CONFIG"

    private(set) var namespaces: [String: [String: String]]

    init(_ namespaces: [String: [String: String]] = [:]) { self.namespaces = namespaces }

    func value(of key: String, in namespace: String) -> String? { namespaces[namespace]?[key] }

    /// Nil for a namespace that never held anything; one that was emptied is empty.
    func values(in namespace: String) -> [String: String]? { namespaces[namespace] }

    /// Keys of all namespaces, and the bytes of all names and values.
    var size: (keys: Int, bytes: Int) {
        var size = (keys: 0, bytes: 0)
        for (namespace, values) in namespaces {
            size.bytes += namespace.utf8.count
            for (key, value) in values {
                size.keys += 1
                size.bytes += key.utf8.count + value.utf8.count
            }
        }
        return size
    }

    mutating func put(_ value: String, for key: String, in namespace: String) {
        namespaces[namespace, default: [:]][key] = value
    }

    mutating func delete(_ key: String, in namespace: String) {
        namespaces[namespace]?[key] = nil
    }
}
