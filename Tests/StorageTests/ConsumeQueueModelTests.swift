import Base
import Simulation
import Storage
import Testing

/// Does what a store does with a consume queue, at random, with crashes and failing disks, and compares it with an array.
private final class ConsumeQueueModel {
    private let random: SeededRandom
    private let disk: SimulatedDisk
    private let configuration: ConsumeQueueConfiguration
    private var files: OpenFileCache
    private var queue: ConsumeQueue
    /// Offset of the first message ever.
    private let first: Int64
    /// Entry *n* of the queue is that of offset `first + n`; the log has those from `logStart` on.
    private var entries: [ConsumeQueueEntry] = []
    private var logEnd = PhysicalOffset(0)
    private var logStart = PhysicalOffset(0)
    /// From where the log is replayed after a crash.
    private var checkpoint = PhysicalOffset(0)

    init(seed: UInt64) {
        random = SeededRandom(seed: seed)
        disk = SimulatedDisk(seed: seed &+ 1_000_000)
        disk.faults.writeBackOneIn = random.next(below: 6)
        configuration = ConsumeQueueConfiguration(
            entriesPerFile: [3, 10, 64, 300, 1000][random.next(below: 5)],
            tailEntriesMaximum: [2, 3, 16, 128][random.next(below: 4)])
        first = random.next(below: 2) == 0 ? 0 : Int64(random.next(below: 2500))
        files = OpenFileCache(capacity: 2)
        queue = ConsumeQueue(directory: "consumequeue/T/0", configuration: configuration, disk: disk, files: files)
    }

    func run(steps: Int) throws {
        for _ in 0..<steps {
            switch random.next(below: 20) {
            case 0...7: try append(1 + random.next(below: 80))
            case 8...9: try retrying { () throws(DiskError) in try queue.writeTail() }
            case 10...11: try writeCheckpoint()
            case 12: try retire()
            case 13: try cutLog()
            case 14: try restart()
            case 15...16: try crash()
            default: try compareRange()
            }
            disk.faults.failOneIn = random.next(below: 3) == 0 ? 40 : 0
        }
        disk.faults.failOneIn = 0
        try compareAll()
    }

    /// Calls until the disk does not fail; a failure must not have changed anything.
    private func retrying(_ body: () throws(DiskError) -> Void) throws {
        for attempt in 0..<1000 {
            if attempt == 10 { disk.faults.failOneIn = 0 }
            do throws(DiskError) { return try body() } catch {}
        }
        Issue.record("never succeeds")
    }

    private func append(_ count: Int) throws {
        for _ in 0..<count {
            // Records of other queues lie between.
            logEnd = logEnd.advanced(by: random.next(below: 3) * 100)
            let size = 91 + random.next(below: 100)
            let entry = ConsumeQueueEntry(
                physicalOffset: logEnd, size: Int32(size), tagsCode: Int64(bitPattern: random.next()))
            logEnd = logEnd.advanced(by: size)
            let offset = QueueOffset(first + Int64(entries.count))
            try retrying { () throws(DiskError) in try queue.append(entry, at: offset) }
            entries.append(entry)
        }
    }

    private func writeCheckpoint() throws {
        try retrying { () throws(DiskError) in try queue.writeTail() }
        // A failed synchronisation stops the real store for good.
        disk.faults.failOneIn = 0
        let covered = logEnd
        disk.synchronizeAllInBackground("") { error in
            if error == nil { self.checkpoint = covered }
        }
        if random.next(below: 3) > 0 { try append(random.next(below: 5)) }
        disk.faults.failOneIn = 0
        disk.runCompletions()
    }

    /// The log loses its front, never beyond the checkpoint.
    private func retire() throws {
        let room = checkpoint.bytes(since: logStart)
        guard room > 0 else { return }
        logStart = logStart.advanced(by: random.next(below: room + 1))
        try retrying { () throws(DiskError) in try queue.correctMinimum(logStart: logStart) }
        #expect(queue.minimumOffset == minimum)
    }

    /// The log loses its end, as a replica's does when it follows a new leader.
    private func cutLog() throws {
        let room = logEnd.bytes(since: checkpoint)
        guard room > 0, !entries.isEmpty else { return }
        let end = checkpoint.advanced(by: random.next(below: room + 1))
        try retrying { () throws(DiskError) in try queue.truncate(from: end) }
        entries.removeAll { $0.physicalOffset >= end }
        logEnd = end
        #expect(queue.maximumOffset == maximum)
    }

    private func reopen() {
        files = OpenFileCache(capacity: 2)
        queue = ConsumeQueue(directory: "consumequeue/T/0", configuration: configuration, disk: disk, files: files)
        disk.faults.failOneIn = 0
    }

    private func restart() throws {
        try writeCheckpoint()
        try retrying { () throws(DiskError) in try queue.writeTail() }
        try disk.synchronizeAll("")
        checkpoint = logEnd
        disk.crash(random.next(below: 2) == 0 ? .processKill : .powerLoss)
        reopen()
        try queue.load()
        try queue.correctMinimum(logStart: logStart)
        try compareAll()
    }

    private func crash() throws {
        disk.crash(random.next(below: 2) == 0 ? .processKill : .powerLoss)
        reopen()
        try queue.load(replayingFrom: checkpoint)
        try queue.correctMinimum(logStart: logStart)
        for (index, entry) in entries.enumerated() where entry.physicalOffset >= checkpoint {
            try queue.append(entry, at: QueueOffset(first + Int64(index)))
        }
        try compareAll()
    }

    private var minimum: QueueOffset {
        QueueOffset(entries.isEmpty ? queue.minimumOffset.rawValue : first + Int64(firstLiving))
    }
    private var maximum: QueueOffset {
        QueueOffset(entries.isEmpty ? queue.minimumOffset.rawValue : first + Int64(entries.count))
    }
    private var firstLiving: Int { entries.firstIndex { $0.physicalOffset >= logStart } ?? entries.count }

    private func compareRange() throws {
        guard !entries.isEmpty else { return }
        let start = random.next(below: entries.count)
        let count = random.next(below: 60)
        var found = Array(repeating: ConsumeQueueEntry.blank, count: count)
        var result = ConsumeQueue.ReadResult?.none
        try retrying { () throws(DiskError) in
            result = try read(from: start, into: &found)
        }
        let expected = start < firstLiving ? [] : entries[start..<min(entries.count, start + count)]
        #expect(found.prefix(result?.count ?? 0) == expected)
    }

    private func compareAll() throws {
        #expect(queue.minimumOffset == minimum)
        #expect(queue.maximumOffset == maximum)
        var found = Array(repeating: ConsumeQueueEntry.blank, count: entries.count + 10)
        let result = try read(from: firstLiving, into: &found)
        #expect(found.prefix(result.count) == entries[firstLiving...])
    }

    private func read(from index: Int, into found: inout [ConsumeQueueEntry]) throws(DiskError)
        -> ConsumeQueue.ReadResult
    {
        let result = found.withUnsafeMutableBufferPointer { buffer in
            Result { () throws(DiskError) in
                try queue.read(from: QueueOffset(first + Int64(index)), maximumCount: buffer.count, into: buffer)
            }
        }
        return try result.get()
    }
}

@Suite("Consume queue against a model")
struct ConsumeQueueModelTests {
    @Test("random operations, crashes and failing disks leave what an array holds", arguments: 0..<10)
    func random(batch: UInt64) throws {
        for seed in batch * 20..<(batch + 1) * 20 {
            do {
                try ConsumeQueueModel(seed: seed).run(steps: 50)
            } catch {
                Issue.record("seed \(seed): \(error)")
                throw error
            }
        }
    }
}
