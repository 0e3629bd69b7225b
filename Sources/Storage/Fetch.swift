import Base

/// How a fetch went: RocketMQ's `GetMessageStatus` (remoting reference §1.9), and one of our own.
public enum FetchStatus: Equatable, Sendable {
    case found
    /// Messages were there, but none passed the filter.
    case noMatchedMessage
    /// The messages' segment was removed meanwhile.
    case messageWasRemoving
    /// The queue never held a message.
    case noMessageInQueue
    /// Before the oldest message.
    case offsetTooSmall
    /// Just behind the newest message: there is nothing new.
    case offsetOverflowOne
    /// Beyond that.
    case offsetOverflowBadly
    /// The records are on the medium only.
    case cold

    /// Why an offset has no message; nil when it has one.
    static func outside(_ offset: QueueOffset, minimum: QueueOffset, maximum: QueueOffset) -> FetchStatus? {
        if maximum == .zero { return .noMessageInQueue }
        if offset < minimum { return .offsetTooSmall }
        if offset == maximum { return .offsetOverflowOne }
        if offset > maximum { return .offsetOverflowBadly }
        return nil
    }

    /// Where the client goes on.
    func nextOffset(after offset: QueueOffset, minimum: QueueOffset, maximum: QueueOffset) -> QueueOffset {
        switch self {
        case .noMessageInQueue: .zero
        case .offsetTooSmall: minimum
        case .offsetOverflowBadly: maximum
        default: offset
        }
    }
}

/// What a fetch found.
public struct FetchResult: Equatable, Sendable {
    public var status = FetchStatus.found
    /// Where the next fetch begins.
    public var nextOffset: QueueOffset
    public var minimumOffset: QueueOffset
    public var maximumOffset: QueueOffset
    /// Messages and bytes that were appended.
    public var messageCount = 0
    public var byteCount = 0
    /// With ``FetchStatus/cold``: where the first record that must come from the medium lies.
    public var coldOffset = PhysicalOffset.zero

    public init(nextOffset: QueueOffset, minimumOffset: QueueOffset, maximumOffset: QueueOffset) {
        self.nextOffset = nextOffset
        self.minimumOffset = minimumOffset
        self.maximumOffset = maximumOffset
    }
}

/// How much one answer may hold, with RocketMQ's names and defaults.
public struct FetchLimits: Sendable {
    /// `maxTransferBytesOnMessageInMemory`.
    public var bytesInMemory = 256 * 1024
    /// `maxTransferCountOnMessageInMemory`.
    public var countInMemory = 32
    /// `maxTransferBytesOnMessageInDisk`: for messages so old that RocketMQ expects them to have left the page cache.
    public var bytesOnDisk = 64 * 1024
    /// `maxTransferCountOnMessageInDisk`.
    public var countOnDisk = 8

    public init() {}

    /// Consume queue entries of 20 bytes that one filtered fetch looks at: 16,000 bytes' worth, or more when more messages
    /// are asked (`maxFilterMessageSize`).
    static let scanMinimum = 16_000 / 20
    /// Entries that are looked at in one go.
    static let scanPiece = 64
    /// Bytes of a record that are read without a look at its head: less than the sum of an answer.
    static let trustedSize = 256 * 1024
    /// Bytes that one cold fetch brings into the page cache.
    static let prefetchSize = 256 * 1024

    /// Bytes that a fetch with a filter over records reads in one piece; larger records are read in parts.
    static let selectionPiece = 64 * 1024
    /// Bytes of other queues' records that are read along, to get two records in one piece.
    static let selectionGap = 4 * 1024
    /// Bytes after which such a fetch ends with what it has.
    static let selectionBytesMaximum = 4 * 1024 * 1024

    static func scanCount(maximumCount: Int) -> Int { max(scanMinimum, maximumCount) }

    /// Whether an answer that holds `result` has no room for `size` bytes more. The first message always has.
    @inline(__always)
    static func isFull(
        _ result: FetchResult, adding size: Int, maximumCount: Int, isOld: Bool, limits: FetchLimits
    ) -> Bool {
        guard result.messageCount > 0 else { return false }
        if result.messageCount >= maximumCount { return true }
        if isOld {
            return result.byteCount + size > limits.bytesOnDisk || result.messageCount >= limits.countOnDisk
        }
        return result.byteCount + size > limits.bytesInMemory || result.messageCount >= limits.countInMemory
    }
}
