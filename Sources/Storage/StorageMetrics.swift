/// What the store counts, from the start of the process.
public struct StorageMetrics: Sendable {
    public var messagesDispatched: Int64 = 0
    /// Fetches that had to wait for the medium.
    public var coldReads: Int64 = 0
    /// Records that failed their checksum when they were to be served.
    public var damagedRecords: Int64 = 0
    public var checkpoints: Int64 = 0
    public var segmentsRemoved: Int64 = 0
}
