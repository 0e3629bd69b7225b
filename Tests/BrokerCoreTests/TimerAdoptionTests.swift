import Base
import Bytes
import Model
import Simulation
import Storage
import Telemetry
import Testing

@testable import BrokerCore

@Suite("Delayed messages that RocketMQ left behind")
struct TimerAdoptionTests {
    private final class NoState: StateView {
        func apply(_ record: RawSpan) throws(StateRecordError) {}
        func settle(_ pending: PendingID) {}
        func topicRemoved(by record: RawSpan) -> String? { nil }
        func snapshot(_ emit: (RawSpan) -> Void) {}
    }

    private static func configuration() -> StoreConfiguration {
        var store = StoreConfiguration(root: "/store")
        store.segmentSize = 1024 * 1024
        store.messageIndex = MessageIndexConfiguration(slotCount: 100, entryCount: 400)
        return store
    }

    /// A log as RocketMQ leaves it: delayed messages in the queues of their levels.
    private static func write(_ disk: SimulatedDisk, _ clock: SimulatedClock) throws {
        let store = try MessageStore.open(
            configuration(), disk: disk, clock: clock, stateView: NoState(), log: .silent)
        func append(_ topic: String, level: Int32, _ body: String) throws {
            let topicBytes = Array(topic.utf8)
            let bodyBytes = Array(body.utf8)
            let text = "DELAY\u{1}\(level)\u{2}REAL_TOPIC\u{1}T\u{2}REAL_QID\u{1}1"
            let properties = Array(text.utf8)
            let draft = MessageDraft(
                topic: topicBytes.span.bytes, body: bodyBytes.span.bytes, properties: properties.span.bytes)
            _ = try store.append(draft, to: store.queue(topic: topic, QueueID(level - 1)))
        }
        for number in 0..<4 { try append(SystemTopics.schedule, level: 1, "short \(number)") }
        for number in 0..<4 { try append(SystemTopics.schedule, level: 18, "long \(number)") }
        // RocketMQ 5's own wheel is not understood.
        try append(SystemTopics.timerWheel, level: 1, "of the wheel")
        try store.endTurn()
        disk.crash(.processKill)
    }

    @Test("those that were not delivered are, each once, over kills", arguments: [false, true])
    func adopt(kills: Bool) throws {
        let disk = SimulatedDisk()
        let clock = SimulatedClock()
        try Self.write(disk, clock)
        clock.advance(milliseconds: 60_000)
        var broker = try open(disk, clock)
        #expect(broker.needsForeignState)
        var foreign = ForeignState()
        foreign.topics = [TopicConfiguration(name: "T", readQueueCount: 4, writeQueueCount: 4)]
        foreign.delayOffsets = [1: QueueOffset(3), 18: QueueOffset(1), 99: QueueOffset(5), -1: QueueOffset(1)]
        try broker.adopt(foreign)
        try settle(broker, disk, clock)
        #expect(try bodies(broker) == ["short 3"])
        #expect(broker.pendingTimerCount == 3)
        if kills {
            disk.crash(.processKill)
            broker = try open(disk, clock)
            if broker.needsForeignState { try broker.adopt(foreign) }
            try settle(broker, disk, clock)
            #expect(try bodies(broker) == ["short 3"])
        }
        clock.advance(milliseconds: 7_200_000 - 60_001)
        try settle(broker, disk, clock)
        #expect(try bodies(broker) == ["short 3"])
        clock.advance(milliseconds: 1)
        try settle(broker, disk, clock)
        #expect(try bodies(broker) == ["short 3", "long 1", "long 2", "long 3"])
        #expect(broker.pendingTimerCount == 0)
    }

    private func open(_ disk: SimulatedDisk, _ clock: SimulatedClock) throws -> Broker {
        try Broker(
            BrokerConfiguration(), store: Self.configuration(), disk: disk, clock: clock, random: SeededRandom(seed: 1),
            log: .silent)
    }

    private func settle(_ broker: Broker, _ disk: SimulatedDisk, _ clock: SimulatedClock) throws {
        repeat {
            try broker.endTurn()
            disk.runCompletions()
        } while broker.nextWake <= clock.timestamp.milliseconds
    }

    private func bodies(_ broker: Broker) throws -> [String] {
        let topic = try #require(broker.topic("T"))
        let queue = try topic.queue(QueueID(1), in: broker.store)
        let buffer = ByteBuffer()
        _ = try broker.fetch(queue, from: .zero, maximumCount: 32, filter: .all, into: buffer)
        return TestBroker.bodies(buffer)
    }
}
