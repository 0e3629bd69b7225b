import Base
import Model

/// The options of `topic` and `group` commands that set a quota, and how one is shown.
enum QuotaOptions {
    /// The rates of a direction, `send` or `pull`.
    static func options(_ direction: String, _ who: String) -> [CommandOption] {
        [
            CommandOption(
                "quota-\(direction)-messages", .text("N"),
                "Messages a second that \(who); 'none' is any number, 'default' what the brokers' settings say"),
            CommandOption("quota-\(direction)-bytes", .text("SIZE"), "Bytes a second, likewise; K, M and G may follow"),
        ]
    }

    static let names = ["quota-send-messages", "quota-send-bytes", "quota-pull-messages", "quota-pull-bytes"]

    static func isGiven(_ invocation: Invocation) -> Bool { names.contains(where: invocation.isGiven) }

    /// `quota` with what the command line says of it.
    static func apply(_ invocation: Invocation, to quota: inout TrafficQuota) throws(CommandFailure) {
        let paths: [WritableKeyPath<TrafficQuota, Int64>] = [
            \.send.messages, \.send.bytes, \.pull.messages, \.pull.bytes,
        ]
        for (name, path) in zip(names, paths) where invocation.isGiven(name) {
            guard let text = invocation.optionalText(name) else { continue }
            guard let rate = rate(text) else {
                throw CommandFailure(
                    .usage, "--\(name) '\(text)' is no rate",
                    advice: "a number from 1 to \(Limits.quotaRateMaximum) like 500 or 64K, 'none' or 'default'")
            }
            quota[keyPath: path] = rate
        }
    }

    static func rate(_ text: String) -> Int64? {
        switch text {
        case "none": return TrafficRate.unlimited
        case "default": return 0
        default:
            guard let size = CommandOption.Kind.size(text).map(Int64.init), (1...Limits.quotaRateMaximum).contains(size)
            else { return nil }
            return size
        }
    }

    // MARK: - Shown

    static let columns = ["sendMessages", "sendBytes", "pullMessages", "pullBytes"]

    static func cells(_ quota: TrafficQuota) -> [OutputTable.Cell] {
        [quota.send.messages, quota.send.bytes, quota.pull.messages, quota.pull.bytes].map { .text(text($0)) }
    }

    static func text(_ rate: Int64) -> String {
        switch rate {
        case 0: "default"
        case ..<0: "none"
        default: String(rate)
        }
    }
}
