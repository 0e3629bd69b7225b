import Base

/// What can go wrong in the store. Each case says what the caller does about it.
public enum StorageError: Error, Equatable, Sendable {
    /// No room for another record. Refuse the message; reads go on; a later append may succeed.
    case diskFull
    /// The record is larger than a segment or the append buffer. Refuse the message.
    case recordTooLarge(size: Int, maximum: Int)
    /// A write or synchronisation failed: what the files hold is no longer known. Refuse every append; stop the process.
    case stopped(DiskError)
    /// The operating system refused something else.
    case disk(DiskError)
    /// Bytes that should be whole are not. Never cut silently: an operator decides.
    case corrupt(file: String, position: Int, reason: String)
    /// Another process holds the store.
    case locked(path: String)

    init(_ error: DiskError) {
        switch error.kind {
        case .full: self = .diskFull
        case .locked: self = .locked(path: error.path)
        default: self = .disk(error)
        }
    }

    init(_ error: ViewError) {
        switch error {
        case .disk(let error): self.init(error)
        case .corrupt(let path, let position, let reason):
            self = .corrupt(file: path, position: position, reason: reason)
        }
    }
}

extension StorageError: CustomStringConvertible {
    public var description: String {
        switch self {
        case .diskFull: "the disk is full"
        case .recordTooLarge(let size, let maximum): "a record of \(size) bytes is larger than \(maximum)"
        case .stopped(let error): "the store stopped after an I/O error: \(error)"
        case .disk(let error): "\(error)"
        case .corrupt(let file, let position, let reason): "\(file) is damaged at byte \(position): \(reason)"
        case .locked(let path): "\(path) is in use by another process"
        }
    }
}
