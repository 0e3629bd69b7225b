import Base
import Bytes
import Model

/// Which names topics and groups may have: `^[%|a-zA-Z0-9_-]+$`, of limited length (remoting reference §1.8).
public enum TopicName {
    /// - Throws: ``BrokerError/topicBlank``, ``BrokerError/topicIllegalCharacters``, ``BrokerError/topicTooLong``.
    public static func check(_ name: RawSpan) throws(BrokerError) {
        guard !isBlank(name) else { throw .topicBlank }
        guard hasLegalCharacters(name) else { throw .topicIllegalCharacters }
        guard name.byteCount <= Limits.topicLengthMaximum else { throw .topicTooLong }
    }

    private static func isBlank(_ name: RawSpan) -> Bool {
        for index in 0..<name.byteCount where name.byte(at: index) > 0x20 { return false }
        return true
    }

    @inline(__always)
    static func hasLegalCharacters(_ name: RawSpan) -> Bool {
        for index in 0..<name.byteCount {
            switch name.byte(at: index) {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"), UInt8(ascii: "-"), UInt8(ascii: "%"),
                UInt8(ascii: "|"):
                continue
            default: return false
            }
        }
        return true
    }
}
