import ApusClient
import Base
import Runtime

/// `apus bench connections` and `apus bench flood`: what a server bears.
public enum HardshipCommands {
    public static let all: [Command] = [connections, flood]

    private static let target: [CommandOption] =
        Cluster.options + [
            CommandOption(
                "broker", short: "b", .text("HOST:PORT"),
                "Ask no name server; without it, the first master that it knows")
        ]

    static let connections = Command(
        "bench connections", "Open many connections that do nothing, or wait, and tell what each costs the server",
        discussion: """
            The server's memory is taken before the first connection and when all are open. Descriptors limit what can be opened: of this
            process and of the server (ulimit -n).
            """,
        options: target + [
            CommandOption("connections", short: "c", .integer(1...1_000_000), default: "10000", "How many"),
            CommandOption(
                "role", .choice(ConnectionsLoad.Role.allCases.map(\.rawValue)), default: "producers",
                "bare does nothing; producers say so once; pulls are held; pieces send all of a frame but its last byte"
            ),
            CommandOption("topic", short: "t", .text("NAME"), default: "TBW102", "What pulls wait for"),
            CommandOption("hold", .duration, default: "5s", "How long they stay open"),
            CommandOption("server-pid", .integer(1...4_194_304), "Process on this machine whose memory is shown"),
            .output,
        ],
        examples: [
            CommandExample("apus bench connections --server-pid $(pgrep -x apus)", "10,000 idle producers"),
            CommandExample("apus bench connections --role pulls --topic Orders", "10,000 held pulls"),
        ]
    ) { invocation in
        let (host, port) = try await broker(invocation)
        OpenFiles.raiseLimit()
        let duration = invocation.duration("hold").components
        let load = try ConnectionsLoad(
            host: host, port: port, role: ConnectionsLoad.Role(rawValue: invocation.text("role")) ?? .producers,
            count: invocation.integer("connections"), topic: invocation.text("topic"),
            holdMilliseconds: duration.seconds * 1_000 + duration.attoseconds / 1_000_000_000_000_000,
            serverPID: invocation.optionalText("server-pid").flatMap { Int($0) },
            tls: try ServerTrust.context(invocation), credentials: try ServerTrust.credentials(invocation))
        let result = load.run()
        invocation.print(ConnectionsLoad.table(result))
        return result.failed + result.lost == 0 ? .success : .failure
    }

    static let flood = Command(
        "bench flood", "Send a broker on this machine rubbish, one connection after the other",
        discussion: """
            Comes from 127.0.0.2, so that the server can tell it from other clients of this machine (limitsLoopback). It measures nothing:
            run 'apus bench produce' beside it, and compare.
            """,
        options: target + [
            CommandOption(
                "kind", .choice(FloodLoad.Kind.allCases.map(\.rawValue)), default: "garbage",
                "garbage is no frame; headers cannot be read; connections close at once; requests are of an unknown kind; "
                    + "handshakes of TLS, 200 at a time, are left when the server has done its part"
            ),
            CommandOption("rate", .integer(1...1_000_000), "Connections a second; without it, as many as can be"),
            CommandOption("duration", short: "d", .duration, default: "10s", "For how long"),
            .output,
        ],
        examples: [
            CommandExample("apus bench flood --kind headers --duration 30s", "Frames that cannot be read"),
            CommandExample("apus bench flood --kind connections --rate 5000", "5,000 connections a second"),
        ]
    ) { invocation in
        let (_, port) = try await broker(invocation)
        let duration = invocation.duration("duration").components
        let load = FloodLoad(
            kind: FloodLoad.Kind(rawValue: invocation.text("kind")) ?? .garbage, port: UInt16(port),
            rate: invocation.isGiven("rate") ? invocation.integer("rate") : nil,
            seconds: Double(duration.seconds) + Double(duration.attoseconds) / 1e18)
        invocation.print(FloodLoad.table(load.run()))
        return .success
    }

    private static func broker(_ invocation: Invocation) async throws -> (host: String, port: Int) {
        if let address = invocation.optionalText("broker") { return try ControlConnection.parse(address) }
        var address = ""
        _ = try await Cluster.with(invocation) { client in
            address = try await client.administration.masters()[0].address
            return .success
        }
        return try ControlConnection.parse(address)
    }
}
