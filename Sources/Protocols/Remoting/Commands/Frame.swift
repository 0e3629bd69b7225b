import Base
import Bytes

/// Where one frame of the remoting protocol lies within received bytes (remoting reference §1.1):
///
///     offset  size  field
///          0     4  N, the bytes behind this field
///          4     4  header encoding << 24 | H, the header's size
///          8     H  header
///        8+H N-4-H  body, may be empty
///
/// All positions count from the first byte of the span that `next(in:from:)` was given.
public struct Frame: Equatable, Sendable {
    /// The whole frame, its length field included.
    public var range: Range<Int>
    public var header: Range<Int>
    public var body: Range<Int>
    public var encoding: HeaderEncoding

    /// Bytes of the whole frame.
    @inlinable public var size: Int { range.count }

    /// The frame as if its body were empty: for a copy of its header.
    public var withoutBody: Frame {
        let end = header.upperBound
        return Frame(range: range.lowerBound..<end, header: header, body: end..<end, encoding: encoding)
    }

    /// Bytes before the header: the length and the marker.
    public static let prefixSize = 8

    /// The frame that begins at `position`, or nil when its end has not been received yet; then
    /// ``sizeNeeded(in:from:)`` says how many bytes it takes.
    ///
    /// A length or marker that can never become a frame is refused as soon as it is there, so that nobody waits for, or
    /// makes room for, what will be refused anyway.
    /// - Throws: ``FrameError``; the stream cannot be read any further, so close the connection.
    public static func next(
        in input: RawSpan, from position: Int = 0, sizeMaximum: Int = Limits.frameSizeMaximum
    ) throws(FrameError) -> Frame? {
        let received = input.byteCount - position
        precondition(position >= 0 && received >= 0, "a frame was sought outside the received bytes")
        guard received >= 4 else { return nil }
        let length = Int(input.bigEndian(at: position, as: Int32.self))
        guard length >= 4 else { throw .tooShort(length: length) }
        guard length <= sizeMaximum else { throw .tooLong(length: length, maximum: sizeMaximum) }
        guard received >= prefixSize else { return nil }
        let marker = input.bigEndian(at: position + 4, as: UInt32.self)
        guard let encoding = HeaderEncoding(rawValue: UInt8(marker >> 24)) else {
            throw .unknownEncoding(UInt8(marker >> 24))
        }
        let headerSize = Int(marker & 0xFF_FFFF)
        guard headerSize <= length - 4 else { throw .headerTooLong(headerSize: headerSize, length: length) }
        guard headerSize <= Limits.headerSizeAccepted else {
            throw .headerTooLarge(headerSize: headerSize, maximum: Limits.headerSizeAccepted)
        }
        guard received - 4 >= length else { return nil }
        let headerStart = position + prefixSize
        let end = position + 4 + length
        return Frame(
            range: position..<end, header: headerStart..<headerStart + headerSize,
            body: headerStart + headerSize..<end, encoding: encoding)
    }

    /// ``next(in:from:sizeMaximum:)`` of the readable bytes of `buffer`.
    public static func next(
        in buffer: ByteBuffer, from position: Int = 0, sizeMaximum: Int = Limits.frameSizeMaximum
    ) throws(FrameError) -> Frame? {
        try next(in: buffer.bytes, from: position, sizeMaximum: sizeMaximum)
    }

    /// Bytes that the frame at `position` takes in all; 4, its length field, as long as that is not known.
    public static func sizeNeeded(in input: RawSpan, from position: Int = 0) -> Int {
        guard input.byteCount - position >= 4 else { return 4 }
        return 4 + max(4, Int(input.bigEndian(at: position, as: Int32.self)))
    }
}

/// How a header is written (`SerializeType`). An answer takes the encoding of its request.
public enum HeaderEncoding: UInt8, Sendable {
    case json = 0
    /// The binary form that RocketMQ calls `ROCKETMQ`.
    case binary = 1
}

/// Why received bytes can be no frame.
public enum FrameError: Error, Equatable, Sendable, CustomStringConvertible {
    case tooLong(length: Int, maximum: Int)
    /// The length leaves no room for the marker, or is negative.
    case tooShort(length: Int)
    case headerTooLong(headerSize: Int, length: Int)
    case headerTooLarge(headerSize: Int, maximum: Int)
    case unknownEncoding(UInt8)

    public var description: String {
        switch self {
        case .tooLong(let length, let maximum): "frame of \(length) bytes, \(maximum) are allowed"
        case .tooShort(let length): "frame of \(length) bytes, at least 4 are needed"
        case .headerTooLong(let headerSize, let length):
            "header of \(headerSize) bytes in a frame of \(length) bytes"
        case .headerTooLarge(let headerSize, let maximum):
            "header of \(headerSize) bytes, \(maximum) are allowed"
        case .unknownEncoding(let encoding): "unknown header encoding \(encoding)"
        }
    }
}
