import Base
import CLibuv
import Glibc

/// An address as the kernel takes it, for either family.
struct SocketAddress {
    var storage = sockaddr_storage()

    /// The address that `host` spells in digits; nil when it is a name.
    init?(numeric host: String, port: UInt16) {
        let isIPv4 = withUnsafeMutablePointer(to: &storage) { storage in
            // SAFETY: sockaddr_storage is made to hold every kind of address.
            storage.withMemoryRebound(to: sockaddr_in.self, capacity: 1) { uv_ip4_addr(host, Int32(port), $0) } == 0
        }
        guard !isIPv4 else { return }
        let isIPv6 = withUnsafeMutablePointer(to: &storage) { storage in
            // SAFETY: as above.
            storage.withMemoryRebound(to: sockaddr_in6.self, capacity: 1) { uv_ip6_addr(host, Int32(port), $0) } == 0
        }
        guard isIPv6 else { return nil }
    }

    init() {}

    /// A copy of what `getaddrinfo` found.
    init?(_ found: addrinfo) {
        guard let address = found.ai_addr, found.ai_addrlen <= MemoryLayout<sockaddr_storage>.size else { return nil }
        withUnsafeMutableBytes(of: &storage) { bytes in
            bytes.copyMemory(from: UnsafeRawBufferPointer(start: address, count: Int(found.ai_addrlen)))
        }
    }

    /// The other end of a connected socket; nil when it is connected no more.
    init?(peerOf descriptor: Int32) {
        var size = socklen_t(MemoryLayout<sockaddr_storage>.size)
        guard withPointer({ getpeername(descriptor, $0, &size) }) == 0 else { return nil }
    }

    var family: Int32 { Int32(storage.ss_family) }

    var size: socklen_t {
        socklen_t(family == AF_INET6 ? MemoryLayout<sockaddr_in6>.size : MemoryLayout<sockaddr_in>.size)
    }

    /// Calls `body` with the address as the kernel wants to see it.
    mutating func withPointer<R>(_ body: (UnsafeMutablePointer<sockaddr>) -> R) -> R {
        withUnsafeMutablePointer(to: &storage) { storage in
            // SAFETY: every address starts with the fields of sockaddr; C code casts in the same way.
            storage.withMemoryRebound(to: sockaddr.self, capacity: 1, body)
        }
    }

    /// The address as the rest of the program knows it. IPv4 addresses that arrive wrapped in IPv6 (`::ffff:1.2.3.4`, on
    /// sockets that serve both) are unwrapped.
    var hostAddress: HostAddress {
        var copy = storage
        return withUnsafeBytes(of: &copy) { bytes in
            let port = Int32(UInt16(bigEndian: bytes.loadUnaligned(fromByteOffset: 2, as: UInt16.self)))
            guard family == AF_INET6 else {
                return HostAddress(
                    ipv4: UInt32(bigEndian: bytes.loadUnaligned(fromByteOffset: 4, as: UInt32.self)), port: port)
            }
            let high = UInt64(bigEndian: bytes.loadUnaligned(fromByteOffset: 8, as: UInt64.self))
            let low = UInt64(bigEndian: bytes.loadUnaligned(fromByteOffset: 16, as: UInt64.self))
            if high == 0, low >> 32 == 0xFFFF {
                return HostAddress(ipv4: UInt32(truncatingIfNeeded: low), port: port)
            }
            return HostAddress(ipv6High: high, low: low, port: port)
        }
    }
}

typealias NameQuestion = (UnsafePointer<uv_tcp_t>?, UnsafeMutablePointer<sockaddr>?, UnsafeMutablePointer<Int32>?) ->
    Int32

/// One end of a connected socket; nil when it is connected no more.
func address(of socket: UnsafeMutablePointer<uv_tcp_t>, _ question: NameQuestion) -> HostAddress? {
    var address = SocketAddress()
    var size = Int32(MemoryLayout<sockaddr_storage>.size)
    return address.withPointer { question(socket, $0, &size) } == 0 ? address.hostAddress : nil
}
