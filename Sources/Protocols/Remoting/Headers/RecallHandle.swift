import Base

/// What a producer needs to take a delayed message back: RocketMQ 5.3's `RecallMessageHandle`, base64 with the alphabet for URLs
/// of `v1 topic broker timestamp uniqKey`.
public struct RecallHandle: Equatable, Sendable {
    public var topic: String
    public var brokerName: String
    /// When the message is due.
    public var due: Timestamp
    public var uniqueKey: String

    public init(topic: String, brokerName: String, due: Timestamp, uniqueKey: String) {
        self.topic = topic
        self.brokerName = brokerName
        self.due = due
        self.uniqueKey = uniqueKey
    }

    /// The handle that `text` spells, or nil. Clients may leave the padding away.
    public init?(_ text: String) {
        guard let bytes = Base64URL.decode(text) else { return nil }
        let parts = String(decoding: bytes, as: UTF8.self).split(separator: " ", omittingEmptySubsequences: false)
        guard parts.count >= 5, parts[0] == "v1", let due = Int64(parts[3]) else { return nil }
        self.init(
            topic: String(parts[1]), brokerName: String(parts[2]), due: Timestamp(milliseconds: due),
            uniqueKey: String(parts[4]))
    }

    public var text: String { Base64URL.encode(Array("v1 \(topic) \(brokerName) \(due) \(uniqueKey)".utf8)) }
}

/// RFC 4648 §5, with padding, as Java's `Base64.getUrlEncoder()`.
public enum Base64URL {
    private static let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_".utf8)

    public static func encode(_ bytes: [UInt8]) -> String {
        var text: [UInt8] = []
        for start in stride(from: 0, to: bytes.count, by: 3) {
            let group = bytes[start..<min(start + 3, bytes.count)]
            var bits: UInt32 = 0
            for index in 0..<3 { bits = bits << 8 | UInt32(index < group.count ? group[start + index] : 0) }
            for index in 0..<4 {
                let digit = alphabet[Int(bits >> UInt32(18 - 6 * index) & 63)]
                text.append(index <= group.count ? digit : UInt8(ascii: "="))
            }
        }
        return String(decoding: text, as: UTF8.self)
    }

    public static func decode(_ text: String) -> [UInt8]? {
        var digits = Array(text.utf8)
        while digits.last == UInt8(ascii: "=") { digits.removeLast() }
        guard digits.count % 4 != 1, !digits.isEmpty else { return nil }
        var bytes: [UInt8] = []
        var bits: UInt32 = 0
        var count = 0
        for digit in digits {
            guard let value = alphabet.firstIndex(of: digit) else { return nil }
            bits = bits << 6 | UInt32(value)
            count += 6
            if count >= 8 {
                count -= 8
                bytes.append(UInt8(truncatingIfNeeded: bits >> UInt32(count)))
            }
        }
        return bytes
    }
}
