import Base
import Simulation
import Storage
import Testing

/// An entry whose record begins at a hundred times `number`.
private func entry(_ number: Int64) -> ConsumeQueueEntry {
    ConsumeQueueEntry(physicalOffset: PhysicalOffset(number * 100), size: 100, tagsCode: number * 7 - 3)
}

@Suite("Consume queue")
struct ConsumeQueueTests {
    let disk = SimulatedDisk()
    let files = OpenFileCache()
    let directory = "consumequeue/TopicA/0"

    private func queue(entriesPerFile: Int = 10, tail: Int = 4) -> ConsumeQueue {
        ConsumeQueue(
            directory: directory,
            configuration: ConsumeQueueConfiguration(entriesPerFile: entriesPerFile, tailEntriesMaximum: tail),
            disk: disk, files: files)
    }

    private func fill(_ queue: ConsumeQueue, _ range: Range<Int64>) throws {
        for number in range { try queue.append(entry(number), at: QueueOffset(number)) }
    }

    private func read(_ queue: ConsumeQueue, from offset: Int64, count: Int) throws -> [ConsumeQueueEntry] {
        var entries = Array(repeating: ConsumeQueueEntry.blank, count: count)
        let result = try entries.withUnsafeMutableBufferPointer {
            try queue.read(from: QueueOffset(offset), maximumCount: count, into: $0)
        }
        return Array(entries.prefix(result.count))
    }

    @Test("an empty queue has nothing on disk, and does no I/O but the look at its folder")
    func empty() throws {
        let queue = queue()
        #expect(disk.callCount == 0)
        try queue.load()
        #expect(disk.callCount == 1)
        try queue.writeTail()
        try queue.correctMinimum(logStart: PhysicalOffset(100))
        #expect(queue.isEmpty && !queue.isDirty)
        #expect(try queue.lastEntry == nil)
        #expect(try read(queue, from: 0, count: 1).isEmpty)
        #expect(disk.files().isEmpty)
        #expect(queue.tailMemory == 0)
    }

    @Test("entries are laid out as RocketMQ lays them out, in files of full length named by their first byte")
    func layout() throws {
        let queue = queue()
        try queue.append(
            ConsumeQueueEntry(physicalOffset: PhysicalOffset(0x0102_0304_0506), size: 0x0708_090A, tagsCode: -2),
            at: .zero)
        try fill(queue, 1..<13)
        try queue.writeTail()
        #expect(
            disk.files(below: directory)
                == ["00000000000000000000", "00000000000000000200"].map { "\(directory)/\($0)" })
        let bytes = try #require(disk.contents(directory + "/00000000000000000000"))
        #expect(bytes.count == 200)
        #expect(
            bytes.prefix(20) == [
                0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFE,
            ])
        #expect(disk.contents(directory + "/00000000000000000200")?.count == 200)
    }

    @Test("what was appended is read, from memory and from files, across file ends", arguments: 0...27)
    func readFrom(start: Int64) throws {
        let queue = queue()
        try fill(queue, 0..<27)
        #expect(try read(queue, from: start, count: 40) == (start..<27).map(entry))
        #expect(try read(queue, from: start, count: 3) == (start..<min(27, start + 3)).map(entry))
        #expect(try queue.entry(at: QueueOffset(start)) == (start < 27 ? entry(start) : nil))
    }

    @Test("a full tail is written in one piece, and its latter half still serves readers from memory")
    func tail() throws {
        let queue = queue(entriesPerFile: 1000, tail: 8)
        try fill(queue, 0..<8)
        #expect(disk.counts.writes == 0)
        try fill(queue, 8..<9)
        #expect(disk.counts.writes == 1 && disk.counts.bytesWritten == 160)
        #expect(queue.writtenOffset == QueueOffset(8) && queue.isDirty)
        #expect(try read(queue, from: 4, count: 10) == (4..<9).map(entry))
        #expect(disk.counts.reads == 0)
        #expect(try read(queue, from: 3, count: 10) == (3..<9).map(entry))
        #expect(disk.counts.reads == 1)
    }

    @Test("an idle queue keeps a small tail")
    func idleMemory() throws {
        let queue = queue(entriesPerFile: 300_000, tail: 128)
        try fill(queue, 0..<1000)
        #expect(queue.tailMemory == 128 * 20)
        try queue.writeTail()
        #expect(queue.tailMemory == 16 * 20)
        #expect(try read(queue, from: 0, count: 1000) == (0..<1000).map(entry))
    }

    @Test("a read tells whether it waited for the medium")
    func cold() throws {
        let queue = queue(entriesPerFile: 1000, tail: 8)
        try fill(queue, 0..<100)
        disk.dropCache()
        var entries = [entry(0), entry(0)]
        let results = try [0, 0, 98].map { offset in
            try entries.withUnsafeMutableBufferPointer {
                try queue.read(from: QueueOffset(offset), maximumCount: 2, into: $0)
            }
        }
        #expect(results.map(\.isCold) == [true, false, false])
        #expect(results.map(\.count) == [2, 2, 2])
    }

    @Test("a queue loads with its minimum and maximum, whatever the number of its entries", arguments: 0...31)
    func load(count: Int64) throws {
        let first = queue()
        try fill(first, 0..<count)
        try first.writeTail()
        let second = queue()
        try second.load()
        #expect(second.minimumOffset == .zero && second.maximumOffset == QueueOffset(count))
        #expect(!second.isDirty)
        try fill(second, count..<count + 15)
        #expect(try read(second, from: 0, count: 60) == (0..<count + 15).map(entry))
        #expect(try second.lastEntry == entry(count + 14))
    }

    @Test(
        "a queue starts at any offset; the places before are filled as RocketMQ fills them", arguments: [1, 9, 10, 25])
    func start(offset: Int64) throws {
        let first = queue()
        try fill(first, offset..<offset + 12)
        #expect(first.minimumOffset == QueueOffset(offset))
        try first.writeTail()
        let second = queue()
        try second.load()
        #expect(second.minimumOffset == QueueOffset(offset) && second.maximumOffset == QueueOffset(offset + 12))
        #expect(try read(second, from: offset, count: 60) == (offset..<offset + 12).map(entry))
        if offset % 10 > 0 {
            let name = String(offset / 10 * 200)
            let path = directory + "/" + String(repeating: "0", count: 20 - name.count) + name
            let bytes = try #require(disk.contents(path))
            #expect(bytes.prefix(20) == [0, 0, 0, 0, 0, 0, 0, 0, 0x7F, 0xFF, 0xFF, 0xFF, 0, 0, 0, 0, 0, 0, 0, 0])
        }
    }

    @Test("an entry that is there already is left alone; another one replaces it and all behind it")
    func appendAgain() throws {
        let queue = queue()
        try fill(queue, 0..<25)
        try fill(queue, 5..<25)
        #expect(queue.maximumOffset == QueueOffset(25))
        try queue.append(entry(77), at: QueueOffset(12))
        #expect(queue.maximumOffset == QueueOffset(13))
        #expect(try read(queue, from: 11, count: 9) == [entry(11), entry(77)])
        #expect(disk.files(below: directory).count == 2)
    }

    @Test("a gap stops the process")
    func gap() async {
        await #expect(processExitsWith: .failure) {
            let queue = ConsumeQueue(
                directory: "q", configuration: ConsumeQueueConfiguration(), disk: SimulatedDisk(),
                files: OpenFileCache())
            let entry = ConsumeQueueEntry(physicalOffset: .zero, size: 1, tagsCode: 0)
            try queue.append(entry, at: .zero)
            try queue.append(entry, at: QueueOffset(2))
        }
    }

    @Test("entries at or beyond an offset of the log go, from memory and files", arguments: 0...27)
    func truncate(kept: Int64) throws {
        let first = queue()
        try fill(first, 0..<27)
        try first.truncate(from: PhysicalOffset(kept * 100))
        #expect(first.maximumOffset == QueueOffset(kept))
        try fill(first, kept..<kept + 2)
        try first.writeTail()
        let second = queue()
        try second.load()
        #expect(try read(second, from: 0, count: 60) == (0..<kept + 2).map(entry))
    }

    @Test("the minimum follows the log's start, files wholly below it go, the last one stays", arguments: 0...28)
    func minimum(logStart: Int64) throws {
        let first = queue()
        try fill(first, 0..<27)
        try first.correctMinimum(logStart: PhysicalOffset(logStart * 100 - 50))
        let minimum = min(logStart, 27)
        #expect(first.minimumOffset == QueueOffset(minimum) && first.maximumOffset == QueueOffset(27))
        #expect(try read(first, from: minimum, count: 60) == (minimum..<27).map(entry))
        #expect(try read(first, from: minimum - 1, count: 60).isEmpty)
        try first.writeTail()
        try first.correctMinimum(logStart: PhysicalOffset(logStart * 100 - 50))
        let second = queue()
        try second.load()
        try second.correctMinimum(logStart: PhysicalOffset(logStart * 100 - 50))
        #expect(second.minimumOffset == QueueOffset(minimum) && second.maximumOffset == QueueOffset(27))
        #expect(try second.correctMinimum(logStart: .zero) == ())
        #expect(disk.files(below: directory).count == 3 - Int(min(minimum / 10, 2)))
    }

    @Test(
        "the first offset stored at a time or later",
        arguments: [(0, 3), (30, 3), (31, 4), (40, 4), (99, 10), (100, 10), (190, 19), (191, 20), (9999, 20)])
    func byTime(time: Int64, expected: Int64) throws {
        let queue = queue()
        try fill(queue, 3..<20)
        let found = try queue.offset(storedAtOrAfter: Timestamp(milliseconds: time)) { entry, offset in
            #expect(entry.physicalOffset.rawValue == offset.rawValue * 100)
            return Timestamp(milliseconds: entry.physicalOffset.rawValue / 10)
        }
        #expect(found == QueueOffset(expected))
    }

    @Test("a search by time passes over damaged entries, and counts those just before what it finds as later")
    func byTimeWithDamagedEntries() throws {
        let queue = queue()
        try fill(queue, 0..<20)
        for damaged in [0..<1, 9..<10, 10..<11, 3..<9, 10..<16, 19..<20, 0..<20] as [Range<Int64>] {
            for time in 0...Int64(20) {
                let found = try queue.offset(storedAtOrAfter: Timestamp(milliseconds: time)) { _, offset in
                    damaged.contains(offset.rawValue) ? nil : Timestamp(milliseconds: offset.rawValue)
                }
                let expected = damaged.contains(time - 1) || damaged.upperBound == time ? damaged.lowerBound : time
                #expect(found.rawValue <= time && found.rawValue >= min(time, expected), "\(damaged), \(time)")
                if !damaged.contains(time), damaged.upperBound != time { #expect(found.rawValue == time) }
            }
        }
    }

    @Test("a destroyed queue leaves nothing and can begin again")
    func destroy() throws {
        let queue = queue()
        try fill(queue, 0..<27)
        try queue.destroy()
        #expect(!disk.exists(directory))
        #expect(queue.isEmpty && queue.maximumOffset == .zero && queue.tailMemory == 0)
        try fill(queue, 4..<8)
        #expect(queue.minimumOffset == QueueOffset(4))
    }

    @Test("an append that cannot be written changes nothing, and works when there is room again")
    func diskFull() throws {
        let queue = queue(entriesPerFile: 1000, tail: 8)
        try fill(queue, 0..<8)
        disk.capacity = 0
        for _ in 0..<3 {
            #expect(throws: DiskError.self) { try queue.append(entry(8), at: QueueOffset(8)) }
            #expect(queue.maximumOffset == QueueOffset(8))
        }
        #expect(throws: DiskError.self) { try queue.writeTail() }
        disk.capacity = 1 << 30
        try fill(queue, 8..<30)
        #expect(try read(queue, from: 0, count: 60) == (0..<30).map(entry))
    }

    @Test("names that are no files of a queue are left alone, and a name of another file size is an error")
    func names() throws {
        let first = queue()
        try fill(first, 0..<11)
        try first.writeTail()
        disk.install(directory + "/notes.txt", [1])
        let second = queue()
        try second.load()
        #expect(second.maximumOffset == QueueOffset(11))
        let third = queue(entriesPerFile: 300)
        #expect(throws: ViewError.self) { try third.load() }
    }

    @Test("a missing file between others is an error after a clean stop")
    func missingFile() throws {
        let first = queue()
        try fill(first, 0..<27)
        try first.writeTail()
        try disk.remove(directory + "/00000000000000000200")
        #expect(throws: ViewError.self) { try queue().load() }
        let second = queue()
        try second.load(replayingFrom: PhysicalOffset(800))
        #expect(second.maximumOffset == QueueOffset(20) || second.maximumOffset == QueueOffset(8))
    }

    @Test("a file that lost its length reads as blank behind it")
    func shortFile() throws {
        let first = queue()
        try fill(first, 0..<8)
        try first.writeTail()
        try disk.open(directory + "/00000000000000000000", .existing).truncate(to: 70)
        let second = queue()
        try second.load(replayingFrom: PhysicalOffset(1000))
        #expect(second.maximumOffset == QueueOffset(3))
        #expect(disk.contents(directory + "/00000000000000000000")?.count == 200)
    }

    @Test("a torn entry among lost ones does not mislead the cut")
    func tornEntry() throws {
        let first = queue(entriesPerFile: 300)
        try fill(first, 0..<150)
        // Its physical offset has lost the upper half, so that it looks like one from before the checkpoint.
        try first.append(
            ConsumeQueueEntry(physicalOffset: PhysicalOffset(5), size: 100, tagsCode: 0), at: QueueOffset(150))
        try fill(first, 151..<300)
        try first.writeTail()
        let second = queue(entriesPerFile: 300)
        try second.load(replayingFrom: PhysicalOffset(10_000))
        #expect(second.maximumOffset == QueueOffset(100))
    }

    @Test("prepared files that were never written count as absent, and are used later")
    func preparedFiles() throws {
        disk.install(directory + "/00000000000000000000", [UInt8](repeating: 0, count: 200))
        disk.install(directory + "/00000000000000000200", [UInt8](repeating: 0, count: 200))
        let queue = queue()
        try queue.load()
        #expect(queue.isEmpty && queue.maximumOffset == .zero)
        try fill(queue, 0..<15)
        try queue.writeTail()
        #expect(try read(queue, from: 0, count: 60) == (0..<15).map(entry))
    }

    @Test("many queues share a few open files")
    func openFiles() throws {
        let files = OpenFileCache(capacity: 3)
        let queues = (0..<20).map {
            ConsumeQueue(
                directory: "consumequeue/T/\($0)",
                configuration: ConsumeQueueConfiguration(entriesPerFile: 10, tailEntriesMaximum: 2), disk: disk,
                files: files)
        }
        for number in 0..<Int64(25) {
            for queue in queues { try queue.append(entry(number), at: QueueOffset(number)) }
            #expect(disk.openFileCount <= 3)
        }
        for queue in queues { #expect(try read(queue, from: 0, count: 25) == (0..<25).map(entry)) }
        files.removeAll()
        #expect(disk.openFileCount == 0 && files.count == 0)
    }
}
