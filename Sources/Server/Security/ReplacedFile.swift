import Glibc

/// Puts a whole text in the place of a file's.
enum ReplacedFile {
    /// Writes a file beside it, makes that durable, and gives it the name: after a crash the old text is there, or the new one.
    /// Owner and mode stay. What a symbolic link leads to is replaced, not the link. Takes as long as the medium does.
    /// - Throws: why; the old file is as it was.
    static func write(_ text: String, to path: String) throws(ServerError) {
        guard let resolved = realpath(path, nil) else { throw failure(path) }
        defer { free(resolved) }
        let target = String(cString: resolved)
        let temporary = target + ".tmp"
        var old = stat()
        guard stat(target, &old) == 0 else { throw failure(target) }
        // One that a crash left, or a link that somebody put there.
        unlink(temporary)
        do throws(ServerError) {
            try make(temporary, text, like: old)
            guard rename(temporary, target) == 0 else { throw failure(target) }
        } catch {
            unlink(temporary)
            throw error
        }
        try synchronizeFolder(of: target)
    }

    private static func make(_ path: String, _ text: String, like old: stat) throws(ServerError) {
        let descriptor = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard descriptor >= 0 else { throw failure(path) }
        defer { close(descriptor) }
        // Another owner can be set by root only; then nobody else needs to be able to read it.
        if old.st_uid != geteuid() || old.st_gid != getegid() { _ = fchown(descriptor, old.st_uid, old.st_gid) }
        guard fchmod(descriptor, old.st_mode & 0o777) == 0 else { throw failure(path) }
        var bytes = Array(text.utf8)[...]
        while !bytes.isEmpty {
            let count = bytes.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { throw failure(path) }
            bytes = bytes.dropFirst(count)
        }
        guard fsync(descriptor) == 0 else { throw failure(path) }
    }

    private static func synchronizeFolder(of path: String) throws(ServerError) {
        let folder = path.lastIndex(of: "/").map { $0 == path.startIndex ? "/" : String(path[..<$0]) } ?? "."
        let descriptor = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else { throw failure(folder) }
        defer { close(descriptor) }
        guard fsync(descriptor) == 0 else { throw failure(folder) }
    }

    private static func failure(_ path: String) -> ServerError {
        ServerError("\(path): cannot be written (\(String(cString: strerror(errno))))")
    }
}
