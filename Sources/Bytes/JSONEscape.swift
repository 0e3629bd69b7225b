/// The escapes of JSON strings, as fastjson reads and writes them.
public enum JSONEscape {
    /// Reads the escape that begins at the first byte, a backslash. A pair of escaped surrogates is one escape.
    ///
    /// An escape is never shorter than the UTF-8 of what it stands for: `\n` 2 to 1, `\x7f` 4 to at most 2, `\u0001` 6
    /// to at most 3, a pair 12 to 4. Decoders that replace escapes in place rely on it.
    /// - Returns: nil when it is none, is cut off, or is half of a surrogate pair.
    @inlinable @inline(__always)
    public static func read(_ bytes: UnsafeBufferPointer<UInt8>) -> (scalar: UnicodeScalar, size: Int)? {
        guard bytes.count >= 2 else { return nil }
        switch bytes[1] {
        case UInt8(ascii: "u"):
            guard let unit = hexadecimal(bytes, at: 2, digits: 4) else { return nil }
            if let scalar = UnicodeScalar(unit) { return (scalar, 6) }
            // What is no scalar is a surrogate; only a high one followed by a low one means something.
            guard unit < 0xDC00, bytes.count >= 12, bytes[6] == UInt8(ascii: "\\"), bytes[7] == UInt8(ascii: "u"),
                let low = hexadecimal(bytes, at: 8, digits: 4), low & 0xFC00 == 0xDC00,
                let scalar = UnicodeScalar(0x10000 + (unit & 0x3FF) << 10 + (low & 0x3FF))
            else { return nil }
            return (scalar, 12)
        case UInt8(ascii: "x"):
            guard let scalar = hexadecimal(bytes, at: 2, digits: 2).flatMap({ UnicodeScalar($0) }) else { return nil }
            return (scalar, 4)
        case UInt8(ascii: "\""): return ("\"", 2)
        case UInt8(ascii: "'"): return ("'", 2)
        case UInt8(ascii: "\\"): return ("\\", 2)
        case UInt8(ascii: "/"): return ("/", 2)
        case UInt8(ascii: "b"): return ("\u{8}", 2)
        case UInt8(ascii: "f"), UInt8(ascii: "F"): return ("\u{C}", 2)
        case UInt8(ascii: "n"): return ("\n", 2)
        case UInt8(ascii: "r"): return ("\r", 2)
        case UInt8(ascii: "t"): return ("\t", 2)
        case UInt8(ascii: "v"): return ("\u{B}", 2)
        case UInt8(ascii: "0")...UInt8(ascii: "7"):
            // fastjson reads a digit as that control character.
            return (UnicodeScalar(bytes[1] - UInt8(ascii: "0")), 2)
        default: return nil
        }
    }

    @inlinable
    static func hexadecimal(_ bytes: UnsafeBufferPointer<UInt8>, at start: Int, digits: Int) -> UInt32? {
        guard bytes.count >= start + digits else { return nil }
        var value: UInt32 = 0
        for index in start..<start + digits {
            let byte = bytes[index]
            switch byte {
            case UInt8(ascii: "0")...UInt8(ascii: "9"): value = value << 4 | UInt32(byte - UInt8(ascii: "0"))
            case UInt8(ascii: "a")...UInt8(ascii: "f"): value = value << 4 | UInt32(byte - UInt8(ascii: "a") + 10)
            case UInt8(ascii: "A")...UInt8(ascii: "F"): value = value << 4 | UInt32(byte - UInt8(ascii: "A") + 10)
            default: return nil
            }
        }
        return value
    }

    /// Writes the UTF-8 of `scalar`, 1 to 4 bytes, and returns how many.
    @inlinable
    public static func put(_ scalar: UnicodeScalar, at destination: UnsafeMutablePointer<UInt8>) -> Int {
        let value = scalar.value
        func tail(_ shift: UInt32) -> UInt8 { UInt8(truncatingIfNeeded: 0x80 | (value >> shift) & 0x3F) }
        if value < 0x80 {
            destination[0] = UInt8(truncatingIfNeeded: value)
            return 1
        }
        if value < 0x800 {
            destination[0] = UInt8(truncatingIfNeeded: 0xC0 | value >> 6)
            destination[1] = tail(0)
            return 2
        }
        if value < 0x10000 {
            destination[0] = UInt8(truncatingIfNeeded: 0xE0 | value >> 12)
            destination[1] = tail(6)
            destination[2] = tail(0)
            return 3
        }
        destination[0] = UInt8(truncatingIfNeeded: 0xF0 | value >> 18)
        destination[1] = tail(12)
        destination[2] = tail(6)
        destination[3] = tail(0)
        return 4
    }
}

extension ByteBuffer {
    /// Appends `text` as the inside of a JSON string, escaped as fastjson does: quotes and backslashes, control
    /// characters up to U+001F and from U+007F to U+009F, and U+2028 and U+2029. Allocates nothing.
    public func append(escapingJSON text: RawSpan) {
        text.withUnsafeBytes { bytes in
            var runStart = 0
            var index = 0
            while index < bytes.count {
                let byte = bytes[index]
                guard Self.mayNeedEscape(byte), let (unit, size) = Self.escaped(bytes, at: index) else {
                    index += 1
                    continue
                }
                append(UnsafeRawBufferPointer(rebasing: bytes[runStart..<index]))
                append(escape: unit)
                index += size
                runStart = index
            }
            append(UnsafeRawBufferPointer(rebasing: bytes[runStart..<bytes.count]))
        }
    }

    @inline(__always)
    private static func mayNeedEscape(_ byte: UInt8) -> Bool {
        byte < 0x20 || byte == 0x22 || byte == 0x5C || byte == 0x7F || byte == 0xC2 || byte == 0xE2
    }

    /// The character that must be escaped at `index`, and its size in UTF-8; nil when there is none.
    private static func escaped(_ bytes: UnsafeRawBufferPointer, at index: Int) -> (unit: UInt16, size: Int)? {
        switch bytes[index] {
        case 0xC2:
            guard index + 1 < bytes.count, (0x80...0x9F).contains(bytes[index + 1]) else { return nil }
            return (UInt16(bytes[index + 1]), 2)
        case 0xE2:
            guard index + 2 < bytes.count, bytes[index + 1] == 0x80, bytes[index + 2] | 1 == 0xA9 else { return nil }
            return (0x2000 | UInt16(bytes[index + 2] - 0x80), 3)
        default:
            return (UInt16(bytes[index]), 1)
        }
    }

    private func append(escape unit: UInt16) {
        append(UInt8(ascii: "\\"))
        switch unit {
        case 0x08: append(UInt8(ascii: "b"))
        case 0x09: append(UInt8(ascii: "t"))
        case 0x0A: append(UInt8(ascii: "n"))
        case 0x0C: append(UInt8(ascii: "f"))
        case 0x0D: append(UInt8(ascii: "r"))
        case 0x22, 0x5C: append(UInt8(truncatingIfNeeded: unit))
        default:
            append(UInt8(ascii: "u"))
            for shift: UInt16 in [12, 8, 4, 0] {
                let nibble = UInt8(truncatingIfNeeded: unit >> shift & 0xF)
                append(nibble < 10 ? UInt8(ascii: "0") + nibble : UInt8(ascii: "A") + nibble - 10)
            }
        }
    }
}
