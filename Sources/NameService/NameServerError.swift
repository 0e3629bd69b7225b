/// What can keep a name server from doing what it is asked: only its file can.
public enum NameServerError: Error, Equatable, Sendable, CustomStringConvertible {
    /// The key-value configuration cannot be read; the file is left as it is for a person to look at.
    case kvConfigNotRead(path: String, reason: String)
    /// A change of the key-value configuration could not be made durable, and was not made.
    case kvConfigNotSaved(path: String, reason: String)

    public var description: String {
        switch self {
        case .kvConfigNotRead(let path, let reason): "cannot read the configuration in \(path): \(reason)"
        case .kvConfigNotSaved(let path, let reason): "cannot save the configuration to \(path): \(reason)"
        }
    }
}
