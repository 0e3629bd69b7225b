import Base
import Glibc

/// The address that clients are told for a broker, and whether they can be expected to reach it. A wrong one is the mistake
/// that stops most beginners: the name server answers, and then nobody answers at the address it gave.
public struct AdvertisedAddress: Equatable, Sendable {
    /// As clients get it: an address in digits or a name. One of IPv6 stands in brackets, as brokers of RocketMQ 5 tell it.
    public var host: String
    /// The same in digits, for message ids.
    public var address: HostAddress
    /// What may go wrong with it, and what to do; nil when nothing is known to.
    public var warning: String?

    /// Chooses the address.
    /// - Parameters:
    ///   - configured: `brokerIP1`; empty when it is not set.
    ///   - bound: what the listener is bound to.
    ///   - candidates: the machine's own addresses.
    public static func choose(configured: String, bound: String, port: Int, candidates: [String]) throws(ServerError)
        -> Self
    {
        let port = Int32(port)
        if !configured.isEmpty {
            if let address = ipv6(configured, port: port) { return told(address, bound: bound) }
            guard let address = HostAddress(ipv4: configured, port: port) ?? resolve(configured, port: port) else {
                throw ServerError(
                    "brokerIP1=\(configured) is no address and no name that resolves; give an address that clients can reach"
                )
            }
            return AdvertisedAddress(host: configured, address: address, warning: warning(address, bound))
        }
        if let address = ipv6(bound, port: port), address.high | address.low != 0 {
            return told(address, bound: bound)
        }
        if isLoopback(bound) {
            return AdvertisedAddress(host: "127.0.0.1", address: .loopback(port: port), warning: nil)
        }
        if let bound = HostAddress(ipv4: bound, port: port), bound.ipv4 != 0 {
            return AdvertisedAddress(host: bound.address, address: bound, warning: nil)
        }
        for candidate in candidates {
            guard let address = HostAddress(ipv4: candidate, port: port) else { continue }
            return AdvertisedAddress(host: candidate, address: address, warning: containerWarning(candidate))
        }
        return AdvertisedAddress(
            host: "127.0.0.1", address: .loopback(port: port), warning: warning(.loopback(port: port), bound))
    }

    private static func told(_ address: HostAddress, bound: String) -> Self {
        AdvertisedAddress(host: "[\(address.address)]", address: address, warning: warning(address, bound))
    }

    /// The address of IPv6 that `text` spells, in brackets or without.
    private static func ipv6(_ text: String, port: Int32) -> HostAddress? {
        let isBracketed = text.hasPrefix("[") && text.hasSuffix("]")
        var bytes = in6_addr()
        guard inet_pton(AF_INET6, isBracketed ? String(text.dropFirst().dropLast()) : text, &bytes) == 1 else {
            return nil
        }
        return withUnsafeBytes(of: bytes) { bytes in
            HostAddress(
                ipv6High: UInt64(bigEndian: bytes.loadUnaligned(as: UInt64.self)),
                low: UInt64(bigEndian: bytes.loadUnaligned(fromByteOffset: 8, as: UInt64.self)), port: port)
        }
    }

    private static func warning(_ address: HostAddress, _ bound: String) -> String? {
        guard isLoopback(address.address), !isLoopback(bound) else { return nil }
        return "clients on other machines will be sent to \(address.address), which is themselves; "
            + "set brokerIP1 (--broker-ip) to an address of this machine that they can reach"
    }

    private static func containerWarning(_ address: String) -> String? {
        guard access("/.dockerenv", F_OK) == 0 else { return nil }
        return "this runs in a container: clients outside of it will be sent to \(address), which they may not reach; "
            + "set brokerIP1 (--broker-ip) to the address of the host"
    }

    static func isLoopback(_ host: String) -> Bool {
        host.hasPrefix("127.") || host == "localhost" || host == "::1" || host == "0:0:0:0:0:0:0:1"
    }

    /// The IPv4 addresses of this machine's interfaces that are up, without loopback.
    public static func ownAddresses() -> [String] {
        var first: UnsafeMutablePointer<ifaddrs>?
        guard getifaddrs(&first) == 0 else { return [] }
        defer { freeifaddrs(first) }
        var result: [String] = []
        var next = first
        while let interface = next {
            next = interface.pointee.ifa_next
            let flags = Int32(bitPattern: interface.pointee.ifa_flags)
            guard let address = interface.pointee.ifa_addr, address.pointee.sa_family == AF_INET,
                flags & Int32(IFF_UP) != 0, flags & Int32(IFF_LOOPBACK) == 0
            else { continue }
            // SAFETY: the family says that this is a sockaddr_in, and it lives until freeifaddrs.
            let ipv4 = address.withMemoryRebound(to: sockaddr_in.self, capacity: 1) { $0.pointee.sin_addr.s_addr }
            result.append(HostAddress(ipv4: UInt32(bigEndian: ipv4), port: 0).address)
        }
        return result
    }

    /// The first IPv4 address of a name. Waits for the resolver.
    private static func resolve(_ name: String, port: Int32) -> HostAddress? {
        var hints = addrinfo()
        hints.ai_family = AF_INET
        var found: UnsafeMutablePointer<addrinfo>?
        guard getaddrinfo(name, nil, &hints, &found) == 0, let found, let address = found.pointee.ai_addr else {
            return nil
        }
        defer { freeaddrinfo(found) }
        // SAFETY: the hints ask for AF_INET, so this is a sockaddr_in, and it lives until freeaddrinfo.
        let ipv4 = address.withMemoryRebound(to: sockaddr_in.self, capacity: 1) { $0.pointee.sin_addr.s_addr }
        return HostAddress(ipv4: UInt32(bigEndian: ipv4), port: port)
    }
}

/// Why a process could not start, in words for its operator: what was wrong and what to do.
public struct ServerError: Error, Equatable, Sendable, CustomStringConvertible {
    public var description: String
    public init(_ description: String) { self.description = description }
}
