/// Strong types for the numbers that a broker mixes most easily. Each is one integer wide and costs nothing.

/// A byte offset in the commit log of one broker. Offsets are never reused; the log's first byte is 0.
public struct PhysicalOffset: Hashable, Comparable, Sendable, CustomStringConvertible {
    public var rawValue: Int64
    @inlinable public init(_ rawValue: Int64) { self.rawValue = rawValue }
    public static let zero = PhysicalOffset(0)
    @inlinable public static func < (a: Self, b: Self) -> Bool { a.rawValue < b.rawValue }
    /// The offset `bytes` further on.
    @inlinable public func advanced(by bytes: Int) -> Self { Self(rawValue + Int64(bytes)) }
    /// The number of bytes from `start` to this offset; negative when `start` lies behind it.
    @inlinable public func bytes(since start: Self) -> Int { Int(rawValue - start.rawValue) }
    public var description: String { String(rawValue) }
}

/// The ordinal of a message in one message queue: the first message ever written to a queue has 0.
public struct QueueOffset: Hashable, Comparable, Sendable, CustomStringConvertible {
    public var rawValue: Int64
    @inlinable public init(_ rawValue: Int64) { self.rawValue = rawValue }
    public static let zero = QueueOffset(0)
    @inlinable public static func < (a: Self, b: Self) -> Bool { a.rawValue < b.rawValue }
    @inlinable public func advanced(by messages: Int) -> Self { Self(rawValue + Int64(messages)) }
    /// The number of messages from `start` to this offset; negative when `start` lies behind it.
    @inlinable public func messages(since start: Self) -> Int { Int(rawValue - start.rawValue) }
    public var description: String { String(rawValue) }
}

/// The number of a message queue within its topic on one broker, from 0.
public struct QueueID: Hashable, Comparable, Sendable, CustomStringConvertible {
    public var rawValue: Int32
    @inlinable public init(_ rawValue: Int32) { self.rawValue = rawValue }
    @inlinable public static func < (a: Self, b: Self) -> Bool { a.rawValue < b.rawValue }
    public var description: String { String(rawValue) }
}
