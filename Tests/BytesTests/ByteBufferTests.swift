import Bytes
import Testing

@Suite("Byte buffer")
struct ByteBufferTests {
    @Test("what is appended is read back in order, across growth and consumption")
    func roundTrip() {
        let buffer = ByteBuffer()
        for round in 0..<1000 {
            buffer.append(bigEndian: Int32(round))
            buffer.append(utf8: "x")
            if round % 3 == 2 { buffer.consume(5) }
        }
        let first = 333
        #expect(buffer.bytes.bigEndian(at: 0, as: Int32.self) == Int32(first))
        #expect(buffer.count == (1000 - first) * 5)
        #expect(buffer.bytes.byte(at: 4) == UInt8(ascii: "x"))
    }

    @Test("decimals", arguments: [0, 7, 10, 99, 100, -1, -10, Int64.max, Int64.min])
    func decimals(value: Int64) {
        let buffer = ByteBuffer()
        buffer.append(decimal: value)
        #expect(buffer.bytes.string() == String(value))
        #expect(buffer.bytes.decimal() == value)
    }

    @Test(
        "text that is no decimal of 64 bits is refused",
        arguments: ["", "-", "+", "1x", "9223372036854775808", "-9223372036854775809", "99999999999999999999", " 1"])
    func notDecimal(text: String) {
        #expect(Array(text.utf8).span.bytes.decimal() == nil)
    }

    @Test("a patched length is read back")
    func patch() {
        let buffer = ByteBuffer()
        buffer.append(bigEndian: UInt8(1))
        buffer.append(bigEndian: UInt32(0))
        buffer.patch(bigEndian: UInt32(0xDEAD_BEEF), at: 1)
        #expect(buffer.bytes.bigEndian(at: 1, as: UInt32.self) == 0xDEAD_BEEF)
    }

    @Test(
        "Java's hash of strings",
        arguments: [
            ("TagA", 2_598_919), ("TagB", 2_598_920), ("", 0), ("AaAa", 2_031_744), ("BBBB", 2_031_744), ("é", 233),
            ("😀", 1_772_899),
        ])
    func hash(text: String, expected: Int32) {
        #expect(javaHash(text) == expected)
        #expect(javaHash(utf8: Array(text.utf8).span.bytes) == expected)
    }

    @Test("CRC-32 of the check string, whole and in two parts")
    func checksum() {
        let text = Array("123456789".utf8)
        #expect(crc32(text.span.bytes) == 0xCBF4_3926)
        #expect(crc32(text.span.bytes.extracting(4..<9), seed: crc32(text.span.bytes.extracting(0..<4))) == 0xCBF4_3926)
    }
}
