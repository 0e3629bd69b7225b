import Base
import Bytes
import Model
import Simulation
import Telemetry
import Testing

@testable import Storage

/// Keeps what it is given: a record `-name` removes the topic `name`, every other one is remembered.
final class RecordedState: StateView {
    var records: [[UInt8]] = []
    var settled: [PendingID] = []

    func settle(_ pending: PendingID) { settled.append(pending) }

    func apply(_ record: RawSpan) throws(StateRecordError) {
        if record.byteCount > 0, record.byte(at: 0) == UInt8(ascii: "?") { throw StateRecordError("unreadable") }
        records.append(record.withUnsafeBytes { Array($0) })
    }

    func topicRemoved(by record: RawSpan) -> String? {
        guard record.byteCount > 1, record.byte(at: 0) == UInt8(ascii: "-") else { return nil }
        return record.extracting(1..<record.byteCount).string()
    }

    func snapshot(_ emit: (RawSpan) -> Void) {
        for record in records { emit(record.span.bytes) }
    }
}

/// A store on a simulated disk that tests open, crash and open again.
final class StoreFixture {
    let disk: SimulatedDisk
    let clock = SimulatedClock()
    var configuration = StoreConfiguration(root: "store")
    private(set) var state = RecordedState()

    init(seed: UInt64 = 1, segmentSize: Int = 4096) {
        disk = SimulatedDisk(seed: seed, clock: clock)
        configuration.segmentSize = segmentSize
        configuration.messageSizeMaximum = 64 * 1024
        configuration.consumeQueue = ConsumeQueueConfiguration(entriesPerFile: 100, tailEntriesMaximum: 4)
        configuration.messageIndex = MessageIndexConfiguration(slotCount: 10, entryCount: 101)
        configuration.checkpointIntervalMilliseconds = 100
        configuration.retention.deletionHours = Set(0..<24)
        configuration.retention.reservedHours = 1
        configuration.retention.intervalMilliseconds = 1000
    }

    func open() throws -> MessageStore {
        state = RecordedState()
        return try MessageStore.open(configuration, disk: disk, clock: clock, stateView: state, log: .silent)
    }

    /// Ends the process and starts another.
    func reopen(after crash: SimulatedCrash) throws -> MessageStore {
        disk.crash(crash)
        return try open()
    }

    /// The first segment's bytes up to where the log ends.
    func path(ofSegment start: Int64) -> String { "store/commitlog/" + Segment.name(start: PhysicalOffset(start)) }

    /// Keeps house and runs what it began, until a checkpoint has been made.
    func checkpoint(_ store: MessageStore) throws {
        let before = store.metrics.checkpoints
        clock.advance(milliseconds: 1000)
        var rounds = 0
        while store.metrics.checkpoints == before, rounds < 50 {
            try store.keepHouse()
            disk.runCompletions()
            rounds += 1
        }
        #expect(store.metrics.checkpoints == before + 1)
    }

    func flush(_ store: MessageStore) {
        store.flush()
        while disk.hasCompletions { disk.runCompletions() }
    }
}

extension MessageStore {
    @discardableResult
    func send(
        _ body: [UInt8], properties: String = "", to topic: String = "T", _ queue: Int32 = 0
    ) throws -> Appended {
        let topicBytes = Array(topic.utf8)
        let propertyBytes = Array(properties.utf8)
        let draft = MessageDraft(
            topic: topicBytes.span.bytes, body: body.span.bytes, properties: propertyBytes.span.bytes)
        return try append(draft, to: try self.queue(topic: topic, QueueID(queue)))
    }

    @discardableResult
    func send(_ body: String, properties: String = "", to topic: String = "T", _ queue: Int32 = 0) throws -> Appended {
        try send(Array(body.utf8), properties: properties, to: topic, queue)
    }

    /// Status and bodies of one fetch.
    func fetched(
        _ topic: String = "T", _ queue: Int32 = 0, from offset: Int64 = 0, maximumCount: Int = 1000,
        mayWait: Bool = true, matches: (Int64) -> Bool = { _ in true }
    ) throws -> (result: FetchResult, bodies: [String]) {
        let buffer = ByteBuffer()
        let result = try fetch(
            try self.queue(topic: topic, QueueID(queue)), from: QueueOffset(offset), maximumCount: maximumCount,
            mayWait: mayWait, into: buffer, matches: matches)
        var bodies: [String] = []
        var position = 0
        while position < buffer.count {
            let span = buffer.bytes.extracting(position..<buffer.count)
            let record = try MessageRecord(span)
            bodies.append(span.extracting(record.body).string())
            position += record.size
        }
        #expect(result.messageCount == bodies.count && result.byteCount == buffer.count)
        return (result, bodies)
    }

    /// The bodies of all messages of a queue, by as many fetches as it takes.
    func all(_ topic: String = "T", _ queue: Int32 = 0) throws -> [String] {
        var offset = try minimumOffset(of: try self.queue(topic: topic, QueueID(queue))).rawValue
        var all: [String] = []
        while true {
            let (result, bodies) = try fetched(topic, queue, from: offset)
            // The log is still being looked through.
            if result.status == .cold { continue }
            guard result.status == .found else { return all }
            all += bodies
            offset = result.nextOffset.rawValue
        }
    }

    func state(_ text: String) throws { try appendState(Array(text.utf8).span.bytes, isAnswered: true) }
}

/// Bytes of the record of a message to `T` with this body and no properties.
func recordSize(body: Int) -> Int { MessageRecord.sizeMinimum + 1 + body + RecordWriter.checksumSize }
