/// Settings of the message index.
public struct MessageIndexConfiguration: Equatable, Sendable {
    /// Hash slots in a file; RocketMQ's `maxHashSlotNum`.
    public var slotCount: Int
    /// Places for entries in a file, the first of which stays unused; RocketMQ's `maxIndexNum`.
    public var entryCount: Int
    /// Entries gathered in memory before they are written in one piece: 3,000 are 60 KB, written in about 10 µs.
    public var pendingEntriesMaximum: Int

    public init(slotCount: Int = 5_000_000, entryCount: Int = 20_000_000, pendingEntriesMaximum: Int = 3000) {
        precondition(slotCount > 0 && entryCount > 1 && pendingEntriesMaximum > 0)
        precondition(slotCount < Int32.max && entryCount < Int32.max, "slots and entries are numbered with 31 bits")
        self.slotCount = slotCount
        self.entryCount = entryCount
        self.pendingEntriesMaximum = pendingEntriesMaximum
    }

    var layout: IndexLayout { IndexLayout(slotCount: slotCount, entryCount: entryCount) }
}
