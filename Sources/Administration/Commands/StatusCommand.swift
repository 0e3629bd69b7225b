import ApusClient
import Base

/// `apus status`.
public enum StatusCommand {
    public static let all: [Command] = [status]

    static let status = Command(
        "status", "Show what the brokers say of themselves: rates, sizes, offsets, stalls",
        discussion: """
            The names are those that RocketMQ's tools show, and some of our own: loopTurns counts the turns of a broker's event
            loop since its start, and loopTurnMicros… tell how many microseconds one took, which is how long everything else
            had to wait.
            """,
        options: Cluster.options + [
            Cluster.clusterOption, Cluster.brokerOption,
            CommandOption("name", .text("NAME"), "Only the value of this name"), .output,
        ],
        examples: [
            CommandExample("apus status", "Everything"),
            CommandExample(
                "apus status --name loopTurnMicrosP999 --output csv", "The p99.9 of the stalls, for a program"),
        ]
    ) { invocation in
        try await Cluster.with(invocation) { client in
            var table = OutputTable(["broker", "name", "value"])
            let addresses: [String]
            if let address = invocation.optionalText("broker") {
                addresses = [address]
            } else {
                let masters = try await client.administration.masters(ofCluster: invocation.optionalText("cluster"))
                addresses = masters.map(\.address)
            }
            for address in addresses {
                let values = try await client.administration.brokerRuntimeInfo(address)
                for (name, value) in values.sorted(by: { $0.key < $1.key }) {
                    guard invocation.optionalText("name") ?? name == name else { continue }
                    table.append([.text(address), .text(name), .text(value)])
                }
            }
            invocation.print(table)
            return .success
        }
    }
}
