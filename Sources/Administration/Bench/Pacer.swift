import Glibc
import Runtime
import Synchronization

/// A thread that wakes a worker whenever sends may be due. The loop's own timers count milliseconds, which is too coarse for
/// an open loop; this one sleeps to the nanosecond and is late by what the kernel allows itself (about 50 µs).
final class Pacer: Sendable {
    private let thread: LoopThread
    private let isStopped = Atomic(false)
    /// A wake-up is on its way; a busy worker gets no second one.
    private let isWaking = Atomic(false)

    /// Wakes `worker` every `nanoseconds` until ``stop()``.
    init(_ worker: LoadWorker, everyNanoseconds nanoseconds: Int64) throws(RuntimeError) {
        thread = try LoopThread(named: "bench-pacer")
        // The thread's loop has nothing else to do and never turns.
        thread.loop.post { self.run(worker, nanoseconds) }
    }

    private func run(_ worker: LoadWorker, _ nanoseconds: Int64) {
        let wake: @Sendable () -> Void = {
            self.isWaking.store(false, ordering: .relaxed)
            worker.assumeIsolated { $0.pace() }
        }
        var next = timespec()
        clock_gettime(CLOCK_MONOTONIC, &next)
        while !isStopped.load(ordering: .relaxed) {
            let nanosecond = Int64(next.tv_nsec) + nanoseconds
            next.tv_sec += Int(nanosecond / 1_000_000_000)
            next.tv_nsec = Int(nanosecond % 1_000_000_000)
            while clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &next, nil) == EINTR {}
            if !isWaking.exchange(true, ordering: .relaxed) { worker.loop.post(wake) }
        }
    }

    func stop() {
        isStopped.store(true, ordering: .relaxed)
        thread.stopAndJoin()
    }
}
