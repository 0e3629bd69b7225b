import Base

/// Names a record that waits in a system queue for what ends it: a timer that is to fire, a half message that is to be
/// committed or rolled back.
///
/// A record is *settled* by a later one: the message that it became carries this name in the field that RocketMQ calls
/// prepared transaction offset, so that the message and the end of the waiting are one record and no crash parts them. What
/// ends without a message is settled by a state record.
///
///     bits    value
///     63      0
///     62      1: no offset of a log comes this far, so nothing that RocketMQ wrote looks like it
///     58–61   kind
///     44–57   number of the queue
///      0–43   offset in the queue
public struct PendingID: Hashable, Sendable {
    public enum Kind: UInt8, CaseIterable, Sendable {
        case timer = 0
        case half = 1
    }
    public let kind: Kind
    public let queueID: QueueID
    public let queueOffset: QueueOffset

    public static let queueMaximum: Int32 = 1 << 14 - 1
    public static let offsetMaximum: Int64 = 1 << 44 - 1
    private static let mark: Int64 = 1 << 62

    /// - Precondition: neither number is negative or greater than its maximum.
    public init(_ kind: Kind, _ queueID: QueueID, _ queueOffset: QueueOffset) {
        precondition((0...Self.queueMaximum).contains(queueID.rawValue), "\(queueID) is no pending queue")
        precondition((0...Self.offsetMaximum).contains(queueOffset.rawValue), "\(queueOffset) is no pending offset")
        self.kind = kind
        self.queueID = queueID
        self.queueOffset = queueOffset
    }

    /// The name in the field of a record, or nil when the field says something else: an offset of the log, or nothing.
    @inline(__always)
    public init?(field: Int64) {
        guard field >= Self.mark else { return nil }
        self.init(markedField: field)
    }

    @inline(never)
    private init?(markedField field: Int64) {
        guard let kind = Kind(rawValue: UInt8(field >> 58 & 0xF)) else { return nil }
        self.init(
            kind, QueueID(Int32(field >> 44 & Int64(Self.queueMaximum))), QueueOffset(field & Self.offsetMaximum))
    }

    public var field: Int64 {
        Self.mark | Int64(kind.rawValue) << 58 | Int64(queueID.rawValue) << 44 | queueOffset.rawValue
    }
}
