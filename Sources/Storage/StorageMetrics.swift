/// What the store counts, from the start of the process.
public struct StorageMetrics: Sendable {
    public var messagesDispatched: Int64 = 0
    /// Fetches that had to wait for the medium.
    public var coldReads: Int64 = 0
    /// Records that failed their checksum when they were to be served.
    public var damagedRecords: Int64 = 0
    /// Entries of consume queues that did not lead to the records of their messages.
    public var damagedEntries: Int64 = 0
    /// Those of them that were made anew from the log.
    public var mendedEntries: Int64 = 0
    /// Messages that were passed over, because their entries are damaged and the log does not have them.
    public var missingMessages: Int64 = 0
    public var checkpoints: Int64 = 0
    public var segmentsRemoved: Int64 = 0
}
