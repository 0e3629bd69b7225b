import Base
import Bytes
import Model

/// Consume queues and message index against the log.
extension StoreInspection {
    // MARK: - Consume queues

    func inspectQueues() throws {
        for (name, queue) in queues.sorted(by: { ($0.key.topic, $0.key.queueID) < ($1.key.topic, $1.key.queueID) }) {
            guard let mismatch = queue.mismatch else { continue }
            // RocketMQ does not say in the log that a topic was removed.
            if report.isForeign, try queue.files.numbers().isEmpty { continue }
            let found =
                switch mismatch.found {
                case nil: "its file is not there"
                case let entry? where entry.isBlank: "nothing is written there"
                case let entry?: "it leads to byte \(entry.physicalOffset)"
                }
            let perFile = Int64(configuration.consumeQueue.entriesPerFile)
            noteQueue(
                name, file: queue.files.path(mismatch.offset.rawValue / perFile),
                position: Int(mismatch.offset.rawValue % perFile) * ConsumeQueueEntry.encodedSize,
                length: queue.mismatches * ConsumeQueueEntry.encodedSize,
                "the entry of message \(mismatch.offset) is not the one of its record: \(found)"
                    + (queue.mismatches > 1 ? "; \(queue.mismatches) entries in all" : ""))
        }
        let root = configuration.root + "/consumequeue"
        for topic in try disk.list(root) where topic.isDirectory {
            for folder in try disk.list("\(root)/\(topic.name)") where folder.isDirectory {
                guard let number = Int32(folder.name), number >= 0 else { continue }
                report.queues += 1
                let name = QueueName(topic: topic.name, queueID: QueueID(number))
                guard !damagedQueues.contains(name) else { continue }
                try inspectFiles(of: name)
            }
        }
    }

    private func noteQueue(_ name: QueueName, file: String, position: Int, length: Int, _ meaning: String) {
        let isInLog = queues[name] != nil
        if isInLog { damagedQueues.insert(name) }
        note(
            StoreDamage(
                .consumeQueue, file: file, position: position, length: length,
                meaning: meaning + "; consumers of \(name.topic), queue \(name.queueID), get errors or miss messages",
                remedy: isInLog
                    ? "the queue is made anew from the log"
                    : "nothing: the log has no message of the queue any more; remove its folder, and it begins at 0",
                isMendable: isInLog))
    }

    /// Names and lengths of the files, and entries that lead where the log has no record of the queue.
    private func inspectFiles(of name: QueueName) throws {
        let walked = queues[name]
        let files =
            walked?.files ?? QueueFiles(folder(of: name), configuration.consumeQueue, disk: disk, files: files)
        let numbers = try files.numbers()
        for entry in try disk.list(files.directory) {
            guard let start = Segment.start(ofName: entry.name),
                start.rawValue % Int64(configuration.consumeQueue.fileSize) != 0
            else { continue }
            return noteQueue(
                name, file: files.directory + "/" + entry.name, position: 0, length: 0,
                "the name is no multiple of the file size \(configuration.consumeQueue.fileSize)")
        }
        for (before, number) in zip(numbers, numbers.dropFirst()) where number != before + 1 {
            return noteQueue(
                name, file: files.path(before + 1), position: 0, length: 0, "the file is not there, but later ones are")
        }
        guard let first = numbers.first, let last = numbers.last else { return }
        try inspectEntries(of: name, files, walked, first...last)
    }

    private func inspectEntries(
        of name: QueueName, _ files: QueueFiles, _ walked: WalkedQueue?, _ numbers: ClosedRange<Int64>
    ) throws {
        let perFile = Int64(configuration.consumeQueue.entriesPerFile)
        var last: PhysicalOffset?
        var hasEnded = false
        var offset = numbers.lowerBound * perFile
        while offset < (numbers.upperBound + 1) * perFile {
            // Between these every entry was compared with its record.
            if let walked, offset >= walked.first.rawValue, offset < walked.next.rawValue {
                offset = walked.next.rawValue
                last = walked.lastPhysical
                continue
            }
            let place = (files.path(offset / perFile), Int(offset % perFile) * ConsumeQueueEntry.encodedSize)
            let entry = try files.entry(at: QueueOffset(offset)) ?? .blank
            offset += 1
            if entry == .fill, last == nil { continue }
            if entry.isBlank {
                hasEnded = true
                // The rest of a file that is not full reads as zeros, in any number of them.
                if !report.wasStoppedCleanly { return }
                continue
            }
            let isStale = !report.wasStoppedCleanly && (hasEnded || entry.physicalOffset >= viewsOffset)
            if isStale { continue }
            let reason: String? =
                if hasEnded {
                    "an entry stands behind the last one"
                } else if let last, entry.physicalOffset <= last {
                    "the entry of message \(offset - 1) leads back to byte \(entry.physicalOffset)"
                } else if entry.physicalOffset >= report.start, !isInRange(entry.physicalOffset) {
                    "the entry of message \(offset - 1) leads to byte \(entry.physicalOffset), where its record is not"
                } else {
                    nil
                }
            if let reason {
                return noteQueue(name, file: place.0, position: place.1, length: ConsumeQueueEntry.encodedSize, reason)
            }
            last = entry.physicalOffset
        }
    }

    /// Whether a damaged part of the log lies there: the entry may be right.
    private func isInRange(_ offset: PhysicalOffset) -> Bool {
        ranges.contains { offset >= $0.start && offset < $0.end }
    }

    // MARK: - Message index

    func inspectIndex() throws {
        guard configuration.isMessageIndexEnabled else { return }
        let folder = configuration.root + "/index"
        for entry in try disk.list(folder) where !entry.isDirectory {
            guard let number = Int64(entry.name), number > 0, String(number) == entry.name else { continue }
            try inspectIndexFile(folder + "/" + entry.name)
        }
    }

    private func inspectIndexFile(_ path: String) throws {
        let file = try disk.open(path, .existing)
        defer { file.close() }
        let size = try file.size()
        let layout = configuration.messageIndex.layout
        let scratch = scratch
        scratch.removeAll()
        try scratch.append(from: file, at: 0, count: IndexLayout.headerSize)
        guard scratch.count == IndexLayout.headerSize, size >= layout.fileSize else {
            // A crash may leave a file that has just been made without its length.
            let isNew = scratch.count < IndexLayout.headerSize || IndexHeader(scratch.bytes).isEmpty
            // One that was made with other settings has four entries to a slot, too.
            let isOther = size > IndexLayout.headerSize && (size - IndexLayout.headerSize) % 84 == 0
            if report.wasStoppedCleanly || !isNew, !isOther { noteIndex(path, size, "the file is cut short") }
            return
        }
        // One of another size is somebody else's, and ignored by the broker too.
        guard size == layout.fileSize else { return }
        let header = IndexHeader(scratch.bytes)
        guard Int(header.nextEntry) <= layout.entryCount, header.slotsInUse >= 0,
            Int(header.slotsInUse) <= layout.slotCount
        else { return noteIndex(path, 32, "its counts are larger than the file") }
        guard header.isEmpty || header.beginOffset <= header.endOffset else {
            return noteIndex(path, 16, "its last record lies before its first")
        }
        try inspectIndexEntries(path, file, layout, header)
        guard report.wasStoppedCleanly else { return }
        try inspectSlots(path, file, layout, header)
    }

    private func inspectIndexEntries(
        _ path: String, _ file: any DiskFile, _ layout: IndexLayout, _ header: IndexHeader
    ) throws {
        let piece = ByteBuffer()
        let perPiece = 4096
        var number = 1
        var before: Int64 = -1
        while number < Int(header.nextEntry) {
            piece.removeAll()
            let count = min(perPiece, Int(header.nextEntry) - number)
            try piece.append(from: file, at: layout.position(ofEntry: number), count: count * IndexLayout.entrySize)
            for index in 0..<piece.count / IndexLayout.entrySize {
                let entry = IndexEntry(piece.bytes, at: index * IndexLayout.entrySize)
                // What a crash left behind the checkpoint is cut by the next start.
                if !report.wasStoppedCleanly, entry.physicalOffset >= viewsOffset.rawValue { return }
                report.indexEntries += 1
                if let reason = try objection(to: entry, number + index, before) {
                    return noteIndex(path, layout.position(ofEntry: number + index), reason)
                }
                before = entry.physicalOffset
            }
            guard piece.count == count * IndexLayout.entrySize else { return noteIndex(path, 36, "it is cut short") }
            number += count
        }
    }

    private func objection(to entry: IndexEntry, _ number: Int, _ before: Int64) throws -> String? {
        guard entry.isPlausible(as: number) else { return "entry \(number) is none" }
        guard entry.physicalOffset >= before else { return "entry \(number) leads back in the log" }
        let offset = PhysicalOffset(entry.physicalOffset)
        // Its segment may be gone.
        guard offset >= report.start, entry.physicalOffset != before, !isInRange(offset) else { return nil }
        guard offset < report.end, let segment = segments.last(where: { $0.start <= offset }) else {
            return tornTail == nil ? "entry \(number) leads beyond the end of the log" : nil
        }
        let scratch = scratch
        scratch.removeAll()
        try scratch.append(from: segment.file, at: offset.bytes(since: segment.start), count: 36)
        guard scratch.count == 36,
            scratch.bytes.bigEndian(at: MessageRecord.physicalOffsetPosition, as: Int64.self) == entry.physicalOffset
        else { return "entry \(number) leads to byte \(offset), where no record begins" }
        return nil
    }

    private func inspectSlots(
        _ path: String, _ file: any DiskFile, _ layout: IndexLayout, _ header: IndexHeader
    ) throws {
        let slots = ByteBuffer(capacity: layout.slotCount * IndexLayout.slotSize)
        try slots.append(from: file, at: IndexLayout.headerSize, count: layout.slotCount * IndexLayout.slotSize)
        let scratch = scratch
        for slot in 0..<slots.count / IndexLayout.slotSize {
            let value = slots.bytes.bigEndian(at: slot * IndexLayout.slotSize, as: Int32.self)
            guard value == 0 || (value > 0 && value < header.nextEntry) else {
                return noteIndex(path, layout.position(ofSlot: slot), "slot \(slot) leads to entry \(value)")
            }
            guard value > 0 else { continue }
            scratch.removeAll()
            try scratch.append(from: file, at: layout.position(ofEntry: Int(value)), count: IndexLayout.entrySize)
            guard scratch.count == IndexLayout.entrySize,
                layout.slot(ofHash: IndexEntry(scratch.bytes, at: 0).hash) == slot
            else {
                return noteIndex(path, layout.position(ofSlot: slot), "slot \(slot) leads to another slot's entry")
            }
        }
    }

    private func noteIndex(_ path: String, _ position: Int, _ reason: String) {
        isIndexDamaged = true
        note(
            StoreDamage(
                .messageIndex, file: path, position: position,
                meaning: "\(reason); queries by key may miss messages", remedy: "the index is made anew from the log"))
    }
}
