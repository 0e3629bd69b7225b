import Base
import Bytes
import Model

/// Room for several records that are appended one behind the other: it is there for all of them before the first is, so that a
/// full disk refuses them together.
///
/// Their sizes may be more than the records will have: then each ends no later than was reckoned, for where one does not fit a
/// segment, all that is behind it moves to the next one.
struct BatchReservation {
    /// Where the next record can begin at the latest.
    var position: PhysicalOffset
    /// The segment that it lies in; nil before the first of the log.
    var segment: Segment?
}

extension CommitLog {
    /// Reserves room on the disk for one more record of the batch.
    /// - Throws: ``StorageError``; nothing was appended, and files that were made ahead stay for what comes.
    func reserve(_ size: Int, _ batch: inout BatchReservation) throws(StorageError) {
        if let failure { throw .stopped(failure) }
        try checkSize(size)
        var target = batch.segment ?? prepared.first
        if let segment = target, segment.end.bytes(since: batch.position) < size + Self.blankSize {
            batch.position = segment.end
            target = prepared.first { $0.start == segment.end }
        }
        let segment: Segment
        if let target {
            segment = target
        } else {
            segment = try makeSegment(start: batch.position)
            prepared.append(segment)
        }
        let needed = batch.position.bytes(since: segment.start) + size + Self.blankSize
        if segment.reservedSize < needed {
            do {
                try reserve(min(needed + Self.reservationStep, segment.size), in: segment)
            } catch {
                throw StorageError(error)
            }
        }
        batch.segment = segment
        batch.position = batch.position.advanced(by: size)
    }
}

extension MessageStore {
    /// Makes room on the disk and in memory for messages that are stored all or not at all: reserve the size of each, then call
    /// ``beginBatch()``, append them, and call ``endBatch()``, within one turn.
    public struct Batch {
        fileprivate var reservation: BatchReservation
    }

    public func makeBatch() -> Batch {
        Batch(reservation: BatchReservation(position: end, segment: commitLog.segments.last))
    }

    /// Reserves room on the disk for one more record.
    /// - Parameter size: of the record, or more; see ``recordSizeMaximum(body:properties:topic:)``.
    /// - Throws: ``StorageError``; nothing was appended.
    public func reserve(_ size: Int, in batch: inout Batch) throws(StorageError) {
        try commitLog.reserve(size, &batch.reservation)
    }

    /// The bytes that the record of a message can have at the most.
    public static func recordSizeMaximum(body: Int, properties: Int, topic: Int) -> Int {
        // IPv6 hosts, a long topic, the separator behind the properties, and the checksum.
        MessageRecord.sizeMinimum + 24 + body + topic + 1 + properties + 1 + RecordWriter.checksumSize
    }

    /// From here on records find room in memory whether the views have taken in those before or not: a batch is not written in
    /// two parts.
    public func beginBatch() { commitLog.tail.isOpenEnded = true }

    public func endBatch() { commitLog.tail.isOpenEnded = false }
}
