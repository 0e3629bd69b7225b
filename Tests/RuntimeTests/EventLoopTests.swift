import Base
import Dispatch
import Glibc
import Synchronization
import Telemetry
import Testing

@testable import Runtime

@Suite("Event loop")
struct EventLoopTests {
    @Test("jobs of each thread run in the order in which it posted them")
    func postOrder() throws {
        struct Seen {
            var last = [Int](repeating: -1, count: 4)
            var isOrdered = true
            var total = 0
        }
        let seen = Mutex(Seen())
        let thread = try LoopThread(named: "post")
        let loop = thread.loop
        let posters = try (0..<4).map { number in
            try PlainThread {
                for job in 0..<5000 {
                    loop.post {
                        let total = seen.withLock { seen in
                            seen.isOrdered = seen.isOrdered && seen.last[number] == job - 1 && loop.isOnLoop
                            seen.last[number] = job
                            seen.total += 1
                            return seen.total
                        }
                        if total == 20_000 { loop.stop() }
                    }
                }
            }
        }
        for poster in posters { poster.join() }
        thread.join()
        #expect(seen.withLock { $0.isOrdered && $0.total == 20_000 })
    }

    @Test("a job posted by a job runs, also when the loop is asked to stop meanwhile")
    func nestedPost() throws {
        let runs = Mutex(0)
        let loop = try EventLoop()
        loop.post {
            loop.post { runs.withLock { $0 += 1 } }
            loop.stop()
            loop.post { runs.withLock { $0 += 1 } }
        }
        loop.run()
        // The loop has ended: this one runs on a thread of its own.
        let hasRun = DispatchSemaphore(value: 0)
        loop.post {
            runs.withLock { $0 += 1 }
            hasRun.signal()
        }
        #expect(hasRun.wait(timeout: .now() + 10) == .success)
        #expect(runs.withLock { $0 } == 3)
    }

    @Test("timers fire once, repeatedly, or not at all after they were cancelled")
    func timers() throws {
        var fired: [String] = []
        try onLoop { loop in
            let start = loop.clock.monotonic
            loop.schedule(afterMilliseconds: 5) { fired.append("once") }
            let never = loop.schedule(afterMilliseconds: 1) { fired.append("never") }
            never.cancel()
            var count = 0
            var repeating: LoopTimer?
            repeating = loop.schedule(afterMilliseconds: 20, repeatingEveryMilliseconds: 5) {
                fired.append("again")
                count += 1
                if count == 3 {
                    repeating?.cancel()
                    #expect(loop.clock.monotonic.milliseconds(since: start) >= 29)
                    loop.schedule(afterMilliseconds: 10) { loop.stop() }
                }
            }
        }
        #expect(fired == ["once", "again", "again", "again"])
    }

    @Test("hooks run once per turn, in order, after the jobs and timers of the turn")
    func turnEnd() throws {
        let events = Mutex<[String]>([])
        try onLoop { loop in
            loop.atTurnEnd { events.withLock { $0.append("first") } }
            loop.atTurnEnd { events.withLock { $0.append("second") } }
            loop.post {
                events.withLock { $0.append("job") }
                loop.post { events.withLock { $0.append("its job") } }
            }
            loop.schedule(afterMilliseconds: 30) {
                events.withLock { $0.append("timer") }
                loop.stop()
            }
        }
        #expect(
            events.withLock { $0 } == ["job", "its job", "first", "second", "timer", "first", "second"])
    }

    @Test("the clock stands still during a turn and is new in the next")
    func clock() throws {
        var readings: [MonotonicTime] = []
        try onLoop { loop in
            loop.schedule(afterMilliseconds: 0) {
                readings.append(loop.clock.monotonic)
                let start = SystemClock().monotonic
                while SystemClock().monotonic.milliseconds(since: start) < 5 {}
                readings.append(loop.clock.monotonic)
                loop.schedule(afterMilliseconds: 1) {
                    readings.append(loop.clock.monotonic)
                    #expect(loop.turnDurations.maximum >= 5_000_000)
                    loop.stop()
                }
            }
        }
        #expect(readings[0] == readings[1])
        #expect(readings[2].milliseconds(since: readings[1]) >= 5)
    }

    @Test("a signal reaches its closure")
    func signal() throws {
        var arrived = 0
        try onLoop { loop in
            loop.onSignal(SIGUSR1) {
                arrived += 1
                loop.stop()
            }
            loop.schedule(afterMilliseconds: 1) { kill(getpid(), SIGUSR1) }
        }
        #expect(arrived == 1)
    }

    @Test("an actor on the loop runs on the loop's thread, and so does a task that prefers the loop")
    func executor() async throws {
        let thread = try LoopThread(named: "executor")
        let counter = Counter(thread.loop)
        for expected in 1...100 { #expect(await counter.next() == expected) }
        #expect(await counter.wasAlwaysOnLoop)
        let loop = thread.loop
        #expect(await Task(executorPreference: loop) { loop.isOnLoop }.value)
        #expect(!loop.isOnLoop)
        thread.stopAndJoin()
        // A task must not hang because its executor has gone.
        #expect(await counter.next() == 101)
        #expect(await counter.wasAlwaysOnLoop)
    }

    @Test("work in the background runs elsewhere and completes on the loop, even while the loop stops")
    func background() throws {
        var isCompletedOnLoop = false
        try onLoop { loop in
            loop.runInBackground({ loop.isOnLoop }) { wasOnLoop in
                isCompletedOnLoop = loop.isOnLoop && !wasOnLoop
            }
            loop.stop()
        }
        #expect(isCompletedOnLoop)
    }

    @Test("a loop and what was attached to it leave memory when the loop has run")
    func leaks() throws {
        weak var loop: EventLoop?
        weak var handler: Frames?
        weak var connection: Connection?
        try onLoop { newLoop in
            loop = newLoop
            let listener = try newLoop.listenOnLoopback { _ in Frames.echo() }
            newLoop.onSignal(SIGUSR2) {}
            let client = Frames { _, _ in newLoop.stop() }
            handler = client
            newLoop.connectToLoopback(listener.port, client) {
                connection = $0
                send([1], on: $0)
            }
        }
        #expect(loop == nil)
        #expect(handler == nil)
        #expect(connection == nil)
        // One that never ran.
        var unused: EventLoop? = try EventLoop()
        loop = unused
        #expect(unused?.isOnLoop == true)
        unused = nil
        #expect(loop == nil)
    }

    @Test("a loop may be stopped by several threads at once")
    func stopTwice() throws {
        for _ in 0..<200 {
            let running = try LoopThread(named: "stopped")
            let others = try (0..<2).map { _ in try PlainThread { running.stop() } }
            running.stop()
            running.join()
            for other in others { other.join() }
        }
    }

    @Test("stopping a loop that has ended changes nothing")
    func stopAfterEnd() throws {
        let ended = try LoopThread(named: "ended")
        ended.stopAndJoin()
        let hasRun = DispatchSemaphore(value: 0)
        ended.stop()
        ended.loop.post { hasRun.signal() }
        #expect(hasRun.wait(timeout: .now() + 10) == .success)
    }

    @Test("an actor that holds an ended loop last may go with its last job")
    func lastReference() async throws {
        weak var loop: EventLoop?
        let task: Task<Int, Never>
        do {
            let running = try LoopThread(named: "ended")
            loop = running.loop
            let counter = Counter(running.loop)
            running.stopAndJoin()
            // The closure's end releases the actor, and that the loop.
            task = Task { [counter] in
                // Starting a task on the ended loop must not disturb the one that does so.
                let inner = Task { await counter.next() }
                return await counter.next() + inner.value
            }
        }
        #expect(await task.value == 3)
        // The late thread lets go of the loop when it has seen the mailbox empty.
        let end = ContinuousClock.now + .seconds(10)
        while loop != nil, ContinuousClock.now < end { await Task.yield() }
        #expect(loop == nil)
    }
}

private actor Counter {
    private let loop: EventLoop
    private var count = 0
    private(set) var wasAlwaysOnLoop = true
    nonisolated var unownedExecutor: UnownedSerialExecutor { loop.asUnownedSerialExecutor() }

    init(_ loop: EventLoop) { self.loop = loop }

    func next() -> Int {
        wasAlwaysOnLoop = wasAlwaysOnLoop && loop.isOnLoop
        count += 1
        return count
    }
}

/// A thread without an event loop.
private final class PlainThread {
    private var thread = pthread_t()

    init(_ body: @escaping @Sendable () -> Void) throws {
        let context = Unmanaged.passRetained(Box(body))
        let status = pthread_create(
            &thread, nil,
            { context in
                Unmanaged<Box>.fromOpaque(context!).takeRetainedValue().body()
                return nil
            }, context.toOpaque())
        try #require(status == 0)
    }

    func join() { pthread_join(thread, nil) }

    private final class Box {
        let body: @Sendable () -> Void
        init(_ body: @escaping @Sendable () -> Void) { self.body = body }
    }
}
