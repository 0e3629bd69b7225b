import Base

/// Why a view of the log (consume queue, message index) could not be loaded. Nothing is lost by it: views can be deleted and
/// are then rebuilt from the commit log.
public enum ViewError: Error, Equatable, Sendable, CustomStringConvertible {
    /// The file system refused.
    case disk(DiskError)
    /// The files contradict each other or the configuration.
    case corrupt(path: String, position: Int, reason: String)

    public var description: String {
        switch self {
        case .disk(let error): error.description
        case .corrupt(let path, let position, let reason): "\(path) is damaged at byte \(position): \(reason)"
        }
    }
}
