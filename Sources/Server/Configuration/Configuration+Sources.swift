import Glibc

extension Configuration {
    /// Reads a file, the environment and flags, and checks all of it.
    /// - Parameters:
    ///   - file: path of a `broker.conf` or `namesrv.properties`; nil for none.
    ///   - environment: names and values, normally the whole environment of the process.
    ///   - flags: what the command line said, see ``assignment(fromSet:)``.
    /// - Throws: ``ConfigurationError`` naming every problem; a file that cannot be read is one.
    public static func load(
        role: Setting.Roles, file: String?, environment: [String: String], flags: [Assignment]
    ) throws(ConfigurationError) -> Configuration {
        var assignments: [Assignment] = []
        if let file { assignments += try self.assignments(inFile: file) }
        let (fromEnvironment, notes) = self.assignments(inEnvironment: environment)
        var configuration = try Configuration(role: role, assignments + fromEnvironment + flags)
        configuration.add(notes: notes)
        return configuration
    }

    /// The assignments of a file in properties format.
    public static func assignments(inFile path: String) throws(ConfigurationError) -> [Assignment] {
        PropertiesFile(try readText(path)).entries.map {
            Assignment(key: $0.key, value: $0.value, origin: .file(path: path, line: $0.line))
        }
    }

    /// What `APUS_…` variables say, and `NAMESRV_ADDR`, which RocketMQ's tools read.
    ///
    /// An unknown `APUS_…` variable is a note and no error: container platforms make up names like `APUS_SERVICE_HOST`
    /// for a service called apus, and nobody can switch them off.
    static func assignments(inEnvironment environment: [String: String]) -> ([Assignment], notes: [String]) {
        var assignments: [Assignment] = []
        var notes: [String] = []
        if let value = environment["NAMESRV_ADDR"], !value.isEmpty {
            assignments.append(
                Assignment(key: "namesrvAddr", value: value, origin: .environment("NAMESRV_ADDR")))
        }
        let settings = Dictionary(uniqueKeysWithValues: Setting.all.map { ($0.environmentName, $0) })
        for (name, value) in environment.sorted(by: { $0.key < $1.key }) where name.hasPrefix("APUS_") {
            if let setting = settings[name] {
                assignments.append(Assignment(key: setting.key, value: value, origin: .environment(name)))
            } else if !commandVariables.contains(name) {
                let nearest = settings.keys.sorted().min { editDistance($0, name) < editDistance($1, name) } ?? ""
                notes.append("environment \(name) is not a setting of Apus; the nearest is \(nearest)")
            }
        }
        return (assignments, notes)
    }

    /// Variables of commands, not of settings.
    private static let commandVariables: Set<String> = ["APUS_CONFIG", "APUS_ACCESS_KEY", "APUS_SECRET_KEY"]

    /// What `--set key=value` says; nil when there is no `=`.
    public static func assignment(fromSet text: String) -> Assignment? {
        guard let equals = text.firstIndex(of: "=") else { return nil }
        return Assignment(
            key: String(text[..<equals]).trimmingSpaces(), value: String(text[text.index(after: equals)...]),
            origin: .flag("--set"))
    }

    /// The whole file as text.
    static func readText(_ path: String) throws(ConfigurationError) -> String {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw cannotRead(path) }
        defer { close(descriptor) }
        var bytes: [UInt8] = []
        var block = [UInt8](repeating: 0, count: 16_384)
        while true {
            let count = read(descriptor, &block, block.count)
            if count < 0 { throw cannotRead(path) }
            if count == 0 { break }
            bytes += block[..<count]
            guard bytes.count <= fileSizeMaximum else {
                throw ConfigurationError(problems: ["\(path): larger than 1 MiB, so hardly a configuration file"])
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    static let fileSizeMaximum = 1_048_576

    private static func cannotRead(_ path: String) -> ConfigurationError {
        ConfigurationError(problems: ["\(path): cannot be read (\(String(cString: strerror(errno))))"])
    }
}
