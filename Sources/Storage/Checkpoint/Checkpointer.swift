import Base
import Bytes

/// Makes the views durable from time to time, so that a start replays little.
///
/// One round goes through these stages, a bounded piece of work per ``step(_:)``; appends go on meanwhile and only make some
/// entries durable early:
///
/// 1. note how far the views have come (`D`); write the tails of the consume queues, then the message index, then a snapshot
///    of the state if it has changed;
/// 2. synchronise the file system on a worker thread: the log before `D` and all these files are on the medium then;
/// 3. write the slot that says so, and synchronise it.
///
/// - Invariant: a slot on the medium never claims what is not on the medium before it.
final class Checkpointer {
    /// Consume queues whose tails one step writes. The first write of a queue makes its folder and its file, which takes some
    /// 40 µs, so a step keeps below 3 ms.
    static let queuesPerStep = 64
    /// Bytes of the message index that one step writes.
    static let indexBytesPerStep = 1024 * 1024
    /// A snapshot of up to this many bytes is made at every round; a larger one only when the log has grown by
    /// ``snapshotLogBytes`` since the last, for the work of making it is paid on the broker's thread.
    static let smallSnapshotSize = 256 * 1024
    static let snapshotLogBytes = 64 * 1024 * 1024

    private enum Stage: Equatable {
        case idle
        case writingQueues
        case writingIndex
        case writingSnapshot
        case waitingForLog
        case synchronizing
    }

    private let file: any DiskFile
    private let snapshotFolder: String
    private let tableFolder: String
    /// How far the queues reach at the round's begin. Laid out in a turn of its own, for with tens of thousands of queues that
    /// takes milliseconds.
    private var table: QueueTable?
    private var stage = Stage.idle
    private var last: Checkpoint
    private var next: Checkpoint
    private var lastRound: MonotonicTime?
    /// State records so far, and how many of them the last snapshot and the next one hold. They start apart, for what the
    /// replay brought is in no snapshot.
    private var stateChanges = 1
    private var lastSnapshotChanges = 0
    private var nextSnapshotChanges = 0
    private var lastSnapshotSize = 0

    init(recovered: RecoveredStore) {
        file = recovered.checkpointFile
        snapshotFolder = recovered.configuration.root + "/snapshots"
        tableFolder = recovered.configuration.root + "/" + QueueTable.folder
        last = recovered.checkpoint ?? Checkpoint()
        next = last
    }

    /// A state record was appended: the next round makes a snapshot.
    func stateChanged() { stateChanges += 1 }

    private var hasStateChanged: Bool { stateChanges != lastSnapshotChanges }

    /// Log bytes before this offset are needed for no recovery: views and snapshot on the medium hold them.
    var recoverableWithout: PhysicalOffset { min(last.viewsOffset, last.stateOffset) }

    /// Does the next piece of the round under way, or begins one when it is time and something is new.
    ///
    /// A round that finds the disk full ends; the next one begins after the usual time.
    func step(_ store: MessageStore) throws(StorageError) {
        if let failure = store.failure { throw .stopped(failure) }
        do {
            try continueRound(store)
        } catch .disk(let error) where error.kind == .inputOutput {
            throw store.commitLog.fail(error)
        } catch {
            stage = .idle
            throw error
        }
    }

    private func continueRound(_ store: MessageStore) throws(StorageError) {
        switch stage {
        case .idle: try beginIfDue(store)
        case .writingQueues:
            guard try !store.writeQueueTails(atMost: Self.queuesPerStep) else { return }
            try writeTable(store)
            stage = .writingIndex
        case .writingIndex:
            if try !store.writeIndex(maximumBytes: Self.indexBytesPerStep) { stage = .writingSnapshot }
        case .writingSnapshot:
            try writeSnapshotIfDue(store)
            stage = .waitingForLog
            try continueRound(store)
        case .waitingForLog:
            // A snapshot that knows more than the log would survive it.
            if store.written >= next.stateOffset { synchronize(store) }
        case .synchronizing: break
        }
    }

    private func beginIfDue(_ store: MessageStore) throws(StorageError) {
        let now = store.clock.monotonic
        if let lastRound {
            guard now.milliseconds(since: lastRound) >= store.configuration.checkpointIntervalMilliseconds else {
                return
            }
        }
        lastRound = now
        guard store.dispatched > last.viewsOffset || hasStateChanged || last.sequence == 0 else { return }
        begin(store)
    }

    private func begin(_ store: MessageStore) {
        next = last
        next.sequence += 1
        nextSnapshotChanges = lastSnapshotChanges
        next.viewsOffset = store.dispatched
        next.storeTimestamp = store.clock.timestamp
        next.isCleanStop = false
        table = store.tableOfQueues()
        store.beginWritingQueueTails()
        stage = .writingQueues
        // A round that found the disk full may have left one behind that knows nothing of the newest entries.
        store.index?.restartWriteBack()
    }

    private func writeSnapshotIfDue(_ store: MessageStore) throws(StorageError) {
        try store.endTurn()
        let end = store.commitLog.end
        guard hasStateChanged else {
            // No state record was appended since: the old snapshot says the same for this offset.
            next.stateOffset = end
            return
        }
        let grown = end.bytes(since: last.stateOffset)
        guard lastSnapshotSize <= Self.smallSnapshotSize || grown >= Self.snapshotLogBytes else { return }
        try writeSnapshot(store, at: end)
    }

    /// Puts the table of queues beside the one that counts. When the log has not grown they say the same.
    private func writeTable(_ store: MessageStore) throws(StorageError) {
        let path = QueueTable.path(root: store.configuration.root, next.viewsOffset)
        guard let table, next.viewsOffset != last.viewsOffset || !store.disk.exists(path) else { return }
        try write(table.encode(at: next.viewsOffset), to: path, store.disk)
        self.table = nil
    }

    /// Writes a file of which there is nothing under its name before it is whole.
    private func write(_ buffer: ByteBuffer, to path: String, _ disk: any Disk) throws(StorageError) {
        do {
            let file = try disk.open(path + ".new", .createIfMissing)
            try file.truncate(to: 0)
            try file.write(buffer.bytes, at: 0)
            file.close()
            try disk.rename(path + ".new", to: path)
        } catch {
            throw StorageError(error)
        }
    }

    private func writeSnapshot(_ store: MessageStore, at offset: PhysicalOffset) throws(StorageError) {
        next.stateOffset = offset
        nextSnapshotChanges = stateChanges
        // Putting an unsynchronised file in the place of one that counts would risk both. They say the same.
        guard offset != last.snapshotOffset else { return }
        let snapshot = SnapshotFile.encode(store.stateView, at: offset)
        try write(snapshot, to: path(of: offset), store.disk)
        lastSnapshotSize = snapshot.count
        next.snapshotOffset = offset
    }

    private func synchronize(_ store: MessageStore) {
        stage = .synchronizing
        next.flushedOffset = store.commitLog.written
        store.disk.synchronizeAllInBackground(store.configuration.root) { error in
            if let error { return self.fail(store, error) }
            self.writeSlot(store)
        }
    }

    private func writeSlot(_ store: MessageStore) {
        // A synchronisation that failed meanwhile may have taken pages for written that are not.
        guard store.failure == nil else { return stage = .idle }
        next.flushedOffset = max(next.flushedOffset, store.commitLog.flushed)
        do {
            try CheckpointFile.write(next, to: file)
        } catch  where error.kind == .full {
            return stage = .idle
        } catch {
            return fail(store, error)
        }
        file.synchronizeInBackground { error in
            if let error { return self.fail(store, error) }
            self.finishRound(store)
        }
    }

    private func finishRound(_ store: MessageStore) {
        last = next
        lastSnapshotChanges = nextSnapshotChanges
        stage = .idle
        store.metrics.checkpoints += 1
        removeOldSnapshots(store)
    }

    private func removeOldSnapshots(_ store: MessageStore) {
        if let kept = last.snapshotOffset { removeOthers(than: kept, in: snapshotFolder, store.disk) }
        removeOthers(than: last.viewsOffset, in: tableFolder, store.disk)
    }

    private func removeOthers(than kept: PhysicalOffset, in folder: String, _ disk: any Disk) {
        // Newer ones and unfinished ones are left over from rounds that a crash ended.
        for entry in (try? disk.list(folder)) ?? [] where entry.name != Segment.name(start: kept) {
            // One that cannot be removed now is removed after the next round.
            try? disk.remove(folder + "/" + entry.name)
        }
    }

    /// A synchronisation failed: what the files hold is no longer known, and a second one would say nothing about the first.
    private func fail(_ store: MessageStore, _ error: DiskError) {
        stage = .idle
        store.commitLog.fail(error)
        store.flushFinished()
    }

    private func path(of offset: PhysicalOffset) -> String { snapshotFolder + "/" + Segment.name(start: offset) }

    /// The last round of a clean stop, on this thread.
    /// - Precondition: the log is flushed and the consume queues' tails are written.
    func finish(_ store: MessageStore) throws(StorageError) {
        while try store.writeIndex(maximumBytes: .max) {}
        begin(store)
        // A round may be under way and have written its slot, with the number after the last one's. This one counts for more and
        // goes to the same place: were it torn in the other, it would take with it the last slot that is known to be durable,
        // and what is left would name a snapshot that has been removed.
        next.sequence += 2
        try writeTable(store)
        next.stateOffset = next.viewsOffset
        if hasStateChanged { try writeSnapshot(store, at: store.commitLog.end) }
        next.flushedOffset = store.commitLog.flushed
        do {
            try synchronizeAll(store)
            next.isCleanStop = true
            try CheckpointFile.write(next, to: file)
            try file.synchronize()
            last = next
            let abort = store.configuration.root + "/" + StoreOpening.abortName
            if store.disk.exists(abort) { try store.disk.remove(abort) }
        } catch {
            throw StorageError(error)
        }
    }

    private func synchronizeAll(_ store: MessageStore) throws(DiskError) {
        try store.disk.synchronizeAll(store.configuration.root)
    }
}
