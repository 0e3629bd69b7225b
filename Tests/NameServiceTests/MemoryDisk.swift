import Base

/// Files in memory, of which only what was made durable survives ``crash()``. Can be told to fail.
final class MemoryDisk: Disk {
    final class Content {
        var bytes: [UInt8] = []
        var durable: [UInt8] = []
    }
    private var files: [String: Content] = [:]
    private var durableNames: [String: Content] = [:]
    /// The operation that fails next, and ever after.
    var failing: String?

    /// What a file holds, as text.
    subscript(path: String) -> String? {
        get { files[path].map { String(decoding: $0.bytes, as: UTF8.self) } }
        set {
            let content = Content()
            content.bytes = Array((newValue ?? "").utf8)
            content.durable = content.bytes
            files[path] = content
            durableNames[path] = content
        }
    }

    func crash() {
        files = durableNames
        for file in files.values { file.bytes = file.durable }
    }

    fileprivate func check(_ operation: String, _ path: String) throws(DiskError) {
        if failing == operation { throw DiskError(kind: .full, operation: operation, path: path, errorNumber: 28) }
    }

    func makeDirectory(_ path: String) throws(DiskError) { try check("mkdir", path) }
    func list(_ path: String) throws(DiskError) -> [DirectoryEntry] { [] }
    func open(_ path: String, _ mode: DiskOpenMode) throws(DiskError) -> any DiskFile {
        try check("open", path)
        if let content = files[path] { return MemoryFile(path: path, disk: self, content: content) }
        guard mode != .existing else { throw DiskError(kind: .notFound, operation: "open", path: path) }
        let content = Content()
        files[path] = content
        return MemoryFile(path: path, disk: self, content: content)
    }
    func exists(_ path: String) -> Bool { files[path] != nil }
    func remove(_ path: String) throws(DiskError) { files[path] = nil }
    func rename(_ source: String, to destination: String) throws(DiskError) {
        try check("rename", destination)
        files[destination] = files.removeValue(forKey: source)
    }
    func synchronizeDirectoryInBackground(_ path: String, _ completion: @escaping (DiskError?) -> Void) {
        completion(nil)
    }
    func synchronizeDirectory(_ path: String) throws(DiskError) {
        try check("fsync directory", path)
        durableNames = files
    }
    func lock(_ path: String) throws(DiskError) -> any DiskFile { try open(path, .createIfMissing) }
    func synchronizeAll(_ path: String) throws(DiskError) {}
    func synchronizeAllInBackground(_ path: String, _ completion: @escaping (DiskError?) -> Void) { completion(nil) }
    func makeFileInBackground(
        _ path: String, size: Int, reserved: Int, _ completion: @escaping (Result<any DiskFile, DiskError>) -> Void
    ) { completion(.failure(DiskError(kind: .other, operation: "make", path: path))) }
    func space(at path: String) throws(DiskError) -> DiskSpace { DiskSpace(available: 1, total: 2) }
    var pushesBack: Bool { false }
}

private final class MemoryFile: DiskFile {
    let path: String
    let disk: MemoryDisk
    let content: MemoryDisk.Content

    init(path: String, disk: MemoryDisk, content: MemoryDisk.Content) {
        self.path = path
        self.disk = disk
        self.content = content
    }

    func size() throws(DiskError) -> Int { content.bytes.count }
    func modified() throws(DiskError) -> Timestamp { Timestamp(milliseconds: 0) }
    func write(_ bytes: RawSpan, at offset: Int) throws(DiskError) {
        try disk.check("write", path)
        let end = offset + bytes.byteCount
        if content.bytes.count < end { content.bytes += [UInt8](repeating: 0, count: end - content.bytes.count) }
        bytes.withUnsafeBytes { content.bytes.replaceSubrange(offset..<end, with: $0) }
    }
    func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int) throws(DiskError) -> Int {
        try disk.check("read", path)
        let count = max(0, min(buffer.count, content.bytes.count - offset))
        buffer.copyBytes(from: content.bytes[offset..<offset + count])
        return count
    }
    func readIfCached(into buffer: UnsafeMutableRawBufferPointer, at offset: Int) throws(DiskError) -> Int? {
        try read(into: buffer, at: offset)
    }
    func prefetchInBackground(offset: Int, count: Int, _ completion: @escaping (DiskError?) -> Void) {
        completion(nil)
    }
    func synchronize() throws(DiskError) {
        try disk.check("fsync", path)
        content.durable = content.bytes
    }
    func synchronizeInBackground(_ completion: @escaping (DiskError?) -> Void) { completion(nil) }
    func writeInBackground(
        _ bytes: UnsafeRawBufferPointer, of owner: AnyObject, at offset: Int,
        _ completion: @escaping (DiskError?) -> Void
    ) { completion(DiskError(kind: .other, operation: "write", path: path)) }
    func allocate(size: Int) throws(DiskError) {}
    func allocateInBackground(size: Int, _ completion: @escaping (DiskError?) -> Void) { completion(nil) }
    func truncate(to size: Int) throws(DiskError) { content.bytes.removeSubrange(min(size, content.bytes.count)...) }
    func close() {}
    func closeInBackground() {}
}
