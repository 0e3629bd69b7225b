import Base

/// What ends a run of the simulated process.
public enum SimulatedCrash: Sendable, CaseIterable {
    /// The process is killed: everything written is in the page cache and stays.
    case processKill
    /// The machine loses power: what was not synchronised is kept, lost or torn page by page, and so are names that were not
    /// synchronised in their folder.
    case powerLoss
}

/// A file system in memory that can tear writes, lose what was not synchronised, run full and fail.
///
/// All that is random comes from the seed. Background work completes in ``runCompletions()`` only. The root folder is there
/// from the start; paths may begin with a slash or not, and mean the same.
public final class SimulatedDisk: Disk {
    /// Faults that strike by chance or by count. None by default.
    public struct Faults: Sendable {
        /// Of this many calls one fails with EIO, by the seed; 0 for none.
        public var failOneIn = 0
        /// The call with this ordinal, counted by ``SimulatedDisk/callCount`` from 1, fails with `failKind`.
        public var failCall: Int?
        public var failKind = DiskError.Kind.inputOutput
        /// Every synchronisation fails.
        public var failSynchronize = false
        /// Synchronisations succeed and do nothing: a drive with a volatile cache that ignores the order to empty it.
        /// For checks of the checkers.
        public var liesAboutSynchronizing = false
        /// Of this many reads one brings a wrong bit; 0 for none.
        public var rotOneIn = 0
        /// Of this many reads one brings bytes from elsewhere in the file; 0 for none.
        public var misdirectOneIn = 0
        /// Of this many pages written one reaches the medium by itself; 0 for none.
        public var writeBackOneIn = 8
        /// The disk says that it makes writers wait.
        public var pushesBack = false
        /// Completions run in an order that the seed decides.
        public var reorderCompletions = false
        /// From the call with this ordinal on nothing reaches the disk any more: the process died in it, and whoever simulates it
        /// asks ``SimulatedDisk/hasDied`` and then calls ``SimulatedDisk/crash(_:)``.
        public var dieAtCall: Int?
        /// Of the pages that were not synchronised this many percent are lost or torn when the power goes; nil for a half.
        public var crashDamagePercent: Int?
        /// Of this many pages written one has a wrong bit from then on; 0 for none.
        public var rotWriteOneIn = 0
        /// Of this many writes one goes to another place of its file; 0 for none.
        public var misdirectWriteOneIn = 0
        /// Writes and reservations for which there is no room succeed and do nothing. For checks of the checkers.
        public var swallowsWhenFull = false
        /// A synchronisation that fails says that it succeeded. For checks of the checkers.
        public var forgivesFailedSynchronize = false
        public init() {}
    }

    /// What was done, for tests that count.
    public struct Counts: Equatable, Sendable {
        public var opens = 0
        public var reads = 0
        public var writes = 0
        public var bytesWritten = 0
        public var synchronisations = 0
    }

    public var faults = Faults()
    public private(set) var counts = Counts()
    /// Calls that may fail, so far.
    public private(set) var callCount = 0
    /// Room for data, in bytes.
    public var capacity: Int64
    /// How full the disk says that it is, in parts of one, because others use it too; 0 for what its own files use.
    public var usedByOthers = 0.0
    /// Files that are open now.
    public private(set) var openFileCount = 0

    /// The process has died in a call; see ``Faults/dieAtCall``.
    public private(set) var hasDied = false
    /// Pages and writes that went wrong for good, by ``Faults/rotWriteOneIn`` and ``Faults/misdirectWriteOneIn``.
    public private(set) var spoiledWrites = 0

    private let random: any RandomSource
    private let clock: (any Clock)?
    private let root = SimulatedDirectory()
    private var knownParts: [String: [String]] = [:]
    private var completions: [() -> Void] = []
    /// Writes in the background that have not completed, by a number: a crash may come before, within or after each.
    private var writesUnderWay: [Int: () -> Void] = [:]
    private var lastWriteNumber = 0
    /// Counts crashes; a file opened before one is of no use after it.
    fileprivate private(set) var generation = 0

    public init(seed: UInt64 = 1, clock: (any Clock)? = nil, capacity: Int64 = 1 << 40) {
        random = SeededRandom(seed: seed)
        self.clock = clock
        self.capacity = capacity
    }

    // MARK: - Crash

    /// Ends the run of the process: completions that did not run are lost, and files that are open become useless.
    public func crash(_ crash: SimulatedCrash) {
        for (_, write) in writesUnderWay.sorted(by: { $0.key < $1.key }) where random.next(below: 2) == 0 { write() }
        writesUnderWay = [:]
        generation += 1
        openFileCount = 0
        completions = []
        hasDied = false
        faults.dieAtCall = nil
        if crash == .powerLoss { root.losePower(random, damagePercent: faults.crashDamagePercent) }
    }

    /// Makes everything durable, names included, as after a clean stop and a while.
    public func settle() {
        root.forEach("", file: { _, content in content.settle() }, directory: { $0.synchronize($0.changeCount) })
    }

    /// Empties the page cache of what is synchronised or not: the next reads wait for the medium.
    public func dropCache() { root.forEach("", file: { _, content in content.dropCache() }) }

    /// Runs what was begun in the background before this call.
    /// - Returns: how many completions ran.
    @discardableResult
    public func runCompletions() -> Int {
        var batch = completions
        completions = []
        let count = batch.count
        while !batch.isEmpty {
            let index = faults.reorderCompletions ? random.next(below: batch.count) : 0
            let run = batch.remove(at: index)
            run()
        }
        return count
    }

    public var hasCompletions: Bool { !completions.isEmpty }

    // MARK: - Contents, for tests

    /// Puts a durable file in its place, with the folders above it. Pages of zeros take no room.
    public func install(_ path: String, _ bytes: [UInt8]) {
        let content = SimulatedContent()
        content.truncate(to: bytes.count)
        bytes.withUnsafeBytes { all in
            for start in stride(from: 0, to: all.count, by: SimulatedContent.pageSize) {
                let page = UnsafeRawBufferPointer(
                    rebasing: all[start..<min(start + SimulatedContent.pageSize, all.count)])
                if page.contains(where: { $0 != 0 }) { content.write(page, at: start) { false } }
            }
        }
        content.modified = clock?.timestamp ?? Timestamp(milliseconds: 0)
        content.settle()
        var folders = parts(path)
        let name = folders.removeLast()
        var directory = root
        for part in folders {
            directory = child(part, of: directory)
            directory.synchronize(directory.changeCount)
        }
        directory.link(name, .file(content))
        directory.synchronize(directory.changeCount)
    }

    /// Removes a file, or a folder with all that is in it, for good.
    public func uninstall(_ path: String) {
        let names = parts(path)
        guard let name = names.last, let directory = directory(names.dropLast()) else { return }
        directory.unlink(name)
        directory.synchronize(directory.changeCount)
    }

    /// The bytes of a file; nil when there is none.
    public func contents(_ path: String) -> [UInt8]? {
        guard let content = content(path) else { return nil }
        var bytes: [UInt8] = Array(repeating: 0, count: content.size)
        _ = bytes.withUnsafeMutableBytes { content.read(into: $0, at: 0) }
        return bytes
    }

    /// The paths of all files below a folder, sorted.
    public func files(below path: String = "") -> [String] {
        var paths: [String] = []
        directory(path)?.forEach(path, file: { name, _ in paths.append(name) })
        return paths
    }

    /// Damages one byte for good.
    public func rot(_ path: String, at offset: Int, mask: UInt8 = 0x10) { content(path)?.flip(at: offset, mask: mask) }

    /// Bytes in use: whole pages written or reserved.
    public var usedBytes: Int64 {
        var pages = 0
        root.forEach("", file: { _, content in pages += content.usedPages })
        return Int64(pages * SimulatedContent.pageSize)
    }

    // MARK: - Disk

    public func makeDirectory(_ path: String) throws(DiskError) {
        try call("mkdir", path)
        var directory = root
        for part in parts(path) {
            if case .file? = directory.children[part] { throw DiskError(kind: .other, operation: "mkdir", path: path) }
            directory = child(part, of: directory)
        }
    }

    public func list(_ path: String) throws(DiskError) -> [DirectoryEntry] {
        try call("readdir", path)
        guard let directory = directory(path) else { return [] }
        return directory.children.map { name, node in
            if case .directory = node { return DirectoryEntry(name: name, isDirectory: true) }
            return DirectoryEntry(name: name, isDirectory: false)
        }.sorted { $0.name < $1.name }
    }

    public func open(_ path: String, _ mode: DiskOpenMode) throws(DiskError) -> any DiskFile {
        try call("open", path)
        counts.opens += 1
        let (directory, name) = try place(path, "open")
        switch directory.children[name] {
        case .file(let content)?:
            if mode == .createNew { throw DiskError(kind: .alreadyExists, operation: "open", path: path) }
            return file(path, content)
        case .directory?: throw DiskError(kind: .other, operation: "open", path: path)
        case nil:
            if mode == .existing { throw DiskError(kind: .notFound, operation: "open", path: path) }
            let content = SimulatedContent()
            content.modified = clock?.timestamp ?? content.modified
            directory.link(name, .file(content))
            return file(path, content)
        }
    }

    private func file(_ path: String, _ content: SimulatedContent) -> SimulatedFile {
        openFileCount += 1
        return SimulatedFile(path: path, content: content, disk: self, generation: generation)
    }

    public func exists(_ path: String) -> Bool { directory(path) != nil || content(path) != nil }

    public func remove(_ path: String) throws(DiskError) {
        try call("unlink", path)
        let (directory, name) = try place(path, "unlink")
        switch directory.children[name] {
        case .directory(let child)? where !child.children.isEmpty:
            throw DiskError(kind: .other, operation: "rmdir", path: path)
        case nil: throw DiskError(kind: .notFound, operation: "unlink", path: path)
        default: directory.unlink(name)
        }
    }

    public func rename(_ source: String, to destination: String) throws(DiskError) {
        try call("rename", source)
        let (from, name) = try place(source, "rename")
        let (to, newName) = try place(destination, "rename")
        guard let node = from.children[name] else {
            throw DiskError(kind: .notFound, operation: "rename", path: source)
        }
        if from === to {
            from.rename(name, to: newName, node)
        } else {
            to.link(newName, node)
            from.unlink(name)
        }
    }

    public func synchronizeDirectory(_ path: String) throws(DiskError) {
        if let error = beginSynchronizeDirectory(path)() { throw error }
    }

    public func synchronizeDirectoryInBackground(_ path: String, _ completion: @escaping (DiskError?) -> Void) {
        let synchronize = beginSynchronizeDirectory(path)
        completions.append { completion(synchronize()) }
    }

    /// - Returns: what ends the synchronisation of the names that the folder has now.
    private func beginSynchronizeDirectory(_ path: String) -> () -> DiskError? {
        counts.synchronisations += 1
        let directory = directory(path)
        // Another synchronisation may end first, so the changes are counted from the first that the folder ever had.
        let end = directory.map { $0.synchronizedCount + $0.changeCount } ?? 0
        return { [self] in
            do throws(DiskError) { try checkSynchronize("fsync", path) } catch { return error }
            guard let directory else { return DiskError(kind: .notFound, operation: "fsync", path: path) }
            if !faults.liesAboutSynchronizing { directory.synchronize(end - directory.synchronizedCount) }
            return nil
        }
    }

    public func lock(_ path: String) throws(DiskError) -> any DiskFile {
        let file = try open(path, .createIfMissing)
        guard let file = file as? SimulatedFile, file.takeLock() else {
            throw DiskError(kind: .locked, operation: "lock", path: path)
        }
        return file
    }

    public func synchronizeAll(_ path: String) throws(DiskError) {
        let synchronize = beginSynchronizeAll(path)
        if let error = synchronize() { throw error }
    }

    public func synchronizeAllInBackground(_ path: String, _ completion: @escaping (DiskError?) -> Void) {
        let synchronize = beginSynchronizeAll(path)
        completions.append { completion(synchronize()) }
    }

    /// - Returns: what ends the synchronisation of everything that is written now.
    private func beginSynchronizeAll(_ path: String) -> () -> DiskError? {
        counts.synchronisations += 1
        var contents: [(SimulatedContent, SimulatedContent.Snapshot)] = []
        var directories: [(SimulatedDirectory, Int)] = []
        // All of the file system, as syncfs does: the names above the folder count as well.
        root.forEach(
            "", file: { _, content in contents.append((content, content.snapshot())) },
            directory: { directories.append(($0, $0.synchronizedCount + $0.changeCount)) })
        return { [self] in
            do throws(DiskError) { try checkSynchronize("syncfs", path) } catch {
                if !hasDied { for (content, _) in contents { content.loseSynchronisation() } }
                return error
            }
            guard !faults.liesAboutSynchronizing else { return nil }
            for (content, snapshot) in contents { content.makeDurable(snapshot) }
            for (directory, end) in directories { directory.synchronize(end - directory.synchronizedCount) }
            return nil
        }
    }

    public func makeFileInBackground(
        _ path: String, size: Int, reserved: Int, _ completion: @escaping (Result<any DiskFile, DiskError>) -> Void
    ) {
        later { [self] in
            completion(
                Result { () throws(DiskError) in
                    let file = try open(path, .createIfMissing)
                    try file.truncate(to: 0)
                    try file.truncate(to: size)
                    try file.allocate(size: reserved)
                    return file
                })
        }
    }

    public var pushesBack: Bool { faults.pushesBack }

    public func space(at path: String) throws(DiskError) -> DiskSpace {
        try call("statvfs", path)
        guard usedByOthers == 0 else {
            return DiskSpace(available: Int64(Double(1 << 40) * (1 - usedByOthers)), total: 1 << 40)
        }
        return DiskSpace(available: max(0, capacity - usedBytes), total: capacity)
    }

    // MARK: - For files

    fileprivate func checkSynchronize(_ operation: String, _ path: String) throws(DiskError) {
        try call(operation, path)
        if faults.failSynchronize { throw DiskError(kind: .inputOutput, operation: operation, path: path) }
    }

    fileprivate func later(_ run: @escaping () -> Void) { completions.append(run) }

    fileprivate func writeLater(
        _ bytes: UnsafeRawBufferPointer, of owner: AnyObject, at offset: Int, to content: SimulatedContent,
        _ path: String, _ completion: @escaping (DiskError?) -> Void
    ) {
        lastWriteNumber += 1
        let number = lastWriteNumber
        writesUnderWay[number] = { [self] in
            let size = random.next(below: bytes.count + 1)
            try? write(
                RawSpan(_unsafeBytes: UnsafeRawBufferPointer(rebasing: bytes[..<size])), at: offset, to: content, path)
            withExtendedLifetime(owner) {}
        }
        later { [self] in
            writesUnderWay[number] = nil
            do throws(DiskError) {
                try write(RawSpan(_unsafeBytes: bytes), at: offset, to: content, path)
                withExtendedLifetime(owner) {}
                completion(nil)
            } catch {
                completion(error)
            }
        }
    }

    fileprivate func fileClosed() { openFileCount -= 1 }

    fileprivate func synchronizing() { counts.synchronisations += 1 }

    /// Counts a call, and fails it when it is its turn.
    fileprivate func call(_ operation: String, _ path: String) throws(DiskError) {
        callCount += 1
        if faults.dieAtCall == callCount { hasDied = true }
        if hasDied { throw DiskError(kind: .inputOutput, operation: operation, path: path) }
        let struck = faults.failOneIn > 0 && random.next(below: faults.failOneIn) == 0
        if struck || faults.failCall == callCount {
            throw DiskError(kind: struck ? .inputOutput : faults.failKind, operation: operation, path: path)
        }
    }

    fileprivate func write(_ bytes: RawSpan, at offset: Int, to content: SimulatedContent, _ path: String)
        throws(DiskError)
    {
        counts.writes += 1
        let wasDead = hasDied
        var failure: DiskError?
        var size = bytes.byteCount
        do throws(DiskError) { try call("pwrite", path) } catch {
            // A failed write may have done a part of its work.
            failure = error
            size = wasDead ? 0 : random.next(below: size + 1)
        }
        let room = (capacity - usedBytesForWrite) / Int64(SimulatedContent.pageSize)
        while size > 0, content.newPages(offset..<offset + size) > room {
            failure = failure ?? DiskError(kind: .full, operation: "pwrite", path: path, errorNumber: 28)
            size = max(0, (offset + size - 1) / SimulatedContent.pageSize * SimulatedContent.pageSize - offset)
        }
        if faults.swallowsWhenFull, failure?.kind == .full { return }
        let offset = misdirected(offset, size, in: content)
        bytes.withUnsafeBytes { all in
            content.write(UnsafeRawBufferPointer(rebasing: all[..<size]), at: offset) {
                faults.writeBackOneIn > 0 && random.next(below: faults.writeBackOneIn) == 0
            }
        }
        counts.bytesWritten += size
        content.modified = clock?.timestamp ?? content.modified
        if faults.rotWriteOneIn > 0, size > 0, random.next(below: faults.rotWriteOneIn) == 0 {
            content.flip(at: offset + random.next(below: size), mask: 1 << UInt8(random.next(below: 8)))
            spoiledWrites += 1
        }
        if let failure { throw failure }
    }

    /// Where a write goes that may be misdirected.
    private func misdirected(_ offset: Int, _ size: Int, in content: SimulatedContent) -> Int {
        guard faults.misdirectWriteOneIn > 0, content.size > size,
            random.next(below: faults.misdirectWriteOneIn) == 0
        else { return offset }
        spoiledWrites += 1
        return random.next(below: content.size - size)
    }

    /// Adding up all files at each write would be slow, and matters only near a limit that a test has set.
    private var usedBytesForWrite: Int64 { capacity >= 1 << 40 ? 0 : usedBytes }

    fileprivate func reserve(_ size: Int, in content: SimulatedContent, _ path: String) throws(DiskError) {
        try call("fallocate", path)
        let room = (capacity - usedBytesForWrite) / Int64(SimulatedContent.pageSize)
        guard content.newPages(0..<size) <= room || faults.swallowsWhenFull else {
            throw DiskError(kind: .full, operation: "fallocate", path: path, errorNumber: 28)
        }
        content.reserve(size: size)
    }

    fileprivate func read(
        _ content: SimulatedContent, into buffer: UnsafeMutableRawBufferPointer, at offset: Int, _ path: String
    ) throws(DiskError) -> Int {
        try call("pread", path)
        counts.reads += 1
        var offset = offset
        if faults.misdirectOneIn > 0, content.size > 0, random.next(below: faults.misdirectOneIn) == 0 {
            offset = random.next(below: content.size)
        }
        let count = content.read(into: buffer, at: offset)
        if faults.rotOneIn > 0, count > 0, random.next(below: faults.rotOneIn) == 0 {
            buffer[random.next(below: count)] ^= 1 << UInt8(random.next(below: 8))
        }
        return count
    }

    // MARK: - Paths

    /// The names of which a path consists. Taking paths apart would be a tenth of a simulation's work, so it is remembered.
    private func parts(_ path: String) -> [String] {
        if let known = knownParts[path] { return known }
        let parts = path.split(separator: "/").map(String.init).filter { $0 != "." }
        if knownParts.count < 4_096 { knownParts[path] = parts }
        return parts
    }

    private func child(_ name: String, of directory: SimulatedDirectory) -> SimulatedDirectory {
        if case .directory(let child)? = directory.children[name] { return child }
        let child = SimulatedDirectory()
        directory.link(name, .directory(child))
        return child
    }

    private func directory(_ path: String) -> SimulatedDirectory? { directory(parts(path)[...]) }

    private func directory(_ parts: ArraySlice<String>) -> SimulatedDirectory? {
        var directory = root
        for part in parts {
            guard case .directory(let child)? = directory.children[part] else { return nil }
            directory = child
        }
        return directory
    }

    private func content(_ path: String) -> SimulatedContent? {
        let names = parts(path)
        guard let name = names.last, case .file(let content)? = directory(names.dropLast())?.children[name] else {
            return nil
        }
        return content
    }

    private func place(_ path: String, _ operation: String) throws(DiskError) -> (SimulatedDirectory, String) {
        let names = parts(path)
        guard let name = names.last, let directory = directory(names.dropLast()) else {
            throw DiskError(kind: .notFound, operation: operation, path: path)
        }
        return (directory, name)
    }
}

/// An open file of a ``SimulatedDisk``.
public final class SimulatedFile: DiskFile {
    public let path: String
    private let content: SimulatedContent
    private let disk: SimulatedDisk
    private let generation: Int
    private var isOpen = true
    private var hasLock = false

    fileprivate init(path: String, content: SimulatedContent, disk: SimulatedDisk, generation: Int) {
        self.path = path
        self.content = content
        self.disk = disk
        self.generation = generation
    }

    deinit { close() }

    public func close() {
        if isOpen, generation == disk.generation {
            disk.fileClosed()
            if hasLock { content.lockedIn = nil }
        }
        isOpen = false
    }

    /// - Returns: false when another open file holds the lock; a crash frees it.
    fileprivate func takeLock() -> Bool {
        guard content.lockedIn != generation else { return false }
        content.lockedIn = generation
        hasLock = true
        return true
    }

    private func check() {
        precondition(isOpen, "\(path) is used after it was closed")
        precondition(generation == disk.generation, "\(path) is used by a process that has crashed")
    }

    public func size() throws(DiskError) -> Int {
        check()
        return content.size
    }

    public func modified() throws(DiskError) -> Timestamp {
        check()
        return content.modified
    }

    public func write(_ bytes: RawSpan, at offset: Int) throws(DiskError) {
        check()
        try disk.write(bytes, at: offset, to: content, path)
    }

    public func writeInBackground(
        _ bytes: UnsafeRawBufferPointer, of owner: AnyObject, at offset: Int,
        _ completion: @escaping (DiskError?) -> Void
    ) {
        check()
        disk.writeLater(bytes, of: owner, at: offset, to: content, path, completion)
    }

    public func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int) throws(DiskError) -> Int {
        check()
        return try disk.read(content, into: buffer, at: offset, path)
    }

    public func readIfCached(into buffer: UnsafeMutableRawBufferPointer, at offset: Int) throws(DiskError) -> Int? {
        check()
        guard content.isCached(offset..<max(offset, min(offset + buffer.count, content.size))) else { return nil }
        return try disk.read(content, into: buffer, at: offset, path)
    }

    public func prefetchInBackground(offset: Int, count: Int, _ completion: @escaping (DiskError?) -> Void) {
        check()
        disk.later { [self] in
            let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: count, alignment: 16)
            defer { buffer.deallocate() }
            do throws(DiskError) {
                _ = try disk.read(content, into: buffer, at: offset, path)
                completion(nil)
            } catch {
                completion(error)
            }
        }
    }

    public func synchronize() throws(DiskError) {
        check()
        disk.synchronizing()
        try finishSynchronize(content.snapshot())
    }

    public func synchronizeInBackground(_ completion: @escaping (DiskError?) -> Void) {
        check()
        disk.synchronizing()
        let snapshot = content.snapshot()
        disk.later { [self] in
            do throws(DiskError) {
                try finishSynchronize(snapshot)
                completion(nil)
            } catch {
                completion(error)
            }
        }
    }

    private func finishSynchronize(_ snapshot: SimulatedContent.Snapshot) throws(DiskError) {
        do throws(DiskError) { try disk.checkSynchronize("fdatasync", path) } catch {
            if !disk.hasDied { content.loseSynchronisation() }
            if disk.faults.forgivesFailedSynchronize, !disk.hasDied { return }
            throw error
        }
        if !disk.faults.liesAboutSynchronizing { content.makeDurable(snapshot) }
    }

    public func allocate(size: Int) throws(DiskError) {
        check()
        try disk.reserve(size, in: content, path)
    }

    public func allocateInBackground(size: Int, _ completion: @escaping (DiskError?) -> Void) {
        check()
        disk.later { [self] in
            do throws(DiskError) {
                try disk.reserve(size, in: content, path)
                completion(nil)
            } catch {
                completion(error)
            }
        }
    }

    public func closeInBackground() { close() }

    public func truncate(to size: Int) throws(DiskError) {
        check()
        try disk.call("ftruncate", path)
        content.truncate(to: size)
        content.modified = Timestamp(milliseconds: content.modified.milliseconds)
    }
}
