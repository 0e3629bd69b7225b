/// The seam between the store and a file system. One implementation sits on the kernel, one is simulated and can tear
/// writes, lose what was not synchronised, run full and fail.
///
/// Everything here belongs to one thread. The completions of the `…InBackground` calls run on that same thread, in a
/// later turn of its loop.
public protocol Disk: AnyObject {
    /// Creates the folder and its parents; succeeds when it is there already.
    func makeDirectory(_ path: String) throws(DiskError)
    /// The names in a folder, sorted, without `.` and `..`. A missing folder is an empty one.
    func list(_ path: String) throws(DiskError) -> [DirectoryEntry]
    /// Opens a file for reading and writing.
    /// - Parameter mode: whether the file may or must be there.
    func open(_ path: String, _ mode: DiskOpenMode) throws(DiskError) -> any DiskFile
    /// True when a file or folder is there.
    func exists(_ path: String) -> Bool
    /// Removes a file, or an empty folder. A missing one is an error.
    func remove(_ path: String) throws(DiskError)
    /// Puts `source` in the place of `destination` in one step. Durable after ``synchronizeDirectory(_:)``.
    func rename(_ source: String, to destination: String) throws(DiskError)
    /// Makes created, renamed and removed names in the folder durable. Blocks.
    func synchronizeDirectory(_ path: String) throws(DiskError)
    /// ``synchronizeDirectory(_:)`` on a worker thread. Covers what was done before the call.
    func synchronizeDirectoryInBackground(_ path: String, _ completion: @escaping (DiskError?) -> Void)
    /// Opens the file, makes it when missing, and locks it against other processes until it is closed.
    /// - Throws: ``DiskError/Kind/locked`` when another process holds it.
    func lock(_ path: String) throws(DiskError) -> any DiskFile
    /// Makes everything written so far to any file below `path` durable. Blocks.
    func synchronizeAll(_ path: String) throws(DiskError)
    /// ``synchronizeAll(_:)`` on a worker thread.
    func synchronizeAllInBackground(_ path: String, _ completion: @escaping (DiskError?) -> Void)
    /// Opens the file, made when missing, as one of `size` zeros with room for the first `reserved`, on a worker thread.
    func makeFileInBackground(
        _ path: String, size: Int, reserved: Int, _ completion: @escaping (Result<any DiskFile, DiskError>) -> Void)
    /// Room on the file system that holds `path`.
    func space(at path: String) throws(DiskError) -> DiskSpace
    /// Whether the disk has lately made a writer wait. A thread that must not wait leaves its writing to workers then.
    var pushesBack: Bool { get }
    /// Threads that read these files beside the calling one, which may go on meanwhile and need not run a loop.
    func makeReader(of files: [any DiskFile]) -> any DiskReader
}

/// Reads files on threads of its own. Belongs to the thread that made it. What was begun has run when the last reference goes.
public protocol DiskReader: AnyObject {
    /// Hands over a piece of work, which gets hold of the files. Pieces may run side by side.
    func begin(_ work: @escaping @Sendable (any ReadableFiles) -> Void)
    /// Waits until one piece more has run than at the return of the last call; at once if that is so already.
    /// - Precondition: fewer calls have returned than pieces were begun.
    func wait()
}

/// The files of a ``DiskReader``, by their place in its list.
public protocol ReadableFiles {
    /// Reads as ``DiskFile/read(into:at:)`` does.
    func read(_ file: Int, into buffer: UnsafeMutableRawBufferPointer, at offset: Int) throws(DiskError) -> Int
    /// Says that these bytes will be read soon, so that the medium can begin. Does not wait; a hint that may do nothing.
    func willRead(_ file: Int, at offset: Int, count: Int)
}

extension Disk {
    /// A reader that has no thread: each piece runs when it is handed over. A simulated disk stays deterministic with it.
    public func makeReader(of files: [any DiskFile]) -> any DiskReader { ReaderWithoutThread(files) }
}

private final class ReaderWithoutThread: DiskReader, ReadableFiles {
    private let files: [any DiskFile]
    init(_ files: [any DiskFile]) { self.files = files }

    func begin(_ work: @escaping @Sendable (any ReadableFiles) -> Void) { work(self) }
    func wait() {}
    func read(_ file: Int, into buffer: UnsafeMutableRawBufferPointer, at offset: Int) throws(DiskError) -> Int {
        try files[file].read(into: buffer, at: offset)
    }
    func willRead(_ file: Int, at offset: Int, count: Int) {}
}

/// An open file. Closed when the last reference goes, or by ``close()``.
public protocol DiskFile: AnyObject {
    var path: String { get }
    /// The length in bytes.
    func size() throws(DiskError) -> Int
    /// When the file was last written.
    func modified() throws(DiskError) -> Timestamp
    /// Writes all of `bytes` at `offset`. On return they are in the page cache, not on the medium.
    func write(_ bytes: RawSpan, at offset: Int) throws(DiskError)
    /// ``write(_:at:)`` on a worker thread.
    /// - Parameter bytes: must stay what and where they are until `completion` is called; `owner` lives as long.
    func writeInBackground(
        _ bytes: UnsafeRawBufferPointer, of owner: AnyObject, at offset: Int,
        _ completion: @escaping (DiskError?) -> Void)
    /// Reads up to `buffer.count` bytes from `offset`; fewer only at the end of the file. May block on the medium.
    func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int) throws(DiskError) -> Int
    /// Like ``read(into:at:)``, but returns nil instead of waiting when any of the bytes would have to come from the medium.
    func readIfCached(into buffer: UnsafeMutableRawBufferPointer, at offset: Int) throws(DiskError) -> Int?
    /// Brings `count` bytes from `offset` into the page cache on a worker thread.
    func prefetchInBackground(offset: Int, count: Int, _ completion: @escaping (DiskError?) -> Void)
    /// Makes everything written so far durable (fdatasync). Blocks. After an error the file's content is unknown: never
    /// call it again on the same file.
    func synchronize() throws(DiskError)
    /// ``synchronize()`` on a worker thread. Covers what was written before the call.
    func synchronizeInBackground(_ completion: @escaping (DiskError?) -> Void)
    /// Reserves room so that later writes within `size` cannot fail for want of space; extends the file to it, zero-filled.
    func allocate(size: Int) throws(DiskError)
    /// ``allocate(size:)`` on a worker thread.
    func allocateInBackground(size: Int, _ completion: @escaping (DiskError?) -> Void)
    /// Sets the length without reserving room: longer files read as zeros there.
    func truncate(to size: Int) throws(DiskError)
    func close()
    /// ``close()`` on a worker thread, for a removed file of a size that the file system takes its time to free.
    func closeInBackground()
}

public enum DiskOpenMode: Sendable {
    /// The file must be there.
    case existing
    /// The file is made when missing.
    case createIfMissing
    /// The file must not be there.
    case createNew
}

public struct DirectoryEntry: Equatable, Sendable {
    public var name: String
    public var isDirectory: Bool
    public init(name: String, isDirectory: Bool) {
        self.name = name
        self.isDirectory = isDirectory
    }
}

public struct DiskSpace: Equatable, Sendable {
    /// Bytes that an ordinary user could still write.
    public var available: Int64
    /// All bytes of the file system.
    public var total: Int64
    public init(available: Int64, total: Int64) {
        self.available = available
        self.total = total
    }
    /// The share in use, from 0 to 1, counted as `df` does.
    public var usedRatio: Double { total > 0 ? 1 - Double(available) / Double(total) : 0 }
}

/// What the operating system refused, and on which file.
public struct DiskError: Error, Equatable, Sendable, CustomStringConvertible {
    public enum Kind: Equatable, Sendable {
        case notFound
        case alreadyExists
        /// ENOSPC or EDQUOT: retry when there is room again.
        case full
        /// EIO and its like: what the file holds is no longer known.
        case inputOutput
        case permission
        /// Another process has the file.
        case locked
        /// EMFILE or ENFILE.
        case tooManyOpenFiles
        case other
    }
    public var kind: Kind
    /// What was being done, for instance `write`.
    public var operation: String
    public var path: String
    /// The kernel's number, or 0.
    public var errorNumber: Int32
    public init(kind: Kind, operation: String, path: String, errorNumber: Int32 = 0) {
        self.kind = kind
        self.operation = operation
        self.path = path
        self.errorNumber = errorNumber
    }
    public var description: String { "\(operation) \(path): \(kind) (errno \(errorNumber))" }
}
