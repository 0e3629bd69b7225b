import Base
import Bytes
import Glibc

/// Filling a file. The order of writes is what a crash relies on:
///
/// 1. entries, whenever the pending ones are full and before any slot is written;
/// 2. slots, page by page, in as many calls as the caller's budget takes;
/// 3. the header as it was when the sweep over the slots began.
///
/// After a kill of the process the file holds every write that was issued, so: each entry that the header counts is there and
/// its slot leads to it (2 before 3); a slot may lead to an entry that the header does not count, and that entry is there as
/// well (1 before 2), so its chain leads to those that count. See `IndexFile+Recovery.swift` for what is made of that.
extension IndexFile {
    /// Pages of header and slots.
    private var pageCount: Int { (layout.slotsEnd + PageSet.pageSize - 1) / PageSet.pageSize }

    /// True until everything put is in the file, header included.
    var isDirty: Bool { header != writtenHeader || sweep != nil || needsRepair || !dirtyPages.isEmpty }

    /// Makes room for entries and brings the slots into memory.
    /// - Parameter pendingMaximum: entries to gather.
    func prepareWriting(pendingMaximum: Int) throws(DiskError) {
        if image == nil {
            try loadSlots()
            // A crash may have come between making the file and giving it its length.
            if try open().size() < layout.fileSize { try open().truncate(to: layout.fileSize) }
        }
        if pending == nil { pending = malloc(pendingMaximum * IndexLayout.entrySize) }
        guard pending != nil else { preconditionFailure("out of memory") }
    }

    /// True when ``put(hash:physicalOffset:timestamp:)`` may be called.
    @inline(__always)
    func isReady(pendingMaximum: Int) -> Bool {
        image != nil && pending != nil && !isFull && pendingCount < pendingMaximum
    }

    /// Memory for header and slots, all 0.
    func makeImage() -> UnsafeMutableRawPointer {
        guard let memory = calloc(pageCount, PageSet.pageSize) else { preconditionFailure("out of memory") }
        dirtyPages = PageSet(count: pageCount)
        return memory
    }

    /// Adds an entry, in memory. The caller has made sure that the file is not full and that the pending entries have room.
    @inline(__always)
    func put(hash: Int32, physicalOffset: PhysicalOffset, timestamp: Timestamp) {
        guard let image, let pending, !isFull else { preconditionFailure("an index file was not ready to be written") }
        let position = layout.position(ofSlot: layout.slot(ofHash: hash))
        let previous = Int32(bigEndian: image.load(fromByteOffset: position, as: Int32.self))
        var header = header
        let number = header.nextEntry
        if header.isEmpty {
            header.beginTimestamp = timestamp.milliseconds
            header.beginOffset = physicalOffset.rawValue
        }
        let seconds = (timestamp.milliseconds &- header.beginTimestamp) / 1000
        let entry = IndexEntry(
            hash: hash, physicalOffset: physicalOffset.rawValue,
            seconds: header.beginTimestamp <= 0 ? 0 : Int32(clamping: max(seconds, 0)), previous: previous)
        entry.store(to: pending + (Int(number) - pendingStart) * IndexLayout.entrySize)
        image.storeBytes(of: number.bigEndian, toByteOffset: position, as: Int32.self)
        dirtyPages.insert(position / PageSet.pageSize)
        if previous == 0 { header.slotsInUse &+= 1 }
        header.nextEntry = number + 1
        header.endOffset = physicalOffset.rawValue
        header.endTimestamp = timestamp.milliseconds
        self.header = header
    }

    /// Adds entries as ``put(hash:physicalOffset:timestamp:)`` does, as many as there is room for.
    /// - Returns: how many.
    func put(_ keys: ArraySlice<HashedKey>, pendingMaximum: Int) -> Int {
        let count = min(keys.count, pendingMaximum - pendingCount, layout.entryCount - entriesEnd)
        for key in keys.prefix(count) {
            put(hash: key.hash, physicalOffset: key.physicalOffset, timestamp: key.storeTimestamp)
        }
        return count
    }

    var pendingCount: Int { entriesEnd - pendingStart }

    func writePending() throws(DiskError) {
        guard pendingCount > 0, let pending else { return }
        let bytes = UnsafeRawBufferPointer(start: pending, count: pendingCount * IndexLayout.entrySize)
        try open().write(bytes.bytes, at: layout.position(ofEntry: pendingStart))
        pendingStart = entriesEnd
    }

    /// Continues the write-back, or begins one.
    /// - Parameter budget: bytes that may still be written; lowered by those that were. Entries are written in any case.
    /// - Returns: true when everything put before the write-back began is in the file.
    func writeBack(budget: inout Int) throws(DiskError) -> Bool {
        guard isDirty else { return true }
        if needsRepair { try loadSlots() }
        try writePending()
        let target = sweep?.header ?? header
        var page = sweep?.page ?? 0
        sweep = (target, page)
        while let run = dirtyPages.run(from: page, maximumCount: (max(budget, 1) - 1) / PageSet.pageSize + 1) {
            guard budget > 0 else { return false }
            try writeSlots(run)
            dirtyPages.remove(run)
            page = run.upperBound
            sweep = (target, page)
            budget -= run.count * PageSet.pageSize
        }
        try write(target)
        coveredOffset = target.endOffset
        sweep = nil
        return true
    }

    private func writeSlots(_ pages: Range<Int>) throws(DiskError) {
        guard let image else { preconditionFailure("dirty slots that are not in memory") }
        let start = max(pages.lowerBound * PageSet.pageSize, IndexLayout.headerSize)
        let end = min(pages.upperBound * PageSet.pageSize, layout.slotsEnd)
        try open().write(UnsafeRawBufferPointer(start: image + start, count: end - start).bytes, at: start)
    }

    private func write(_ header: IndexHeader) throws(DiskError) {
        let bytes = UnsafeMutableRawBufferPointer(rebasing: files.readBuffer[..<IndexLayout.headerSize])
        guard let memory = bytes.baseAddress else { return }
        header.store(to: memory)
        try open().write(UnsafeRawBufferPointer(bytes).bytes, at: 0)
        writtenHeader = header
    }

    /// Gives back the memory of a file that is full and written.
    func seal() {
        invariant(!isDirty, "\(path) sealed before it was written")
        free(image)
        free(pending)
        image = nil
        pending = nil
        dirtyPages = PageSet(count: 0)
    }
}
