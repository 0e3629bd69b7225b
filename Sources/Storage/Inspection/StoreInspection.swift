import Base
import Bytes
import Model

/// Looks through a store that no broker has open: every record of the log with its checksums, consume queues and index against
/// the log, snapshot and checkpoint. Changes nothing.
///
/// Records behind the last checkpoint may be missing in the views of a store that was not stopped in good order, and more
/// than they should know may stand there: the next start replays the log over them, so neither is damage.
///
/// ``run()`` is the front door. The log is walked in `StoreInspection+Log`, the views in `StoreInspection+Views`;
/// ``StoreRepair`` works with what is noted here.
public final class StoreInspection {
    let configuration: StoreConfiguration
    let disk: any Disk
    /// Knows which records remove a topic; it is given none to keep.
    let stateView: any StateView
    let lockFile: any DiskFile
    public internal(set) var report = StoreReport()

    var segments: [Segment] = []
    var checkpoint: Checkpoint?
    /// Bytes of the log that no record can be made of, in order.
    var ranges: [DamagedRange] = []
    /// What recovery cuts at the next start: from here to the last byte that is not zero.
    var tornTail: Range<PhysicalOffset>?
    /// Queues that the log has messages of.
    var queues: [QueueName: WalkedQueue] = [:]
    /// Queues whose files must be made anew.
    var damagedQueues: Set<QueueName> = []
    var isIndexDamaged = false
    var isSnapshotDamaged = false
    /// No whole slot is left of a checkpoint of Apus.
    var isCheckpointLost = false
    /// Files of the log by the offset that their records are for.
    var misplaced: [(path: String, right: PhysicalOffset)] = []
    let files = OpenFileCache(capacity: 256)
    let scratch = ByteBuffer(capacity: 64 * 1024)

    /// - Throws: ``StorageError/locked(path:)`` while a broker has the store, ``StorageError/disk(_:)`` when there is none.
    public init(_ configuration: StoreConfiguration, disk: any Disk, stateView: any StateView) throws(StorageError) {
        self.configuration = configuration
        self.disk = disk
        self.stateView = stateView
        guard disk.exists(configuration.commitLogPath) else {
            throw .disk(DiskError(kind: .notFound, operation: "look for a store", path: configuration.commitLogPath))
        }
        do {
            lockFile = try disk.lock(configuration.root + "/lock")
        } catch {
            throw StorageError(error)
        }
    }

    /// Walks everything once.
    public func run() throws(StorageError) -> StoreReport {
        do {
            try readCheckpoint()
            try findSegments()
            // With files in each other's places every record would look damaged.
            guard misplaced.isEmpty else { return report }
            try walkLog()
            try noteMissingMessages()
            try inspectSnapshot()
            try inspectQueueTable()
            try inspectQueues()
            try inspectIndex()
        } catch let error as StorageError {
            throw error
        } catch let error as DiskError {
            throw StorageError(error)
        } catch {
            preconditionFailure("inspecting a store throws \(error)")
        }
        return report
    }

    /// Lets others have the store.
    public func close() { lockFile.close() }

    func folder(of queue: QueueName) -> String {
        "\(configuration.root)/consumequeue/\(queue.topic)/\(queue.queueID)"
    }

    func note(_ damage: StoreDamage) { report.damages.append(damage) }

    /// Where views must have everything from the log: before, they are read as they are at the next start.
    var viewsOffset: PhysicalOffset {
        if report.wasStoppedCleanly { return report.end }
        // RocketMQ replays from times, not offsets: only what a clean stop left is compared.
        return checkpoint?.viewsOffset ?? report.start
    }

    // MARK: - Checkpoint

    private func readCheckpoint() throws {
        let path = configuration.root + "/" + CheckpointFile.name
        let bytes = try contents(path)
        checkpoint = CheckpointFile.decode(bytes.bytes)
        let hasCrashed = disk.exists(configuration.root + "/" + StoreOpening.abortName)
        report.flushed = checkpoint?.flushedOffset
        report.wasStoppedCleanly = checkpoint.map { $0.isCleanStop && !hasCrashed } ?? !hasCrashed
        let written = CheckpointFile.slotPositions.filter { !Self.isZero(bytes, $0, CheckpointFile.slotSize) }
        let whole = CheckpointFile.slotPositions.filter { position in
            bytes.count >= position + CheckpointFile.slotSize && CheckpointFile.isWhole(bytes.bytes, at: position)
        }
        let snapshots = try snapshotNames()
        if checkpoint == nil, !written.isEmpty || !snapshots.isEmpty {
            isCheckpointLost = true
            note(
                StoreDamage(
                    .checkpoint, file: path, position: written.first ?? 0, length: CheckpointFile.slotSize,
                    meaning: "nothing says up to where the log was on the disk, and which snapshot counts",
                    remedy: "a checkpoint is made anew from the newest whole snapshot and the log"))
        }
        report.isForeign = checkpoint == nil && !isCheckpointLost
        // The slots are written in turn: a crash may have torn the one that is not needed.
        guard checkpoint != nil, report.wasStoppedCleanly else { return }
        for position in written where !whole.contains(position) {
            note(
                StoreDamage(
                    .checkpoint, file: path, position: position, length: CheckpointFile.slotSize,
                    meaning: "one of the two slots does not match its checksum; the other one is used",
                    remedy: "the slot is written anew"))
        }
    }

    func contents(_ path: String) throws(DiskError) -> ByteBuffer {
        guard disk.exists(path) else { return ByteBuffer() }
        let file = try disk.open(path, .existing)
        defer { file.close() }
        let size = try file.size()
        let buffer = ByteBuffer(capacity: size)
        try buffer.append(from: file, at: 0, count: size)
        return buffer
    }

    private static func isZero(_ buffer: ByteBuffer, _ position: Int, _ count: Int) -> Bool {
        guard buffer.count > position else { return true }
        return buffer.withUnsafeBytes { bytes in
            bytes[position..<min(position + count, bytes.count)].allSatisfy { $0 == 0 }
        }
    }

    // MARK: - Snapshot

    /// Offsets that files of `snapshots/` are named by.
    func snapshotNames() throws(DiskError) -> [PhysicalOffset] {
        try disk.list(configuration.root + "/snapshots").compactMap { Segment.start(ofName: $0.name) }
    }

    func snapshotPath(_ offset: PhysicalOffset) -> String {
        configuration.root + "/snapshots/" + Segment.name(start: offset)
    }

    /// Whether the snapshot at `offset` is whole.
    func isSnapshotWhole(_ offset: PhysicalOffset) throws(DiskError) -> StorageError? {
        let path = snapshotPath(offset)
        let bytes = try contents(path)
        do throws(StorageError) {
            try SnapshotFile.restore(bytes.bytes, path: path, at: offset, into: ForgetfulView())
            return nil
        } catch {
            return error
        }
    }

    /// Where the table of queues is that the next start reads.
    var queueTablePath: String? {
        checkpoint.map { QueueTable.path(root: configuration.root, $0.viewsOffset) }
    }

    private func inspectQueueTable() throws {
        guard let path = queueTablePath, let offset = checkpoint?.viewsOffset, disk.exists(path) else { return }
        let bytes = try contents(path)
        do throws(StorageError) {
            _ = try QueueTable(bytes.bytes, path: path, at: offset)
        } catch {
            guard case .corrupt(let file, let position, let reason) = error else { throw error }
            note(
                StoreDamage(
                    .queueTable, file: file, position: position,
                    meaning:
                        "how far the queues reach cannot be read: \(reason); their files say it, as long as they are whole",
                    remedy: "it is removed; the next checkpoint writes it anew"))
        }
    }

    private func inspectSnapshot() throws {
        guard let offset = checkpoint?.snapshotOffset, let error = try isSnapshotWhole(offset) else { return }
        guard case .corrupt(let file, let position, let reason) = error else { throw error }
        isSnapshotDamaged = true
        let isLogWhole = report.start == .zero
        note(
            StoreDamage(
                .snapshot, file: file, position: position,
                meaning: "topics, groups and offsets cannot be read: \(reason); the broker does not start",
                remedy: isLogWhole
                    ? "it is made anew from the log, which is there from its beginning"
                    : "it is made anew from what is left of the log; what was set before byte \(report.start) is lost"))
    }
}

/// Takes state records and keeps nothing.
private final class ForgetfulView: StateView {
    func apply(_ record: RawSpan) {}
    func settle(_ pending: PendingID) {}
    func topicRemoved(by record: RawSpan) -> String? { nil }
    func snapshot(_ emit: (RawSpan) -> Void) {}
}

/// A run of bytes of the log that no record can be made of.
struct DamagedRange {
    var segment: Segment
    var start: PhysicalOffset
    var end: PhysicalOffset
    /// Messages that lay there, as far as is known.
    var messages: [LostMessage] = []
    var size: Int { end.bytes(since: start) }
    var position: Int { start.bytes(since: segment.start) }
}

struct LostMessage: Hashable {
    var queue: QueueName
    var offset: QueueOffset
}

struct QueueName: Hashable {
    var topic: String
    var queueID: QueueID
}

/// What the walk over the log knows of one queue.
final class WalkedQueue {
    var first: QueueOffset
    var next: QueueOffset
    var lastPhysical: PhysicalOffset
    /// Offsets that no record has, and between which places of the log they should be.
    var gaps: [(offsets: Range<Int64>, places: Range<PhysicalOffset>)] = []
    /// The first entry of the files that is not what the log says.
    var mismatch: (offset: QueueOffset, found: ConsumeQueueEntry?)?
    var mismatches = 0
    let files: QueueFiles

    init(first: QueueOffset, at place: PhysicalOffset, files: QueueFiles) {
        self.first = first
        next = first
        lastPhysical = place
        self.files = files
    }
}
