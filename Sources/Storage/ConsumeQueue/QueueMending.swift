import Base
import Bytes
import Model
import Telemetry

/// What came of an entry of a consume queue that does not lead to the record of its message.
public enum EntryMending: Equatable, Sendable {
    /// The entry is right now: read it again.
    case mended
    /// The log is still being read: bring what lies there into the page cache, then ask again.
    case looking(PhysicalOffset)
    /// The log has no record of the message, and nothing damaged where it could lie.
    case absent
}

/// Messages of a queue for which the log was searched in vain.
struct UnmendableMessages {
    var offsets: Range<QueueOffset>
    /// Damaged bytes of the log where they can have lain; nil when every byte there is whole.
    var damage: PhysicalOffset?
}

/// The search of the log for messages whose entries in a consume queue are damaged. The log is the truth, the queue a view of it.
///
/// A message lies between the records of its neighbours in the queue, so the search begins behind the last entry before it that
/// leads to its record, and ends at the next one that does:
///
///     entries     n−1      n, n+1: damaged      n+2
///                  │                             │
///     log     ─────█─────────────────────────────█──────
///                  start ───── searched ───── end
///
/// It is made in pieces, for the neighbours may lie far apart.
struct QueueMending {
    /// Entries on each side of the damaged one that are tried as the begin and the end of the search. When none leads to its
    /// record it begins and ends with the log.
    static let anchorsMaximum = 512
    /// Bytes of the log that one piece has.
    static let pieceSize = LogScanner.readSize
    /// Pieces that are read in one go where nobody waits for the medium: 16 MiB.
    static let piecesMaximum = 4

    let offsets: Range<QueueOffset>
    /// How far the log has been read.
    var position: PhysicalOffset
    let end: PhysicalOffset
    /// Whether the search began at a record of the queue: what is found is right then, and there is no other.
    let isAnchored: Bool
    /// Whose entries have been made anew; ascending.
    private(set) var found: [Range<QueueOffset>] = []
    /// Where the first damaged bytes lie that were met.
    var damage: PhysicalOffset?

    init(offsets: Range<QueueOffset>, position: PhysicalOffset, end: PhysicalOffset, isAnchored: Bool) {
        self.offsets = offsets
        self.position = position
        self.end = end
        self.isAnchored = isAnchored
    }

    var isComplete: Bool { position >= end || (isAnchored && found == [offsets]) }
    var foundCount: Int { found.reduce(0) { $0 + $1.upperBound.messages(since: $1.lowerBound) } }

    /// Notes that the entry at `offset` is right now.
    mutating func note(_ offset: QueueOffset) {
        // A queue that begins again was removed in between.
        if let last = found.last, offset < last.upperBound { forget() }
        if let last = found.last, offset == last.upperBound {
            found[found.count - 1] = last.lowerBound..<offset.advanced(by: 1)
        } else {
            found.append(offset..<offset.advanced(by: 1))
        }
    }

    /// What was found was of another topic of the same name.
    mutating func forget() { found = [] }

    func hasFound(_ offset: QueueOffset) -> Bool { found.contains { $0.contains(offset) } }

    /// What was not found, as ranges.
    var missing: [Range<QueueOffset>] {
        var missing: [Range<QueueOffset>] = []
        var next = offsets.lowerBound
        for range in found {
            if range.lowerBound > next { missing.append(next..<range.lowerBound) }
            next = range.upperBound
        }
        if next < offsets.upperBound { missing.append(next..<offsets.upperBound) }
        return missing
    }
}

extension MessageStore {
    /// What to do with an entry that did not lead to the whole record of its message.
    /// - Parameter mended: the last entry that this fetch has had made anew.
    /// - Throws: ``StorageError/corrupt(file:position:reason:)`` when it is the record that is damaged, or the entry stays so.
    func passOver(
        _ entry: ConsumeQueueEntry, of queue: StoredQueue, at offset: QueueOffset, _ mended: inout QueueOffset?
    ) throws(StorageError) -> EntryMending {
        if entry.isSetAside { return .absent }
        guard mended != offset else {
            let location = queue.consumeQueue.location(of: offset)
            throw .corrupt(
                file: location.file, position: location.position, reason: "the entry was made anew and is damaged again"
            )
        }
        // A whole record there is one of another topic, with the same numbers.
        if try isHeadThere(entry, of: queue, at: offset), try !isWholeRecord(at: entry.physicalOffset) {
            metrics.damagedRecords += 1
            throw commitLog.corruption(at: entry.physicalOffset, reason: "the record does not match its checksum")
        }
        let outcome = try mend(queue, at: offset)
        if outcome == .mended { mended = offset }
        return outcome
    }

    /// Whether the bytes that the entry leads to begin as the record of its message does.
    /// - Parameter mayWait: whether to block until the medium delivers; else what is cold counts as right.
    func isHeadThere(
        _ entry: ConsumeQueueEntry, of queue: StoredQueue, at offset: QueueOffset, mayWait: Bool = true
    ) throws(StorageError) -> Bool {
        guard entry.hasRecord else { return false }
        let scratch = scratch
        scratch.removeAll()
        let size = min(Int(entry.size), MessageRecord.headSizeMaximum)
        switch try commitLog.read(at: entry.physicalOffset, size: size, mayWait: mayWait, into: scratch) {
        case .done: break
        case .cold: return true
        case .outside: return false
        }
        return Self.isHead(scratch.bytes, entry, of: queue, at: offset)
    }

    /// Looks in the log for the message at `offset` of the queue, whose entry is damaged, and makes the entry anew: it and those
    /// behind it up to the next whole one. Each call reads a piece of the log, so it may take several.
    /// - Throws: ``StorageError/corrupt(file:position:reason:)`` when the message can only lie in damaged bytes of the log.
    public func mend(_ queue: StoredQueue, at offset: QueueOffset) throws(StorageError) -> EntryMending {
        if let known = queue.unmendable.first(where: { $0.offsets.contains(offset) }) {
            guard let damage = known.damage, damage >= commitLog.start else {
                metrics.missingMessages += 1
                return .absent
            }
            guard try isWholeRecord(at: damage) else {
                metrics.damagedRecords += 1
                throw commitLog.corruption(
                    at: damage, reason: "message \(offset) of \(queue.topic.name), queue \(queue.queueID), lay there")
            }
            // It was read wrongly, and is not damaged.
            queue.unmendable.removeAll { $0.damage == damage }
        }
        var mending: QueueMending
        if let underWay = queue.mending, underWay.offsets.contains(offset) {
            mending = underWay
        } else {
            mending = try beginMending(queue, at: offset)
        }
        try search(&mending, queue)
        guard mending.isComplete else {
            queue.mending = mending
            return .looking(mending.position)
        }
        queue.mending = nil
        finish(mending, queue)
        return mending.hasFound(offset) ? .mended : try mend(queue, at: offset)
    }

    /// ``mend(_:at:)`` for as much of the log as may be read in one go.
    /// - Throws: ``StorageError/corrupt(file:position:reason:)`` when that was not enough; the next call goes on.
    func mendNow(_ queue: StoredQueue, at offset: QueueOffset) throws(StorageError) -> EntryMending {
        for _ in 0..<QueueMending.piecesMaximum {
            let outcome = try mend(queue, at: offset)
            if case .looking = outcome { continue }
            return outcome
        }
        let location = queue.consumeQueue.location(of: offset)
        throw .corrupt(
            file: location.file, position: location.position, reason: "the message is still being looked for in the log"
        )
    }

    private func isWholeRecord(at offset: PhysicalOffset) throws(StorageError) -> Bool {
        let segment = commitLog.segment(holding: offset)
        var scanner = LogScanner()
        if case .record = try scanner.find(at: offset, in: segment) { return true }
        return false
    }

    private func beginMending(_ queue: StoredQueue, at offset: QueueOffset) throws(StorageError) -> QueueMending {
        let minimum = try minimumOffset(of: queue)
        let location = queue.consumeQueue.location(of: offset)
        let damaged = try storedEntry(of: queue, at: offset)
        metrics.damagedEntries += 1
        log.error(
            "an entry of a consume queue does not lead to its message, which is looked for in the log",
            [
                "file": location.file, "position": "\(location.position)", "topic": queue.topic.name,
                "queue": "\(queue.queueID)", "offset": "\(offset)",
                "entry": damaged.map { "\($0.size) bytes at \($0.physicalOffset)" } ?? "none",
            ])
        var start: PhysicalOffset?
        var before = offset
        let first = max(minimum, offset.advanced(by: -QueueMending.anchorsMaximum))
        while start == nil, before > first {
            before = before.advanced(by: -1)
            guard let entry = try storedEntry(of: queue, at: before), try isWhole(entry, of: queue, at: before) else {
                continue
            }
            start = entry.physicalOffset.advanced(by: Int(entry.size))
        }
        var after = offset.advanced(by: 1)
        let last = min(queue.maximumOffset, offset.advanced(by: QueueMending.anchorsMaximum))
        while after < last {
            if let entry = try storedEntry(of: queue, at: after), try isWhole(entry, of: queue, at: after) {
                return QueueMending(
                    offsets: offset..<after, position: start ?? commitLog.start, end: entry.physicalOffset,
                    isAnchored: start != nil)
            }
            after = after.advanced(by: 1)
        }
        return QueueMending(
            offsets: offset..<queue.maximumOffset, position: start ?? commitLog.start, end: dispatched,
            isAnchored: start != nil)
    }

    /// Whether the entry leads to the whole record of its message.
    private func isWhole(
        _ entry: ConsumeQueueEntry, of queue: StoredQueue, at offset: QueueOffset
    ) throws(StorageError) -> Bool {
        guard try isHeadThere(entry, of: queue, at: offset) else { return false }
        let scratch = scratch
        scratch.removeAll()
        guard
            try commitLog.read(at: entry.physicalOffset, size: Int(entry.size), mayWait: true, into: scratch) == .done
        else { return false }
        return isServable(entry, scratch.bytes, of: queue, at: offset)
    }

    /// Reads the next piece of the log.
    private func search(_ mending: inout QueueMending, _ queue: StoredQueue) throws(StorageError) {
        mending.position = max(mending.position, commitLog.start)
        let stop = min(mending.position.advanced(by: QueueMending.pieceSize), mending.end)
        var scanner = LogScanner()
        while mending.position < stop, !mending.isComplete {
            let place = mending.position
            let segment = commitLog.segment(holding: place)
            switch try scanner.find(at: place, in: segment) {
            case .record(let size):
                let window = scanner.window
                try take(window.bytes.extracting(scanner.range(at: place, size: size)), &mending, queue)
                mending.position = place.advanced(by: size)
            case .blank: mending.position = segment.end
            case .nothing, .damaged:
                // It goes on at the next whole record.
                if mending.damage == nil { mending.damage = place }
                let next = try scanner.nextWhole(after: place, in: segment, reach: QueueMending.pieceSize)
                mending.position = next ?? min(place.advanced(by: QueueMending.pieceSize), segment.end)
                return
            }
        }
    }

    /// Makes the entry of one record anew if it is one that is looked for.
    private func take(_ span: RawSpan, _ mending: inout QueueMending, _ queue: StoredQueue) throws(StorageError) {
        guard let record = try? MessageRecord(span) else { return }
        let topic = span.extracting(record.topic)
        if topic.equals("rmq_sys_APUS_STATE") {
            if stateView.topicRemoved(by: span.extracting(record.body)) == queue.topic.name { mending.forget() }
            return
        }
        let name = queue.topic.nameBytes
        guard record.queueID == queue.queueID, mending.offsets.contains(record.queueOffset),
            topic.equals(name.span.bytes), let entry = ViewFold.entry(of: record, span),
            // Segments may have gone meanwhile, and the entry with them.
            record.queueOffset >= queue.consumeQueue.minimumOffset, record.queueOffset < queue.maximumOffset
        else { return }
        do {
            try queue.consumeQueue.replace(entry, at: record.queueOffset)
        } catch {
            throw StorageError(error)
        }
        mending.note(record.queueOffset)
    }

    /// Says what was found, and notes what was not.
    private func finish(_ mending: QueueMending, _ queue: StoredQueue) {
        let count = mending.foundCount
        metrics.mendedEntries += Int64(count)
        if count > 0 {
            let location = queue.consumeQueue.location(of: mending.offsets.lowerBound)
            log.warning(
                "entries of a consume queue were made anew from the log",
                [
                    "file": location.file, "position": "\(location.position)", "topic": queue.topic.name,
                    "queue": "\(queue.queueID)", "entries": "\(count)",
                ])
        }
        let missing = mending.missing
        guard let first = missing.first, let last = missing.last else { return }
        queue.unmendable += missing.map { UnmendableMessages(offsets: $0, damage: mending.damage) }
        let place = mending.damage.map { damage in
            let segment = commitLog.segment(holding: damage)
            return "\(segment.file.path) is damaged at byte \(damage.bytes(since: segment.start))"
        }
        log.error(
            "messages of a queue are not in the log",
            [
                "topic": queue.topic.name, "queue": "\(queue.queueID)", "from": "\(first.lowerBound)",
                "before": "\(last.upperBound)", "log": place ?? "whole",
            ])
    }
}
