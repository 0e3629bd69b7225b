/// When sends are due: at once (closed loop), or at a fixed rate whatever the server does (open loop).
///
/// In an open loop the *n*-th send is due at a time that was fixed before the run began, and its latency counts from then on.
/// When the server stalls, the sends that should have left meanwhile carry the time that they waited, as they would for users
/// who do not wait for one another (otherwise a stall of a second would count as one slow request).
///
/// Above one send per ``tickNanoseconds`` sends are due in groups at each tick: a thread cannot be woken for each.
struct SendSchedule: Equatable, Sendable {
    /// Nanoseconds from one send to the next; nil in a closed loop.
    private let interval: Double?
    private var start: Int64 = 0
    private var issued = 0
    /// When the next send is due.
    private var next: Int64 = 0

    /// The finest grain of the open loop: 10,000 times a second.
    static let tickNanoseconds: Int64 = 100_000

    /// - Parameter perSecond: sends a second, or nil for a closed loop.
    init(perSecond: Double?) {
        precondition(perSecond ?? 1 > 0, "a rate of \(perSecond ?? 0) a second")
        interval = perSecond.map { 1e9 / $0 }
    }

    var isOpenLoop: Bool { interval != nil }

    /// How often somebody has to look; nil in a closed loop, where answers are reason enough.
    var wakeIntervalNanoseconds: Int64? { interval.map { max(Int64($0), Self.tickNanoseconds) } }

    /// The first send is due at `now`.
    mutating func begin(at now: Int64) {
        start = now
        issued = 0
        next = now
    }

    /// Takes the next send if it is due.
    /// - Returns: when it should have been sent.
    @inline(__always)
    mutating func take(_ now: Int64) -> Int64? {
        guard let interval else { return now }
        guard next <= now else { return nil }
        let intended = next
        issued += 1
        let exact = Int64(Double(issued) * interval)
        let tick = Self.tickNanoseconds
        next = start + (interval < Double(tick) ? (exact + tick - 1) / tick * tick : exact)
        return intended
    }
}
