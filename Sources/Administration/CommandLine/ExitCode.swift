/// What `apus` answers to the shell. Scripts rely on these: a number never changes its meaning and is never reused.
public enum ExitCode: Int32, Sendable, CaseIterable {
    case success = 0
    /// It was tried and did not work, for any reason that has no number of its own.
    case failure = 1
    /// The command line or the configuration is wrong; nothing was tried.
    case usage = 2
    /// The topic, group, message or broker that was named does not exist.
    case notFound = 3
    /// Nobody answered in time, or the address cannot be reached.
    case unreachable = 4
    /// The server answered and refused: permission, limits, a wrong state.
    case refused = 5
    /// A check found a difference: messages lost, duplicated, out of order or changed; or damage in a store.
    case verification = 6
    /// `apus health`: everything works, and somebody should look at something.
    case degraded = 7
    /// `apus health`: something does not do what it is there for.
    case unhealthy = 8
    /// Stopped by Ctrl-C before it was done, as shells count it: 128 + SIGINT.
    case interrupted = 130

    /// What it means, in one line.
    public var meaning: String {
        switch self {
        case .success: "done"
        case .failure: "tried, and did not work"
        case .usage: "the command line or the configuration is wrong; nothing was tried"
        case .notFound: "what was named does not exist"
        case .unreachable: "no answer in time, or nobody listens there"
        case .refused: "the server answered and refused"
        case .verification: "messages were lost, duplicated, out of order or changed, or a store is damaged"
        case .degraded: "a health check says that somebody should look"
        case .unhealthy: "a health check says that something does not work"
        case .interrupted: "stopped by Ctrl-C"
        }
    }
}

/// Why a command did not do what it was asked; printed as `apus: what was wrong; what to do`.
public struct CommandFailure: Error, Equatable, Sendable {
    public var code: ExitCode
    public var message: String
    /// What the reader can do about it; may be empty.
    public var advice: String

    public init(_ code: ExitCode, _ message: String, advice: String = "") {
        self.code = code
        self.message = message
        self.advice = advice
    }

    /// The line for standard error.
    public var line: String { "apus: " + message + (advice.isEmpty ? "" : "; " + advice) }
}
