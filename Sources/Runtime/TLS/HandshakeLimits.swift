import Base

/// How much of a loop handshakes may have. A handshake costs the server a hundred times what a small request does, and a
/// stranger next to nothing; without limits a flood of them would take the loop from everybody else.
///
///     within the share   begins at once
///     beyond it          waits, unread, in the order of arrival, up to the handshake's deadline
///     too many at a time closed at once
public struct TLSHandshakeLimits: Equatable, Sendable {
    /// Handshakes under way and waiting. OpenSSL reserves up to 128 KiB for each that is under way as soon as a peer announces
    /// a long message, so 1,024 bound that memory to 128 MiB.
    public var maximum = 1024
    /// The same from one address, so that no single one keeps all others away.
    public var perAddressMaximum = 256
    /// Whether ``perAddressMaximum`` holds for addresses of this machine.
    public var includesLoopback = false
    /// The part of the loop's time that handshakes may take, in percent: of the time that it works or has nothing to do, not of that
    /// in which others have the processor. Taking and closing their connections comes on top,
    /// about a third of it.
    public var sharePercent = 15
    public init() {}
}

/// The time that handshakes may still take: grows with time, by a share of it, and shrinks by what they took.
struct HandshakeBudget {
    private let percent: Int64
    private let maximum: Int64
    /// In nanoseconds; below 0 after a handshake that took more than there was.
    private(set) var level: Int64
    private var lastRefill: MonotonicTime?

    /// What gathers while there are no handshakes: that of so much time.
    static let gatheringNanoseconds: Int64 = 50_000_000

    init(percent: Int) {
        self.percent = Int64(percent)
        maximum = Self.gatheringNanoseconds * Int64(percent) / 100
        level = maximum
    }

    mutating func refill(_ now: MonotonicTime) {
        defer { lastRefill = now }
        guard let lastRefill else { return }
        // A minute fills it from any level, and keeps the product small.
        let elapsed = min(max(0, now.nanoseconds - lastRefill.nanoseconds), 60_000_000_000)
        level = min(maximum, level + elapsed * percent / 100)
    }

    mutating func charge(_ nanoseconds: Int64) { level -= max(0, nanoseconds) }

    var isOpen: Bool { level > 0 }

    /// How long until it is open again, at least 1.
    var millisecondsUntilOpen: Int64 { max(1, (1 - level) * 100 / percent / 1_000_000 + 1) }
}
