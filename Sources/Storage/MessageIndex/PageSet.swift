/// A set of page numbers below a fixed bound, one bit each.
struct PageSet {
    /// Bytes in a page: what the kernel's page cache and the medium write at once.
    static let pageSize = 4096

    let count: Int
    private var words: [UInt64]

    init(count: Int) {
        self.count = count
        words = Array(repeating: 0, count: (count + 63) / 64)
    }

    var isEmpty: Bool { words.allSatisfy { $0 == 0 } }

    @inline(__always)
    mutating func insert(_ page: Int) { words[page >> 6] |= 1 << UInt64(page & 63) }

    mutating func remove(_ pages: Range<Int>) {
        for page in pages { words[page >> 6] &= ~(1 << UInt64(page & 63)) }
    }

    func contains(_ page: Int) -> Bool { words[page >> 6] & 1 << UInt64(page & 63) != 0 }

    /// The first run of pages at or behind `start`, of at most `maximumCount`; nil when there is none.
    func run(from start: Int, maximumCount: Int) -> Range<Int>? {
        guard let first = first(from: start) else { return nil }
        var end = first + 1
        while end < count, end - first < maximumCount, contains(end) { end += 1 }
        return first..<end
    }

    private func first(from start: Int) -> Int? {
        guard start < count else { return nil }
        var index = start >> 6
        var word = words[index] & (UInt64.max << UInt64(start & 63))
        while word == 0 {
            index += 1
            guard index < words.count else { return nil }
            word = words[index]
        }
        return index << 6 + word.trailingZeroBitCount
    }
}
