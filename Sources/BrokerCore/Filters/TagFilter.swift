import Bytes
import Model

/// Which messages of a queue a subscription wants, by the hash of their tag. Tags whose hashes collide pass too: clients
/// compare the text again, as with RocketMQ.
public struct TagFilter: Equatable, Sendable {
    /// Nil lets everything pass. Few, so a walk is quicker than a set.
    private let hashes: ContiguousArray<Int64>?

    public static let all = TagFilter(hashes: nil)

    private init(hashes: ContiguousArray<Int64>?) { self.hashes = hashes }

    /// The filter of a subscription by tags, from the hashes that the client computed.
    public init(_ subscription: Subscription) {
        hashes = subscription.matchesAll ? nil : ContiguousArray(subscription.tagHashes.map(Int64.init))
    }

    /// The filter of an expression such as `a || b`; `*` and the empty one let everything pass.
    /// - Returns: nil when the expression names no tag.
    public init?(expression: String) {
        let trimmed = Self.trim(expression[...])
        if trimmed.isEmpty || trimmed == "*" {
            hashes = nil
            return
        }
        let tags = Self.tags(of: expression)
        guard !tags.isEmpty else { return nil }
        hashes = ContiguousArray(tags.map { Int64(javaHash($0)) })
    }

    /// The tags of an expression, in order, without the blanks around them.
    public static func tags(of expression: String) -> [String] {
        expression.split(separator: "||").map { Self.trim($0) }.filter { !$0.isEmpty }.map(String.init)
    }

    private static func trim(_ text: Substring) -> Substring {
        var text = text.drop { $0 == " " || $0 == "\t" || $0 == "\n" || $0 == "\r" }
        while let last = text.last, last == " " || last == "\t" || last == "\n" || last == "\r" { text.removeLast() }
        return text
    }

    @inline(__always)
    public func matches(_ tagsCode: Int64) -> Bool {
        guard let hashes else { return true }
        for hash in hashes where hash == tagsCode { return true }
        return false
    }
}
