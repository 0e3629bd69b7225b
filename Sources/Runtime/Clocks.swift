import Base
import Glibc

/// The kernel's clocks, read at each call: for threads without an event loop.
public final class SystemClock: Clock {
    public init() {}
    public var timestamp: Timestamp { Timestamp(milliseconds: nanoseconds(CLOCK_REALTIME) / 1_000_000) }
    public var monotonic: MonotonicTime { MonotonicTime(nanoseconds: nanoseconds(CLOCK_MONOTONIC)) }
}

/// The clock of an event loop. It reads the kernel when a turn starts and stands still until the turn ends; between turns
/// (before the loop runs, for instance during recovery) it reads the kernel at each call.
final class TurnClock: Clock {
    private(set) var isInTurn = false
    private var heldTimestamp = Timestamp(milliseconds: 0)
    private(set) var turnStart = MonotonicTime(nanoseconds: 0)
    private var turnEnd: MonotonicTime?
    /// The time between turns, in nanoseconds, up to the start of this one.
    private var idleNanoseconds: Int64 = 0

    var timestamp: Timestamp {
        isInTurn ? heldTimestamp : Timestamp(milliseconds: nanoseconds(CLOCK_REALTIME) / 1_000_000)
    }
    var monotonic: MonotonicTime {
        isInTurn ? turnStart : MonotonicTime(nanoseconds: nanoseconds(CLOCK_MONOTONIC))
    }

    /// Marks the start of a turn, unless one is under way. Every callback from libuv begins with it.
    @inline(__always)
    func startTurn() {
        if !isInTurn { readKernel() }
    }

    @inline(never)
    private func readKernel() {
        heldTimestamp = timestamp
        turnStart = monotonic
        if let turnEnd { idleNanoseconds += turnStart.nanoseconds - turnEnd.nanoseconds }
        isInTurn = true
    }

    /// Ends the turn.
    /// - Returns: its length in nanoseconds.
    func endTurn() -> Int64 {
        isInTurn = false
        let end = monotonic
        turnEnd = end
        return end.nanoseconds - turnStart.nanoseconds
    }

    /// A clock of the time that the loop has: it goes while the loop works and while it waits for something to do, and stands still
    /// while others have the processor. Read within a turn, on the loop's thread; costs a system call.
    var available: MonotonicTime {
        MonotonicTime(nanoseconds: idleNanoseconds + nanoseconds(CLOCK_THREAD_CPUTIME_ID))
    }
}

private func nanoseconds(_ clock: clockid_t) -> Int64 {
    var now = timespec()
    clock_gettime(clock, &now)
    return Int64(now.tv_sec) * 1_000_000_000 + Int64(now.tv_nsec)
}
