import Base
import BrokerCore
import Testing

@testable import Server

@Suite("plain_acl.yml")
struct PlainAccessFileTests {
    /// The example that RocketMQ 4.9 comes with, in its spelling.
    static let example = """
        # Licensed …
        globalWhiteRemoteAddresses:
        - 10.10.103.*
        - 192.168.0.*

        accounts:
        - accessKey: RocketMQ
          secretKey: 12345678
          whiteRemoteAddress:
          admin: false
          defaultTopicPerm: DENY
          defaultGroupPerm: SUB
          topicPerms:
          - topicA=DENY
          - topicB=PUB|SUB
          - topicC=SUB
          groupPerms:
          # the group should convert to retry topic
          - groupA=DENY
          - groupB=PUB|SUB
          - groupC=SUB

        - accessKey: rocketmq2
          secretKey: "1234#678"   # a comment
          whiteRemoteAddress: 192.168.1.*
          # if it is admin, it could access all resources
          admin: true
        """

    private func allows(_ account: AccessAccount, _ needed: AccessPermissions, _ topic: String) -> Bool {
        account.allows(needed, topic: Array(topic.utf8).span.bytes)
    }

    private func consumes(_ account: AccessAccount, _ group: String) -> Bool {
        account.allowsSubscription(group: Array(group.utf8).span.bytes)
    }

    @Test("RocketMQ's own example is understood")
    func ownExample() throws {
        let rules = try PlainAccessFile.parse(Self.example)
        #expect(rules.trustedAddresses == AddressPattern.list("10.10.103.*,192.168.0.*"))
        try #require(rules.accounts.count == 2)
        let first = rules.accounts[0]
        #expect(first.accessKey == "RocketMQ")
        #expect(first.secretKey == "12345678")
        #expect(!first.isAdministrator)
        #expect(first.trustedAddresses.isEmpty)
        #expect(!allows(first, .subscribe, "topicA"))
        #expect(allows(first, .both, "topicB"))
        #expect(allows(first, .subscribe, "topicC"))
        #expect(!allows(first, .publish, "topicC"))
        #expect(!allows(first, .subscribe, "another"))
        #expect(!consumes(first, "groupA"))
        #expect(consumes(first, "another"))
        let second = rules.accounts[1]
        #expect(second.isAdministrator)
        #expect(second.secretKey == "1234#678")
        #expect(second.trusts(HostAddress(ipv4: 0xC0A8_0109, port: 1)))
        #expect(allows(second, .both, "anything"))
    }

    @Test(
        "other spellings of the same are understood",
        arguments: [
            "accounts:\n  - accessKey: tester\n    secretKey: geheim\n    topicPerms: [A=PUB, 'B=SUB']",
            "---\naccounts:\n-\n  accessKey: tester\n  secretKey: 'geheim'\n  topicPerms:\n    - A=PUB\n    - \"B=SUB\"\n",
            "accounts:\r\n- accessKey: tester\r\n  secretKey: geheim\r\n  topicPerms:\r\n  - A = PUB\r\n  - B = SUB\r\n",
            "dataVersion:\n- counter: 1\n  timestamp: 2\naccounts:\n- secretKey: geheim\n  accessKey: tester\n  topicPerms:\n  - A=PUB\n  - B=SUB",
        ])
    func spellings(text: String) throws {
        let rules = try PlainAccessFile.parse(text)
        try #require(rules.accounts.count == 1)
        #expect(rules.accounts[0].accessKey == "tester")
        #expect(rules.accounts[0].secretKey == "geheim")
        #expect(allows(rules.accounts[0], .publish, "A") && allows(rules.accounts[0], .subscribe, "B"))
        #expect(!allows(rules.accounts[0], .subscribe, "A"))
    }

    @Test("an empty file has no accounts", arguments: ["", "# nothing\n", "accounts:\n", "accounts: []\n"])
    func empty(text: String) throws {
        #expect(try PlainAccessFile.parse(text).accounts.isEmpty)
    }

    @Test(
        "what is wrong is named with its line and key, and never with the secret",
        arguments: [
            ("accounts:\n- accessKey: tester\n", 2, "secretKey"),
            ("accounts:\n- accessKey: tester\n  secretKey: kurz1\n", 3, "secretKey"),
            ("account:\n- accessKey: tester\n", 1, "account"),
            ("accounts:\n- accessKey: tester\n  secretKey: geheim\n  admni: true\n", 4, "admni"),
            ("accounts:\n- accessKey: tester\n  secretKey: geheim\n  admin: yes\n", 4, "admin"),
            ("accounts:\n- accessKey: tester\n  secretKey: geheim\n  defaultTopicPerm: ALL\n", 4, "defaultTopicPerm"),
            ("accounts:\n- accessKey: tester\n  secretKey: geheim\n  topicPerms:\n  - A\n", 5, "topicPerms"),
            (
                "accounts:\n- accessKey: tester\n  secretKey: geheim\n  topicPerms:\n  - A=PUB\n  - A=SUB\n", 6,
                "topicPerms"
            ),
            (
                "accounts:\n- accessKey: tester\n  secretKey: geheim\n  whiteRemoteAddress: 1.2.3\n", 4,
                "whiteRemoteAddress"
            ),
            (
                "accounts:\n- accessKey: tester\n  secretKey: geheim\n- accessKey: tester\n  secretKey: geheim\n", 4,
                "accessKey"
            ),
            ("accounts:\n- accessKey: tester\n  secretKey: geheim\n  secretKey: geheim\n", 4, "secretKey"),
            ("accounts: tester\n", 1, "accounts"), ("- a\n- b\n", 1, "the file"),
            ("accounts:\n- accessKey: tester\n\tsecretKey: geheim\n", 3, "tab"),
            ("accounts:\n- accessKey: tester\n  secretKey: \"geheim\n", 3, "quote"),
            ("accounts:\n- accessKey: tester\n  secretKey: geheim\n   admin: true\n", 4, "indentation"),
            ("accounts: &a\n", 1, "quotes"), ("globalWhiteRemoteAddresses:\n- {1.2.3.4}\n", 2, "quotes"),
        ])
    func wrong(text: String, line: Int, word: String) {
        let error = #expect(throws: BlockTextError.self) { try PlainAccessFile.parse(text) }
        #expect(error?.line == line, "\(String(describing: error))")
        #expect(error?.description.contains(word) == true, "\(String(describing: error))")
        #expect(error?.description.contains("geheim") != true)
        #expect(error?.description.contains("kurz1") != true)
    }

    @Test("no text makes the reader trap")
    func anyText() {
        let random = SeededRandom(seed: 7)
        let letters = Array("ab:- \n\n[],'\"#=|.*\t{}é\r")
        var accepted = 0
        for _ in 0..<5_000 {
            let text = String((0..<random.next(below: 60)).map { _ in letters[random.next(below: letters.count)] })
            if (try? BlockText(text)) != nil { accepted += 1 }
        }
        #expect(accepted > 0)
        let deep = (0..<50).map { String(repeating: "  ", count: $0) + "a:" }.joined(separator: "\n")
        #expect(throws: BlockTextError.self) { try BlockText(deep) }
        #expect(throws: BlockTextError.self) { try BlockText(String(repeating: "- ", count: 50) + "a") }
    }
}
