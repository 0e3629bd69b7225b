import Base
import Bytes
import Glibc

/// One file of the message index (``IndexLayout`` draws it), read in place; ``IndexFile/put(hash:physicalOffset:timestamp:)``
/// and the recovery of a torn file are in files of their own.
///
/// A file that is written keeps its slots and newest entries in memory, never in a writable mapping: an error of the medium
/// must be an error, not a signal. Without them a file costs nothing but this object.
final class IndexFile {
    /// The file's name as a number, by which files are ordered.
    let number: Int64
    let path: String
    let layout: IndexLayout
    private let disk: any Disk
    let files: OpenFileCache
    private let owner: Int

    /// What readers go by: covers entries in memory, too.
    @exclusivity(unchecked) var header: IndexHeader
    /// The header as it is in the file.
    var writtenHeader: IndexHeader
    /// The physical offset of the last entry of which header and slots are in the file; nil when there is none.
    var coveredOffset: Int64?
    /// The first bytes of the file, header and slots, as they are to be on disk. The header's place is not used. From
    /// calloc, so pages that were never touched cost nothing.
    @exclusivity(unchecked) var image: UnsafeMutableRawPointer?
    /// The pages of `image` that differ from the file.
    @exclusivity(unchecked) var dirtyPages = PageSet(count: 0)
    /// The entries from `pendingStart` to the last, in their form on disk: not in the file yet.
    @exclusivity(unchecked) var pending: UnsafeMutableRawPointer?
    @exclusivity(unchecked) var pendingStart: Int
    /// A write-back under way: the header that ends it, and the next page to look at.
    var sweep: (header: IndexHeader, page: Int)?
    /// Entries removed by recovery make slots in the file wrong until they are written again.
    var needsRepair = false
    /// Whether the repair may follow entries that do not count.
    var isCacheIntact = false

    init(
        number: Int64, path: String, layout: IndexLayout, header: IndexHeader, disk: any Disk, files: OpenFileCache,
        owner: Int
    ) {
        self.number = number
        self.path = path
        self.layout = layout
        self.header = header
        self.disk = disk
        self.files = files
        self.owner = owner
        writtenHeader = header
        coveredOffset = header.isEmpty ? nil : header.endOffset
        pendingStart = Int(header.nextEntry)
    }

    deinit {
        files.remove(owner: owner, number: number)
        free(image)
        free(pending)
    }

    /// The entries, and the place 0 that is never used.
    var entriesEnd: Int { Int(header.nextEntry) }
    var isFull: Bool { entriesEnd >= layout.entryCount }

    func open() throws(DiskError) -> any DiskFile {
        if let file = files.find(owner: owner, number: number) { return file }
        let file = try disk.open(path, .existing)
        files.insert(file, owner: owner, number: number)
        return file
    }

    func remove() throws(DiskError) {
        files.remove(owner: owner, number: number)
        try disk.remove(path)
    }

    // MARK: - Read

    /// Adds the physical offsets of the records with this hash, newest first, until there are `maximumCount`.
    ///
    /// Times have a resolution of one second, rounded down, as in RocketMQ: a record stored in the second in which `begin`
    /// lies may be missed.
    func select(
        hash: Int32, from begin: Int64, to end: Int64, maximumCount: Int, into offsets: inout [PhysicalOffset]
    ) throws(DiskError) {
        var number = try newestEntry(ofSlot: layout.slot(ofHash: hash))
        while number > 0, number < entriesEnd, offsets.count < maximumCount {
            let entry = try entry(number)
            let time = header.beginTimestamp &+ Int64(entry.seconds) * 1000
            if entry.hash == hash, time >= begin, time <= end { offsets.append(PhysicalOffset(entry.physicalOffset)) }
            // Older entries of a slot have lower numbers; anything else is damage, and following it might never end.
            guard entry.seconds >= 0, time >= begin, entry.previous < number else { return }
            number = Int(entry.previous)
        }
    }

    private func newestEntry(ofSlot slot: Int) throws(DiskError) -> Int {
        if needsRepair { try loadSlots() }
        let position = layout.position(ofSlot: slot)
        if let image { return Int(Int32(bigEndian: image.load(fromByteOffset: position, as: Int32.self))) }
        return try read(at: position, count: IndexLayout.slotSize) { Int($0.bigEndian(at: 0, as: Int32.self)) } ?? 0
    }

    /// - Precondition: `number` is that of an entry.
    func entry(_ number: Int) throws(DiskError) -> IndexEntry {
        if number >= pendingStart, let pending {
            let bytes = UnsafeRawBufferPointer(
                start: pending, count: (entriesEnd - pendingStart) * IndexLayout.entrySize)
            return IndexEntry(bytes.bytes, at: (number - pendingStart) * IndexLayout.entrySize)
        }
        return try read(at: layout.position(ofEntry: number), count: IndexLayout.entrySize) { IndexEntry($0, at: 0) }
            ?? IndexEntry(hash: -1, physicalOffset: -1, seconds: -1, previous: -1)
    }

    /// What `body` makes of `count` bytes of the file; nil when the file ends before.
    private func read<T>(at position: Int, count: Int, _ body: (RawSpan) -> T) throws(DiskError) -> T? {
        let buffer = UnsafeMutableRawBufferPointer(rebasing: files.readBuffer[..<count])
        guard try open().read(into: buffer, at: position) == count else { return nil }
        return body(UnsafeRawBufferPointer(buffer).bytes)
    }

    /// Calls `body` with each entry of `range` that is in the file, in ascending order; it returns false to stop.
    func forEachWrittenEntry(
        in range: Range<Int>, _ body: (Int, IndexEntry) -> Bool
    ) throws(DiskError) {
        let file = try open()
        let perRead = files.readBuffer.count / IndexLayout.entrySize
        var number = range.lowerBound
        while number < range.upperBound {
            let count = min(perRead, range.upperBound - number)
            let buffer = UnsafeMutableRawBufferPointer(
                rebasing: files.readBuffer[..<(count * IndexLayout.entrySize)])
            let size = try file.read(into: buffer, at: layout.position(ofEntry: number))
            let span = UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(buffer)[..<size]).bytes
            for index in 0..<size / IndexLayout.entrySize {
                guard body(number + index, IndexEntry(span, at: index * IndexLayout.entrySize)) else { return }
            }
            if size < buffer.count { return }
            number += count
        }
    }
}
