import Base
import Bytes

/// The file that keeps the key-value configuration, in RocketMQ's format (`kvConfig.json`):
///
///     {"configTable":{"<namespace>":{"<key>":"<value>",…},…}}
///
/// It is small and changed by operators only, so each change writes it anew: a temporary file is made durable and then put
/// in the place of the old one, and whoever reads sees the one or the other.
struct KVConfigFile {
    let disk: any Disk
    let path: String

    private var temporaryPath: String { path + ".tmp" }
    private var folder: String {
        path.lastIndex(of: "/").map { String(path[..<$0]) } ?? "."
    }

    // MARK: - Load

    /// The configuration in the file; an empty one when the file is missing or empty.
    func load() throws(NameServerError) -> KVConfig {
        let bytes: [UInt8]
        do throws(DiskError) {
            guard disk.exists(path) else { return KVConfig() }
            bytes = try read()
        } catch {
            throw .kvConfigNotRead(path: path, reason: error.description)
        }
        guard !bytes.isEmpty else { return KVConfig() }
        do throws(JSONError) {
            return try decode(JSONValue(parsing: bytes))
        } catch {
            throw .kvConfigNotRead(path: path, reason: error.description)
        }
    }

    private func read() throws(DiskError) -> [UInt8] {
        let file = try disk.open(path, .existing)
        defer { file.close() }
        var bytes = [UInt8](repeating: 0, count: try file.size())
        var failure: DiskError?
        let count = bytes.withUnsafeMutableBytes { buffer in
            do throws(DiskError) { return try file.read(into: buffer, at: 0) } catch {
                failure = error
                return 0
            }
        }
        if let failure { throw failure }
        bytes.removeSubrange(count...)
        return bytes
    }

    private func decode(_ document: JSONValue) throws(JSONError) -> KVConfig {
        guard let namespaces = document["configTable"]?.members else {
            throw JSONError("there is no configTable", position: 0)
        }
        var config: [String: [String: String]] = [:]
        for namespace in namespaces {
            guard let name = namespace.key.stringValue, let entries = namespace.value.members else { continue }
            config[name] = [:]
            for entry in entries {
                guard let key = entry.key.stringValue, let value = entry.value.stringValue else { continue }
                config[name]?[key] = value
            }
        }
        return KVConfig(config)
    }

    // MARK: - Save

    /// Replaces the file. Durable on return; after an error the old file is still there.
    func save(_ config: KVConfig) throws(NameServerError) {
        let buffer = ByteBuffer()
        Self.encode(config, to: buffer)
        do throws(DiskError) {
            try disk.makeDirectory(folder)
            try write(buffer)
            try disk.rename(temporaryPath, to: path)
            try disk.synchronizeDirectory(folder)
        } catch {
            throw .kvConfigNotSaved(path: path, reason: error.description)
        }
    }

    private func write(_ buffer: ByteBuffer) throws(DiskError) {
        let file = try disk.open(temporaryPath, .createIfMissing)
        defer { file.close() }
        try file.truncate(to: 0)
        try file.write(buffer.bytes, at: 0)
        try file.synchronize()
    }

    private static func encode(_ config: KVConfig, to buffer: ByteBuffer) {
        var json = JSONWriter(buffer)
        json.object { json in
            json.field("configTable") { json in
                json.object { json in
                    for (namespace, entries) in config.namespaces.sorted(by: { $0.key < $1.key }) {
                        json.key(text: namespace)
                        json.object { json in
                            for (key, value) in entries.sorted(by: { $0.key < $1.key }) {
                                json.key(text: key)
                                json.string(value)
                            }
                        }
                    }
                }
            }
        }
    }
}
