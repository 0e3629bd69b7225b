import Base
import Bytes
import Model
import Telemetry

/// What a start found and rebuilt; ``MessageStore`` takes it over.
struct RecoveredStore {
    var configuration: StoreConfiguration
    var disk: any Disk
    var files: OpenFileCache
    var commitLog: CommitLog
    var index: MessageIndex?
    var stateView: any StateView
    var topics: ByteKeyTable<StoredTopic>
    var queueTable: QueueTable
    var trustedViewsOffset: PhysicalOffset?
    var checkpoint: Checkpoint?
    var checkpointFile: any DiskFile
    var lockFile: any DiskFile
    var isForeign: Bool
    var summary: RecoverySummary
    var faults: DiskFaults
}

/// Opens a store: finds the segments, the checkpoint and the snapshot, replays the log from the checkpoint into the views,
/// and decides what to do with the place where the log ends (``RecoveryDecision``).
///
/// A store that RocketMQ wrote opens in the same way; it has no slot of ours in its checkpoint file, so the replay begins
/// where RocketMQ would begin: with the last three segments after a clean stop, else with the segment whose first record is
/// not newer than the times in the file.
final class StoreOpening {
    /// There while a process uses the store: found at a start, it tells of a crash.
    static let abortName = "abort"
    /// Segments at the end of a store of RocketMQ that a start after a clean stop reads (`CommitLog.recoverNormally`).
    static let foreignSegments = 3

    private let configuration: StoreConfiguration
    private let disk: FaultCountingDisk
    private var summary = RecoverySummary()
    private let clock: any Clock
    private let log: Log
    private let stateView: any StateView
    private let files: OpenFileCache
    private var segments: [Segment] = []
    private var topics = ByteKeyTable<StoredTopic>()
    private var checkpoint: Checkpoint?
    /// How far the queues reached at the checkpoint; empty when that is not known.
    private var queueTable = QueueTable()
    private var index: MessageIndex?
    /// Topics with a queue that lacks entries. A power cut may leave such ones when it undoes a part of a topic's removal;
    /// the record of the removal is in the log then, behind the gap.
    private var gaps: [String: StorageError] = [:]
    /// The process before did not stop in good order.
    private var hasCrashed = false
    /// RocketMQ made the store.
    private var isForeign = false
    /// Where the replay into the consume queues and the index begins; nil after a clean stop of our own.
    private var replayStart: PhysicalOffset?

    init(
        configuration: StoreConfiguration, disk: any Disk, clock: any Clock, stateView: any StateView, log: Log
    ) {
        self.configuration = configuration
        self.disk = FaultCountingDisk(disk, clock: clock)
        self.clock = clock
        self.stateView = stateView
        self.log = log
        files = OpenFileCache(capacity: configuration.openFilesMaximum)
    }

    /// Opens the store.
    /// - Throws: ``StorageError/locked(path:)`` when another process has it, ``StorageError/corrupt(file:position:reason:)``
    ///   when something that was on the medium is not whole: nothing was changed then.
    func open() throws(StorageError) -> RecoveredStore {
        let begin = clock.monotonic
        do {
            var recovered = try openFiles()
            recovered.summary.milliseconds = clock.monotonic.milliseconds(since: begin)
            return recovered
        } catch {
            throw Self.storageError(error)
        }
    }

    private static func storageError(_ error: any Error) -> StorageError {
        switch error {
        case let error as StorageError: return error
        case let error as DiskError: return StorageError(error)
        case let error as ViewError: return StorageError(error)
        default: preconditionFailure("opening a store throws \(error)")
        }
    }

    private func openFiles() throws -> RecoveredStore {
        try makeFolders()
        let lockFile = try disk.lock(configuration.root + "/lock")
        let checkpointFile = try disk.open(configuration.root + "/" + CheckpointFile.name, .createIfMissing)
        let checkpointBytes = try read(checkpointFile)
        checkpoint = CheckpointFile.decode(checkpointBytes.bytes)
        if try checkpointFile.size() < CheckpointFile.size { try checkpointFile.truncate(to: CheckpointFile.size) }
        segments = try findSegments()
        let abort = configuration.root + "/" + Self.abortName
        hasCrashed = disk.exists(abort)
        summary.wasCleanStop = !hasCrashed
        isForeign = try checkpoint == nil && !segments.isEmpty && !hasTraces(checkpointBytes)
        try checkCheckpoint()
        let scanStart = try scanStart(times: CheckpointFile.times(checkpointBytes.bytes))
        try restoreSnapshot()
        try readQueueTable()
        if configuration.isMessageIndexEnabled {
            let index = MessageIndex(
                directory: configuration.root + "/index", configuration: configuration.messageIndex, disk: disk,
                files: files)
            try index.load(replayingFrom: replayStart)
            self.index = index
        }
        let end = try replay(from: scanStart)
        _ = try disk.open(abort, .createIfMissing)
        try makeFoldersDurable()
        let flushed = min(checkpoint?.flushedOffset ?? .zero, end)
        let commitLog = CommitLog(
            directory: configuration.commitLogPath, configuration: configuration, segments: segments, end: end,
            flushed: max(flushed, segments.first?.start ?? end), disk: disk, log: log)
        // Consumers see what was recovered.
        if configuration.flushMode == .synchronous { try commitLog.flushNow() }
        return RecoveredStore(
            configuration: configuration, disk: disk, files: files, commitLog: commitLog, index: index,
            stateView: stateView, topics: topics, queueTable: queueTable, trustedViewsOffset: replayStart,
            checkpoint: checkpoint,
            checkpointFile: checkpointFile, lockFile: lockFile, isForeign: isForeign,
            summary: summary, faults: disk.faults)
    }

    private func makeFolders() throws(DiskError) {
        try disk.makeDirectory(configuration.root)
        try disk.makeDirectory(configuration.commitLogPath)
        try disk.makeDirectory(configuration.root + "/snapshots")
        try disk.makeDirectory(configuration.root + "/" + QueueTable.folder)
    }

    /// A power cut must neither take the mark of use, nor, before the first checkpoint, the folders with all that is in them.
    private func makeFoldersDurable() throws(DiskError) {
        try disk.synchronizeDirectory(configuration.root)
        guard checkpoint == nil else { return }
        for folder in [configuration.root, configuration.commitLogPath] {
            var path: Substring? = Substring(folder)
            while let child = path, child != "/", child != "." {
                let parent = child.lastIndex(of: "/").map { $0 == child.startIndex ? "/" : child[..<$0] } ?? "."
                path = parent
                do {
                    try disk.synchronizeDirectory(String(parent))
                } catch  where error.kind != .inputOutput {
                    // Folders of somebody else further up, which were there before.
                }
            }
        }
    }

    private func read(_ file: any DiskFile) throws -> ByteBuffer {
        let size = try file.size()
        let buffer = ByteBuffer(capacity: size)
        try buffer.append(from: file, at: 0, count: size)
        return buffer
    }

    // MARK: - Segments

    /// The segments in order. Their size is what their names say, so a store opens whatever size is configured now.
    private func findSegments() throws -> [Segment] {
        let starts = try disk.list(configuration.commitLogPath).compactMap { entry in
            entry.isDirectory ? nil : Segment.start(ofName: entry.name)
        }.sorted()
        var found: [Segment] = []
        for (number, start) in starts.enumerated() {
            let path = configuration.commitLogPath + "/" + Segment.name(start: start)
            let file = try disk.open(path, .existing)
            let fileSize = try file.size()
            var size = max(fileSize, 1)
            if number + 1 < starts.count, starts[number + 1].bytes(since: start) != fileSize {
                size = try self.size(ofSegment: path, at: start, fileSize, next: starts[number + 1])
            }
            found.append(Segment(start: start, size: size, file: file, reservedSize: 0))
        }
        try checkPresence(found)
        // A last file that a crash left shorter gets its full length when it is written to.
        if let last = found.last, last.size < configuration.segmentSize {
            try last.file.truncate(to: configuration.segmentSize)
            found[found.count - 1] = Segment(
                start: last.start, size: configuration.segmentSize, file: last.file, reservedSize: 0)
        }
        return found
    }

    /// The size of a segment whose file is not as long as the next segment's name says. Before the flushed checkpoint that is
    /// damage; behind it a power cut may have taken the length of this file, or the whole next one.
    private func size(ofSegment path: String, at start: PhysicalOffset, _ fileSize: Int, next: PhysicalOffset) throws
        -> Int
    {
        let size = next.bytes(since: start)
        guard fileSize < size, next > flushedCheckpoint else {
            throw StorageError.corrupt(file: path, position: fileSize, reason: "the next segment begins at \(next)")
        }
        return min(size, max(fileSize, configuration.segmentSize))
    }

    /// What was flushed must be there: at least the segment that its last byte lies in.
    private func checkPresence(_ segments: [Segment]) throws {
        guard flushedCheckpoint > .zero else { return }
        guard let last = segments.last, last.end >= flushedCheckpoint || last.size < configuration.segmentSize else {
            throw StorageError.corrupt(
                file: configuration.commitLogPath, position: 0,
                reason: "the log was on the medium up to \(flushedCheckpoint), but the segments end before")
        }
    }

    private var flushedCheckpoint: PhysicalOffset { checkpoint?.flushedOffset ?? .zero }

    // MARK: - Where the replay begins

    /// Whether Apus has had this store, although no slot of its checkpoint is whole: one was begun, or a snapshot is there.
    private func hasTraces(_ checkpoint: ByteBuffer) throws(DiskError) -> Bool {
        let slots = CheckpointFile.slotPositions.contains { position in
            let end = min(position + CheckpointFile.slotSize, checkpoint.count)
            return position < end && checkpoint.withUnsafeBytes { $0[position..<end].contains { $0 != 0 } }
        }
        return slots ? true : !(try disk.list(configuration.root + "/snapshots").isEmpty)
    }

    /// Before the first checkpoint was made the log says all, from its beginning. Without that, topics and offsets would be
    /// lost without a word.
    private func checkCheckpoint() throws(StorageError) {
        guard checkpoint == nil, !isForeign, let first = segments.first, first.start > .zero else { return }
        throw .corrupt(
            file: configuration.root + "/" + CheckpointFile.name, position: CheckpointFile.slotPositions[0],
            reason: "no slot of the checkpoint is whole")
    }

    private func scanStart(times: CheckpointTimes?) throws -> PhysicalOffset {
        let first = segments.first?.start ?? .zero
        // Somebody removed the views to have them made anew, or they never were.
        if !disk.exists(configuration.root + "/consumequeue"), !segments.isEmpty {
            replayStart = first
            return first
        }
        if let checkpoint {
            let isClean = checkpoint.isCleanStop && !hasCrashed
            replayStart = isClean ? nil : max(checkpoint.viewsOffset, first)
            return max(min(checkpoint.viewsOffset, checkpoint.stateOffset), first)
        }
        guard !segments.isEmpty else { return first }
        let start: PhysicalOffset
        if !isForeign {
            start = first
        } else if hasCrashed {
            start = try segmentNotNewer(than: times?.minimum ?? 0)
        } else {
            start = segments[max(0, segments.count - Self.foreignSegments)].start
        }
        replayStart = start
        return start
    }

    /// The start of the last segment whose first record was stored at or before `time`; the first segment when there is none.
    private func segmentNotNewer(than time: Int64) throws -> PhysicalOffset {
        for segment in segments.reversed() {
            var scanner = LogScanner()
            var firstTime: Int64?
            if case .record(let size) = try scanner.find(at: segment.start, in: segment) {
                let buffer = ByteBuffer(capacity: size)
                try buffer.append(from: segment.file, at: 0, count: size)
                firstTime = (try? MessageRecord(buffer.bytes))?.storeTimestamp.milliseconds
            }
            if let firstTime, firstTime <= time { return segment.start }
        }
        return segments[0].start
    }

    private func restoreSnapshot() throws {
        guard let offset = checkpoint?.snapshotOffset else { return }
        let path = configuration.root + "/snapshots/" + Segment.name(start: offset)
        let file = try disk.open(path, .existing)
        let snapshot = try read(file)
        try SnapshotFile.restore(snapshot.bytes, path: path, at: offset, into: stateView)
    }

    /// The table counts only for queues that are read as they were at its offset: not when the views are made anew from further
    /// back.
    private func readQueueTable() throws {
        guard let checkpoint, replayStart == nil || replayStart == checkpoint.viewsOffset else { return }
        let path = QueueTable.path(root: configuration.root, checkpoint.viewsOffset)
        guard disk.exists(path) else { return }
        let file = try disk.open(path, .existing)
        defer { file.close() }
        let bytes = try read(file)
        do throws(StorageError) {
            queueTable = try QueueTable(bytes.bytes, path: path, at: checkpoint.viewsOffset)
        } catch {
            // The queues' files say the same, as long as they are whole.
            log.error("the table of queues is damaged", ["error": "\(error)"])
        }
    }

    // MARK: - Replay

    /// Folds the log from `start` into the views and cuts a torn tail.
    /// - Returns: where the log ends.
    private func replay(from start: PhysicalOffset) throws -> PhysicalOffset {
        guard !segments.isEmpty else { return start }
        let (end, finding) = try foldLog(from: start)
        if let gap = gaps.values.first { throw gap }
        try loadOtherQueues()
        try finish(at: end, finding)
        let count = summary.recordsReplayed
        if count > 0 { log.info("replayed the log", ["records": "\(count)", "from": "\(start)", "to": "\(end)"]) }
        return end
    }

    /// - Returns: where the last whole record ends, and what stands there.
    private func foldLog(from start: PhysicalOffset) throws(StorageError) -> (PhysicalOffset, LogScanner.Finding) {
        let ahead = LogReadAhead(segments: segments, from: start, disk: disk)
        while true {
            let batch = ahead.nextBatch()
            try fold(batch)
            summary.recordsReplayed += batch.records.count
            if let failure = batch.failure {
                disk.faults.note(failure)
                throw StorageError(failure)
            }
            if let finding = batch.finding {
                do {
                    try index?.putWaiting()
                } catch {
                    throw StorageError(error)
                }
                return (batch.end, finding)
            }
        }
    }

    /// Queues that no replayed record belongs to may hold entries of records that the crash took. They are cut now: once the
    /// log has grown over the place where those records were, nothing would tell them from good ones.
    private func loadOtherQueues() throws {
        guard let replayStart else { return }
        let folder = configuration.root + "/consumequeue"
        for name in try disk.list(folder) where name.isDirectory {
            let topic = topic(Array(name.name.utf8).span.bytes)
            for queue in try disk.list("\(folder)/\(name.name)") {
                guard let number = Int32(queue.name), number >= 0, number < Limits.queuesPerTopicMaximum else {
                    continue
                }
                _ = try self.queue(of: topic, QueueID(number), replayStart)
            }
        }
        // One that has lost its files.
        if let gap = gaps.values.first { throw gap }
    }

    private func fold(_ batch: ReplayBatch) throws(StorageError) {
        let records = batch.records
        var first = 0
        while first < records.count {
            let record = records[first]
            guard record.isPlain else {
                try fold(batch.bytes, record.begin..<record.begin + record.size)
                first += 1
                continue
            }
            var end = first + 1
            while end < records.count, records[end].isPlain { end += 1 }
            try foldPlain(batch, first..<end)
            first = end
        }
    }

    /// Takes in messages that change their queues and the index and nothing else: queue by queue as they follow each other, then
    /// all their keys at once.
    private func foldPlain(_ batch: ReplayBatch, _ range: Range<Int>) throws(StorageError) {
        guard let replayStart else { return }
        let records = batch.records
        var first = range.lowerBound
        while first < range.upperBound, batch.start.advanced(by: records[first].begin) < replayStart { first += 1 }
        guard first < range.upperBound else { return }
        let keys = records[first].keys.lowerBound..<records[range.upperBound - 1].keys.upperBound
        while first < range.upperBound {
            var end = first + 1
            while end < range.upperBound, records[end].isOfSameQueue { end += 1 }
            let buffer = batch.bytes
            let queue = try self.queue(
                buffer.bytes.extracting(records[first].topic), records[first].queueID, replayStart,
                batch.start.advanced(by: records[first].begin))
            try append(records[first..<end], of: batch.start, to: queue)
            first = end
        }
        do {
            try index?.insert(batch.keys[keys])
        } catch {
            throw StorageError(error)
        }
    }

    private func append(
        _ records: ArraySlice<ReplayedRecord>, of start: PhysicalOffset, to queue: StoredQueue
    ) throws(StorageError) {
        let consumeQueue = queue.consumeQueue
        for record in records {
            guard consumeQueue.isEmpty || record.queueOffset <= consumeQueue.maximumOffset else {
                noteGap(in: queue, before: record.queueOffset)
                continue
            }
            guard let tagsCode = record.tagsCode else { continue }
            do {
                try consumeQueue.append(
                    ConsumeQueueEntry(
                        physicalOffset: start.advanced(by: record.begin),
                        size: Int32(truncatingIfNeeded: record.size), tagsCode: tagsCode), at: record.queueOffset)
            } catch {
                throw StorageError(error)
            }
            queue.isListedAsDirty = true
        }
        // What its files said before the replay may have been more.
        queue.nextOffset = consumeQueue.maximumOffset
    }

    private func noteGap(in queue: StoredQueue, before offset: QueueOffset) {
        gaps[queue.topic.name] = .corrupt(
            file: queue.consumeQueue.directory, position: 0,
            reason: "the queue ends at \(queue.maximumOffset), and the log goes on at \(offset); "
                + "without the folder consumequeue all queues are made anew from the log")
    }

    /// Takes in any record.
    private func fold(_ buffer: ByteBuffer, _ range: Range<Int>) throws(StorageError) {
        let span = buffer.bytes.extracting(range)
        guard let record = try? MessageRecord(span) else {
            preconditionFailure("a record that was checked does not decode")
        }
        // Bytes that were damaged, and of which nobody knows what they were.
        if record.flags.contains(.setAside), record.topic.isEmpty { return }
        if span.extracting(record.topic).equals("rmq_sys_APUS_STATE") {
            if let replayStart, record.physicalOffset >= replayStart,
                let name = stateView.topicRemoved(by: span.extracting(record.body))
            {
                try removeQueues(ofTopic: name)
            }
            guard record.physicalOffset >= checkpoint?.stateOffset ?? .zero else { return }
            do {
                try stateView.apply(span.extracting(record.body))
            } catch {
                throw corrupt(at: record.physicalOffset, "a state record is unreadable: \(error.reason)")
            }
            return
        }
        if let settled = PendingID(field: record.preparedTransactionOffset),
            record.physicalOffset >= checkpoint?.stateOffset ?? .zero
        {
            stateView.settle(settled)
        }
        guard let replayStart, record.physicalOffset >= replayStart else { return }
        let queue = try self.queue(span.extracting(record.topic), record.queueID, replayStart, record.physicalOffset)
        guard queue.consumeQueue.isEmpty || record.queueOffset <= queue.maximumOffset else {
            noteGap(in: queue, before: record.queueOffset)
            return try ViewFold.fold(record, span, into: index)
        }
        if try ViewFold.fold(record, span, into: queue, index: index) != nil { queue.isListedAsDirty = true }
        // What its files said before the replay may have been more.
        queue.nextOffset = queue.maximumOffset
    }

    private func removeQueues(ofTopic name: String) throws(StorageError) {
        do {
            for queue in topics[name]?.queues.compactMap({ $0 }) ?? [] { try queue.consumeQueue.destroy() }
            try TopicFolder.remove(root: configuration.root, topic: name, disk: disk)
        } catch {
            throw StorageError(error)
        }
        topics[name] = nil
        gaps[name] = nil
        queueTable.remove(name)
    }

    private func queue(
        _ topicName: RawSpan, _ queueID: QueueID, _ replayStart: PhysicalOffset, _ offset: PhysicalOffset
    ) throws(StorageError) -> StoredQueue {
        let topic = topic(topicName)
        let number = Int(queueID.rawValue)
        guard number >= 0, number < Limits.queuesPerTopicMaximum else {
            throw corrupt(at: offset, "no queue has the number \(number)")
        }
        return try self.queue(of: topic, queueID, replayStart)
    }

    private func queue(
        of topic: StoredTopic, _ queueID: QueueID, _ replayStart: PhysicalOffset
    ) throws(StorageError) -> StoredQueue {
        let number = Int(queueID.rawValue)
        while topic.queues.count <= number { topic.queues.append(nil) }
        if let queue = topic.queues[number] { return queue }
        let queue = try StoredQueue.load(
            topic: topic, queueID: queueID, configuration: configuration, disk: disk, files: files,
            replayStart: replayStart, maximum: queueTable.maximum(topic.name, queueID))
        if let loss = queue.loss { gaps[topic.name] = loss }
        topic.queues[number] = queue
        return queue
    }

    private func topic(_ name: RawSpan) -> StoredTopic {
        if let known = topics[name] { return known }
        let topic = StoredTopic(name: name.string())
        topics[topic.name] = topic
        return topic
    }

    /// Acts on ``RecoveryDecision`` for the place where the scan ended.
    private func finish(at end: PhysicalOffset, _ finding: LogScanner.Finding) throws {
        var scanner = LogScanner()
        var hasRecordsBehind = false
        for segment in segments where segment.start > end && !hasRecordsBehind {
            if case .record = try scanner.find(at: segment.start, in: segment) { hasRecordsBehind = true }
        }
        let flushed = checkpoint?.flushedOffset ?? .zero
        // RocketMQ synchronises everything before it removes its mark of use.
        let isStoppedForeign = isForeign && !hasCrashed && finding != .nothing
        switch RecoveryDecision.decide(
            finding: finding, isBeyondFlushed: end >= flushed && !isStoppedForeign, hasRecordsBehind: hasRecordsBehind)
        {
        case .corrupt(let reason): throw corrupt(at: end, reason)
        case .endsHere: try cut(at: end)
        case .cutHere:
            try tell(end, finding, &scanner)
            summary.cutAt = end
            try cut(at: end)
        }
    }

    /// Bytes behind a torn write that are looked at for whole records.
    private static let reachBehindCut = 16 * 1024 * 1024

    /// Says where the log is cut. What lies behind may be writes that reached the medium out of order, which is usual, or what
    /// was whole before a byte in front of it changed, which is not: whole records are kept in quarantine.
    private func tell(
        _ end: PhysicalOffset, _ finding: LogScanner.Finding, _ scanner: inout LogScanner
    ) throws(StorageError) {
        guard let segment = segments.last(where: { $0.start <= end }) else { return }
        var kept = "nothing whole lay behind it"
        if segment.end > end,
            let whole = try scanner.nextWhole(after: end, in: segment, reach: Self.reachBehindCut),
            case .record = try scanner.find(at: whole, in: segment)
        {
            kept = keep(segment, end, whole)
        }
        log.warning(
            "cut the log at a torn write",
            [
                "offset": "\(end)", "found": "\(finding)", "file": segment.file.path,
                "position": "\(end.bytes(since: segment.start))", "kept": kept,
            ])
    }

    private func keep(_ segment: Segment, _ end: PhysicalOffset, _ whole: PhysicalOffset) -> String {
        let size = min(Self.reachBehindCut, segment.end.bytes(since: end))
        do throws(DiskError) {
            let path = try Quarantine.keep(segment, end, size: size, root: configuration.root, disk: disk)
            return "whole records from \(whole) on are in \(path)"
        } catch {
            return "whole records from \(whole) on are lost: \(error)"
        }
    }

    /// Makes everything behind `end` read as nothing: later segments go, and the rest of this one becomes zeros.
    private func cut(at end: PhysicalOffset) throws {
        let count = segments.count
        while let last = segments.last, last.start >= end, segments.count > 1 || last.start > end {
            try disk.remove(last.file.path)
            last.file.close()
            segments.removeLast()
        }
        // Or a power cut brings the old file back when a new one has its name, with records that fit its place.
        if segments.count < count { try disk.synchronizeDirectory(configuration.commitLogPath) }
        guard let last = segments.last, last.end > end else { return }
        try last.file.truncate(to: end.bytes(since: last.start))
        try last.file.truncate(to: last.size)
        try last.file.synchronize()
    }

    private func corrupt(at offset: PhysicalOffset, _ reason: String) -> StorageError {
        let segment = segments.last { $0.start <= offset } ?? segments[0]
        return .corrupt(file: segment.file.path, position: offset.bytes(since: segment.start), reason: reason)
    }
}

extension MessageStore {
    /// Opens the store in `configuration.root`, and makes it when there is none.
    ///
    /// On return the views are what the log says, and a torn tail is cut. Blocks; runs before the loop does.
    /// - Parameter stateView: empty; filled from the snapshot and the log.
    /// - Throws: ``StorageError/locked(path:)``, ``StorageError/corrupt(file:position:reason:)``,
    ///   ``StorageError/disk(_:)``, ``StorageError/diskFull``.
    public static func open(
        _ configuration: StoreConfiguration, disk: any Disk, clock: any Clock, stateView: any StateView, log: Log
    ) throws(StorageError) -> MessageStore {
        let opening = StoreOpening(
            configuration: configuration, disk: disk, clock: clock, stateView: stateView, log: log)
        return MessageStore(recovered: try opening.open(), log: log, clock: clock)
    }
}
