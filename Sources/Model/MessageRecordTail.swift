import Base
import Bytes

/// What lies behind the body of a stored message: topic and properties, found without reading the rest (``MessageRecord`` has
/// the layout).
public struct MessageRecordTail: Equatable, Sendable {
    /// Positions within the record, from behind the body to its end.
    public var range: Range<Int>
    private var topicLengthSize: Int

    /// - Parameter head: at least the bytes of the record up to its body; with ``MessageRecord/headSizeMaximum`` bytes there
    ///   are always enough.
    /// - Returns: nil when they begin no record, or its lengths disagree.
    public init?(ofRecordBeginningWith head: RawSpan) {
        guard head.byteCount >= MessageRecord.sizeMinimum else { return nil }
        let size = Int(head.bigEndian(at: 0, as: Int32.self))
        let magic = head.bigEndian(at: 4, as: UInt32.self)
        guard magic == MessageRecord.magicV1 || magic == MessageRecord.magicV2 else { return nil }
        let flags = MessageFlags(rawValue: head.bigEndian(at: 36))
        let hosts = (flags.contains(.bornHostIsIPv6) ? 20 : 8) + (flags.contains(.storeHostIsIPv6) ? 20 : 8)
        let bodyLengthPosition = 48 + hosts + 8 + 4 + 8
        topicLengthSize = magic == MessageRecord.magicV2 ? 2 : 1
        guard head.byteCount >= bodyLengthPosition + 4 else { return nil }
        let bodyLength = Int(head.bigEndian(at: bodyLengthPosition, as: Int32.self))
        guard bodyLength >= 0, bodyLength <= size - bodyLengthPosition - 4 - topicLengthSize - 2 else { return nil }
        range = bodyLengthPosition + 4 + bodyLength..<size
    }

    /// Where the property string lies in the bytes of ``range``; nil when the lengths disagree.
    public func properties(in tail: RawSpan) -> Range<Int>? {
        guard tail.byteCount == range.count else { return nil }
        let topicLength = topicLengthSize == 2 ? Int(tail.bigEndian(at: 0, as: UInt16.self)) : Int(tail.byte(at: 0))
        let start = topicLengthSize + topicLength + 2
        guard start <= tail.byteCount, Int(tail.bigEndian(at: start - 2, as: UInt16.self)) == tail.byteCount - start
        else { return nil }
        return start..<tail.byteCount
    }
}
