import Base
import BrokerCore
import Bytes
import Model
import RemotingFrontend
import RemotingProtocol
import Simulation
import Storage
import Testing

@Suite("How long dead letters stay")
struct DeadLetterRetentionTests {
    private static let hour: Int64 = 3_600_000

    private static func conversation(
        hours: Int, disk: SimulatedDisk? = nil, clock: SimulatedClock = SimulatedClock()
    ) throws -> BrokerConversation {
        try BrokerConversation(disk: disk, clock: clock) { configuration, store in
            configuration.deadLetterReservedHours = hours
            store.segmentSize = 1024 * 1024
            store.tailChunkSize = 256 * 1024
            store.retention.reservedHours = 10
            store.retention.deletionHours = Set(0..<24)
        }
    }

    /// Stores a dead letter of the group `G`.
    private static func bury(_ it: BrokerConversation, _ text: String) throws {
        if it.broker.topic("%DLQ%G") == nil {
            try it.broker.putTopic(
                TopicConfiguration(name: "%DLQ%G", readQueueCount: 1, writeQueueCount: 1, permission: .readWrite))
        }
        #expect(try it.connect().produce(text, to: "%DLQ%G").responseCode == .success)
    }

    /// Fills two segments, so that the one before can go.
    private static func fill(_ it: BrokerConversation) throws {
        if it.broker.topic("T") == nil { try it.putTopic("T") }
        let text = String(repeating: "x", count: 200_000)
        for _ in 0..<12 { try it.connect().produce(text, to: "T") }
        while it.broker.flushed < it.broker.written {
            it.broker.flush()
            it.turn()
        }
    }

    private static func letters(_ it: BrokerConversation) throws -> [String] {
        let consumer = it.connect()
        let minimum = try consumer.ask(.getMinimumOffset, [("topic", "%DLQ%G"), ("queueId", "0")])
        let offset = try #require(Int64(minimum.fields["offset"] ?? ""))
        return try consumer.ask(.pullMessage, TestClient.pullFields("%DLQ%G", from: offset)).messages().map(\.text)
    }

    /// An hour, as the broker's timers see it.
    private static func pass(_ it: BrokerConversation, hours: Int64) {
        for _ in 0..<hours {
            it.clock.advance(milliseconds: hour - 30_000)
            it.advance(milliseconds: 30_000, step: 5_000)
        }
    }

    @Test("a shorter time moves the beginning of the queue; consumers that stood before it are sent there")
    func shorter() throws {
        let it = try Self.conversation(hours: 2)
        try Self.bury(it, "old")
        Self.pass(it, hours: 1)
        try Self.bury(it, "young")
        #expect(try Self.letters(it) == ["old", "young"])
        Self.pass(it, hours: 1)
        it.advance(milliseconds: 20_000, step: 5_000)
        #expect(try Self.letters(it) == ["young"])
        let answer = try it.connect().ask(.pullMessage, TestClient.pullFields("%DLQ%G", from: 0))
        #expect(answer.responseCode == .pullOffsetMoved)
        #expect(answer.fields["nextBeginOffset"] == "1")
        Self.pass(it, hours: 1)
        #expect(try Self.letters(it) == [])
        try Self.bury(it, "new")
        #expect(try Self.letters(it) == ["new"])
    }

    @Test("a clock that jumps ahead and is set right loses no dead letter")
    func clockJump() throws {
        let it = try Self.conversation(hours: 2)
        try Self.bury(it, "a")
        let now = it.clock.timestamp
        it.clock.setWallClock(Timestamp(milliseconds: now.milliseconds + 5 * Self.hour))
        it.advance(milliseconds: 20_000, step: 5_000)
        #expect(try Self.letters(it) == [])
        it.clock.setWallClock(now)
        it.advance(milliseconds: 20_000, step: 5_000)
        #expect(try Self.letters(it) == ["a"])
    }

    @Test("a longer time keeps the segment until the dead letter is old enough", arguments: [10, 30])
    func longer(_ hours: Int) throws {
        let it = try Self.conversation(hours: hours)
        try Self.bury(it, "kept")
        try Self.fill(it)
        let start = it.broker.store.commitLog.start
        Self.pass(it, hours: 12)
        // The control: with the log's own time it is gone by now.
        #expect((it.broker.store.commitLog.start == start) == (hours == 30))
        #expect(try Self.letters(it) == (hours == 30 ? ["kept"] : []))
        Self.pass(it, hours: 20)
        #expect(it.broker.store.commitLog.start > start)
    }

    @Test("and after a restart as before")
    func restart() throws {
        let it = try Self.conversation(hours: 30)
        try Self.bury(it, "kept")
        try Self.fill(it)
        let start = it.broker.store.commitLog.start
        it.disk.crash(.processKill)
        it.clock.advance(milliseconds: 12 * Self.hour)
        let again = try Self.conversation(hours: 30, disk: it.disk, clock: it.clock)
        Self.pass(again, hours: 1)
        #expect(again.broker.store.commitLog.start == start)
        #expect(try Self.letters(again) == ["kept"])
    }

    @Test("a disk that is too full takes the oldest segments all the same")
    func forced() throws {
        let it = try Self.conversation(hours: 30)
        try Self.bury(it, "lost")
        try Self.fill(it)
        let start = it.broker.store.commitLog.start
        Self.pass(it, hours: 1)
        it.disk.capacity = it.disk.usedBytes * 100 / 87
        it.advance(milliseconds: 30_000, step: 1_000)
        #expect(it.broker.store.commitLog.start > start)
    }
}
