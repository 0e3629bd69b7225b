import Base
import Telemetry

/// How much memory the peers of a loop may make it hold: frames that have not wholly arrived, and output that is not taken.
///
///     held              what happens
///     ≤ ¾ budget        nothing
///     > ¾               new connections are refused; one that still lacks more than 64 KiB of a frame is read no further
///     > budget, or      the connections that hold something are closed, the newest first, until ½ is held
///     > ¾ for 5 s
///
/// What was acknowledged is in the log, not in these buffers: producers whose connection is closed have no answer yet.
extension EventLoop {
    /// How long connections may stand still for want of memory before some of them are closed.
    static let shortageMilliseconds: Int64 = 5_000
    /// A connection that holds less is not worth closing.
    private static let worthClosing = 4 * 1024

    var memorySoftLimit: Int { memoryBudget / 4 * 3 }
    /// Whether peers hold so much that newcomers have to wait.
    public var isMemoryShort: Bool { heldBytes > memorySoftLimit }

    /// Called at the end of each turn, and once a second.
    func settleMemory() {
        guard isMemoryShort else {
            shortSince = nil
            if !starving.isEmpty { feed() }
            return
        }
        let now = turnClock.monotonic
        let since = shortSince ?? now
        shortSince = since
        guard heldBytes > memoryBudget || now.milliseconds(since: since) >= Self.shortageMilliseconds else { return }
        shortSince = now
        shed()
    }

    private func shed() {
        let before = heldBytes
        let holders = connections.filter { $0.accountedBytes >= Self.worthClosing }.sorted { $0.number > $1.number }
        var closed = 0
        // A connection gives its memory back when its socket has closed, later in this turn or in the next.
        var held = before
        for connection in holders where held > memoryBudget / 2 {
            held -= connection.accountedBytes
            connection.close(.memoryShort, .abort)
            closed += 1
        }
        counters.shed += closed
        log.warning(
            "peers hold too much memory: the newest connections that do are closed",
            ["closed": "\(closed)", "bytes": "\(before)", "maximum": "\(memoryBudget)"])
    }

    /// Reads on from connections that stood still, the oldest first, until memory is short again.
    private func feed() {
        let waiting = starving.sorted { $0.number < $1.number }
        starving = []
        for connection in waiting where connection.isOpen {
            connection.isStarving = false
            connection.resumeReadingIfAllowed()
        }
    }
}
