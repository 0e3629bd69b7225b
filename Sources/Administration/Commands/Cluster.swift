import ApusClient
import Base
import Model
import Runtime

/// What all commands share that talk to a cluster: their options, a client for the time of one command, and what errors of
/// the client mean to the shell.
enum Cluster {
    static let options: [CommandOption] =
        [
            .nameServer, CommandOption("namesrv", .text("HOST:PORT"), "The same as --name-server"), .timeout,
        ] + ServerTrust.options

    static let clusterOption = CommandOption("cluster", .text("NAME"), "Only brokers of this cluster; without it, all")
    static let brokerOption = CommandOption(
        "broker", short: "b", .text("HOST:PORT"), "Only this broker; without it, every master")

    /// The addresses that the command line, or the environment, names.
    static func nameServers(_ invocation: Invocation) -> [String] {
        guard let text = invocation.optionalText("namesrv") else { return invocation.nameServers }
        return text.split(separator: ";").map(String.init)
    }

    static func configuration(_ invocation: Invocation) throws(CommandFailure) -> ClientConfiguration {
        let addresses = nameServers(invocation)
        for address in addresses {
            let port = address.split(separator: ":").last.flatMap { Int($0) } ?? 0
            guard address.contains(":"), (1...65535).contains(port) else {
                throw CommandFailure(
                    .usage, "'\(address)' is no address of a name server",
                    advice: "write HOST:PORT, like 127.0.0.1:9876")
            }
        }
        var configuration = ClientConfiguration(nameServers: addresses)
        configuration.requestTimeout = invocation.duration("timeout")
        configuration.connectTimeout = invocation.duration("timeout")
        configuration.tls = ServerTrust.tls(invocation)
        configuration.credentials = try ServerTrust.credentials(invocation)
        return configuration
    }

    /// Runs `body` with a client and shuts it down after it.
    static func with(
        _ invocation: Invocation, _ body: (RocketMQClient) async throws -> ExitCode
    ) async throws -> ExitCode {
        let configuration = try configuration(invocation)
        do {
            return try await RocketMQClient.with(configuration, body)
        } catch let error as ClientError {
            throw failure(error, nameServers: configuration.nameServers)
        }
    }

    // MARK: - Errors

    /// What an error of the client is to the shell and to the person in front of it.
    static func failure(_ error: ClientError, nameServers: [String] = []) -> CommandFailure {
        let servers = nameServers.joined(separator: ", ")
        if let reason = distrust(error) {
            return CommandFailure(
                .unreachable, reason,
                advice: "--tls-trust names the roots to believe; --tls-any-name is for certificates that name no host")
        }
        switch error.code {
        case .noNameServer:
            return CommandFailure(
                .unreachable, "no name server answers at \(servers)",
                advice:
                    "is 'apus start' running there? --name-server or NAMESRV_ADDR names another one; does it want --tls?"
            )
        case .connectionFailed, .connectionClosed, .timedOut:
            return CommandFailure(
                .unreachable, text(error),
                advice: "the broker's address comes from the name server at \(servers): can it be reached from here?")
        case .brokerNotFound:
            return CommandFailure(
                .notFound, error.message,
                advice: "has a broker registered at \(servers), and does 'apus topic route' show perm rw?")
        case .topicNotFound:
            return CommandFailure(
                .notFound, error.message, advice: "'apus topic list' shows what is there, 'apus topic create' makes one"
            )
        case .invalidArgument, .messageTooLarge:
            return CommandFailure(.usage, error.message)
        case .refused:
            let code = error.answer?.code ?? 0
            return CommandFailure(
                missing.contains(code) ? .notFound : .refused, "the server refused: \(error.message) (code \(code))")
        default:
            return CommandFailure(.failure, text(error))
        }
    }

    /// Why no TLS connection came about, when that is what an error comes from.
    private static func distrust(_ error: ClientError) -> String? {
        var cause: (any Error)? = error
        while let current = cause as? ClientError { cause = current.underlying }
        guard let runtime = cause as? RuntimeError, runtime.kind == .untrusted else { return nil }
        return "no TLS connection to \(runtime.subject): \(runtime.message)"
    }

    private static func text(_ error: ClientError) -> String {
        error.message + (error.underlying.map { ": \($0)" } ?? "")
    }

    /// Answers that mean that what was named is not there: no topic, no message, no group, nobody online
    /// (remoting reference §1.4).
    private static let missing: Set<Int32> = [17, 22, 26, 206]
}
