import Base
import Bytes

/// What a consumer asks for: 11 `PULL_MESSAGE` and 361 `LITE_PULL_MESSAGE` (remoting reference §1.9, appendix A).
///
/// Read in one pass over the fields, without allocating; ranges are positions in the bytes that the header was decoded
/// in.
public struct PullMessageHeader: Sendable {
    public var consumerGroup: Range<Int> = 0..<0
    public var topic: Range<Int> = 0..<0
    public var queueID = QueueID(0)
    /// The first message wanted.
    public var queueOffset = QueueOffset(0)
    public var maxMessageCount: Int32 = 0
    public var flags = PullFlags(rawValue: 0)
    /// The group's offset so far; stands for something with ``PullFlags/commitOffset`` only.
    public var commitOffset = QueueOffset(0)
    /// How long to hold the request when there is nothing, with ``PullFlags/suspend`` only.
    public var suspendTimeoutMilliseconds: Int64 = 0
    /// The expression, with ``PullFlags/subscription`` only.
    public var subscription: Range<Int>?
    public var subscriptionVersion: Int64 = 0
    /// `TAG` or `SQL92`; `TAG` when missing.
    public var expressionType: Range<Int>?
    /// 5.x: most bytes in the answer.
    public var maxMessageBytes: Int32?

    /// - Throws: ``HeaderError`` for a required field that is missing and for numbers that are none.
    public init(_ header: CommandHeader, in span: RawSpan) throws(HeaderError) {
        var seen = Fields(rawValue: 0)
        for field in header.fields {
            try set(field, in: span, &seen)
        }
        guard seen.isSuperset(of: .required) else { throw .missing(field: seen.firstMissing) }
    }

    @inline(__always)
    private mutating func set(
        _ field: CommandHeader.Field, in span: RawSpan, _ seen: inout Fields
    ) throws(HeaderError) {
        let key = span.extracting(field.key)
        let value = span.extracting(field.value)
        guard key.byteCount > 0 else { return }
        // Length and first letter tell the known names apart; `equals` makes sure.
        switch (key.byteCount, key.byte(at: 0)) {
        case (13, UInt8(ascii: "c")) where key.equals("consumerGroup"):
            consumerGroup = field.value
            seen.insert(.consumerGroup)
        case (5, UInt8(ascii: "t")) where key.equals("topic"):
            topic = field.value
            seen.insert(.topic)
        case (7, UInt8(ascii: "q")) where key.equals("queueId"):
            queueID = QueueID(try CommandHeader.int32("queueId", value))
            seen.insert(.queueID)
        case (11, UInt8(ascii: "q")) where key.equals("queueOffset"):
            queueOffset = QueueOffset(try CommandHeader.int64("queueOffset", value))
            seen.insert(.queueOffset)
        case (10, UInt8(ascii: "m")) where key.equals("maxMsgNums"):
            maxMessageCount = try CommandHeader.int32("maxMsgNums", value)
            seen.insert(.maxMessageCount)
        case (7, UInt8(ascii: "s")) where key.equals("sysFlag"):
            flags = PullFlags(rawValue: try CommandHeader.int32("sysFlag", value))
            seen.insert(.flags)
        case (12, UInt8(ascii: "c")) where key.equals("commitOffset"):
            commitOffset = QueueOffset(try CommandHeader.int64("commitOffset", value))
            seen.insert(.commitOffset)
        case (20, UInt8(ascii: "s")) where key.equals("suspendTimeoutMillis"):
            suspendTimeoutMilliseconds = try CommandHeader.int64("suspendTimeoutMillis", value)
            seen.insert(.suspendTimeout)
        case (12, UInt8(ascii: "s")) where key.equals("subscription"): subscription = field.value
        case (10, UInt8(ascii: "s")) where key.equals("subVersion"):
            subscriptionVersion = try CommandHeader.int64("subVersion", value)
            seen.insert(.subscriptionVersion)
        case (14, UInt8(ascii: "e")) where key.equals("expressionType"): expressionType = field.value
        case (11, UInt8(ascii: "m")) where key.equals("maxMsgBytes"):
            maxMessageBytes = try CommandHeader.int32("maxMsgBytes", value)
        default: break
        }
    }

    private struct Fields: OptionSet {
        let rawValue: Int32
        static let consumerGroup = Fields(rawValue: 1)
        static let topic = Fields(rawValue: 2)
        static let queueID = Fields(rawValue: 4)
        static let queueOffset = Fields(rawValue: 8)
        static let maxMessageCount = Fields(rawValue: 16)
        static let flags = Fields(rawValue: 32)
        static let commitOffset = Fields(rawValue: 64)
        static let suspendTimeout = Fields(rawValue: 128)
        static let subscriptionVersion = Fields(rawValue: 256)
        static let required = Fields(rawValue: 511)
        var firstMissing: String {
            let names = [
                "consumerGroup", "topic", "queueId", "queueOffset", "maxMsgNums", "sysFlag", "commitOffset",
                "suspendTimeoutMillis", "subVersion",
            ]
            return names[(~rawValue & 511).trailingZeroBitCount]
        }
    }

    /// Writes the fields, for a client.
    public static func write(
        into writer: inout CommandWriter, consumerGroup: String, topic: String, queueID: QueueID,
        queueOffset: QueueOffset, maxMessageCount: Int32 = 32, flags: PullFlags, commitOffset: QueueOffset,
        suspendTimeoutMilliseconds: Int64 = 15_000, subscription: String? = nil, subscriptionVersion: Int64,
        expressionType: String? = "TAG", brokerName: String? = nil
    ) {
        writer.field("consumerGroup", consumerGroup)
        writer.field("topic", topic)
        writer.field("queueId", queueID.rawValue)
        writer.field("queueOffset", queueOffset.rawValue)
        writer.field("maxMsgNums", maxMessageCount)
        writer.field("sysFlag", flags.rawValue)
        writer.field("commitOffset", commitOffset.rawValue)
        writer.field("suspendTimeoutMillis", suspendTimeoutMilliseconds)
        writer.field("subscription", subscription)
        writer.field("subVersion", subscriptionVersion)
        writer.field("expressionType", expressionType)
        writer.field("bname", brokerName)
    }
}

/// The `sysFlag` of a pull (remoting reference §1.8).
public struct PullFlags: OptionSet, Hashable, Sendable {
    public let rawValue: Int32
    @inlinable public init(rawValue: Int32) { self.rawValue = rawValue }
    /// The request carries the group's offset, to be kept.
    public static let commitOffset = PullFlags(rawValue: 0x1)
    /// The request may be held until a message arrives.
    public static let suspend = PullFlags(rawValue: 0x2)
    /// The request carries the expression to filter by.
    public static let subscription = PullFlags(rawValue: 0x4)
    public static let classFilter = PullFlags(rawValue: 0x8)
    public static let litePull = PullFlags(rawValue: 0x10)
}

/// Where the group stands after a pull: in every answer to it, whatever the code.
public struct PullMessageResponseHeader: CommandFields, Equatable {
    /// The broker of the set to pull from next: 0 is the master.
    public var suggestedBrokerID: Int64
    public var nextBeginOffset: QueueOffset
    public var minimumOffset: QueueOffset
    public var maximumOffset: QueueOffset

    public init(
        suggestedBrokerID: Int64 = 0, nextBeginOffset: QueueOffset, minimumOffset: QueueOffset,
        maximumOffset: QueueOffset
    ) {
        self.suggestedBrokerID = suggestedBrokerID
        self.nextBeginOffset = nextBeginOffset
        self.minimumOffset = minimumOffset
        self.maximumOffset = maximumOffset
    }

    public init(_ header: CommandHeader, in span: RawSpan) throws(HeaderError) {
        suggestedBrokerID = try header.int64("suggestWhichBrokerId", in: span)
        nextBeginOffset = QueueOffset(try header.int64("nextBeginOffset", in: span))
        minimumOffset = QueueOffset(try header.int64("minOffset", in: span))
        maximumOffset = QueueOffset(try header.int64("maxOffset", in: span))
    }

    public func write(into writer: inout CommandWriter) {
        writer.field("suggestWhichBrokerId", suggestedBrokerID)
        writer.field("nextBeginOffset", nextBeginOffset.rawValue)
        writer.field("minOffset", minimumOffset.rawValue)
        writer.field("maxOffset", maximumOffset.rawValue)
    }
}
