import Base
import Bytes
import Foundation
import Model
import Runtime
import Simulation
import Testing

@testable import Storage

@Suite("Log read ahead")
struct LogReadAheadTests {
    /// Where whole records stand, where they end, and what stands there.
    private struct Walked: Equatable {
        var records: [Range<Int64>] = []
        var end: Int64 = 0
        var finding: LogScanner.Finding?
        var failure: DiskError?
    }

    /// Messages of sizes that fill segments of 4 KiB unevenly, so that blank records of many sizes close them.
    private func makeLog(messages: Int = 60, segmentSize: Int = 4096) throws -> (StoreFixture, [Segment], end: Int64) {
        let fixture = StoreFixture(segmentSize: segmentSize)
        let store = try fixture.open()
        for number in 0..<messages {
            try store.send([UInt8](repeating: UInt8(truncatingIfNeeded: number), count: number * 37 % 900))
            try store.endTurn()
        }
        fixture.disk.crash(.processKill)
        return (fixture, try self.segments(fixture), store.end.rawValue)
    }

    private func segments(_ fixture: StoreFixture) throws -> [Segment] {
        try fixture.disk.files(below: "store/commitlog").compactMap { path in
            let name = String(path.split(separator: "/").last ?? "")
            guard let start = Segment.start(ofName: name) else { return nil }
            let file = try fixture.disk.open(path, .existing)
            return Segment(start: start, size: fixture.configuration.segmentSize, file: file, reservedSize: 0)
        }
    }

    /// One record after the other, without reading ahead.
    private func walk(_ segments: [Segment]) throws -> Walked {
        var scanner = LogScanner()
        var walked = Walked(finding: .nothing)
        var position = PhysicalOffset.zero
        while let segment = segments.first(where: { position >= $0.start && position < $0.end }) {
            switch try scanner.find(at: position, in: segment) {
            case .record(let size):
                walked.records.append(position.rawValue..<position.rawValue + Int64(size))
                position = position.advanced(by: size)
            case .blank: position = segment.end
            case let other:
                walked.finding = other
                walked.end = position.rawValue
                return walked
            }
        }
        walked.end = position.rawValue
        return walked
    }

    private func readAhead(_ segments: [Segment], _ disk: any Disk, batchSize: Int) -> Walked {
        let ahead = LogReadAhead(segments: segments, from: .zero, disk: disk, batchSize: batchSize)
        var walked = Walked()
        while true {
            let batch = ahead.nextBatch()
            for record in batch.records {
                let begin = batch.start.advanced(by: record.begin).rawValue
                walked.records.append(begin..<begin + Int64(record.size))
            }
            guard batch.finding != nil || batch.failure != nil else { continue }
            walked.end = batch.end.rawValue
            walked.finding = batch.finding
            walked.failure = batch.failure
            return walked
        }
    }

    @Test(
        "batches of any size hold the records that are there, those across their edges and those larger than they are",
        arguments: [8, 9, 91, 100, 131, 500, 1000, 4095, 4096, 4097, 100_000])
    func batchSizes(batchSize: Int) throws {
        let (fixture, segments, end) = try makeLog()
        let expected = try walk(segments)
        #expect(expected.records.count == 60 && expected.end == end && expected.finding == .nothing)
        #expect(readAhead(segments, fixture.disk, batchSize: batchSize) == expected)
    }

    @Test("threads that read side by side give the same batches in the same order", arguments: [8, 131, 1000, 100_000])
    func threads(batchSize: Int) throws {
        let (fixture, _, _) = try makeLog(messages: 400)
        let root = FileManager.default.temporaryDirectory.appending(path: "apus-ahead-\(UUID().uuidString)").path
        defer { try? FileManager.default.removeItem(atPath: root) }
        let disk = LoopDisk(loop: try EventLoop())
        try disk.makeDirectory(root)
        let segments = try self.segments(fixture).map { segment in
            let file = try disk.open(root + "/" + Segment.name(start: segment.start), .createNew)
            let bytes = try #require(fixture.disk.contents(segment.file.path))
            try file.write(bytes.span.bytes, at: 0)
            return Segment(start: segment.start, size: segment.size, file: file, reservedSize: 0)
        }
        let expected = try walk(segments)
        #expect(expected.records.count == 400)
        for _ in 0..<20 { #expect(readAhead(segments, disk, batchSize: batchSize) == expected) }
        // Whoever loses interest halfway waits for nobody, and nothing is freed under the threads.
        for _ in 0..<20 {
            _ = LogReadAhead(segments: segments, from: .zero, disk: disk, batchSize: batchSize).nextBatch()
        }
        segments[2].file.close()
        let failed = readAhead(segments, disk, batchSize: batchSize)
        #expect(failed.failure?.operation == "read" && failed.finding == nil)
        #expect(failed.records == expected.records.filter { $0.upperBound <= segments[2].start.rawValue })
    }

    @Test("a record torn at any byte ends the log where it begins, wherever the edge of a batch is")
    func tornTail() throws {
        let (fixture, segments, _) = try makeLog(messages: 12, segmentSize: 8192)
        let whole = try walk(segments)
        let last = try #require(whole.records.last)
        let intact = Array(try #require(fixture.disk.contents(segments[0].file.path))[..<Int(last.upperBound)])
        // Edges at the first and the last bytes of the record, and in its middle.
        let batchSizes = [1, 7, 8, 9, 100].map { Int(last.lowerBound) + $0 } + [-1, 0, 1].map { intact.count + $0 }
        for kept in Int(last.lowerBound)..<intact.count {
            let zeros = intact[..<kept] + [UInt8](repeating: 0, count: 8192 - kept)
            fixture.disk.install(segments[0].file.path, Array(zeros))
            let torn = try self.segments(fixture)
            let expected = try walk(torn)
            #expect(expected.records == Array(whole.records.dropLast()) && expected.end == last.lowerBound)
            for batchSize in batchSizes {
                #expect(readAhead(torn, fixture.disk, batchSize: batchSize) == expected, "\(kept) \(batchSize)")
            }
        }
    }

    @Test("a file may end anywhere")
    func shortFile() throws {
        let (fixture, segments, _) = try makeLog(messages: 8)
        let bytes = try #require(fixture.disk.contents(segments[0].file.path))
        for size in 0..<1500 {
            fixture.disk.install(segments[0].file.path, Array(bytes[..<size]))
            let short = try self.segments(fixture)
            let expected = try walk(short)
            for batchSize in [64, 500, 4096] {
                #expect(readAhead(short, fixture.disk, batchSize: batchSize) == expected, "\(size) \(batchSize)")
            }
        }
    }

    @Test("nothing from a wrong bit on is handed over, whatever was read ahead behind it")
    func wrongBit() throws {
        let (fixture, segments, _) = try makeLog(messages: 30)
        let whole = try walk(segments)
        for position in stride(from: 0, to: 3500, by: 7) {
            guard let hit = whole.records.first(where: { $0.contains(Int64(position)) }) else { continue }
            let path = segments[0].file.path
            fixture.disk.rot(path, at: position)
            let expected = try walk(segments)
            let found = readAhead(segments, fixture.disk, batchSize: 256)
            fixture.disk.rot(path, at: position)
            #expect(found.records == whole.records.filter { $0.upperBound <= hit.lowerBound }, "\(position)")
            #expect(found == expected)
        }
    }

    @Test("a read that fails is reported with the good records before it, and the store does not open")
    func failedRead() throws {
        let (fixture, segments, _) = try makeLog()
        let whole = try walk(segments)
        let reads = fixture.disk.callCount
        _ = readAhead(segments, fixture.disk, batchSize: 1000)
        let count = fixture.disk.callCount - reads
        #expect(count > 30)
        for call in 1...count {
            fixture.disk.faults.failCall = fixture.disk.callCount + call
            let found = readAhead(segments, fixture.disk, batchSize: 1000)
            #expect(found.failure?.kind == .inputOutput && found.finding == nil)
            #expect(found.records == whole.records.filter { $0.upperBound <= found.end })
        }
        fixture.disk.faults.failCall = nil
        var failures = 0
        var call = 1
        while true {
            fixture.disk.crash(.processKill)
            let before = fixture.disk.callCount
            fixture.disk.faults.failCall = before + call
            do {
                let store = try fixture.open()
                if fixture.disk.callCount < before + call { break }
                #expect(try store.all().count == 60)
            } catch StorageError.disk(let error) where error.kind == .inputOutput {
                failures += 1
            }
            call += 1
        }
        #expect(failures > 10)
    }

    @Test("what the views are told ahead of the replay is what they were told when the messages came")
    func sameViews() throws {
        let fixture = StoreFixture(segmentSize: 16 * 1024)
        fixture.configuration.messageIndex = MessageIndexConfiguration(slotCount: 10, entryCount: 1000)
        let store = try fixture.open()
        func properties(_ pairs: [(String, String)]) -> String {
            pairs.map { "\($0)\u{1}\($1)\u{2}" }.joined()
        }
        for number in 0..<80 {
            try store.send(
                "message \(number)",
                properties: properties([
                    ("TAGS", "t\(number)"), ("KEYS", "k\(number % 3) all"), ("UNIQ_KEY", "u\(number)"),
                ]),
                to: "topic\(number / 3 % 2)", Int32(number % 2))
            if number % 10 == 0 { try store.state("state \(number)") }
            if number % 7 == 0 {
                try store.send(
                    "delayed", properties: properties([("TIMER_OUT_MS", "12345")]), to: "rmq_sys_wheel_timer")
            }
            try store.endTurn()
            if number == 20 { try fixture.checkpoint(store) }
        }
        func views(_ store: MessageStore) throws -> [String] {
            var lines: [String] = []
            for topic in ["topic0", "topic1", "rmq_sys_wheel_timer"] {
                for queueID in Int32(0)..<2 {
                    let queue = try store.queue(topic: topic, QueueID(queueID))
                    for offset in 0..<queue.maximumOffset.rawValue {
                        lines.append(
                            "\(topic) \(queueID): \(String(describing: try store.entry(of: queue, at: QueueOffset(offset))))"
                        )
                    }
                }
                for key in ["k0", "k1", "k2", "all", "u40", "k0 all"] {
                    let found = try store.query(
                        topic: Array(topic.utf8).span.bytes, key: Array(key.utf8).span.bytes,
                        from: Timestamp(milliseconds: 0), to: Timestamp(milliseconds: .max), maximumCount: 1000)
                    lines.append("\(topic) \(key): \(found)")
                }
            }
            return lines + fixture.state.records.map { String(decoding: $0, as: UTF8.self) }
        }
        let before = try views(store)
        #expect(before.count > 100)
        #expect(try views(fixture.reopen(after: .processKill)) == before)
        fixture.disk.uninstall("store/consumequeue")
        fixture.disk.uninstall("store/index")
        #expect(try views(fixture.reopen(after: .processKill)) == before)
    }
}
