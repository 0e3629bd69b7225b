import Base
import Bytes
import Model

/// A message on its way into the log: everything that a record holds but its offsets.
///
/// The spans borrow from wherever the bytes lie, usually the receive buffer of a connection; the record is the first copy.
public struct MessageDraft: ~Escapable {
    public var topic: RawSpan
    public var body: RawSpan
    /// The property string, with or without a separator at its end.
    public var properties: RawSpan
    public var queueID = QueueID(0)
    public var flag: Int32 = 0
    public var flags = MessageFlags()
    public var bornTimestamp = Timestamp(milliseconds: 0)
    public var bornHost = HostAddress.loopback(port: 0)
    public var storeHost = HostAddress.loopback(port: 0)
    public var reconsumeTimes: Int32 = 0
    public var preparedTransactionOffset: Int64 = 0

    @_lifetime(copy topic, copy body, copy properties)
    public init(topic: RawSpan, body: RawSpan, properties: RawSpan) {
        self.topic = topic
        self.body = body
        self.properties = properties
    }
}

/// Lays out a record (the table stands above `MessageRecord`) and ends it with a checksum of the whole, in RocketMQ 5's
/// own way (`enabledAppendPropCRC`): a last property `__CRC32#` of ten decimal digits, the lowest first, over every byte
/// before it. Properties so long that it does not fit go without it; the body's CRC remains.
enum RecordWriter {
    /// `__CRC32#`, the name separator, ten digits, the property separator.
    static let checksumSize = 20

    /// Bytes of the record that `draft` becomes.
    @inline(__always)
    static func size(of draft: borrowing MessageDraft) -> Int {
        let hosts = draft.bornHost.encodedSize + draft.storeHost.encodedSize
        return MessageRecord.sizeMinimum - 16 + hosts + draft.body.byteCount + draft.topic.byteCount
            + (draft.topic.byteCount > Limits.topicLengthMaximum ? 1 : 0)
            + propertiesSize(of: draft)
    }

    /// Bytes of the property string with the checksum.
    @inline(__always)
    static func propertiesSize(of draft: borrowing MessageDraft) -> Int {
        hasChecksum(draft) ? sizeBeforeChecksum(of: draft) + checksumSize : draft.properties.byteCount
    }

    /// Clients read the length of the properties as a signed 16-bit number.
    @inline(__always)
    private static func hasChecksum(_ draft: borrowing MessageDraft) -> Bool {
        sizeBeforeChecksum(of: draft) + checksumSize <= Limits.propertiesSizeMaximum
    }

    @inline(__always)
    private static func sizeBeforeChecksum(of draft: borrowing MessageDraft) -> Int {
        draft.properties.byteCount + (needsSeparator(draft.properties) ? 1 : 0)
    }

    @inline(__always)
    private static func needsSeparator(_ properties: RawSpan) -> Bool {
        properties.byteCount > 0
            && properties.byte(at: properties.byteCount - 1) != PropertyName.propertySeparator
    }

    /// Appends the record of `draft` to `buffer`.
    /// - Parameter size: ``size(of:)`` of the same draft.
    static func append(
        _ draft: borrowing MessageDraft, size: Int, queueOffset: QueueOffset, physicalOffset: PhysicalOffset,
        storeTimestamp: Timestamp, to buffer: ByteBuffer
    ) {
        let start = buffer.count
        buffer.reserve(size)
        let isLongTopic = draft.topic.byteCount > Limits.topicLengthMaximum
        var flags =
            draft.flags.rawValue & ~(MessageFlags.bornHostIsIPv6.rawValue | MessageFlags.storeHostIsIPv6.rawValue)
        if draft.bornHost.isIPv6 { flags |= MessageFlags.bornHostIsIPv6.rawValue }
        if draft.storeHost.isIPv6 { flags |= MessageFlags.storeHostIsIPv6.rawValue }
        buffer.append(bigEndian: Int32(truncatingIfNeeded: size))
        buffer.append(bigEndian: isLongTopic ? MessageRecord.magicV2 : MessageRecord.magicV1)
        buffer.append(bigEndian: crc32(draft.body) & 0x7FFF_FFFF)
        buffer.append(bigEndian: draft.queueID.rawValue)
        buffer.append(bigEndian: draft.flag)
        buffer.append(bigEndian: queueOffset.rawValue)
        buffer.append(bigEndian: physicalOffset.rawValue)
        buffer.append(bigEndian: flags)
        buffer.append(bigEndian: draft.bornTimestamp.milliseconds)
        draft.bornHost.append(to: buffer)
        buffer.append(bigEndian: storeTimestamp.milliseconds)
        draft.storeHost.append(to: buffer)
        buffer.append(bigEndian: draft.reconsumeTimes)
        buffer.append(bigEndian: draft.preparedTransactionOffset)
        buffer.append(bigEndian: Int32(draft.body.byteCount))
        buffer.append(draft.body)
        if isLongTopic {
            buffer.append(bigEndian: UInt16(draft.topic.byteCount))
        } else {
            buffer.append(bigEndian: UInt8(draft.topic.byteCount))
        }
        buffer.append(draft.topic)
        buffer.append(bigEndian: UInt16(propertiesSize(of: draft)))
        buffer.append(draft.properties)
        if hasChecksum(draft) {
            if needsSeparator(draft.properties) { buffer.append(PropertyName.propertySeparator) }
            appendChecksum(crc32(buffer.bytes.extracting(start..<buffer.count)) & 0x7FFF_FFFF, to: buffer)
        }
        invariant(buffer.count - start == size, "a record of \(buffer.count - start) bytes was announced as \(size)")
    }

    private static func appendChecksum(_ checksum: UInt32, to buffer: ByteBuffer) {
        buffer.append("__CRC32#")
        buffer.append(PropertyName.nameSeparator)
        var rest = checksum
        for _ in 0..<10 {
            buffer.append(UInt8(ascii: "0") + UInt8(truncatingIfNeeded: rest % 10))
            rest /= 10
        }
        buffer.append(PropertyName.propertySeparator)
    }
}

extension MessageDraft {
    /// Appends the record that this message would be at these offsets to `buffer`, for a client to read; nothing is stored.
    public borrowing func appendRecord(
        queueOffset: QueueOffset, physicalOffset: PhysicalOffset, storeTimestamp: Timestamp, to buffer: ByteBuffer
    ) {
        RecordWriter.append(
            self, size: RecordWriter.size(of: self), queueOffset: queueOffset, physicalOffset: physicalOffset,
            storeTimestamp: storeTimestamp, to: buffer)
    }
}

/// Whether the bytes of a record are the ones that were written.
enum RecordCheck {
    /// Checks the whole-record checksum where the record has one, else the body's CRC.
    static func isIntact(_ record: MessageRecord, in span: RawSpan) -> Bool {
        let end = record.properties.upperBound
        guard record.properties.count >= RecordWriter.checksumSize else { return record.bodyMatchesCRC(in: span) }
        let start = end - RecordWriter.checksumSize
        let frame: StaticString = "__CRC32#\u{1}"
        if span.extracting(start..<start + frame.utf8CodeUnitCount).equals(frame),
            span.byte(at: end - 1) == PropertyName.propertySeparator
        {
            return matchesChecksum(in: span, start: start, end: end)
        }
        var matching = span.byte(at: end - 1) == PropertyName.propertySeparator ? 1 : 0
        var zeros = 0
        for index in 0..<RecordWriter.checksumSize {
            let byte = span.byte(at: start + index)
            if index < frame.utf8CodeUnitCount, byte == frame.utf8Start[index] { matching += 1 }
            if byte == 0 { zeros += 1 }
        }
        // A checksum that is itself damaged still looks like one, unless a power cut took it: zeros stand there then, for
        // that is what a segment holds behind its end.
        return matching < 5 && zeros == 0 && record.bodyMatchesCRC(in: span)
    }

    private static func matchesChecksum(in span: RawSpan, start: Int, end: Int) -> Bool {
        var expected: UInt64 = 0
        for position in stride(from: end - 2, through: end - 11, by: -1) {
            let digit = span.byte(at: position) &- UInt8(ascii: "0")
            guard digit < 10 else { return false }
            expected = expected * 10 + UInt64(digit)
        }
        return expected == UInt64(crc32(span.extracting(0..<start)) & 0x7FFF_FFFF)
    }
}
