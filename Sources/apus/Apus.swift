import Administration
import Glibc

/// The program: all commands in one table.
@main
struct Apus {
    static let table = CommandTable(
        ServerCommands.all + SendCommand.all + ConsumeCommand.all + TopicCommands.all + GroupCommands.all
            + AccessCommands.all + DeadLetterCommands.all + StatusCommand.all + HealthCommand.all + BenchCommands.all
            + HardshipCommands.all + FilterBenchCommand.all + StoreCommands.all + ConfigurationCommands.all
            + StandardCommands.all,
        groups: [
            TopicCommands.group,
            GroupCommands.group,
            AccessCommands.group,
            DeadLetterCommands.group,
            BenchCommands.group,
            StoreCommands.group,
            CommandGroup("config", "Look at the configuration"),
        ])

    static func main() async {
        let words = Array(CommandLine.arguments.dropFirst())
        let code = await table.main(words, environment: environment)
        exit(code.rawValue)
    }

    /// The environment of this process. Of a name that comes twice, the first counts, as for getenv.
    static var environment: [String: String] {
        var result: [String: String] = [:]
        // SAFETY: nothing in this process changes the environment, so the array and its strings stay as they are.
        var entry = unsafe environ
        while let text = entry.pointee {
            let pair = String(cString: text).split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            if pair.count == 2, result[String(pair[0])] == nil { result[String(pair[0])] = String(pair[1]) }
            entry += 1
        }
        return result
    }
}
