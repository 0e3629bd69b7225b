import Administration
import Server

/// `apus config`.
enum ConfigurationCommands {
    static let all: [Command] = [show, check, reference]

    private static let role = CommandOption(
        "role", .choice(["start", "broker", "namesrv"]), default: "start", "Process whose settings are meant")

    private static func roles(_ invocation: Invocation) -> Setting.Roles {
        switch invocation.text("role") {
        case "broker": .broker
        case "namesrv": .nameServer
        default: .standalone
        }
    }

    static let show = Command(
        "config show", "Print every setting with its value and where it came from",
        discussion: "Takes the same options, variables and file as the command that starts the process.",
        options: [
            role, .output,
            CommandOption("all", short: "a", .flag, "Also keys that are accepted without effect"),
            CommandOption("changed", .flag, "Only values that are not the default"),
        ] + ConfigurationOptions.options(for: .standalone),
        examples: [
            CommandExample("apus config show -c broker.conf --changed", "What a file of RocketMQ changes"),
            CommandExample("apus config show --output json", "For a program"),
        ]
    ) { invocation in
        let role = roles(invocation)
        let configuration = try ConfigurationOptions.configuration(role, from: invocation)
        var table = OutputTable(["key", "value", "origin", "type", "allowed", "effect", "meaning"])
        if invocation.format == .table { table = OutputTable(["key", "value", "origin", "allowed"]) }
        for setting in Setting.all {
            let isChanged = configuration.origin(setting.key) != .builtIn
            if invocation.flag("changed"), !isChanged { continue }
            if !isChanged, !invocation.flag("all"), !setting.hasEffect(in: role) { continue }
            table.append(row(setting, configuration, isShort: invocation.format == .table, in: role))
        }
        invocation.print(table)
        for note in configuration.notes { Console.printError("apus: note: \(note)") }
        return .success
    }

    private static func row(
        _ setting: Setting, _ configuration: Configuration, isShort: Bool, in role: Setting.Roles
    ) -> [OutputTable.Cell] {
        var value = configuration.value(setting.key).text
        if setting.kind == .secret, !value.isEmpty { value = "(hidden)" }
        let origin = configuration.origin(setting.key).description
        let range = setting.kind.range.isEmpty ? setting.kind.name : setting.kind.range
        if isShort { return [.text(setting.key), .text(value), .text(origin), .text(range)] }
        return [
            .text(setting.key), .text(value), .text(origin), .text(setting.kind.name), .text(setting.kind.allowed),
            .boolean(setting.hasEffect(in: role)), .text(setting.summary),
        ]
    }

    static let check = Command(
        "config check", "Check a configuration file without starting anything",
        arguments: [CommandArgument("FILE", "A broker.conf or namesrv.properties")],
        options: [role],
        examples: [CommandExample("apus config check broker.conf", "Say what is wrong with a file")]
    ) { invocation in
        let path = invocation.arguments[0]
        do {
            let assignments = try Configuration.assignments(inFile: path)
            let configuration = try Configuration(role: roles(invocation), assignments)
            for note in configuration.notes { Console.print("note: \(note)") }
            Console.print("\(path): \(assignments.count) settings, all of them right")
            return .success
        } catch let error as ConfigurationError {
            throw ConfigurationOptions.failure(error)
        }
    }

    static let reference = Command(
        "config reference", "Print docs/reference/configuration.md", isHidden: true
    ) { _ in
        Console.print(ConfigurationReference.markdown)
        return .success
    }
}

extension Setting {
    fileprivate func hasEffect(in role: Setting.Roles) -> Bool { support == .honoured && roles.contains(role) }
}
