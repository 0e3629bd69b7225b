import Base
import BrokerCore
import Glibc
import Model
import RemotingFrontend
import RemotingProtocol
import Runtime
import Telemetry

/// Certificates and accounts of this process: read at start, and again when their files change or on SIGHUP. What was read
/// last and was right counts; a file that is wrong is reported and changes nothing.
final class ServerSecurity {
    let tls: TLSServer
    /// How this process approaches other servers.
    let outgoing: OutgoingSecurity
    /// Who may ask for what.
    let requestGuard: RequestGuard
    private let settings: SecuritySettings
    private let log: Log
    private var certificateFiles: FileWatch
    private var accessFile: FileWatch
    /// What was read last and was right.
    private var access: PlainAccessFile?
    /// Changes of accounts by request that are not made yet; the first one is under way.
    private var changes: [(change: AccountChange, completion: (AccountChangeFailure?) -> Void)] = []
    private weak var loop: EventLoop?
    /// Of what this process shows to other servers, and whom of them it believes.
    private var outgoingFiles: FileWatch

    /// Time between two looks at the files. A look is a few calls of stat, so it is made on the loop.
    private static let intervalMilliseconds: Int64 = 1_000
    /// Changes of accounts that may wait.
    static let changesMaximum = 64

    /// - Throws: ``ServerError``: which file is wrong, and how.
    init(_ settings: SecuritySettings, clock: any Clock, log: Log) throws(ServerError) {
        self.settings = settings
        self.log = log.labelled("security")
        let configuration = settings.tlsServer
        // Before anything is read, so that no change falls in between.
        certificateFiles = FileWatch(configuration?.paths ?? [])
        accessFile = FileWatch(settings.controlsAccess ? [settings.accessFile] : [])
        outgoingFiles = FileWatch(settings.outgoingPaths)
        do throws(TLSError) {
            tls = try TLSServer(
                TLSServer.Mode(rawValue: settings.tlsMode) ?? .permissive, configuration,
                handshakeMilliseconds: settings.handshakeTimeout.milliseconds,
                limits: settings.handshakes.limits, log: log)
        } catch {
            throw ServerError("TLS cannot be used: \(error)")
        }
        outgoing = OutgoingSecurity(
            tls: try Self.outgoingTLS(settings), signer: try Self.signer(settings.credentialsFile))
        access = settings.controlsAccess ? try Self.accessFile(settings.accessFile) : nil
        requestGuard = RequestGuard(
            rules: access?.rules, allowsRemoteAdministration: settings.allowsRemoteAdministration, clock: clock,
            log: log)
        if settings.controlsAccess { requestGuard.accountStore = self }
        let files: [String?] = [configuration?.keyPath, accessFile.paths.first, settings.credentialsFile]
        for case let path? in files where !path.isEmpty { warnIfReadableByAll(path) }
    }

    /// Begins to look at the files.
    func watch(on loop: EventLoop) {
        self.loop = loop
        loop.onSignal(SIGHUP) { [weak self] in self?.reload() }
        loop.schedule(
            afterMilliseconds: Self.intervalMilliseconds, repeatingEveryMilliseconds: Self.intervalMilliseconds
        ) { [weak self] in self?.look() }
    }

    private func look() {
        if certificateFiles.hasChanged() { reloadCertificates() }
        if accessFile.hasChanged() { reloadAccounts() }
        if outgoingFiles.hasChanged() { reloadOutgoing() }
    }

    private func reload() {
        log.notice("SIGHUP: reading certificates and accounts again")
        _ = certificateFiles.hasChanged()
        _ = accessFile.hasChanged()
        _ = outgoingFiles.hasChanged()
        reloadCertificates()
        reloadAccounts()
        reloadOutgoing()
    }

    private func reloadCertificates() {
        guard !certificateFiles.paths.isEmpty else { return }
        do throws(TLSError) {
            try tls.reload()
            log.notice("certificates read again", ["file": certificateFiles.paths[0]])
        } catch {
            log.error("certificates not read: those from before stay in use", ["reason": error.description])
        }
    }

    private func reloadAccounts() {
        guard let path = accessFile.paths.first else { return }
        do throws(ServerError) {
            let file = try Self.accessFile(path)
            access = file
            requestGuard.replace(file.rules)
            log.notice("accounts read again", ["file": path, "accounts": "\(file.rules.accounts.count)"])
        } catch {
            log.error("accounts not read: those from before stay in force", ["reason": error.description])
        }
    }

    private func reloadOutgoing() {
        guard !outgoingFiles.paths.isEmpty else { return }
        do throws(ServerError) {
            let (tls, signer) = (try Self.outgoingTLS(settings), try Self.signer(settings.credentialsFile))
            outgoing.tls = tls
            outgoing.signer = signer
            log.notice("certificates and credentials towards other servers read again")
        } catch {
            log.error(
                "certificates and credentials towards other servers not read: those from before stay in use",
                ["reason": error.description])
        }
    }

    private static func outgoingTLS(_ settings: SecuritySettings) throws(ServerError) -> TLSContext? {
        guard settings.outgoing.isEnabled else { return nil }
        do throws(TLSError) { return try TLSContext(client: settings.tlsClient) } catch {
            throw ServerError("TLS towards other servers cannot be used: \(error)")
        }
    }

    private static func signer(_ path: String) throws(ServerError) -> RequestSigner? {
        guard !path.isEmpty else { return nil }
        let text: String
        do throws(ConfigurationError) {
            text = try Configuration.readText(path)
        } catch {
            throw ServerError("credentials cannot be used: \(error.description)")
        }
        do throws(CredentialsError) {
            return RequestSigner(try Credentials(parsing: text))
        } catch {
            throw ServerError("credentials cannot be used: \(path): \(error)")
        }
    }

    private static func accessFile(_ path: String) throws(ServerError) -> PlainAccessFile {
        let text: String
        do throws(ConfigurationError) {
            text = try Configuration.readText(path)
        } catch {
            throw ServerError("access control cannot be used: \(error.description)")
        }
        // A file that says that there are no accounts says so; one that was cut to nothing must not pass for it.
        guard text.utf8.contains(where: { $0 > 0x20 }) else {
            throw ServerError("access control cannot be used: \(path): the file is empty")
        }
        do throws(BlockTextError) {
            return try PlainAccessFile(text)
        } catch {
            throw ServerError("access control cannot be used: \(path): \(error.description)")
        }
    }

    private func warnIfReadableByAll(_ path: String) {
        guard FileWatch.isReadableByAll(path) else { return }
        log.warning("a file with secrets can be read by every user of this machine; chmod 600", ["file": path])
    }
}

// MARK: - Accounts by request

extension ServerSecurity: AccountStore {
    var accounts: AclConfig { access?.config ?? AclConfig() }
    var accountsVersion: DataVersion { access?.version ?? DataVersion() }
    var accountsPath: String { settings.accessFile }

    func change(_ change: AccountChange, _ completion: @escaping (AccountChangeFailure?) -> Void) {
        guard changes.count < Self.changesMaximum else {
            return completion(AccountChangeFailure("too many changes of accounts wait for the disk"))
        }
        changes.append((change, completion))
        if changes.count == 1 { makeNextChange() }
    }

    /// The file is read, changed and written on a worker thread: a disk that stalls stalls no client.
    private func makeNextChange() {
        guard let change = changes.first?.change, let loop else { return }
        let (path, now) = (settings.accessFile, loop.clock.timestamp)
        loop.runInBackground {
            Self.make(change, inFile: path, at: now)
        } _: { [weak self] failure in
            self?.changeEnded(failure)
        }
    }

    private static func make(
        _ change: AccountChange, inFile path: String, at now: Timestamp
    ) -> AccountChangeFailure? {
        do throws(ServerError) {
            var file = try accessFile(path)
            do throws(AccountChangeFailure) { try file.apply(change, at: now) } catch { return error }
            let text = file.text
            guard text.utf8.count <= Configuration.fileSizeMaximum else {
                return AccountChangeFailure("\(path) would be larger than 1 MiB")
            }
            try ReplacedFile.write(text, to: path)
            return nil
        } catch {
            return AccountChangeFailure(error.description)
        }
    }

    private func changeEnded(_ failure: AccountChangeFailure?) {
        let completion = changes.removeFirst().completion
        if failure == nil {
            // What is there now, which somebody may have written since.
            _ = accessFile.hasChanged()
            reloadAccounts()
        }
        completion(failure)
        makeNextChange()
    }
}

extension HandshakeSettings {
    fileprivate var limits: TLSHandshakeLimits {
        var limits = TLSHandshakeLimits()
        limits.maximum = maximum
        limits.perAddressMaximum = perAddressMaximum
        limits.includesLoopback = limitsLoopback
        limits.sharePercent = sharePercent
        return limits
    }
}

extension SecuritySettings {
    /// Nil without a certificate.
    fileprivate var tlsServer: TLSServerConfiguration? {
        guard !certificate.isEmpty else { return nil }
        var result = TLSServerConfiguration(certificatePath: certificate, keyPath: key)
        result.keyPassword = keyPassword.isEmpty ? nil : keyPassword
        result.trustPath = clientTrust.isEmpty ? nil : clientTrust
        switch clientAuthentication {
        case "optional": result.clientAuthentication = .optional
        case "require": result.clientAuthentication = .require
        default: result.clientAuthentication = .none
        }
        return result
    }

    /// Every file that connections to other servers depend on.
    fileprivate var outgoingPaths: [String] {
        let client = tlsClient
        let tls = outgoing.isEnabled ? [client.trustPath, client.certificatePath, client.keyPath] : []
        return (tls + [credentialsFile]).compactMap { $0 }.filter { !$0.isEmpty }
    }

    /// Other servers are known by address, which their certificates seldom name, so only the root is checked.
    fileprivate var tlsClient: TLSClientConfiguration {
        var result = TLSClientConfiguration()
        result.trustPath = outgoing.trust.isEmpty ? nil : outgoing.trust
        result.verifiesServer = !outgoing.trust.isEmpty
        result.checksServerName = false
        let hasOwn = !outgoing.certificate.isEmpty
        let path = hasOwn ? outgoing.certificate : certificate
        let password = hasOwn ? outgoing.keyPassword : keyPassword
        result.certificatePath = path.isEmpty ? nil : path
        result.keyPath = path.isEmpty ? nil : hasOwn ? outgoing.key : key
        result.keyPassword = password.isEmpty ? nil : password
        return result
    }
}
