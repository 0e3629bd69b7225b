import Telemetry

extension NameServer {
    /// The namespace that holds the order configuration of topics.
    public static var orderNamespace: String { KVConfig.orderNamespace }

    public func putKVConfig(namespace: String, key: String, value: String) {
        kvConfig.put(value, for: key, in: namespace)
        log.notice("configuration put", ["namespace": namespace, "key": key])
    }

    /// The value, or nil when the key or the namespace is not there.
    public func kvConfig(namespace: String, key: String) -> String? {
        kvConfig.value(of: key, in: namespace)
    }

    /// Deletes a key; one that is not there is deleted already.
    public func deleteKVConfig(namespace: String, key: String) {
        kvConfig.delete(key, in: namespace)
        log.notice("configuration deleted", ["namespace": namespace, "key": key])
    }

    /// All keys and values of a namespace, or nil when nothing was ever put there.
    public func kvConfig(namespace: String) -> [String: String]? {
        kvConfig.values(in: namespace)
    }
}
