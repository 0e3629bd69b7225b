import Base
import Bytes
import Compression
import Testing

@Suite("Compression codecs")
struct CompressionCodecTests {
    static let samples: [[UInt8]] = {
        let random = SeededRandom(seed: 1)
        let noise = (0..<200_000).map { _ in UInt8(truncatingIfNeeded: random.next()) }
        let text = Array(String(repeating: "the quick brown fox ", count: 20_000).utf8)
        return [[], [0], Array("hi".utf8), text, noise, [UInt8](repeating: 0, count: 1_000_000)]
    }()

    @Test("what is compressed comes back", arguments: CompressionCodec.allCases, samples.indices)
    func roundTrip(codec: CompressionCodec, index: Int) throws {
        let sample = Self.samples[index]
        let packed = ByteBuffer()
        packed.append(UInt8(7))
        try codec.compress(sample.span.bytes, into: packed)
        packed.consume(1)
        let plain = ByteBuffer()
        plain.append(utf8: "before")
        try codec.decompress(packed.bytes, into: plain, sizeMaximum: sample.count)
        plain.consume(6)
        #expect(plain.bytes.array() == sample)
    }

    @Test(
        "the limit is exact, and the buffer is left as it was", arguments: CompressionCodec.allCases,
        samples.indices.dropFirst())
    func limit(codec: CompressionCodec, index: Int) throws {
        let sample = Self.samples[index]
        let packed = ByteBuffer()
        try codec.compress(sample.span.bytes, into: packed)
        let plain = ByteBuffer()
        plain.append(utf8: "before")
        #expect(throws: CompressionError.tooLarge(maximum: sample.count - 1)) {
            try codec.decompress(packed.bytes, into: plain, sizeMaximum: sample.count - 1)
        }
        #expect(plain.bytes.string() == "before")
    }

    @Test("a small input that stands for a huge output takes no huge memory", arguments: CompressionCodec.allCases)
    func bomb(codec: CompressionCodec) throws {
        let packed = ByteBuffer()
        try codec.compress([UInt8](repeating: 0, count: 10_000_000).span.bytes, into: packed)
        let plain = ByteBuffer()
        #expect(throws: CompressionError.tooLarge(maximum: 100_000)) {
            try codec.decompress(packed.bytes, into: plain, sizeMaximum: 100_000)
        }
        #expect(plain.capacity < 1_000_000)
    }

    @Test("every beginning is refused", arguments: CompressionCodec.allCases)
    func truncated(codec: CompressionCodec) throws {
        let packed = ByteBuffer()
        try codec.compress(Array(String(repeating: "abcdefgh", count: 50).utf8).span.bytes, into: packed)
        let all = packed.bytes.array()
        for length in 0..<all.count {
            let plain = ByteBuffer()
            #expect(throws: CompressionError.self, "\(length) of \(all.count)") {
                try codec.decompress(Array(all[..<length]).span.bytes, into: plain, sizeMaximum: 10_000)
            }
            #expect(plain.isEmpty)
        }
    }

    @Test("changed bytes give an error or something within the limit", arguments: CompressionCodec.allCases)
    func corrupt(codec: CompressionCodec) throws {
        let packed = ByteBuffer()
        try codec.compress(Array(String(repeating: "abcdefgh", count: 50).utf8).span.bytes, into: packed)
        let original = packed.bytes.array()
        let random = SeededRandom(seed: 2)
        for _ in 0..<3000 {
            var bytes = original
            for _ in 0...random.next(below: 3) {
                bytes[random.next(below: bytes.count)] = UInt8(truncatingIfNeeded: random.next())
            }
            let plain = ByteBuffer()
            try? codec.decompress(bytes.span.bytes, into: plain, sizeMaximum: 1000)
            #expect(plain.count <= 1000)
        }
    }

    @Test("noise is refused", arguments: CompressionCodec.allCases)
    func noise(codec: CompressionCodec) {
        #expect(throws: CompressionError.self) {
            try codec.decompress([UInt8](repeating: 0xAB, count: 100).span.bytes, into: ByteBuffer(), sizeMaximum: 1000)
        }
    }

    @Test("numbers on the wire", arguments: [(Int32(0), CompressionCodec.zlib), (1, .lz4), (2, .zstd), (3, .zlib)])
    func wire(number: Int32, codec: CompressionCodec) {
        #expect(CompressionCodec(wireID: number) == codec)
        #expect(CompressionCodec(wireID: codec.wireID) == codec)
        #expect(CompressionCodec(wireID: 4) == nil)
        #expect(CompressionCodec(wireID: -1) == nil)
    }
}
