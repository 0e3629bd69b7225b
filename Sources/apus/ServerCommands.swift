import Administration
import Server
import Telemetry

/// `apus start`, `apus broker`, `apus namesrv`: the commands that serve.
enum ServerCommands {
    static let all: [Command] = [start, broker, nameServer]

    private static let readyFile = CommandOption(
        "ready-file", .path, "Write the ports as JSON to this file once everything answers")

    static let start = Command(
        "start", "Start a name server and a broker in one process",
        discussion:
            "The name server listens on 9876 and the broker on 10911; the store is in ./data unless told otherwise.",
        options: [readyFile] + ConfigurationOptions.options(for: .standalone),
        examples: [
            CommandExample("apus start", "Everything with its defaults"),
            CommandExample("apus start -c broker.conf", "With a configuration file of RocketMQ"),
            CommandExample(
                "apus start --bind 127.0.0.1 --set flushDiskType=SYNC_FLUSH", "On loopback, flushed before answered"),
        ]
    ) { try run(.standalone, $0) }

    static let broker = Command(
        "broker", "Start a broker that registers with name servers elsewhere",
        options: [readyFile] + ConfigurationOptions.options(for: .broker),
        examples: [CommandExample("apus broker --name-server 192.0.2.7:9876 -c broker.conf", "Join a cluster")]
    ) { try run(.broker, $0) }

    static let nameServer = Command(
        "namesrv", "Start a name server",
        options: [readyFile] + ConfigurationOptions.options(for: .nameServer),
        examples: [CommandExample("apus namesrv -c namesrv.properties", "With a configuration file of RocketMQ")]
    ) { try run(.nameServer, $0) }

    private static func run(_ role: Setting.Roles, _ invocation: Invocation) throws -> ExitCode {
        let configuration = try ConfigurationOptions.configuration(role, from: invocation)
        let log = Log(label: "apus", level: configuration.logLevel, sink: LimitedLogSink(StandardErrorLogSink()))
        for note in configuration.notes { log.notice(note) }
        do throws(ServerError) {
            let process = try ServerProcess(configuration, log: log)
            try process.run(readyFile: invocation.optionalText("ready-file")) { started in
                Console.print(Banner.text(started))
                if let warning = started.address?.warning { Console.printError(Banner.warning(warning)) }
            }
            return .success
        } catch {
            throw CommandFailure(.failure, error.description)
        }
    }
}

/// What a person sees when a server has started.
enum Banner {
    static func text(_ started: ServerProcess.Started) -> String {
        var lines = ["Apus is ready."]
        if let port = started.nameServerPort { lines.append("  name server   \(started.bindAddress):\(port)") }
        if let port = started.brokerPort, let address = started.address {
            lines.append("  broker        \(started.bindAddress):\(port), clients are told \(address.host):\(port)")
        }
        if let path = started.storePath { lines.append("  store         \(path)") }
        if let port = started.nameServerPort, started.brokerPort != nil {
            let nameServer = "\(reachable(started.bindAddress)):\(port)"
            lines += [
                "", "Try it from another terminal:",
                "  apus send TopicTest 'hello' --namesrv \(nameServer)",
                "  apus consume TopicTest --group demo --namesrv \(nameServer)",
                "Ctrl-C stops it.",
            ]
        }
        return lines.joined(separator: "\n")
    }

    /// An address of this machine that reaches a server bound to `address`.
    private static func reachable(_ address: String) -> String {
        if address.isEmpty || address == "0.0.0.0" { return "127.0.0.1" }
        if address == "::" { return "[::1]" }
        return address.contains(":") && !address.hasPrefix("[") ? "[\(address)]" : address
    }

    static func warning(_ text: String) -> String {
        let rule = String(repeating: "!", count: 72)
        return "\(rule)\nWARNING: \(text)\n\(rule)"
    }
}
