import Base
import CLibuv
import Glibc

/// The kernel's file systems. Calls without `InBackground` work on the calling thread, whether the loop runs or not; what
/// runs in the background completes on the loop.
public final class LoopDisk: Disk {
    private let loop: EventLoop
    private let pressure = DiskPressure()

    public init(loop: EventLoop) { self.loop = loop }

    public var pushesBack: Bool { pressure.isHigh }

    public func makeDirectory(_ path: String) throws(DiskError) {
        // The parents first; that they exist already is what usually happens.
        var end = path.utf8.startIndex
        while let slash = path.utf8[end...].dropFirst().firstIndex(of: UInt8(ascii: "/")) {
            mkdir(String(path[..<slash]), 0o755)
            end = slash
        }
        guard mkdir(path, 0o755) != 0 else { return }
        let number = errno
        guard number == EEXIST, kind(of: path) == S_IFDIR else { throw DiskError(number, "make directory", path) }
    }

    public func list(_ path: String) throws(DiskError) -> [DirectoryEntry] {
        guard let directory = opendir(path) else {
            if errno == ENOENT { return [] }
            throw DiskError(errno, "list", path)
        }
        defer { closedir(directory) }
        var entries: [DirectoryEntry] = []
        while true {
            errno = 0
            guard let entry = readdir(directory) else { break }
            let name = withUnsafeBytes(of: &entry.pointee.d_name) { bytes in
                String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
            }
            guard name != ".", name != ".." else { continue }
            // Some file systems do not fill in the type.
            let isKnown = Int(entry.pointee.d_type) != Int(DT_UNKNOWN)
            let isDirectory =
                isKnown ? Int(entry.pointee.d_type) == Int(DT_DIR) : kind(of: path + "/" + name) == S_IFDIR
            entries.append(DirectoryEntry(name: name, isDirectory: isDirectory))
        }
        guard errno == 0 else { throw DiskError(errno, "list", path) }
        return entries.sorted { $0.name < $1.name }
    }

    public func open(_ path: String, _ mode: DiskOpenMode) throws(DiskError) -> any DiskFile {
        let flags =
            switch mode {
            case .existing: O_RDWR
            case .createIfMissing: O_RDWR | O_CREAT
            case .createNew: O_RDWR | O_CREAT | O_EXCL
            }
        return LoopFile(loop, pressure, path, try Descriptor(path, flags, "open"))
    }

    public func makeFileInBackground(
        _ path: String, size: Int, reserved: Int, _ completion: @escaping (Result<any DiskFile, DiskError>) -> Void
    ) {
        loop.runInBackground({ makeFile(path, size: size, reserved: reserved) }) { [loop, pressure] made in
            completion(made.map { LoopFile(loop, pressure, path, $0) })
        }
    }

    public func exists(_ path: String) -> Bool { kind(of: path) != nil }

    public func remove(_ path: String) throws(DiskError) {
        // Glibc's remove(3) is unlink for files and rmdir for folders.
        guard Glibc.remove(path) == 0 else { throw DiskError(errno, "remove", path) }
    }

    public func rename(_ source: String, to destination: String) throws(DiskError) {
        guard Glibc.rename(source, destination) == 0 else { throw DiskError(errno, "rename", source) }
    }

    public func synchronizeDirectory(_ path: String) throws(DiskError) {
        if let error = synchronizeNames(in: path) { throw error }
    }

    public func synchronizeDirectoryInBackground(_ path: String, _ completion: @escaping (DiskError?) -> Void) {
        loop.runInBackground({ synchronizeNames(in: path) }, completion)
    }

    public func lock(_ path: String) throws(DiskError) -> any DiskFile {
        let descriptor = try Descriptor(path, O_RDWR | O_CREAT, "lock")
        let status = apus_lock(descriptor.number)
        guard status == 0 else {
            var error = DiskError(-status, "lock", path)
            // POSIX leaves it to the system which of the two means "taken".
            if status == -EAGAIN || status == -EACCES { error.kind = .locked }
            throw error
        }
        return LoopFile(loop, pressure, path, descriptor)
    }

    public func synchronizeAll(_ path: String) throws(DiskError) {
        if let error = synchronizeFileSystem(of: path) { throw error }
    }

    public func synchronizeAllInBackground(_ path: String, _ completion: @escaping (DiskError?) -> Void) {
        loop.runInBackground({ synchronizeFileSystem(of: path) }, completion)
    }

    public func space(at path: String) throws(DiskError) -> DiskSpace {
        var available: Int64 = 0
        var total: Int64 = 0
        let status = apus_space(path, &available, &total)
        guard status == 0 else { throw DiskError(-status, "space", path) }
        return DiskSpace(available: available, total: total)
    }

    public func makeReader(of files: [any DiskFile]) -> any DiskReader { ReaderThreads(files.map { $0 as? LoopFile }) }

    /// S_IFDIR, S_IFREG and so on; nil when nothing is there.
    private func kind(of path: String) -> mode_t? {
        var found = stat()
        return stat(path, &found) == 0 ? found.st_mode & S_IFMT : nil
    }
}

/// An open descriptor. Work in the background holds on to it, so closing a file never pulls it from under a worker thread.
final class Descriptor: Sendable {
    let number: Int32

    init(_ path: String, _ flags: Int32, _ operation: String) throws(DiskError) {
        number = uninterrupted { Glibc.open(path, flags | O_CLOEXEC, 0o644) }
        guard number >= 0 else { throw DiskError(-number, operation, path) }
    }

    deinit {
        if number >= 0 { close(number) }
    }
}

private func makeFile(_ path: String, size: Int, reserved: Int) -> Result<Descriptor, DiskError> {
    Result { () throws(DiskError) in
        let descriptor = try Descriptor(path, O_RDWR | O_CREAT, "make")
        // What a file of this name held before reads as zeros.
        for length in [0, size] {
            let result = uninterrupted { ftruncate(descriptor.number, off_t(length)) }
            guard result >= 0 else { throw DiskError(-result, "truncate", path) }
        }
        let result = reserve(descriptor.number, size: reserved)
        guard result >= 0 else { throw DiskError(-result, "allocate", path) }
        return descriptor
    }
}

private func synchronizeNames(in path: String) -> DiskError? {
    do throws(DiskError) {
        let directory = try Descriptor(path, O_RDONLY | O_DIRECTORY, "synchronize directory")
        let result = uninterrupted { fsync(directory.number) }
        return result >= 0 ? nil : DiskError(-result, "synchronize directory", path)
    } catch {
        return error
    }
}

private func synchronizeFileSystem(of path: String) -> DiskError? {
    do throws(DiskError) {
        let directory = try Descriptor(path, O_RDONLY, "synchronize all")
        let status = apus_syncfs(directory.number)
        return status == 0 ? nil : DiskError(-status, "synchronize all", path)
    } catch {
        return error
    }
}
