import Base

/// Notices when somebody sets the wall clock: it and the monotonic clock should move together.
struct ClockWatch {
    /// The wall clock less the monotonic one when the broker started, and at the last look, in ms.
    private let start: Int64
    private var last: Int64
    /// How often it jumped, the largest jump (negative: back) and the last one, in ms.
    private(set) var jumps: Int64 = 0
    private(set) var largestJump: Int64 = 0
    private(set) var lastJump: Int64 = 0
    private(set) var lastJumpTime: MonotonicTime?

    /// Less than this between two looks, 50 ms apart, is how a time service moves a clock.
    static let jumpMilliseconds: Int64 = 500

    init(_ clock: (Timestamp, MonotonicTime)) {
        start = Self.difference(clock)
        last = start
    }

    private static func difference(_ clock: (Timestamp, MonotonicTime)) -> Int64 {
        clock.0.milliseconds - clock.1.nanoseconds / 1_000_000
    }

    /// How far the wall clock has moved against the monotonic one since the start, in ms.
    var drift: Int64 { last - start }

    /// - Returns: the jump, in ms, when there was one since the last look.
    mutating func look(_ clock: (Timestamp, MonotonicTime)) -> Int64? {
        let difference = Self.difference(clock)
        let moved = difference - last
        last = difference
        guard abs(moved) >= Self.jumpMilliseconds else { return nil }
        jumps += 1
        lastJump = moved
        lastJumpTime = clock.1
        if abs(moved) > abs(largestJump) { largestJump = moved }
        return moved
    }
}
