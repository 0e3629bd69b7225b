import Base
import Bytes
import Model
import Simulation
import Testing

@testable import Storage

@Suite("Damaged entries of consume queues")
struct QueueMendingTests {
    private static let file = "store/consumequeue/T/0/00000000000000000000"

    /// Forty messages in queue 0 of T with others between them, all in files, and a store that has just been started.
    private func fixture(segmentSize: Int = 4096) throws -> (StoreFixture, MessageStore, [String]) {
        let fixture = StoreFixture(segmentSize: segmentSize)
        let store = try fixture.open()
        var bodies: [String] = []
        for number in 0..<40 {
            bodies.append("message \(10 + number)")
            try store.send(bodies[number], properties: "TAGS\u{1}a\u{2}")
            try store.send("other", to: "T", 1)
            try store.send("other \(10 + number)", to: "Other", 0)
        }
        try store.close()
        return (fixture, try fixture.reopen(after: .processKill), bodies)
    }

    private func flip(_ fixture: StoreFixture, _ path: String, _ position: Int, _ mask: UInt8) throws {
        let byte = try #require(fixture.disk.contents(path))[position] ^ mask
        try fixture.disk.open(path, .existing).write([byte].span.bytes, at: position)
    }

    /// Every message, whatever fetches it takes; nil for one that is refused.
    private func read(_ store: MessageStore, matches: (Int64) -> Bool = { _ in true }) throws -> [String] {
        var offset: Int64 = 0
        var bodies: [String] = []
        var rounds = 0
        while rounds < 1000 {
            rounds += 1
            let (result, found) = try store.fetched(from: offset, matches: matches)
            bodies += found
            if result.status == .cold { continue }
            if result.nextOffset.rawValue <= offset { return bodies }
            offset = result.nextOffset.rawValue
        }
        return bodies
    }

    @Test("whatever bit of an entry flips, every message is delivered, and the entry is made anew")
    func flips() throws {
        let (fixture, store, bodies) = try fixture()
        let whole = try #require(fixture.disk.contents(Self.file))
        for bit in 0..<(12 * 8) {
            let position = 7 * 20 + bit / 8
            try flip(fixture, Self.file, position, 1 << (bit % 8))
            #expect(try read(store) == bodies, "bit \(bit)")
            #expect(fixture.disk.contents(Self.file) == whole, "bit \(bit)")
        }
        #expect(store.metrics.damagedEntries == 96 && store.metrics.mendedEntries == 96)
        #expect(store.metrics.missingMessages == 0 && store.metrics.damagedRecords == 0)
    }

    @Test("a hash of a tag that cannot be one is made anew when a filter comes to it")
    func tagsCode() throws {
        let tag = Int64(javaHash("a"))
        let (fixture, store, bodies) = try fixture()
        let whole = try #require(fixture.disk.contents(Self.file))
        for bit in 0..<32 {
            try flip(fixture, Self.file, 7 * 20 + 12 + bit / 8, 1 << (bit % 8))
            // Who takes every tag is not held up by it.
            #expect(try read(store) == bodies)
            #expect(try read(store, matches: { $0 == tag }) == bodies, "bit \(bit)")
            #expect(fixture.disk.contents(Self.file) == whole, "bit \(bit)")
        }
        #expect(store.metrics.mendedEntries == 32)
    }

    @Test("a search by time finds its message whichever entry is damaged", arguments: 0..<40)
    func byTime(damaged: Int) throws {
        for (byte, position) in [(UInt8(0x80), 0), (0x01, 6), (0x7F, 8), (0x40, 9)] {
            let fixture = StoreFixture()
            let store = try fixture.open()
            let start = fixture.clock.timestamp.milliseconds
            for number in 0..<40 {
                try store.send("message \(number)")
                fixture.clock.advance(milliseconds: 10)
            }
            try store.close()
            let again = try fixture.reopen(after: .processKill)
            let queue = try again.queue(topic: "T", QueueID(0))
            try flip(fixture, Self.file, damaged * 20 + position, byte)
            for number in 0..<40 {
                let time = Timestamp(milliseconds: start + Int64(number) * 10)
                let found = try again.offset(in: queue, storedAtOrAfter: time).rawValue
                // Rather one too many than one too few.
                let isJustBehind = number == damaged + 1
                #expect(found == Int64(number) || (isJustBehind && found == Int64(damaged)), "\(number)")
            }
            // No more is read than a head, whatever size the entry says.
            #expect(again.scratch.capacity <= 4096)
        }
    }

    @Test(
        "a lost oldest file is noticed, and its messages come", arguments: [1, 2, 3],
        [SimulatedCrash.processKill, .powerLoss])
    func lostFront(files: Int, crash: SimulatedCrash) throws {
        let fixture = StoreFixture(segmentSize: 65_536)
        var store = try fixture.open()
        let bodies = (0..<350).map { "message \($0)" }
        for body in bodies { try store.send(body) }
        try store.close()
        for number in 0..<files {
            fixture.disk.uninstall(
                "store/consumequeue/T/0/" + Segment.name(start: PhysicalOffset(Int64(number) * 2000)))
        }
        for _ in 0..<2 {
            store = try fixture.reopen(after: crash)
            let queue = try store.queue(topic: "T", QueueID(0))
            #expect(try store.minimumOffset(of: queue) == .zero)
            #expect(try store.all() == bodies)
            #expect(try store.send("new").queueOffset.rawValue >= 350)
        }
        if crash == .processKill { #expect(store.metrics.damagedEntries == 0, "once is enough") }
    }

    @Test("a queue that begins with a file because the log does is left alone")
    func frontThatExpired() throws {
        let fixture = StoreFixture(segmentSize: 4096)
        var store = try fixture.open()
        for number in 0..<350 { try store.send("message \(number)") }
        try store.endTurn()
        fixture.flush(store)
        try fixture.checkpoint(store)
        while try store.minimumOffset(of: store.queue(topic: "T", QueueID(0))) < QueueOffset(200) {
            _ = try store.commitLog.removeFirstSegment(before: PhysicalOffset(.max))
            while fixture.disk.hasCompletions { fixture.disk.runCompletions() }
        }
        let minimum = try store.minimumOffset(of: store.queue(topic: "T", QueueID(0)))
        try store.close()
        let files = fixture.disk.files(below: "store/consumequeue")
        store = try fixture.reopen(after: .processKill)
        #expect(try store.minimumOffset(of: store.queue(topic: "T", QueueID(0))) == minimum)
        #expect(fixture.disk.files(below: "store/consumequeue") == files)
    }

    @Test("a blank entry is not passed over by a filter for tags, nor one that was filled or made of nothing")
    func filtered() throws {
        let tag = Int64(javaHash("a"))
        for bytes in [[UInt8](repeating: 0, count: 20), [UInt8](repeating: 0xFF, count: 20), entry(.fill)] {
            let (fixture, store, bodies) = try fixture()
            try fixture.disk.open(Self.file, .existing).write(bytes.span.bytes, at: 3 * 20)
            #expect(try read(store, matches: { $0 == tag }) == bodies)
            #expect(store.metrics.mendedEntries == 1)
        }
    }

    @Test("an entry of another message of the same size is noticed", arguments: [0, 8, 15])
    func swapped(offset: Int) throws {
        let (fixture, store, bodies) = try fixture()
        let contents = try #require(fixture.disk.contents(Self.file))
        let other = try #require(fixture.disk.contents("store/consumequeue/Other/0/00000000000000000000"))
        let file = try fixture.disk.open(Self.file, .existing)
        try file.write(
            Array(contents[(offset + 1) * 20..<(offset + 2) * 20]).span.bytes, at: offset * 20)
        #expect(try read(store) == bodies)
        try file.write(Array(other[offset * 20..<(offset + 1) * 20]).span.bytes, at: offset * 20)
        #expect(try read(store) == bodies)
        #expect(fixture.disk.contents(Self.file) == contents)
    }

    @Test("a file of nothing, or cut short, is made anew as far as it is read", arguments: [0, 1, 100, 20 * 39 + 7])
    func lostFile(size: Int) throws {
        let (fixture, store, bodies) = try fixture()
        #expect(try store.queue(topic: "T", QueueID(0)).maximumOffset == QueueOffset(40))
        let whole = try #require(fixture.disk.contents(Self.file))
        try fixture.disk.open(Self.file, .existing).truncate(to: size)
        #expect(try read(store) == bodies)
        #expect(fixture.disk.contents(Self.file)?.prefix(800) == whole.prefix(800))
        // Once is enough.
        let mended = store.metrics.mendedEntries
        #expect(try read(store) == bodies)
        #expect(store.metrics.mendedEntries == mended)
    }

    @Test("with a filter over records too")
    func selecting() throws {
        let (fixture, store, bodies) = try fixture()
        for position in [0, 5 * 20 + 3, 6 * 20 + 9, 39 * 20 + 8] { try flip(fixture, Self.file, position, 0x80) }
        let buffer = ByteBuffer()
        var offset = QueueOffset.zero
        var count = 0
        while offset < QueueOffset(40) {
            buffer.removeAll()
            let result = try store.fetch(
                try store.queue(topic: "T", QueueID(0)), from: offset, maximumCount: 100, mayWait: true, into: buffer,
                selects: { _ in true })
            count += result.messageCount
            if result.status != .cold { offset = result.nextOffset }
        }
        #expect(count == bodies.count)
    }

    @Test("a message whose entry and record are both damaged is refused with the place in the log, and the others come")
    func both() throws {
        let (fixture, store, bodies) = try fixture()
        let contents = try #require(fixture.disk.contents(Self.file))
        let place = place(contents, 7)
        fixture.disk.rot(fixture.path(ofSegment: Int64(place / 4096 * 4096)), at: place % 4096 + 60)
        try flip(fixture, Self.file, 7 * 20 + 2, 1)
        #expect(try store.fetched().bodies == Array(bodies[..<7]))
        for _ in 0..<2 {
            let error = #expect(throws: StorageError.self) {
                // Pieces of the log are looked through one by one.
                for _ in 0..<9 where try store.fetched(from: 7).result.status != .cold { return }
            }
            guard case .corrupt(let file, let position, _) = try #require(error) else {
                Issue.record("\(String(describing: error))")
                return
            }
            #expect(file == fixture.path(ofSegment: Int64(place / 4096 * 4096)) && position == place % 4096)
        }
        #expect(try store.fetched(from: 8).bodies.first == bodies[8])
    }

    @Test("what stands before a damaged record goes out")
    func beforeDamage() throws {
        let (fixture, store, bodies) = try fixture()
        let contents = try #require(fixture.disk.contents(Self.file))
        let place = place(contents, 7)
        fixture.disk.rot(fixture.path(ofSegment: Int64(place / 4096 * 4096)), at: place % 4096 + 100)
        let (result, found) = try store.fetched()
        #expect(found == Array(bodies[..<7]) && result.nextOffset == QueueOffset(7))
        #expect(throws: StorageError.self) { try store.fetched(from: 7) }
    }

    @Test("an entry that no message was ever behind is passed over, and counted")
    func absent() throws {
        let fixture = StoreFixture()
        let store = try fixture.open()
        let queue = try store.queue(topic: "T", QueueID(0))
        for number in 0..<3 { try store.send("message \(number)") }
        // As if the one in the middle had never been sent.
        queue.nextOffset = QueueOffset(4)
        try store.endTurn()
        let middle = ConsumeQueueEntry(physicalOffset: PhysicalOffset(77), size: 100, tagsCode: 0)
        try queue.consumeQueue.append(middle, at: QueueOffset(3))
        try store.send("message 4")
        try store.endTurn()
        let (result, bodies) = try store.fetched(from: 3)
        #expect(bodies == ["message 4"] && result.status == .found)
        #expect(store.metrics.missingMessages == 1 && store.metrics.damagedEntries == 1)
    }

    @Test("the oldest message is found by entries that are whole, whatever bisection meets", arguments: 0..<40)
    func minimum(damaged: Int) throws {
        for byte in [UInt8(0), 0x7F] {
            let (fixture, store, bodies) = try fixture()
            let start = try #require(store.commitLog.segments.dropFirst().first?.start)
            let contents = try #require(fixture.disk.contents(Self.file))
            let expired = (0..<40).filter { place(contents, $0) < Int(start.rawValue) }.count
            try fixture.disk.open(Self.file, .existing).write(
                [UInt8](repeating: byte, count: 20).span.bytes, at: damaged * 20)
            fixture.flush(store)
            // The first call makes sure that the name of the segment is durable.
            while store.commitLog.start < start {
                _ = try store.commitLog.removeFirstSegment(before: PhysicalOffset(.max))
                while fixture.disk.hasCompletions { fixture.disk.runCompletions() }
            }
            let minimum = try store.minimumOffset(of: try store.queue(topic: "T", QueueID(0))).rawValue
            #expect(minimum <= Int64(expired) && minimum >= Int64(expired) - 1)
            #expect(try store.all() == Array(bodies[expired...]))
        }
    }

    /// Where the record of an entry lies.
    private func place(_ contents: [UInt8], _ entry: Int) -> Int {
        Int(contents[entry * 20 + 6]) * 256 + Int(contents[entry * 20 + 7])
    }

    private func entry(_ entry: ConsumeQueueEntry) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: 20)
        bytes.withUnsafeMutableBytes { if let memory = $0.baseAddress { entry.store(to: memory) } }
        return bytes
    }
}
