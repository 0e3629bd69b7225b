import Base
import Model

/// The half messages that are to be looked at, the next one first: a binary heap.
struct CheckHeap {
    struct Entry {
        var due: MonotonicTime
        var offset: QueueOffset
    }

    private var entries: ContiguousArray<Entry> = []

    var count: Int { entries.count }
    var first: Entry? { entries.first }

    /// Cheap for times that ascend, which most do.
    mutating func insert(_ entry: Entry) {
        var index = entries.count
        entries.append(entry)
        while index > 0 {
            let parent = (index - 1) / 2
            guard entry.due < entries[parent].due else { break }
            entries[index] = entries[parent]
            index = parent
        }
        entries[index] = entry
    }

    mutating func removeFirst() {
        let last = entries.removeLast()
        guard !entries.isEmpty else { return }
        var index = 0
        while true {
            var child = 2 * index + 1
            guard child < entries.count else { break }
            if child + 1 < entries.count, entries[child + 1].due < entries[child].due { child += 1 }
            guard entries[child].due < last.due else { break }
            entries[index] = entries[child]
            index = child
        }
        entries[index] = last
    }

    mutating func removeAll() { entries.removeAll() }
}
