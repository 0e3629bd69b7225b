/// What a command line asks for.
enum ParsedLine {
    case run(Invocation)
    /// Text for standard output.
    case help(String)
}

/// Turns words into an ``Invocation``, by the table alone. Options may stand before, between and after arguments; `--` ends them.
struct CommandParser {
    var table: CommandTable
    var environment: [String: String]

    func parse(_ words: [String]) throws(CommandFailure) -> ParsedLine {
        guard let first = words.first, first != "--help", first != "-h" else {
            return .help(CommandHelp.overview(table))
        }
        if first == "help" { return try help(on: Array(words.dropFirst())) }
        if first == "--version" { return try parse(["version"]) }
        let command = try command(in: words)
        return try parse(Array(words.dropFirst(command.path.count)), of: command)
    }

    private func help(on words: [String]) throws(CommandFailure) -> ParsedLine {
        if words.isEmpty { return .help(CommandHelp.overview(table)) }
        if table.isGroup(words) { return .help(CommandHelp.group(words, in: table)) }
        return .help(CommandHelp.command(try command(in: words)))
    }

    /// The command with the longest path that the words begin with.
    private func command(in words: [String]) throws(CommandFailure) -> Command {
        let matching = table.commands.filter { words.starts(with: $0.path) }
        if let command = matching.max(by: { $0.path.count < $1.path.count }) { return command }
        let names = words.prefix { !$0.hasPrefix("-") }
        if let group = names.first, table.isGroup([group]) {
            let members = table.members(of: [group]).map { $0.path[1] }
            if names.count == 1 {
                throw CommandFailure(
                    .usage, "'apus \(group)' needs a command after it",
                    advice: "choose one of \(members.joined(separator: ", "))")
            }
            throw CommandFailure(
                .usage, "'\(group)' has no command '\(names[1])'", advice: suggestion(for: names[1], among: members))
        }
        let name = names.first ?? words[0]
        if name.hasPrefix("-") {
            throw CommandFailure(.usage, "options stand behind the command", advice: "see 'apus help'")
        }
        let known = Set(table.visible.map { $0.path[0] }).sorted()
        throw CommandFailure(.usage, "there is no command '\(name)'", advice: suggestion(for: name, among: known))
    }

    private func suggestion(for name: String, among known: [String]) -> String {
        guard let nearest = known.nearest(to: name) else { return "see 'apus help'" }
        return "did you mean '\(nearest)'?"
    }

    // MARK: - Options and arguments

    private func parse(_ words: [String], of command: Command) throws(CommandFailure) -> ParsedLine {
        var values: [String: [String]] = [:]
        var arguments: [String] = []
        var rest = words[...]
        while let word = rest.popFirst() {
            if word == "--" {
                arguments += rest
                break
            }
            guard word.hasPrefix("-"), word != "-" else {
                arguments.append(word)
                continue
            }
            let (option, value) = try read(word, of: command, rest: &rest)
            if option.name == "help" { return .help(CommandHelp.command(command)) }
            if values[option.name] != nil, !option.isRepeatable {
                throw usage("--\(option.name) was given twice", of: command)
            }
            values[option.name, default: []].append(value)
        }
        try check(arguments, of: command)
        if let missing = command.options.first(where: { $0.isRequired && values[$0.name] == nil }) {
            throw usage("--\(missing.name) is missing (\(missing.summary.lowercasedFirst))", of: command)
        }
        return .run(
            Invocation(
                command: command, arguments: arguments, values: values, environment: environment, table: table))
    }

    /// One option, with the value that stands in the same or in the next word.
    private func read(
        _ word: String, of command: Command, rest: inout ArraySlice<String>
    ) throws(CommandFailure) -> (CommandOption, String) {
        let parts = word.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
        let inline = parts.count > 1 ? parts[1] : nil
        let options = command.options + CommandOption.common
        if word.hasPrefix("--no-"), inline == nil,
            let option = options.first(where: { $0.kind == .flag && "--no-" + $0.name == word })
        {
            return (option, "false")
        }
        guard let option = options.first(where: { $0.isSpelled(parts[0]) }) else {
            let known = options.map { "--" + $0.name }
            let advice =
                known.nearest(to: parts[0]).map { "did you mean '\($0)'?" } ?? "see 'apus \(command.name) --help'"
            throw CommandFailure(.usage, "'apus \(command.name)' has no option '\(parts[0])'", advice: advice)
        }
        if option.kind == .flag, inline == nil { return (option, "true") }
        guard let value = inline ?? rest.popFirst() else {
            throw usage("--\(option.name) needs a value (\(option.kind.placeholder))", of: command)
        }
        if let wanted = option.kind.objection(to: value) {
            throw usage("--\(option.name) must be \(wanted), and '\(value)' is not", of: command)
        }
        return (option, value)
    }

    private func check(_ arguments: [String], of command: Command) throws(CommandFailure) {
        let required = command.arguments.filter(\.isRequired)
        if arguments.count < required.count {
            throw usage("\(required[arguments.count].name) is missing", of: command)
        }
        if arguments.count > command.arguments.count, command.arguments.last?.isRepeatable != true {
            throw usage("'\(arguments[command.arguments.count])' is one word too many", of: command)
        }
    }

    private func usage(_ message: String, of command: Command) -> CommandFailure {
        CommandFailure(.usage, message, advice: "see 'apus \(command.name) --help'")
    }
}

extension CommandOption {
    fileprivate func isSpelled(_ word: String) -> Bool {
        word == "--" + name || short.map { word == "-\($0)" } == true
    }
}

extension String {
    var lowercasedFirst: String { prefix(1).lowercased() + dropFirst() }
}

extension Array where Element == String {
    /// The word that `word` was most likely meant to be; nil when none is near.
    func nearest(to word: String) -> String? {
        let ranked = map { (word: $0, distance: Self.distance($0, word)) }
        guard let best = ranked.min(by: { $0.distance < $1.distance }) else { return nil }
        return best.distance <= Swift.max(2, word.count / 2) ? best.word : nil
    }

    /// The fewest insertions, deletions and replacements between two words.
    private static func distance(_ a: String, _ b: String) -> Int {
        var row = Array<Int>(0...b.count)
        for (i, letter) in a.enumerated() {
            var diagonal = row[0]
            row[0] = i + 1
            for (j, other) in b.enumerated() {
                let above = row[j + 1]
                row[j + 1] = Swift.min(above + 1, row[j] + 1, diagonal + (letter == other ? 0 : 1))
                diagonal = above
            }
        }
        return row[b.count]
    }
}
