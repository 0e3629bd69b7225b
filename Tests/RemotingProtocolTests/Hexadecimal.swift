import Bytes
import RemotingProtocol

/// The bytes that pairs of hexadecimal digits spell.
func bytes(hexadecimal text: some StringProtocol) -> [UInt8] {
    let digits = text.utf8.map { UInt8(Character(UnicodeScalar($0)).hexDigitValue!) }
    return stride(from: 0, to: digits.count, by: 2).map { digits[$0] << 4 | digits[$0 + 1] }
}

/// One frame that was cut out of bytes, and its header; owns its copy of the bytes.
final class DecodedFrame {
    let buffer = ByteBuffer()
    let frame: Frame
    let header = CommandHeader()
    init(_ bytes: [UInt8]) throws {
        let buffer = buffer
        buffer.append(bytes)
        frame = try Frame.next(in: buffer.bytes)!
        try header.decode(frame, in: buffer)
    }
    var remark: String? { header.remark.map(text) }
    var body: [UInt8] {
        buffer.withUnsafeBytes { Array($0[frame.body]) }
    }
    func text(_ range: Range<Int>) -> String {
        buffer.withUnsafeBytes { String(decoding: $0[range], as: UTF8.self) }
    }
    var fields: [String: String] {
        Dictionary(header.fields.map { (text($0.key), text($0.value)) }, uniquingKeysWith: { $1 })
    }
}

/// A frame around a JSON header and a body.
func frame(json header: String, body: [UInt8] = []) -> [UInt8] {
    frame(header: Array(header.utf8), encoding: 0, body: body)
}

func frame(header: [UInt8], encoding: UInt8, body: [UInt8] = []) -> [UInt8] {
    let buffer = ByteBuffer()
    buffer.append(bigEndian: UInt32(4 + header.count + body.count))
    buffer.append(bigEndian: UInt32(encoding) << 24 | UInt32(header.count))
    buffer.append(header)
    buffer.append(body)
    return buffer.bytes.array()
}

/// The bytes that `write` makes.
func written(_ encoding: HeaderEncoding, _ write: (inout CommandWriter) -> Void) -> [UInt8] {
    let buffer = ByteBuffer()
    var writer = CommandWriter(buffer, encoding: encoding)
    write(&writer)
    return buffer.bytes.array()
}
