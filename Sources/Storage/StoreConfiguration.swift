import Base

/// How a store lays out its files and how eagerly it writes them. RocketMQ's names are given for each.
public struct StoreConfiguration: Sendable {
    /// The folder of the store (`storePathRootDir`).
    public var root: String
    /// The folder of the commit log's segments (`storePathCommitLog`); default `<root>/commitlog`.
    public var commitLogPath: String
    /// Bytes of one segment (`mappedFileSizeCommitLog`), default 1 GiB.
    public var segmentSize = 1024 * 1024 * 1024
    /// Bytes of one of the four chunks in which the newest records lie in memory; nil for what the largest message needs, at
    /// least 4 MiB. A record that does not fit is refused.
    public var tailChunkSize: Int?
    public var consumeQueue = ConsumeQueueConfiguration()
    /// Whether messages are indexed by key (`messageIndexEnable`).
    public var isMessageIndexEnabled = true
    public var messageIndex = MessageIndexConfiguration()
    /// When an append counts as done (`flushDiskType`).
    public var flushMode = FlushMode.asynchronous
    /// How long written bytes may stay out of the medium with asynchronous flush (`flushIntervalCommitLog`), in ms.
    public var flushIntervalMilliseconds: Int64 = 500
    /// Largest body, in bytes (`maxMessageSize`).
    public var messageSizeMaximum = Limits.messageSizeDefault
    /// How often the views are made durable, in ms. Recovery replays at most what was appended since.
    public var checkpointIntervalMilliseconds: Int64 = 5_000
    /// Files of consume queues that are held open at once.
    public var openFilesMaximum = 1_024
    public var retention = RetentionConfiguration()
    public var fetchLimits = FetchLimits()
    /// Messages this many bytes behind the end of the log count as old: answers with them hold less
    /// (`accessMessageInMemoryMaxRatio`, 40 % of the machine's memory).
    public var hotRangeBytes = 8 * 1024 * 1024 * 1024

    public init(root: String) {
        self.root = root
        commitLogPath = root + "/commitlog"
    }

    public enum FlushMode: Equatable, Sendable {
        /// Done, and shown to consumers, when in the page cache: survives the process, not a power cut.
        case asynchronous
        /// Done, and shown to consumers, when on the medium.
        case synchronous
    }
}
