import Base
import Bytes
import Foundation
import Model
import Simulation
import Telemetry
import Testing

@testable import BrokerCore
@testable import Storage

/// Rounds and seed of the fuzzers (`make seeded-fuzz`), with few rounds in an ordinary run of the tests.
private enum FuzzSettings {
    static let environment = ProcessInfo.processInfo.environment
    static func rounds(_ smoke: Int, share: Int = 1) -> Int {
        environment["APUS_FUZZ_ROUNDS"].flatMap(Int.init).map { max(1, $0 / share) } ?? smoke
    }
    static let seed = environment["APUS_FUZZ_SEED"].flatMap(UInt64.init) ?? 1
}

extension SeededRandom {
    /// A few changes of the kind that lengths, counts and offsets do not like.
    fileprivate func mutate(_ bytes: inout [UInt8]) {
        for _ in 0..<(1 + next(below: 4)) {
            guard !bytes.isEmpty else { return bytes = [UInt8(truncatingIfNeeded: next())] }
            let position = next(below: bytes.count)
            switch next(below: 6) {
            case 0: bytes[position] = UInt8(truncatingIfNeeded: next())
            case 1: bytes[position] ^= 1 << UInt8(next(below: 8))
            case 2: bytes.removeLast(next(below: min(bytes.count, 64)))
            case 3:
                for index in position..<min(position + 4, bytes.count) {
                    bytes[index] = [0, 0x7F, 0xFF][next(below: 3)]
                }
            case 4:
                let source = next(below: bytes.count)
                let size = min(next(below: 64), bytes.count - max(source, position))
                let moved = Array(bytes[source..<source + size])
                bytes.replaceSubrange(position..<position + size, with: moved)
            default: bytes.insert(UInt8(truncatingIfNeeded: next()), at: position)
            }
        }
    }
}

@Suite("Fuzz: what is stored")
struct StoreFuzzTests {
    private let random = SeededRandom(seed: FuzzSettings.seed)
    private let configuration: StoreConfiguration = {
        var configuration = StoreConfiguration(root: "store")
        configuration.segmentSize = 16_384
        configuration.messageSizeMaximum = 4096
        configuration.consumeQueue = ConsumeQueueConfiguration(entriesPerFile: 20, tailEntriesMaximum: 4)
        configuration.messageIndex = MessageIndexConfiguration(
            slotCount: 16, entryCount: 33, pendingEntriesMaximum: 8)
        configuration.checkpointIntervalMilliseconds = 10
        return configuration
    }()

    @Test("Fuzz: a message record")
    func record() throws {
        let topic = Array("topic".utf8)
        let properties = Array("KEYS\u{1}k\u{2}TAGS\u{1}t".utf8)
        let draft = MessageDraft(topic: topic.span.bytes, body: topic.span.bytes, properties: properties.span.bytes)
        let buffer = ByteBuffer()
        RecordWriter.append(
            draft, size: RecordWriter.size(of: draft), queueOffset: .zero, physicalOffset: .zero,
            storeTimestamp: Timestamp(milliseconds: 0), to: buffer)
        let whole = buffer.bytes.withUnsafeBytes { Array($0) }
        for _ in 0..<FuzzSettings.rounds(20_000) {
            var bytes = whole
            random.mutate(&bytes)
            guard let record = try? MessageRecord(bytes.span.bytes) else { continue }
            #expect(record.size <= bytes.count && record.properties.upperBound == record.size)
            _ = RecordCheck.isIntact(record, in: bytes.span.bytes)
            _ = MessageProperties.decode(bytes.span.bytes.extracting(record.properties))
        }
    }

    @Test("Fuzz: a state record")
    func stateRecord() {
        let records: [StateRecord] = [
            .topicPut(TopicConfiguration(name: "topic"), at: Timestamp(milliseconds: 1)),
            .topicRemoved("topic", at: Timestamp(milliseconds: 1)),
            .groupPut(GroupConfiguration(name: "group"), at: Timestamp(milliseconds: 1)),
            .offsets([.init(topic: "t", group: "g", queueID: QueueID(3), offset: QueueOffset(7))]),
            .groupOffsetsRemoved("group"),
        ]
        let buffer = ByteBuffer()
        for _ in 0..<FuzzSettings.rounds(20_000) {
            buffer.removeAll()
            records[random.next(below: records.count)].encode(into: buffer)
            var bytes = buffer.bytes.withUnsafeBytes { Array($0) }
            random.mutate(&bytes)
            let state = BrokerState()
            try? state.apply(bytes.span.bytes)
            _ = state.topicRemoved(by: bytes.span.bytes)
        }
    }

    @Test("Fuzz: checkpoint and snapshot")
    func checkpoint() throws {
        let disk = SimulatedDisk()
        let file = try disk.open("checkpoint", .createNew)
        try CheckpointFile.write(Checkpoint(sequence: 3, snapshotOffset: PhysicalOffset(4)), to: file)
        let whole = try #require(disk.contents("checkpoint"))
        let state = BrokerState()
        state.topics.put(TopicConfiguration(name: "topic"), at: Timestamp(milliseconds: 1))
        let snapshot = SnapshotFile.encode(state, at: PhysicalOffset(9)).bytes.withUnsafeBytes { Array($0) }
        for _ in 0..<FuzzSettings.rounds(5_000) {
            var bytes = whole
            random.mutate(&bytes)
            _ = CheckpointFile.decode(bytes.span.bytes)
            _ = CheckpointFile.times(bytes.span.bytes)
            bytes = snapshot
            random.mutate(&bytes)
            // With a checksum that is right again, so that what lies behind it is read too.
            if bytes.count > SnapshotFile.headerSize, random.next(below: 2) == 0 {
                let checksum = crc32(bytes.span.bytes.extracting(SnapshotFile.headerSize..<bytes.count))
                withUnsafeBytes(of: checksum.bigEndian) { bytes.replaceSubrange(16..<20, with: $0) }
            }
            try? SnapshotFile.restore(bytes.span.bytes, path: "p", at: PhysicalOffset(9), into: BrokerState())
        }
    }

    @Test("Fuzz: a store of which any file is damaged opens or says why, and never serves a damaged message")
    func store() throws {
        let clock = SimulatedClock()
        let (files, bodies) = try makeStore(clock)
        for _ in 0..<FuzzSettings.rounds(150, share: 1000) {
            let disk = SimulatedDisk(seed: random.next(), clock: clock)
            for (path, bytes) in files { disk.install(path, bytes) }
            for _ in 0..<(1 + random.next(below: 2)) { damage(disk, files) }
            for _ in 0..<2 {
                work(disk, clock, bodies)
                disk.crash(random.next(below: 2) == 0 ? .processKill : .powerLoss)
            }
        }
    }

    private func makeStore(_ clock: SimulatedClock) throws -> (files: [(String, [UInt8])], bodies: Set<String>) {
        let disk = SimulatedDisk(clock: clock)
        let broker = try makeBroker(disk, clock)
        try broker.putTopic(TopicConfiguration(name: "T", readQueueCount: 2, writeQueueCount: 2))
        var bodies: Set<String> = []
        for number in 0..<200 {
            send(broker, "message \(number)", Int32(number % 2))
            bodies.insert("message \(number)")
            guard number % 30 == 0 else { continue }
            try broker.endTurn()
            clock.advance(milliseconds: 20)
            for _ in 0..<6 {
                try broker.keepHouse()
                disk.runCompletions()
            }
        }
        try broker.endTurn()
        disk.crash(.processKill)
        return (disk.files(below: "store").map { ($0, disk.contents($0) ?? []) }, bodies)
    }

    private func makeBroker(_ disk: SimulatedDisk, _ clock: SimulatedClock) throws -> Broker {
        try Broker(
            BrokerConfiguration(), store: configuration, disk: disk, clock: clock, random: random, log: .silent)
    }

    private func damage(_ disk: SimulatedDisk, _ files: [(String, [UInt8])]) {
        var (path, bytes) = files[random.next(below: files.count)]
        switch random.next(below: 10) {
        case 0: disk.uninstall(path)
        case 1: disk.install(path, files[random.next(below: files.count)].1)
        default:
            random.mutate(&bytes)
            disk.install(path, bytes)
        }
    }

    private func send(_ broker: Broker, _ body: String, _ queueNumber: Int32) {
        let (topic, body) = (Array("T".utf8), Array(body.utf8))
        let properties = Array("KEYS\u{1}k".utf8)
        var request = SendRequest(topic: topic.span.bytes, defaultTopic: topic.span.bytes, peer: .loopback(port: 1))
        request.queueID = QueueID(queueNumber)
        guard let queue = try? broker.queue(for: request) else { return }
        let draft = MessageDraft(topic: topic.span.bytes, body: body.span.bytes, properties: properties.span.bytes)
        _ = try? broker.append(draft, to: queue)
    }

    /// Opens the store, reads everything and writes a little.
    private func work(_ disk: SimulatedDisk, _ clock: SimulatedClock, _ bodies: Set<String>) {
        guard let broker = try? makeBroker(disk, clock) else { return }
        let topic = Array("T".utf8)
        for number in 0..<Int32(2) {
            read(broker, topic, number, bodies)
            send(broker, "new", number)
        }
        _ = try? broker.query(
            topic: topic.span.bytes, key: Array("k".utf8).span.bytes, from: Timestamp(milliseconds: 0),
            to: Timestamp(milliseconds: .max), maximumCount: 64)
        try? broker.endTurn()
        clock.advance(milliseconds: 20)
        for _ in 0..<6 {
            try? broker.keepHouse()
            disk.runCompletions()
        }
    }

    private func read(_ broker: Broker, _ topic: [UInt8], _ number: Int32, _ bodies: Set<String>) {
        guard
            let queue = try? broker.queue(
                forPulling: topic.span.bytes, queueID: QueueID(number), group: topic.span.bytes),
            let range = try? broker.range(topic: topic.span.bytes, queueID: QueueID(number))
        else { return }
        var offset = range.lowerBound
        let buffer = ByteBuffer()
        var fetches = 0
        while offset < range.upperBound, fetches < 200 {
            fetches += 1
            buffer.removeAll()
            guard
                let result = try? broker.fetch(
                    queue, from: QueueOffset(offset), maximumCount: 32, filter: .all, mayWait: true, into: buffer)
            else {
                offset += 1
                continue
            }
            var position = 0
            while position < buffer.count {
                let span = buffer.bytes.extracting(position..<buffer.count)
                guard let record = try? MessageRecord(span) else {
                    Issue.record("served bytes are no record")
                    return
                }
                let body = span.extracting(record.body).string()
                #expect(bodies.contains(body) || body == "new", "served \(body)")
                position += record.size
            }
            offset = max(offset + 1, result.nextOffset.rawValue)
        }
    }
}
