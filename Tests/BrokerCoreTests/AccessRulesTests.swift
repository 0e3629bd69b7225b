import Base
import BrokerCore
import Bytes
import Testing

@Suite("Access rules")
struct AccessRulesTests {
    private func address(_ text: String) throws -> HostAddress {
        if text.contains(":") { return HostAddress(ipv6High: 0xFD00_0000_0000_0001, low: 7, port: 1) }
        return try #require(HostAddress(ipv4: text, port: 1))
    }

    @Test(
        "an address pattern matches the addresses that it spells",
        arguments: [
            ("*", "192.0.2.7", true), ("192.0.2.7", "192.0.2.7", true), ("192.0.2.7", "192.0.2.8", false),
            ("192.0.2.*", "192.0.2.255", true), ("192.0.2.*", "192.0.3.1", false), ("192.0.*.*", "192.0.9.1", true),
            ("192.0.2.5-9", "192.0.2.5", true), ("192.0.2.5-9", "192.0.2.9", true),
            ("192.0.2.5-9", "192.0.2.10", false),
            ("192.0.1-2.*", "192.0.2.77", true), ("192.0.2.{7,9}", "192.0.2.9", true),
            ("192.0.2.{7,9}", "192.0.2.8", false), ("192.0.2.1,192.0.2.{2,3}", "192.0.2.3", true),
            ("192.0.2.0/24", "192.0.2.200", true), ("192.0.2.128/25", "192.0.2.1", false),
            ("0.0.0.0/0", "1.2.3.4", true),
            ("fd00:0:0:1::7", "fd00:0:0:1::7", true), ("fd00::/8", "fd00:0:0:1::7", true), ("::/0", "fd00::", true),
            ("fe80::/10", "fd00:0:0:1::7", false), ("fd00:0:0:1::/64", "fd00:0:0:1::7", true),
            ("::1", "192.0.2.1", false),
            ("192.0.2.*", "fd00:0:0:1::7", false), ("", "192.0.2.1", false),
        ])
    func matching(pattern: String, text: String, expected: Bool) throws {
        let patterns = try #require(AddressPattern.list(pattern))
        let address = try address(text)
        #expect(patterns.contains { $0.matches(address) } == expected)
    }

    @Test(
        "what is no pattern is refused",
        arguments: [
            "192.0.2", "192.0.2.256", "192.0.2.9-5", "192.0.2.{}", "192.0.2.{1,x}", "192.0.{1,2}.3", "a.b.c.d",
            "192.0.2.1/33",
            "fd00::1::2", "fd00:1", "12345::", "::/129", "192.0.2.-1", "192.0.2.+1", "1.2.3.4.5", "{1,2}",
        ])
    func refused(pattern: String) { #expect(AddressPattern.list(pattern) == nil) }

    @Test("rows count before defaults, and an administrator without rows may do everything")
    func permissions() {
        func span<R>(_ text: String, _ body: (RawSpan) -> R) -> R { body(Array(text.utf8).span.bytes) }
        var account = AccessAccount(accessKey: "tester1", secretKey: "geheim1")
        account.topicDefault = .subscribe
        account.setTopic("Orders", .publish)
        account.setTopic("Secret", .none)
        account.setGroup("billing", .subscribe)
        #expect(span("Orders") { account.allows(.publish, topic: $0) })
        #expect(!span("Orders") { account.allows(.subscribe, topic: $0) })
        #expect(span("Other") { account.allows(.subscribe, topic: $0) })
        #expect(!span("Other") { account.allows(.publish, topic: $0) })
        #expect(!span("Secret") { account.allows(.subscribe, topic: $0) })
        #expect(span("billing") { account.allowsSubscription(group: $0) })
        #expect(!span("others") { account.allowsSubscription(group: $0) })
        account.isAdministrator = true
        #expect(!span("Secret") { account.allows(.subscribe, topic: $0) })
        var administrator = AccessAccount(accessKey: "tester2", secretKey: "geheim2")
        #expect(!span("Any") { administrator.allows(.publish, topic: $0) })
        administrator.isAdministrator = true
        #expect(span("Any") { administrator.allows(.publish, topic: $0) })
        #expect(span("any") { administrator.allowsSubscription(group: $0) })
        #expect(!"\(account)".contains("geheim"))
    }
}
