import Base
import Testing

@testable import Server

@Suite("the address that clients are told")
struct AdvertisedAddressTests {
    @Test(
        "comes from brokerIP1, else from what the listener is bound to, else from the machine; IPv6 in brackets",
        arguments: [
            ("192.0.2.1", "0.0.0.0", "192.0.2.1"), ("", "127.0.0.1", "127.0.0.1"), ("", "192.0.2.2", "192.0.2.2"),
            ("", "0.0.0.0", "192.0.2.9"), ("", "::", "192.0.2.9"), ("", "::1", "[0:0:0:0:0:0:0:1]"),
            ("", "2001:db8::7", "[2001:db8:0:0:0:0:0:7]"), ("2001:db8::7", "::", "[2001:db8:0:0:0:0:0:7]"),
            ("[2001:db8::7]", "0.0.0.0", "[2001:db8:0:0:0:0:0:7]"), ("localhost", "127.0.0.1", "localhost"),
        ])
    func choice(configured: String, bound: String, told: String) throws {
        let address = try AdvertisedAddress.choose(
            configured: configured, bound: bound, port: 10_911, candidates: ["fe80::1", "192.0.2.9"])
        #expect(address.host == told)
        #expect(address.address.port == 10_911)
        #expect(address.address.isIPv6 == told.hasPrefix("["))
    }

    @Test("one that nobody else can reach is warned of", arguments: ["::1", "127.0.0.1"])
    func warnings(configured: String) throws {
        #expect(
            try AdvertisedAddress.choose(configured: configured, bound: "0.0.0.0", port: 1, candidates: []).warning
                != nil)
        #expect(
            try AdvertisedAddress.choose(configured: configured, bound: configured, port: 1, candidates: []).warning
                == nil)
    }

    @Test("what is no address is refused", arguments: ["2001:db8::x", "[::1", "::1]", "no-such-host.invalid"])
    func wrong(configured: String) {
        #expect(throws: ServerError.self) {
            try AdvertisedAddress.choose(configured: configured, bound: "0.0.0.0", port: 1, candidates: [])
        }
    }
}
