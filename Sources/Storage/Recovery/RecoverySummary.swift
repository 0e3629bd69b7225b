import Base

/// What the last start found, for operators.
public struct RecoverySummary: Equatable, Sendable {
    /// Whether the process before stopped in good order.
    public var wasCleanStop = true
    /// Records that were read again, because the views did not have them.
    public var recordsReplayed = 0
    /// Where the log was cut at a torn write; nil when it was whole.
    public var cutAt: PhysicalOffset?
    /// How long opening took, in ms.
    public var milliseconds: Int64 = 0
    public init() {}
}
