import Glibc

/// Tells whoever started the process that every listener answers, and on which ports: `apus start --ready-file PATH`.
///
/// The file holds one JSON object. It appears whole and only once everything listens and the broker is registered; its keys do not change:
///
///     {"namesrv": 9876, "broker": 10911, "address": "127.0.0.1", "pid": 4711}
///
/// `namesrv` or `broker` is missing in a process that runs only the other; `address` is what clients are told for the broker.
public struct ReadyFile: Sendable {
    public var nameServerPort: Int?
    public var brokerPort: Int?
    public var address: String

    public init(nameServerPort: Int?, brokerPort: Int?, address: String) {
        self.nameServerPort = nameServerPort
        self.brokerPort = brokerPort
        self.address = address
    }

    var text: String {
        var fields: [String] = []
        if let nameServerPort { fields.append("\"namesrv\": \(nameServerPort)") }
        if let brokerPort { fields.append("\"broker\": \(brokerPort)") }
        // An address or host name holds nothing that JSON would escape; anything else is dropped.
        fields.append(
            "\"address\": \"\(address.filter { $0.isASCII && ($0.isLetter || $0.isNumber || ".-:".contains($0)) })\"")
        fields.append("\"pid\": \(getpid())")
        return "{" + fields.joined(separator: ", ") + "}\n"
    }

    /// Writes beside `path` and renames, so that a reader never sees half a file.
    public func write(to path: String) throws(ConfigurationError) {
        let draft = path + ".\(getpid())"
        guard let file = fopen(draft, "w") else { throw failure(path) }
        let written = fputs(text, file)
        guard fclose(file) == 0, written >= 0, rename(draft, path) == 0 else {
            let error = failure(path)
            unlink(draft)
            throw error
        }
    }

    private func failure(_ path: String) -> ConfigurationError {
        ConfigurationError(problems: ["--ready-file \(path): cannot be written (\(String(cString: strerror(errno))))"])
    }
}
