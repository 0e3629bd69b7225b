import Base
import Bytes
import Model

/// Mends what ``StoreInspection`` found, as far as files go: the broker's next start makes the views anew from the log.
///
/// - Invariant: no byte of the log is changed before it is copied to `quarantine/`, and on the medium there.
public final class StoreRepair {
    private let inspection: StoreInspection
    private var configuration: StoreConfiguration { inspection.configuration }
    private var disk: any Disk { inspection.disk }
    /// What was done, in sentences.
    public private(set) var actions: [String] = []

    /// - Parameter inspection: has run, and is not closed.
    public init(_ inspection: StoreInspection) { self.inspection = inspection }

    /// Bytes of the shortest record that can stand for a message of a topic.
    static func sizeMinimum(topic: String) -> Int {
        MessageRecord.sizeMinimum + topic.utf8.count + RecordWriter.checksumSize
    }

    /// Mends everything that can be mended.
    /// - Throws: what the disk refused; what was done by then is in ``actions``, and a second repair goes on.
    public func run() throws(StorageError) {
        guard !inspection.report.isClean else { return }
        do throws(DiskError) {
            if !inspection.misplaced.isEmpty {
                // Everything else can be seen only afterwards.
                return try rename()
            }
            for range in inspection.ranges { try setAside(range) }
            if let tail = inspection.tornTail { try keepTail(tail) }
            try removeViews()
            try removeQueueTable()
            try writeCheckpoint()
            try disk.synchronizeAll(configuration.root)
        } catch {
            throw StorageError(error)
        }
    }

    // MARK: - Files with each other's names

    private func rename() throws(DiskError) {
        let folder = configuration.commitLogPath
        for file in inspection.misplaced { try disk.rename(file.path, to: file.path + ".moving") }
        for file in inspection.misplaced {
            let right = folder + "/" + Segment.name(start: file.right)
            guard !disk.exists(right) else {
                try disk.rename(file.path + ".moving", to: file.path)
                continue
            }
            try disk.rename(file.path + ".moving", to: right)
            actions.append("gave \(file.path) the name \(right)")
        }
        try disk.synchronizeDirectory(folder)
        actions.append("nothing else was looked at: check the store again")
    }

    // MARK: - Quarantine

    private func quarantine(_ segment: Segment, _ start: PhysicalOffset, size: Int) throws(DiskError) -> String {
        try Quarantine.keep(segment, start, size: size, root: configuration.root, disk: disk)
    }

    private func keepTail(_ tail: Range<PhysicalOffset>) throws(DiskError) {
        guard let segment = inspection.segments.last(where: { $0.start <= tail.lowerBound }), !tail.isEmpty else {
            return
        }
        let path = try quarantine(segment, tail.lowerBound, size: tail.upperBound.bytes(since: tail.lowerBound))
        let position = tail.lowerBound.bytes(since: segment.start)
        try segment.file.truncate(to: position)
        try segment.file.truncate(to: segment.size)
        try segment.file.synchronize()
        actions.append("cut \(segment.file.path) at byte \(position), where a write was torn; the bytes are in \(path)")
    }

    // MARK: - Damaged records

    /// Copies the bytes, and puts records in their place that say that nothing is there.
    private func setAside(_ range: DamagedRange) throws(DiskError) {
        guard range.size >= Self.sizeMinimum(topic: "") else { return }
        let path = try quarantine(range.segment, range.start, size: range.size)
        let bytes = ByteBuffer(capacity: min(range.size, 1 << 20))
        var place = range.start
        for (message, size) in Self.pieces(of: range) {
            bytes.removeAll()
            if message == nil, size < Self.sizeMinimum(topic: "") {
                // Only at the end of a segment: a blank record fills it.
                bytes.append(bigEndian: Int32(truncatingIfNeeded: size))
                bytes.append(bigEndian: MessageRecord.blankMagic)
            } else {
                Self.append(message, size: size, at: place, to: bytes)
            }
            try range.segment.file.write(bytes.bytes, at: place.bytes(since: range.segment.start))
            place = place.advanced(by: size)
        }
        try range.segment.file.synchronize()
        let messages = range.messages.map { "\($0.queue.topic)/\($0.queue.queueID) at \($0.offset)" }
        actions.append(
            "set \(range.size) bytes of \(range.segment.file.path) at byte \(range.position) aside in \(path)"
                + (messages.isEmpty ? "" : ": " + messages.joined(separator: ", ")))
    }

    /// Cuts the range into pieces of at most a MiB: one for each message that lay there, and what is left.
    private static func pieces(of range: DamagedRange) -> [(message: LostMessage?, size: Int)] {
        let messages = range.messages.sorted { ($0.queue.topic, $0.offset) < ($1.queue.topic, $1.offset) }
        var pieces = messages.map { (message: LostMessage?.some($0), size: sizeMinimum(topic: $0.queue.topic)) }
        // The last byte of a segment belongs to its blank record.
        let reachesEnd = range.end == range.segment.end
        var rest = range.size - pieces.reduce(0) { $0 + $1.size }
        if reachesEnd, rest >= CommitLog.blankSize, rest < sizeMinimum(topic: "") {
            pieces.append((nil, rest))
            return pieces
        }
        let step = 1 << 20
        while rest >= 2 * step {
            pieces.append((nil, step))
            rest -= step
        }
        if rest >= sizeMinimum(topic: "") {
            pieces.append((nil, rest))
        } else if !pieces.isEmpty {
            pieces[pieces.count - 1].size += rest
        }
        return pieces
    }

    private static func append(_ message: LostMessage?, size: Int, at place: PhysicalOffset, to buffer: ByteBuffer) {
        let topic = Array((message?.queue.topic ?? "").utf8)
        let body = [UInt8](repeating: 0, count: size - sizeMinimum(topic: message?.queue.topic ?? ""))
        var draft = MessageDraft(topic: topic.span.bytes, body: body.span.bytes, properties: RawSpan())
        draft.flags = .setAside
        draft.queueID = message?.queue.queueID ?? QueueID(0)
        RecordWriter.append(
            draft, size: size, queueOffset: message?.offset ?? .zero, physicalOffset: place,
            storeTimestamp: Timestamp(milliseconds: 0), to: buffer)
    }

    // MARK: - Views

    private func removeViews() throws(DiskError) {
        for queue in inspection.damagedQueues {
            let folder = inspection.folder(of: queue)
            for file in try disk.list(folder) { try disk.remove(folder + "/" + file.name) }
            if disk.exists(folder) { try disk.remove(folder) }
            actions.append("removed \(folder): the next start makes it anew from the log")
        }
        guard inspection.isIndexDamaged else { return }
        let folder = configuration.root + "/index"
        for file in try disk.list(folder) where !file.isDirectory { try disk.remove(folder + "/" + file.name) }
        actions.append("removed the files of \(folder): the next start makes them anew from the log")
    }

    /// The next start makes the queues anew, or finds out by their files how far they reach.
    private func removeQueueTable() throws(DiskError) {
        guard let path = inspection.queueTablePath, disk.exists(path) else { return }
        try disk.remove(path)
    }

    /// Makes the next start replay the whole log over the views.
    private func writeCheckpoint() throws(DiskError) {
        let path = configuration.root + "/" + CheckpointFile.name
        let file = try disk.open(path, .createIfMissing)
        defer { file.close() }
        if inspection.report.isForeign {
            // As after a crash that nothing is known of: RocketMQ's own replay goes back to the first segment then.
            try file.write([UInt8](repeating: 0, count: 24).span.bytes, at: 0)
            try disk.open(configuration.root + "/" + StoreOpening.abortName, .createIfMissing).close()
            return
        }
        var next = inspection.checkpoint ?? Checkpoint()
        next.viewsOffset = inspection.report.start
        next.isCleanStop = false
        next.flushedOffset = inspection.tornTail == nil ? inspection.report.end : next.flushedOffset
        if inspection.isSnapshotDamaged {
            if let snapshot = next.snapshotOffset { try keepSnapshot(snapshot) }
            next.snapshotOffset = nil
            next.stateOffset = inspection.report.start
        }
        if inspection.isCheckpointLost { try findSnapshot(&next) }
        // Both slots, for one of them may be the damaged one.
        if try file.size() < CheckpointFile.size { try file.truncate(to: CheckpointFile.size) }
        for _ in 0..<2 {
            next.sequence += 1
            try CheckpointFile.write(next, to: file)
            try file.synchronize()
        }
        actions.append("wrote \(path): the next start reads the whole log")
    }

    private func keepSnapshot(_ offset: PhysicalOffset) throws(DiskError) {
        let folder = Quarantine.folder(configuration.root)
        try disk.makeDirectory(folder)
        let path = inspection.snapshotPath(offset)
        guard disk.exists(path) else { return }
        try disk.rename(path, to: folder + "/snapshot-" + Segment.name(start: offset))
        actions.append("moved \(path) to \(folder)")
    }

    private func findSnapshot(_ next: inout Checkpoint) throws(DiskError) {
        next.stateOffset = inspection.report.start
        next.snapshotOffset = nil
        for offset in try inspection.snapshotNames().sorted().reversed() where offset <= inspection.report.end {
            guard try inspection.isSnapshotWhole(offset) == nil else { continue }
            next.snapshotOffset = offset
            next.stateOffset = offset
            actions.append("took \(inspection.snapshotPath(offset)) for the newest snapshot")
            return
        }
    }
}
