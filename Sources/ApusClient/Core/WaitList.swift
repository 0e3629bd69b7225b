import Base
import Runtime

/// Something that a task waits for, with a deadline.
protocol Waiting: AnyObject {
    var deadline: MonotonicTime { get }
    /// Ends the waiting with an error. Called once at most, after the entry has left its list.
    func fail(_ error: ClientError)
    /// What to fail with when the deadline has passed.
    var lateness: ClientError { get }
}

/// What tasks wait for, by number, and the one timer that ends what has waited too long. Belongs to a loop's thread.
///
/// The timer stands at the earliest deadline that was added since it last fired. Most entries leave long before theirs, and
/// most deadlines are equally far away, so the timer moves once in a timeout rather than once in a call.
final class WaitList {
    private let loop: EventLoop
    private var entries: [Int32: any Waiting] = [:]
    private var timer: LoopTimer?
    private var timerDeadline = MonotonicTime(nanoseconds: .max)
    private var lastNumber: Int32 = 0

    init(_ loop: EventLoop) { self.loop = loop }

    var count: Int { entries.count }

    /// A number that no entry has.
    func nextNumber() -> Int32 {
        repeat { lastNumber = lastNumber &+ 1 & Int32.max } while entries[lastNumber] != nil
        return lastNumber
    }

    func add(_ entry: any Waiting, _ number: Int32) {
        entries[number] = entry
        if entry.deadline < timerDeadline { arm(entry.deadline) }
    }

    /// Removes an entry; nil when it has left already.
    func take(_ number: Int32) -> (any Waiting)? { entries.removeValue(forKey: number) }

    subscript(number: Int32) -> (any Waiting)? { entries[number] }

    func fail(_ number: Int32, _ error: ClientError) { take(number)?.fail(error) }

    /// Fails every entry for which `condition` holds.
    func failAll(_ error: ClientError, where condition: (any Waiting) -> Bool = { _ in true }) {
        for (number, entry) in entries where condition(entry) {
            entries[number] = nil
            entry.fail(error)
        }
    }

    func cancelTimer() {
        timer?.cancel()
        timer = nil
        timerDeadline = MonotonicTime(nanoseconds: .max)
    }

    private func arm(_ deadline: MonotonicTime) {
        timer?.cancel()
        timerDeadline = deadline
        let wait = max(0, deadline.milliseconds(since: loop.clock.monotonic) + 1)
        timer = loop.schedule(afterMilliseconds: wait) { [weak self] in self?.expire() }
    }

    private func expire() {
        cancelTimer()
        let now = loop.clock.monotonic
        var earliest = MonotonicTime(nanoseconds: .max)
        for (number, entry) in entries {
            if entry.deadline <= now {
                entries[number] = nil
                entry.fail(entry.lateness)
            } else {
                earliest = min(earliest, entry.deadline)
            }
        }
        if earliest.nanoseconds < .max { arm(earliest) }
    }
}

/// A task that waits for a value which is not an answer of a server.
final class Waiter<Value: Sendable>: Waiting {
    let deadline: MonotonicTime
    private let what: String
    private let continuation: CheckedContinuation<Result<Value, ClientError>, Never>

    /// - Parameter what: of what it waits for, for the error.
    init(
        _ what: String, deadline: MonotonicTime, _ continuation: CheckedContinuation<Result<Value, ClientError>, Never>
    ) {
        self.what = what
        self.deadline = deadline
        self.continuation = continuation
    }

    func succeed(_ value: Value) { continuation.resume(returning: .success(value)) }
    func fail(_ error: ClientError) { continuation.resume(returning: .failure(error)) }
    var lateness: ClientError { ClientError(.timedOut, "\(what) took longer than the deadline allows") }
}
