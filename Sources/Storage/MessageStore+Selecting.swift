import Base
import Bytes
import Model

extension MessageStore {
    /// Appends the records of those messages from `offset` on that `selects` wants, as many as the limits of one answer allow.
    ///
    /// For filters that must see the record. Records in memory are looked at where they lie; those in files are read in pieces,
    /// of which only what is wanted is copied on; of a large record only head and properties are read. One call looks at a
    /// bounded number of entries and reads a bounded number of bytes (``FetchLimits``); when it ends before it found
    /// anything, ``FetchResult/nextOffset`` says where to go on.
    ///
    /// - Parameter mayWait: as with ``fetch(_:from:maximumCount:maximumSize:mayWait:into:matches:)``, for the first read only: what a
    ///   prefetch brought is at its beginning.
    /// - Parameter weight: how much more work one message is than with a usual filter; so many times fewer are looked at.
    /// - Parameter selects: whether a message with this property string is wanted.
    public func fetch(
        _ queue: StoredQueue, from offset: QueueOffset, maximumCount: Int, maximumSize: Int = .max, mayWait: Bool,
        weight: Int = 1,
        into buffer: ByteBuffer, selects: (RawSpan) -> Bool
    ) throws(StorageError) -> FetchResult {
        let minimum = try minimumOffset(of: queue)
        let maximum = queue.maximumOffset
        var result = FetchResult(nextOffset: offset, minimumOffset: minimum, maximumOffset: maximum)
        if let status = FetchStatus.outside(offset, minimum: minimum, maximum: maximum) {
            result.status = status
            result.nextOffset = status.nextOffset(after: offset, minimum: minimum, maximum: maximum)
            return result
        }
        result.status = .noMatchedMessage
        var reading = SelectiveReading(piece: selectionPiece, mayWait: mayWait)
        var scanned = 0
        var mended: QueueOffset?
        let scanMaximum = max(1, FetchLimits.scanCount(maximumCount: maximumCount) / weight)
        let asked = AskedLimits(count: maximumCount, size: maximumSize)
        scan: while scanned < scanMaximum {
            let entries = try entries(of: queue, from: offset.advanced(by: scanned), atMost: scanMaximum - scanned)
            guard !entries.isEmpty else { break }
            for index in entries.indices {
                let entry = entries[index]
                let place = offset.advanced(by: scanned + index)
                result.nextOffset = place
                if isFull(result, adding: entry, asked) { return result }
                // At least one record is looked at, so that the next call does not end here again.
                if reading.bytesRead >= FetchLimits.selectionBytesMaximum, scanned + index > 0 { return result }
                switch try select(entries, index, of: queue, at: place, &reading, into: buffer, selects: selects) {
                case .wanted:
                    result.messageCount += 1
                    result.byteCount += Int(entry.size)
                    result.status = .found
                case .unwanted: break
                case .cold:
                    // What was passed over so far need not be looked at again.
                    guard scanned + index == 0 else { return result }
                    result.status = .cold
                    result.coldOffset = reading.start
                    return result
                case .none:
                    // What is there goes out now; the next pull comes here first.
                    if result.messageCount > 0 { return result }
                    switch try passOver(entry, of: queue, at: place, &mended) {
                    case .absent: result.status = .messageWasRemoving
                    case .mended:
                        scanned += index
                        continue scan
                    case .looking(let position):
                        result.status = .cold
                        result.coldOffset = position
                        return result
                    }
                }
            }
            scanned += entries.count
        }
        result.nextOffset = offset.advanced(by: scanned)
        return result
    }

    private enum Selection {
        /// The record was appended.
        case wanted
        case unwanted
        /// It must come from the medium.
        case cold
        /// There is no whole record of the message where the entry leads.
        case none
    }

    private func select(
        _ entries: UnsafeMutableBufferPointer<ConsumeQueueEntry>, _ index: Int, of queue: StoredQueue,
        at offset: QueueOffset, _ reading: inout SelectiveReading, into buffer: ByteBuffer, selects: (RawSpan) -> Bool
    ) throws(StorageError) -> Selection {
        let entry = entries[index]
        let size = Int(entry.size)
        // Nothing was written there, or the record was set aside.
        guard entry.hasRecord else { return .none }
        if let (source, position) = commitLog.inMemory(entry.physicalOffset, size: size) {
            return select(
                entry, source.bytes.extracting(position..<position + size), of: queue, at: offset, into: buffer,
                selects: selects)
        }
        guard size <= FetchLimits.selectionPiece else {
            return try selectLarge(entry, of: queue, at: offset, &reading, into: buffer, selects: selects)
        }
        if !reading.holds(entry) {
            var outcome = try read(entry.physicalOffset, Self.piece(of: entries, from: index), &reading)
            // The piece may reach into the next segment.
            if outcome == .outside { outcome = try read(entry.physicalOffset, size, &reading) }
            guard outcome == .done else { return outcome == .cold ? .cold : .none }
            reading.mayWait = false
        }
        let piece = reading.piece
        let position = reading.position(of: entry)
        return select(
            entry, piece.bytes.extracting(position..<position + size), of: queue, at: offset, into: buffer,
            selects: selects)
    }

    private func select(
        _ entry: ConsumeQueueEntry, _ record: RawSpan, of queue: StoredQueue, at offset: QueueOffset,
        into buffer: ByteBuffer, selects: (RawSpan) -> Bool
    ) -> Selection {
        guard isServable(entry, record, of: queue, at: offset),
            let tail = MessageRecordTail(ofRecordBeginningWith: record),
            let properties = tail.properties(in: record.extracting(tail.range))
        else { return .none }
        guard selects(record.extracting(tail.range).extracting(properties)) else { return .unwanted }
        buffer.append(record)
        return .wanted
    }

    /// A record that is too large to be read for nothing: the part up to the body's length, then what is behind the body, and
    /// the whole only when it is wanted.
    private func selectLarge(
        _ entry: ConsumeQueueEntry, of queue: StoredQueue, at offset: QueueOffset, _ reading: inout SelectiveReading,
        into buffer: ByteBuffer, selects: (RawSpan) -> Bool
    ) throws(StorageError) -> Selection {
        let piece = reading.piece
        var outcome = try read(entry.physicalOffset, MessageRecord.headSizeMaximum, &reading)
        guard outcome == .done else { return outcome == .cold ? .cold : .none }
        guard Self.isHead(piece.bytes, entry, of: queue, at: offset),
            let tail = MessageRecordTail(ofRecordBeginningWith: piece.bytes),
            tail.range.upperBound == Int(entry.size)
        else { return .none }
        outcome = try read(entry.physicalOffset.advanced(by: tail.range.lowerBound), tail.range.count, &reading)
        guard outcome == .done else { return outcome == .cold ? .cold : .none }
        reading.mayWait = false
        guard let properties = tail.properties(in: piece.bytes) else { return .none }
        guard selects(piece.bytes.extracting(properties)) else { return .unwanted }
        return try take(entry, of: queue, at: offset, &reading, into: buffer)
    }

    /// Appends a record of which parts were in the page cache; so the rest is worth waiting for.
    private func take(
        _ entry: ConsumeQueueEntry, of queue: StoredQueue, at offset: QueueOffset, _ reading: inout SelectiveReading,
        into buffer: ByteBuffer
    ) throws(StorageError) -> Selection {
        let size = Int(entry.size)
        reading.bytesRead += size
        let begin = buffer.count
        guard try commitLog.read(at: entry.physicalOffset, size: size, mayWait: true, into: buffer) == .done else {
            return .none
        }
        guard isServable(entry, buffer.bytes.extracting(begin..<buffer.count), of: queue, at: offset) else {
            buffer.truncate(to: begin)
            return .none
        }
        return .wanted
    }

    /// Reads a piece of the log, in place of the piece before.
    private func read(
        _ offset: PhysicalOffset, _ size: Int, _ reading: inout SelectiveReading
    ) throws(StorageError) -> CommitLog.ReadOutcome {
        let piece = reading.piece
        piece.removeAll()
        let outcome = try commitLog.read(at: offset, size: size, mayWait: reading.mayWait, into: piece)
        reading.start = offset
        reading.bytesRead += size
        if outcome != .done { piece.removeAll() }
        return outcome
    }

    /// How many bytes to read for an entry: those of the following entries too, where they lie close behind.
    private static func piece(of entries: UnsafeMutableBufferPointer<ConsumeQueueEntry>, from index: Int) -> Int {
        let start = entries[index].physicalOffset.rawValue
        var size = Int64(entries[index].size)
        for entry in entries[(index + 1)...] {
            // A damaged entry may say anything, so nothing is added before it is compared.
            let distance = entry.physicalOffset.rawValue &- start
            guard entry.size > 0, distance >= size, distance - size <= FetchLimits.selectionGap,
                distance + Int64(entry.size) <= FetchLimits.selectionPiece
            else { break }
            size = distance + Int64(entry.size)
        }
        return Int(size)
    }
}

/// What one selecting fetch has read last.
private struct SelectiveReading {
    let piece: ByteBuffer
    /// Where the piece lies in the log.
    var start = PhysicalOffset.zero
    /// Whether reads may block.
    var mayWait: Bool
    var bytesRead = 0

    init(piece: ByteBuffer, mayWait: Bool) {
        self.piece = piece
        self.mayWait = mayWait
        piece.removeAll()
    }

    func holds(_ entry: ConsumeQueueEntry) -> Bool {
        let position = entry.physicalOffset.rawValue &- start.rawValue
        return position >= 0 && position <= Int64(piece.count) - Int64(entry.size)
    }

    func position(of entry: ConsumeQueueEntry) -> Int { entry.physicalOffset.bytes(since: start) }
}
