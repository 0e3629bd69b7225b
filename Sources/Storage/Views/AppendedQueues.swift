/// The queues of the records that were appended and that the views have not seen, in the order of the log: what spares the
/// views a second search for a topic that whoever appended has found already.
struct AppendedQueues {
    /// Rows shorter than this are not moved forward.
    private static let compactedMinimum = 4_096

    private var row: ContiguousArray<StoredQueue> = []
    private var head = 0

    var isEmpty: Bool { head == row.count }

    @inline(__always)
    mutating func append(_ queue: StoredQueue) { row.append(queue) }

    /// The queue of the oldest record.
    /// - Precondition: not empty.
    @inline(__always)
    var first: StoredQueue { row[head] }

    /// The oldest record has been seen.
    @inline(__always)
    mutating func removeFirst() { head += 1 }

    /// Gives back the front of the row: at the end of a turn. While the disk makes writers wait the row is never empty, so it
    /// must not wait for that.
    mutating func compact() {
        if isEmpty {
            row.removeAll(keepingCapacity: true)
            head = 0
        } else if head >= Self.compactedMinimum, head * 2 >= row.count {
            row.removeSubrange(..<head)
            head = 0
        }
    }
}
