import Base
import Bytes

/// A key of a message, hashed by ``IndexKey``, with what its entry says.
struct HashedKey {
    var hash: Int32
    var physicalOffset: PhysicalOffset
    var storeTimestamp: Timestamp
}

/// The hash under which the index keeps a key of a topic: Java's hash of `topic#key` without its sign
/// (RocketMQ's `IndexService.buildKey` and `IndexFile.indexKeyHashMethod`).
enum IndexKey {
    static func hash(topic: RawSpan, key: RawSpan) -> Int32 {
        var hash: Int32 = 0
        extend(&hash, with: topic)
        hash = hash &* 31 &+ Int32(UInt8(ascii: "#"))
        extend(&hash, with: key)
        // abs(Int32.min) stays negative in Java, and RocketMQ makes a negative one 0.
        return hash == .min ? 0 : abs(hash)
    }

    /// Continues Java's hash with the text whose UTF-8 is `span`.
    private static func extend(_ hash: inout Int32, with span: RawSpan) {
        let start = hash
        var position = 0
        // Eight bytes at a time: the products do not wait for each other, which one multiplication per byte would.
        while position + 8 <= span.byteCount {
            let word = span.bigEndian(at: position, as: UInt64.self)
            guard word & 0x8080_8080_8080_8080 == 0 else { return extend(&hash, from: start, withText: span) }
            @inline(__always) func byte(_ shift: UInt64) -> Int32 { Int32(truncatingIfNeeded: (word >> shift) & 0xFF) }
            let upper = byte(56) &* p7 &+ byte(48) &* p6 &+ byte(40) &* p5 &+ byte(32) &* p4
            let lower = byte(24) &* p3 &+ byte(16) &* p2 &+ byte(8) &* 31 &+ byte(0)
            hash = hash &* p8 &+ upper &+ lower
            position += 8
        }
        while position < span.byteCount {
            let byte = span.byte(at: position)
            guard byte < 0x80 else { return extend(&hash, from: start, withText: span) }
            hash = hash &* 31 &+ Int32(byte)
            position += 1
        }
    }

    /// The slow way, for text beyond ASCII: Java counts UTF-16 units.
    private static func extend(_ hash: inout Int32, from start: Int32, withText span: RawSpan) {
        hash = span.string().utf16.reduce(start) { $0 &* 31 &+ Int32($1) }
    }

    // Powers of 31 with 32-bit wrap-around.
    @inline(__always) private static var p2: Int32 { 961 }
    @inline(__always) private static var p3: Int32 { 29_791 }
    @inline(__always) private static var p4: Int32 { 923_521 }
    @inline(__always) private static var p5: Int32 { 28_629_151 }
    @inline(__always) private static var p6: Int32 { 887_503_681 }
    @inline(__always) private static var p7: Int32 { 1_742_810_335 }
    @inline(__always) private static var p8: Int32 { -1_807_454_463 }
}
