/// The value of every setting, checked, each with the place it came from. A flag wins over the environment, the environment over
/// the file, the file over the default.
///
/// Made once at start and never changed. Rooms do not see it: they get the plain structs of `Configuration+Views.swift`.
public struct Configuration: Sendable {
    public let role: Setting.Roles
    private var resolved: [String: (value: SettingValue, origin: Origin)]
    /// What the operator should read once: values without effect, and surprising ones.
    public private(set) var notes: [String] = []

    /// Where a value came from.
    public enum Origin: Sendable, Equatable, CustomStringConvertible {
        case builtIn
        case file(path: String, line: Int)
        case environment(String)
        case flag(String)

        public var description: String {
            switch self {
            case .builtIn: "default"
            case .file(let path, let line): "\(path):\(line)"
            case .environment(let name): "environment \(name)"
            case .flag(let name): "flag \(name)"
            }
        }
    }

    /// A value before checking.
    public struct Assignment: Sendable {
        public var key: String
        public var value: String
        public var origin: Origin
        public init(key: String, value: String, origin: Origin) {
            self.key = key
            self.value = value
            self.origin = origin
        }
    }

    /// Checks all assignments and fills the rest with defaults.
    /// - Parameters:
    ///   - role: one role, which decides defaults and which settings mean something.
    ///   - assignments: in any order; of one kind of origin the last one counts.
    /// - Throws: every problem at once, so that a file is repaired in one go.
    public init(role: Setting.Roles, _ assignments: [Assignment] = []) throws(ConfigurationError) {
        self.role = role
        resolved = [:]
        var problems: [String] = []
        for setting in Setting.all {
            let text = setting.defaultText(in: role)
            guard let value = setting.kind.parse(text) else {
                preconditionFailure("the default of \(setting.key), \(text), is not allowed by its own range")
            }
            resolved[setting.key] = (value, .builtIn)
        }
        for assignment in assignments.sorted(by: { $0.origin.strength < $1.origin.strength }) {
            do {
                let (setting, value) = try Self.check(assignment)
                resolved[setting.key] = (value, assignment.origin)
            } catch {
                problems.append(error.problem)
            }
        }
        problems += relationProblems()
        if !problems.isEmpty { throw ConfigurationError(problems: problems) }
        noteWhatHasNoEffect()
    }

    private static func check(_ assignment: Assignment) throws(Rejected) -> (Setting, SettingValue) {
        guard let setting = Setting.named(assignment.key) else {
            throw Rejected(
                problem: "\(assignment.origin): unknown key '\(assignment.key)'; did you mean "
                    + "'\(Setting.nearestKey(to: assignment.key))'?")
        }
        guard let value = setting.kind.parse(assignment.value) else {
            throw Rejected(
                problem: "\(assignment.origin): \(setting.key)=\(assignment.value) is not allowed; it must be "
                    + setting.kind.allowed)
        }
        return (setting, value)
    }

    private struct Rejected: Error { var problem: String }

    /// Values that are right alone and wrong together.
    private func relationProblems() -> [String] {
        var problems: [String] = []
        let ratios = ["diskMaxUsedSpaceRatio", "diskSpaceCleanForciblyRatio", "diskSpaceWarningLevelRatio"]
        for (lower, upper) in zip(ratios, ratios.dropFirst()) where integer(lower) > integer(upper) {
            problems.append(
                "\(lower)=\(integer(lower)) (\(origin(lower))) must not be above \(upper)=\(integer(upper)) (\(origin(upper)))"
            )
        }
        if integer("maxIndexNum") < integer("maxHashSlotNum") / 100 {
            problems.append("maxIndexNum must be at least a hundredth of maxHashSlotNum")
        }
        return problems + securityProblems()
    }

    /// A server that looks guarded must be.
    private func securityProblems() -> [String] {
        let needs: [(isUsed: Bool, what: String, key: String)] = [
            (text("tls.server.mode") == "enforcing", "tls.server.mode=enforcing", "tls.server.certPath"),
            (!text("tls.server.certPath").isEmpty, "tls.server.certPath", "tls.server.keyPath"),
            (
                text("tls.server.need.client.auth") != "none", "tls.server.need.client.auth",
                "tls.server.trustCertPath"
            ),
            (!text("tls.client.certPath").isEmpty, "tls.client.certPath", "tls.client.keyPath"),
            (boolean("aclEnable"), "aclEnable=true", "aclFile"),
        ]
        return needs.filter { $0.isUsed && text($0.key).isEmpty }.map { "\($0.what) needs \($0.key)" }
    }

    private mutating func noteWhatHasNoEffect() {
        var keysByReason: [(reason: String, keys: [String])] = []
        for setting in Setting.all where origin(setting.key) != .builtIn {
            guard let reason = reasonWithoutEffect(setting) else { continue }
            if let index = keysByReason.firstIndex(where: { $0.reason == reason }) {
                keysByReason[index].keys.append(setting.key)
            } else {
                keysByReason.append((reason, [setting.key]))
            }
        }
        notes = keysByReason.map { "\($0.keys.joined(separator: ", ")): accepted without effect, because \($0.reason)" }
        if integer("maxMessageSize") > integer("mappedFileSizeCommitLog") / 2, role != .nameServer {
            notes.append(
                "maxMessageSize=\(integer("maxMessageSize")) needs a larger mappedFileSizeCommitLog than "
                    + "\(integer("mappedFileSizeCommitLog")): messages that do not fit a segment are refused")
        }
    }

    mutating func add(notes more: [String]) { notes += more }

    private func reasonWithoutEffect(_ setting: Setting) -> String? {
        if case .ignored(let reason) = setting.support { return reason }
        return setting.roles.contains(role) ? nil : "it means nothing to this process"
    }
}

/// Everything that is wrong with a configuration, one sentence each.
public struct ConfigurationError: Error, Equatable, Sendable, CustomStringConvertible {
    public var problems: [String]
    public var description: String { problems.joined(separator: "\n") }
}

extension Configuration.Origin {
    fileprivate var strength: Int {
        switch self {
        case .builtIn: 0
        case .file: 1
        case .environment: 2
        case .flag: 3
        }
    }
}

// MARK: - Reading values

extension Configuration {
    /// The value of a key.
    /// - Precondition: the key is in ``Setting/all``.
    public func value(_ key: String) -> SettingValue { entry(key).value }

    public func origin(_ key: String) -> Origin { entry(key).origin }

    public func boolean(_ key: String) -> Bool {
        guard case .boolean(let value) = value(key) else { preconditionFailure("\(key) is no boolean") }
        return value
    }

    /// The number, in the unit of the setting.
    public func integer(_ key: String) -> Int {
        guard case .integer(let value) = value(key) else { preconditionFailure("\(key) is no number") }
        return Int(value)
    }

    /// The duration, whatever the unit of the setting.
    public func duration(_ key: String) -> Duration {
        guard case .integer(let value) = value(key), case .duration(let unit, _)? = Setting.named(key)?.kind else {
            preconditionFailure("\(key) is no duration")
        }
        return .milliseconds(value * unit.rawValue)
    }

    public func text(_ key: String) -> String {
        guard case .text(let value) = value(key) else { preconditionFailure("\(key) is no text") }
        return value
    }

    public func list(_ key: String) -> [String] {
        guard case .list(let value) = value(key) else { preconditionFailure("\(key) is no list") }
        return value
    }

    public func hours(_ key: String) -> [Int] {
        guard case .hours(let value) = value(key) else { preconditionFailure("\(key) holds no hours") }
        return value
    }

    private func entry(_ key: String) -> (value: SettingValue, origin: Origin) {
        guard let entry = resolved[key] else { preconditionFailure("no setting is called \(key)") }
        return entry
    }
}
