import Administration
import Server
import Storage
import Telemetry

/// `apus store check` and `apus store repair`.
enum StoreCommands {
    static let group = CommandGroup("store", "Check and mend the store of a broker that is not running")
    static let all: [Command] = [check, repair]

    static let check = Command(
        "store check", "Look through a store for damage",
        discussion:
            "Reads every record of the log with its checksums, and compares consume queues, index, snapshot and checkpoint with "
            + "it. Changes nothing. The broker must not run. Ends with 0 when all is well and with 6 when something is damaged.",
        options: [.output] + options,
        examples: [
            CommandExample("apus store check --store /var/lib/apus", "Every damage with its file and place"),
            CommandExample("apus store check -c broker.conf --output json", "For a program"),
        ]
    ) { invocation in
        let report = try failing { () throws(ServerError) in try maintenance(invocation).check() }
        invocation.print(table(report.damages))
        Console.printError(summary(report))
        return report.isClean ? .success : .verification
    }

    static let repair = Command(
        "store repair", "Mend what is damaged in a store",
        discussion:
            "Says what it would do; with --yes it does it. Bytes that it replaces are copied to the folder quarantine of the store "
            + "first. A damaged record is set aside: consumers of its queue go on behind it. Ends with 0 when nothing is damaged "
            + "(any more), else with 6.",
        options: [
            CommandOption("yes", short: "y", .flag, "Do it"),
            CommandOption("dry-run", .flag, "Only say what would be done; so it is without --yes, too"), .output,
        ] + options,
        examples: [
            CommandExample("apus store repair --store /var/lib/apus", "Say what would be done"),
            CommandExample("apus store repair --store /var/lib/apus --yes", "Do it"),
        ]
    ) { invocation in
        let isDryRun = !invocation.flag("yes") || invocation.flag("dry-run")
        let result = try failing { () throws(ServerError) in try maintenance(invocation).repair(isDryRun: isDryRun) }
        invocation.print(table(result.found.damages))
        for action in result.actions { Console.printError(action) }
        guard let remaining = result.remaining else {
            if !result.found.isClean {
                Console.printError("nothing was changed; --yes does what the column 'remedy' says")
            }
            return result.found.isClean ? .success : .verification
        }
        for damage in remaining.damages { Console.printError("still damaged: \(damage.file): \(damage.meaning)") }
        Console.printError(summary(remaining))
        return remaining.isClean ? .success : .verification
    }

    private static let options = ConfigurationOptions.options(for: .broker)

    private static func maintenance(_ invocation: Invocation) throws(ServerError) -> StoreMaintenance {
        let configuration: Configuration
        do {
            configuration = try ConfigurationOptions.configuration(.broker, from: invocation)
        } catch {
            throw ServerError("\(error)")
        }
        let log = Log(label: "apus", level: .warning, sink: StandardErrorLogSink())
        return StoreMaintenance(configuration, log: log)
    }

    private static func failing<R>(_ body: () throws(ServerError) -> R) throws -> R {
        do {
            return try body()
        } catch {
            throw CommandFailure(.failure, error.description)
        }
    }

    private static func table(_ damages: [StoreDamage]) -> OutputTable {
        var table = OutputTable(["kind", "file", "position", "length", "mendable", "meaning", "remedy"])
        for damage in damages {
            table.append([
                .text(damage.kind.rawValue), .text(damage.file), .integer(Int64(damage.position)),
                .integer(Int64(damage.length)), .boolean(damage.isMendable), .text(damage.meaning),
                .text(damage.remedy),
            ])
        }
        return table
    }

    private static func summary(_ report: StoreReport) -> String {
        let looked =
            "\(report.records) records in \(report.segments) files from byte \(report.start) to \(report.end), "
            + "\(report.queues) queues, \(report.indexEntries) index entries"
        return report.isClean ? "no damage: \(looked)" : "\(report.damages.count) damages: \(looked)"
    }
}
