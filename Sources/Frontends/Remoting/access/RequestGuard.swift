import Base
import BrokerCore
import Bytes
import RemotingProtocol
import Telemetry

/// Stands between a connection and what it asks for: finds out who asks, and refuses what that account may not do. Shared by
/// the frontends of a process; belongs to the loop.
///
///     access control   request           decided by
///     on               any               signature, then the account's permissions; administrators alone may administer
///     off              administrative    whether it comes from this machine, unless remote administration is allowed
///     off              other             nothing
///
/// What is refused is logged with peer and access key, a few lines a second, and counted. Secrets are never logged.
public final class RequestGuard {
    /// An account and its secret, ready to check signatures.
    final class Signer {
        let account: AccessAccount
        let key: SigningKey
        init(_ account: AccessAccount, _ key: SigningKey) {
            self.account = account
            self.key = key
        }
    }

    public let controlsAccess: Bool
    let allowsRemoteAdministration: Bool
    private var rules: AccessRules
    private var signers = ByteKeyTable<Signer>()
    private let clock: (any Clock)?
    private let log: Log
    private var throttle = LogThrottle()
    public private(set) var counters = AccessCounters()
    /// Where requests 50 to 54 find accounts; nil without access control.
    public weak var accountStore: (any AccountStore)?

    /// - Parameter rules: nil switches access control off.
    public init(
        rules: AccessRules? = nil, allowsRemoteAdministration: Bool = false, clock: (any Clock)? = nil,
        log: Log = .silent
    ) {
        controlsAccess = rules != nil
        self.allowsRemoteAdministration = allowsRemoteAdministration
        self.rules = rules ?? AccessRules()
        self.clock = clock
        self.log = log.labelled("access")
        prepareSigners()
    }

    /// Takes new rules; they hold from the next request on.
    public func replace(_ rules: AccessRules) {
        guard controlsAccess else { return }
        self.rules = rules
        prepareSigners()
    }

    private func prepareSigners() {
        signers = ByteKeyTable()
        for account in rules.accounts {
            guard let key = SigningKey(secret: account.secretKey) else {
                log.error("OpenSSL has no HMAC-SHA1: nobody can sign", ["accessKey": account.accessKey])
                continue
            }
            signers[account.accessKey] = Signer(account, key)
        }
    }

    /// Whether requests of a connection have to be looked at.
    func guards(isLocal: Bool) -> Bool { controlsAccess || !(isLocal || allowsRemoteAdministration) }

    // MARK: - Who asks

    /// The account that signed a request; nil when it comes from an address that is asked nothing.
    /// - Throws: when nobody, or nobody that is known, signed it.
    func account(
        of header: CommandHeader, body: Range<Int>, in span: RawSpan, peer: HostAddress
    ) throws(Refusal) -> AccessAccount? {
        // Who may write accounts may come back from anywhere: for that an address is not enough, unlike in RocketMQ.
        let trustsAddresses = !header.requestCode.concernsAccounts
        if trustsAddresses, rules.trusts(peer) { return nil }
        guard let key = header.value("AccessKey", in: span), !key.isEmpty else {
            throw refused(.signature, header, peer, accessKey: "", "No accessKey is configured")
        }
        let name = span.extracting(key)
        guard let signer = signers[name] else {
            let text = Self.shown(name)
            throw refused(.signature, header, peer, accessKey: text, "No acl config for \(text)")
        }
        if trustsAddresses, signer.account.trusts(peer) { return nil }
        guard signer.key.verifies(header, body: body, in: span) else {
            let text = signer.account.accessKey
            throw refused(.signature, header, peer, accessKey: text, "Check signature failed for accessKey=\(text)")
        }
        return signer.account
    }

    /// What a stranger calls himself, cut to a length that a log line stands.
    private static func shown(_ name: RawSpan) -> String { name.extracting(0..<min(name.byteCount, 64)).string() }

    // MARK: - What administrators change

    /// What writes to the log how a change of accounts ended.
    /// - Parameters:
    ///   - subject: the account or the addresses; no secret.
    ///   - accessKey: who asked for it.
    func accountChangeNote(
        _ event: String, _ subject: String, _ accessKey: String, _ peer: HostAddress
    ) -> (AccountChangeFailure?) -> Void {
        let (log, peer, subject) = (log, "\(peer)", String(subject.prefix(256)))
        return { failure in
            guard let failure else {
                return log.notice(event, ["peer": peer, "accessKey": accessKey, "subject": subject])
            }
            log.warning(
                "accounts not changed",
                ["peer": peer, "accessKey": accessKey, "subject": subject, "reason": failure.remark])
        }
    }

    // MARK: - What is refused

    enum Kind { case signature, permission, administration }

    /// Notes a refusal, in RocketMQ's words and its code (remoting reference §1.12).
    func refused(
        _ kind: Kind, _ header: CommandHeader, _ peer: HostAddress, accessKey: String, _ reason: String
    ) -> Refusal {
        switch kind {
        case .signature: counters.signaturesRefused += 1
        case .permission: counters.permissionsRefused += 1
        case .administration: counters.administrationRefused += 1
        }
        if let clock, let count = throttle.admit(at: clock.monotonic) {
            log.warning(
                "request refused",
                [
                    "peer": "\(peer)", "accessKey": accessKey, "request": "\(header.code)", "reason": reason,
                    "sinceLastLine": "\(count)",
                ])
        }
        return Refusal(.noPermission, reason)
    }

    /// An administrative request needs an administrator.
    func requireAdministrator(
        _ account: AccessAccount, _ header: CommandHeader, _ peer: HostAddress
    ) throws(Refusal) {
        guard !account.isAdministrator else { return }
        throw refused(
            .administration, header, peer, accessKey: account.accessKey,
            "Need admin permission for request code=\(header.code), but accessKey=\(account.accessKey) is not")
    }

    /// Without access control an administrative request must come from this machine.
    func remoteAdministration(_ header: CommandHeader, _ peer: HostAddress) -> Refusal {
        refused(
            .administration, header, peer, accessKey: "",
            "request \(header.code) changes the server and comes from another machine without credentials: ask from the "
                + "server's own machine, or switch on aclEnable there and sign the request as an administrator, or set "
                + "allowRemoteAdministration=true there")
    }
}

/// What a ``RequestGuard`` has refused so far.
public struct AccessCounters: Equatable, Sendable {
    /// No access key, an unknown one, or a wrong signature.
    public var signaturesRefused = 0
    public var permissionsRefused = 0
    public var administrationRefused = 0
}

extension RequestCode {
    /// Whether the request changes topics, groups, offsets, settings or stored messages on an operator's behalf: RocketMQ 4.9's
    /// five (17, 25, 200, 207, 215), and those that do as much. Of codes that nobody answers yet as well, so that none is
    /// forgotten when it is.
    var isAdministrative: Bool {
        switch self {
        case .updateAndCreateTopic, .updateAndCreateTopicList, .deleteTopicInBroker, .updateAndCreateStaticTopic,
            .updateAndCreateSubscriptionGroup, .updateAndCreateSubscriptionGroupList, .deleteSubscriptionGroup,
            .updateBrokerConfig, .updateAndCreateACLConfig, .deleteACLConfig, .updateGlobalWhiteAddressesConfig,
            .getBrokerClusterACLInfo, .getBrokerClusterACLConfig,
            .invokeBrokerToResetOffset, .cloneGroupOffset, .updateAndGetGroupForbidden, .setMessageRequestMode,
            .cleanExpiredConsumeQueue, .cleanUnusedTopic, .deleteExpiredCommitLog, .resetMasterFlushOffset,
            .updateColdDataFlowControlConfig, .removeColdDataFlowControlConfig, .setCommitLogReadMode,
            .exportRocksDBConfigToJSON, .resumeCheckHalfMessage, .consumeMessageDirectly:
            true
        default: false
        }
    }

    /// Whether the request reads or changes the accounts of access control.
    var concernsAccounts: Bool {
        switch self {
        case .updateAndCreateACLConfig, .deleteACLConfig, .updateGlobalWhiteAddressesConfig, .getBrokerClusterACLInfo,
            .getBrokerClusterACLConfig:
            true
        default: false
        }
    }

    /// Whether the request to a name server changes what operators have set.
    var isNameServerAdministration: Bool {
        switch self {
        case .putKVConfig, .deleteKVConfig, .wipeWritePermOfBroker, .addWritePermOfBroker, .deleteTopicInNameServer,
            .registerTopicInNameServer, .updateNameServerConfig:
            true
        default: false
        }
    }
}

extension HostAddress {
    /// 127.0.0.0/8 or ::1.
    var isLoopback: Bool { isIPv6 ? high == 0 && low == 1 : ipv4 >> 24 == 127 }

    /// Whether a connection between the two does not leave the machine: over loopback, or from an address to itself. The kernel
    /// drops packets of other machines that claim either (RFC 1812 §5.3.7).
    static func areOneMachine(_ a: HostAddress, _ b: HostAddress) -> Bool {
        if a.isLoopback || b.isLoopback { return a.isLoopback && b.isLoopback }
        return a.isIPv6 == b.isIPv6 && a.high == b.high && a.low == b.low
    }
}
