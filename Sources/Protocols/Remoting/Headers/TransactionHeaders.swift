import Base
import Bytes

/// 37 `END_TRANSACTION`, one-way: what became of a half message.
public struct EndTransactionHeader: CommandFields, Equatable {
    public var producerGroup: String
    /// Of the half message in its queue.
    public var tranStateTableOffset: QueueOffset
    public var commitLogOffset: PhysicalOffset
    /// 8 commit, 12 rollback, 0 unknown.
    public var commitOrRollback: Int32
    public var isFromCheck: Bool
    public var messageID: String
    public var transactionID: String?
    public var brokerName: String?

    public init(
        producerGroup: String, tranStateTableOffset: QueueOffset, commitLogOffset: PhysicalOffset,
        commitOrRollback: Int32, isFromCheck: Bool = false, messageID: String, transactionID: String? = nil,
        brokerName: String? = nil
    ) {
        self.producerGroup = producerGroup
        self.tranStateTableOffset = tranStateTableOffset
        self.commitLogOffset = commitLogOffset
        self.commitOrRollback = commitOrRollback
        self.isFromCheck = isFromCheck
        self.messageID = messageID
        self.transactionID = transactionID
        self.brokerName = brokerName
    }

    public init(_ header: CommandHeader, in span: RawSpan) throws(HeaderError) {
        producerGroup = try header.string("producerGroup", in: span)
        tranStateTableOffset = QueueOffset(try header.int64("tranStateTableOffset", in: span))
        commitLogOffset = PhysicalOffset(try header.int64("commitLogOffset", in: span))
        commitOrRollback = try header.int32("commitOrRollback", in: span)
        isFromCheck = header.bool(ifPresent: "fromTransactionCheck", in: span) ?? false
        messageID = try header.string("msgId", in: span)
        transactionID = header.string(ifPresent: "transactionId", in: span)
        brokerName = header.string(ifPresent: "bname", in: span)
    }

    public func write(into writer: inout CommandWriter) {
        writer.field("producerGroup", producerGroup)
        writer.field("tranStateTableOffset", tranStateTableOffset.rawValue)
        writer.field("commitLogOffset", commitLogOffset.rawValue)
        writer.field("commitOrRollback", commitOrRollback)
        writer.field("fromTransactionCheck", isFromCheck)
        writer.field("msgId", messageID)
        writer.field("transactionId", transactionID)
        writer.field("bname", brokerName)
    }
}

/// The same, read in place without allocating; ranges are positions in the bytes that the header was decoded in.
public struct EndTransactionFields: Sendable {
    public var producerGroup: Range<Int>
    public var tranStateTableOffset: QueueOffset
    public var commitLogOffset: PhysicalOffset
    public var commitOrRollback: Int32
    public var isFromCheck: Bool
    /// Empty when it is not there.
    public var messageID: Range<Int>
    public var transactionID: Range<Int>

    /// - Throws: ``HeaderError`` for a required field that is missing and for numbers that are none.
    public init(_ header: CommandHeader, in span: RawSpan) throws(HeaderError) {
        guard let group = header.value("producerGroup", in: span) else { throw .missing(field: "producerGroup") }
        producerGroup = group
        tranStateTableOffset = QueueOffset(try header.int64("tranStateTableOffset", in: span))
        commitLogOffset = PhysicalOffset(try header.int64("commitLogOffset", in: span))
        commitOrRollback = try header.int32("commitOrRollback", in: span)
        isFromCheck = header.bool(ifPresent: "fromTransactionCheck", in: span) ?? false
        messageID = header.value("msgId", in: span) ?? 0..<0
        transactionID = header.value("transactionId", in: span) ?? 0..<0
    }
}

/// 39 `CHECK_TRANSACTION_STATE`, one-way to one producer of the group; the body is the half message.
public struct CheckTransactionStateHeader: CommandFields, Equatable {
    public var tranStateTableOffset: QueueOffset
    public var commitLogOffset: PhysicalOffset
    /// The id that the producer gave.
    public var messageID: String?
    public var transactionID: String?
    public var offsetMessageID: String?

    public init(
        tranStateTableOffset: QueueOffset, commitLogOffset: PhysicalOffset, messageID: String? = nil,
        transactionID: String? = nil, offsetMessageID: String? = nil
    ) {
        self.tranStateTableOffset = tranStateTableOffset
        self.commitLogOffset = commitLogOffset
        self.messageID = messageID
        self.transactionID = transactionID
        self.offsetMessageID = offsetMessageID
    }

    public init(_ header: CommandHeader, in span: RawSpan) throws(HeaderError) {
        tranStateTableOffset = QueueOffset(try header.int64("tranStateTableOffset", in: span))
        commitLogOffset = PhysicalOffset(try header.int64("commitLogOffset", in: span))
        messageID = header.string(ifPresent: "msgId", in: span)
        transactionID = header.string(ifPresent: "transactionId", in: span)
        offsetMessageID = header.string(ifPresent: "offsetMsgId", in: span)
    }

    public func write(into writer: inout CommandWriter) {
        writer.field("tranStateTableOffset", tranStateTableOffset.rawValue)
        writer.field("commitLogOffset", commitLogOffset.rawValue)
        writer.field("msgId", messageID)
        writer.field("transactionId", transactionID)
        writer.field("offsetMsgId", offsetMessageID)
    }
}

/// 323 `RESUME_CHECK_HALF_MESSAGE`.
public struct ResumeCheckHalfMessageHeader: CommandFields, Equatable {
    public var messageID: String?

    public init(messageID: String? = nil) {
        self.messageID = messageID
    }

    public init(_ header: CommandHeader, in span: RawSpan) throws(HeaderError) {
        messageID = header.string(ifPresent: "msgId", in: span)
    }

    public func write(into writer: inout CommandWriter) {
        writer.field("msgId", messageID)
    }
}
