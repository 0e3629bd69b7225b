import Base
import Bytes
import Model
import Simulation
import Telemetry
import Testing

@testable import Storage

/// Stores that are damaged on purpose: what a check says of them, and what is left after a repair.
@Suite("Looking through a store and mending it")
struct InspectionTests {
    /// A store with several segments, three queues, keys and state, stopped in good order.
    private func fixture(messages: Int = 120, closes: Bool = true) throws -> (StoreFixture, [String: [String]]) {
        let fixture = StoreFixture(seed: 7, segmentSize: 8192)
        let store = try fixture.open()
        var bodies: [String: [String]] = [:]
        try store.state("topic T")
        for number in 0..<messages {
            let body = "message \(number) " + String(repeating: "x", count: number % 37)
            let queue = Int32(number % 3)
            try store.send(body, properties: "KEYS\u{1}k\(number % 7)\u{2}", to: "T", queue)
            bodies["T/\(queue)", default: []].append(body)
            if number % 10 == 0 { try store.state("state \(number)") }
            try store.endTurn()
        }
        if closes {
            try store.close()
        } else {
            fixture.flush(store)
            try fixture.checkpoint(store)
        }
        fixture.disk.crash(.processKill)
        return (fixture, bodies)
    }

    private func check(_ fixture: StoreFixture) throws -> StoreReport {
        let inspection = try StoreInspection(fixture.configuration, disk: fixture.disk, stateView: RecordedState())
        defer { inspection.close() }
        return try inspection.run()
    }

    @discardableResult
    private func repair(_ fixture: StoreFixture) throws -> [String] {
        let inspection = try StoreInspection(fixture.configuration, disk: fixture.disk, stateView: RecordedState())
        defer { inspection.close() }
        _ = try inspection.run()
        let repair = StoreRepair(inspection)
        try repair.run()
        return repair.actions
    }

    private func flip(_ fixture: StoreFixture, _ path: String, _ position: Int, _ mask: UInt8 = 1) throws {
        var bytes = try #require(fixture.disk.contents(path))
        bytes[position] ^= mask
        fixture.disk.install(path, bytes)
    }

    private func bodies(_ store: MessageStore) throws -> [String: [String]] {
        var all: [String: [String]] = [:]
        for queue in Int32(0)..<3 { all["T/\(queue)"] = try store.all("T", queue) }
        return all
    }

    /// Whether `part` is `whole` without at most `missing` of its elements, in order.
    private func isPart(_ part: [String], of whole: [String], missing: Int) -> Bool {
        var rest = whole[...]
        for element in part {
            guard let index = rest.firstIndex(of: element) else { return false }
            rest = rest[(index + 1)...]
        }
        return whole.count - part.count <= missing
    }

    @Test("a whole store is clean", arguments: [true, false])
    func clean(closes: Bool) throws {
        let (fixture, _) = try fixture(closes: closes)
        let report = try check(fixture)
        #expect(report.damages == [])
        #expect(report.records > 120 && report.queues == 3 && report.segments > 2)
        #expect(try repair(fixture).isEmpty)
    }

    @Test("a store that a broker has open is refused")
    func locked() throws {
        let (fixture, _) = try fixture()
        let store = try fixture.open()
        #expect(throws: StorageError.self) { try check(fixture) }
        try store.close()
    }

    @Test("a bit that flips anywhere in a record is found at its place, and only its message is lost")
    func flippedInRecords() throws {
        let (clean, bodies) = try fixture()
        let path = clean.path(ofSegment: 0)
        let size = try #require(clean.disk.contents(path)).count
        var found = 0
        for position in stride(from: 0, to: size - 200, by: 97) {
            let (fixture, _) = try self.fixture()
            try flip(fixture, path, position, 1 << UInt8(position % 8))
            let report = try check(fixture)
            let records = report.damages.filter { $0.kind == .damagedRecord }
            try #require(records.count == 1, "at \(position): \(report.damages)")
            #expect(records[0].file == path)
            #expect(records[0].position <= position && position < records[0].position + records[0].length)
            try repair(fixture)
            let store = try fixture.open()
            let after = try self.bodies(store)
            for (queue, all) in bodies {
                #expect(isPart(after[queue] ?? [], of: all, missing: 1), "\(queue) after a flip at \(position)")
            }
            // One message is lost, or a state record.
            #expect(bodies.reduce(0) { $0 + $1.value.count } - after.reduce(0) { $0 + $1.value.count } <= 1)
            for queue in Int32(0)..<3 {
                // Nothing moved: the next message gets the offset that it would have had.
                #expect(try store.queue(topic: "T", QueueID(queue)).maximumOffset == QueueOffset(40))
            }
            try store.close()
            fixture.disk.crash(.processKill)
            #expect(try check(fixture).damages == [], "after the repair of \(position)")
            #expect(try fixture.disk.list("store/quarantine").count == 1)
            found += 1
        }
        #expect(found > 60)
    }

    @Test("every bit of a record that flips is found, whichever it is", arguments: [0, 1, 2])
    func everyBit(number: Int) throws {
        let (fixture, _) = try fixture()
        let path = fixture.path(ofSegment: 0)
        let whole = try #require(fixture.disk.contents(path))
        var begin = 0
        for _ in 0..<number { begin += try MessageRecord(Array(whole[begin...]).span.bytes).size }
        let size = try MessageRecord(Array(whole[begin...]).span.bytes).size
        for bit in 0..<size * 8 {
            let position = begin + bit / 8
            try flip(fixture, path, position, 1 << UInt8(bit % 8))
            let damages = try check(fixture).damages
            let records = damages.filter { $0.kind == .damagedRecord && $0.file == path }
            #expect(
                records.count == 1 && records[0].position <= position
                    && position < records[0].position + records[0].length,
                "bit \(bit % 8) of byte \(position - begin): \(damages)")
            fixture.disk.install(path, whole)
        }
    }

    @Test("without its record a queue stops before a repair, and goes on behind it afterwards")
    func queueGoesOn() throws {
        let (fixture, bodies) = try fixture()
        // The body of the first message of the first queue.
        let path = fixture.path(ofSegment: 0)
        let bytes = try #require(fixture.disk.contents(path))
        let text = Array("message 0 ".utf8)
        let position = try #require(bytes.indices.first { bytes[$0...].starts(with: text) })
        try flip(fixture, path, position)
        do {
            let store = try fixture.open()
            #expect(throws: StorageError.self) { try store.all("T", 0) }
            try store.close()
            fixture.disk.crash(.processKill)
        }
        try repair(fixture)
        let store = try fixture.open()
        #expect(try store.all("T", 0) == Array(bodies["T/0", default: []].dropFirst()))
        // And so it is when the views are made anew once more.
        _ = store
        fixture.disk.crash(.processKill)
        for path in fixture.disk.files(below: "store/consumequeue") { fixture.disk.uninstall(path) }
        try TopicFolder.remove(root: "store", topic: "T", disk: fixture.disk)
        try fixture.disk.remove("store/consumequeue")
        let again = try fixture.open()
        #expect(try again.all("T", 0) == Array(bodies["T/0", default: []].dropFirst()))
        #expect(try again.all("T", 1) == bodies["T/1"])
    }

    @Test("a page of zeros in the middle takes several messages, and no more")
    func lostPage() throws {
        let (fixture, bodies) = try fixture()
        let path = fixture.path(ofSegment: 8192)
        var bytes = try #require(fixture.disk.contents(path))
        for index in 2048..<3072 { bytes[index] = 0 }
        fixture.disk.install(path, bytes)
        let report = try check(fixture)
        #expect(report.damages.contains { $0.kind == .damagedRecord && $0.position <= 2048 })
        try repair(fixture)
        let store = try fixture.open()
        let after = try self.bodies(store)
        for (queue, all) in bodies { #expect(isPart(after[queue] ?? [], of: all, missing: 6), "\(queue)") }
        for queue in Int32(0)..<3 {
            #expect(try store.queue(topic: "T", QueueID(queue)).maximumOffset == QueueOffset(40))
        }
        try store.close()
        fixture.disk.crash(.processKill)
        #expect(try check(fixture).damages == [])
    }

    @Test("views that say something else than the log are made anew", arguments: ["consumequeue/T/1", "index"])
    func views(folder: String) throws {
        let path = "store/" + folder
        let (clean, bodies) = try fixture()
        let file = try #require(try clean.disk.list(path).first).name
        let size = try #require(clean.disk.contents("\(path)/\(file)")).count
        var noticed = 0
        for position in stride(from: 0, to: size, by: folder == "index" ? 17 : 7) {
            let (fixture, _) = try self.fixture()
            try flip(fixture, "\(path)/\(file)", position, 0x80)
            let report = try check(fixture)
            if report.damages.isEmpty { continue }
            noticed += 1
            #expect(report.damages.allSatisfy { $0.kind == .consumeQueue || $0.kind == .messageIndex })
            #expect(report.damages.allSatisfy { $0.file == "\(path)/\(file)" })
            try repair(fixture)
            let store = try fixture.open()
            #expect(try self.bodies(store) == bodies, "after a flip at \(position) of \(folder)")
            try store.close()
            fixture.disk.crash(.processKill)
            #expect(try check(fixture).damages == [])
        }
        #expect(noticed > 20, "\(noticed) flips were noticed")
    }

    @Test("a flip in any entry of a consume queue is noticed")
    func everyEntry() throws {
        for position in stride(from: 0, to: 800, by: 3) {
            let (fixture, _) = try fixture()
            let path = "store/consumequeue/T/0/00000000000000000000"
            try flip(fixture, path, position)
            let report = try check(fixture)
            #expect(report.damages.map(\.kind) == [.consumeQueue], "at \(position)")
            #expect(report.damages.first?.position == position / 20 * 20)
        }
    }

    @Test("a missing file is reported, and made anew when it can be")
    func missing() throws {
        let (fixture, bodies) = try fixture()
        try fixture.disk.remove("store/consumequeue/T/2/00000000000000000000")
        #expect(try check(fixture).damages.map(\.kind) == [.consumeQueue])
        try repair(fixture)
        let store = try fixture.open()
        #expect(try self.bodies(store) == bodies)
        try store.close()
        fixture.disk.crash(.processKill)
        try fixture.disk.remove(fixture.path(ofSegment: 8192))
        let report = try check(fixture)
        #expect(report.damages.contains { $0.kind == .missingSegment && !$0.isMendable })
    }

    @Test("files of the log with each other's names are told apart and get their names back")
    func swapped() throws {
        let (fixture, bodies) = try fixture()
        let (one, two) = (fixture.path(ofSegment: 0), fixture.path(ofSegment: 8192))
        let first = try #require(fixture.disk.contents(one))
        fixture.disk.install(one, try #require(fixture.disk.contents(two)))
        fixture.disk.install(two, first)
        #expect(try check(fixture).damages.map(\.kind) == [.misplacedSegment, .misplacedSegment])
        try repair(fixture)
        #expect(try check(fixture).damages == [])
        #expect(try self.bodies(try fixture.open()) == bodies)
    }

    @Test("a damaged snapshot is made anew from a log that is whole")
    func snapshot() throws {
        let (fixture, bodies) = try fixture()
        let name = try #require(try fixture.disk.list("store/snapshots").first).name
        try flip(fixture, "store/snapshots/" + name, 30)
        #expect(try check(fixture).damages.map(\.kind) == [.snapshot])
        #expect(throws: StorageError.self) { try fixture.open() }
        try repair(fixture)
        let store = try fixture.open()
        #expect(try self.bodies(store) == bodies)
        #expect(fixture.state.records.count == 13)
    }

    @Test("without a checkpoint the newest snapshot and the log say the same")
    func checkpointLost() throws {
        let (fixture, bodies) = try fixture()
        fixture.disk.install("store/checkpoint", Array(repeating: 0, count: 4096))
        #expect(try check(fixture).damages.map(\.kind) == [.checkpoint])
        try repair(fixture)
        let store = try fixture.open()
        #expect(try self.bodies(store) == bodies)
        #expect(fixture.state.records.count == 13)
        #expect(!store.isForeign)
    }

    @Test("one slot of two may be damaged")
    func checkpointSlot() throws {
        for position in [1024, 2048] {
            let (fixture, bodies) = try fixture()
            try flip(fixture, "store/checkpoint", position + 20)
            let report = try check(fixture)
            #expect(report.damages.contains { $0.kind == .checkpoint && $0.position == position })
            try repair(fixture)
            #expect(try self.bodies(try fixture.open()) == bodies)
            #expect(fixture.state.records.count == 13)
        }
    }

    @Test("a torn tail is cut as a start would, and a copy is kept")
    func tornTail() throws {
        let (fixture, bodies) = try fixture(closes: false)
        let path = try #require(try fixture.disk.list("store/commitlog").last { $0.name.utf8.count == 20 }).name
        var bytes = try #require(fixture.disk.contents("store/commitlog/" + path))
        let end = try #require(bytes.lastIndex { $0 != 0 }) + 1
        // The first bytes of a record.
        bytes.replaceSubrange(end..<end + 8, with: [0, 0, 0, 200, 0xDA, 0xA3, 0x20, 0xA7])
        fixture.disk.install("store/commitlog/" + path, bytes)
        let report = try check(fixture)
        #expect(report.damages.map(\.kind) == [.tornTail])
        #expect(report.damages.first?.position == end)
        try repair(fixture)
        #expect(try fixture.disk.list("store/quarantine").count == 1)
        #expect(try check(fixture).damages == [])
        #expect(try self.bodies(try fixture.open()) == bodies)
    }

    @Test("what is cut at a start while whole records lie behind it is kept")
    func cutIsKept() throws {
        let fixture = StoreFixture(seed: 7, segmentSize: 64 * 1024)
        let store = try fixture.open()
        for number in 0..<50 { try store.send("message \(number)") }
        try store.endTurn()
        fixture.disk.crash(.processKill)
        try flip(fixture, fixture.path(ofSegment: 0), recordSize(body: 9) * 3 + 90)
        let again = try fixture.open()
        #expect(try again.all().count < 5)
        let kept = try #require(try fixture.disk.list("store/quarantine").first).name
        #expect(try #require(fixture.disk.contents("store/quarantine/" + kept)).count > 40 * recordSize(body: 9))
    }

    @Test("a store of RocketMQ is clean, and a flipped bit in it is found")
    func rocketMQ() throws {
        let disk = SimulatedDisk()
        try RocketMQFixture.small.install("store", on: disk)
        var configuration = StoreConfiguration(root: "store")
        configuration.consumeQueue = ConsumeQueueConfiguration(entriesPerFile: 300)
        func check() throws -> StoreReport {
            let inspection = try StoreInspection(configuration, disk: disk, stateView: RecordedState())
            defer { inspection.close() }
            return try inspection.run()
        }
        let clean = try check()
        #expect(clean.damages == [])
        #expect(clean.isForeign && clean.records > 10 && clean.queues > 3)
        // In the newest segment, which a start reads.
        let starts = try disk.list("store/commitlog").compactMap { Segment.start(ofName: $0.name) }
        let start = try #require(starts.last { $0 < clean.end })
        let path = "store/commitlog/" + Segment.name(start: start)
        var bytes = try #require(disk.contents(path))
        let middle = clean.end.bytes(since: start) / 2
        bytes[middle] ^= 4
        disk.install(path, bytes)
        let damages = try check().damages.filter { $0.kind == .damagedRecord }
        #expect(damages.count == 1)
        #expect(damages.allSatisfy { $0.position <= middle && middle < $0.position + $0.length })
        // It is not cut: the broker refuses to start, until somebody decides.
        #expect(throws: StorageError.self) {
            try MessageStore.open(
                configuration, disk: disk, clock: SimulatedClock(), stateView: RecordedState(), log: .silent)
        }
        let inspection = try StoreInspection(configuration, disk: disk, stateView: RecordedState())
        _ = try inspection.run()
        try StoreRepair(inspection).run()
        inspection.close()
        _ = try MessageStore.open(
            configuration, disk: disk, clock: SimulatedClock(), stateView: RecordedState(), log: .silent)
    }
}
