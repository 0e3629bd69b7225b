import Base

/// What is going to happen in a simulated world, in the order of its times; of equal times, in the order it was put.
///
/// Time is counted in microseconds from the start of the world. It stands still while something happens, and leaps to the next
/// thing that does, so that an hour in which nothing happens costs nothing.
final class Schedule {
    /// What happens stands in ``bodies``: so the heap moves only numbers.
    private struct Event {
        var time: Int64
        var number: Int
        var body: Int

        @inline(__always)
        static func isBefore(_ a: Event, _ b: Event) -> Bool {
            a.time != b.time ? a.time < b.time : a.number < b.number
        }
    }

    private var heap: [Event] = []
    private var bodies: [(() -> Void)?] = []
    /// Places in ``bodies`` that are free.
    private var free: [Int] = []
    private var lastNumber = 0
    private(set) var now: Int64 = 0
    /// Events that have happened.
    private(set) var count = 0

    var milliseconds: Int64 { now / 1_000 }

    /// Lets `run` happen so many microseconds from now.
    func after(_ microseconds: Int64, _ run: @escaping () -> Void) {
        precondition(microseconds >= 0, "nothing happens in the past")
        lastNumber += 1
        let body: Int
        if let place = free.popLast() {
            body = place
            bodies[place] = run
        } else {
            body = bodies.count
            bodies.append(run)
        }
        heap.append(Event(time: now + microseconds, number: lastNumber, body: body))
        var index = heap.count - 1
        while index > 0 {
            let parent = (index - 1) / 2
            guard Event.isBefore(heap[index], heap[parent]) else { break }
            heap.swapAt(index, parent)
            index = parent
        }
    }

    func after(milliseconds: Int64, _ run: @escaping () -> Void) { after(milliseconds * 1_000, run) }

    /// Lets the next thing happen.
    /// - Returns: false when nothing is left before `end`; then it is `end`.
    func step(until end: Int64) -> Bool {
        guard let first = heap.first, first.time <= end else {
            now = max(now, end)
            return false
        }
        removeFirst()
        now = first.time
        count += 1
        let run = bodies[first.body]
        bodies[first.body] = nil
        free.append(first.body)
        run?()
        return true
    }

    /// Forgets everything that was to happen.
    func removeAll() {
        heap.removeAll()
        bodies.removeAll()
        free.removeAll()
    }

    private func removeFirst() {
        let last = heap.removeLast()
        guard !heap.isEmpty else { return }
        heap[0] = last
        var index = 0
        while true {
            var smallest = 2 * index + 1
            guard smallest < heap.count else { return }
            if smallest + 1 < heap.count, Event.isBefore(heap[smallest + 1], heap[smallest]) { smallest += 1 }
            guard Event.isBefore(heap[smallest], heap[index]) else { return }
            heap.swapAt(index, smallest)
            index = smallest
        }
    }
}

/// The clocks of one machine: they run with the world, and the wall clock can be set.
final class MachineClock: Clock {
    private let schedule: Schedule
    /// What the wall clock shows too much, in ms.
    private(set) var offset: Int64 = 0

    /// 2026-11-20 18:40 UTC.
    static let start: Int64 = 1_795_200_000_000

    init(_ schedule: Schedule) { self.schedule = schedule }

    var timestamp: Timestamp { Timestamp(milliseconds: Self.start + schedule.milliseconds + offset) }
    var monotonic: MonotonicTime { MonotonicTime(nanoseconds: 1_000_000_000 + schedule.now * 1_000) }

    func set(offset: Int64) { self.offset = offset }
}
