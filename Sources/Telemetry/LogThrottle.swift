import Base

/// Lets a few lines a second through of an event that strangers can bring about at will, and counts the others.
public struct LogThrottle: Sendable {
    /// Lines that may be written within ``interval``.
    public let linesMaximum: Int
    /// In ms.
    public let interval: Int64
    private var began: MonotonicTime?
    private var lines = 0
    private var silent = 0

    public init(lines: Int = 5, perMilliseconds interval: Int64 = 1000) {
        linesMaximum = lines
        self.interval = interval
    }

    /// Notes one event.
    /// - Returns: how many events the line about it stands for; nil when it is to be passed over in silence.
    public mutating func admit(at now: MonotonicTime) -> Int? {
        if began.map({ now.milliseconds(since: $0) >= interval }) ?? true {
            began = now
            lines = 0
        }
        guard lines < linesMaximum else {
            silent += 1
            return nil
        }
        lines += 1
        defer { silent = 0 }
        return silent + 1
    }
}
