/// Which of the numbers 0, 1, 2 … are there: one bit for each.
struct SequenceSet: Equatable, Sendable {
    private var words = ContiguousArray<UInt64>()
    private(set) var count = 0
    /// The largest member, or -1.
    private(set) var maximum: Int64 = -1

    /// Adds a number that is not negative.
    /// - Returns: false when it was there already.
    @inline(__always)
    mutating func insert(_ number: Int64) -> Bool {
        let word = Int(number >> 6)
        if word >= words.count { grow(to: word) }
        let bit: UInt64 = 1 << UInt64(number & 63)
        guard words[word] & bit == 0 else { return false }
        words[word] |= bit
        count += 1
        if number > maximum { maximum = number }
        return true
    }

    @inline(never)
    private mutating func grow(to word: Int) {
        let wanted = max(word + 1, words.count * 2, 1024)
        words.reserveCapacity(wanted)
        words.append(contentsOf: repeatElement(0, count: wanted - words.count))
    }

    func contains(_ number: Int64) -> Bool {
        let word = Int(number >> 6)
        return number >= 0 && word < words.count && words[word] & (1 << UInt64(number & 63)) != 0
    }

    /// Members that `other` lacks.
    func countMissing(in other: SequenceSet) -> Int {
        var missing = 0
        for (index, word) in words.enumerated() {
            missing += (word & ~(index < other.words.count ? other.words[index] : 0)).nonzeroBitCount
        }
        return missing
    }

    /// The first member that `other` lacks.
    func firstMissing(in other: SequenceSet) -> Int64? {
        for (index, word) in words.enumerated() {
            let missing = word & ~(index < other.words.count ? other.words[index] : 0)
            if missing != 0 { return Int64(index) << 6 + Int64(missing.trailingZeroBitCount) }
        }
        return nil
    }

    /// Numbers below the maximum that are not there.
    var holes: Int { Int(maximum + 1) - count }

    /// Adds all members of `other`.
    /// - Returns: how many were there already.
    mutating func formUnion(_ other: SequenceSet) -> Int {
        var shared = 0
        if other.words.count > words.count { grow(to: other.words.count - 1) }
        for (index, word) in other.words.enumerated() {
            shared += (words[index] & word).nonzeroBitCount
            words[index] |= word
        }
        count += other.count - shared
        maximum = max(maximum, other.maximum)
        return shared
    }

    /// The members as closed ranges, in order.
    var ranges: [ClosedRange<Int64>] {
        var result: [ClosedRange<Int64>] = []
        var start: Int64?
        for number in 0..<(maximum + 2) {
            if contains(number) {
                if start == nil { start = number }
            } else if let first = start {
                result.append(first...number - 1)
                start = nil
            }
        }
        return result
    }
}
