/// All commands of a program, and its front door.
public struct CommandTable: Sendable {
    public var commands: [Command]
    /// What a first word shared by several commands is about: `topic` holds `topic list` and others.
    public var groups: [CommandGroup]

    public init(_ commands: [Command], groups: [CommandGroup] = []) {
        self.commands = commands
        self.groups = groups
        let names = commands.map(\.name)
        precondition(Set(names).count == names.count, "two commands have one name")
    }

    /// Runs what the words ask for and returns the exit code. Answers go to standard output; what went wrong goes to standard error.
    /// - Parameter words: the command line without the program's name.
    public func main(_ words: [String], environment: [String: String]) async -> ExitCode {
        do {
            switch try CommandParser(table: self, environment: environment).parse(words) {
            case .help(let text):
                Console.print(text)
                return .success
            case .run(let invocation):
                return try await invocation.command.run(invocation)
            }
        } catch let failure as CommandFailure {
            Console.printError(failure.line)
            return failure.code
        } catch {
            Console.printError("apus: \(error)")
            return .failure
        }
    }

    /// Commands that help and completion show, in the order of the table.
    public var visible: [Command] { commands.filter { !$0.isHidden } }

    func isGroup(_ words: [String]) -> Bool {
        words.count == 1 && commands.contains { $0.path.count > 1 && $0.path[0] == words[0] }
    }

    func members(of words: [String]) -> [Command] {
        visible.filter { $0.path.count > words.count && $0.path.starts(with: words) }
    }
}

public struct CommandGroup: Sendable {
    public var name: String
    public var summary: String
    public init(_ name: String, _ summary: String) {
        self.name = name
        self.summary = summary
    }
}
