import Base

extension Duration {
    /// Whole milliseconds, at least 0, rounded up so that a wait is never cut to nothing; at most some 139 years, which can
    /// be added to any clock in nanoseconds.
    var milliseconds: Int64 {
        let (seconds, attoseconds) = components
        guard seconds >= 0, attoseconds >= 0 else { return 0 }
        guard seconds < 1 << 32 else { return 1 << 42 }
        return seconds * 1000 + (attoseconds + 999_999_999_999_999) / 1_000_000_000_000_000
    }
}

extension MonotonicTime {
    func advanced(by duration: Duration) -> MonotonicTime { advanced(byMilliseconds: duration.milliseconds) }
}
