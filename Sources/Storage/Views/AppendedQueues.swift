/// The queues of the records that were appended and that the views have not seen, in the order of the log: what spares the
/// views a second search for a topic that whoever appended has found already. State records, which are in no queue, are left
/// out.
struct AppendedQueues {
    /// Records of one queue that follow each other, as those of a batch do.
    private struct Run {
        let queue: StoredQueue
        var count: Int
    }

    /// Rows shorter than this are not moved forward.
    private static let compactedMinimum = 4_096

    private var row: ContiguousArray<Run> = []
    private var head = 0

    var isEmpty: Bool { head == row.count }

    @inline(__always)
    mutating func append(_ queue: StoredQueue) {
        let last = row.count - 1
        if last >= head, row[last].queue === queue {
            row[last].count += 1
        } else {
            row.append(Run(queue: queue, count: 1))
        }
    }

    /// The queue of the oldest record, and how many records of it come first.
    /// - Precondition: not empty.
    @inline(__always)
    var first: (queue: StoredQueue, count: Int) { (row[head].queue, row[head].count) }

    /// The oldest record has been seen.
    @inline(__always)
    mutating func removeFirst() {
        row[head].count -= 1
        if row[head].count == 0 { head += 1 }
    }

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
