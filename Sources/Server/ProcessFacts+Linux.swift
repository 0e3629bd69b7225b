import Glibc
import RemotingFrontend
import Runtime

/// The descriptors of this process.
enum OpenFileLimit {
    /// Descriptors that connections must leave to the store, and to everything else: consume queues keep up to 1,024 files open.
    static let reserved = 1_024 + 256

    /// Raises the limit as far as this process may.
    /// - Returns: the limit.
    static func raise() -> Int {
        var limit = rlimit()
        getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
        if limit.rlim_cur < limit.rlim_max {
            limit.rlim_cur = limit.rlim_max
            setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
            getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
        }
        return Int(clamping: limit.rlim_cur)
    }

    /// Connections that a listener may have, of those that are configured.
    /// - Parameter share: what part of the descriptors that are left is the listener's, in eighths.
    static func connections(configured: Int, limit: Int, share: Int) -> Int {
        max(1, min(configured, (limit - reserved) / 8 * share))
    }
}

extension ProcessFacts {
    /// What the kernel says of this process, and its listeners of themselves.
    init(_ listeners: [Listener]) {
        var limit = rlimit()
        getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
        self.init(
            openFiles: Self.entryCount("/proc/self/fd"), openFilesMaximum: Int(clamping: limit.rlim_cur),
            connections: listeners.reduce(0) { $0 + $1.connections },
            connectionsMaximum: listeners.reduce(0) { $0 + $1.connectionsMaximum },
            isListenerPaused: listeners.contains { $0.isPaused }, residentBytes: Self.residentBytes())
    }

    /// Names in a folder of the kernel, less `.`, `..` and the descriptor that reads it.
    private static func entryCount(_ path: String) -> Int {
        guard let folder = opendir(path) else { return 0 }
        defer { closedir(folder) }
        var count = 0
        while readdir(folder) != nil { count += 1 }
        return max(0, count - 3)
    }

    /// The second number of /proc/self/statm counts pages.
    private static func residentBytes() -> Int {
        let descriptor = Glibc.open("/proc/self/statm", O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return 0 }
        defer { Glibc.close(descriptor) }
        var bytes = [UInt8](repeating: 0, count: 128)
        let count = bytes.withUnsafeMutableBytes { Glibc.read(descriptor, $0.baseAddress, $0.count) }
        guard count > 0 else { return 0 }
        let numbers = String(decoding: bytes[..<count], as: UTF8.self).split(separator: " ")
        return (numbers.count > 1 ? Int(numbers[1]) ?? 0 : 0) * sysconf(Int32(_SC_PAGESIZE))
    }
}
