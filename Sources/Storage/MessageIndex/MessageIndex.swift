import Base
import Bytes

/// Finds messages by topic, key and time: a view of the log in RocketMQ's index files (``IndexLayout``), rebuilt from the log
/// when it is lost.
///
/// Every unique key and every user key of a message is one entry. Entries go to the last file until it is full; a full file is
/// written to the end and never changed again. New entries and the slots of the last file are in memory until
/// ``writeBack(maximumBytes:)`` has brought them to the files, piece by piece so that the event loop is not held up.
///
/// Owned by one thread. Until the first insert nothing but a header per file is in memory; afterwards 4 bytes a slot (20 MB
/// with RocketMQ's sizes), twice that while a full file is being written.
public final class MessageIndex {
    public let directory: String
    private let configuration: MessageIndexConfiguration
    private let disk: any Disk
    private let openFiles: OpenFileCache
    private let owner: Int
    /// All files that can be read, oldest first.
    @exclusivity(unchecked) private var files: [IndexFile] = []
    /// How many of the last files are or may be written: the last one while it has room, and full ones before it that are not
    /// written to the end yet.
    @exclusivity(unchecked) private var writableCount = 0
    /// The record that the index ended with when it was loaded, and the hashes of it that are there already: a replay may
    /// bring it again, and a crash or a full file may have come between its keys.
    @exclusivity(unchecked) private var loadedOffset = PhysicalOffset(-1)
    private var loadedHashes: [Int32] = []
    /// Keys that are inserted and not put yet: while one waits for the others, the processor fetches its slot.
    @exclusivity(unchecked) private var waiting: [HashedKey] = []
    /// The slots to which the keys that wait will go: where to look ahead, and nothing more.
    @exclusivity(unchecked) private var aheadImage: UnsafeRawPointer?
    @exclusivity(unchecked) private var aheadLayout: IndexLayout
    /// Keys that wait for each other: enough that a slot has come from memory (some 100 ns) when its key is put.
    private static let waitingMaximum = 32
    /// Names of files that are no index files, or of an unknown layout. They are neither read nor touched.
    public private(set) var ignoredFiles: [String] = []

    /// An index that knows nothing yet and has done no I/O. Call `load(replayingFrom:)` unless it is known to be new.
    public init(
        directory: String, configuration: MessageIndexConfiguration, disk: any Disk, files: OpenFileCache
    ) {
        self.directory = directory
        self.configuration = configuration
        self.disk = disk
        openFiles = files
        owner = files.makeOwner()
        aheadLayout = configuration.layout
        waiting.reserveCapacity(Self.waitingMaximum)
    }

    public var fileCount: Int { files.count }
    /// Physical offset and store timestamp of the last record with a key; nil when there is none.
    public var last: (physicalOffset: PhysicalOffset, storeTimestamp: Timestamp)? {
        if let key = waiting.last { return (key.physicalOffset, key.storeTimestamp) }
        guard let header = files.last(where: { !$0.header.isEmpty })?.header else { return nil }
        return (PhysicalOffset(header.endOffset), Timestamp(milliseconds: header.endTimestamp))
    }

    // MARK: - Load

    /// Finds the files and reads their headers.
    /// - Parameter replayStart: after an unclean stop, the offset from which the log is going to be replayed; entries of
    ///   records from there on are removed. Nil after a clean stop.
    /// - Parameter isCacheIntact: true when the machine has not been started since the unclean stop, so that every write is
    ///   there. It saves a pass over the entries of the last file: about a second when it is full.
    public func load(
        replayingFrom replayStart: PhysicalOffset? = nil, isCacheIntact: Bool = false
    ) throws(ViewError) {
        precondition(files.isEmpty, "an index is loaded once")
        do throws(DiskError) {
            for entry in try disk.list(directory) where !entry.isDirectory { try loadFile(entry.name) }
            if let replayStart { try truncate(from: replayStart, isCacheIntact: isCacheIntact) }
            if let last = files.last, writableCount == 0, !last.isFull, last.layout == configuration.layout {
                writableCount = 1
            }
            try rememberLast()
        } catch {
            throw .disk(error)
        }
    }

    private func loadFile(_ name: String) throws(DiskError) {
        // RocketMQ reads any name as a number; a sign or a leading zero would let two names be one.
        guard let number = Int64(name), number > 0, String(number) == name else { return ignoredFiles.append(name) }
        let path = "\(directory)/\(name)"
        let file = try disk.open(path, .existing)
        let size = try file.size()
        var bytes: [UInt8] = Array(repeating: 0, count: IndexLayout.headerSize)
        // A closure of a generic function does not carry a typed error, hence the result.
        let result = bytes.withUnsafeMutableBytes { buffer in
            Result { () throws(DiskError) in try file.read(into: buffer, at: 0) }
        }
        _ = try result.get()
        let header = IndexHeader(bytes.span.bytes)
        guard let layout = try layout(of: file, size: size, header: header) else { return ignoredFiles.append(name) }
        file.close()
        files.append(
            IndexFile(
                number: number, path: path, layout: layout, header: header, disk: disk, files: openFiles, owner: owner))
    }

    /// Which layout a file has, by its length. Somebody may have changed the configuration since it was written: then
    /// RocketMQ's defaults, and its proportion of four entries to a slot, are tried on some entries.
    private func layout(of file: any DiskFile, size: Int, header: IndexHeader) throws(DiskError) -> IndexLayout? {
        if size == configuration.layout.fileSize { return configuration.layout }
        // A crash may come between making a file and giving it its length; then it has no entries.
        if header.isEmpty { return size < configuration.layout.fileSize ? configuration.layout : nil }
        // A repair cuts the file and gives it its length again; a crash may have come in between.
        if size < configuration.layout.fileSize, size >= configuration.layout.slotsEnd,
            try fits(configuration.layout, file, header, size: size)
        {
            return configuration.layout
        }
        let body = size - IndexLayout.headerSize
        let proportional = body % 84 == 0 ? [IndexLayout(slotCount: body / 84, entryCount: body / 84 * 4)] : []
        for layout in [MessageIndexConfiguration().layout] + proportional
        where layout.fileSize == size && layout.slotCount > 0 {
            if try fits(layout, file, header, size: size) { return layout }
        }
        return nil
    }

    /// Whether the slots of the oldest entries lead to them or to newer ones.
    private func fits(
        _ layout: IndexLayout, _ file: any DiskFile, _ header: IndexHeader, size: Int
    ) throws(DiskError) -> Bool {
        let buffer = UnsafeMutableRawBufferPointer(rebasing: openFiles.readBuffer[..<IndexLayout.entrySize])
        let end = min(Int(header.nextEntry), (size - layout.slotsEnd) / IndexLayout.entrySize, layout.entryCount, 64)
        guard end > 1 else { return true }
        for number in 1..<end {
            guard try file.read(into: buffer, at: layout.position(ofEntry: number)) == buffer.count else {
                return false
            }
            let entry = IndexEntry(UnsafeRawBufferPointer(buffer).bytes, at: 0)
            guard entry.isPlausible(as: number) else { return false }
            _ = try file.read(into: buffer, at: layout.position(ofSlot: layout.slot(ofHash: entry.hash)))
            guard UnsafeRawBufferPointer(buffer).bytes.bigEndian(at: 0, as: Int32.self) >= number else { return false }
        }
        return true
    }

    private func rememberLast() throws(DiskError) {
        guard let last else { return }
        loadedOffset = last.physicalOffset
        for file in files.reversed() {
            var number = min(file.entriesEnd, file.layout.entryCount) - 1
            while number >= 1 {
                let entry = try file.entry(number)
                guard entry.physicalOffset == last.physicalOffset.rawValue else { return }
                loadedHashes.append(entry.hash)
                number -= 1
            }
        }
    }

    /// Removes the entries of all records at or beyond `end`.
    public func truncate(from end: PhysicalOffset) throws(DiskError) { try truncate(from: end, isCacheIntact: true) }

    private func truncate(from end: PhysicalOffset, isCacheIntact: Bool) throws(DiskError) {
        loadedOffset = PhysicalOffset(-1)
        loadedHashes = []
        waiting.removeAll { $0.physicalOffset >= end }
        var removed = 0
        while let file = files.last {
            if !file.header.isEmpty, file.header.beginOffset < end.rawValue {
                try file.truncate(from: end, isCacheIntact: isCacheIntact)
                guard file.header.isEmpty else { break }
            }
            try file.remove()
            files.removeLast()
            removed += 1
        }
        // A full file before the last one may still be in memory.
        writableCount = files.isEmpty ? 0 : max(1, writableCount - removed)
    }

    // MARK: - Insert

    /// Adds one key of a message, in memory; ``query(topic:key:from:to:maximumCount:)`` finds it after the next
    /// ``putWaiting()``. A key of the loaded index's last record is added only if it is not there yet, and one of an older
    /// record never, for a replay may bring them again.
    ///
    /// - Parameter topic: UTF-8, as `key` is.
    /// - Throws: when a file cannot be made or written. Then this key is not added; call again.
    public func insert(
        topic: RawSpan, key: RawSpan, physicalOffset: PhysicalOffset, storeTimestamp: Timestamp
    ) throws(DiskError) {
        let hash = IndexKey.hash(topic: topic, key: key)
        if physicalOffset <= loadedOffset, isKnown(hash, physicalOffset) { return }
        if waiting.count == Self.waitingMaximum { try putWaiting() }
        waiting.append(HashedKey(hash: hash, physicalOffset: physicalOffset, storeTimestamp: storeTimestamp))
        if let aheadImage {
            prefetch(aheadImage + aheadLayout.position(ofSlot: aheadLayout.slot(ofHash: hash)))
        }
    }

    /// Puts the keys that wait for others. Call it when no more come for now.
    /// - Throws: when a file cannot be made or written. Then the rest waits on; call again.
    public func putWaiting() throws(DiskError) {
        guard !waiting.isEmpty else { return }
        var count = 0
        defer { waiting.removeFirst(count) }
        while count < waiting.count {
            let file = try readyFile(waiting[count].storeTimestamp)
            count += file.put(waiting[count...], pendingMaximum: configuration.pendingEntriesMaximum)
        }
    }

    /// Adds keys in order, as `insert(topic:key:physicalOffset:storeTimestamp:)` does each.
    func insert(_ keys: ArraySlice<HashedKey>) throws(DiskError) {
        try putWaiting()
        var rest = keys
        while let key = rest.first {
            if key.physicalOffset <= loadedOffset {
                rest.removeFirst()
                if isKnown(key.hash, key.physicalOffset) { continue }
                try readyFile(key.storeTimestamp).put(
                    hash: key.hash, physicalOffset: key.physicalOffset, timestamp: key.storeTimestamp)
            } else {
                let file = try readyFile(key.storeTimestamp)
                rest = rest.dropFirst(file.put(rest, pendingMaximum: configuration.pendingEntriesMaximum))
            }
        }
    }

    private func isKnown(_ hash: Int32, _ physicalOffset: PhysicalOffset) -> Bool {
        physicalOffset < loadedOffset || loadedHashes.contains(hash)
    }

    /// The last file, or a new one, with room for an entry in the file and in memory.
    @inline(__always)
    private func readyFile(_ now: Timestamp) throws(DiskError) -> IndexFile {
        if writableCount > 0, let last = files.last, last.isReady(pendingMaximum: configuration.pendingEntriesMaximum) {
            return last
        }
        return try makeReadyFile(now)
    }

    private func makeReadyFile(_ now: Timestamp) throws(DiskError) -> IndexFile {
        if writableCount > 0, let last = files.last, !last.isFull {
            try last.prepareWriting(pendingMaximum: configuration.pendingEntriesMaximum)
            if last.pendingCount == configuration.pendingEntriesMaximum { try last.writePending() }
            lookAhead(in: last)
            return last
        }
        // A file takes minutes to fill; when the one before is still not written, memory must not grow further.
        if writableCount > 1 { _ = try writeFiles(maximumBytes: .max) }
        let file = try makeFile(now)
        files.append(file)
        writableCount += 1
        lookAhead(in: file)
        return file
    }

    private func lookAhead(in file: IndexFile) {
        aheadImage = file.image.map { UnsafeRawPointer($0) }
        aheadLayout = file.layout
    }

    private func makeFile(_ now: Timestamp) throws(DiskError) -> IndexFile {
        let number = max(FileNameTime.number(now), (files.last?.number ?? 0) + 1)
        let path = "\(directory)/\(number)"
        if files.isEmpty { try disk.makeDirectory(directory) }
        let handle = try disk.open(path, .createIfMissing)
        // The name may be that of an ignored file only if someone sets the clock back; its content must not shine through.
        try handle.truncate(to: 0)
        try handle.truncate(to: configuration.layout.fileSize)
        openFiles.insert(handle, owner: owner, number: number)
        let file = IndexFile(
            number: number, path: path, layout: configuration.layout, header: IndexHeader(), disk: disk,
            files: openFiles, owner: owner)
        file.image = file.makeImage()
        try file.prepareWriting(pendingMaximum: configuration.pendingEntriesMaximum)
        return file
    }

    // MARK: - Write

    /// Some entries are in memory only, or a file's header does not count them yet.
    public var isDirty: Bool { !waiting.isEmpty || hasDirtyFile }
    private var hasDirtyFile: Bool { writableFiles.contains { $0.isDirty } }

    /// The first record of which keys may be missing in the files after a crash: from there the log must be replayed. Nil
    /// when all is in the files' page cache.
    public var firstUnwrittenOffset: PhysicalOffset? {
        guard let file = writableFiles.first(where: { $0.isDirty }) else { return waiting.first?.physicalOffset }
        // The last record covered may have more keys than those covered.
        return PhysicalOffset(file.coveredOffset ?? file.header.beginOffset)
    }

    /// Ends a write-back that was given up halfway, so that the next one covers everything put until now.
    public func restartWriteBack() {
        for file in writableFiles { file.sweep = nil }
    }

    private var writableFiles: ArraySlice<IndexFile> { files.suffix(writableCount) }

    /// Writes a piece of what is in memory only: all entries, and of the slots about `maximumBytes`. Call it again until it
    /// returns true; inserts may come in between and are not waited for.
    /// - Parameter maximumBytes: with `Int.max` everything is written, and nothing is dirty on return.
    /// - Returns: true when everything inserted before the first call of this round is in the files' page cache.
    public func writeBack(maximumBytes: Int) throws(DiskError) -> Bool {
        try putWaiting()
        return try writeFiles(maximumBytes: maximumBytes)
    }

    private func writeFiles(maximumBytes: Int) throws(DiskError) -> Bool {
        var budget = maximumBytes
        // A round under way may have begun before the last keys were put.
        while maximumBytes == .max, hasDirtyFile { _ = try writeBack(budget: &budget) }
        return try writeBack(budget: &budget)
    }

    private func writeBack(budget: inout Int) throws(DiskError) -> Bool {
        while let file = writableFiles.first {
            guard try file.writeBack(budget: &budget) else { return false }
            guard file.isFull, writableCount > 1 || !file.isDirty else { return true }
            if file.isDirty { continue }
            file.seal()
            writableCount -= 1
        }
        return true
    }

    // MARK: - Query

    /// The records of `topic` that carry `key` and were stored from `begin` to `end`, newest first and at most `maximumCount`.
    ///
    /// The index knows hashes only, so some may carry another key: compare when it matters. Store times count in whole
    /// seconds, rounded down, from the first of their file: a record stored in the same second as `begin` may be
    /// missed, as in RocketMQ.
    public func query(
        topic: RawSpan, key: RawSpan, from begin: Timestamp, to end: Timestamp, maximumCount: Int
    ) throws(DiskError) -> [PhysicalOffset] {
        let hash = IndexKey.hash(topic: topic, key: key)
        var offsets: [PhysicalOffset] = []
        for file in files.reversed() where !file.header.isEmpty {
            if file.header.overlaps(from: begin.milliseconds, to: end.milliseconds) {
                try file.select(
                    hash: hash, from: begin.milliseconds, to: end.milliseconds, maximumCount: maximumCount,
                    into: &offsets)
            }
            if file.header.beginTimestamp < begin.milliseconds || offsets.count >= maximumCount { break }
        }
        return offsets
    }

    // MARK: - Remove

    /// Removes files whose records the commit log has no more. The last file stays.
    /// - Parameter logStart: the first byte of the commit log.
    public func removeFiles(below logStart: PhysicalOffset) throws(DiskError) {
        while files.count > max(writableCount, 1), files[0].header.endOffset < logStart.rawValue {
            try files[0].remove()
            files.removeFirst()
        }
    }

    /// Removes all files. The index is then as new.
    public func destroy() throws(DiskError) {
        while let file = files.last {
            try file.remove()
            files.removeLast()
            writableCount = max(writableCount - 1, 0)
        }
        loadedOffset = PhysicalOffset(-1)
        loadedHashes = []
    }
}
