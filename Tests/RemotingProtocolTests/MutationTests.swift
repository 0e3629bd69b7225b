import Base
import Bytes
import Model
import RemotingProtocol
import Testing

/// A small fuzzer: captured frames with a few bytes changed go through every decoder. Nothing may trap, and what is
/// thrown is typed by the compiler; the same seed makes the same changes.
@Suite("Changed frames")
struct MutationTests {
    static let originals: [CapturedFrame] = WireFixture.scenarios.flatMap { scenario in
        ((try? WireFixture.frames(scenario)) ?? []).filter { $0.bytes.count < 3000 }
    }
    /// Bytes that mean something in one of the formats.
    static let tokens: [UInt8] = Array("{}[]\"':,\\u0019dnft-. ".utf8) + [0, 1, 2, 0x7F, 0x80, 0xC2, 0xE2, 0xFF]

    @Test("no decoder traps", arguments: 1...4)
    func decoders(seed: Int) {
        let random = SeededRandom(seed: UInt64(seed))
        var accepted = 0
        for _ in 0..<1500 {
            let original = Self.originals[random.next(below: Self.originals.count)]
            var bytes = original.bytes
            for _ in 0...random.next(below: 4) { mutate(&bytes, random) }
            // Most changes of the first eight bytes end at once; so half of the frames get them right again.
            if random.next(below: 2) == 0 { repair(&bytes, original) }
            if decode(bytes, as: original) { accepted += 1 }
        }
        #expect(accepted > 100)
    }

    private func mutate(_ bytes: inout [UInt8], _ random: SeededRandom) {
        guard !bytes.isEmpty else { return }
        let position = random.next(below: bytes.count)
        switch random.next(below: 6) {
        case 0: bytes[position] = UInt8(truncatingIfNeeded: random.next())
        case 1: bytes[position] = Self.tokens[random.next(below: Self.tokens.count)]
        case 2: bytes.insert(Self.tokens[random.next(below: Self.tokens.count)], at: position)
        case 3: bytes.remove(at: position)
        case 4: bytes.removeSubrange(position..<min(position + random.next(below: 20), bytes.count))
        default: bytes.insert(contentsOf: bytes[position..<min(position + 20, bytes.count)], at: position)
        }
    }

    private func repair(_ bytes: inout [UInt8], _ original: CapturedFrame) {
        guard bytes.count >= 8 else { return }
        let buffer = ByteBuffer()
        buffer.append(bigEndian: UInt32(bytes.count - 4))
        let header = Int(original.bytes.span.bytes.bigEndian(at: 4, as: UInt32.self) & 0xFF_FFFF)
        let size = min(max(header + bytes.count - original.bytes.count, 0), bytes.count - 8)
        buffer.append(bigEndian: UInt32(original.encoding.rawValue) << 24 | UInt32(size))
        bytes.replaceSubrange(0..<8, with: buffer.bytes.array())
    }

    /// Sends bytes through all that may see them; true when they are still a frame with a header.
    private func decode(_ bytes: [UInt8], as original: CapturedFrame) -> Bool {
        let buffer = ByteBuffer()
        buffer.append(bytes)
        guard let frame = try? Frame.next(in: buffer) else { return false }
        decodeBody(buffer.bytes.extracting(frame.body), as: original)
        let header = CommandHeader()
        guard (try? header.decode(frame, in: buffer)) != nil else { return false }
        let span = buffer.bytes
        for field in header.fields {
            #expect(
                frame.header.lowerBound <= field.key.lowerBound && field.value.upperBound <= frame.header.upperBound)
        }
        _ = try? CapturedTrafficTests.requestFields[original.requestCode]?.init(header, in: span)
        _ = try? CapturedTrafficTests.responseFields[original.requestCode]?.init(header, in: span)
        _ = try? PullMessageResponseHeader(header, in: span)
        _ = try? PullMessageHeader(header, in: span)
        if let send = try? SendMessageHeader(header, in: span) {
            MessageProperties.forEach(in: span.extracting(send.properties)) { _, _ in }
        }
        return true
    }

    private func decodeBody(_ body: RawSpan, as original: CapturedFrame) {
        _ = try? CapturedTrafficTests.requestBodies[original.requestCode]?.init(parsing: body)
        _ = try? CapturedTrafficTests.responseBodies[original.requestCode]?.init(parsing: body)
        _ = try? RegisterBrokerBody(parsing: body, isCompressed: true)
        _ = try? MessageBatch.count(in: body)
        _ = try? MessageRecord(body)
    }
}
