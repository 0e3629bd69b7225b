import Base
import Glibc

/// Who this client is to its brokers.
struct ClientIdentity: Sendable {
    /// `address@instanceName`: unique among the members of a group (remoting reference §1.8).
    let clientID: String
    /// The IPv4 address that goes into message ids.
    let address: UInt32

    init(instanceName: String?) {
        address = Self.ownAddress()
        let host = HostAddress(ipv4: address, port: 0).address
        clientID = "\(host)@\(instanceName ?? "\(getpid())#\(Self.nanoseconds())")"
    }

    private static func nanoseconds() -> Int64 {
        var now = timespec()
        clock_gettime(CLOCK_REALTIME, &now)
        return Int64(now.tv_sec) * 1_000_000_000 + Int64(now.tv_nsec)
    }

    /// The first IPv4 address of a running interface that is not the loopback; 127.0.0.1 when there is none.
    private static func ownAddress() -> UInt32 {
        let loopback: UInt32 = 0x7F00_0001
        var list: UnsafeMutablePointer<ifaddrs>?
        guard getifaddrs(&list) == 0 else { return loopback }
        defer { freeifaddrs(list) }
        var next = list
        while let entry = next?.pointee {
            next = entry.ifa_next
            // SAFETY: Linux's sockaddr begins with the family in 2 bytes; an IPv4 one goes on with the port in 2 bytes and the
            // address in 4, in network order. Both reads stay within what getifaddrs returned for the family.
            guard let address = UnsafeRawPointer(entry.ifa_addr),
                address.loadUnaligned(as: UInt16.self) == UInt16(AF_INET)
            else { continue }
            let number = UInt32(bigEndian: address.loadUnaligned(fromByteOffset: 4, as: UInt32.self))
            if number >> 24 != 127, number != 0 { return number }
        }
        return loopback
    }
}
