import Base
import Bytes
import RemotingProtocol
import Testing

@Suite("Frames")
struct FrameTests {
    @Test("a frame is found wherever it begins, and not before its last byte has come")
    func found() throws {
        let bytes = frame(json: #"{"code":1}"#, body: [1, 2, 3])
        let two = [9, 9] + bytes + bytes
        for length in 0..<bytes.count {
            #expect(try next(Array(bytes[..<length])) == nil)
            let needed = Frame.sizeNeeded(in: Array(bytes[..<length]).span.bytes)
            #expect(needed == (length < 4 ? 4 : bytes.count))
        }
        let first = try #require(try next(two, from: 2))
        #expect(first.range == 2..<2 + bytes.count)
        #expect(Array(two[first.header]) == Array(#"{"code":1}"#.utf8))
        #expect(Array(two[first.body]) == [1, 2, 3])
        let second = try #require(try next(two, from: first.range.upperBound))
        #expect(second.range.upperBound == two.count)
        #expect(try next(two, from: two.count) == nil)
    }

    private func next(_ bytes: [UInt8], from position: Int = 0, sizeMaximum: Int = 1000) throws(FrameError) -> Frame? {
        try Frame.next(in: bytes.span.bytes, from: position, sizeMaximum: sizeMaximum)
    }

    @Test(
        "what can never become a frame is refused at once",
        arguments: [
            ("00000000", FrameError.tooShort(length: 0)), ("00000003", .tooShort(length: 3)),
            ("ffffffff", .tooShort(length: -1)), ("80000000", .tooShort(length: -2_147_483_648)),
            ("000003e9", .tooLong(length: 1001, maximum: 1000)),
            ("7fffffff", .tooLong(length: 0x7FFF_FFFF, maximum: 1000)),
            ("0000000a02000001", .unknownEncoding(2)), ("0000000aff000001", .unknownEncoding(255)),
            ("0000000a00000007", .headerTooLong(headerSize: 7, length: 10)),
            ("0000000a01ffffff", .headerTooLong(headerSize: 0xFF_FFFF, length: 10)),
            // An HTTP request and a TLS greeting.
            ("474554202f20485454502f312e31", .tooLong(length: 0x4745_5420, maximum: 1000)),
            ("16030100c8010000c4", .tooLong(length: 0x1603_0100, maximum: 1000)),
        ])
    func refused(hexadecimal: String, error: FrameError) {
        #expect(throws: error) { try next(bytes(hexadecimal: hexadecimal)) }
        #expect(!error.description.isEmpty)
    }

    @Test("the limit is exact")
    func limit() throws {
        let bytes = frame(header: [], encoding: 0, body: [UInt8](repeating: 0, count: 996))
        #expect(bytes.count == 1004)
        #expect(try next(bytes)?.size == 1004)
        #expect(throws: FrameError.self) { try next(bytes, sizeMaximum: 999) }
        #expect(try next(frame(header: [], encoding: 1))?.header.isEmpty == true)
    }
}
