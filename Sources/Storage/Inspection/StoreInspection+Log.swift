import Base
import Bytes
import Model

/// The walk over the commit log.
extension StoreInspection {
    // MARK: - Files

    func findSegments() throws {
        let starts = try disk.list(configuration.commitLogPath).compactMap { entry in
            entry.isDirectory ? nil : Segment.start(ofName: entry.name)
        }.sorted()
        for (number, start) in starts.enumerated() {
            let path = configuration.commitLogPath + "/" + Segment.name(start: start)
            let file = try disk.open(path, .existing)
            let fileSize = try file.size()
            var size = max(fileSize, 1)
            if number + 1 < starts.count {
                size = starts[number + 1].bytes(since: start)
                try noteLength(path, fileSize, size, next: starts[number + 1])
                if fileSize > 0, fileSize < size { size = min(size, max(fileSize, configuration.segmentSize)) }
            }
            segments.append(Segment(start: start, size: size, file: file, reservedSize: 0))
            try noteMisplaced(path, file, start)
        }
        report.segments = segments.count
        report.start = segments.first?.start ?? .zero
    }

    private func noteLength(_ path: String, _ fileSize: Int, _ size: Int, next: PhysicalOffset) throws {
        guard fileSize != size else { return }
        let isMissing = fileSize > 0 && size % fileSize == 0 && size > fileSize
        note(
            StoreDamage(
                .missingSegment, file: path, position: fileSize, length: max(size - fileSize, 0),
                meaning: isMissing
                    ? "the next file of the log begins at \(next): \(size / fileSize - 1) between are not there"
                    : "the file has \(fileSize) bytes, and the next one begins at \(next)",
                remedy: "nothing: put the missing file or bytes back from a copy", isMendable: false))
    }

    /// A file whose first record is for another place, at which a file begins, has that one's name.
    private func noteMisplaced(_ path: String, _ file: any DiskFile, _ start: PhysicalOffset) throws {
        let scratch = scratch
        scratch.removeAll()
        try scratch.append(from: file, at: 0, count: 64)
        guard scratch.count == 64 else { return }
        let magic = scratch.bytes.bigEndian(at: 4, as: UInt32.self)
        let said = PhysicalOffset(scratch.bytes.bigEndian(at: MessageRecord.physicalOffsetPosition))
        guard magic == MessageRecord.magicV1 || magic == MessageRecord.magicV2, said != start,
            said > .zero || start > .zero,
            disk.exists(configuration.commitLogPath + "/" + Segment.name(start: said)),
            try beginsWholly(file, saying: said)
        else { return }
        misplaced.append((path, said))
        note(
            StoreDamage(
                .misplacedSegment, file: path, position: 0,
                meaning: "its records are those of byte \(said) of the log: files have changed names",
                remedy: "the file gets the name \(Segment.name(start: said))"))
    }

    /// Whether the first record is whole, and the second one, if there is one, lies behind it where both say: one bit of one record
    /// must not pass for another file.
    private func beginsWholly(_ file: any DiskFile, saying start: PhysicalOffset) throws -> Bool {
        let scratch = scratch
        let size = Int(scratch.bytes.bigEndian(at: 0, as: Int32.self))
        guard size >= MessageRecord.sizeMinimum, size <= Limits.recordSizeMaximum else { return false }
        scratch.removeAll()
        try scratch.append(from: file, at: 0, count: size + MessageRecord.sizeMinimum)
        let span = scratch.bytes
        guard let record = try? MessageRecord(span), RecordCheck.isIntact(record, in: span.extracting(0..<size)) else {
            return false
        }
        guard span.byteCount == size + MessageRecord.sizeMinimum else { return true }
        let magic = span.bigEndian(at: size + 4, as: UInt32.self)
        guard magic == MessageRecord.magicV1 || magic == MessageRecord.magicV2 else { return true }
        let second = span.bigEndian(at: size + MessageRecord.physicalOffsetPosition, as: Int64.self)
        return PhysicalOffset(second) == start.advanced(by: size)
    }

    // MARK: - Records

    func walkLog() throws {
        report.end = report.start
        var scanner = LogScanner()
        for segment in segments {
            if segment.start > report.end {
                // What noteLength() has said: the walk goes on behind.
                report.end = segment.start
            }
            guard try walk(segment, &scanner) else { break }
        }
        if let flushed = report.flushed, report.end < flushed, tornTail == nil {
            note(
                StoreDamage(
                    .missingTail, file: configuration.commitLogPath, position: 0,
                    length: flushed.bytes(since: report.end),
                    meaning: "the log was on the disk up to byte \(flushed) and ends at \(report.end)",
                    remedy: "nothing: messages are missing; put the files back from a copy", isMendable: false))
        }
    }

    /// - Returns: whether the log goes on behind the segment.
    private func walk(_ segment: Segment, _ scanner: inout LogScanner) throws -> Bool {
        var position = segment.start
        while position < segment.end {
            let finding = try scanner.find(at: position, in: segment)
            switch finding {
            case .record(let size):
                let window = scanner.window
                try visit(window.bytes.extracting(scanner.range(at: position, size: size)))
                position = position.advanced(by: size)
                report.end = position
            case .blank:
                report.end = segment.end
                return true
            case .nothing, .damaged:
                guard let next = try afterDamage(finding, at: position, in: segment, &scanner) else { return false }
                position = next
                report.end = next
                if position == segment.end { return true }
            }
        }
        return true
    }

    /// Notes what stands at `position` and is no record.
    /// - Returns: where the walk goes on; nil where the log ends.
    private func afterDamage(
        _ finding: LogScanner.Finding, at position: PhysicalOffset, in segment: Segment, _ scanner: inout LogScanner
    ) throws -> PhysicalOffset? {
        let behind = try scanner.nextWhole(after: position, in: segment)
        var isFollowed = false
        for later in segments where later.start >= segment.end && !isFollowed {
            if case .record = try scanner.find(at: later.start, in: later) { isFollowed = true }
        }
        let reason = if case .damaged(let reason) = finding { reason } else { "nothing was written there" }
        let isFlushed = position < report.flushed ?? (report.wasStoppedCleanly ? segment.end : .zero)
        let isEnd = behind == nil && !isFollowed
        if case .nothing = finding, isEnd { return nil }
        let lastByte = try lastByte(of: segment)
        if !isFlushed {
            let end = max(lastByte, position)
            tornTail = position..<end
            let lost =
                behind == nil ? "" : "; whole records behind it go with it, for the order of the log would have a hole"
            note(
                StoreDamage(
                    .tornTail, file: segment.file.path, position: position.bytes(since: segment.start),
                    length: end.bytes(since: position),
                    meaning:
                        "\(reason); this was not on the disk when the checkpoint was made: a write that a crash tore",
                    remedy: "cut, as the next start does, with a copy in the folder quarantine\(lost)"))
            return nil
        }
        var end = behind ?? segment.end
        // At the end of the log: as far as something stands there.
        if isEnd { end = min(max(lastByte, min(report.flushed ?? .zero, segment.end)), segment.end) }
        var range = DamagedRange(segment: segment, start: position, end: end)
        if let message = try messageNamed(at: position, &scanner, in: segment) { range.messages.append(message) }
        ranges.append(range)
        note(
            StoreDamage(
                .damagedRecord, file: segment.file.path, position: range.position, length: range.size,
                meaning: "\(reason); the messages there are not served, and their queues stop at them",
                remedy:
                    "set aside: the bytes are copied to the folder quarantine, and records that say so take their place",
                isMendable: range.size >= MessageRecord.sizeMinimum + RecordWriter.checksumSize))
        return isEnd ? nil : end
    }

    /// One beyond the last byte of the segment that is not zero.
    private func lastByte(of segment: Segment) throws(DiskError) -> PhysicalOffset {
        let piece = 1 << 20
        var end = min(try segment.file.size(), segment.size)
        while end > 0 {
            let begin = max(0, end - piece)
            scratch.removeAll()
            try scratch.append(from: segment.file, at: begin, count: end - begin)
            let used = scratch.withUnsafeBytes { Self.countWithoutZeros($0) }
            if used > 0 { return segment.start.advanced(by: begin + used) }
            end = begin
        }
        return segment.start
    }

    /// How many bytes there are before the zeros at the end; eight at a time, for most of a segment may be zeros.
    private static func countWithoutZeros(_ bytes: UnsafeRawBufferPointer) -> Int {
        var count = bytes.count
        while count >= 8, bytes.loadUnaligned(fromByteOffset: count - 8, as: UInt64.self) == 0 { count -= 8 }
        while count > 0, bytes[count - 1] == 0 { count -= 1 }
        return count
    }

    /// The message that the head of a damaged record names, when that much of it reads.
    private func messageNamed(
        at position: PhysicalOffset, _ scanner: inout LogScanner, in segment: Segment
    ) throws -> LostMessage? {
        scratch.removeAll()
        let rest = min(segment.end.bytes(since: position), configuration.messageSizeMaximum + 128 * 1024)
        try scratch.append(from: segment.file, at: position.bytes(since: segment.start), count: rest)
        let bytes = scratch
        guard let record = try? MessageRecord(bytes.bytes), record.physicalOffset == position,
            record.queueOffset >= .zero, record.queueID.rawValue >= 0,
            Int(record.queueID.rawValue) < Limits.queuesPerTopicMaximum
        else { return nil }
        let topic = bytes.bytes.extracting(record.topic)
        guard !topic.equals("rmq_sys_APUS_STATE") else { return nil }
        let name = QueueName(topic: topic.string(), queueID: record.queueID)
        // A damaged head may name anything: it is believed when it fits what the queue had before, or what its files say.
        if let queue = queues[name] {
            guard queue.next == record.queueOffset else { return nil }
        } else {
            let entry = try QueueFiles(folder(of: name), configuration.consumeQueue, disk: disk, files: files)
                .entry(at: record.queueOffset)
            guard entry?.physicalOffset == position else { return nil }
        }
        return LostMessage(queue: name, offset: record.queueOffset)
    }

    // MARK: - Messages

    /// Compares one record with its entry.
    private func visit(_ span: RawSpan) throws {
        report.records += 1
        guard let record = try? MessageRecord(span) else {
            preconditionFailure("a record that was checked does not decode")
        }
        let topic = span.extracting(record.topic)
        if topic.equals("rmq_sys_APUS_STATE") {
            if let removed = stateView.topicRemoved(by: span.extracting(record.body)) {
                for name in queues.keys where name.topic == removed { queues[name] = nil }
            }
            return
        }
        guard !topic.isEmpty, let entry = ViewFold.entry(of: record, span) else { return }
        let queue = queue(QueueName(topic: topic.string(), queueID: record.queueID), record)
        if record.queueOffset > queue.next {
            queue.gaps.append(
                (queue.next.rawValue..<record.queueOffset.rawValue, queue.lastPhysical..<record.physicalOffset))
        }
        queue.next = record.queueOffset.advanced(by: 1)
        queue.lastPhysical = record.physicalOffset
        try compare(entry, at: record.queueOffset, with: queue)
    }

    private func queue(_ name: QueueName, _ record: MessageRecord) -> WalkedQueue {
        // A queue that begins again was removed in between.
        if let known = queues[name], record.queueOffset >= known.next { return known }
        let files = QueueFiles(
            folder(of: name), configuration.consumeQueue, disk: disk, files: files)
        let queue = WalkedQueue(first: record.queueOffset, at: record.physicalOffset, files: files)
        queues[name] = queue
        return queue
    }

    private func compare(
        _ entry: ConsumeQueueEntry, at offset: QueueOffset, with queue: WalkedQueue
    ) throws(DiskError) {
        // What the next start replays is right then.
        guard report.wasStoppedCleanly || entry.physicalOffset < checkpoint?.viewsOffset ?? .zero else { return }
        let found = try queue.files.entry(at: offset)
        guard found != entry else { return }
        queue.mismatches += 1
        if queue.mismatch == nil { queue.mismatch = (offset, found) }
    }

    /// Messages that no record is left of: they lay in a damaged range, or are gone.
    func noteMissingMessages() throws(DiskError) {
        for (name, queue) in queues {
            try noteMissingBefore(queue, name)
            for gap in queue.gaps {
                let candidates = ranges.indices.filter {
                    ranges[$0].start >= gap.places.lowerBound && ranges[$0].end <= gap.places.upperBound
                }
                for offset in gap.offsets {
                    let message = LostMessage(queue: name, offset: QueueOffset(offset))
                    if candidates.contains(where: { ranges[$0].messages.contains(message) }) { continue }
                    if let index = candidates.first(where: { hasRoom(ranges[$0], for: message) }) {
                        ranges[index].messages.append(message)
                    } else {
                        noteMissing(message, gap.places)
                    }
                }
            }
        }
    }

    /// Messages before the first that the log has of a queue: its files say that they lay in a damaged range.
    private func noteMissingBefore(_ queue: WalkedQueue, _ name: QueueName) throws(DiskError) {
        var offset = queue.first.advanced(by: -1)
        while let entry = try queue.files.entry(at: offset), entry.hasRecord, entry.physicalOffset >= report.start,
            let index = ranges.firstIndex(where: { $0.start <= entry.physicalOffset && $0.end > entry.physicalOffset })
        {
            let message = LostMessage(queue: name, offset: offset)
            if !ranges[index].messages.contains(message), hasRoom(ranges[index], for: message) {
                ranges[index].messages.append(message)
            }
            offset = offset.advanced(by: -1)
        }
    }

    private func hasRoom(_ range: DamagedRange, for message: LostMessage) -> Bool {
        range.size >= (range.messages + [message]).reduce(0) { $0 + StoreRepair.sizeMinimum(topic: $1.queue.topic) }
    }

    private func noteMissing(_ message: LostMessage, _ places: Range<PhysicalOffset>) {
        note(
            StoreDamage(
                .missingMessages,
                file: folder(of: message.queue),
                position: Int(message.offset.rawValue) * ConsumeQueueEntry.encodedSize,
                meaning:
                    "the log has no record of message \(message.offset), between its bytes \(places.lowerBound) and "
                    + "\(places.upperBound)",
                remedy: "nothing: there is no place in the log that could stand for it", isMendable: false))
    }
}

extension LogScanner {
    /// The next place in the segment at which a whole record, or the blank one at its end, stands; nil when there is none.
    /// - Parameter reach: how many bytes to look at.
    mutating func nextWhole(
        after position: PhysicalOffset, in segment: Segment, reach: Int = .max
    ) throws(StorageError) -> PhysicalOffset? {
        let piece = 1 << 20
        let bytes = ByteBuffer(capacity: piece)
        var start = position.advanced(by: 1)
        while segment.end.bytes(since: start) >= CommitLog.blankSize, start.bytes(since: position) < reach {
            bytes.removeAll()
            do {
                try bytes.append(
                    from: segment.file, at: start.bytes(since: segment.start),
                    count: min(piece, segment.end.bytes(since: start)))
            } catch {
                throw StorageError(error)
            }
            guard bytes.count >= CommitLog.blankSize else { return nil }
            for index in Self.magics(in: bytes) {
                switch try find(at: start.advanced(by: index), in: segment) {
                case .record, .blank: return start.advanced(by: index)
                case .nothing, .damaged: continue
                }
            }
            // The next piece begins with the last bytes of this one, where a magic number may begin.
            start = start.advanced(by: bytes.count - CommitLog.blankSize + 1)
        }
        return nil
    }

    /// Where records may begin: four bytes before each magic number.
    private static func magics(in buffer: ByteBuffer) -> [Int] {
        buffer.withUnsafeBytes { bytes in
            var found: [Int] = []
            var index = 4
            while index + 4 <= bytes.count {
                let byte = bytes[index]
                // The first bytes of the three numbers, two of which differ in the last only.
                guard byte == 0xDA || byte == 0xCB else {
                    index += 1
                    continue
                }
                let magic = UInt32(bigEndian: bytes.loadUnaligned(fromByteOffset: index, as: UInt32.self))
                if magic == MessageRecord.magicV1 || magic == MessageRecord.magicV2 || magic == MessageRecord.blankMagic
                {
                    found.append(index - 4)
                }
                index += 1
            }
            return found
        }
    }
}
