/// One command of `apus`, as data: parsing, `--help`, shell completion and docs/reference/cli.md are all made from it.
///
/// To add a command, make a value of this type and put it into the array that the executable hands to ``CommandTable``.
public struct Command: Sendable {
    /// The words that call it: `["topic", "list"]`.
    public var path: [String]
    /// One line without a full stop.
    public var summary: String
    /// Paragraphs below the summary in `--help`; may be empty.
    public var discussion: String
    public var arguments: [CommandArgument]
    public var options: [CommandOption]
    /// Whole command lines with what they do.
    public var examples: [CommandExample]
    /// Hidden commands work and are left out of help, completion and reference.
    public var isHidden: Bool
    /// Does it. What it returns is the exit code; a ``CommandFailure`` is printed and carries its own.
    public var run: @Sendable (Invocation) async throws -> ExitCode

    public init(
        _ path: String, _ summary: String, discussion: String = "", arguments: [CommandArgument] = [],
        options: [CommandOption] = [], examples: [CommandExample] = [], isHidden: Bool = false,
        run: @escaping @Sendable (Invocation) async throws -> ExitCode
    ) {
        self.path = path.split(separator: " ").map(String.init)
        self.summary = summary
        self.discussion = discussion
        self.arguments = arguments
        self.options = options
        self.examples = examples
        self.isHidden = isHidden
        self.run = run
        precondition(!self.path.isEmpty, "a command needs a name")
        let names = (options + CommandOption.common).map(\.name)
        precondition(Set(names).count == names.count, "two options of '\(path)' have one name")
    }

    public var name: String { path.joined(separator: " ") }
}

/// A word that is no option, by position.
public struct CommandArgument: Sendable {
    public var name: String
    public var summary: String
    public var isRequired: Bool
    /// Takes all further words; only the last argument may.
    public var isRepeatable: Bool
    public init(_ name: String, _ summary: String, isRequired: Bool = true, isRepeatable: Bool = false) {
        self.name = name
        self.summary = summary
        self.isRequired = isRequired
        self.isRepeatable = isRepeatable
    }
}

/// `--name value`, `--name=value`, `-n value`, or `--name` alone for a switch.
public struct CommandOption: Sendable {
    /// Without the dashes.
    public var name: String
    public var short: Character?
    public var kind: Kind
    /// The value when the option is not given, written as on the command line; nil for none.
    public var defaultText: String?
    public var isRequired: Bool
    public var isRepeatable: Bool
    /// One line, without the default.
    public var summary: String

    public enum Kind: Sendable, Equatable {
        /// No value; there or not. `--no-name` says no to one whose default is `true`.
        case flag
        /// Any text; the placeholder stands in help.
        case text(String)
        case path
        case integer(ClosedRange<Int>)
        /// Bytes; K, M and G may follow.
        case size
        /// Digits with `ms`, `s`, `m` or `h`; alone they count seconds.
        case duration
        case choice([String])
    }

    public init(
        _ name: String, short: Character? = nil, _ kind: Kind, default defaultText: String? = nil,
        isRequired: Bool = false, isRepeatable: Bool = false, _ summary: String
    ) {
        self.name = name
        self.short = short
        self.kind = kind
        self.defaultText = defaultText
        self.isRequired = isRequired
        self.isRepeatable = isRepeatable
        self.summary = summary
    }

    /// Options that every command has.
    public static let common: [CommandOption] = [
        CommandOption("help", short: "h", .flag, "Print what the command does, and stop")
    ]

    /// For commands whose answer is a table.
    public static let output = CommandOption(
        "output", short: "o", .choice(OutputFormat.allCases.map(\.rawValue)), default: "table",
        "How the answer is printed; json and csv stay the same between versions")

    /// For commands that talk to a cluster. `NAMESRV_ADDR` is its default when set.
    public static let nameServer = CommandOption(
        "name-server", short: "n", .text("HOST:PORT"), default: "127.0.0.1:9876",
        "Name servers to ask, joined by semicolons; NAMESRV_ADDR is read too")

    /// For commands that talk to a cluster.
    public static let timeout = CommandOption(
        "timeout", .duration, default: "5s", "How long one request may take")
}

public struct CommandExample: Sendable {
    public var line: String
    public var meaning: String
    public init(_ line: String, _ meaning: String) {
        self.line = line
        self.meaning = meaning
    }
}

// MARK: - Kinds of values

extension CommandOption.Kind {
    /// What stands for the value in help.
    var placeholder: String {
        switch self {
        case .flag: ""
        case .text(let name): name
        case .path: "PATH"
        case .integer: "N"
        case .size: "SIZE"
        case .duration: "TIME"
        case .choice(let names): names.joined(separator: "|")
        }
    }

    /// Why `text` cannot be the value; nil when it can.
    func objection(to text: String) -> String? {
        switch self {
        case .flag: "true" == text || "false" == text ? nil : "true or false"
        case .text, .path: nil
        case .integer(let range):
            Int(text).map(range.contains) == true
                ? nil : "a whole number from \(range.lowerBound) to \(range.upperBound)"
        case .size: Self.size(text) == nil ? "a size like 1024, 64K or 4M" : nil
        case .duration: Self.duration(text) == nil ? "a duration like 500ms, 10s, 5m or 1h" : nil
        case .choice(let names): names.contains(text) ? nil : "one of " + names.joined(separator: ", ")
        }
    }

    static func size(_ text: String) -> Int? {
        let digits = text.prefix { $0.isASCII && $0.isNumber }
        var unit = text.dropFirst(digits.count).lowercased()
        if unit.hasSuffix("ib") { unit.removeLast(2) }
        let shifts = ["": 0, "b": 0, "k": 10, "m": 20, "g": 30]
        guard let number = Int(digits), let shift = shifts[unit] else { return nil }
        let (size, overflow) = number.multipliedReportingOverflow(by: 1 << shift)
        return overflow ? nil : size
    }

    static func duration(_ text: String) -> Duration? {
        let digits = text.prefix { $0.isASCII && ($0.isNumber || $0 == ".") }
        let factors = ["": 1000.0, "ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000]
        guard let number = Double(digits), let factor = factors[String(text.dropFirst(digits.count))] else {
            return nil
        }
        let milliseconds = number * factor
        // A year is longer than any command should wait, and far from overflow.
        guard milliseconds >= 0, milliseconds <= 31_536_000_000 else { return nil }
        return .microseconds(Int64(milliseconds * 1000))
    }
}
