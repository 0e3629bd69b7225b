/// A command line after parsing and checking: what a ``Command`` works on.
public struct Invocation: Sendable {
    public let command: Command
    public let arguments: [String]
    /// The environment of the process.
    public let environment: [String: String]
    /// The whole table, for commands that print it.
    public let table: CommandTable
    private let values: [String: [String]]

    init(
        command: Command, arguments: [String], values: [String: [String]], environment: [String: String],
        table: CommandTable
    ) {
        self.command = command
        self.arguments = arguments
        self.values = values
        self.environment = environment
        self.table = table
    }

    /// True when the switch was given, or is on by default.
    public func flag(_ name: String) -> Bool { optionalText(name) == "true" }

    /// The value of an option that has a default or is required.
    public func text(_ name: String) -> String {
        guard let text = optionalText(name) else { preconditionFailure("--\(name) has no value and no default") }
        return text
    }

    /// The last value of an option, or its default, or nil.
    public func optionalText(_ name: String) -> String? {
        guard let option = command.options.first(where: { $0.name == name }) else {
            preconditionFailure("'\(command.name)' has no option --\(name)")
        }
        return values[name]?.last ?? option.defaultText
    }

    /// Every value of a repeatable option.
    public func texts(_ name: String) -> [String] { values[name] ?? optionalText(name).map { [$0] } ?? [] }

    /// True when the option stood on the command line.
    public func isGiven(_ name: String) -> Bool { values[name] != nil }

    public func integer(_ name: String) -> Int {
        guard let value = Int(text(name)) else { preconditionFailure("--\(name) is no integer") }
        return value
    }

    public func size(_ name: String) -> Int {
        guard let value = CommandOption.Kind.size(text(name)) else { preconditionFailure("--\(name) is no size") }
        return value
    }

    public func duration(_ name: String) -> Duration {
        guard let value = CommandOption.Kind.duration(text(name)) else {
            preconditionFailure("--\(name) is no duration")
        }
        return value
    }

    /// The addresses of ``CommandOption/nameServer``: the option, else `NAMESRV_ADDR`, else the default.
    public var nameServers: [String] {
        let text = isGiven("name-server") ? text("name-server") : environment["NAMESRV_ADDR"] ?? text("name-server")
        return text.split(separator: ";").map(String.init)
    }

    /// The form that ``CommandOption/output`` asks for.
    public var format: OutputFormat { OutputFormat(rawValue: text("output")) ?? .table }

    /// Prints a table in the form that ``CommandOption/output`` asks for.
    public func print(_ table: OutputTable) { Console.print(table.rendered(as: format, style: style)) }

    /// Bold and colours, unless standard output is no terminal or `NO_COLOR` is set (no-color.org).
    public var style: TextStyle { TextStyle(environment: environment, isTerminal: Console.isTerminal) }
}
