import Glibc

/// Notices that one of a few files was written, replaced, made or removed. Looks at them when asked; keeps nothing open.
struct FileWatch {
    private struct Signature: Equatable {
        var inode: UInt
        var size: Int
        var seconds: Int
        var nanoseconds: Int
    }

    let paths: [String]
    private var seen: [Signature?]

    init(_ paths: [String]) {
        self.paths = paths
        seen = paths.map(Self.signature)
    }

    /// Whether any file differs from when this was asked last.
    mutating func hasChanged() -> Bool {
        let now = paths.map(Self.signature)
        defer { seen = now }
        return now != seen
    }

    /// Files that others than their owner and group may read: no place for secrets.
    static func isReadableByAll(_ path: String) -> Bool {
        var status = stat()
        return stat(path, &status) == 0 && status.st_mode & S_IROTH != 0
    }

    private static func signature(_ path: String) -> Signature? {
        var status = stat()
        guard stat(path, &status) == 0 else { return nil }
        return Signature(
            inode: UInt(status.st_ino), size: Int(status.st_size), seconds: status.st_mtim.tv_sec,
            nanoseconds: status.st_mtim.tv_nsec)
    }
}
