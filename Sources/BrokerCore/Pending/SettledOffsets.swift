import Base
import Model

/// A set of the offsets of one queue that fills up from below.
///
///     base          dense words                      far words
///      │ 1…1 1 0 1 │ 1 1 0 0 … │        (nothing)      │ 0 1 0 │
///
/// Offsets come from records of the log, and a record may be forged, or rotten beneath a checksum that is right. So memory
/// follows from how many offsets are in the set, never from how far away one of them is: the dense row grows only where enough of
/// it is filled (``wordsEach``), and what lies beyond is kept word by word.
struct SettledOffsets {
    /// Everything before is in the set. A multiple of 64.
    private(set) var base: Int64 = 0
    /// 64 offsets each, from ``base`` on; the lowest bit is the first. The first word is never full.
    private var dense: ArraySlice<UInt64> = []
    /// Words behind the dense ones, by number: 64 offsets each from 0 on. None is 0.
    private var far: [Int64: UInt64] = [:]
    /// Words, dense and far, that are not 0.
    private var used = 0
    /// How many offsets are in the set.
    private(set) var count: Int64 = 0

    private static let width = Int64(UInt64.bitWidth)
    /// Dense words that there may be for each word that is not 0, and at least.
    static let wordsEach = 8
    static let wordsMinimum = 64

    /// Words that memory is held for.
    var wordCount: Int { dense.count + far.count }

    private var firstNumber: Int64 { base / Self.width }

    /// - Parameter index: of a word, counted from ``base``.
    private func word(_ index: Int) -> UInt64 {
        if index < dense.count { return dense[dense.startIndex + index] }
        return far.isEmpty ? 0 : far[firstNumber + Int64(index)] ?? 0
    }

    func contains(_ offset: QueueOffset) -> Bool {
        let distance = offset.rawValue - base
        guard distance >= 0 else { return true }
        return word(Int(distance / Self.width)) & 1 << UInt64(distance % Self.width) != 0
    }

    var firstMissing: QueueOffset { QueueOffset(base + Int64((~word(0)).trailingZeroBitCount)) }

    func firstMissing(from offset: QueueOffset) -> QueueOffset {
        let distance = max(offset.rawValue, base) - base
        var index = Int(distance / Self.width)
        // What lies before the offset counts as there.
        var word = word(index) | (1 << UInt64(distance % Self.width) - 1)
        while word == .max {
            index += 1
            word = self.word(index)
        }
        return QueueOffset(base + Int64(index) * Self.width + Int64((~word).trailingZeroBitCount))
    }

    mutating func insert(_ offset: QueueOffset) {
        insert(word: 1 << UInt64(offset.rawValue % Self.width), at: QueueOffset(offset.rawValue & ~(Self.width - 1)))
    }

    mutating func insertAll(before offset: QueueOffset) {
        let end = offset.rawValue & ~(Self.width - 1)
        if end > base { removeWords(before: end / Self.width) }
        let rest = offset.rawValue - base
        if rest > 0 { insert(word: 1 << UInt64(rest) - 1, at: QueueOffset(base)) }
        dropFullWords()
    }

    private mutating func removeWords(before number: Int64) {
        let dropped = Int(min(number - firstNumber, Int64(dense.count)))
        for word in dense.prefix(dropped) where word != 0 {
            count -= Int64(word.nonzeroBitCount)
            used -= 1
        }
        dense.removeFirst(dropped)
        for (known, word) in far where known < number {
            count -= Int64(word.nonzeroBitCount)
            used -= 1
            far[known] = nil
        }
        count += (number - firstNumber) * Self.width
        base = number * Self.width
    }

    /// - Parameter offset: a multiple of 64.
    mutating func insert(word: UInt64, at offset: QueueOffset) {
        let distance = offset.rawValue - base
        guard distance >= 0, word != 0 else { return }
        let index = Int(distance / Self.width)
        let old = self.word(index)
        if old == 0 { used += 1 }
        count += Int64((word & ~old).nonzeroBitCount)
        if index >= dense.count, index < max(Self.wordsMinimum, used * Self.wordsEach) { makeDense(upTo: index) }
        if index < dense.count {
            dense[dense.startIndex + index] = old | word
            dropFullWords()
        } else {
            far[firstNumber + Int64(index)] = old | word
        }
    }

    /// Makes the dense row hold the word at `index` and all before.
    private mutating func makeDense(upTo index: Int) {
        while dense.count <= index {
            let number = firstNumber + Int64(dense.count)
            dense.append(far.isEmpty ? 0 : far.removeValue(forKey: number) ?? 0)
        }
    }

    private mutating func dropFullWords() {
        while word(0) == .max {
            if dense.isEmpty { makeDense(upTo: 0) }
            dense.removeFirst()
            used -= 1
            base += Self.width
        }
    }

    /// Calls `body` with words that follow each other and the offset of the first one, which bring a set that has
    /// ``base`` to this state; at most `maximum` words at a time.
    func forEachRun(ofAtMost maximum: Int, _ body: (QueueOffset, [UInt64]) -> Void) {
        var index = 0
        while index < dense.count {
            let words = Array(dense.dropFirst(index).prefix(maximum))
            body(QueueOffset(base + Int64(index) * Self.width), words)
            index += words.count
        }
        var run: [UInt64] = []
        var next: Int64 = 0
        func emit() {
            guard !run.isEmpty else { return }
            body(QueueOffset((next - Int64(run.count)) * Self.width), run)
            run.removeAll(keepingCapacity: true)
        }
        for number in far.keys.sorted() {
            if number != next || run.count == maximum { emit() }
            run.append(far[number] ?? 0)
            next = number + 1
        }
        emit()
    }
}
