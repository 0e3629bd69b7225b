/// Big-endian integers out of borrowed bytes: the order of every RocketMQ format.
extension RawSpan {
    /// The integer whose first byte is at `offset`.
    /// - Precondition: it lies within the span. Callers check lengths that came from outside first.
    @inlinable @inline(__always)
    public func bigEndian<T: FixedWidthInteger & BitwiseCopyable>(at offset: Int, as type: T.Type = T.self) -> T {
        precondition(offset >= 0 && offset <= byteCount - MemoryLayout<T>.size, "integer outside the span")
        // SAFETY: the precondition keeps the load inside the span, and any bit pattern is a valid integer.
        return T(bigEndian: unsafeLoadUnaligned(fromUncheckedByteOffset: offset, as: T.self))
    }

    /// The byte at `offset`.
    @inlinable @inline(__always)
    public func byte(at offset: Int) -> UInt8 { bigEndian(at: offset, as: UInt8.self) }

    /// True when both hold the same bytes.
    @inlinable
    public func equals(_ other: RawSpan) -> Bool {
        guard byteCount == other.byteCount else { return false }
        var position = 0
        while position + 8 <= byteCount {
            guard bigEndian(at: position, as: UInt64.self) == other.bigEndian(at: position, as: UInt64.self) else {
                return false
            }
            position += 8
        }
        while position < byteCount {
            guard byte(at: position) == other.byte(at: position) else { return false }
            position += 1
        }
        return true
    }

    /// True when the bytes are the UTF-8 of `text`.
    @inlinable
    public func equals(_ text: StaticString) -> Bool {
        guard byteCount == text.utf8CodeUnitCount else { return false }
        return withUnsafeBytes { bytes in
            for index in 0..<bytes.count where bytes[index] != text.utf8Start[index] { return false }
            return true
        }
    }

    /// True when the first bytes are the UTF-8 of `prefix`.
    @inlinable @inline(__always)
    public func starts(with prefix: StaticString) -> Bool {
        byteCount >= prefix.utf8CodeUnitCount && extracting(0..<prefix.utf8CodeUnitCount).equals(prefix)
    }

    /// The bytes as text; bytes that are no UTF-8 become U+FFFD.
    @inlinable
    public func string() -> String {
        withUnsafeBytes { String(decoding: $0, as: UTF8.self) }
    }

    /// A copy.
    @inlinable
    public func array() -> [UInt8] { withUnsafeBytes { Array($0) } }

    /// The decimal integer that the bytes spell, with an optional sign; nil when they spell none or it needs more than 64 bits.
    @inlinable
    public func decimal() -> Int64? {
        var index = 0
        var negative = false
        if byteCount > 0, byte(at: 0) == UInt8(ascii: "-") || byte(at: 0) == UInt8(ascii: "+") {
            negative = byte(at: 0) == UInt8(ascii: "-")
            index = 1
        }
        guard index < byteCount, byteCount - index <= 19 else { return nil }
        var value: UInt64 = 0
        while index < byteCount {
            let digit = byte(at: index) &- UInt8(ascii: "0")
            guard digit < 10 else { return nil }
            // 19 digits fit an unsigned 64-bit integer, so this cannot overflow.
            value = value &* 10 &+ UInt64(digit)
            index += 1
        }
        if negative {
            return value <= UInt64(Int64.max) + 1 ? Int64(truncatingIfNeeded: 0 &- value) : nil
        }
        return Int64(exactly: value)
    }
}
