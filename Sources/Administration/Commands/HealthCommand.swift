import ApusClient
import Base
import RemotingProtocol

/// `apus health`.
public enum HealthCommand {
    public static let all: [Command] = [health]

    static let health = Command(
        "health", "Say whether the brokers keep their promises: disk, flush, recovery, clock, listeners, memory",
        discussion: """
            One line for each check of each broker: healthy, degraded (it works, and somebody should look) or failed (it does not do
            what it is there for). A broker that does not answer has failed. docs/operations.md says what each check means and what to
            do. The exit code is that of the worst: 0 healthy, 7 degraded, 8 failed.
            """,
        options: Cluster.options + [Cluster.clusterOption, Cluster.brokerOption, .output],
        examples: [
            CommandExample("apus health", "Every broker that the name servers know"),
            CommandExample("apus health --broker 127.0.0.1:10911 --output json", "One broker, without a name server"),
        ]
    ) { invocation in
        try await Cluster.with(invocation) { client in
            var report = Report()
            for (name, address) in try await brokers(client, invocation) {
                do throws(ClientError) {
                    report.add(name, try await client.administration.brokerRuntimeInfo(address))
                } catch {
                    report.add(name, "answers", .failed, "\(address) does not answer: \(error.message)")
                }
            }
            invocation.print(report.table)
            return report.worst.exitCode
        }
    }

    private static func brokers(
        _ client: RocketMQClient, _ invocation: Invocation
    ) async throws(ClientError) -> [(name: String, address: String)] {
        if let address = invocation.optionalText("broker") { return [(address, address)] }
        return try await client.administration.masters(ofCluster: invocation.optionalText("cluster")).map {
            ($0.brokerName, $0.address)
        }
    }

    /// The worst of several counts.
    enum State: Int, Comparable {
        case healthy, degraded, failed
        static func < (a: Self, b: Self) -> Bool { a.rawValue < b.rawValue }
        init?(_ text: Substring) {
            switch text {
            case "healthy": self = .healthy
            case "degraded": self = .degraded
            case "failed": self = .failed
            default: return nil
            }
        }
        var exitCode: ExitCode {
            switch self {
            case .healthy: .success
            case .degraded: .degraded
            case .failed: .unhealthy
            }
        }
    }

    struct Report {
        private(set) var table = OutputTable(["broker", "check", "state", "findings"])
        private(set) var worst = State.healthy

        /// What `health.disk` and its like say: `degraded: the disk is 87 % full; …`.
        mutating func add(_ broker: String, _ information: [String: String]) {
            let prefix = "health."
            let checks = information.filter { $0.key.hasPrefix(prefix) }.sorted { $0.key < $1.key }
            guard !checks.isEmpty else {
                return add(broker, "answers", .degraded, "the broker says nothing of its health: is it an Apus?")
            }
            add(broker, "answers", .healthy, "")
            for (key, value) in checks {
                let parts = value.split(separator: ":", maxSplits: 1)
                let findings = parts.count > 1 ? String(parts[1].drop { $0 == " " }) : ""
                add(broker, String(key.dropFirst(prefix.count)), parts.first.flatMap { State($0) } ?? .failed, findings)
            }
        }

        mutating func add(_ broker: String, _ check: String, _ state: State, _ findings: String) {
            worst = max(worst, state)
            table.append([.text(broker), .text(check), .text("\(state)"), .text(findings)])
        }
    }
}
