import Base
import Simulation
import Storage
import Testing

/// Does what a store does with the message index, at random, with crashes and failing disks, and compares it with an array.
private final class MessageIndexModel {
    private struct Message {
        var offset: PhysicalOffset
        var time: Int64
        var keys: [Int]
    }

    private let random: SeededRandom
    private let disk: SimulatedDisk
    private let configuration: MessageIndexConfiguration
    private var index: MessageIndex
    private var messages: [Message] = []
    private var now: Int64 = 1_795_200_000_000
    private var logEnd = PhysicalOffset(0)
    /// From where the log is replayed after a crash.
    private var checkpoint = PhysicalOffset(0)

    init(seed: UInt64) {
        random = SeededRandom(seed: seed)
        disk = SimulatedDisk(seed: seed &+ 1_000_000)
        disk.faults.writeBackOneIn = random.next(below: 6)
        configuration = MessageIndexConfiguration(
            slotCount: [1, 300, 3000][random.next(below: 3)], entryCount: [5, 60, 700][random.next(below: 3)],
            pendingEntriesMaximum: [1, 10, 300][random.next(below: 3)])
        index = MessageIndex(
            directory: "store/index", configuration: configuration, disk: disk, files: OpenFileCache(capacity: 2))
    }

    func run(steps: Int) throws {
        for _ in 0..<steps {
            switch random.next(below: 20) {
            case 0...7: try append(1 + random.next(below: 40))
            case 8...11: try retrying { () throws(DiskError) in _ = try index.writeBack(maximumBytes: 4096) }
            case 12...13: try writeCheckpoint()
            case 14: try random.next(below: 2) == 0 ? restart() : cutLog()
            case 15...16: try crash()
            default: try compare(key: random.next(below: 40))
            }
            disk.faults.failOneIn = random.next(below: 3) == 0 ? 40 : 0
        }
        disk.faults.failOneIn = 0
        for key in 0..<40 { try compare(key: key) }
    }

    private func retrying(_ body: () throws(DiskError) -> Void) throws {
        for attempt in 0..<1000 {
            if attempt == 10 { disk.faults.failOneIn = 0 }
            do throws(DiskError) { return try body() } catch {}
        }
        Issue.record("never succeeds")
    }

    private func append(_ count: Int) throws {
        for _ in 0..<count {
            now += Int64(random.next(below: 3)) * 1000
            logEnd = logEnd.advanced(by: 100)
            // Some messages have no key, some several; some keys are asked for often.
            let keys = Set(
                (0..<random.next(below: 4)).map { _ in random.next(below: [3, 40, 4000][random.next(below: 3)]) })
            let message = Message(offset: logEnd, time: now, keys: keys.sorted())
            messages.append(message)
            try insert(message)
        }
    }

    private func insert(_ message: Message) throws {
        for key in message.keys {
            let text = Array("key-\(key)".utf8)
            try retrying { () throws(DiskError) in
                try index.insert(
                    topic: Array("Topic".utf8).span.bytes, key: text.span.bytes, physicalOffset: message.offset,
                    storeTimestamp: Timestamp(milliseconds: message.time))
            }
        }
    }

    /// Goes on until a write-back is through, or not so far, then synchronises, and notes from where a replay would have to begin.
    private func writeCheckpoint() throws {
        var isDone = random.next(below: 3) == 0
        while !isDone {
            try retrying { () throws(DiskError) in isDone = try index.writeBack(maximumBytes: 4096) }
            if !isDone, random.next(below: 3) == 0 { try append(1) }
        }
        let covered = index.firstUnwrittenOffset ?? logEnd.advanced(by: 1)
        disk.faults.failOneIn = 0
        disk.synchronizeAllInBackground("") { _ in self.checkpoint = covered }
        if random.next(below: 3) > 0 { try append(random.next(below: 5)) }
        disk.runCompletions()
    }

    private func reopen(_ replayStart: PhysicalOffset?, isCacheIntact: Bool = false) throws {
        disk.faults.failOneIn = 0
        index = MessageIndex(
            directory: "store/index", configuration: configuration, disk: disk, files: OpenFileCache(capacity: 2))
        try index.load(replayingFrom: replayStart, isCacheIntact: isCacheIntact)
    }

    private func restart() throws {
        disk.faults.failOneIn = 0
        #expect(try index.writeBack(maximumBytes: .max) && !index.isDirty)
        try disk.synchronizeAll("")
        checkpoint = logEnd.advanced(by: 1)
        disk.crash(random.next(below: 2) == 0 ? .processKill : .powerLoss)
        try reopen(nil)
        // A clean start may replay some of the log for another view.
        for message in messages.suffix(random.next(below: 5)) { try insert(message) }
        for key in 0..<4 { try compare(key: key) }
    }

    /// The log loses its end, as a replica's does when it follows a new leader.
    private func cutLog() throws {
        guard let last = messages.last, last.offset > checkpoint else { return }
        let end = checkpoint.advanced(by: random.next(below: last.offset.bytes(since: checkpoint)))
        disk.faults.failOneIn = 0
        try index.truncate(from: end)
        messages.removeAll { $0.offset >= end }
        for key in 0..<4 { try compare(key: key) }
    }

    private func crash() throws {
        let isKill = random.next(below: 2) == 0
        disk.crash(isKill ? .processKill : .powerLoss)
        try reopen(checkpoint, isCacheIntact: isKill && random.next(below: 4) > 0)
        if random.next(below: 2) == 0 { try compare(key: random.next(below: 3), before: checkpoint) }
        for message in messages where message.offset >= checkpoint { try insert(message) }
        for key in 0..<4 { try compare(key: key) }
    }

    private func compare(key: Int, before end: PhysicalOffset = PhysicalOffset(.max)) throws {
        let matching = messages.filter { $0.keys.contains(key) && $0.offset < end }.reversed()
        #expect(try query(key, 0, .max, .max) == matching.map(\.offset))
        let begin = now - Int64(random.next(below: 100)) * 1000
        let finish = begin + Int64(random.next(below: 50)) * 1000
        let count = 1 + random.next(below: 20)
        #expect(
            try query(key, begin, finish, count)
                == matching.filter { $0.time >= begin && $0.time <= finish }.prefix(count).map(\.offset))
    }

    private func query(_ key: Int, _ begin: Int64, _ end: Int64, _ count: Int) throws -> [PhysicalOffset] {
        var found: [PhysicalOffset] = []
        try retrying { () throws(DiskError) in
            try index.putWaiting()
            found = try index.query(
                topic: Array("Topic".utf8).span.bytes, key: Array("key-\(key)".utf8).span.bytes,
                from: Timestamp(milliseconds: begin), to: Timestamp(milliseconds: end), maximumCount: count)
        }
        return found
    }
}

@Suite("Message index against a model")
struct MessageIndexModelTests {
    @Test("random operations, crashes and failing disks leave what an array holds", arguments: 0..<10)
    func random(batch: UInt64) throws {
        for seed in batch * 12..<(batch + 1) * 12 {
            do {
                try MessageIndexModel(seed: seed).run(steps: 50)
            } catch {
                Issue.record("seed \(seed): \(error)")
                throw error
            }
        }
    }
}
