import Base

/// A timer in memory: when its record is to be looked at, and where that is.
struct PendingTimer: Equatable {
    /// Milliseconds since 1970.
    var wake: Int64
    var offset: PhysicalOffset
    /// `PendingID/field`.
    var pending: Int64
    var size: Int32

    /// The earlier first; of the same millisecond, the one that was sent first.
    @inline(__always)
    static func isBefore(_ a: Self, _ b: Self) -> Bool {
        a.wake != b.wake ? a.wake < b.wake : a.offset < b.offset
    }
}

/// The timers of the near future; the first to wake is at hand.
struct TimerHeap {
    private var timers: ContiguousArray<PendingTimer> = []

    var count: Int { timers.count }
    var first: PendingTimer? { timers.first }

    mutating func insert(_ timer: PendingTimer) {
        timers.append(timer)
        var index = timers.count - 1
        while index > 0 {
            let parent = (index - 1) / 2
            guard PendingTimer.isBefore(timers[index], timers[parent]) else { break }
            timers.swapAt(index, parent)
            index = parent
        }
    }

    mutating func removeFirst() {
        let last = timers.removeLast()
        guard !timers.isEmpty else { return }
        timers[0] = last
        sink(0)
    }

    mutating func removeAll() { timers.removeAll() }

    private mutating func sink(_ start: Int) {
        var index = start
        while true {
            var smallest = 2 * index + 1
            guard smallest < timers.count else { return }
            if smallest + 1 < timers.count, PendingTimer.isBefore(timers[smallest + 1], timers[smallest]) {
                smallest += 1
            }
            guard PendingTimer.isBefore(timers[smallest], timers[index]) else { return }
            timers.swapAt(index, smallest)
            index = smallest
        }
    }

    /// Removes the later half, and as many more as wake in the same millisecond as the first of those.
    /// - Returns: the moment from which on timers are missing now.
    /// - Precondition: it is not empty.
    mutating func removeLaterHalf() -> Int64 {
        let target = timers.count / 2
        // The latest moment before which no more than half of them wake; before `low` there are few enough, before `high` too many.
        var low = timers[0].wake
        var high = timers.reduce(low) { max($0, $1.wake) } + 1
        while high - low > 1 {
            let middle = low + (high - low) / 2
            if count(before: middle) <= target { low = middle } else { high = middle }
        }
        timers.removeAll { $0.wake >= low }
        for index in stride(from: timers.count / 2 - 1, through: 0, by: -1) { sink(index) }
        return low
    }

    private func count(before wake: Int64) -> Int {
        var count = 0
        for timer in timers where timer.wake < wake { count += 1 }
        return count
    }
}
