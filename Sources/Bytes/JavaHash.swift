/// `String.hashCode()` of Java: s[0]·31ⁿ⁻¹ + … + s[n-1] over UTF-16 units with 32-bit wrap-around. RocketMQ stores it for tags
/// and keys, and clients send it in `codeSet`.
/// - Parameter utf8: the text; bytes that are no UTF-8 count as U+FFFD, as Java decodes them.
@inlinable
public func javaHash(utf8: RawSpan) -> Int32 {
    var hash: Int32 = 0
    for index in 0..<utf8.byteCount {
        let byte = utf8.byte(at: index)
        guard byte < 0x80 else { return javaHash(utf8.string()) }
        hash = hash &* 31 &+ Int32(byte)
    }
    return hash
}

/// ``javaHash(utf8:)`` of a string.
@inlinable
public func javaHash(_ text: String) -> Int32 {
    text.utf16.reduce(0) { $0 &* 31 &+ Int32($1) }
}
