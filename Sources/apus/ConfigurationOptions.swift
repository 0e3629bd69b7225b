import Administration
import Server

/// Options of every command that starts a server, made from the table of settings, and how they become a ``Configuration``.
enum ConfigurationOptions {
    /// `--config`, `--set`, and a flag for each setting that has one of its own and means something in this role.
    static func options(for role: Setting.Roles) -> [CommandOption] {
        let own = Setting.all.filter { $0.roles.contains(role) }.compactMap { setting in
            setting.flag.map { flag in
                CommandOption(
                    flag, kind(of: setting),
                    setting.summary.hasSuffix(".") ? String(setting.summary.dropLast()) : setting.summary)
            }
        }
        return [
            CommandOption("config", short: "c", .path, "File in the format of broker.conf; APUS_CONFIG is read too"),
            CommandOption("set", .text("KEY=VALUE"), isRepeatable: true, "Any setting, see 'apus config show'"),
        ] + own
    }

    private static func kind(of setting: Setting) -> CommandOption.Kind {
        switch setting.kind {
        case .choice(let names): .choice(names)
        case .addresses: .text("HOST:PORT")
        case .integer: .text("N")
        case .text where setting.key.contains("Path"): .path
        default: .text("VALUE")
        }
    }

    /// The configuration that the command line, the environment and the file make together.
    static func configuration(_ role: Setting.Roles, from invocation: Invocation) throws -> Configuration {
        var flags: [Configuration.Assignment] = []
        for text in invocation.texts("set") {
            guard let assignment = Configuration.assignment(fromSet: text) else {
                throw CommandFailure(.usage, "--set needs KEY=VALUE, and '\(text)' has no '='")
            }
            flags.append(assignment)
        }
        for setting in Setting.all where setting.roles.contains(role) {
            guard let flag = setting.flag, let value = invocation.optionalText(flag) else { continue }
            flags.append(.init(key: setting.key, value: value, origin: .flag("--" + flag)))
        }
        let file = invocation.optionalText("config") ?? invocation.environment["APUS_CONFIG"]
        do {
            return try Configuration.load(role: role, file: file, environment: invocation.environment, flags: flags)
        } catch {
            throw failure(error)
        }
    }

    /// Every problem on a line of its own.
    static func failure(_ error: ConfigurationError) -> CommandFailure {
        CommandFailure(
            .usage, error.problems.joined(separator: "\napus: "), advice: "'apus config show' prints what is allowed")
    }
}
