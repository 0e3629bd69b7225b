import Base

/// What a broker counts, from the start of the process.
public struct BrokerMetrics: Equatable, Sendable {
    public var messagesSent: Int64 = 0
    public var bytesSent: Int64 = 0
    public var sendsRefused: Int64 = 0
    public var messagesFetched: Int64 = 0
    public var bytesFetched: Int64 = 0
    /// Fetches that brought messages, and those that did not.
    public var fetchesFound: Int64 = 0
    public var fetchesMissed: Int64 = 0
    public var fetchesHeld: Int64 = 0
    public var fetchesExpired: Int64 = 0
    /// Half messages that were stored, and what became of them.
    public var halvesStored: Int64 = 0
    public var transactionsCommitted: Int64 = 0
    public var transactionsRolledBack: Int64 = 0
    public var transactionsGivenUp: Int64 = 0
    /// Questions to producers.
    public var transactionsChecked: Int64 = 0
    /// Delayed messages that were taken, delivered, moved to another slot, taken back, and lost with removed segments.
    public var timersScheduled: Int64 = 0
    public var timersFired: Int64 = 0
    public var timersRolled: Int64 = 0
    public var timersRecalled: Int64 = 0
    public var timersLost: Int64 = 0
    /// How much later than due a timer was delivered at worst, in ms, of those that came due while the broker ran.
    public var timerLatenessMaximum: Int64 = 0
    /// Messages that consumers sent back to be tried again, and those that had no attempts left.
    public var retries: Int64 = 0
    public var deadLetters: Int64 = 0
    /// Requests that had to wait for a quota, and sends that were refused because they would have waited too long.
    public var quotaWaits: Int64 = 0
    public var quotaRefusals: Int64 = 0
    /// Requests that were refused because a limit was reached, and pulls that were not held because too many were.
    public var limitRefusals: Int64 = 0
    public var holdRefusals: Int64 = 0
    public init() {}
}

/// How much was counted lately: a sample a second, of the last ten minutes.
public struct RecentMetrics: Sendable {
    static let intervalMilliseconds: Int64 = 1_000
    static let sampleCount = 601

    /// A ring; the newest sample stands before ``next``.
    private var samples: ContiguousArray<(time: MonotonicTime, metrics: BrokerMetrics)> = []
    private var next = 0

    /// Takes a sample when one is due.
    mutating func sample(_ metrics: BrokerMetrics, at now: MonotonicTime) {
        if let newest, now.milliseconds(since: newest.time) < Self.intervalMilliseconds { return }
        if samples.count < Self.sampleCount {
            samples.append((now, metrics))
            next = samples.count % Self.sampleCount
        } else {
            samples[next] = (now, metrics)
            next = (next + 1) % Self.sampleCount
        }
    }

    private var newest: (time: MonotonicTime, metrics: BrokerMetrics)? {
        samples.isEmpty ? nil : samples[(next + samples.count - 1) % samples.count]
    }

    /// How often a second something was counted in the last `seconds`, up to ten minutes; since the start when that is less.
    public func rate(_ counter: KeyPath<BrokerMetrics, Int64>, seconds: Int) -> Double {
        guard let newest, samples.count > 1 else { return 0 }
        let wanted = Int64(seconds) * 1_000
        // The ring in the order of time, from its oldest sample.
        let oldest = samples.count < Self.sampleCount ? 0 : next
        var low = 0
        var high = samples.count - 1
        // The newest sample that is at least so old.
        while low < high {
            let middle = (low + high + 1) / 2
            let sample = samples[(oldest + middle) % samples.count]
            if newest.time.milliseconds(since: sample.time) >= wanted { low = middle } else { high = middle - 1 }
        }
        let start = samples[(oldest + low) % samples.count]
        let milliseconds = newest.time.milliseconds(since: start.time)
        guard milliseconds > 0 else { return 0 }
        let count = newest.metrics[keyPath: counter] - start.metrics[keyPath: counter]
        return Double(count) * 1_000 / Double(milliseconds)
    }
}

/// Totals at the last two midnights, UTC, for "so many today".
public struct DailyMetrics: Sendable {
    /// At the midnight that began yesterday, and at the one that began today; 0 before the process started.
    public private(set) var yesterday = BrokerMetrics()
    public private(set) var today = BrokerMetrics()
    private var day: Int64?

    mutating func look(_ metrics: BrokerMetrics, at now: Timestamp) {
        let day = now.milliseconds / 86_400_000
        if let known = self.day, day > known {
            yesterday = day == known + 1 ? today : metrics
            today = metrics
        }
        self.day = day
    }
}
