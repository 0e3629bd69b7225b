import Base

/// Both clocks, moved by hand.
public final class SimulatedClock: Clock {
    public private(set) var timestamp: Timestamp
    public private(set) var monotonic: MonotonicTime

    /// - Parameter timestamp: where the wall clock begins; 2026-11-20 18:40 UTC unless told.
    public init(timestamp: Timestamp = Timestamp(milliseconds: 1_795_200_000_000)) {
        self.timestamp = timestamp
        monotonic = MonotonicTime(nanoseconds: 1_000_000_000)
    }

    /// Lets time pass on both clocks.
    public func advance(milliseconds: Int64) {
        precondition(milliseconds >= 0, "time does not run backwards; see setWallClock")
        timestamp.milliseconds += milliseconds
        monotonic = monotonic.advanced(byMilliseconds: milliseconds)
    }

    /// Sets the wall clock, as an operator or a time server may, also backwards.
    public func setWallClock(_ timestamp: Timestamp) { self.timestamp = timestamp }
}
