import Base

/// What a disk refused, by operation. That a file is missing, is there already, or is held by another process is no fault.
public final class DiskFaults {
    /// Faults by the operation that met them, from the start of the process.
    public private(set) var counts: [String: Int64] = [:]
    /// Those of ``counts`` that were for want of room.
    public private(set) var full: Int64 = 0
    public private(set) var last: DiskError?
    public private(set) var lastTime: MonotonicTime?
    private let clock: any Clock

    init(clock: any Clock) { self.clock = clock }

    public var total: Int64 { counts.values.reduce(0, +) }

    func note(_ error: DiskError) {
        switch error.kind {
        case .notFound, .alreadyExists, .locked: return
        case .full: full += 1
        case .inputOutput, .permission, .tooManyOpenFiles, .other: break
        }
        counts[error.operation, default: 0] += 1
        last = error
        lastTime = clock.monotonic
    }

    fileprivate func noting<R>(_ body: () throws(DiskError) -> R) throws(DiskError) -> R {
        do {
            return try body()
        } catch {
            note(error)
            throw error
        }
    }
}

/// A disk that counts what it refuses, and is otherwise the disk that it stands before.
final class FaultCountingDisk: Disk {
    private let disk: any Disk
    let faults: DiskFaults

    init(_ disk: any Disk, clock: any Clock) {
        self.disk = disk
        faults = DiskFaults(clock: clock)
    }

    private func counting(_ completion: @escaping (DiskError?) -> Void) -> (DiskError?) -> Void {
        { [faults] error in
            if let error { faults.note(error) }
            completion(error)
        }
    }

    private func counted(_ file: any DiskFile) -> any DiskFile { FaultCountingFile(file, faults) }

    func makeDirectory(_ path: String) throws(DiskError) {
        try faults.noting { () throws(DiskError) in try disk.makeDirectory(path) }
    }

    func list(_ path: String) throws(DiskError) -> [DirectoryEntry] {
        try faults.noting { () throws(DiskError) in try disk.list(path) }
    }

    func open(_ path: String, _ mode: DiskOpenMode) throws(DiskError) -> any DiskFile {
        counted(try faults.noting { () throws(DiskError) in try disk.open(path, mode) })
    }

    func exists(_ path: String) -> Bool { disk.exists(path) }

    func remove(_ path: String) throws(DiskError) {
        try faults.noting { () throws(DiskError) in try disk.remove(path) }
    }

    func rename(_ source: String, to destination: String) throws(DiskError) {
        try faults.noting { () throws(DiskError) in try disk.rename(source, to: destination) }
    }

    func synchronizeDirectory(_ path: String) throws(DiskError) {
        try faults.noting { () throws(DiskError) in try disk.synchronizeDirectory(path) }
    }

    func synchronizeDirectoryInBackground(_ path: String, _ completion: @escaping (DiskError?) -> Void) {
        disk.synchronizeDirectoryInBackground(path, counting(completion))
    }

    func lock(_ path: String) throws(DiskError) -> any DiskFile {
        try faults.noting { () throws(DiskError) in try disk.lock(path) }
    }

    func synchronizeAll(_ path: String) throws(DiskError) {
        try faults.noting { () throws(DiskError) in try disk.synchronizeAll(path) }
    }

    func synchronizeAllInBackground(_ path: String, _ completion: @escaping (DiskError?) -> Void) {
        disk.synchronizeAllInBackground(path, counting(completion))
    }

    func makeFileInBackground(
        _ path: String, size: Int, reserved: Int, _ completion: @escaping (Result<any DiskFile, DiskError>) -> Void
    ) {
        disk.makeFileInBackground(path, size: size, reserved: reserved) { [faults] made in
            switch made {
            case .success(let file): completion(.success(FaultCountingFile(file, faults)))
            case .failure(let error):
                faults.note(error)
                completion(.failure(error))
            }
        }
    }

    func space(at path: String) throws(DiskError) -> DiskSpace {
        try faults.noting { () throws(DiskError) in try disk.space(at: path) }
    }

    var pushesBack: Bool { disk.pushesBack }

    /// The files are read on another thread, where nothing is counted: whoever learns of a fault notes it in ``faults``.
    func makeReader(of files: [any DiskFile]) -> any DiskReader {
        disk.makeReader(of: files.map { ($0 as? FaultCountingFile)?.file ?? $0 })
    }
}

/// A file of a ``FaultCountingDisk``.
private final class FaultCountingFile: DiskFile {
    let file: any DiskFile
    private let faults: DiskFaults

    init(_ file: any DiskFile, _ faults: DiskFaults) {
        self.file = file
        self.faults = faults
    }

    private func counting(_ completion: @escaping (DiskError?) -> Void) -> (DiskError?) -> Void {
        { [faults] error in
            if let error { faults.note(error) }
            completion(error)
        }
    }

    var path: String { file.path }
    func size() throws(DiskError) -> Int { try faults.noting { () throws(DiskError) in try file.size() } }
    func modified() throws(DiskError) -> Timestamp {
        try faults.noting { () throws(DiskError) in try file.modified() }
    }

    func write(_ bytes: RawSpan, at offset: Int) throws(DiskError) {
        do {
            try file.write(bytes, at: offset)
        } catch {
            faults.note(error)
            throw error
        }
    }

    func writeInBackground(
        _ bytes: UnsafeRawBufferPointer, of owner: AnyObject, at offset: Int,
        _ completion: @escaping (DiskError?) -> Void
    ) {
        file.writeInBackground(bytes, of: owner, at: offset, counting(completion))
    }

    func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int) throws(DiskError) -> Int {
        try faults.noting { () throws(DiskError) in try file.read(into: buffer, at: offset) }
    }

    func readIfCached(into buffer: UnsafeMutableRawBufferPointer, at offset: Int) throws(DiskError) -> Int? {
        try faults.noting { () throws(DiskError) in try file.readIfCached(into: buffer, at: offset) }
    }

    func prefetchInBackground(offset: Int, count: Int, _ completion: @escaping (DiskError?) -> Void) {
        file.prefetchInBackground(offset: offset, count: count, counting(completion))
    }

    func synchronize() throws(DiskError) { try faults.noting { () throws(DiskError) in try file.synchronize() } }

    func synchronizeInBackground(_ completion: @escaping (DiskError?) -> Void) {
        file.synchronizeInBackground(counting(completion))
    }

    func allocate(size: Int) throws(DiskError) {
        try faults.noting { () throws(DiskError) in try file.allocate(size: size) }
    }

    func allocateInBackground(size: Int, _ completion: @escaping (DiskError?) -> Void) {
        file.allocateInBackground(size: size, counting(completion))
    }

    func truncate(to size: Int) throws(DiskError) {
        try faults.noting { () throws(DiskError) in try file.truncate(to: size) }
    }

    func close() { file.close() }
    func closeInBackground() { file.closeInBackground() }
}
