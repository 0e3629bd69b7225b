import Base
import Bytes
import Model
import Simulation
import Telemetry

@testable import BrokerCore
@testable import Storage

extension FuzzTarget {
    /// What lies on the disk, format by format.
    static func stored() -> [FuzzTarget] {
        [record(), stateRecord(), checkpoint(), snapshot(), queueTable(), queueFile(), indexFile()]
    }

    private static func record() -> FuzzTarget {
        let topic = Array("topic".utf8)
        let properties = Array("KEYS\u{1}k\u{2}TAGS\u{1}t".utf8)
        let draft = MessageDraft(topic: topic.span.bytes, body: topic.span.bytes, properties: properties.span.bytes)
        let buffer = ByteBuffer()
        RecordWriter.append(
            draft, size: RecordWriter.size(of: draft), queueOffset: .zero, physicalOffset: .zero,
            storeTimestamp: Timestamp(milliseconds: 0), to: buffer)
        return FuzzTarget("record", seeds: [buffer.bytes.array()]) { bytes in
            let span = bytes.span.bytes
            if let tail = MessageRecordTail(ofRecordBeginningWith: span), tail.range.upperBound <= bytes.count {
                _ = tail.properties(in: span.extracting(tail.range))
            }
            guard let record = try? MessageRecord(span) else { return }
            precondition(record.size <= bytes.count && record.properties.upperBound == record.size)
            _ = RecordCheck.isIntact(record, in: span)
            _ = ViewFold.entry(of: record, span)
            _ = MessageProperties.decode(span.extracting(record.properties))
        }
    }

    private static func stateRecord() -> FuzzTarget {
        let records: [StateRecord] = [
            .topicPut(TopicConfiguration(name: "topic"), at: Timestamp(milliseconds: 1)),
            .topicRemoved("topic", at: Timestamp(milliseconds: 1)),
            .groupPut(GroupConfiguration(name: "group"), at: Timestamp(milliseconds: 1)),
            .offsets([.init(topic: "t", group: "g", queueID: QueueID(3), offset: QueueOffset(7))]),
            .groupOffsetsRemoved("group"),
        ]
        let seeds = records.map { record in
            let buffer = ByteBuffer()
            record.encode(into: buffer)
            return buffer.bytes.array()
        }
        return FuzzTarget("state", seeds: seeds) { bytes in
            let state = BrokerState()
            try? state.apply(bytes.span.bytes)
            _ = state.topicRemoved(by: bytes.span.bytes)
        }
    }

    private static func checkpoint() -> FuzzTarget {
        let disk = SimulatedDisk()
        if let file = try? disk.open("checkpoint", .createNew) {
            try? CheckpointFile.write(Checkpoint(sequence: 3, snapshotOffset: PhysicalOffset(4)), to: file)
        }
        // Without the zeros at the beginning, which a fuzzer would spend its time on.
        let slot = Array((disk.contents("checkpoint") ?? []).suffix(CheckpointFile.slotSize))
        return FuzzTarget("checkpoint", seeds: [slot]) { bytes in
            var bytes = bytes
            if bytes.count >= CheckpointFile.slotSize {
                withUnsafeBytes(of: crc32(bytes.span.bytes.extracting(0..<64)).bigEndian) {
                    bytes.replaceSubrange(64..<68, with: $0)
                }
            }
            let file = [UInt8](repeating: 0, count: CheckpointFile.slotPositions[0]) + bytes
            _ = CheckpointFile.decode(file.span.bytes)
            _ = CheckpointFile.times(bytes.span.bytes)
        }
    }

    private static func snapshot() -> FuzzTarget {
        let state = BrokerState()
        state.topics.put(TopicConfiguration(name: "topic"), at: Timestamp(milliseconds: 1))
        let seed = SnapshotFile.encode(state, at: PhysicalOffset(9)).bytes.array()
        return FuzzTarget("snapshot", seeds: [seed]) { bytes in
            var bytes = bytes
            // With a checksum that is right again, so that what lies behind it is read too.
            if bytes.count > SnapshotFile.headerSize {
                let checksum = crc32(bytes.span.bytes.extracting(SnapshotFile.headerSize..<bytes.count))
                withUnsafeBytes(of: checksum.bigEndian) { bytes.replaceSubrange(16..<20, with: $0) }
            }
            try? SnapshotFile.restore(bytes.span.bytes, path: "p", at: PhysicalOffset(9), into: BrokerState())
        }
    }

    private static func queueTable() -> FuzzTarget {
        let topic = StoredTopic(name: "topic")
        let files = OpenFileCache(capacity: 4)
        for number in Int32(0)..<2 {
            let queue = try? StoredQueue.load(
                topic: topic, queueID: QueueID(number), configuration: StoreConfiguration(root: "store"),
                disk: SimulatedDisk(), files: files, replayStart: nil, maximum: nil)
            topic.queues.append(queue)
        }
        var table = QueueTable()
        table.update(topic)
        let seed = table.encode(at: PhysicalOffset(9)).bytes.array()
        return FuzzTarget("table", seeds: [seed]) { bytes in
            var bytes = bytes
            if bytes.count > QueueTable.headerSize {
                let checksum = crc32(bytes.span.bytes.extracting(QueueTable.headerSize..<bytes.count))
                withUnsafeBytes(of: checksum.bigEndian) { bytes.replaceSubrange(16..<20, with: $0) }
            }
            guard let read = try? QueueTable(bytes.span.bytes, path: "p", at: PhysicalOffset(9)) else { return }
            let again = read.encode(at: PhysicalOffset(9))
            let same = try? QueueTable(again.bytes, path: "p", at: PhysicalOffset(9))
            precondition(same?.maxima == read.maxima, "a table does not read as it was written")
        }
    }

    private static func queueFile() -> FuzzTarget {
        let configuration = ConsumeQueueConfiguration(entriesPerFile: 20, tailEntriesMaximum: 4)
        var seed: [UInt8] = []
        for number in UInt8(0)..<9 { seed += [0, 0, 0, 0, 0, 0, number, 0, 0, 0, 0, 100, 0, 0, 0, 0, 0, 0, 0, 7] }
        return FuzzTarget("queue", seeds: [seed]) { bytes in
            for (replay, maximum) in [
                (nil, nil), (PhysicalOffset(1000), nil), (nil, QueueOffset(33)), (PhysicalOffset(1000), QueueOffset(7)),
            ] {
                let disk = SimulatedDisk()
                disk.install("q/00000000000000000000", bytes)
                let queue = ConsumeQueue(
                    directory: "q", configuration: configuration, disk: disk, files: OpenFileCache(capacity: 4))
                guard (try? queue.load(replayingFrom: replay, endingAt: maximum)) != nil else { continue }
                try? queue.correctMinimum(logStart: PhysicalOffset(300))
                precondition(queue.minimumOffset <= queue.maximumOffset)
                _ = try? queue.entry(at: queue.minimumOffset)
                let entry = ConsumeQueueEntry(physicalOffset: PhysicalOffset(1 << 40), size: 100, tagsCode: 0)
                try? queue.append(entry, at: queue.maximumOffset)
                try? queue.writeTail()
            }
        }
    }

    private static func indexFile() -> FuzzTarget {
        let configuration = MessageIndexConfiguration(slotCount: 16, entryCount: 33, pendingEntriesMaximum: 8)
        let disk = SimulatedDisk()
        let index = MessageIndex(
            directory: "index", configuration: configuration, disk: disk, files: OpenFileCache(capacity: 4))
        let (topic, key) = (Array("t".utf8), Array("k".utf8))
        for number in 0..<20 {
            try? index.insert(
                topic: topic.span.bytes, key: key.span.bytes, physicalOffset: PhysicalOffset(Int64(number) * 100),
                storeTimestamp: Timestamp(milliseconds: Int64(number) * 1000))
        }
        _ = try? index.writeBack(maximumBytes: .max)
        let seed = disk.files(below: "index").first.flatMap { disk.contents($0) } ?? []
        return FuzzTarget("index", seeds: [seed]) { bytes in
            for replay in [nil, PhysicalOffset(1000)] {
                let disk = SimulatedDisk()
                disk.install("index/20261121094500123", bytes)
                let index = MessageIndex(
                    directory: "index", configuration: configuration, disk: disk, files: OpenFileCache(capacity: 4))
                guard (try? index.load(replayingFrom: replay)) != nil else { continue }
                _ = try? index.query(
                    topic: topic.span.bytes, key: key.span.bytes, from: Timestamp(milliseconds: 0),
                    to: Timestamp(milliseconds: .max), maximumCount: 64)
                try? index.insert(
                    topic: topic.span.bytes, key: key.span.bytes, physicalOffset: PhysicalOffset(1 << 40),
                    storeTimestamp: Timestamp(milliseconds: 1 << 41))
                _ = try? index.writeBack(maximumBytes: .max)
            }
        }
    }

    // MARK: - Recovery

    /// A small store that is changed as the input says, opened, read, written to, looked through and mended. The input is a row
    /// of changes of six bytes: which file, what to do, where (three bytes), and with which byte.
    static func recovery() -> FuzzTarget {
        let store = SmallStore()
        let seeds: [[UInt8]] = [[], [0, 0, 0, 0, 90, 1], [3, 1, 0, 1, 0, 0, 1, 2, 0, 0, 40, 255]]
        return FuzzTarget("recovery", seeds: seeds) { bytes in store.tryOut(changes: bytes) }
    }
}

/// A store with messages, keys and state, and what must hold for every store that it can be damaged into.
private final class SmallStore {
    private let configuration: StoreConfiguration = {
        var configuration = StoreConfiguration(root: "store")
        configuration.segmentSize = 4096
        configuration.messageSizeMaximum = 1024
        // The usual ones would cost more than all the rest.
        configuration.tailChunkSize = 8 * 1024
        configuration.consumeQueue = ConsumeQueueConfiguration(entriesPerFile: 20, tailEntriesMaximum: 4)
        configuration.messageIndex = MessageIndexConfiguration(
            slotCount: 16, entryCount: 33, pendingEntriesMaximum: 8)
        configuration.checkpointIntervalMilliseconds = 10
        return configuration
    }()
    private var files: [(path: String, bytes: [UInt8])] = []
    private var bodies: Set<String> = ["new"]
    private let clock = SimulatedClock()

    init() {
        let disk = SimulatedDisk(clock: clock)
        guard let broker = try? makeBroker(disk) else { fatalError("an empty store does not open") }
        try? broker.putTopic(TopicConfiguration(name: "T", readQueueCount: 2, writeQueueCount: 2))
        for number in 0..<60 {
            bodies.insert("message \(number)")
            send(broker, "message \(number)", Int32(number % 2))
            guard number == 30 else { continue }
            try? broker.endTurn()
            keepHouse(broker, disk)
        }
        try? broker.endTurn()
        disk.crash(.processKill)
        files = disk.files(below: "store").filter { $0 != "store/lock" }.map { ($0, disk.contents($0) ?? []) }
    }

    private func makeBroker(_ disk: SimulatedDisk) throws(StorageError) -> Broker {
        try Broker(
            BrokerConfiguration(), store: configuration, disk: disk, clock: clock, random: SeededRandom(seed: 1),
            log: .silent)
    }

    private func keepHouse(_ broker: Broker, _ disk: SimulatedDisk) {
        clock.advance(milliseconds: 20)
        for _ in 0..<6 {
            try? broker.keepHouse()
            disk.runCompletions()
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

    func tryOut(changes: [UInt8]) {
        let disk = SimulatedDisk(clock: clock)
        for file in files { disk.install(file.path, file.bytes) }
        var position = 0
        while position + 6 <= changes.count, position < 6 * 16 {
            change(disk, Array(changes[position..<position + 6]))
            position += 6
        }
        let damaged = disk.files(below: "store").map { ($0, disk.contents($0) ?? []) }
        work(disk)
        disk.crash(.processKill)
        work(disk)
        // And once more, looked through and mended first.
        let other = SimulatedDisk(clock: clock)
        for (path, bytes) in damaged { other.install(path, bytes) }
        guard
            let inspection = try? StoreInspection(configuration, disk: other, stateView: BrokerState()),
            let report = try? inspection.run()
        else { return }
        try? StoreRepair(inspection).run()
        inspection.close()
        let isMendable = report.damages.allSatisfy { $0.isMendable && $0.kind != .misplacedSegment }
        let opened = work(other)
        if isMendable, !opened, !report.isClean {
            let error = Result { try makeBroker(other) }
            fatalError("a store does not open after its repair: \(error); it had \(report.damages)")
        }
    }

    private func change(_ disk: SimulatedDisk, _ change: [UInt8]) {
        let file = files[Int(change[0]) % files.count]
        guard var bytes = disk.contents(file.path) else { return }
        let place = (Int(change[2]) << 16 | Int(change[3]) << 8 | Int(change[4])) % max(bytes.count, 1)
        switch change[1] % 6 {
        case 0 where !bytes.isEmpty: bytes[place] ^= max(change[5], 1)
        case 1: bytes.removeLast(bytes.count - place)
        case 2 where !bytes.isEmpty: for index in place..<min(place + Int(change[5]), bytes.count) { bytes[index] = 0 }
        case 3: return disk.uninstall(file.path)
        case 4: bytes = files[Int(change[5]) % files.count].bytes
        case 5 where !bytes.isEmpty: for index in place..<min(place + 4, bytes.count) { bytes[index] = change[5] }
        default: return
        }
        disk.install(file.path, bytes)
    }

    /// Opens the store, reads everything and writes a little.
    /// - Returns: whether it opened.
    @discardableResult
    private func work(_ disk: SimulatedDisk) -> Bool {
        guard let broker = try? makeBroker(disk) else { return false }
        let topic = Array("T".utf8)
        for number in 0..<Int32(2) {
            read(broker, topic, number)
            send(broker, "new", number)
        }
        _ = try? broker.query(
            topic: topic.span.bytes, key: Array("k".utf8).span.bytes, from: Timestamp(milliseconds: 0),
            to: Timestamp(milliseconds: .max), maximumCount: 64)
        try? broker.endTurn()
        keepHouse(broker, disk)
        return true
    }

    private func read(_ broker: Broker, _ topic: [UInt8], _ number: Int32) {
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
            let result = try? broker.fetch(
                queue, from: QueueOffset(offset), maximumCount: 32, filter: .all, mayWait: true, into: buffer)
            guard let result else {
                offset += 1
                continue
            }
            check(buffer)
            offset = max(offset + 1, result.nextOffset.rawValue)
        }
    }

    private func check(_ served: ByteBuffer) {
        var position = 0
        while position < served.count {
            let span = served.bytes.extracting(position..<served.count)
            guard let record = try? MessageRecord(span) else { fatalError("served bytes are no record") }
            let body = span.extracting(record.body).string()
            guard bodies.contains(body) else { fatalError("served what nobody sent: \(body)") }
            position += record.size
        }
    }
}
