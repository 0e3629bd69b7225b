import Base
import Bytes
import Model
import Simulation
import Testing

@testable import Storage

@Suite("Message store: append and fetch")
struct MessageStoreTests {
    @Test("what was sent is fetched from the tail, from the page cache, and from the medium after a prefetch")
    func roundTrip() throws {
        let fixture = StoreFixture()
        let store = try fixture.open()
        let bodies = (0..<100).map { "body \($0)" }
        for body in bodies { try store.send(body) }
        #expect(try store.fetched().result.status == .noMessageInQueue)
        try store.endTurn()
        #expect(try store.all() == bodies)
        let again = try fixture.reopen(after: .processKill)
        #expect(try again.all() == bodies)
        try again.endTurn()
        fixture.disk.dropCache()
        let cold = try again.fetched(mayWait: false)
        #expect(cold.result.status == .cold && cold.bodies.isEmpty && cold.result.coldOffset == .zero)
        var isThere = false
        again.prefetch(cold.result) { isThere = true }
        fixture.disk.runCompletions()
        #expect(isThere)
        #expect(try again.fetched(mayWait: true).bodies.first == bodies[0])
    }

    @Test("a segment is filled up by a blank record, whatever is left of it", arguments: 8..<150)
    func remainders(rest: Int) throws {
        let fixture = StoreFixture()
        let store = try fixture.open()
        let size = recordSize(body: 0)
        // One record such that `rest` bytes are left behind it, as far as a blank record still fits.
        let first = fixture.configuration.segmentSize - rest - size
        try store.send([UInt8](repeating: 65, count: first))
        for number in 0..<50 { try store.send("after \(number)") }
        try store.endTurn()
        let expected = [String(repeating: "A", count: first)] + (0..<50).map { "after \($0)" }
        #expect(try store.all() == expected)
        let isAlone = rest < size + 7 + CommitLog.blankSize
        #expect(
            (store.commitLog.segments.count > 1 && store.commitLog.segments[0].end == PhysicalOffset(4096)) || !isAlone)
        for segment in store.commitLog.segments { #expect(try segment.file.size() == 4096) }
        #expect(try fixture.reopen(after: .processKill).all() == expected)
    }

    @Test("a record of the largest size is taken, and one byte more is refused")
    func largest() throws {
        let fixture = StoreFixture(segmentSize: 8192)
        let store = try fixture.open()
        let largest = 8192 - CommitLog.blankSize - recordSize(body: 0)
        for _ in 0..<3 { try store.send([UInt8](repeating: 66, count: largest)) }
        #expect(throws: StorageError.recordTooLarge(size: 8185, maximum: 8184)) {
            try store.send([UInt8](repeating: 66, count: largest + 1))
        }
        try store.send("small")
        try store.endTurn()
        #expect(try store.all().map(\.utf8.count) == [largest, largest, largest, 5])
    }

    @Test("a turn may be longer than the tail: what does not fit is written and shown before its end")
    func longTurn() throws {
        let fixture = StoreFixture(segmentSize: 64 * 1024 * 1024)
        let store = try fixture.open()
        let body = [UInt8](repeating: 67, count: 60_000)
        for _ in 0..<400 { try store.send(body) }
        #expect(store.written > .zero && store.dispatched == store.written)
        try store.endTurn()
        #expect(try store.queue(topic: "T", QueueID(0)).maximumOffset == QueueOffset(400))
        #expect(try store.all().count == 400)
    }

    @Test("an answer ends at the client's count, at the limits of bytes and count, and sooner for old messages")
    func limits() throws {
        let fixture = StoreFixture(segmentSize: 1 << 20)
        fixture.configuration.fetchLimits.countInMemory = 10
        fixture.configuration.fetchLimits.bytesInMemory = 5 * recordSize(body: 1)
        fixture.configuration.fetchLimits.bytesOnDisk = 3 * recordSize(body: 1)
        fixture.configuration.hotRangeBytes = 50 * recordSize(body: 1)
        let store = try fixture.open()
        for _ in 0..<100 { try store.send("x") }
        try store.endTurn()
        #expect(try store.fetched(from: 60, maximumCount: 4).bodies.count == 4)
        #expect(try store.fetched(from: 60).bodies.count == 5)
        #expect(try store.fetched(from: 10).bodies.count == 3)
        // The first message always fits.
        try store.send([UInt8](repeating: 68, count: 5000))
        try store.endTurn()
        #expect(try store.fetched(from: 100).bodies.count == 1)
    }

    @Test("a filter that nothing passes moves on by what one look may scan")
    func filters() throws {
        let fixture = StoreFixture(segmentSize: 1 << 20)
        let store = try fixture.open()
        for number in 0..<2000 { try store.send("\(number)", properties: number % 100 == 99 ? "TAGS\u{1}a" : "") }
        try store.endTurn()
        let nothing = try store.fetched(maximumCount: 32, matches: { _ in false })
        #expect(nothing.result.status == .noMatchedMessage && nothing.result.nextOffset == QueueOffset(800))
        let some = try store.fetched(maximumCount: 32, matches: { $0 == 97 })
        #expect(some.bodies == ["99", "199", "299", "399", "499", "599", "699", "799"])
        #expect(some.result.nextOffset == QueueOffset(800))
    }

    @Test("offsets without a message are told apart")
    func outside() throws {
        let fixture = StoreFixture()
        let store = try fixture.open()
        for _ in 0..<3 { try store.send("x") }
        try store.endTurn()
        let expected: [(Int64, FetchStatus, Int64)] = [
            (-1, .offsetTooSmall, 0), (0, .found, 3), (3, .offsetOverflowOne, 3), (4, .offsetOverflowBadly, 3),
            (.max, .offsetOverflowBadly, 3),
        ]
        for (offset, status, next) in expected {
            let result = try store.fetched(from: offset).result
            #expect(result.status == status && result.nextOffset == QueueOffset(next), "\(offset)")
        }
    }

    @Test("messages are found by key, and by the time that they were stored at")
    func search() throws {
        let fixture = StoreFixture()
        let store = try fixture.open()
        let start = fixture.clock.timestamp.milliseconds
        var positions: [PhysicalOffset] = []
        for number in 0..<20 {
            positions.append(
                try store.send("x", properties: "KEYS\u{1}k\(number % 2) all\u{2}UNIQ_KEY\u{1}u\(number)")
                    .physicalOffset)
            fixture.clock.advance(milliseconds: 1000)
        }
        try store.endTurn()
        func query(_ key: String) throws -> [PhysicalOffset] {
            let key = Array(key.utf8)
            return try store.query(
                topic: Array("T".utf8).span.bytes, key: key.span.bytes, from: Timestamp(milliseconds: 0),
                to: Timestamp(milliseconds: .max), maximumCount: 64)
        }
        #expect(try query("all") == positions)
        #expect(try query("u7") == [positions[7]])
        #expect(try query("k1") == positions.enumerated().filter { $0.offset % 2 == 1 }.map(\.element))
        #expect(try query("none").isEmpty)
        let queue = try store.queue(topic: "T", QueueID(0))
        for (time, offset) in [(-1, 0), (0, 0), (1, 1), (5000, 5), (19_000, 19), (19_001, 20)] as [(Int64, Int64)] {
            let found = try store.offset(in: queue, storedAtOrAfter: Timestamp(milliseconds: start + time))
            #expect(found == QueueOffset(offset), "\(time)")
        }
    }

    @Test("a record ends with a checksum of the whole in RocketMQ 5's form; the digits stand lowest first")
    func checksum() throws {
        let buffer = ByteBuffer()
        let topic = Array("T".utf8)
        let properties = Array("a\u{1}b".utf8)
        let draft = MessageDraft(topic: topic.span.bytes, body: topic.span.bytes, properties: properties.span.bytes)
        RecordWriter.append(
            draft, size: RecordWriter.size(of: draft), queueOffset: .zero, physicalOffset: .zero,
            storeTimestamp: Timestamp(milliseconds: 0), to: buffer)
        let record = try MessageRecord(buffer.bytes)
        let text = MessageProperties.decode(buffer.bytes.extracting(record.properties))
        #expect(text.map(\.name) == ["a", "__CRC32#"])
        let digits = String(try #require(text.last).value.reversed())
        let checksum = crc32(buffer.bytes.extracting(0..<buffer.count - 20)) & 0x7FFF_FFFF
        #expect(digits.utf8.count == 10 && UInt32(digits) == checksum)
        for position in 0..<buffer.count {
            var bytes = buffer.bytes.withUnsafeBytes { Array($0) }
            bytes[position] ^= 0x20
            if let changed = try? MessageRecord(bytes.span.bytes) {
                // What the checksum covers is everything but itself; its own bytes may turn it into another property.
                #expect(!RecordCheck.isIntact(changed, in: bytes.span.bytes) || position >= buffer.count - 20)
            }
        }
    }

    @Test("a record of which a power cut took any sector is not whole, wherever the sector's border lies")
    func lostSector() throws {
        let buffer = ByteBuffer()
        let (topic, body) = (Array("T".utf8), [UInt8](repeating: 7, count: 30))
        let properties = Array("a\u{1}b\u{2}c\u{1}dddd".utf8)
        let draft = MessageDraft(topic: topic.span.bytes, body: body.span.bytes, properties: properties.span.bytes)
        RecordWriter.append(
            draft, size: RecordWriter.size(of: draft), queueOffset: .zero, physicalOffset: .zero,
            storeTimestamp: Timestamp(milliseconds: 0), to: buffer)
        let whole = buffer.bytes.withUnsafeBytes { Array($0) }
        for border in 1..<whole.count {
            for lost in [0..<border, border..<whole.count] {
                var bytes = whole
                for position in lost { bytes[position] = 0 }
                // The first bytes of a small record are zeros anyway.
                if bytes == whole { continue }
                guard let record = try? MessageRecord(bytes.span.bytes) else { continue }
                let isIntact = RecordCheck.isIntact(record, in: bytes.span.bytes)
                #expect(!isIntact, "\(lost)")
            }
        }
    }

    @Test(
        "properties of the largest size stay readable for clients that read a signed length", arguments: 32_700...32_767
    )
    func longProperties(size: Int) throws {
        let fixture = StoreFixture(segmentSize: 1 << 20)
        let store = try fixture.open()
        let properties = "a\u{1}" + String(repeating: "b", count: size - 2)
        let appended = try store.send("x", properties: properties)
        try store.endTurn()
        let buffer = ByteBuffer()
        #expect(try store.readRecord(at: appended.physicalOffset, into: buffer))
        let record = try MessageRecord(buffer.bytes)
        #expect(record.properties.count >= size && record.properties.count <= 32_767)
        #expect(
            MessageProperties.decode(buffer.bytes.extracting(record.properties)).first?.value.utf8.count == size - 2)
    }

    @Test("what a damaged consume queue holds is not followed: the message is found in the log")
    func damagedEntries() throws {
        let fixture = StoreFixture()
        let store = try fixture.open()
        for number in 0..<100 { try store.send("message \(number)") }
        try store.endTurn()
        try fixture.checkpoint(store)
        let file = "store/consumequeue/T/0/00000000000000000000"
        let right = try #require(fixture.disk.contents(file)?[0..<20])
        var entry = right
        for (offset, size) in [
            (Int64.max, Int32(5)), (.min, 5), (0, -1), (0, 0), (0, .max), (.max, .max), (1, 120), (5000, 1),
            (store.end.rawValue - 1, 1),
        ] {
            withUnsafeBytes(of: offset.bigEndian) { entry.replaceSubrange(0..<8, with: $0) }
            withUnsafeBytes(of: size.bigEndian) { entry.replaceSubrange(8..<12, with: $0) }
            let handle = try fixture.disk.open(file, .existing)
            try handle.write(Array(entry).span.bytes, at: 0)
            let found = try store.fetched(maximumCount: 1)
            #expect(found.bodies == ["message 0"], "\(offset) \(size)")
            #expect(fixture.disk.contents(file)?[0..<20] == right)
        }
    }
}
