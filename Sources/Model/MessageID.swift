import Base
import Bytes

/// The message id that a broker gives (`offsetMsgId`): store address, port and physical offset in upper-case hexadecimal,
/// 32 digits for IPv4 and 56 for IPv6 (reference §1.8). Clients read the broker's address and the offset out of it.
public struct OffsetMessageID: Hashable, Sendable, CustomStringConvertible {
    public var host: HostAddress
    public var offset: PhysicalOffset

    public init(host: HostAddress, offset: PhysicalOffset) {
        self.host = host
        self.offset = offset
    }

    /// The id that `text` spells, or nil.
    public init?(_ text: String) {
        let digits = Array(text.utf8)
        guard digits.count == 32 || digits.count == 56 else { return nil }
        func number(_ range: Range<Int>) -> UInt64? {
            var value: UInt64 = 0
            for digit in digits[range] {
                guard let nibble = Character(UnicodeScalar(digit)).hexDigitValue else { return nil }
                value = value << 4 | UInt64(nibble)
            }
            return value
        }
        let isIPv6 = digits.count == 56
        let portStart = isIPv6 ? 32 : 8
        guard let port = number(portStart..<portStart + 8), let offset = number(portStart + 8..<portStart + 24) else {
            return nil
        }
        if isIPv6 {
            guard let high = number(0..<16), let low = number(16..<32) else { return nil }
            host = HostAddress(ipv6High: high, low: low, port: Int32(truncatingIfNeeded: port))
        } else {
            guard let address = number(0..<8) else { return nil }
            host = HostAddress(ipv4: UInt32(address), port: Int32(truncatingIfNeeded: port))
        }
        self.offset = PhysicalOffset(Int64(bitPattern: offset))
    }

    /// Appends the digits.
    public func append(to buffer: ByteBuffer) {
        if host.isIPv6 {
            Self.append(hexadecimal: host.high, digits: 16, to: buffer)
            Self.append(hexadecimal: host.low, digits: 16, to: buffer)
        } else {
            Self.append(hexadecimal: UInt64(host.ipv4), digits: 8, to: buffer)
        }
        Self.append(hexadecimal: UInt64(UInt32(bitPattern: host.port)), digits: 8, to: buffer)
        Self.append(hexadecimal: UInt64(bitPattern: offset.rawValue), digits: 16, to: buffer)
    }

    private static func append(hexadecimal value: UInt64, digits: Int, to buffer: ByteBuffer) {
        buffer.appendUninitialized(digits) { bytes in
            var rest = value
            var position = digits - 1
            while position >= 0 {
                let nibble = UInt8(truncatingIfNeeded: rest & 0xF)
                bytes[position] = nibble < 10 ? UInt8(ascii: "0") + nibble : UInt8(ascii: "A") + nibble - 10
                rest >>= 4
                position -= 1
            }
            return digits
        }
    }

    public var description: String {
        let buffer = ByteBuffer(capacity: 56)
        append(to: buffer)
        return buffer.bytes.string()
    }
}
