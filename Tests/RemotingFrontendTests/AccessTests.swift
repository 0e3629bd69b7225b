import Base
import BrokerCore
import Bytes
import Model
import RemotingProtocol
import Telemetry
import Testing

@testable import RemotingFrontend

@Suite("Access control")
struct AccessTests {
    private let it: BrokerConversation
    private let requestGuard: RequestGuard
    private static let remote = HostAddress(ipv4: 0xC000_0207, port: 5)

    /// `worker`: may publish to Out, subscribe to In, and consume as the group workers. `operator`: an administrator.
    private static func rules() throws -> AccessRules {
        var worker = AccessAccount(accessKey: "worker", secretKey: "secret-of-worker")
        worker.setTopic("Out", .publish)
        worker.setTopic("In", .subscribe)
        worker.setGroup("workers", .subscribe)
        var administrator = AccessAccount(accessKey: "operator", secretKey: "secret-of-operator")
        administrator.isAdministrator = true
        var neighbour = AccessAccount(accessKey: "neighbour", secretKey: "secret-of-neighbour")
        neighbour.trustedAddresses = [try #require(AddressPattern("198.51.100.1"))]
        return AccessRules(
            accounts: [worker, administrator, neighbour],
            trustedAddresses: [try #require(AddressPattern("203.0.113.*"))])
    }

    init() throws {
        requestGuard = RequestGuard(rules: try Self.rules())
        it = try BrokerConversation(requestGuard: requestGuard)
        for topic in ["Out", "In", "%RETRY%workers", "%RETRY%others"] { try it.putTopic(topic) }
    }

    private func client(_ name: String?, secret: String? = nil) throws -> TestClient {
        let client = it.connect()
        guard let name else { return client }
        client.signer = RequestSigner(Credentials(accessKey: name, secretKey: secret ?? "secret-of-\(name)"))
        return client
    }

    private static func longSend(_ topic: String) -> [(StaticString, String)] {
        [
            ("producerGroup", "PG"), ("topic", topic), ("defaultTopic", "TBW102"), ("defaultTopicQueueNums", "4"),
            ("queueId", "0"), ("sysFlag", "0"), ("bornTimestamp", "1"), ("flag", "0"), ("properties", ""),
        ]
    }

    private static func topicAndGroup(_ topic: String, _ group: String) -> [(StaticString, String)] {
        [("topic", topic), ("consumerGroup", group), ("queueId", "0"), ("commitOffset", "0")]
    }

    /// A request of `worker`, and the remark when it is refused for lack of a permission.
    struct Case: CustomTestStringConvertible, Sendable {
        var code: RequestCode
        var fields: [(StaticString, String)]
        var refusal: String?
        var testDescription: String { "\(code) \(fields.map(\.1)) \(refusal ?? "allowed")" }
        init(_ code: RequestCode, _ fields: [(StaticString, String)], _ refusal: String? = nil) {
            self.code = code
            self.fields = fields
            self.refusal = refusal
        }
    }

    private static let noTopic = "No default permission for topic:"
    private static let noGroup = "No default permission for group:"

    static let cases: [Case] = [
        Case(.sendMessageV2, TestClient.sendFields("Out")), Case(.sendMessage, longSend("Out")),
        Case(.sendMessageV2, TestClient.sendFields("In"), noTopic + "In"),
        Case(.sendMessage, longSend("In"), noTopic + "In"),
        // RocketMQ 4.9 forgets these.
        Case(.sendBatchMessage, TestClient.sendFields("In"), noTopic + "In"),
        Case(.sendReplyMessageV2, TestClient.sendFields("In"), noTopic + "In"),
        Case(.sendReplyMessage, longSend("In"), noTopic + "In"),
        Case(.recallMessage, [("topic", "In"), ("recallHandle", "x")], noTopic + "In"),
        // Whichever field a decoder takes, the topic is checked.
        Case(.sendMessageV2, TestClient.sendFields("Out") + [("topic", "In")], noTopic + "In"),
        Case(.sendMessageV2, [("b", "In")] + TestClient.sendFields("Out"), noTopic + "In"),
        Case(.sendMessageV2, TestClient.sendFields("%RETRY%workers")),
        Case(.sendMessageV2, TestClient.sendFields("%RETRY%others"), noGroup + "others"),
        Case(.pullMessage, TestClient.pullFields("In", group: "workers")),
        Case(.pullMessage, TestClient.pullFields("In", group: "others"), noGroup + "others"),
        Case(.pullMessage, TestClient.pullFields("Out", group: "workers"), noTopic + "Out"),
        Case(.litePullMessage, TestClient.pullFields("Out", group: "workers"), noTopic + "Out"),
        Case(.pullMessage, TestClient.pullFields("%RETRY%workers", group: "workers")),
        Case(.pullMessage, TestClient.pullFields("%RETRY%others", group: "workers"), noGroup + "others"),
        Case(.updateConsumerOffset, topicAndGroup("In", "workers")),
        Case(.updateConsumerOffset, topicAndGroup("In", "others"), noGroup + "others"),
        Case(.updateConsumerOffset, topicAndGroup("Out", "workers"), noTopic + "Out"),
        Case(.queryMessage, [("topic", "Out"), ("key", "k")], noTopic + "Out"),
        Case(
            .consumerSendMessageBack, [("offset", "0"), ("group", "others"), ("delayLevel", "1")], noGroup + "others"),
        Case(.unregisterClient, [("clientID", "c"), ("consumerGroup", "others")], noGroup + "others"),
        Case(.getConsumerListByGroup, [("consumerGroup", "others")], noGroup + "others"),
        Case(.getMaximumOffset, [("topic", "Out"), ("queueId", "0")]),
    ]

    @Test("each request needs what the table says", arguments: cases)
    func permissions(_ wanted: Case) throws {
        let answer = try client("worker").ask(wanted.code, wanted.fields, body: Array("m".utf8))
        if let refusal = wanted.refusal {
            #expect(answer.responseCode == .noPermission)
            #expect(answer.remark == refusal)
            #expect(requestGuard.counters == AccessCounters(permissionsRefused: 1))
        } else {
            #expect(answer.responseCode != .noPermission, "\(answer)")
            #expect(requestGuard.counters == AccessCounters())
        }
    }

    @Test("the same requests are allowed to an administrator", arguments: cases)
    func administrators(_ wanted: Case) throws {
        let answer = try client("operator").ask(wanted.code, wanted.fields, body: Array("m".utf8))
        #expect(answer.responseCode != .noPermission, "\(answer)")
    }

    @Test("without a key, or with a wrong one, nothing is answered but a refusal", arguments: cases)
    func strangers(_ wanted: Case) throws {
        let none = try client(nil).ask(wanted.code, wanted.fields)
        #expect(none.responseCode == .noPermission)
        #expect(none.remark == "No accessKey is configured")
        let unknown = try client("nobody").ask(wanted.code, wanted.fields)
        #expect(unknown.remark == "No acl config for nobody")
        let wrong = try client("operator", secret: "secret-of-worker").ask(wanted.code, wanted.fields)
        #expect(wrong.responseCode == .noPermission)
        #expect(wrong.remark == "Check signature failed for accessKey=operator")
        #expect(requestGuard.counters == AccessCounters(signaturesRefused: 3))
    }

    @Test(
        "without access control none of that is refused: the table above is not refused for another reason",
        arguments: cases)
    func switchedOff(_ wanted: Case) throws {
        let open = try BrokerConversation()
        for topic in ["Out", "In", "%RETRY%workers", "%RETRY%others"] { try open.putTopic(topic) }
        let answer = try open.connect().ask(wanted.code, wanted.fields, body: Array("m".utf8))
        #expect(answer.responseCode != .noPermission, "\(answer)")
    }

    @Test("a heartbeat needs every topic and group that it names")
    func heartbeats() throws {
        let worker = try client("worker")
        #expect(try worker.subscribe("workers", to: ["In", "%RETRY%workers"], clientID: "c").responseCode == .success)
        #expect(try worker.subscribe("workers", to: ["In", "Out"], clientID: "c").remark == Self.noTopic + "Out")
        #expect(try worker.subscribe("others", to: ["In"], clientID: "c").remark == Self.noGroup + "others")
    }

    @Test("a signed frame is good on any connection, and no longer when anything in it is changed")
    func replay() throws {
        let worker = try client("worker")
        worker.encoding = .binary
        let frame = worker.request(.sendMessageV2, TestClient.sendFields("Out"), body: Array("m".utf8)).bytes.array()
        func code(_ bytes: [UInt8]) throws -> ResponseCode {
            let buffer = ByteBuffer()
            buffer.append(bytes)
            let other = it.connectRemotely()
            other.encoding = .binary
            guard other.session.next(buffer) == .handled else { return .systemError }
            it.turn()
            return try other.receive().first?.responseCode ?? .noPermission
        }
        // The protocol has no number that is used once: only TLS keeps a captured frame from being sent again.
        #expect(try code(frame) == .success)
        #expect(try code(frame) == .success)
        for (position, byte) in frame.enumerated() where position >= 8 {
            var changed = frame
            changed[position] = byte ^ 1
            // Only what the signature does not cover may change: code, language, version, number and flag.
            guard position >= 8 + 13 else { continue }
            #expect(try code(changed) != .success, "byte \(position)")
        }
    }

    @Test("addresses that are trusted are asked nothing, of everybody or of one account")
    func trustedAddresses() throws {
        let anybody = it.connectRemotely(from: 0xCB00_7109)
        #expect(try anybody.ask(.sendMessageV2, TestClient.sendFields("In")).responseCode == .success)
        let neighbour = it.connectRemotely(from: 0xC633_6401)
        #expect(try neighbour.ask(.sendMessageV2, TestClient.sendFields("In")).responseCode == .noPermission)
        let named = TestClient.sendFields("In") + [("AccessKey", "neighbour")]
        #expect(try neighbour.ask(.sendMessageV2, named).responseCode == .success)
        let elsewhere = it.connectRemotely(from: 0xC633_6402)
        #expect(try elsewhere.ask(.sendMessageV2, named).responseCode == .noPermission)
    }

    @Test("new rules hold from the next request on")
    func replacement() throws {
        let worker = try client("worker")
        #expect(try worker.ask(.sendMessageV2, TestClient.sendFields("Out")).responseCode == .success)
        requestGuard.replace(AccessRules())
        #expect(try worker.ask(.sendMessageV2, TestClient.sendFields("Out")).responseCode == .noPermission)
        requestGuard.replace(try Self.rules())
        #expect(try worker.ask(.sendMessageV2, TestClient.sendFields("Out")).responseCode == .success)
    }

    @Test("refusals are counted in what the broker says of itself")
    func figures() throws {
        _ = try client(nil).ask(.sendMessageV2, TestClient.sendFields("Out"))
        _ = try client("worker").ask(.sendMessageV2, TestClient.sendFields("In"))
        _ = try client("worker").ask(.deleteTopicInBroker, [("topic", "Out")])
        let table = try KVTable(parsing: try client("worker").ask(.getBrokerRuntimeInfo).body.span.bytes).table
        for name in ["signaturesRefused", "permissionsRefused", "administrationRefused"] { #expect(table[name] == "1") }
    }

    // MARK: - Administration

    static let changes: [Case] = [
        Case(
            .updateAndCreateTopic,
            [
                ("topic", "New"), ("defaultTopic", "TBW102"), ("readQueueNums", "16"), ("writeQueueNums", "16"),
                ("perm", "6"),
            ]),
        Case(.deleteTopicInBroker, [("topic", "Out")]), Case(.updateBrokerConfig, []),
        Case(.updateAndCreateSubscriptionGroup, []), Case(.deleteSubscriptionGroup, [("groupName", "workers")]),
        Case(
            .invokeBrokerToResetOffset,
            [("topic", "In"), ("group", "workers"), ("timestamp", "0"), ("isForce", "true")]),
        Case(.cloneGroupOffset, [("srcGroup", "a"), ("destGroup", "b"), ("topic", "In"), ("offline", "true")]),
        Case(.cleanUnusedTopic, []), Case(.cleanExpiredConsumeQueue, []), Case(.deleteExpiredCommitLog, []),
        Case(.consumeMessageDirectly, []), Case(.resumeCheckHalfMessage, [("msgId", "x")]),
        Case(.updateAndCreateACLConfig, []),
    ]

    @Test("administrative requests are for administrators", arguments: changes)
    func administration(_ wanted: Case) throws {
        let refused = try client("worker").ask(wanted.code, wanted.fields)
        #expect(refused.responseCode == .noPermission)
        #expect(refused.remark?.hasPrefix("Need admin permission for request code=\(wanted.code)") == true)
        #expect(requestGuard.counters == AccessCounters(administrationRefused: 1))
        let allowed = try client("operator").ask(wanted.code, wanted.fields)
        #expect(allowed.remark?.hasPrefix("Need admin") != true, "\(allowed)")
    }

    @Test(
        "without access control they are refused to other machines, unless a setting allows them",
        arguments: changes)
    func remoteAdministration(_ wanted: Case) throws {
        let closed = try BrokerConversation()
        try closed.putTopic("Out")
        let refused = try closed.connectRemotely().ask(wanted.code, wanted.fields)
        #expect(refused.responseCode == .noPermission)
        #expect(refused.remark?.contains("allowRemoteAdministration") == true)
        #expect(closed.frontend.requestGuard.counters == AccessCounters(administrationRefused: 1))
        let local = try closed.connect().ask(wanted.code, wanted.fields)
        #expect(local.remark?.contains("allowRemoteAdministration") != true, "\(local)")
        let open = try BrokerConversation(requestGuard: RequestGuard(allowsRemoteAdministration: true))
        try open.putTopic("Out")
        let allowed = try open.connectRemotely().ask(wanted.code, wanted.fields)
        #expect(allowed.remark?.contains("allowRemoteAdministration") != true, "\(allowed)")
    }

    @Test("other machines send, consume and read without access control")
    func remoteClients() throws {
        let open = try BrokerConversation()
        let client = open.connectRemotely()
        #expect(try client.produce("m", to: "MadeBySending").responseCode == .success)
        #expect(try client.subscribe("CG", to: ["MadeBySending"], clientID: "c").responseCode == .success)
        #expect(try client.ask(.pullMessage, TestClient.pullFields("MadeBySending")).responseCode == .success)
        #expect(try client.ask(.getTopicStatsInfo, [("topic", "MadeBySending")]).responseCode == .success)
        #expect(try client.ask(.getBrokerConfig).responseCode == .success)
    }

    @Test("a topic that a send would make is made for another broker too, and no other")
    func ordinaryTopics() throws {
        func creation(_ topic: String, queues: Int, perm: Int = 6) -> [(StaticString, String)] {
            [
                ("topic", topic), ("defaultTopic", "TBW102"), ("readQueueNums", "\(queues)"),
                ("writeQueueNums", "\(queues)"), ("perm", "\(perm)"),
            ]
        }
        let open = try BrokerConversation()
        let peer = open.connectRemotely()
        #expect(try peer.ask(.updateAndCreateTopic, creation("New", queues: 4)).responseCode == .success)
        #expect(try peer.ask(.updateAndCreateTopic, creation("New", queues: 4)).responseCode == .noPermission)
        #expect(try peer.ask(.updateAndCreateTopic, creation("Wide", queues: 64)).responseCode == .noPermission)
        #expect(try peer.ask(.updateAndCreateTopic, creation("Odd", queues: 4, perm: 4)).responseCode == .noPermission)
        let strict = try BrokerConversation { configuration, _ in configuration.createsTopics = false }
        #expect(
            try strict.connectRemotely().ask(.updateAndCreateTopic, creation("New", queues: 4)).responseCode
                == .noPermission)
    }

    // MARK: - Name server

    static let nameServerChanges: [Case] = [
        Case(.putKVConfig, [("namespace", "n"), ("key", "k"), ("value", "v")]),
        Case(.deleteKVConfig, [("namespace", "n"), ("key", "k")]), Case(.wipeWritePermOfBroker, [("brokerName", "b")]),
        Case(.addWritePermOfBroker, [("brokerName", "b")]), Case(.deleteTopicInNameServer, [("topic", "T")]),
        Case(.updateNameServerConfig, []),
    ]

    @Test(
        "a name server's changes are refused to other machines, and to anybody but administrators with access control",
        arguments: nameServerChanges)
    func nameServer(_ wanted: Case) throws {
        let closed = NameServerConversation()
        let remote = closed.frontend.makeSession(peer: Self.remote, isLocal: false)
        let refused = try closed.ask(wanted.code, wanted.fields, on: remote)
        #expect(refused.code == ResponseCode.noPermission.rawValue)
        #expect(refused.remark?.contains("allowRemoteAdministration") == true)
        #expect(try closed.ask(wanted.code, wanted.fields).code != ResponseCode.noPermission.rawValue)

        let controlled = NameServerConversation(requestGuard: requestGuard)
        #expect(try controlled.ask(wanted.code, wanted.fields).code == ResponseCode.noPermission.rawValue)
        controlled.signer = RequestSigner(Credentials(accessKey: "worker", secretKey: "secret-of-worker"))
        #expect(try controlled.ask(wanted.code, wanted.fields).code == ResponseCode.noPermission.rawValue)
        controlled.signer = RequestSigner(Credentials(accessKey: "operator", secretKey: "secret-of-operator"))
        #expect(try controlled.ask(wanted.code, wanted.fields).code != ResponseCode.noPermission.rawValue)
    }

    @Test("brokers register and clients find routes from other machines, with access control too")
    func registration() throws {
        for it in [NameServerConversation(), NameServerConversation(requestGuard: requestGuard)] {
            let remote = it.frontend.makeSession(peer: Self.remote, isLocal: false)
            #expect(try it.register(topics: [.topic("T")], on: remote).code == 0)
            #expect(try it.ask(.getRouteInfoByTopic, [("topic", "T")], on: remote).code == 0)
        }
    }

    @Test(
        "two addresses are of one machine when both are loopback, or the same",
        arguments: [
            (0x7F00_0001, 0x7F00_0001, true), (0x7F00_0001, 0x7F01_0203, true), (0xC000_0207, 0xC000_0207, true),
            (0xC000_0207, 0xC000_0208, false), (0x7F00_0001, 0xC000_0207, false), (0xC000_0207, 0x7F00_0001, false),
        ] as [(UInt32, UInt32, Bool)])
    func oneMachine(first: UInt32, second: UInt32, expected: Bool) {
        #expect(
            HostAddress.areOneMachine(HostAddress(ipv4: first, port: 1), HostAddress(ipv4: second, port: 2)) == expected
        )
    }
}
