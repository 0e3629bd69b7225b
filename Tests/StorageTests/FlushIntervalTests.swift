import Base
import Model
import Simulation
import Testing

@testable import Storage

/// What a power cut takes with asynchronous flush: no message that is older than the interval says.
@Suite("Asynchronous flush")
struct FlushIntervalTests {
    /// How long between two calls of keeping house, in ms, as the server's timer calls it.
    private static let housekeeping: Int64 = 50

    /// Sends a message every 10 ms until the power fails.
    /// - Returns: how old the oldest message was that is gone, in ms; nil when none is.
    private func oldestLost(interval: Int64, cutAfter milliseconds: Int64) throws -> Int64? {
        let fixture = StoreFixture(seed: UInt64(milliseconds), segmentSize: 64 * 1024)
        fixture.configuration.flushIntervalMilliseconds = interval
        // Nothing else brings anything onto the medium.
        fixture.configuration.checkpointIntervalMilliseconds = 1_000_000
        fixture.disk.faults.writeBackOneIn = 0
        fixture.disk.faults.crashDamagePercent = 100
        let store = try fixture.open()
        var sent = 0
        while Int64(sent) * 10 < milliseconds {
            try store.send("message \(sent)")
            try store.endTurn()
            sent += 1
            fixture.clock.advance(milliseconds: 10)
            if Int64(sent) * 10 % Self.housekeeping == 0 { try store.keepHouse() }
            fixture.disk.runCompletions()
        }
        let again = try fixture.reopen(after: .powerLoss)
        let left = try again.all()
        #expect(left == (0..<left.count).map { "message \($0)" }, "what is left has no hole")
        return left.count == sent ? nil : milliseconds - Int64(left.count) * 10
    }

    static let cuts: [Int64] = Array(stride(from: 1_010, to: 3_000, by: 130))

    @Test("a power cut takes no message that is older than the interval", arguments: [100, 500] as [Int64])
    func bound(interval: Int64) throws {
        var lost = 0
        for cut in Self.cuts {
            guard let age = try oldestLost(interval: interval, cutAfter: cut) else { continue }
            lost += 1
            #expect(age <= interval + Self.housekeeping, "cut after \(cut) ms")
        }
        // Otherwise it shows nothing.
        #expect(lost > Self.cuts.count / 2)
    }

    @Test("a flush that comes later than it says is noticed")
    func control() throws {
        let ages = try Self.cuts.compactMap { try oldestLost(interval: 2_000, cutAfter: $0) }
        #expect(ages.contains { $0 > 500 + Self.housekeeping })
    }
}
