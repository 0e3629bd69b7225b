import Base
import Telemetry

extension NameServer {
    /// The namespace that holds the order configuration of topics.
    public static var orderNamespace: String { KVConfig.orderNamespace }

    /// Sets a value. Durable on return, when the configuration names a file.
    /// - Throws: ``NameServerError/kvConfigNotSaved(path:reason:)``, ``NameServerError/limitReached(_:_:)``,
    ///   ``NameServerError/nameTooLong(_:)``; nothing has changed then.
    public func putKVConfig(namespace: String, key: String, value: String) throws(NameServerError) {
        try checkLength(namespace, "the namespace")
        try checkLength(key, "the key")
        var changed = kvConfig
        changed.put(value, for: key, in: namespace)
        let (keys, bytes) = changed.size
        guard keys <= configuration.keyValuesMaximum else {
            throw limitReached("keys", configuration.keyValuesMaximum)
        }
        guard bytes <= configuration.keyValueBytesMaximum else {
            throw limitReached("bytes of keys and values", configuration.keyValueBytesMaximum)
        }
        try replaceKVConfig(by: changed)
        log.notice("configuration put", ["namespace": namespace, "key": key])
    }

    func checkLength(_ name: String, _ what: String) throws(NameServerError) {
        guard name.utf8.count <= Limits.nameLengthMaximum else { throw .nameTooLong(what) }
    }

    /// Counts a refusal for want of room.
    func limitReached(_ what: String, _ maximum: Int) -> NameServerError {
        counts.limitRefusals += 1
        return .limitReached(what, maximum)
    }

    /// Deletes a key; one that is not there is deleted already. Durable on return, as with a put.
    /// - Throws: ``NameServerError/kvConfigNotSaved(path:reason:)``; nothing has changed then.
    public func deleteKVConfig(namespace: String, key: String) throws(NameServerError) {
        var changed = kvConfig
        changed.delete(key, in: namespace)
        try replaceKVConfig(by: changed)
        log.notice("configuration deleted", ["namespace": namespace, "key": key])
    }

    private func replaceKVConfig(by changed: KVConfig) throws(NameServerError) {
        guard changed != kvConfig else { return }
        try kvConfigFile?.save(changed)
        kvConfig = changed
    }

    /// The value, or nil when the key or the namespace is not there.
    public func kvConfig(namespace: String, key: String) -> String? {
        kvConfig.value(of: key, in: namespace)
    }

    /// All keys and values of a namespace, or nil when nothing was ever put there.
    public func kvConfig(namespace: String) -> [String: String]? {
        kvConfig.values(in: namespace)
    }
}
