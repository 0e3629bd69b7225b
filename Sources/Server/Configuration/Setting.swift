/// One setting: everything that parsing, checking, `apus config show` and docs/reference/configuration.md need to know of it.
/// ``Setting/all`` is the only place where settings are declared.
public struct Setting: Sendable {
    /// RocketMQ's key where it has one, for instance `listenPort`; our own keys follow the same spelling.
    public var key: String
    public var kind: Kind
    /// The value when nobody says otherwise, written as in a file.
    public var defaultText: String
    /// The default of `apus namesrv`, where it differs.
    public var nameServerDefaultText: String?
    public var roles: Roles
    public var support: Support
    /// Long name of a flag of its own (`listen-port`); every setting can be given with `--set key=value` besides.
    public var flag: String?
    /// One line, without the default and the range.
    public var summary: String

    /// What a value may be. Ranges are inclusive and in the unit that the file uses.
    public enum Kind: Sendable, Equatable {
        case boolean
        case integer(ClosedRange<Int64>)
        /// A duration; plain digits count in `unit`, a suffix `ms`, `s`, `m`, `h` or `d` says otherwise.
        case duration(Unit, ClosedRange<Int64>)
        /// A size in bytes; a suffix `K`, `M`, `G` or `T` (also `KiB` …) counts in powers of 1024.
        case bytes(ClosedRange<Int64>)
        case choice([String])
        case text
        /// Text that is never shown again: not by `apus config show`, not to tools, not in the log.
        case secret
        /// Addresses `host:port` joined by semicolons; may be empty.
        case addresses
        /// Hours of a day from 0 to 23, joined by semicolons.
        case hours
        /// Delays by level, separated by spaces, each with `s`, `m`, `h` or `d`.
        case delays

        public enum Unit: Int64, Sendable {
            case milliseconds = 1
            case seconds = 1000
            case hours = 3_600_000
        }
    }

    /// What Apus does with the value.
    public enum Support: Sendable, Equatable {
        case honoured
        /// Accepted, so that a `broker.conf` of RocketMQ works as it is, and without effect. The reason goes to the log once.
        case ignored(String)
    }

    /// In which processes the setting means something.
    public struct Roles: OptionSet, Sendable {
        public let rawValue: Int
        public init(rawValue: Int) { self.rawValue = rawValue }
        public static let broker = Roles(rawValue: 1)
        public static let nameServer = Roles(rawValue: 2)
        /// Name server and broker in one process: `apus start`.
        public static let standalone = Roles(rawValue: 4)
        public static let any: Roles = [.broker, .nameServer, .standalone]
        /// A broker, alone or beside a name server.
        static let brokers: Roles = [.broker, .standalone]
    }

    init(
        _ key: String, _ kind: Kind, _ defaultText: String, nameServer: String? = nil, in roles: Roles = .brokers,
        flag: String? = nil, ignored reason: String? = nil, _ summary: String
    ) {
        self.key = key
        self.kind = kind
        self.defaultText = defaultText
        nameServerDefaultText = nameServer
        self.roles = roles
        self.flag = flag
        support = reason.map { .ignored($0) } ?? .honoured
        self.summary = summary
    }

    /// The setting with this key.
    public static func named(_ key: String) -> Setting? { byKey[key] }

    private static let byKey = Dictionary(uniqueKeysWithValues: all.map { ($0.key, $0) })

    /// The name of the environment variable: `listenPort` is `APUS_LISTEN_PORT`, `brokerIP1` is
    /// `APUS_BROKER_IP1`, `tls.server.mode` is `APUS_TLS_SERVER_MODE`.
    public var environmentName: String {
        let letters = Array(key)
        var name = "APUS_"
        for (index, letter) in letters.enumerated() {
            guard letter != "." else {
                name += "_"
                continue
            }
            if index > 0, letter.isUppercase {
                let startsWord = index + 1 < letters.count && letters[index + 1].isLowercase
                if !letters[index - 1].isUppercase || startsWord { name += "_" }
            }
            name += letter.uppercased()
        }
        return name
    }

    /// The default in a process of this role.
    public func defaultText(in role: Roles) -> String {
        role == .nameServer ? nameServerDefaultText ?? defaultText : defaultText
    }
}

// MARK: - What a value may be, in words

extension Setting.Kind {
    /// One word for tables.
    public var name: String {
        switch self {
        case .boolean: "boolean"
        case .integer: "integer"
        case .duration(.milliseconds, _): "milliseconds"
        case .duration(.seconds, _): "seconds"
        case .duration(.hours, _): "hours"
        case .bytes: "bytes"
        case .choice: "choice"
        case .text: "text"
        case .secret: "secret"
        case .addresses: "addresses"
        case .hours: "hours of day"
        case .delays: "delays"
        }
    }

    /// What is allowed, to follow "must be".
    public var allowed: String {
        switch self {
        case .boolean: "true or false"
        case .integer(let range): "a whole number from \(range.lowerBound) to \(range.upperBound)"
        case .duration(let unit, let range):
            "a duration from \(range.lowerBound) to \(range.upperBound) \(unit) (a plain number counts in \(unit); ms, s, m, h and d may follow)"
        case .bytes(let range):
            "a size from \(range.lowerBound) to \(range.upperBound) bytes (K, M, G or T may follow)"
        case .choice(let names): "one of " + names.joined(separator: ", ")
        case .text, .secret: "text"
        case .addresses: "addresses like 127.0.0.1:9876, joined by semicolons"
        case .hours: "hours from 0 to 23, joined by semicolons"
        case .delays: "delays like '1s 5s 10m 2h 1d', joined by spaces"
        }
    }

    /// The range in the shortest form, for tables; empty where everything goes.
    public var range: String {
        switch self {
        case .integer(let range), .duration(_, let range), .bytes(let range):
            "\(range.lowerBound)–\(range.upperBound)"
        case .choice(let names): names.joined(separator: " | ")
        case .boolean: "true | false"
        case .text, .secret, .addresses, .hours, .delays: ""
        }
    }
}
