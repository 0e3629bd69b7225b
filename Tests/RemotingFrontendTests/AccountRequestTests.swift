import Base
import BrokerCore
import Bytes
import Model
import RemotingProtocol
import Testing

@testable import RemotingFrontend

@Suite("requests 50 to 54")
struct AccountRequestTests {
    /// Remembers what it is asked for; answers when told to.
    private final class Store: AccountStore {
        var accounts = AclConfig(
            globalWhiteAddresses: ["192.0.2.1"],
            accounts: [
                PlainAccessConfig(
                    accessKey: "operator", secretKey: "secret-of-operator", isAdministrator: true,
                    topicPermissions: ["A=SUB"])
            ])
        var accountsVersion = DataVersion(timestamp: Timestamp(milliseconds: 5), counter: 3)
        let accountsPath = "conf/plain_acl.yml"
        var asked: [AccountChange] = []
        var completions: [(AccountChangeFailure?) -> Void] = []

        func change(_ change: AccountChange, _ completion: @escaping (AccountChangeFailure?) -> Void) {
            asked.append(change)
            completions.append(completion)
        }
    }

    private let it: BrokerConversation
    private let store = Store()
    private let requestGuard: RequestGuard

    init() throws {
        var administrator = AccessAccount(accessKey: "operator", secretKey: "secret-of-operator")
        administrator.isAdministrator = true
        // Asked nothing from there, for everything but this.
        administrator.trustedAddresses = [try #require(AddressPattern("198.51.100.1"))]
        requestGuard = RequestGuard(
            rules: AccessRules(
                accounts: [administrator, AccessAccount(accessKey: "worker", secretKey: "secret-of-worker")],
                trustedAddresses: [try #require(AddressPattern("203.0.113.*"))]))
        requestGuard.accountStore = store
        it = try BrokerConversation(requestGuard: requestGuard)
    }

    private func client(_ name: String, secret: String? = nil) -> TestClient {
        let client = it.connect()
        client.signer = RequestSigner(Credentials(accessKey: name, secretKey: secret ?? "secret-of-\(name)"))
        return client
    }

    struct Case: CustomTestStringConvertible, Sendable {
        var code: RequestCode
        var fields: [(StaticString, String)]
        var refusal: ResponseCode
        var testDescription: String { "\(code)" }
    }

    static let changes = [
        Case(
            code: .updateAndCreateACLConfig,
            fields: [
                ("accessKey", "orders1"), ("secretKey", "geheimnis"), ("admin", "false"),
                ("topicPerms", "A=PUB,B=SUB"),
            ], refusal: .updateACLConfigFailed),
        Case(code: .deleteACLConfig, fields: [("accessKey", "orders1")], refusal: .deleteACLConfigFailed),
        Case(
            code: .updateGlobalWhiteAddressesConfig,
            fields: [("globalWhiteAddrs", "192.0.2.1,192.0.2.2"), ("aclFileFullPath", "")],
            refusal: .updateGlobalWhiteAddressesConfigFailed),
    ]

    static let all =
        changes + [
            Case(code: .getBrokerClusterACLInfo, fields: [], refusal: .systemError),
            Case(code: .getBrokerClusterACLConfig, fields: [], refusal: .systemError),
        ]

    @Test("a change is answered when the store says that it holds, and not before", arguments: changes)
    func answered(wanted: Case) throws {
        let tool = client("operator")
        tool.send(wanted.code, wanted.fields)
        it.turn()
        #expect(try tool.receive().isEmpty)
        try #require(store.asked.count == 1)
        store.completions[0](nil)
        it.turn()
        let answer = try #require(try tool.receive().first)
        #expect(answer.responseCode == .success && answer.remark == nil && answer.opaque == tool.opaque)
    }

    @Test("what the requests say reaches the store")
    func contents() throws {
        let tool = client("operator")
        for wanted in Self.changes { tool.send(wanted.code, wanted.fields) }
        #expect(
            store.asked == [
                .put(
                    UpdateAccessConfigHeader(
                        accessKey: "orders1", secretKey: "geheimnis", isAdministrator: false,
                        topicPermissions: "A=PUB,B=SUB")), .delete(accessKey: "orders1"),
                .trust("192.0.2.1,192.0.2.2"),
            ])
    }

    @Test("a change that is not made is refused with RocketMQ's code", arguments: changes)
    func failures(wanted: Case) throws {
        let tool = client("operator")
        tool.send(wanted.code, wanted.fields)
        store.completions.first?(AccountChangeFailure("no room"))
        it.turn()
        let answer = try #require(try tool.receive().first)
        #expect(answer.responseCode == wanted.refusal && answer.remark == "no room")
    }

    @Test(
        "only an administrator's signature opens them: no key, a wrong one, and trusted addresses do not",
        arguments: all)
    func strangers(wanted: Case) throws {
        #expect(try it.connect().ask(wanted.code, wanted.fields).remark == "No accessKey is configured")
        #expect(
            try client("operator", secret: "secret-of-worker").ask(wanted.code, wanted.fields).remark
                == "Check signature failed for accessKey=operator")
        #expect(try client("worker").ask(wanted.code, wanted.fields).remark?.hasPrefix("Need admin permission") == true)
        let trusted = it.connectRemotely(from: 0xCB00_7109)
        #expect(try trusted.ask(.getMaximumOffset, []).responseCode != .noPermission)
        #expect(try trusted.ask(wanted.code, wanted.fields).responseCode == .noPermission)
        let named = it.connectRemotely(from: 0xC633_6401)
        let fields = wanted.fields + [("AccessKey", "operator")]
        #expect(try named.ask(.getMaximumOffset, [("AccessKey", "operator")]).responseCode != .noPermission)
        #expect(try named.ask(wanted.code, fields).responseCode == .noPermission)
        #expect(store.asked.isEmpty)
    }

    @Test("without access control they are refused, to this machine too", arguments: all)
    func switchedOff(wanted: Case) throws {
        let open = try BrokerConversation()
        let answer = try open.connect().ask(wanted.code, wanted.fields)
        #expect(answer.responseCode == wanted.refusal)
        #expect(answer.remark == "access control is off: aclEnable=false")
        let remote = try open.connectRemotely().ask(wanted.code, wanted.fields)
        #expect(remote.responseCode == .noPermission)
    }

    @Test("accounts are told without their secrets")
    func accounts() throws {
        let answer = try client("operator").ask(.getBrokerClusterACLConfig)
        #expect(answer.responseCode == .success)
        #expect(!answer.text.contains("secret"))
        let config = try AclConfig(parsing: answer.body.span.bytes)
        #expect(config.globalWhiteAddresses == ["192.0.2.1"])
        #expect(
            config.accounts == [
                PlainAccessConfig(accessKey: "operator", isAdministrator: true, topicPermissions: ["A=SUB"])
            ])
    }

    @Test("the version is told in RocketMQ's fields")
    func version() throws {
        let fields = try client("operator").ask(.getBrokerClusterACLInfo).fields
        #expect(fields["version"] == #"{"counter":3,"timestamp":5}"#)
        #expect(fields["allAclFileVersion"] == #"{"conf/plain_acl.yml":{"counter":3,"timestamp":5}}"#)
        #expect(fields["brokerName"] == "broker-a" && fields["clusterName"] == "DefaultCluster")
        #expect(fields["brokerAddr"] == "127.0.0.1:31911")
    }

    @Test("another file than the broker's own is refused", arguments: ["/etc/passwd", "conf/other.yml"])
    func otherFiles(path: String) throws {
        let answer = try client("operator").ask(
            .updateGlobalWhiteAddressesConfig, [("globalWhiteAddrs", "*"), ("aclFileFullPath", path)])
        #expect(answer.responseCode == .updateGlobalWhiteAddressesConfigFailed)
        #expect(answer.remark == "The globalWhiteAddresses[*] has been updated failed.")
        #expect(store.asked.isEmpty)
        let own = client("operator")
        own.send(
            .updateGlobalWhiteAddressesConfig, [("globalWhiteAddrs", "*"), ("aclFileFullPath", store.accountsPath)])
        #expect(store.asked == [.trust("*")])
    }
}
