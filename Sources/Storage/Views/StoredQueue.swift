import Base
import Bytes
import Model

/// One message queue of the store: its consume queue, and the offset that the next message will get.
public final class StoredQueue {
    // What an append looks at comes first, so that it lies in one line of the processor's cache.
    let consumeQueue: ConsumeQueue
    public let queueID: QueueID
    /// Whether the store has it on its list of queues with entries that are not in a file.
    @exclusivity(unchecked) var isListedAsDirty = false
    /// The offset of the next append. Ahead of ``maximumOffset`` by the messages that are appended but not yet visible.
    @exclusivity(unchecked) public internal(set) var nextOffset: QueueOffset
    /// Told about each message that becomes visible; nil while nobody waits, which is the common case.
    @exclusivity(unchecked) public var observer: (any StoredQueueObserver)?
    public let topic: StoredTopic

    /// What is being looked for in the log, because its entry is damaged.
    var mending: QueueMending?
    /// Messages that were looked for and are not in the log, or lie in damaged bytes of it.
    var unmendable: [UnmendableMessages] = []

    /// Whether it has been looked at if files at its front were lost.
    var isFrontKnown = false

    /// Messages before this one are not shown to consumers any more, though the log may have them.
    var hiddenBefore = QueueOffset.zero
    /// Where the log began when the minimum was last looked after.
    private var knownLogStart: PhysicalOffset?

    private init(topic: StoredTopic, queueID: QueueID, consumeQueue: ConsumeQueue) {
        self.topic = topic
        self.queueID = queueID
        self.consumeQueue = consumeQueue
        nextOffset = consumeQueue.maximumOffset
    }

    /// The queue with what its folder holds.
    /// - Parameters replayStart, maximum: see ``ConsumeQueue/load(replayingFrom:endingAt:)``.
    static func load(
        topic: StoredTopic, queueID: QueueID, configuration: StoreConfiguration, disk: any Disk, files: OpenFileCache,
        replayStart: PhysicalOffset?, maximum: QueueOffset?
    ) throws(StorageError) -> StoredQueue {
        let consumeQueue = ConsumeQueue(
            directory: "\(configuration.root)/consumequeue/\(topic.name)/\(queueID)",
            configuration: configuration.consumeQueue, disk: disk, files: files)
        do {
            try consumeQueue.load(replayingFrom: replayStart, endingAt: maximum)
        } catch {
            throw StorageError(error)
        }
        return StoredQueue(topic: topic, queueID: queueID, consumeQueue: consumeQueue)
    }

    /// What is wrong with a queue that was loaded and had lost its files; nil usually.
    var loss: StorageError? {
        guard consumeQueue.isLost else { return nil }
        return .corrupt(
            file: consumeQueue.directory, position: 0,
            reason:
                "the queue reached to \(maximumOffset) and has no files; 'apus store repair' makes it anew from the log"
        )
    }

    /// The offset of the oldest message whose record the log still has.
    func minimumOffset(logStart: PhysicalOffset) throws(DiskError) -> QueueOffset {
        if knownLogStart != logStart {
            try consumeQueue.correctMinimum(logStart: logStart)
            knownLogStart = logStart
        }
        return max(consumeQueue.minimumOffset, hiddenBefore)
    }

    /// Has what the views will look at brought near, for a message is on its way. Queues are visited in no order, and with ten
    /// thousands of them each look is a wait for memory otherwise.
    @inline(__always)
    func lookAhead() { prefetch(UnsafeRawPointer(Unmanaged.passUnretained(consumeQueue).toOpaque()) + 32) }

    /// The first offset that consumers cannot see yet.
    @inline(__always)
    public var maximumOffset: QueueOffset { consumeQueue.maximumOffset }

    /// The entry of the newest message that is visible; nil when there is none, or it cannot be read.
    public var lastEntry: ConsumeQueueEntry? { try? consumeQueue.lastEntry }
}

/// Hears of messages that become visible in a queue.
public protocol StoredQueueObserver: AnyObject {
    /// A message with this hash of its tag, and this property string, is visible now: the one before the queue's maximum
    /// offset. Called before the end of the turn: answer waiters later, in one go.
    func messageVisible(in queue: StoredQueue, tagsCode: Int64, properties: RawSpan)
}

/// The queues of one topic that have ever been touched.
public final class StoredTopic {
    public let name: String
    /// The name as records have it.
    let nameBytes: [UInt8]
    @exclusivity(unchecked) var queues: [StoredQueue?] = []
    /// Whether the tags codes of its entries are hashes of tags, and no times.
    let isTagged: Bool

    init(name: String) {
        self.name = name
        nameBytes = Array(name.utf8)
        isTagged = name != SystemTopics.schedule && name != SystemTopics.timerWheel
    }
}
