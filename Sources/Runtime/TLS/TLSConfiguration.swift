/// What a server shows to its clients, and whom of them it believes. Paths are of files in PEM format.
public struct TLSServerConfiguration: Equatable, Sendable {
    /// The server's certificate, followed by those that lead to a root.
    public var certificatePath: String
    public var keyPath: String
    /// Nil when the key is not encrypted.
    public var keyPassword: String?
    /// The roots that client certificates must lead to.
    public var trustPath: String?
    public var clientAuthentication = ClientAuthentication.none

    /// Whether clients show a certificate (`tls.server.need.client.auth`).
    public enum ClientAuthentication: Equatable, Sendable {
        case none
        /// A client may show none; one that it shows must be good.
        case optional
        case require
    }

    public init(certificatePath: String, keyPath: String) {
        self.certificatePath = certificatePath
        self.keyPath = keyPath
    }

    /// Every file that it is read from.
    public var paths: [String] { [certificatePath, keyPath] + (trustPath.map { [$0] } ?? []) }
}

/// Whom a client believes, and what it shows. Paths are of files in PEM format.
public struct TLSClientConfiguration: Equatable, Sendable {
    /// The roots that server certificates must lead to; nil takes those of the system.
    public var trustPath: String?
    /// Whether the server must show a certificate that leads to a root. Without, whoever sits in between can read and change
    /// everything.
    public var verifiesServer = true
    /// Whether that certificate must name the host that was connected to. RocketMQ's clients do not look, so certificates made
    /// for them seldom name a host.
    public var checksServerName = true
    /// The client's own certificate, for servers that ask for one.
    public var certificatePath: String?
    public var keyPath: String?
    public var keyPassword: String?

    public init() {}
}

/// Why a certificate, a key, a handshake or a record is not accepted.
public struct TLSError: Error, Equatable, Sendable, CustomStringConvertible {
    public var description: String
    init(_ description: String) { self.description = description }
}
