import Base
import Bytes

/// One message queue's list of where its messages lie in the commit log: a view, rebuilt from the log when it is lost.
///
/// Entry *n* is at byte *n* × 20 of a row of files in `consumequeue/<topic>/<queue id>/`, each of `entriesPerFile` entries
/// (``ConsumeQueueEntry``), as long as that from the start (sparse), named by the position of its first byte in 20 digits.
/// New entries gather in a small tail in memory and are written in one piece when it is full or at ``writeTail()``.
///
///                 minimum                  tail start    written      maximum
///     files:   ░░░░░░│███████████████████████████████████████│
///     memory:                                  │█████████████████████████│
///
/// An idle queue has no open file and a few hundred bytes of memory; an empty one has nothing on disk. Owned by one thread.
///
/// - Invariant: minimum ≤ tail start ≤ written ≤ maximum, or minimum lies in the tail when the log has moved past the rest.
/// - Invariant: every offset from minimum to maximum is in the files or in the tail, and physical offsets increase strictly.
public final class ConsumeQueue {
    // What an append looks at comes first, so that it lies in one line of the processor's cache.
    /// Entries from `tailStart` to `maximumOffset` in their form on disk.
    @exclusivity(unchecked) private var tail: UnsafeMutableRawPointer?
    @exclusivity(unchecked) private var tailStart: Int64 = 0
    /// Entries for which `tail` has room.
    @exclusivity(unchecked) private var tailCapacity = 0
    /// One beyond the last offset; the offset that the next message gets.
    @exclusivity(unchecked) public private(set) var maximumOffset = QueueOffset.zero
    /// One beyond the last offset that is in the files' page cache.
    @exclusivity(unchecked) public private(set) var writtenOffset = QueueOffset.zero
    /// A cut did not reach the files: they hold something behind `writtenOffset` that must not be there.
    @exclusivity(unchecked) private var filesNeedCut = false

    /// The first offset that can be read.
    @exclusivity(unchecked) public private(set) var minimumOffset = QueueOffset.zero
    public let directory: String
    private let configuration: ConsumeQueueConfiguration
    private let disk: any Disk
    private let files: OpenFileCache
    /// Names this queue's files in the cache.
    private let owner: Int
    /// The numbers of the files there are: empty means none. A file's number times its length is its name.
    private var fileNumbers: Range<Int64> = 0..<0

    /// The queue held messages when it was loaded, and no file was there that says where they lie. ``destroy()`` ends it.
    private(set) var isLost = false

    /// A queue that knows nothing yet and has done no I/O. Call `load()` unless it is known to be new.
    public init(
        directory: String, configuration: ConsumeQueueConfiguration, disk: any Disk, files: OpenFileCache
    ) {
        self.directory = directory
        self.configuration = configuration
        self.disk = disk
        self.files = files
        owner = files.makeOwner()
    }

    deinit {
        closeFiles()
        tail?.deallocate()
    }

    /// No message can be read.
    public var isEmpty: Bool { minimumOffset == maximumOffset }
    /// Some entries are in memory only, or a cut has not reached the files.
    public var isDirty: Bool { writtenOffset < maximumOffset || filesNeedCut }
    /// Bytes of memory of the tail.
    public var tailMemory: Int { tailCapacity * ConsumeQueueEntry.encodedSize }

    // MARK: - Load

    /// Finds the files and from them minimum and maximum. RocketMQ's directories open as well: a file filled with
    /// ``ConsumeQueueEntry/fill`` at its start begins behind it, and files prepared but never written count as absent.
    ///
    /// Call ``correctMinimum(logStart:)`` next: how far the log was cut at its front is not written in these files.
    /// - Parameter replayStart: after an unclean stop, the offset from which the log is going to be replayed: the last
    ///   entries and the names of the last files may be torn or lost then, and all from this offset on is removed as by
    ///   ``truncate(from:)``. Nil after a clean stop, when a missing file is an error.
    /// - Parameter maximum: where the queue ended when the last checkpoint was made, which is where the replay begins, when that
    ///   is known: then the files are not asked, and what they lack reads as blank.
    public func load(
        replayingFrom replayStart: PhysicalOffset? = nil, endingAt maximum: QueueOffset? = nil
    ) throws(ViewError) {
        precondition(maximumOffset == .zero && fileNumbers.isEmpty, "a consume queue is loaded once")
        var rows = try rowsOfFiles()
        do throws(DiskError) {
            if rows.count > 1, let replayStart { try removeStrayFiles(&rows, replayStart) }
        } catch {
            throw .disk(error)
        }
        guard let row = rows.first else {
            if let maximum, maximum > .zero {
                isLost = true
                reset(to: maximum)
            }
            return
        }
        var damaged: Int64?
        guard rows.count == 1 else {
            throw .corrupt(path: directory, position: 0, reason: "no file \(name(of: row.upperBound)), but later ones")
        }
        fileNumbers = row
        do throws(DiskError) {
            if let maximum, maximum.rawValue >= row.lowerBound * Int64(configuration.entriesPerFile) {
                return try end(at: maximum, isCut: replayStart != nil)
            }
            reset(to: try findMaximum())
            minimumOffset = try findMinimum()
            if let replayStart { try truncate(from: replayStart) } else { damaged = try entryBehindMaximum() }
        } catch {
            throw .disk(error)
        }
        if let damaged {
            let location = location(of: QueueOffset(damaged))
            throw .corrupt(
                path: location.file, position: location.position,
                reason: "an entry stands behind the last one, which is \(maximumOffset.rawValue - 1): one of both is "
                    + "damaged; 'apus store repair' makes the queue anew from the log")
        }
    }

    /// Makes the queue end at `maximum`, whatever the files hold.
    /// - Parameter isCut: whether they may hold something behind it.
    private func end(at maximum: QueueOffset, isCut: Bool) throws(DiskError) {
        reset(to: maximum)
        minimumOffset = try findMinimum()
        // A file that is missing is one of blank entries.
        while fileNumbers.upperBound * Int64(configuration.entriesPerFile) < maximum.rawValue {
            let file = try disk.open(path(of: fileNumbers.upperBound), .createIfMissing)
            try file.truncate(to: configuration.fileSize)
            files.insert(file, owner: owner, number: fileNumbers.upperBound)
            fileNumbers = fileNumbers.lowerBound..<fileNumbers.upperBound + 1
        }
        if isCut { try cutFiles() }
    }

    /// An entry behind the maximum, where a clean stop leaves zeros: in the two pages behind it, and in ever larger steps up to
    /// the end of the file. A damaged entry makes bisection end too early.
    private func entryBehindMaximum() throws(DiskError) -> Int64? {
        let perFile = Int64(configuration.entriesPerFile)
        let end = (maximumOffset.rawValue / perFile + 1) * perFile
        guard fileNumbers.contains(maximumOffset.rawValue / perFile) else { return nil }
        let near = min(end, maximumOffset.rawValue + 2 * Self.entriesPerPage)
        if let offset = try firstWritten(maximumOffset.rawValue..<near) { return offset }
        var step = 2 * Self.entriesPerPage
        while maximumOffset.rawValue + step < end {
            let offset = maximumOffset.rawValue + step
            if try entryInFile(offset) != .blank { return offset }
            step *= 2
        }
        return nil
    }

    /// The first of these entries, which lie in one file and fit the read buffer, that is not all zeros.
    private func firstWritten(_ range: Range<Int64>) throws(DiskError) -> Int64? {
        let (number, position) = place(of: QueueOffset(range.lowerBound))
        let size = range.count * ConsumeQueueEntry.encodedSize
        let buffer = UnsafeMutableRawBufferPointer(rebasing: files.readBuffer[..<size])
        let count = try openFile(number).read(into: buffer, at: position)
        guard let index = buffer[..<count].firstIndex(where: { $0 != 0 }) else { return nil }
        return range.lowerBound + Int64(index / ConsumeQueueEntry.encodedSize)
    }

    /// Entries that lie in a page of the page cache, rounded up.
    private static let entriesPerPage: Int64 = 205

    /// The numbers of the files, as rows without gaps.
    private func rowsOfFiles() throws(ViewError) -> [Range<Int64>] {
        let fileSize = Int64(configuration.fileSize)
        let entries: [DirectoryEntry]
        do throws(DiskError) { entries = try disk.list(directory) } catch { throw .disk(error) }
        var rows: [Range<Int64>] = []
        for entry in entries where !entry.isDirectory && entry.name.utf8.count == 20 {
            guard let position = Int64(entry.name), position >= 0 else { continue }
            guard position % fileSize == 0 else {
                throw .corrupt(
                    path: "\(directory)/\(entry.name)", position: 0,
                    reason: "the name is no multiple of the file size \(fileSize)")
            }
            let number = position / fileSize
            if let last = rows.last, last.upperBound == number {
                rows[rows.count - 1] = last.lowerBound..<number + 1
            } else {
                rows.append(number..<number + 1)
            }
        }
        return rows
    }

    /// A power loss can undo the removal of the oldest files and the creation of the newest, and not that of others between.
    /// What counts is the last row that begins with an entry from before the replay.
    private func removeStrayFiles(_ rows: inout [Range<Int64>], _ replayStart: PhysicalOffset) throws(DiskError) {
        var kept: Range<Int64>?
        for row in rows {
            fileNumbers = row
            let first = try entryInFile(row.lowerBound * Int64(configuration.entriesPerFile))
            if !first.isBlank, first.physicalOffset < replayStart { kept = row }
        }
        for row in rows where row != kept {
            fileNumbers = row
            try removeFiles(row)
        }
        rows = kept.map { [$0] } ?? []
    }

    /// One beyond the last entry of the last file that has any. Within a file entries are contiguous from its start.
    private func findMaximum() throws(DiskError) -> QueueOffset {
        for number in fileNumbers.reversed() {
            let start = number * Int64(configuration.entriesPerFile)
            if try entryInFile(start).isBlank { continue }
            let end = start + Int64(configuration.entriesPerFile)
            return QueueOffset(try partition(start..<end) { !$0.isBlank })
        }
        return QueueOffset(fileNumbers.lowerBound * Int64(configuration.entriesPerFile))
    }

    private func findMinimum() throws(DiskError) -> QueueOffset {
        let start = fileNumbers.lowerBound * Int64(configuration.entriesPerFile)
        let end = min(start + Int64(configuration.entriesPerFile), maximumOffset.rawValue)
        return QueueOffset(try partition(start..<end) { $0 == .fill })
    }

    // MARK: - Missing files at the front

    /// Where the record of the oldest entry lies, when files before that entry may have been lost; nil when it is certain that none
    /// was. A file goes when nothing in it leads into the log any more, so the oldest one there is begins with an entry that
    /// does not, or with the queue; that it begins with a living entry is rare.
    func placeBehindMissingFiles(logStart: PhysicalOffset) throws(DiskError) -> PhysicalOffset? {
        let start = fileNumbers.lowerBound * Int64(configuration.entriesPerFile)
        guard fileNumbers.lowerBound > 0, minimumOffset.rawValue == start, !isEmpty else { return nil }
        let entry = try anyEntry(start)
        // A file that ``beginAgain(at:)`` made, before a power cut took the others.
        if entry.isBlank { return PhysicalOffset(.max) }
        return entry.hasRecord && entry.physicalOffset > logStart ? entry.physicalOffset : nil
    }

    /// Makes the queue begin at `first`, with entries that are blank up to where it began: they are damaged, and are made anew
    /// when they are read.
    /// - Precondition: `first` lies before the first file.
    func beginAgain(at first: QueueOffset) throws(DiskError) {
        let perFile = Int64(configuration.entriesPerFile)
        precondition(first.rawValue >= 0 && first.rawValue < fileNumbers.lowerBound * perFile)
        while first.rawValue < fileNumbers.lowerBound * perFile {
            let number = fileNumbers.lowerBound - 1
            let file = try disk.open(path(of: number), .createIfMissing)
            try file.truncate(to: configuration.fileSize)
            if first.rawValue > number * perFile {
                try writeFill(to: file, count: Int(first.rawValue - number * perFile))
            }
            files.insert(file, owner: owner, number: number)
            fileNumbers = number..<fileNumbers.upperBound
        }
        minimumOffset = first
    }

    // MARK: - Append

    /// Adds the entry of the message at `offset`. It is in memory on return.
    ///
    /// An offset below the maximum was dispatched before, as happens when the log is replayed after a crash: an equal entry is
    /// left alone; a different one replaces it and everything behind it, for the log is right and the view is not. A queue
    /// without messages starts at any offset.
    /// - Throws: when a full tail cannot be written. Then nothing has changed: call again with the same entry.
    /// - Precondition: `offset` is not beyond ``maximumOffset``, unless the queue is empty.
    @inlinable
    public func append(_ entry: ConsumeQueueEntry, at offset: QueueOffset) throws(DiskError) {
        if offset != maximumOffset, try !prepareAppend(entry, outOfTurn: offset) { return }
        try appendNext(entry)
    }

    /// Has the memory of the next entry brought near.
    @inline(__always)
    func lookAhead() {
        prefetch(
            tail.map { UnsafeRawPointer($0) + Int(maximumOffset.rawValue - tailStart) * ConsumeQueueEntry.encodedSize })
    }

    @usableFromInline
    func appendNext(_ entry: ConsumeQueueEntry) throws(DiskError) {
        let count = Int(maximumOffset.rawValue - tailStart)
        if count == tailCapacity { return try appendAfterMakingRoom(entry) }
        guard let tail else { preconditionFailure("room in a tail that does not exist") }
        entry.store(to: tail + count * ConsumeQueueEntry.encodedSize)
        maximumOffset.rawValue += 1
    }

    private func appendAfterMakingRoom(_ entry: ConsumeQueueEntry) throws(DiskError) {
        if tailCapacity < configuration.tailEntriesMaximum {
            resizeTail(to: min(max(tailCapacity * 2, 8), configuration.tailEntriesMaximum))
        } else {
            try writeUnwritten()
            // The latter half stays: consumers that keep up read the newest entries, and read them from memory.
            keepTail(entries: configuration.tailEntriesMaximum / 2)
        }
        try appendNext(entry)
    }

    /// - Returns: true when the entry is to be appended, now at the maximum.
    @usableFromInline
    func prepareAppend(_ entry: ConsumeQueueEntry, outOfTurn offset: QueueOffset) throws(DiskError) -> Bool {
        if isEmpty {
            try restart(at: offset)
            return true
        }
        invariant(
            offset < maximumOffset, "\(directory) got offset \(offset) when its maximum offset was \(maximumOffset)")
        guard offset >= minimumOffset, try self.entry(at: offset) != entry else { return false }
        try truncate(to: offset)
        return true
    }

    /// Makes an empty queue continue at another offset.
    private func restart(at offset: QueueOffset) throws(DiskError) {
        try removeFiles(fileNumbers)
        reset(to: offset)
    }

    private func reset(to offset: QueueOffset) {
        minimumOffset = offset
        maximumOffset = offset
        writtenOffset = offset
        tailStart = offset.rawValue
        filesNeedCut = false
    }

    // MARK: - Write

    /// Writes what is in memory only, and gives back memory of the tail beyond a few entries. On return everything is in
    /// the page cache.
    public func writeTail() throws(DiskError) {
        try writeUnwritten()
        let kept = 16
        guard tailCapacity > kept else { return }
        keepTail(entries: kept)
        resizeTail(to: kept)
    }

    private func writeUnwritten() throws(DiskError) {
        if filesNeedCut { try cutFiles() }
        while writtenOffset < maximumOffset, let tail {
            let start = writtenOffset.rawValue
            let number = start / Int64(configuration.entriesPerFile)
            let fileStart = number * Int64(configuration.entriesPerFile)
            let end = min(maximumOffset.rawValue, fileStart + Int64(configuration.entriesPerFile))
            let file = try fileForWriting(number, from: Int(start - fileStart))
            let bytes = UnsafeRawBufferPointer(
                start: tail + Int(start - tailStart) * ConsumeQueueEntry.encodedSize,
                count: Int(end - start) * ConsumeQueueEntry.encodedSize)
            try file.write(bytes.bytes, at: Int(start - fileStart) * ConsumeQueueEntry.encodedSize)
            writtenOffset = QueueOffset(end)
        }
    }

    /// - Parameter position: the entry within the file that is going to be written.
    private func fileForWriting(_ number: Int64, from position: Int) throws(DiskError) -> any DiskFile {
        if fileNumbers.contains(number) { return try openFile(number) }
        let isFirst = fileNumbers.isEmpty
        invariant(
            isFirst || number == fileNumbers.upperBound, "file \(number) of \(directory) does not follow the last")
        if isFirst { try disk.makeDirectory(directory) }
        let file = try disk.open(path(of: number), .createIfMissing)
        try file.truncate(to: configuration.fileSize)
        // Entries of a file are contiguous from its start, so that the last can be found by bisection.
        if isFirst { try writeFill(to: file, count: position) }
        files.insert(file, owner: owner, number: number)
        fileNumbers = (isFirst ? number : fileNumbers.lowerBound)..<number + 1
        return file
    }

    private func writeFill(to file: any DiskFile, count: Int) throws(DiskError) {
        let buffer = files.readBuffer
        guard count > 0, let memory = buffer.baseAddress else { return }
        let perWrite = min(count, buffer.count / ConsumeQueueEntry.encodedSize)
        for index in 0..<perWrite {
            ConsumeQueueEntry.fill.store(to: memory + index * ConsumeQueueEntry.encodedSize)
        }
        var position = 0
        while position < count {
            let size = min(perWrite, count - position) * ConsumeQueueEntry.encodedSize
            try file.write(
                UnsafeRawBufferPointer(start: memory, count: size).bytes, at: position * ConsumeQueueEntry.encodedSize)
            position += perWrite
        }
    }

    // MARK: - Read

    /// What ``read(from:maximumCount:into:)`` found.
    public struct ReadResult: Equatable, Sendable {
        /// Entries filled in.
        public var count: Int
        /// True when the read had to wait for the medium.
        public var isCold: Bool
    }

    /// Fills `entries` with those from `offset` on, as many as there are up to `maximumCount`. Allocates nothing.
    ///
    /// - Returns: a count of 0 when `offset` is outside minimum and maximum. An entry that ``ConsumeQueueEntry/isBlank``
    ///   was lost on disk.
    public func read(
        from offset: QueueOffset, maximumCount: Int, into entries: UnsafeMutableBufferPointer<ConsumeQueueEntry>
    ) throws(DiskError) -> ReadResult {
        var result = ReadResult(count: 0, isCold: false)
        guard offset >= minimumOffset, offset < maximumOffset else { return result }
        let wanted = min(min(maximumCount, entries.count), maximumOffset.messages(since: offset))
        while result.count < wanted {
            let position = offset.rawValue + Int64(result.count)
            let rest = UnsafeMutableBufferPointer(rebasing: entries[result.count..<wanted])
            if position >= tailStart {
                copyFromTail(position, into: rest)
                result.count = wanted
            } else {
                let (count, isCold) = try readFromFile(position, into: rest)
                result.count += count
                result.isCold = result.isCold || isCold
            }
        }
        return result
    }

    /// The entry at `offset`; nil outside minimum and maximum.
    public func entry(at offset: QueueOffset) throws(DiskError) -> ConsumeQueueEntry? {
        guard offset >= minimumOffset, offset < maximumOffset else { return nil }
        return try anyEntry(offset.rawValue)
    }

    /// The entry before the maximum; nil when the queue is empty.
    public var lastEntry: ConsumeQueueEntry? {
        get throws(DiskError) { try isEmpty ? nil : anyEntry(maximumOffset.rawValue - 1) }
    }

    private func anyEntry(_ offset: Int64) throws(DiskError) -> ConsumeQueueEntry {
        if offset >= tailStart, let tail {
            let bytes = UnsafeRawBufferPointer(start: tail, count: Int(maximumOffset.rawValue - tailStart) * 20)
            return ConsumeQueueEntry(bytes.bytes, at: Int(offset - tailStart) * ConsumeQueueEntry.encodedSize)
        }
        return try entryInFile(offset)
    }

    private func copyFromTail(_ offset: Int64, into entries: UnsafeMutableBufferPointer<ConsumeQueueEntry>) {
        guard let tail else { preconditionFailure("entries in a tail that does not exist") }
        let count = Int(maximumOffset.rawValue - tailStart)
        let span = UnsafeRawBufferPointer(start: tail, count: count * ConsumeQueueEntry.encodedSize).bytes
        let first = Int(offset - tailStart)
        for index in 0..<entries.count {
            entries[index] = ConsumeQueueEntry(span, at: (first + index) * ConsumeQueueEntry.encodedSize)
        }
    }

    /// Reads up to the end of one file, the start of the tail, or what the read buffer holds.
    private func readFromFile(
        _ offset: Int64, into entries: UnsafeMutableBufferPointer<ConsumeQueueEntry>
    ) throws(DiskError) -> (count: Int, isCold: Bool) {
        let number = offset / Int64(configuration.entriesPerFile)
        let position = Int(offset - number * Int64(configuration.entriesPerFile))
        let count = min(
            min(entries.count, configuration.entriesPerFile - position),
            min(Int(tailStart - offset), files.readBuffer.count / ConsumeQueueEntry.encodedSize))
        let file = try openFile(number)
        let buffer = UnsafeMutableRawBufferPointer(
            rebasing: files.readBuffer[..<(count * ConsumeQueueEntry.encodedSize)])
        let start = position * ConsumeQueueEntry.encodedSize
        var isCold = false
        var size = try file.readIfCached(into: buffer, at: start)
        if size == nil {
            isCold = true
            size = try file.read(into: buffer, at: start)
        }
        // A file that lost its length in a crash reads as blank entries.
        if let size, size < buffer.count {
            UnsafeMutableRawBufferPointer(rebasing: buffer[size...]).initializeMemory(as: UInt8.self, repeating: 0)
        }
        let span = UnsafeRawBufferPointer(buffer).bytes
        for index in 0..<count {
            entries[index] = ConsumeQueueEntry(span, at: index * ConsumeQueueEntry.encodedSize)
        }
        return (count, isCold)
    }

    private func entryInFile(_ offset: Int64) throws(DiskError) -> ConsumeQueueEntry {
        let number = offset / Int64(configuration.entriesPerFile)
        let position = Int(offset - number * Int64(configuration.entriesPerFile)) * ConsumeQueueEntry.encodedSize
        let buffer = UnsafeMutableRawBufferPointer(rebasing: files.readBuffer[..<ConsumeQueueEntry.encodedSize])
        guard try openFile(number).read(into: buffer, at: position) == buffer.count else { return .blank }
        return ConsumeQueueEntry(UnsafeRawBufferPointer(buffer).bytes, at: 0)
    }

    // MARK: - Search

    /// Entries behind a damaged one that a search by time asks instead.
    static let timeProbesMaximum = 64

    /// The first offset whose message was stored at `timestamp` or later; the minimum when all were, the maximum when none.
    /// Damaged entries just before that offset count as later: their messages may be.
    /// - Parameter storeTime: when the message at an offset was stored; nil when its entry does not lead to it.
    public func offset(
        storedAtOrAfter timestamp: Timestamp, storeTime: (ConsumeQueueEntry, QueueOffset) -> Timestamp?
    ) throws(DiskError) -> QueueOffset {
        var (low, high) = (minimumOffset.rawValue, maximumOffset.rawValue)
        while low < high {
            let middle = low + (high - low) / 2
            var asked = middle
            var time = storeTime(try anyEntry(asked), QueueOffset(asked))
            while time == nil, asked + 1 < high, asked - middle < Self.timeProbesMaximum {
                asked += 1
                time = storeTime(try anyEntry(asked), QueueOffset(asked))
            }
            if let time, time < timestamp { low = asked + 1 } else { high = middle }
        }
        return QueueOffset(low)
    }

    /// The first offset in `range` for which `isBefore` is false, when it is true up to there and false behind.
    private func partition(
        _ range: Range<Int64>, _ isBefore: (ConsumeQueueEntry) -> Bool
    ) throws(DiskError) -> Int64 {
        var (low, high) = (range.lowerBound, range.upperBound)
        while low < high {
            let middle = low + (high - low) / 2
            if isBefore(try anyEntry(middle)) { low = middle + 1 } else { high = middle }
        }
        return low
    }

    // MARK: - Replace

    /// Puts an entry in the place of a damaged one. On return it is in the page cache, or in memory where that one was.
    /// - Precondition: `offset` lies between minimum and maximum.
    func replace(_ entry: ConsumeQueueEntry, at offset: QueueOffset) throws(DiskError) {
        precondition(offset >= minimumOffset && offset < maximumOffset, "\(directory) has no entry at \(offset)")
        if offset < writtenOffset, let memory = files.readBuffer.baseAddress {
            entry.store(to: memory)
            let bytes = UnsafeRawBufferPointer(start: memory, count: ConsumeQueueEntry.encodedSize)
            let (number, position) = place(of: offset)
            try openFile(number).write(bytes.bytes, at: position)
        }
        if offset.rawValue >= tailStart, let tail {
            entry.store(to: tail + Int(offset.rawValue - tailStart) * ConsumeQueueEntry.encodedSize)
        }
    }

    /// The file, and the byte in it, where the entry at `offset` lies or will lie: for people.
    func location(of offset: QueueOffset) -> (file: String, position: Int) {
        let (number, position) = place(of: offset)
        return (path(of: number), position)
    }

    private func place(of offset: QueueOffset) -> (number: Int64, position: Int) {
        let number = offset.rawValue / Int64(configuration.entriesPerFile)
        let index = Int(offset.rawValue - number * Int64(configuration.entriesPerFile))
        return (number, index * ConsumeQueueEntry.encodedSize)
    }

    // MARK: - Cut

    /// Removes every entry whose record begins at or beyond `end`, in memory and in the files, and whatever a crash left
    /// behind the last entry. Call it for every queue after an unclean stop, with the offset from which the log is replayed.
    ///
    /// Entries before `end` were durable when the checkpoint was written; pages behind them may have been lost one by one, so
    /// that blank, torn and whole entries alternate there. Bisection ends at some boundary; a look back over more than
    /// a page then shows whether it was the right one.
    public func truncate(from end: PhysicalOffset) throws(DiskError) {
        guard !fileNumbers.isEmpty || isDirty else { return }
        let minimum = minimumOffset.rawValue
        func isKept(_ entry: ConsumeQueueEntry) -> Bool { !entry.isBlank && entry.physicalOffset < end }
        var kept = try partition(minimum..<maximumOffset.rawValue, isKept)
        // 4096 / 20 entries lie in a page; a run of twice as many good ones cannot be made of torn ones.
        var seen: Int64 = 0
        var next = end
        var offset = kept - 1
        while offset >= minimum, seen < 410 {
            let entry = try anyEntry(offset)
            if isKept(entry), entry.physicalOffset < next {
                seen += 1
                next = entry.physicalOffset
            } else {
                kept = offset
                seen = 0
                next = end
            }
            offset -= 1
        }
        try truncate(to: QueueOffset(kept))
    }

    /// Removes the entries from `offset` on, in memory and on disk.
    private func truncate(to offset: QueueOffset) throws(DiskError) {
        maximumOffset = offset
        writtenOffset = min(writtenOffset, offset)
        tailStart = min(tailStart, offset.rawValue)
        minimumOffset = min(minimumOffset, offset)
        filesNeedCut = true
        try cutFiles()
    }

    /// Makes everything in the files behind ``writtenOffset`` read as blank, whatever it was.
    private func cutFiles() throws(DiskError) {
        let offset = writtenOffset.rawValue
        let number = offset / Int64(configuration.entriesPerFile)
        let position = Int(offset - number * Int64(configuration.entriesPerFile))
        // A file without entries goes, unless it is the only one: its name keeps the offset.
        let firstRemoved = max(position == 0 ? number : number + 1, fileNumbers.lowerBound + 1)
        if firstRemoved < fileNumbers.upperBound { try removeFiles(firstRemoved..<fileNumbers.upperBound) }
        if fileNumbers.contains(number) {
            let file = try openFile(number)
            try file.truncate(to: position * ConsumeQueueEntry.encodedSize)
            try file.truncate(to: configuration.fileSize)
        }
        filesNeedCut = false
    }

    /// Raises the minimum to the first entry whose record the commit log still has, and removes files wholly below it. The
    /// last file stays, so that the maximum survives a restart.
    /// - Parameter logStart: the first byte of the commit log.
    public func correctMinimum(logStart: PhysicalOffset) throws(DiskError) {
        guard !isEmpty, logStart > .zero else { return }
        var found = try partition(minimumOffset.rawValue..<maximumOffset.rawValue) { $0.physicalOffset < logStart }
        if try !isBoundary(found, logStart) { found = try firstLiving(logStart) }
        guard found > minimumOffset.rawValue else { return }
        minimumOffset = QueueOffset(found)
        let number = minimumOffset.rawValue / Int64(configuration.entriesPerFile)
        let firstKept = min(number, fileNumbers.upperBound - 1)
        if firstKept > fileNumbers.lowerBound { try removeFiles(fileNumbers.lowerBound..<firstKept) }
    }

    /// Whether the two entries before `offset` have gone with the log, and the two from it on have not: bisection may have met a
    /// damaged entry.
    private func isBoundary(_ offset: Int64, _ logStart: PhysicalOffset) throws(DiskError) -> Bool {
        for near in max(offset - 2, minimumOffset.rawValue)..<min(offset + 2, maximumOffset.rawValue) {
            let entry = try anyEntry(near)
            guard !entry.isBlank, entry.physicalOffset >= .zero, (entry.physicalOffset < logStart) == (near < offset)
            else { return false }
        }
        return true
    }

    /// The offset behind the last entry that has gone with the log, entry by entry. What is damaged there counts as living.
    private func firstLiving(_ logStart: PhysicalOffset) throws(DiskError) -> Int64 {
        var first = minimumOffset.rawValue
        var living = 0
        var last = PhysicalOffset.zero
        for offset in minimumOffset.rawValue..<maximumOffset.rawValue {
            let entry = try anyEntry(offset)
            guard !entry.isBlank, entry.physicalOffset >= last else { continue }
            if entry.physicalOffset >= logStart {
                living += 1
                if living == 2 { break }
            } else {
                living = 0
                first = offset + 1
                last = entry.physicalOffset
            }
        }
        return first
    }

    /// Removes the files and their folder. The queue is then as new, and starts at 0 or wherever the first entry says.
    public func destroy() throws(DiskError) {
        try removeFiles(fileNumbers)
        // Whatever else is there: a file that was made and could not be prepared.
        for entry in try disk.list(directory) { try disk.remove("\(directory)/\(entry.name)") }
        if disk.exists(directory) { try disk.remove(directory) }
        reset(to: .zero)
        isLost = false
        resizeTail(to: 0)
    }

    // MARK: - Tail memory

    /// Forgets all entries in memory but the last ones; all are written.
    private func keepTail(entries kept: Int) {
        let count = Int(maximumOffset.rawValue - tailStart)
        guard let tail, count > kept else { return }
        invariant(writtenOffset == maximumOffset, "\(directory) forgets entries that are not written")
        let dropped = count - kept
        // SAFETY: both ranges lie within the `count` entries of the tail; copyMemory allows them to overlap.
        tail.copyMemory(
            from: tail + dropped * ConsumeQueueEntry.encodedSize, byteCount: kept * ConsumeQueueEntry.encodedSize)
        tailStart += Int64(dropped)
    }

    /// - Parameter capacity: room in entries, at least as many as there are.
    private func resizeTail(to capacity: Int) {
        let count = Int(maximumOffset.rawValue - tailStart)
        precondition(count <= capacity)
        var resized: UnsafeMutableRawPointer?
        if capacity > 0 {
            // SAFETY: owned by this queue; freed at the next resize or in deinit.
            let memory = UnsafeMutableRawPointer.allocate(
                byteCount: capacity * ConsumeQueueEntry.encodedSize, alignment: 8)
            if let tail { memory.copyMemory(from: tail, byteCount: count * ConsumeQueueEntry.encodedSize) }
            resized = memory
        }
        tail?.deallocate()
        tail = resized
        tailCapacity = capacity
    }

    // MARK: - Files

    private func openFile(_ number: Int64) throws(DiskError) -> any DiskFile {
        if let file = files.find(owner: owner, number: number) { return file }
        let file = try disk.open(path(of: number), .existing)
        files.insert(file, owner: owner, number: number)
        return file
    }

    private func removeFiles(_ numbers: Range<Int64>) throws(DiskError) {
        // From the front when the front goes, else from the back: a failure in between leaves a row without a gap.
        let fromFront = numbers.lowerBound == fileNumbers.lowerBound
        while !numbers.isEmpty, fileNumbers.overlaps(numbers) {
            let number = fromFront ? fileNumbers.lowerBound : fileNumbers.upperBound - 1
            files.remove(owner: owner, number: number)
            try disk.remove(path(of: number))
            if fromFront {
                fileNumbers = number + 1..<fileNumbers.upperBound
            } else {
                fileNumbers = fileNumbers.lowerBound..<number
            }
        }
    }

    private func closeFiles() {
        for number in fileNumbers { files.remove(owner: owner, number: number) }
    }

    private func path(of number: Int64) -> String { "\(directory)/\(name(of: number))" }

    /// The position of the file's first byte in 20 digits.
    private func name(of number: Int64) -> String {
        let digits = String(number * Int64(configuration.fileSize))
        return String(repeating: "0", count: max(0, 20 - digits.utf8.count)) + digits
    }
}
