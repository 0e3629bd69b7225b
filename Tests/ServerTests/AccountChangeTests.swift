import Base
import BrokerCore
import Glibc
import Model
import RemotingFrontend
import RemotingProtocol
import Testing

@testable import Server

@Suite("accounts changed by request")
struct AccountChangeTests {
    private static let now = Timestamp(milliseconds: 1_700_000_000_000)

    private func file() throws -> PlainAccessFile { try PlainAccessFile(PlainAccessFileTests.example) }

    private func put(
        _ key: String, secret: String? = nil, topics: String? = nil, groups: String? = nil, address: String? = nil,
        topicDefault: String? = nil, isAdministrator: Bool? = nil
    ) -> AccountChange {
        .put(
            UpdateAccessConfigHeader(
                accessKey: key, secretKey: secret, whiteRemoteAddress: address, isAdministrator: isAdministrator,
                defaultTopicPermission: topicDefault, topicPermissions: topics, groupPermissions: groups))
    }

    @Test("what is written is read as what it was")
    func text() throws {
        let file = try file()
        let read = try PlainAccessFile(file.text)
        #expect(read.config == file.config)
        #expect(read.version == file.version)
        #expect(file.config.accounts.map(\.accessKey) == ["RocketMQ", "rocketmq2"])
        #expect(file.config.globalWhiteAddresses == ["10.10.103.*", "192.168.0.*"])
        #expect(try PlainAccessFile(PlainAccessFile("").text).config == AclConfig())
    }

    @Test("a new account has what the request says; the version counts")
    func create() throws {
        var file = try file()
        try file.apply(
            put("orders1", secret: "s3cr'et #:x", topics: "Orders=PUB|SUB, Other = DENY", groups: "billing=SUB"),
            at: Self.now)
        #expect(file.version == DataVersion(timestamp: Self.now, counter: 1))
        let account = try #require(file.rules.accounts.last)
        #expect(account.accessKey == "orders1" && account.secretKey == "s3cr'et #:x" && !account.isAdministrator)
        let (orders, other, billing) = (Array("Orders".utf8), Array("Other".utf8), Array("billing".utf8))
        let mayUseOrders = account.allows(.both, topic: orders.span.bytes)
        let mayReadOther = account.allows(.subscribe, topic: other.span.bytes)
        let mayConsume = account.allowsSubscription(group: billing.span.bytes)
        #expect(mayUseOrders && !mayReadOther && mayConsume)
        try file.apply(.delete(accessKey: "orders1"), at: Self.now)
        #expect(file.version.counter == 2)
        #expect(file.config == (try self.file()).config)
    }

    @Test("an account that is there keeps what the request does not say, its place and its secret too")
    func update() throws {
        var file = try file()
        try file.apply(put("RocketMQ", topicDefault: "PUB"), at: Self.now)
        var expected = try self.file().config
        expected.accounts[0].defaultTopicPermission = "PUB"
        #expect(file.config == expected)
        try file.apply(
            put("RocketMQ", secret: "another-one", topics: "", address: "192.0.2.{1,2}", isAdministrator: true),
            at: Self.now)
        expected.accounts[0].secretKey = "another-one"
        expected.accounts[0].topicPermissions = []
        expected.accounts[0].whiteRemoteAddress = "192.0.2.{1,2}"
        expected.accounts[0].isAdministrator = true
        #expect(file.config == expected)
        try file.apply(put("RocketMQ", address: ""), at: Self.now)
        expected.accounts[0].whiteRemoteAddress = nil
        #expect(file.config == expected)
    }

    @Test("trusted addresses are set as a whole; braces hold commas")
    func trust() throws {
        var file = try file()
        try file.apply(.trust("192.0.2.{1,2}, 198.51.100.*"), at: Self.now)
        #expect(file.config.globalWhiteAddresses == ["192.0.2.{1,2}", "198.51.100.*"])
        #expect(file.rules.trusts(HostAddress(ipv4: 0xC000_0202, port: 1)))
        try file.apply(.trust(""), at: Self.now)
        #expect(file.rules.trustedAddresses.isEmpty)
    }

    static let wrong: [(AccountChange, String)] = {
        func put(
            _ key: String, _ secret: String?, topics: String? = nil, address: String? = nil, topicDefault: String? = nil
        ) -> AccountChange {
            .put(
                UpdateAccessConfigHeader(
                    accessKey: key, secretKey: secret, whiteRemoteAddress: address,
                    defaultTopicPermission: topicDefault, topicPermissions: topics))
        }
        return [
            (put("six666", "geheimnis"), "length should longer than 6"),
            (put("seven77", "geheim"), "length should longer than 6"), (put("seven77", nil), "cannot be null"),
            (put("RocketMQ", "geheim"), "length should longer than 6"),
            (put("seven77", "geheimnis", topics: "A"), "Parse Resource format error for A."),
            (put("seven77", "geheimnis", topics: "A=B=C"), "Parse Resource format error for A=B=C."),
            (put("seven77", "geheimnis", topics: "A=ALL"), "Parse resource permission error for A=ALL."),
            (put("seven77", "geheimnis", topics: "A=PUB,A=SUB"), "twice"),
            (put("seven77", "geheimnis", topicDefault: "ALL"), "defaultTopicPerm"),
            (put("seven77", "geheimnis", address: "1.2.3"), "whiteRemoteAddress"),
            (put("seven77", "geheimnis\n- accessKey: intruder"), "quote"),
            (put("seven77", "geheimnis\"'"), "quotes"), (put("seven77\nadmin: true", "geheimnis"), "quote"),
            (
                .delete(accessKey: "nobody"),
                "The accesskey[nobody] corresponding to accessConfig has been deleted failed."
            ),
            (.trust("1.2.3"), "globalWhiteRemoteAddresses"), (.trust("1.2.3.4\n- '*'"), "quote"),
        ]
    }()

    @Test("what is wrong changes nothing, is named, and shows no secret", arguments: wrong)
    func refusals(change: AccountChange, words: String) throws {
        var file = try file()
        let failure = #expect(throws: AccountChangeFailure.self) { try file.apply(change, at: Self.now) }
        #expect(failure?.remark.contains(words) == true, "\(String(describing: failure))")
        #expect(failure?.remark.contains("geheim") != true, "\(String(describing: failure))")
        #expect(file.config == (try self.file()).config)
        #expect(file.version == DataVersion())
    }

    @Test("no text of a request makes another account, or anything but itself")
    func injections() throws {
        let random = SeededRandom(seed: 11)
        let letters = Array("ab'\"#:- ,{}[]=\n\\|*é\r\t")
        func anyText() -> String {
            "x" + String((0..<8).map { _ in letters[random.next(below: letters.count)] })
        }
        var taken = 0
        for _ in 0..<400 {
            var file = try file()
            let (key, secret) = (anyText(), anyText())
            guard (try? file.apply(put(key, secret: secret), at: Self.now)) != nil else { continue }
            taken += 1
            #expect(file.config.accounts.count == 3)
            #expect(file.config.accounts.last?.accessKey == key)
            #expect(file.rules.accounts.last?.secretKey == secret)
        }
        #expect(taken > 20)
    }

    // MARK: - Files

    private func temporaryFolder() throws -> String {
        let template = try #require(strdup("/tmp/apus-accounts-XXXXXX"))
        defer { free(template) }
        return String(cString: try #require(mkdtemp(template)))
    }

    private func read(_ path: String) throws -> String { try Configuration.readText(path) }

    @Test("a file is replaced as a whole: mode kept, nothing left over, a link stays a link")
    func replacing() throws {
        let folder = try temporaryFolder()
        let (path, link) = (folder + "/accounts", folder + "/link")
        #expect(throws: ServerError.self) { try ReplacedFile.write("x", to: path) }
        close(open(path, O_CREAT | O_WRONLY, 0o640))
        chmod(path, 0o640)
        symlink(path, link)
        // Left by a crash.
        close(open(path + ".tmp", O_CREAT | O_WRONLY, 0o666))
        try ReplacedFile.write("one", to: link)
        try ReplacedFile.write("two", to: path)
        #expect(try read(path) == "two" && read(link) == "two")
        var status = stat()
        #expect(lstat(link, &status) == 0 && status.st_mode & S_IFMT == S_IFLNK)
        #expect(stat(path, &status) == 0 && status.st_mode & 0o777 == 0o640)
        #expect(access(path + ".tmp", F_OK) != 0)
    }

    @Test("where the new file cannot be made the old one stays")
    func notReplaced() throws {
        let folder = try temporaryFolder()
        let path = folder + "/accounts"
        close(open(path, O_CREAT | O_WRONLY, 0o600))
        try ReplacedFile.write("old", to: path)
        // A folder of this name cannot be unlinked, and no file can be made in its place.
        mkdir(path + ".tmp", 0o700)
        #expect(throws: ServerError.self) { try ReplacedFile.write("new", to: path) }
        #expect(try read(path) == "old")
    }
}
