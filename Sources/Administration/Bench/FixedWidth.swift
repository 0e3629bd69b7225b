/// Numbers as text of a fixed width, written over what stands there.
enum FixedWidth {
    /// Writes the last `width` decimal digits of `value`, with leading zeros.
    @inline(__always)
    static func decimal(_ value: Int64, width: Int, at place: UnsafeMutableRawPointer) {
        var rest = UInt64(bitPattern: value)
        var index = width - 1
        while index >= 0 {
            place.storeBytes(of: 0x30 &+ UInt8(truncatingIfNeeded: rest % 10), toByteOffset: index, as: UInt8.self)
            rest /= 10
            index -= 1
        }
    }

    /// Writes the last `width` hexadecimal digits of `value`, upper case.
    @inline(__always)
    static func hexadecimal(_ value: UInt64, width: Int, at place: UnsafeMutableRawPointer) {
        var rest = value
        var index = width - 1
        while index >= 0 {
            let nibble = UInt8(truncatingIfNeeded: rest & 0xF)
            place.storeBytes(of: nibble &+ (nibble < 10 ? 0x30 : 0x37), toByteOffset: index, as: UInt8.self)
            rest >>= 4
            index -= 1
        }
    }

    /// Decimal digits of a number that is not negative.
    static func digits(_ value: Int32) -> Int {
        var digits = 1
        var rest = value / 10
        while rest > 0 {
            digits += 1
            rest /= 10
        }
        return digits
    }
}
