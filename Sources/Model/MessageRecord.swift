import Base
import Bytes

/// A stored message, read in place. The same bytes lie in the commit log and travel in pull answers (reference §1.8):
///
///     offset  size  field
///          0     4  total size, these 4 included
///          4     4  magic: 0xDAA320A7 (one byte of topic length) or 0xDAA320AB (two bytes)
///          8     4  CRC-32 of the body, low 31 bits
///         12     4  queue id
///         16     4  flag of the user
///         20     8  queue offset
///         28     8  physical offset
///         36     4  system flag
///         40     8  born timestamp (ms)
///         48     8  born host: IPv4 address and port; 20 bytes when system flag has 0x10
///          …     8  store timestamp (ms)
///          …     8  store host; 20 bytes when system flag has 0x20
///          …     4  reconsume times
///          …     8  prepared transaction offset
///          …     4  body length, then the body
///          …   1|2  topic length, then the topic
///          …     2  properties length, then the properties
///
/// With IPv4 hosts the fixed part has 91 bytes.
public struct MessageRecord: Sendable {
    public static let magicV1: UInt32 = 0xDAA3_20A7
    public static let magicV2: UInt32 = 0xDAA3_20AB
    /// Fills the end of a segment where the next record did not fit; only size and magic are valid.
    public static let blankMagic: UInt32 = 0xCBD4_3194
    /// Positions of fields before the first that can move.
    public static let queueIDPosition = 12
    public static let queueOffsetPosition = 20
    public static let physicalOffsetPosition = 28
    /// Size, magic and everything else around an empty body, topic and properties, with IPv4 hosts.
    public static let sizeMinimum = 91
    /// Everything before the body, with IPv6 hosts.
    public static let headSizeMaximum = 112

    public var size: Int
    public var magic: UInt32
    public var bodyCRC: UInt32
    public var queueID: QueueID
    public var flag: Int32
    public var queueOffset: QueueOffset
    public var physicalOffset: PhysicalOffset
    public var flags: MessageFlags
    public var bornTimestamp: Timestamp
    public var bornHost: HostAddress
    public var storeTimestamp: Timestamp
    public var storeHost: HostAddress
    public var reconsumeTimes: Int32
    public var preparedTransactionOffset: Int64
    /// Positions within the record.
    public var body: Range<Int>
    public var topic: Range<Int>
    public var properties: Range<Int>

    /// The store timestamp of the record whose first bytes, up to its body, are in `span`; nil when there are too few.
    public static func storeTimestamp(ofRecordBeginningWith span: RawSpan) -> Timestamp? {
        guard span.byteCount >= 48 else { return nil }
        let flags = MessageFlags(rawValue: span.bigEndian(at: 36))
        let position = 48 + (flags.contains(.bornHostIsIPv6) ? 20 : 8)
        guard span.byteCount >= position + 8 else { return nil }
        return Timestamp(milliseconds: span.bigEndian(at: position))
    }

    /// Reads the record that begins at the first byte of `span`, which may be longer.
    ///
    /// Checks every length; does not check the CRC (see ``bodyMatchesCRC(in:)``).
    /// - Throws: ``MessageRecordError`` when the bytes hold no whole record.
    public init(_ span: RawSpan) throws(MessageRecordError) {
        guard span.byteCount >= Self.sizeMinimum else { throw .truncated }
        size = Int(span.bigEndian(at: 0, as: Int32.self))
        magic = span.bigEndian(at: 4)
        guard magic == Self.magicV1 || magic == Self.magicV2 else { throw .wrongMagic(magic) }
        guard size >= Self.sizeMinimum else { throw .lengthsDisagree }
        guard size <= span.byteCount else { throw .truncated }
        bodyCRC = span.bigEndian(at: 8)
        queueID = QueueID(span.bigEndian(at: 12))
        flag = span.bigEndian(at: 16)
        queueOffset = QueueOffset(span.bigEndian(at: Self.queueOffsetPosition))
        physicalOffset = PhysicalOffset(span.bigEndian(at: Self.physicalOffsetPosition))
        flags = MessageFlags(rawValue: span.bigEndian(at: 36))
        bornTimestamp = Timestamp(milliseconds: span.bigEndian(at: 40))
        // Two IPv6 hosts and no bytes of body, topic and properties still need this much.
        let topicLengthSize = magic == Self.magicV2 ? 2 : 1
        let hostsSize = (flags.contains(.bornHostIsIPv6) ? 20 : 8) + (flags.contains(.storeHostIsIPv6) ? 20 : 8)
        guard size >= 48 + hostsSize + 8 + 4 + 8 + 4 + topicLengthSize + 2 else { throw .lengthsDisagree }
        var position = 48
        bornHost = Self.host(in: span, at: &position, isIPv6: flags.contains(.bornHostIsIPv6))
        storeTimestamp = Timestamp(milliseconds: span.bigEndian(at: position))
        position += 8
        storeHost = Self.host(in: span, at: &position, isIPv6: flags.contains(.storeHostIsIPv6))
        reconsumeTimes = span.bigEndian(at: position)
        preparedTransactionOffset = span.bigEndian(at: position + 4)
        let bodyLength = Int(span.bigEndian(at: position + 12, as: Int32.self))
        position += 16
        guard bodyLength >= 0, bodyLength <= size - position - topicLengthSize - 2 else { throw .lengthsDisagree }
        body = position..<position + bodyLength
        position += bodyLength
        let topicLength =
            topicLengthSize == 2
            ? Int(span.bigEndian(at: position, as: UInt16.self)) : Int(span.byte(at: position))
        position += topicLengthSize
        guard topicLength <= size - position - 2 else { throw .lengthsDisagree }
        topic = position..<position + topicLength
        position += topicLength
        let propertiesLength = Int(span.bigEndian(at: position, as: UInt16.self))
        position += 2
        guard propertiesLength == size - position else { throw .lengthsDisagree }
        properties = position..<position + propertiesLength
    }

    /// True when the body's checksum is right; a stored 0 means that none was written.
    public func bodyMatchesCRC(in span: RawSpan) -> Bool {
        bodyCRC == 0 || bodyCRC == crc32(span.extracting(body)) & 0x7FFF_FFFF
    }

    private static func host(in span: RawSpan, at position: inout Int, isIPv6: Bool) -> HostAddress {
        defer { position += isIPv6 ? 20 : 8 }
        if isIPv6 {
            return HostAddress(
                ipv6High: span.bigEndian(at: position), low: span.bigEndian(at: position + 8),
                port: span.bigEndian(at: position + 16))
        }
        return HostAddress(ipv4: span.bigEndian(at: position), port: span.bigEndian(at: position + 4))
    }
}

/// Why bytes are no message record.
public enum MessageRecordError: Error, Equatable, Sendable {
    /// Fewer bytes than the record says it has.
    case truncated
    case wrongMagic(UInt32)
    /// Body, topic and properties do not add up to the total size.
    case lengthsDisagree
}
