import Base
import Bytes
import Model

/// What a send says about its message: 10 `SEND_MESSAGE` with long names, 310 `SEND_MESSAGE_V2`, 320
/// `SEND_BATCH_MESSAGE` and 325 `SEND_REPLY_MESSAGE_V2` with letters (remoting reference §1.9, appendix A).
///
/// Read in one pass over the fields, without allocating; ranges are positions in the bytes that the header was decoded
/// in.
///
///     a producerGroup  b topic  c defaultTopic  d defaultTopicQueueNums  e queueId  f sysFlag  g bornTimestamp
///     h flag  i properties  j reconsumeTimes  k unitMode  l maxReconsumeTimes  m batch  n brokerName
public struct SendMessageHeader: Sendable {
    public var producerGroup: Range<Int> = 0..<0
    public var topic: Range<Int> = 0..<0
    /// The topic whose settings a new topic takes, normally TBW102.
    public var defaultTopic: Range<Int> = 0..<0
    public var defaultTopicQueueCount: Int32 = 0
    /// Negative: any queue will do.
    public var queueID = QueueID(0)
    public var flags = MessageFlags(rawValue: 0)
    public var bornTimestamp = Timestamp(milliseconds: 0)
    /// The user's own number.
    public var flag: Int32 = 0
    public var properties: Range<Int> = 0..<0
    public var reconsumeTimes: Int32 = 0
    public var isUnit = false
    /// Attempts before the dead letters; nil when the sender does not say.
    public var maxReconsumeTimes: Int32?
    /// True when the body is a batch (see ``MessageBatch``).
    public var isBatch = false
    public var brokerName: Range<Int>?

    /// - Throws: ``HeaderError`` for a required field that is missing and for numbers that are none.
    public init(_ header: CommandHeader, in span: RawSpan) throws(HeaderError) {
        var seen: UInt32 = 0
        for field in header.fields {
            let key = span.extracting(field.key)
            guard let letter = Self.letter(key) else { continue }
            try set(letter, field.value, in: span)
            seen |= 1 << UInt32(letter - UInt8(ascii: "a"))
        }
        // 4.9 requires a to h.
        guard seen & 0xFF == 0xFF else { throw .missing(field: Self.name(ofFirstMissing: seen, header)) }
    }

    @inline(__always)
    private mutating func set(_ letter: UInt8, _ range: Range<Int>, in span: RawSpan) throws(HeaderError) {
        let value = span.extracting(range)
        switch letter {
        case UInt8(ascii: "a"): producerGroup = range
        case UInt8(ascii: "b"): topic = range
        case UInt8(ascii: "c"): defaultTopic = range
        case UInt8(ascii: "d"): defaultTopicQueueCount = try CommandHeader.int32("defaultTopicQueueNums", value)
        case UInt8(ascii: "e"): queueID = QueueID(try CommandHeader.int32("queueId", value))
        case UInt8(ascii: "f"): flags = MessageFlags(rawValue: try CommandHeader.int32("sysFlag", value))
        case UInt8(ascii: "g"):
            bornTimestamp = Timestamp(milliseconds: try CommandHeader.int64("bornTimestamp", value))
        case UInt8(ascii: "h"): flag = try CommandHeader.int32("flag", value)
        case UInt8(ascii: "i"): properties = range
        case UInt8(ascii: "j"): reconsumeTimes = try CommandHeader.int32("reconsumeTimes", value)
        case UInt8(ascii: "k"): isUnit = CommandHeader.bool(value)
        case UInt8(ascii: "l"): maxReconsumeTimes = try CommandHeader.int32("maxReconsumeTimes", value)
        case UInt8(ascii: "m"): isBatch = CommandHeader.bool(value)
        default: brokerName = range
        }
    }

    /// The letter of a field, from either form; nil for fields that are not of a send.
    @inline(__always)
    private static func letter(_ key: RawSpan) -> UInt8? {
        if key.byteCount == 1 {
            let byte = key.byte(at: 0)
            return byte >= UInt8(ascii: "a") && byte <= UInt8(ascii: "n") ? byte : nil
        }
        return letter(ofLongName: key)
    }

    private static func letter(ofLongName key: RawSpan) -> UInt8? {
        for index in 0..<longNames.count where key.equals(longNames[index]) {
            return UInt8(ascii: "a") + UInt8(index)
        }
        return nil
    }

    private static let longNames: [StaticString] = [
        "producerGroup", "topic", "defaultTopic", "defaultTopicQueueNums", "queueId", "sysFlag", "bornTimestamp",
        "flag",
        "properties", "reconsumeTimes", "unitMode", "maxReconsumeTimes", "batch", "brokerName",
    ]

    private static func name(ofFirstMissing seen: UInt32, _ header: CommandHeader) -> String {
        let index = (~seen & 0xFF).trailingZeroBitCount
        let isLong = header.requestCode == .sendMessage || header.requestCode == .sendReplyMessage
        return isLong ? longNames[index].description : String(UnicodeScalar(UInt8(ascii: "a") + UInt8(index)))
    }

    /// Writes the fields with letters, for a client. `group` and the other texts are the caller's.
    public static func write(
        into writer: inout CommandWriter, producerGroup: String, topic: String,
        defaultTopic: String = SystemTopics.autoCreate, defaultTopicQueueCount: Int32 = 4, queueID: QueueID,
        flags: MessageFlags = [], bornTimestamp: Timestamp, flag: Int32 = 0, properties: RawSpan,
        reconsumeTimes: Int32 = 0, isUnit: Bool = false, maxReconsumeTimes: Int32? = nil, isBatch: Bool = false,
        brokerName: String? = nil
    ) {
        writer.field("a", producerGroup)
        writer.field("b", topic)
        writer.field("c", defaultTopic)
        writer.field("d", defaultTopicQueueCount)
        writer.field("e", queueID.rawValue)
        writer.field("f", flags.rawValue)
        writer.field("g", bornTimestamp.milliseconds)
        writer.field("h", flag)
        writer.field("i", properties)
        writer.field("j", reconsumeTimes)
        writer.field("k", isUnit)
        writer.field("l", maxReconsumeTimes)
        writer.field("m", isBatch)
        writer.field("n", brokerName)
    }
}

/// Where a message went: the answer to every send.
public struct SendMessageResponseHeader: CommandFields, Equatable {
    /// The broker's id (`Model/OffsetMessageID`); of a batch all of them, joined by commas.
    public var messageID: String
    /// The queue that was really used.
    public var queueID: QueueID
    /// Of a batch, the first message's.
    public var queueOffset: QueueOffset
    public var transactionID: String?

    public init(messageID: String, queueID: QueueID, queueOffset: QueueOffset, transactionID: String? = nil) {
        self.messageID = messageID
        self.queueID = queueID
        self.queueOffset = queueOffset
        self.transactionID = transactionID
    }

    public init(_ header: CommandHeader, in span: RawSpan) throws(HeaderError) {
        messageID = try header.string("msgId", in: span)
        queueID = QueueID(try header.int32("queueId", in: span))
        queueOffset = QueueOffset(try header.int64("queueOffset", in: span))
        transactionID = header.string(ifPresent: "transactionId", in: span)
    }

    public func write(into writer: inout CommandWriter) {
        writer.field("queueId", queueID.rawValue)
        writer.field("msgId", messageID)
        writer.field("queueOffset", queueOffset.rawValue)
        writer.field("transactionId", transactionID)
    }

    /// Writes the same fields for one message without making its id a string.
    public static func write(
        into writer: inout CommandWriter, messageID: OffsetMessageID, queueID: QueueID, queueOffset: QueueOffset
    ) {
        writer.field("queueId", queueID.rawValue)
        let position = writer.beginField("msgId")
        messageID.append(to: writer.buffer)
        writer.endField(position)
        writer.field("queueOffset", queueOffset.rawValue)
    }
}
