import Base
import Bytes
import Glibc

/// After an unclean stop. The log is replayed from a checkpoint: all that was put before it was durable then, entries, slots
/// and a header that counts them. What was written later may be there or not, page by page after a power loss. So entries
/// from the replay's start on are not counted any more, and slots that lead to them are led back to older ones.
///
/// When only the process was killed, every write is in the page cache: the entries beyond the count are whole, and the first of
/// them in a slot knows the newest that counts. After a power loss nothing among them can be believed (an entry on the
/// border of two sectors may have its hash and not its `previous`), and the slots are made anew from the entries that count.
extension IndexFile {
    /// Stops counting entries of records at or beyond `end`, and whatever a crash left behind them. The file is repaired in
    /// memory when it is written or read next.
    /// - Parameter isCacheIntact: true when no write of before was lost; see above.
    func truncate(from end: PhysicalOffset, isCacheIntact: Bool) throws(DiskError) {
        try writePending()
        let kept = try countKept(end)
        // A write of the header that failed halfway may have left an end that belongs to another count.
        if kept < entriesEnd || header.endOffset >= end.rawValue { try setEntriesEnd(kept) }
        sweep = nil
        coveredOffset = coveredOffset.map { min($0, header.endOffset) }
        needsRepair = true
        self.isCacheIntact = isCacheIntact
        if image != nil { try loadSlots() }
    }

    /// One beyond the last entry whose record lies before `end`.
    ///
    /// Looks backwards for a run of good entries that is longer than a page: a torn page boundary can make one entry look
    /// good by chance, but not so many in order.
    private func countKept(_ end: PhysicalOffset) throws(DiskError) -> Int {
        var kept = min(entriesEnd, layout.entryCount)
        var next = end.rawValue - 1
        var number = kept - 1
        while number >= 1, kept - number <= 410 {
            let entry = try entry(number)
            if entry.isPlausible(as: number), entry.physicalOffset <= next {
                next = entry.physicalOffset
            } else {
                kept = number
                next = end.rawValue - 1
            }
            number -= 1
        }
        return max(kept, 1)
    }

    private func setEntriesEnd(_ end: Int) throws(DiskError) {
        header.nextEntry = Int32(truncatingIfNeeded: end)
        pendingStart = end
        guard end > 1 else { return header = IndexHeader() }
        let last = try entry(end - 1)
        header.endOffset = last.physicalOffset
        // The entry knows its second only; RocketMQ compares this with the begin of a query, so it must not be too small.
        header.endTimestamp = min(
            header.endTimestamp, header.beginTimestamp &+ Int64(last.seconds) * 1000 &+ 999)
    }

    /// Brings the slots into memory. Those that lead beyond the entries that count are led back.
    func loadSlots() throws(DiskError) {
        let memory = image ?? makeImage()
        do throws(DiskError) {
            if image == nil {
                // A short file, and one that is new, reads as unused slots.
                let buffer = UnsafeMutableRawBufferPointer(
                    start: memory + IndexLayout.headerSize, count: layout.slotsEnd - IndexLayout.headerSize)
                _ = try open().read(into: buffer, at: IndexLayout.headerSize)
            }
            try repairSlots(memory)
            if needsRepair { try wipe() }
        } catch {
            if image == nil { free(memory) }
            throw error
        }
        image = memory
        needsRepair = false
    }

    /// Makes what lies behind the last entry read as nothing, so that no later repair meets it.
    private func wipe() throws(DiskError) {
        let file = try open()
        try file.truncate(to: min(layout.position(ofEntry: entriesEnd), layout.fileSize))
        try file.truncate(to: layout.fileSize)
    }

    private func repairSlots(_ memory: UnsafeMutableRawPointer) throws(DiskError) {
        let end = Int32(truncatingIfNeeded: entriesEnd)
        let slots = UnsafeRawPointer(memory + IndexLayout.headerSize)
        var beyondCount: Int32 = 0
        var highest = end
        var lowest: Int32 = 0
        // A file has five million slots, and the loop waits for this. Nothing in it can end it early or trap, so that the compiler
        // looks at many at a time.
        for slot in 0..<layout.slotCount {
            let value = Int32(bigEndian: slots.load(fromByteOffset: slot &* IndexLayout.slotSize, as: Int32.self))
            beyondCount &+= value >= end ? 1 : 0
            highest = max(highest, value)
            lowest = min(lowest, value)
        }
        if lowest < 0 { return try rebuildSlots(memory) }
        var beyond = Int(beyondCount)
        guard beyond > 0 || needsRepair else { return }
        if beyond > 0, isCacheIntact { try leadBack(memory, &beyond, highest: Int(highest)) }
        if beyond > 0 { return try rebuildSlots(memory) }
        countSlotsInUse(memory)
    }

    /// The first entry beyond those that count leads, in each slot, to the newest that counts. One pass over them, in order,
    /// finds it for all slots; `beyond` is then 0.
    private func leadBack(_ memory: UnsafeMutableRawPointer, _ beyond: inout Int, highest: Int) throws(DiskError) {
        let end = entriesEnd
        var left = beyond
        try forEachWrittenEntry(in: end..<min(highest + 1, layout.entryCount)) { number, entry in
            guard entry.isPlausible(as: number) else { return left > 0 }
            let slot = layout.slot(ofHash: entry.hash)
            guard slotValue(memory, slot) >= end, Int(entry.previous) < end else { return true }
            setSlot(memory, slot, entry.previous)
            left -= 1
            return left > 0
        }
        beyond = left
    }

    /// Makes the slots anew from the entries. About 10 ns an entry when they are cached.
    private func rebuildSlots(_ memory: UnsafeMutableRawPointer) throws(DiskError) {
        memset(memory + IndexLayout.headerSize, 0, layout.slotsEnd - IndexLayout.headerSize)
        for page in 0..<dirtyPages.count { dirtyPages.insert(page) }
        let layout = self.layout
        try forEachWrittenEntry(in: 1..<entriesEnd) { number, entry in
            if entry.hash >= 0 {
                memory.storeBytes(
                    of: Int32(truncatingIfNeeded: number).bigEndian,
                    toByteOffset: layout.position(ofSlot: layout.slot(ofHash: entry.hash)), as: Int32.self)
            }
            return true
        }
        countSlotsInUse(memory)
    }

    private func countSlotsInUse(_ memory: UnsafeMutableRawPointer) {
        var count: Int32 = 0
        for slot in 0..<layout.slotCount where slotValue(memory, slot) != 0 { count += 1 }
        header.slotsInUse = count
    }

    private func slotValue(_ memory: UnsafeMutableRawPointer, _ slot: Int) -> Int32 {
        Int32(bigEndian: memory.load(fromByteOffset: layout.position(ofSlot: slot), as: Int32.self))
    }

    private func setSlot(_ memory: UnsafeMutableRawPointer, _ slot: Int, _ value: Int32) {
        let position = layout.position(ofSlot: slot)
        memory.storeBytes(of: value.bigEndian, toByteOffset: position, as: Int32.self)
        dirtyPages.insert(position / PageSet.pageSize)
    }
}
