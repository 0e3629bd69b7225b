/// An IP address and a port as records carry them: 4 or 16 bytes in network order, then a 32-bit port.
public struct HostAddress: Hashable, Sendable, CustomStringConvertible {
    /// The address in network order; an IPv4 address uses the upper 32 bits of `high`.
    public var high: UInt64
    public var low: UInt64
    public var isIPv6: Bool
    public var port: Int32

    public init(ipv4: UInt32, port: Int32) {
        high = UInt64(ipv4) << 32
        low = 0
        isIPv6 = false
        self.port = port
    }

    public init(ipv6High: UInt64, low: UInt64, port: Int32) {
        high = ipv6High
        self.low = low
        isIPv6 = true
        self.port = port
    }

    /// 127.0.0.1 and a port.
    public static func loopback(port: Int32) -> HostAddress { HostAddress(ipv4: 0x7F00_0001, port: port) }

    /// The address that `text` spells: four decimal numbers joined by dots. Nil for anything else.
    public init?(ipv4 text: String, port: Int32) {
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 4 else { return nil }
        var address: UInt32 = 0
        for part in parts {
            guard let byte = UInt8(part), part.allSatisfy({ $0.isNumber }) else { return nil }
            address = address << 8 | UInt32(byte)
        }
        self.init(ipv4: address, port: port)
    }

    public var ipv4: UInt32 { UInt32(truncatingIfNeeded: high >> 32) }

    /// Bytes in a record: 8 or 20.
    public var encodedSize: Int { isIPv6 ? 20 : 8 }

    /// The address without its port: `127.0.0.1`, or eight groups of hexadecimal digits.
    public var address: String {
        if isIPv6 {
            return [high, low].flatMap { half in
                stride(from: 48, through: 0, by: -16).map { String((half >> UInt64($0)) & 0xFFFF, radix: 16) }
            }.joined(separator: ":")
        }
        return stride(from: 24, through: 0, by: -8).map { String((ipv4 >> UInt32($0)) & 0xFF) }.joined(separator: ".")
    }

    public var description: String { isIPv6 ? "[\(address)]:\(port)" : "\(address):\(port)" }
}
