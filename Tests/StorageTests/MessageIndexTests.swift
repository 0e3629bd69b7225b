import Base
import Bytes
import Simulation
import Testing

@testable import Storage

@Suite("Message index")
struct MessageIndexTests {
    let disk = SimulatedDisk()
    let small = MessageIndexConfiguration(slotCount: 7, entryCount: 10, pendingEntriesMaximum: 3)
    /// 2026-11-20 18:40:00 UTC.
    let time: Int64 = 1_795_200_000_000

    private func index(_ configuration: MessageIndexConfiguration? = nil) -> MessageIndex {
        MessageIndex(
            directory: "index", configuration: configuration ?? small, disk: disk, files: OpenFileCache(capacity: 4))
    }

    private func insert(_ index: MessageIndex, _ range: Range<Int64>, key: String = "k") throws {
        for number in range {
            try index.insert(
                topic: "T", key: key, physicalOffset: PhysicalOffset(number),
                storeTimestamp: Timestamp(milliseconds: time + number * 1000))
        }
        try index.putWaiting()
    }

    private func all(_ index: MessageIndex, key: String = "k", maximumCount: Int = .max) throws -> [Int64] {
        try index.query(topic: "T", key: key, from: 0, to: .max, maximumCount: maximumCount).map(\.rawValue)
    }

    @Test(
        "keys hash as Java hashes topic#key, without the sign",
        arguments: [
            ("", "", 35), ("T", "k", Int32(81_916)), ("FxTags", "键2", 0),
            ("TopicTest", "7F00000100002A9F0000000000000000", 0),
            ("polygenelubricants", "", 0), ("é", "😀", 0), ("12345678", "12345678", 0),
        ])
    func hash(topic: String, key: String, expected: Int32) {
        let hash = IndexKey.hash(topic: Array(topic.utf8).span.bytes, key: Array(key.utf8).span.bytes)
        let java = (topic + "#" + key).utf16.reduce(Int32(0)) { $0 &* 31 &+ Int32($1) }
        #expect(hash == (java == .min ? 0 : abs(java)))
        if expected != 0 { #expect(hash == expected) }
    }

    @Test("a hash that has no absolute value counts as 0")
    func smallestHash() {
        // "#" and these characters hash to -2147483648 in Java.
        var found: String?
        // h("#" + key) = Int32.min: solve the last two units for a fixed beginning.
        let start = "#AAAAAA".utf16.reduce(Int32(0)) { $0 &* 31 &+ Int32($1) }
        for first in UInt16(32)..<0xD800 where found == nil {
            let rest = Int32.min &- (start &* 31 &+ Int32(first)) &* 31
            if rest >= 32, rest < 0xD800 {
                found = "AAAAAA" + String(decoding: [first, UInt16(rest)], as: UTF16.self)
            }
        }
        if let found {
            #expect(IndexKey.hash(topic: [UInt8]().span.bytes, key: Array(found.utf8).span.bytes) == 0)
        }
    }

    @Test(
        "files are named by their time",
        arguments: [
            (0, 19_700_101_000_000_000), (1_795_200_293_042, 20_261_120_184_453_042),
            (951_782_400_000, 20_000_229_000_000_000), (4_102_444_799_999, 20_991_231_235_959_999),
        ])
    func names(milliseconds: Int64, name: Int64) {
        #expect(FileNameTime.number(Timestamp(milliseconds: milliseconds)) == name)
    }

    private func integer(_ bytes: [UInt8], _ position: Int, size: Int) -> Int64 {
        bytes[position..<position + size].reduce(0) { $0 << 8 | Int64($1) }
    }

    @Test("nothing is made before the first key")
    func empty() throws {
        let index = index()
        try index.load()
        #expect(try index.writeBack(maximumBytes: 1))
        #expect(try all(index).isEmpty)
        #expect(index.last == nil && !index.isDirty && index.firstUnwrittenOffset == nil)
        try index.removeFiles(below: PhysicalOffset(100))
        #expect(disk.files().isEmpty)
    }

    @Test("a file is laid out as RocketMQ lays it out")
    func layout() throws {
        let index = index()
        try insert(index, 5..<7)
        while try !index.writeBack(maximumBytes: 1) {}
        let path = try #require(disk.files().first)
        #expect(path == "index/20261120184005000")
        let bytes = try #require(disk.contents(path))
        #expect(bytes.count == 40 + 7 * 4 + 10 * 20)
        #expect(integer(bytes, 0, size: 8) == time + 5000)
        #expect(integer(bytes, 8, size: 8) == time + 6000)
        #expect(integer(bytes, 16, size: 8) == 5)
        #expect(integer(bytes, 24, size: 8) == 6)
        #expect(integer(bytes, 32, size: 4) == 1)
        #expect(integer(bytes, 36, size: 4) == 3)
        let hash: Int32 = 81_916
        #expect(integer(bytes, 40 + Int(hash % 7) * 4, size: 4) == 2)
        let second = 40 + 28 + 40
        #expect(integer(bytes, second, size: 4) == Int64(hash))
        #expect(integer(bytes, second + 4, size: 8) == 6)
        #expect(integer(bytes, second + 12, size: 4) == 1)
        #expect(integer(bytes, second + 16, size: 4) == 1)
        #expect(bytes[68..<88].allSatisfy { $0 == 0 })
    }

    @Test("keys are found newest first, across files, up to the count asked", arguments: [1, 8, 9, 10, 18, 19, 40])
    func acrossFiles(count: Int64) throws {
        let index = index()
        try insert(index, 0..<count)
        try insert(index, 0..<0)
        #expect(try all(index) == (0..<count).reversed())
        #expect(try all(index, maximumCount: 3) == Array((0..<count).reversed().prefix(3)))
        #expect(try all(index, key: "other").isEmpty)
        #expect(index.fileCount == Int((count + 8) / 9))
        while index.isDirty { _ = try index.writeBack(maximumBytes: 1) }
        let loaded = self.index()
        try loaded.load()
        #expect(try all(loaded) == (0..<count).reversed())
        try insert(loaded, 0..<count + 5)
        #expect(try all(loaded) == (0..<count + 5).reversed())
    }

    @Test(
        "times count in whole seconds from the first of the file",
        arguments: [
            (Int64(0), Int64(9000), [8, 7, 6, 5, 4, 3, 2, 1, 0]), (3000, 5000, [5, 4, 3]), (3001, 5999, [5, 4]),
            (8001, 9000, [Int64]()),
            (-5, -1, []),
        ])
    func times(begin: Int64, end: Int64, expected: [Int64]) throws {
        let index = index()
        try insert(index, 0..<9)
        let found = try index.query(topic: "T", key: "k", from: time + begin, to: time + end, maximumCount: 32)
        #expect(found.map(\.rawValue) == expected)
    }

    @Test("a record stored in the second in which the query begins is missed, as in RocketMQ")
    func sameSecond() throws {
        let index = index()
        try insert(index, 0..<1)
        try index.insert(
            topic: "T", key: "k", physicalOffset: PhysicalOffset(1),
            storeTimestamp: Timestamp(milliseconds: time + 1500))
        try index.putWaiting()
        #expect(try index.query(topic: "T", key: "k", from: time + 1000, to: .max, maximumCount: 9).count == 1)
        #expect(try index.query(topic: "T", key: "k", from: time + 1400, to: .max, maximumCount: 9).isEmpty)
    }

    @Test("old files go with the log, the last one stays")
    func remove() throws {
        let index = index()
        try insert(index, 0..<40)
        while index.isDirty { _ = try index.writeBack(maximumBytes: 1000) }
        try index.removeFiles(below: PhysicalOffset(18))
        #expect(try all(index) == (18..<40).reversed())
        #expect(disk.files().count == 3)
        try index.removeFiles(below: PhysicalOffset(1000))
        #expect(try all(index) == (36..<40).reversed())
        try index.destroy()
        #expect(disk.files().isEmpty)
        try insert(index, 0..<3)
        #expect(try all(index) == [2, 1, 0])
    }

    @Test("a write-back is done in pieces, entries first and the header last")
    func pieces() throws {
        let index = index(MessageIndexConfiguration(slotCount: 10_000, entryCount: 1000, pendingEntriesMaximum: 100))
        for number in 0..<Int64(300) { try insert(index, number..<number + 1, key: "k\(number * 7919)") }
        let path = try #require(disk.files().first)
        func writtenCount() throws -> Int64 {
            integer(try #require(disk.contents(path)), 36, size: 4)
        }
        var calls = 1
        while try !index.writeBack(maximumBytes: 8192) {
            calls += 1
            #expect(try writtenCount() == 0)
            #expect(index.isDirty && index.firstUnwrittenOffset == .zero)
            try insert(index, 1000 + Int64(calls)..<1001 + Int64(calls))
        }
        #expect(calls == 5)
        #expect(try writtenCount() == 301)
        #expect(index.firstUnwrittenOffset == PhysicalOffset(299))
        while index.isDirty { _ = try index.writeBack(maximumBytes: 8192) }
        #expect(index.firstUnwrittenOffset == nil)
        #expect(try writtenCount() == 305)
    }

    @Test("a write-back without a limit leaves nothing, also when a round was under way")
    func all() throws {
        let index = index(MessageIndexConfiguration(slotCount: 10_000, entryCount: 1000, pendingEntriesMaximum: 100))
        for number in 0..<Int64(50) { try insert(index, number..<number + 1, key: "k\(number * 7919)") }
        #expect(try !index.writeBack(maximumBytes: 4096))
        try insert(index, 50..<60, key: "late")
        #expect(try index.writeBack(maximumBytes: .max))
        #expect(!index.isDirty)
        let loaded = self.index(MessageIndexConfiguration(slotCount: 10_000, entryCount: 1000))
        try loaded.load()
        #expect(try all(loaded, key: "late").count == 10)
    }

    @Test("an index that cannot be written keeps its keys waiting, and works when there is room again")
    func diskFull() throws {
        let index = index(MessageIndexConfiguration(slotCount: 7, entryCount: 10_000, pendingEntriesMaximum: 500))
        try insert(index, 0..<500)
        disk.capacity = 0
        #expect(throws: DiskError.self) { try insert(index, 500..<501) }
        #expect(index.isDirty && index.last?.physicalOffset == PhysicalOffset(500))
        #expect(throws: DiskError.self) { _ = try index.writeBack(maximumBytes: 100) }
        disk.capacity = 1 << 30
        try insert(index, 501..<700)
        #expect(try all(index) == (0..<700).reversed())
    }

    @Test("damaged files never trap", arguments: 0..<200)
    func damage(seed: UInt64) throws {
        let random = SeededRandom(seed: seed)
        let index = index()
        try insert(index, 0..<30)
        while index.isDirty { _ = try index.writeBack(maximumBytes: 1000) }
        for path in disk.files() {
            for _ in 0..<1 + random.next(below: 20) {
                disk.rot(path, at: random.next(below: 268), mask: UInt8(1 + random.next(below: 255)))
            }
            if random.next(below: 4) == 0 {
                try disk.open(path, .existing).truncate(to: random.next(below: 300))
            }
        }
        for replay in [nil, PhysicalOffset(Int64(random.next(below: 30)))] {
            let loaded = self.index()
            try loaded.load(replayingFrom: replay)
            _ = try all(loaded)
            _ = try loaded.query(topic: "T", key: "k", from: time, to: time + 5000, maximumCount: 5)
            for number in Int64(30)..<50 {
                try loaded.insert(
                    topic: "T", key: "k\(number)", physicalOffset: PhysicalOffset(number),
                    storeTimestamp: Timestamp(milliseconds: time))
            }
            while loaded.isDirty { _ = try loaded.writeBack(maximumBytes: 1000) }
        }
    }

    @Test("files that are no index files are left alone")
    func strangers() throws {
        disk.install("index/README", [1, 2, 3])
        disk.install("index/20261120184005000", [UInt8](repeating: 9, count: 1000))
        disk.install("index/0012", [UInt8](repeating: 0, count: 268))
        let index = index()
        try index.load()
        #expect(index.ignoredFiles.sorted() == ["0012", "20261120184005000", "README"])
        try insert(index, 6..<9)
        #expect(try all(index) == [8, 7, 6])
        while index.isDirty { _ = try index.writeBack(maximumBytes: 1000) }
        #expect(disk.contents("index/README") == [1, 2, 3])
        #expect(disk.contents("index/20261120184005000") == [UInt8](repeating: 9, count: 1000))
    }
}
