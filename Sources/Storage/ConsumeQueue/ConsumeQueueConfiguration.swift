/// Settings shared by all consume queues of a store.
public struct ConsumeQueueConfiguration: Equatable, Sendable {
    /// Entries in one file. RocketMQ's default; its `mappedFileSizeConsumeQueue` is this times 20 bytes. A directory is
    /// opened with the number it was written with.
    public var entriesPerFile: Int
    /// Entries gathered in memory before they are written in one piece. At 128 a write of 2.5 KiB costs about 1 µs, so
    /// 8 ns an entry; more would save little and cost memory in each busy queue.
    public var tailEntriesMaximum: Int

    public init(entriesPerFile: Int = 300_000, tailEntriesMaximum: Int = 128) {
        precondition(entriesPerFile > 0 && tailEntriesMaximum >= 2)
        self.entriesPerFile = entriesPerFile
        self.tailEntriesMaximum = tailEntriesMaximum
    }

    /// Length of a file in bytes.
    public var fileSize: Int { entriesPerFile * ConsumeQueueEntry.encodedSize }
}
