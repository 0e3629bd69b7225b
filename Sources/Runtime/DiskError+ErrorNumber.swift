import Base
import Glibc

extension DiskError {
    /// How the kernel's error numbers are understood; every other one is ``Kind/other``.
    private static let kinds: [Int32: Kind] = [
        ENOENT: .notFound,
        ENOTDIR: .notFound,
        EEXIST: .alreadyExists,
        ENOTEMPTY: .alreadyExists,
        ENOSPC: .full,
        EDQUOT: .full,
        EIO: .inputOutput,
        ENXIO: .inputOutput,
        EUCLEAN: .inputOutput,
        EACCES: .permission,
        EPERM: .permission,
        EROFS: .permission,
        EMFILE: .tooManyOpenFiles,
        ENFILE: .tooManyOpenFiles,
    ]

    /// What the kernel refused with `number`.
    init(_ number: Int32, _ operation: String, _ path: String) {
        self.init(kind: Self.kinds[number] ?? .other, operation: operation, path: path, errorNumber: number)
    }
}

/// Calls the kernel again for as long as a signal interrupts it.
/// - Returns: the result, or the negative error number.
func uninterrupted<T: SignedInteger>(_ call: () -> T) -> T {
    while true {
        let result = call()
        if result >= 0 { return result }
        if errno != EINTR { return T(-errno) }
    }
}
