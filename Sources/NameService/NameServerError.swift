import Base

/// What can keep a name server from doing what it is asked: its file, and its limits.
public enum NameServerError: Error, Equatable, Sendable, CustomStringConvertible {
    /// The key-value configuration cannot be read; the file is left as it is for a person to look at.
    case kvConfigNotRead(path: String, reason: String)
    /// A change of the key-value configuration could not be made durable, and was not made.
    case kvConfigNotSaved(path: String, reason: String)
    /// There is no room for one more: what of, and how many there may be.
    case limitReached(String, Int)
    /// A name that is too long.
    case nameTooLong(String)

    public var description: String {
        switch self {
        case .kvConfigNotRead(let path, let reason): "cannot read the configuration in \(path): \(reason)"
        case .kvConfigNotSaved(let path, let reason): "cannot save the configuration to \(path): \(reason)"
        case .limitReached(let what, let maximum): "system busy: this name server keeps at most \(maximum) \(what)"
        case .nameTooLong(let what): "\(what) has more than \(Limits.nameLengthMaximum) bytes"
        }
    }
}
