import Base

/// How one of a broker's promises stands. `apus health` shows them; docs/operations.md says what to do about each.
public struct HealthCheck: Equatable, Sendable {
    public enum State: Int, Comparable, Sendable {
        case healthy, degraded, failed
        public static func < (a: Self, b: Self) -> Bool { a.rawValue < b.rawValue }
    }

    public var name: String
    public var state = State.healthy
    /// What was seen, worst first.
    public var findings: [String] = []

    init(_ name: String) { self.name = name }

    /// Adds a finding that makes the check at least as bad as `state`.
    mutating func find(_ state: State, _ finding: String) {
        if state > self.state {
            self.state = state
            findings.insert(finding, at: 0)
        } else {
            findings.append(finding)
        }
    }

    /// As it travels in the table of code 28: `degraded: the disk is 87 % full; 3 I/O errors`.
    public var text: String { findings.isEmpty ? "\(state)" : "\(state): \(findings.joined(separator: "; "))" }
}

/// What the process knows of itself, and a frontend cannot.
public struct ProcessFacts: Sendable {
    /// Descriptors in use, and how many there may be.
    public var openFiles: Int
    public var openFilesMaximum: Int
    /// Connections of all listeners, and how many there may be.
    public var connections: Int
    public var connectionsMaximum: Int
    /// A listener that could not accept when it last tried.
    public var isListenerPaused: Bool
    /// Memory that the process has, in bytes.
    public var residentBytes: Int

    public init(
        openFiles: Int, openFilesMaximum: Int, connections: Int, connectionsMaximum: Int, isListenerPaused: Bool,
        residentBytes: Int
    ) {
        self.openFiles = openFiles
        self.openFilesMaximum = openFilesMaximum
        self.connections = connections
        self.connectionsMaximum = connectionsMaximum
        self.isListenerPaused = isListenerPaused
        self.residentBytes = residentBytes
    }
}
