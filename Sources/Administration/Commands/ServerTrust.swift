import ApusClient
import Glibc
import RemotingProtocol
import Runtime

/// The options by which commands speak TLS and sign requests.
enum ServerTrust {
    static let options = tlsOptions + [credentials]

    private static let credentials = CommandOption(
        "credentials", .path,
        "File with accessKey and secretKey lines to sign requests with; else APUS_ACCESS_KEY and APUS_SECRET_KEY")

    private static let tlsOptions: [CommandOption] = [
        CommandOption("tls", .flag, "Speak TLS; the other --tls options imply it"),
        CommandOption(
            "tls-trust", .path, "File of the roots that servers' certificates must lead to; else the system's"),
        CommandOption(
            "tls-any-name", .flag, "Do not look whether a certificate names the server, as RocketMQ's clients"),
        CommandOption("tls-certificate", .path, "File of a certificate to show to servers that ask for one"),
        CommandOption("tls-key", .path, "File of that certificate's key"),
    ]

    /// Nil when no option asks for TLS.
    static func tls(_ invocation: Invocation) -> TLSClientConfiguration? {
        guard tlsOptions.contains(where: { invocation.isGiven($0.name) }) else { return nil }
        var result = TLSClientConfiguration()
        result.trustPath = invocation.optionalText("tls-trust")
        result.checksServerName = !invocation.flag("tls-any-name")
        result.certificatePath = invocation.optionalText("tls-certificate")
        result.keyPath = invocation.optionalText("tls-key")
        return result
    }

    /// The same, ready for connections.
    static func context(_ invocation: Invocation) throws(CommandFailure) -> TLSContext? {
        guard let configuration = tls(invocation) else { return nil }
        do throws(TLSError) {
            return try TLSContext(client: configuration)
        } catch {
            throw CommandFailure(.usage, "TLS cannot be used: \(error)")
        }
    }

    /// From a file or the environment, never from the command line, which every user of the machine can see. Nil when neither
    /// has any.
    static func credentials(_ invocation: Invocation) throws(CommandFailure) -> Credentials? {
        guard let path = invocation.optionalText("credentials") else {
            guard let accessKey = invocation.environment["APUS_ACCESS_KEY"],
                let secretKey = invocation.environment["APUS_SECRET_KEY"]
            else { return nil }
            return Credentials(accessKey: accessKey, secretKey: secretKey)
        }
        let text = try text(path)
        do throws(CredentialsError) {
            return try Credentials(parsing: text)
        } catch {
            throw CommandFailure(
                .usage, "\(path) holds no credentials: \(error)", advice: "two lines: 'accessKey: …' and 'secretKey: …'"
            )
        }
    }

    private static func text(_ path: String) throws(CommandFailure) -> String {
        let reader = try LineReader(path: path)
        var lines: [String] = []
        while let line = try reader.next() {
            // A file of another kind is not to be read to its end.
            guard lines.count < 100, line.count < 4096 else {
                throw CommandFailure(.usage, "\(path) is too large for a file of credentials")
            }
            lines.append(String(decoding: line, as: UTF8.self))
        }
        return lines.joined(separator: "\n")
    }
}
