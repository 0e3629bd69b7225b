import Base
import Bytes
import Model
import Simulation
import Telemetry
import Testing

@testable import Storage

/// Files whose checksums are right and whose numbers are not: no number in a file may make a start take more time or memory
/// than the log that is there, and none may stop the process.
@Suite("Numbers that cannot be")
struct ForgedNumberTests {
    static let numbers: [Int64] = [-1, .min, .max, 1 << 62, (1 << 62) + 1, 1 << 44, 1 << 31, 4096, 0]

    /// A store with twenty messages, stopped in good order or killed.
    private func fixture(isClean: Bool) throws -> StoreFixture {
        let fixture = StoreFixture(segmentSize: 16_384)
        let store = try fixture.open()
        for number in 0..<20 { try store.send("message \(number)") }
        try store.state("some state")
        try store.endTurn()
        if isClean {
            try store.close()
        } else {
            fixture.flush(store)
            try fixture.checkpoint(store)
        }
        fixture.disk.crash(.processKill)
        return fixture
    }

    private func replace(_ fixture: StoreFixture, _ path: String, _ bytes: [UInt8]) {
        fixture.disk.uninstall(path)
        fixture.disk.install(path, bytes)
    }

    private func change(_ bytes: inout [UInt8], _ number: Int64, at position: Int) {
        withUnsafeBytes(of: number.bigEndian) { bytes.replaceSubrange(position..<position + 8, with: $0) }
    }

    @Test(
        "in a checkpoint: the store opens with all its messages, or says what is wrong",
        arguments: [8, 16, 24, 32, 40, 48, 56],
        [true, false])
    func checkpoint(field: Int, isClean: Bool) throws {
        for number in Self.numbers {
            let fixture = try fixture(isClean: isClean)
            var bytes = try #require(fixture.disk.contents("store/checkpoint"))
            for slot in CheckpointFile.slotPositions where CheckpointFile.isWhole(bytes.span.bytes, at: slot) {
                change(&bytes, number, at: slot + field)
                let checksum = crc32(bytes.span.bytes.extracting(slot..<slot + 64))
                withUnsafeBytes(of: checksum.bigEndian) { bytes.replaceSubrange(slot + 64..<slot + 68, with: $0) }
            }
            replace(fixture, "store/checkpoint", bytes)
            do throws(StorageError) {
                let store = try MessageStore.open(
                    fixture.configuration, disk: fixture.disk, clock: fixture.clock, stateView: RecordedState(),
                    log: .silent)
                try store.endTurn()
                fixture.clock.advance(milliseconds: 1000)
                for _ in 0..<20 {
                    try store.keepHouse()
                    fixture.disk.runCompletions()
                }
            } catch {
                // Whatever it says, it says it.
                continue
            }
        }
    }

    @Test(
        "in a record of the log: an offset that no queue comes to is damage", arguments: ["T", "New"],
        [-1, .min, .max, 1 << 62, 1 << 58, 1 << 44] as [Int64])
    func queueOffset(topic: String, offset: Int64) throws {
        for isFollowed in [true, false] {
            let fixture = StoreFixture(segmentSize: 16_384)
            let store = try fixture.open()
            for number in 0..<20 { try store.send("message \(number)") }
            try store.endTurn()
            let end = store.end
            fixture.flush(store)
            try fixture.checkpoint(store)
            fixture.disk.crash(.processKill)
            let path = fixture.path(ofSegment: 0)
            let buffer = ByteBuffer()
            let (name, body) = (Array(topic.utf8), Array("forged".utf8))
            let draft = MessageDraft(topic: name.span.bytes, body: body.span.bytes, properties: RawSpan())
            RecordWriter.append(
                draft, size: RecordWriter.size(of: draft), queueOffset: QueueOffset(offset), physicalOffset: end,
                storeTimestamp: fixture.clock.timestamp, to: buffer)
            try fixture.disk.open(path, .existing).write(buffer.bytes, at: Int(end.rawValue))
            if isFollowed {
                // What lies behind is kept in quarantine/.
                let behind = end.advanced(by: buffer.count)
                let more = ByteBuffer()
                let good = Array("T".utf8)
                let next = MessageDraft(topic: good.span.bytes, body: body.span.bytes, properties: RawSpan())
                RecordWriter.append(
                    next, size: RecordWriter.size(of: next), queueOffset: QueueOffset(20), physicalOffset: behind,
                    storeTimestamp: fixture.clock.timestamp, to: more)
                try fixture.disk.open(path, .existing).write(more.bytes, at: Int(behind.rawValue))
            }
            let again = try fixture.open()
            #expect(again.end == end)
            #expect(try again.all() == (0..<20).map { "message \($0)" })
            #expect(try again.send("new").queueOffset == QueueOffset(20))
        }
    }

    @Test("in a table of queues: it is not believed, and no file is made", arguments: [true, false])
    func table(isClean: Bool) throws {
        for number in Self.numbers where number != 0 {
            let fixture = try fixture(isClean: isClean)
            let path = try #require(fixture.disk.files(below: "store/queues").first)
            var bytes = try #require(fixture.disk.contents(path))
            // The header, the name's length, the name, the number of queues.
            change(&bytes, number, at: QueueTable.headerSize + 2 + 1 + 4)
            let checksum = crc32(bytes.span.bytes.extracting(QueueTable.headerSize..<bytes.count))
            withUnsafeBytes(of: checksum.bigEndian) { bytes.replaceSubrange(16..<20, with: $0) }
            replace(fixture, path, bytes)
            let files = fixture.disk.files(below: "store/consumequeue").count
            let store = try fixture.open()
            #expect(try store.all() == (0..<20).map { "message \($0)" }, "\(number)")
            #expect(fixture.disk.files(below: "store/consumequeue").count == files)
        }
    }

    @Test("in a consume queue: what an entry says is not read before it is compared", arguments: [0, 8, 12])
    func entry(field: Int) throws {
        for number in Self.numbers {
            let fixture = try fixture(isClean: true)
            let path = "store/consumequeue/T/0/00000000000000000000"
            var bytes = try #require(fixture.disk.contents(path))
            change(&bytes, number, at: 5 * 20 + field)
            replace(fixture, path, bytes)
            let store = try fixture.open()
            #expect(try store.all() == (0..<20).map { "message \($0)" }, "\(number)")
            let queue = try store.queue(topic: "T", QueueID(0))
            for time in [Int64.min, 0, .max] {
                _ = try store.offset(in: queue, storedAtOrAfter: Timestamp(milliseconds: time))
            }
            _ = try store.storeTimestamp(in: queue, at: QueueOffset(5))
            #expect(store.scratch.capacity < 4096)
        }
    }

    @Test("what looks like a huge record within a body is not read")
    func hugeRecord() throws {
        let fixture = StoreFixture(segmentSize: 128 * 1024 * 1024)
        let store = try fixture.open()
        // As the body of a message lies 91 bytes less the lengths behind it, and the topic's, behind the begin of its record.
        for size: Int32 in [.max, 100 * 1024 * 1024, 17 * 1024 * 1024] {
            let place = store.end.rawValue + 84 + 4
            var body: [UInt8] = []
            for number in [size, Int32(bitPattern: MessageRecord.magicV1), 0, 0, 0] {
                withUnsafeBytes(of: number.bigEndian) { body += $0 }
            }
            for number in [Int64(0), place] { withUnsafeBytes(of: number.bigEndian) { body += $0 } }
            body += [UInt8](repeating: 0, count: 200)
            let sent = try store.send(body)
            try store.endTurn()
            let buffer = ByteBuffer()
            let found = try (0..<Int64(200)).filter { distance in
                try store.readRecord(at: PhysicalOffset(sent.physicalOffset.rawValue + distance), into: buffer)
            }
            #expect(found == [0] && buffer.capacity < 64 * 1024)
        }
    }
}
