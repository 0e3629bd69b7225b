import Base
import Bytes
import Model
import Simulation
import Storage
import Testing

@testable import BrokerCore

extension TestBroker {
    /// Sends one message that is due `delay` ms from now, in a turn of its own.
    @discardableResult
    func sendLater(
        _ topic: String, _ body: String, in delay: Int64, queueID: Int32 = 0, properties: String = "TAGS\u{1}a"
    ) throws -> MessageStore.Appended {
        let topicBytes = Array(topic.utf8)
        let defaultTopic = Array(SystemTopics.autoCreate.utf8)
        var request = SendRequest(
            topic: topicBytes.span.bytes, defaultTopic: defaultTopic.span.bytes, peer: .loopback(port: 1))
        request.queueID = QueueID(queueID)
        let queue = try broker.queue(for: request)
        let bodyBytes = Array(body.utf8)
        let propertyBytes = Array(properties.utf8)
        var draft = MessageDraft(
            topic: topicBytes.span.bytes, body: bodyBytes.span.bytes, properties: propertyBytes.span.bytes)
        draft.flag = 5
        draft.bornTimestamp = Timestamp(milliseconds: 17)
        draft.reconsumeTimes = 2
        let due = Timestamp(milliseconds: clock.timestamp.milliseconds + delay)
        let appended = try broker.append(draft, to: queue, dueAt: due)
        try broker.endTurn()
        return appended
    }

    /// Turns until nothing is left to do now.
    func work(turns: Int = 5_000) throws {
        var left = turns
        repeat {
            try broker.endTurn()
            disk.runCompletions()
            left -= 1
        } while broker.nextWake <= clock.timestamp.milliseconds && left > 0
        #expect(left > 0, "the broker is never done")
    }

    /// Lets time pass until `milliseconds` later, with a turn whenever the broker asks for one.
    func run(milliseconds: Int64) throws {
        let end = clock.timestamp.milliseconds + milliseconds
        while clock.timestamp.milliseconds < end {
            try work()
            let next = min(max(broker.nextWake, clock.timestamp.milliseconds + 1), end)
            clock.advance(milliseconds: next - clock.timestamp.milliseconds)
        }
        try broker.keepHouse()
        try work()
    }

    /// The bodies of all messages of a queue.
    func bodies(_ topic: String, queueID: Int32 = 0) throws -> [String] {
        var bodies: [String] = []
        var offset: Int64 = 0
        while true {
            let (result, more) = try fetch(topic, from: offset, queueID: queueID)
            guard result.nextOffset.rawValue > offset else { return bodies }
            bodies += more
            offset = result.nextOffset.rawValue
        }
    }

    /// The last record of a queue with its property string.
    func lastRecord(_ topic: String) throws -> (record: MessageRecord, properties: String) {
        let queue = try queue(topic)
        let buffer = ByteBuffer()
        let offset = queue.maximumOffset.advanced(by: -1)
        _ = try broker.fetch(queue, from: offset, maximumCount: 1, filter: .all, into: buffer)
        let record = try MessageRecord(buffer.bytes)
        return (record, buffer.bytes.extracting(record.properties).string())
    }
}

@Suite("Timers")
struct TimerTests {
    private static func make(_ change: (inout TimerConfiguration) -> Void = { _ in }) throws -> TestBroker {
        let it = try TestBroker { change(&$0.timers) }
        try it.broker.putTopic(TopicConfiguration(name: "T", readQueueCount: 4, writeQueueCount: 4))
        try it.broker.endTurn()
        return it
    }

    @Test(
        "a message is delivered when it is due and not before",
        arguments: [
            1, 2, 999, 1_000, 59_999, 60_000, 299_999, 300_000, 300_001, 3_600_000, 86_399_999, 86_400_000, 86_400_001,
            90_000_000, 200_000_000, 1_000_000_000,
        ] as [Int64])
    func due(delay: Int64) throws {
        let it = try Self.make()
        try it.sendLater("T", "later", in: delay)
        try it.run(milliseconds: delay - 1)
        #expect(try it.bodies("T") == [])
        #expect(it.broker.pendingTimerCount == 1)
        try it.run(milliseconds: 1)
        #expect(try it.bodies("T") == ["later"])
        #expect(it.broker.pendingTimerCount == 0)
        #expect(it.broker.metrics.timerLatenessMaximum == 0)
        try it.run(milliseconds: 10_000)
        #expect(try it.bodies("T") == ["later"])
    }

    @Test("what is due already is delivered at once", arguments: [0, -1, -1_000_000, Int64.min / 2])
    func past(delay: Int64) throws {
        let it = try Self.make()
        try it.sendLater("T", "now", in: delay)
        #expect(try it.bodies("T") == ["now"])
    }

    @Test("the message that is delivered is the one that was sent")
    func content() throws {
        let it = try Self.make()
        try it.sendLater(
            "T", "body", in: 10, properties: "KEYS\u{1}k\u{2}DELAY\u{1}1\u{2}TIMER_OUT_MS\u{1}3\u{2}REAL_TOPIC\u{1}x")
        try it.run(milliseconds: 10)
        let (record, properties) = try it.lastRecord("T")
        #expect(record.flag == 5)
        #expect(record.bornTimestamp.milliseconds == 17)
        #expect(record.reconsumeTimes == 2)
        #expect(PendingID(field: record.preparedTransactionOffset) != nil)
        let text = properties.split(separator: "\u{2}").filter { !$0.hasPrefix("__CRC32#") }.joined(separator: ",")
        #expect(text == "KEYS\u{1}k,DELAY\u{1}1,REAL_TOPIC\u{1}T,REAL_QID\u{1}0")
    }

    @Test("the far future is waited for", arguments: [Int64.max / 4, 1 << 50])
    func farFuture(delay: Int64) throws {
        let it = try Self.make()
        try it.sendLater("T", "never", in: delay)
        try it.run(milliseconds: 200_000_000)
        #expect(try it.bodies("T") == [])
        #expect(it.broker.pendingTimerCount == 1)
        #expect(it.broker.metrics.timersRolled == 2)
    }

    @Test("timers outlive a kill, and none comes twice", arguments: [true, false])
    func kill(isKill: Bool) throws {
        let it = try Self.make()
        for number in 0..<50 { try it.sendLater("T", "\(number)", in: Int64(number) * 10_000) }
        try it.run(milliseconds: 250_000)
        if isKill { try it.kill() } else { try it.restart() }
        try it.run(milliseconds: 100_000)
        if isKill { try it.kill() } else { try it.restart() }
        // The whole rest while the broker was down.
        it.clock.advance(milliseconds: 400_000_000)
        try it.run(milliseconds: 1)
        let numbers = try it.bodies("T").map { Int($0) ?? -1 }.sorted()
        #expect(numbers == Array(0..<50))
    }

    @Test("a full heap gives way and nothing is lost", arguments: [8, 9, 64, 1_000])
    func overflow(heapMaximum: Int) throws {
        let it = try Self.make {
            $0.heapMaximum = heapMaximum
            $0.messagesPerTurn = 3
            $0.entriesPerTurn = 20
        }
        let random = SeededRandom(seed: UInt64(heapMaximum))
        var due: [(Int64, String)] = []
        let start = it.clock.timestamp.milliseconds
        for number in 0..<500 {
            // A third of them in the same millisecond.
            let delay = number % 3 == 0 ? 123_456 : Int64(random.next(below: 900_000)) + 1
            due.append((delay, "\(number)"))
            try it.sendLater("T", "\(number)", in: delay - (it.clock.timestamp.milliseconds - start))
        }
        for step in stride(from: Int64(30_000), through: 900_000, by: 30_000) {
            try it.run(milliseconds: 30_000)
            #expect(try Set(it.bodies("T")) == Set(due.filter { $0.0 <= step }.map(\.1)), "after \(step) ms")
        }
        #expect(try it.bodies("T").count == 500)
        #expect(it.broker.metrics.timerLatenessMaximum == 0)
    }

    @Test("timers whose records have left the page cache are brought from the medium, many at a time")
    func cold() throws {
        let it = try Self.make { $0.prefetchesMaximum = 7 }
        for number in 0..<50 { try it.sendLater("T", "\(number)", in: 100_000 + Int64(number / 10)) }
        try it.flush()
        try it.restart()
        try it.run(milliseconds: 1_000)
        it.disk.settle()
        it.disk.dropCache()
        try it.run(milliseconds: 110_000)
        #expect(try it.bodies("T").map { Int($0) ?? -1 }.sorted() == Array(0..<50))
        #expect(it.broker.store.metrics.coldReads > 7)
        #expect(it.broker.pendingTimerCount == 0)
    }

    @Test("a full disk holds timers up and loses none")
    func fullDisk() throws {
        let it = try Self.make()
        for number in 0..<20 { try it.sendLater("T", "\(number)", in: 15_000) }
        it.disk.capacity = 1
        it.clock.advance(milliseconds: 11_000)
        // The checkpoint finds no room either.
        try? it.broker.keepHouse()
        #expect(!it.broker.store.isWritable)
        it.clock.advance(milliseconds: 5_000)
        try it.work()
        #expect(try it.bodies("T") == [])
        #expect(it.broker.pendingTimerCount == 20)
        it.disk.capacity = 1 << 40
        it.clock.advance(milliseconds: 11_000)
        try it.broker.keepHouse()
        try it.run(milliseconds: 2_000)
        #expect(try it.bodies("T").map { Int($0) ?? -1 } == Array(0..<20))
    }

    @Test("a clock that is set loses nothing and delivers nothing twice")
    func clockJumps() throws {
        let it = try Self.make()
        try it.sendLater("T", "a", in: 3_600_000)
        try it.run(milliseconds: 1_000)
        it.clock.setWallClock(Timestamp(milliseconds: it.clock.timestamp.milliseconds - 7_200_000))
        try it.sendLater("T", "b", in: 5_000)
        try it.run(milliseconds: 5_000)
        #expect(try it.bodies("T") == ["b"])
        it.clock.setWallClock(Timestamp(milliseconds: it.clock.timestamp.milliseconds + 400 * 3_600_000))
        try it.run(milliseconds: 1_000)
        #expect(try it.bodies("T") == ["b", "a"])
        try it.sendLater("T", "c", in: 5_000)
        try it.run(milliseconds: 5_000)
        #expect(try it.bodies("T") == ["b", "a", "c"])
    }

    @Test("a topic that is gone gets its message when it is created again; one with fewer queues gets it in another")
    func topicChanges() throws {
        let it = try Self.make()
        try it.sendLater("T", "fewer", in: 1_000, queueID: 3)
        try it.broker.putTopic(TopicConfiguration(name: "T", readQueueCount: 2, writeQueueCount: 2))
        try it.run(milliseconds: 1_000)
        #expect(try it.bodies("T", queueID: 1) == ["fewer"])
        try it.sendLater("T", "gone", in: 1_000)
        try it.broker.removeTopic("T")
        try it.run(milliseconds: 1_000)
        try it.broker.putTopic(TopicConfiguration(name: "T", readQueueCount: 2, writeQueueCount: 2))
        #expect(try it.bodies("T") == ["gone"])
    }

    @Test("a message is recalled before it is due, once")
    func recall() throws {
        let it = try Self.make()
        try it.sendLater("T", "a", in: 100_000_000, properties: "UNIQ_KEY\u{1}K1")
        try it.sendLater("T", "b", in: 100_000_000, properties: "UNIQ_KEY\u{1}K2")
        let topic = Array("T".utf8)
        let other = Array("U".utf8)
        let key = Array("K1".utf8)
        // After it was moved to another slot too.
        try it.run(milliseconds: 90_000_000)
        #expect(it.broker.metrics.timersRolled == 2)
        #expect(try it.broker.recall(topic: other.span.bytes, uniqueKey: key.span.bytes) == 0)
        #expect(try it.broker.recall(topic: topic.span.bytes, uniqueKey: key.span.bytes) == 1)
        try it.broker.endTurn()
        try it.kill()
        #expect(try it.broker.recall(topic: topic.span.bytes, uniqueKey: key.span.bytes) == 0)
        try it.run(milliseconds: 20_000_000)
        let bodies = try it.bodies("T")
        #expect(bodies == ["b"])
    }

    @Test(
        "random sends, recalls, kills, restarts and clock changes: each message once, none early",
        arguments: ModelSeeds.first(3))
    func random(seed: UInt64) throws {
        let random = SeededRandom(seed: seed)
        let it = try Self.make {
            $0.heapMaximum = 8 + random.next(below: 60)
            $0.messagesPerTurn = 1 + random.next(below: 20)
            $0.windowMilliseconds = [600_000, 3_600_000, 86_400_000][random.next(below: 3)]
        }
        var due: [String: Int64] = [:]
        var recalled: Set<String> = []
        let topic = Array("T".utf8)
        var number = 0
        // The clock may be set back: nothing comes earlier than the latest time that it ever showed.
        var latest: Int64 = 0
        for _ in 0..<250 {
            let now = it.clock.timestamp.milliseconds
            switch random.next(below: 20) {
            case 0: try it.kill()
            case 1: try it.restart()
            case 2: it.clock.advance(milliseconds: Int64(random.next(below: 10_000_000)))
            case 3:
                it.clock.setWallClock(Timestamp(milliseconds: now + Int64(random.next(below: 4_000_000)) - 2_000_000))
            case 4:
                guard let victim = due.keys.sorted().randomElement(using: random) else { continue }
                let key = Array(victim.utf8)
                let wasWaiting = try !it.bodies("T").contains(victim) && !recalled.contains(victim)
                let count = try it.broker.recall(topic: topic.span.bytes, uniqueKey: key.span.bytes)
                #expect(count == (wasWaiting ? 1 : 0))
                if count == 1 { recalled.insert(victim) }
                try it.broker.endTurn()
            case 5...9: try it.run(milliseconds: Int64(random.next(below: 400_000)))
            default:
                let delay = [1_000, 300_000, 10_000_000][random.next(below: 3)]
                for _ in 0..<random.next(below: 20) {
                    number += 1
                    let wait = Int64(random.next(below: delay)) + 1
                    due["\(number)"] = it.clock.timestamp.milliseconds + wait
                    try it.sendLater("T", "\(number)", in: wait, properties: "UNIQ_KEY\u{1}\(number)")
                }
            }
            let seen = try it.bodies("T")
            #expect(Set(seen).count == seen.count, "twice")
            latest = max(latest, it.clock.timestamp.milliseconds)
            #expect(seen.allSatisfy { due[$0] ?? .max <= latest }, "early")
            #expect(recalled.isDisjoint(with: seen), "recalled")
        }
        let last = due.values.max() ?? 0
        try it.run(milliseconds: max(1, last - it.clock.timestamp.milliseconds))
        let seen = try it.bodies("T")
        #expect(Set(seen) == Set(due.keys).subtracting(recalled))
        #expect(seen.count == due.count - recalled.count)
        #expect(it.broker.pendingTimerCount == 0)
    }

    @Test("a delayed message keeps its segment although its entry is damaged", arguments: [1, 2, 5, 6, 7, 8, 11])
    func neededBehindDamagedEntry(byte: Int) throws {
        let it = try Self.make { _ in }
        for number in 0..<5 { try it.send("T", "before \(number)") }
        let waiting = try it.sendLater("T", "later", in: 3_600_000)
        for number in 0..<5 { try it.send("T", "behind \(number)") }
        try it.restart()
        #expect(try it.broker.store.firstNeeded() == waiting.physicalOffset)
        let files = it.disk.files(below: "/store/consumequeue/rmq_sys_wheel_timer")
        let file = try #require(files.first)
        #expect(files.count == 1)
        try it.restart()
        it.disk.rot(file, at: byte, mask: 0x40)
        #expect(try it.broker.store.firstNeeded() == waiting.physicalOffset, "byte \(byte)")
        try it.run(milliseconds: 3_600_001)
        #expect(try it.bodies("T").last == "later")
    }

    @Test(
        "over power cuts: what was flushed is delivered once, what was not is delivered once or never",
        arguments: ModelSeeds.first(4))
    func powerCuts(seed: UInt64) throws {
        let random = SeededRandom(seed: 100 + seed)
        let it = try Self.make {
            $0.heapMaximum = 8 + random.next(below: 60)
            $0.messagesPerTurn = 1 + random.next(below: 20)
        }
        var due: [String: Int64] = [:]
        var safe: Set<String> = []
        // What the power cuts may have taken.
        var uncertain: Set<String> = []
        var number = 0
        for _ in 0..<80 {
            switch random.next(below: 12) {
            case 0:
                try it.losePower()
                uncertain = Set(due.keys).subtracting(safe)
                if it.broker.topic("T") == nil {
                    try it.broker.putTopic(TopicConfiguration(name: "T", readQueueCount: 4, writeQueueCount: 4))
                }
            case 1: try it.kill()
            case 2...4:
                try it.flush()
                safe = Set(due.keys).subtracting(uncertain)
            case 5...7: try it.run(milliseconds: Int64(random.next(below: 400_000)))
            default:
                for _ in 0..<random.next(below: 20) {
                    number += 1
                    let wait = Int64(random.next(below: 600_000)) + 1
                    due["\(number)"] = it.clock.timestamp.milliseconds + wait
                    try it.sendLater("T", "\(number)", in: wait)
                }
            }
            let seen = try it.bodies("T")
            #expect(Set(seen).count == seen.count, "twice")
        }
        let last = due.values.max() ?? 0
        try it.run(milliseconds: max(1, last - it.clock.timestamp.milliseconds))
        let seen = try it.bodies("T")
        #expect(safe.isSubset(of: seen))
        #expect(Set(seen).count == seen.count && Set(seen).isSubset(of: due.keys))
        #expect(it.broker.pendingTimerCount == 0)
    }
}

extension [String] {
    fileprivate func randomElement(using random: SeededRandom) -> String? {
        isEmpty ? nil : self[random.next(below: count)]
    }
}
