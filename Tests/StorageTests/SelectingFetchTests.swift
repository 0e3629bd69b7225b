import Base
import Bytes
import Model
import Simulation
import Testing

@testable import Storage

/// What one selecting fetch gave.
private struct Selected {
    var result: FetchResult
    var bodies: [String]
}

extension MessageStore {
    /// One fetch of the messages that have the property `p=1`, if `wanted` says no other.
    fileprivate func selected(
        from offset: Int64 = 0, maximumCount: Int = 1000, mayWait: Bool = true, wanted: String = "p\u{1}1"
    ) throws -> Selected {
        let buffer = ByteBuffer()
        let result = try fetch(
            try self.queue(topic: "T", QueueID(0)), from: QueueOffset(offset), maximumCount: maximumCount,
            mayWait: mayWait, into: buffer, selects: { $0.string().hasPrefix(wanted) })
        var bodies: [String] = []
        var position = 0
        while position < buffer.count {
            let span = buffer.bytes.extracting(position..<buffer.count)
            let record = try MessageRecord(span)
            bodies.append(span.extracting(record.body).string())
            position += record.size
        }
        #expect(result.messageCount == bodies.count && result.byteCount == buffer.count)
        return Selected(result: result, bodies: bodies)
    }

    /// All such messages, by as many fetches as it takes, each of which must get on.
    fileprivate func allSelected(wanted: String = "p\u{1}1") throws -> (bodies: [String], fetches: Int) {
        var offset: Int64 = 0
        var all: [String] = []
        var fetches = 0
        while true {
            let selected = try selected(from: offset, wanted: wanted)
            guard selected.result.status != .offsetOverflowOne else { return (all, fetches) }
            #expect(selected.result.status == (selected.bodies.isEmpty ? .noMatchedMessage : .found))
            #expect(selected.result.nextOffset.rawValue > offset)
            offset = selected.result.nextOffset.rawValue
            all += selected.bodies
            fetches += 1
        }
    }
}

@Suite("Message store: fetch with a filter over records")
struct SelectingFetchTests {
    /// Bodies of many sizes, some larger than what is read in one piece.
    private static let sizes = [0, 10, 100, 1_000, 3_000, 20_000, 65_000, 66_000, 200_000]

    private func fill(_ store: MessageStore, count: Int, seed: UInt64) throws -> [String] {
        let random = SeededRandom(seed: seed)
        var wanted: [String] = []
        for number in 0..<count {
            let isWanted = random.next(below: 3) == 0
            let size = Self.sizes[random.next(below: random.next(below: 4) == 0 ? Self.sizes.count : 4)]
            let body = "\(number) " + String(repeating: "x", count: size)
            try store.send(body, properties: isWanted ? "p\u{1}1" : "p\u{1}2")
            // Records of other queues lie between.
            if random.next(below: 2) == 0 { try store.send(body, to: "Other") }
            if isWanted { wanted.append(body) }
            if number % 10 == 0 { try store.endTurn() }
        }
        try store.endTurn()
        return wanted
    }

    @Test("from memory and from files the same messages pass, in order", arguments: 1...4 as ClosedRange<UInt64>)
    func passes(seed: UInt64) throws {
        let fixture = StoreFixture(seed: seed, segmentSize: 512 * 1024)
        fixture.configuration.messageSizeMaximum = 256 * 1024
        let store = try fixture.open()
        let wanted = try fill(store, count: 150, seed: seed)
        #expect(try store.allSelected().bodies == wanted)
        let again = try fixture.reopen(after: .processKill)
        #expect(try again.allSelected().bodies == wanted)
        #expect(try again.allSelected(wanted: "q").bodies.isEmpty)
    }

    @Test("a fetch that finds nothing looks at so many entries, and says where to go on")
    func scanLimit() throws {
        let store = try StoreFixture(segmentSize: 1024 * 1024).open()
        for _ in 0..<FetchLimits.scanMinimum * 2 + 1 { try store.send("x", properties: "p\u{1}2") }
        try store.endTurn()
        let first = try store.selected()
        #expect(first.result.status == .noMatchedMessage)
        #expect(first.result.nextOffset.rawValue == 1000)
        #expect(try store.selected(maximumCount: 32).result.nextOffset.rawValue == 800)
        #expect(try store.selected(from: 800, maximumCount: 32).result.nextOffset.rawValue == 1_600)
        #expect(try store.selected(from: 1_600, maximumCount: 32).result.nextOffset.rawValue == 1_601)
    }

    @Test("a fetch from files reads so many bytes, and says where to go on")
    func byteLimit() throws {
        let fixture = StoreFixture(segmentSize: 8 * 1024 * 1024)
        let store = try fixture.open()
        let body = String(repeating: "x", count: 60_000)
        for _ in 0..<100 { try store.send(body, properties: "p\u{1}2") }
        try store.endTurn()
        // From memory nothing is read.
        #expect(try store.selected().result.nextOffset.rawValue == 100)
        let again = try fixture.reopen(after: .processKill)
        let first = try again.selected()
        #expect(first.result.status == .noMatchedMessage)
        #expect(first.result.nextOffset.rawValue == 70)
        #expect(try again.allSelected().fetches == 2)
    }

    @Test("of large records that are not wanted the bodies are not read")
    func largeRecords() throws {
        let fixture = StoreFixture(segmentSize: 64 * 1024 * 1024)
        fixture.configuration.messageSizeMaximum = 512 * 1024
        let store = try fixture.open()
        let body = String(repeating: "x", count: 500_000)
        for number in 0..<50 { try store.send(body, properties: number == 40 ? "p\u{1}1" : "p\u{1}2") }
        try store.endTurn()
        let again = try fixture.reopen(after: .processKill)
        // 25 MB of bodies would be six fetches; the one that is wanted fills its answer.
        let (bodies, fetches) = try again.allSelected()
        #expect(bodies == [body])
        #expect(fetches == 2)
    }

    @Test("the limits of one answer hold for what passes")
    func answerLimits() throws {
        let store = try StoreFixture(segmentSize: 1024 * 1024).open()
        for number in 0..<100 { try store.send("\(number)", properties: number % 2 == 0 ? "p\u{1}1" : "p\u{1}2") }
        try store.endTurn()
        let selected = try store.selected(maximumCount: 32)
        #expect(selected.bodies.count == 32)
        #expect(selected.result.nextOffset.rawValue == 63)
        #expect(try store.selected(maximumCount: 3).bodies == ["0", "2", "4"])
    }

    @Test("records on the medium are brought first, whatever their size", arguments: [100, 50_000, 200_000])
    func cold(size: Int) throws {
        let fixture = StoreFixture(segmentSize: 8 * 1024 * 1024)
        fixture.configuration.messageSizeMaximum = 256 * 1024
        let store = try fixture.open()
        let body = String(repeating: "x", count: size)
        for number in 0..<20 {
            try store.send("\(number) \(body)", properties: number % 4 == 3 ? "p\u{1}1" : "p\u{1}2")
        }
        try store.endTurn()
        let again = try fixture.reopen(after: .processKill)
        try again.endTurn()
        fixture.disk.dropCache()
        var offset: Int64 = 0
        var bodies: [String] = []
        var rounds = 0
        while offset < 20, rounds < 200 {
            rounds += 1
            var selected = try again.selected(from: offset, mayWait: false)
            if selected.result.status == .cold {
                #expect(selected.bodies.isEmpty && selected.result.nextOffset.rawValue == offset)
                var isThere = false
                again.prefetch(selected.result) { isThere = true }
                fixture.disk.runCompletions()
                #expect(isThere)
                selected = try again.selected(from: offset, mayWait: true)
            }
            #expect(selected.result.nextOffset.rawValue > offset)
            offset = selected.result.nextOffset.rawValue
            bodies += selected.bodies
        }
        #expect(bodies == (0..<20).filter { $0 % 4 == 3 }.map { "\($0) \(body)" })
    }

    @Test("a damaged record is reported, whether the filter would want it or not", arguments: ["p\u{1}1", "p\u{1}2"])
    func damage(wanted: String) throws {
        let fixture = StoreFixture()
        let store = try fixture.open()
        for number in 0..<3 { try store.send("body \(number)", properties: "p\u{1}2") }
        try store.endTurn()
        let again = try fixture.reopen(after: .processKill)
        fixture.disk.rot(fixture.path(ofSegment: 0), at: recordSize(body: 6) + 60)
        // What stands before it comes first.
        if wanted == "p\u{1}2" { #expect(try again.selected(wanted: wanted).bodies == ["body 0"]) }
        #expect(throws: StorageError.self) { try again.selected(from: 1, wanted: wanted) }
        #expect(again.metrics.damagedRecords == 1)
    }

    @Test("what a damaged consume queue holds is not followed: the message is found in the log")
    func damagedEntries() throws {
        let fixture = StoreFixture()
        let store = try fixture.open()
        for number in 0..<100 { try store.send("message \(number)", properties: "p\u{1}1") }
        try store.endTurn()
        try fixture.checkpoint(store)
        let file = "store/consumequeue/T/0/00000000000000000000"
        let right = try #require(fixture.disk.contents(file)?[0..<20])
        var entry = right
        for (offset, size) in [
            (Int64.max, Int32(5)), (.min, 5), (0, -1), (0, 0), (0, .max), (.max, .max), (1, 120), (5000, 1),
            (0, 70_000), (store.end.rawValue - 1, 1),
        ] {
            withUnsafeBytes(of: offset.bigEndian) { entry.replaceSubrange(0..<8, with: $0) }
            withUnsafeBytes(of: size.bigEndian) { entry.replaceSubrange(8..<12, with: $0) }
            try fixture.disk.open(file, .existing).write(Array(entry).span.bytes, at: 0)
            let found = try store.selected(maximumCount: 1)
            #expect(found.bodies == ["message 0"], "\(offset) \(size)")
            #expect(fixture.disk.contents(file)?[0..<20] == right)
        }
    }

    @Test("offsets outside the queue are answered as without a filter")
    func outside() throws {
        let store = try StoreFixture().open()
        #expect(try store.selected().result.status == .noMessageInQueue)
        try store.send("x", properties: "p\u{1}1")
        try store.endTurn()
        #expect(try store.selected(from: 1).result.status == .offsetOverflowOne)
        #expect(try store.selected(from: 2).result.status == .offsetOverflowBadly)
        #expect(try store.selected(from: -1).result.status == .offsetTooSmall)
    }
}
