import Glibc

/// Numbers in the text of properties, read as Java's `Long.valueOf` and `Double.valueOf` read them, without allocating.
enum SelectorNumber {
    /// The integer that the bytes spell, with an optional sign; nil when they spell none or it needs more than 64 bits.
    @inline(__always)
    static func integer(_ bytes: UnsafeRawBufferPointer) -> Int64? {
        var index = 0
        var isNegative = false
        if let first = bytes.first, first == UInt8(ascii: "-") || first == UInt8(ascii: "+") {
            isNegative = first == UInt8(ascii: "-")
            index = 1
        }
        guard index < bytes.count else { return nil }
        var value: Int64 = 0
        while index < bytes.count {
            let digit = bytes[index] &- UInt8(ascii: "0")
            guard digit < 10 else { return nil }
            let (product, overflows) = value.multipliedReportingOverflow(by: 10)
            // Counted downwards, for the smallest integer has no positive counterpart.
            let (difference, underflows) = product.subtractingReportingOverflow(Int64(digit))
            guard !overflows, !underflows else { return nil }
            value = difference
            index += 1
        }
        if isNegative { return value }
        return value == .min ? nil : -value
    }

    static func decimal(_ bytes: ArraySlice<UInt8>) -> Double? { bytes.withUnsafeBytes { decimal($0) } }

    /// The double that the bytes spell; nil when they spell none. Blanks around it and a final d or f are allowed, as are
    /// `NaN` and `Infinity`; hexadecimal notation is not.
    static func decimal(_ bytes: UnsafeRawBufferPointer) -> Double? {
        var start = 0
        var end = bytes.count
        while start < end, bytes[start] <= UInt8(ascii: " ") { start += 1 }
        while end > start, bytes[end - 1] <= UInt8(ascii: " ") { end -= 1 }
        return decimal(trimmed: UnsafeRawBufferPointer(rebasing: bytes[start..<end]))
    }

    /// Powers of ten that a double holds exactly.
    private static let powers: [Double] = [
        1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19,
        1e20, 1e21, 1e22,
    ]

    private static func decimal(trimmed bytes: UnsafeRawBufferPointer) -> Double? {
        var index = 0
        var isNegative = false
        if let first = bytes.first, first == UInt8(ascii: "-") || first == UInt8(ascii: "+") {
            isNegative = first == UInt8(ascii: "-")
            index = 1
        }
        if let value = word(UnsafeRawBufferPointer(rebasing: bytes[index...])) { return isNegative ? -value : value }
        var digits = 0
        var significand: UInt64 = 0
        /// Digits that the significand holds; 19 fit.
        var held = 0
        var exponent = 0
        var isAfterPoint = false
        while index < bytes.count {
            let byte = bytes[index]
            if byte == UInt8(ascii: "."), !isAfterPoint {
                isAfterPoint = true
            } else if byte >= UInt8(ascii: "0"), byte <= UInt8(ascii: "9") {
                digits += 1
                if held > 0 || byte != UInt8(ascii: "0") { held += 1 }
                if held <= 19 { significand = significand &* 10 &+ UInt64(byte - UInt8(ascii: "0")) }
                if isAfterPoint { exponent -= 1 }
            } else {
                break
            }
            index += 1
        }
        guard digits > 0 else { return nil }
        let numberEnd: Int
        if index < bytes.count, bytes[index] | 0x20 == UInt8(ascii: "e") {
            guard let (value, end) = scanExponent(bytes, from: index + 1) else { return nil }
            exponent += value
            index = end
        }
        numberEnd = index
        if index < bytes.count, isSuffix(bytes[index]) { index += 1 }
        guard index == bytes.count else { return nil }
        if significand == 0, held == 0 { return isNegative ? -0.0 : 0 }
        // Both factors are exact, so the product or quotient is rounded once: as it should be.
        if held <= 19, significand <= 1 << 53, abs(exponent) <= 22 {
            let value =
                exponent < 0 ? Double(significand) / powers[-exponent] : Double(significand) * powers[exponent]
            return isNegative ? -value : value
        }
        return slow(UnsafeRawBufferPointer(rebasing: bytes[..<numberEnd]))
    }

    private static func word(_ bytes: UnsafeRawBufferPointer) -> Double? {
        if bytes.elementsEqual("NaN".utf8) { return .nan }
        if bytes.elementsEqual("Infinity".utf8) { return .infinity }
        return nil
    }

    private static func isSuffix(_ byte: UInt8) -> Bool {
        byte | 0x20 == UInt8(ascii: "d") || byte | 0x20 == UInt8(ascii: "f")
    }

    /// The signed digits of an exponent, and where they end. What is beyond any double stays beyond.
    private static func scanExponent(_ bytes: UnsafeRawBufferPointer, from start: Int) -> (value: Int, end: Int)? {
        var index = start
        var isNegative = false
        if index < bytes.count, bytes[index] == UInt8(ascii: "-") || bytes[index] == UInt8(ascii: "+") {
            isNegative = bytes[index] == UInt8(ascii: "-")
            index += 1
        }
        let firstDigit = index
        var value = 0
        while index < bytes.count, bytes[index] >= UInt8(ascii: "0"), bytes[index] <= UInt8(ascii: "9") {
            value = min(value * 10 + Int(bytes[index] - UInt8(ascii: "0")), 1_000_000)
            index += 1
        }
        guard index > firstDigit else { return nil }
        return (isNegative ? -value : value, index)
    }

    /// What the quick way cannot round. The bytes are known to be a number in the notation that C and Java share, and the
    /// process stays in the C locale.
    @inline(never)
    private static func slow(_ bytes: UnsafeRawBufferPointer) -> Double {
        withUnsafeTemporaryAllocation(byteCount: bytes.count + 1, alignment: 1) { text in
            text.copyMemory(from: bytes)
            text[bytes.count] = 0
            guard let start = text.baseAddress else { return 0 }
            return strtod(start.assumingMemoryBound(to: CChar.self), nil)
        }
    }
}
