/// A moment on the wall clock, in milliseconds since 1970-01-01 00:00 UTC. It may jump when somebody sets the clock:
/// use it for what is stored or shown, and ``MonotonicTime`` for what is waited for.
public struct Timestamp: Hashable, Comparable, Sendable, CustomStringConvertible {
    public var milliseconds: Int64
    @inlinable public init(milliseconds: Int64) { self.milliseconds = milliseconds }
    @inlinable public static func < (a: Self, b: Self) -> Bool { a.milliseconds < b.milliseconds }
    public var description: String { String(milliseconds) }
}

/// A moment on a clock that never jumps, in nanoseconds since an arbitrary start. Only differences mean something.
public struct MonotonicTime: Hashable, Comparable, Sendable {
    public var nanoseconds: Int64
    @inlinable public init(nanoseconds: Int64) { self.nanoseconds = nanoseconds }
    @inlinable public static func < (a: Self, b: Self) -> Bool { a.nanoseconds < b.nanoseconds }
    @inlinable public func advanced(byMilliseconds milliseconds: Int64) -> Self {
        Self(nanoseconds: nanoseconds + milliseconds * 1_000_000)
    }
    /// Whole milliseconds from `start` to this moment.
    @inlinable public func milliseconds(since start: Self) -> Int64 { (nanoseconds - start.nanoseconds) / 1_000_000 }
}

/// Where the core learns the time. The production clock reads the kernel once per turn of the event loop; the simulated
/// one is moved by hand.
public protocol Clock: AnyObject {
    /// The wall clock, for store times and everything that is shown.
    var timestamp: Timestamp { get }
    /// The clock that deadlines are measured on.
    var monotonic: MonotonicTime { get }
}

/// Where the core learns a random number, so that a simulation can repeat a run from its seed.
public protocol RandomSource: AnyObject {
    func next() -> UInt64
}

extension RandomSource {
    /// A number from 0 up to, not including, `bound`.
    public func next(below bound: Int) -> Int {
        precondition(bound > 0, "a random number below \(bound) does not exist")
        return Int(next() % UInt64(bound))
    }
}

/// SplitMix64: a small generator whose whole state is its seed (Steele, Lea, Flood 2014). Not for secrets.
public final class SeededRandom: RandomSource {
    private var state: UInt64
    public init(seed: UInt64) { state = seed }
    public func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}
