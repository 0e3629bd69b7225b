import Base
import Bytes
import Glibc
import Testing

@testable import Runtime

@Suite("limits of TLS handshakes")
struct HandshakeLimitTests {
    // MARK: - The budget

    private static func time(_ milliseconds: Int64) -> MonotonicTime {
        MonotonicTime(nanoseconds: 1_000_000_000).advanced(byMilliseconds: milliseconds)
    }

    @Test("handshakes take their share of the time and what has gathered, and not more", arguments: [1, 20, 50, 100])
    func share(percent: Int) {
        var budget = HandshakeBudget(percent: percent)
        var taken: Int64 = 0
        // A second in steps of 1 ms, with handshakes of 0.3 ms as often as they may begin.
        for millisecond in 0...1000 as ClosedRange<Int64> {
            budget.refill(Self.time(millisecond))
            var inThisStep = 0
            while budget.isOpen, inThisStep < 1000 {
                budget.charge(300_000)
                taken += 300_000
                inThisStep += 1
            }
        }
        let allowed = (1_000_000_000 + HandshakeBudget.gatheringNanoseconds) * Int64(percent) / 100
        #expect(taken >= allowed - 300_000)
        #expect(taken <= allowed + 300_000)
    }

    @Test("an empty budget is closed, and a nanosecond opens it")
    func edge() {
        var budget = HandshakeBudget(percent: 20)
        budget.refill(Self.time(0))
        budget.charge(budget.level - 1)
        #expect(budget.isOpen && budget.level == 1)
        budget.charge(1)
        #expect(!budget.isOpen && budget.level == 0)
        budget.refill(Self.time(1))
        #expect(budget.isOpen && budget.level == 200_000)
    }

    @Test("after the time that it names it is open, and a millisecond before that not yet", arguments: [1, 7, 20, 100])
    func waiting(percent: Int) {
        for debt in [0, 1, 999_999, 1_000_000, 30_000_000] as [Int64] {
            var budget = HandshakeBudget(percent: percent)
            budget.refill(Self.time(0))
            budget.charge(budget.level + debt)
            let wait = budget.millisecondsUntilOpen
            var early = budget
            early.refill(Self.time(wait - 2))
            #expect(!early.isOpen || wait <= 2, "\(debt)")
            budget.refill(Self.time(wait))
            #expect(budget.isOpen, "\(debt)")
        }
    }

    @Test("time that stands still or goes back fills nothing")
    func backwards() {
        var budget = HandshakeBudget(percent: 20)
        budget.refill(Self.time(1000))
        budget.charge(budget.level)
        budget.refill(Self.time(1000))
        budget.refill(Self.time(0))
        #expect(budget.level == 0)
    }

    // MARK: - The loop's time

    @Test("the time that a loop has goes on while it works and while it rests, and not while it does not run")
    func available() throws {
        try onLoop { loop in
            let wall = SystemClock()
            func later(_ milliseconds: Int64, _ body: @escaping () -> Void) {
                loop.schedule(afterMilliseconds: milliseconds, body)
            }
            later(1) {
                let begin = loop.turnClock.available
                let start = wall.monotonic
                usleep(200_000)
                let stood = loop.turnClock.available.milliseconds(since: begin)
                #expect(wall.monotonic.milliseconds(since: start) >= 200 && stood < 50, "asleep: \(stood)")
                // Spins until the thread has had 30 ms of the processor, however long that takes.
                var spent = timespec()
                clock_gettime(CLOCK_THREAD_CPUTIME_ID, &spent)
                let end = spent.tv_sec * 1_000_000_000 + spent.tv_nsec + 30_000_000
                while spent.tv_sec * 1_000_000_000 + spent.tv_nsec < end {
                    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &spent)
                }
                #expect(loop.turnClock.available.milliseconds(since: begin) >= 30, "at work")
                // Timers count from the start of a turn, and this one was long.
                later(1) {
                    let rests = loop.turnClock.available
                    later(200) {
                        #expect(loop.turnClock.available.milliseconds(since: rests) >= 150, "at rest")
                        loop.stop()
                    }
                }
            }
        }
    }

    // MARK: - Connections

    private func withServer(
        _ limits: TLSHandshakeLimits, _ mode: TLSServer.Mode = .permissive, handshakeMilliseconds: Int64 = 10_000,
        _ body: (EventLoop, Listener, TLSServer, TLSContext) throws -> Void
    ) throws {
        try withTemporaryFolder { folder in
            let certificates = try TestCertificates(in: folder)
            let server = try TLSServer(
                mode, try certificates.make("server"), handshakeMilliseconds: handshakeMilliseconds, limits: limits)
            let client = try certificates.client()
            try onLoop { loop in
                let listener = try loop.listen(host: "127.0.0.1", port: 0, tls: server) { _ in Frames.echo() }
                try body(loop, listener, server, client)
            }
            #expect(server.handshakes == 0)
        }
    }

    private static func limits(
        _ maximum: Int = 1024, perAddress: Int = 256, includesLoopback: Bool = true, percent: Int = 20
    ) -> TLSHandshakeLimits {
        var limits = TLSHandshakeLimits()
        limits.maximum = maximum
        limits.perAddressMaximum = perAddress
        limits.includesLoopback = includesLoopback
        limits.sharePercent = percent
        return limits
    }

    /// Begins handshakes that do not go on, one after the other, and calls `ended` with how many there were when the server
    /// has closed one, or has taken `count`.
    private func begin(
        _ count: Int, _ loop: EventLoop, _ listener: Listener, _ server: TLSServer,
        _ ended: @escaping (_ isRefused: Bool) -> Void
    ) {
        var begun = 0
        var isOver = false
        func end(_ isRefused: Bool) {
            guard !isOver else { return }
            isOver = true
            ended(isRefused)
        }
        func next() {
            guard begun < count else { return end(false) }
            begun += 1
            let expected = begun
            let client = Frames()
            client.onClosed = { reason in if reason != .loopStopped { end(true) } }
            loop.connect(host: "127.0.0.1", port: listener.port) { connection in
                connection.output.append([0x16])
                connection.outputAdded()
                untilTaken(expected)
                return client
            } failed: { error in
                Issue.record("\(error)")
            }
        }
        func untilTaken(_ expected: Int) {
            guard !isOver else { return }
            if server.handshakes == expected { return next() }
            loop.schedule(afterMilliseconds: 1) { untilTaken(expected) }
        }
        next()
    }

    @Test(
        "as many handshakes as allowed are taken, and one more is closed",
        arguments: [
            (limits(3), 3, false), (limits(3), 4, true), (limits(perAddress: 3), 3, false),
            (limits(perAddress: 3), 4, true), (limits(perAddress: 3, includesLoopback: false), 4, false),
        ])
    func tooMany(limits: TLSHandshakeLimits, count: Int, isRefused: Bool) throws {
        var outcome: Bool?
        try withServer(limits) { loop, listener, server, tls in
            begin(count, loop, listener, server) { refused in
                outcome = refused
                #expect(server.handshakesRefused == (refused ? 1 : 0))
                #expect(server.refused == (refused ? 1 : 0))
                // Whoever speaks plainly is served whatever there is of those.
                let plain = Frames { frame, _ in
                    #expect(frame == [7])
                    loop.stop()
                }
                loop.connect(host: "127.0.0.1", port: listener.port) { connection in
                    send([7], on: connection)
                    return plain
                } failed: { error in
                    Issue.record("\(error)")
                }
            }
        }
        #expect(outcome == isRefused)
    }

    @Test("a handshake that ended makes room for another, of its address too")
    func room() throws {
        var echoed = 0
        try withServer(Self.limits(1, perAddress: 1)) { loop, listener, server, tls in
            func next() {
                let client = Frames { _, _ in
                    echoed += 1
                    if echoed == 3 { loop.stop() } else { next() }
                }
                // The connection stays; its handshake is over.
                loop.connect(host: "127.0.0.1", port: listener.port, tls: tls) { connection in
                    send([1], on: connection)
                    return client
                } failed: { error in
                    Issue.record("\(error)")
                    loop.stop()
                }
            }
            next()
        }
        #expect(echoed == 3)
    }

    @Test("handshakes are measured: beyond the share they wait, and come about in the end")
    func delayed() throws {
        var echoed = 0
        let count = 20
        // What has gathered is half a millisecond, which a few handshakes take.
        try withServer(Self.limits(percent: 1), handshakeMilliseconds: 25_000) { loop, listener, server, tls in
            for number in 0..<count {
                let client = Frames { frame, _ in
                    #expect(frame == [UInt8(number)])
                    echoed += 1
                    guard echoed == count else { return }
                    #expect(server.established == count && server.handshakesDelayed > 0)
                    loop.stop()
                }
                loop.connect(host: "127.0.0.1", port: listener.port, timeoutMilliseconds: 25_000, tls: tls) {
                    connection in
                    send([UInt8(number)], on: connection)
                    return client
                } failed: { error in
                    Issue.record("\(error)")
                    loop.stop()
                }
            }
        }
        #expect(echoed == count)
    }

    @Test("who waits longer than a handshake may take is closed; others are served meanwhile")
    func overdue() throws {
        try withServer(Self.limits(percent: 1), handshakeMilliseconds: 300) { loop, listener, server, tls in
            // An hour until the next one.
            server.charge(36_000_000_000)
            loop.connect(host: "127.0.0.1", port: listener.port, timeoutMilliseconds: 20_000, tls: tls) { _ in
                Issue.record("the handshake took place")
                return nil
            } failed: { _ in
                #expect(server.handshakes == 0 && server.failed == 1 && server.handshakesDelayed == 1)
                let plain = Frames { _, _ in loop.stop() }
                loop.connect(host: "127.0.0.1", port: listener.port) { connection in
                    send([7], on: connection)
                    return plain
                } failed: { error in
                    Issue.record("\(error)")
                }
            }
        }
    }

    @Test("nothing is done for a client that has gone while it waited")
    func gone() throws {
        try withServer(Self.limits(percent: 50)) { loop, listener, server, tls in
            server.charge(100_000_000)
            let before = server.handshakesDelayed
            loop.connect(host: "127.0.0.1", port: listener.port) { connection in
                connection.output.append([0x16, 3, 1, 0, 80, 1])
                connection.outputAdded()
                func leaveWhenTaken() {
                    guard server.handshakesDelayed > before else {
                        loop.schedule(afterMilliseconds: 1) { leaveWhenTaken() }
                        return
                    }
                    connection.close("gone", .abort)
                }
                leaveWhenTaken()
                let client = Frames()
                client.onClosed = { _ in
                    func stopWhenOver() {
                        guard server.handshakes == 0 else {
                            loop.schedule(afterMilliseconds: 1) { stopWhenOver() }
                            return
                        }
                        // Before the deadline, and before any time was taken: the wait alone ended it.
                        #expect(server.failed == 1 && server.established == 0)
                        loop.stop()
                    }
                    stopWhenOver()
                }
                return client
            } failed: { error in
                Issue.record("\(error)")
            }
        }
    }
}
