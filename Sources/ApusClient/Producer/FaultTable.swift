import Base

/// Which brokers to pass over for a while, because they were slow or failed: RocketMQ's `MQFaultStrategy`.
///
///     latency, ms, from    50   100   550   1000    2000    3000    15000
///     passed over, ms       0     0  30000  60000  120000  180000  600000
///
/// A broker that fails counts as one with a latency of 30 s.
struct FaultTable {
    static let latencies: [Int64] = [50, 100, 550, 1000, 2000, 3000, 15000]
    static let durations: [Int64] = [0, 0, 30_000, 60_000, 120_000, 180_000, 600_000]
    static let failureLatency: Int64 = 30_000

    struct Entry: Equatable {
        var latencyMilliseconds: Int64
        var availableFrom: MonotonicTime
    }
    private(set) var entries: [String: Entry] = [:]

    /// How long a broker is passed over after an answer that took this long.
    static func duration(latencyMilliseconds: Int64) -> Int64 {
        for index in latencies.indices.reversed() where latencyMilliseconds >= latencies[index] {
            return durations[index]
        }
        return 0
    }

    /// Notes how a send went.
    mutating func record(_ broker: String, latencyMilliseconds: Int64, isFailure: Bool, now: MonotonicTime) {
        let counted = isFailure ? Self.failureLatency : latencyMilliseconds
        entries[broker] = Entry(
            latencyMilliseconds: latencyMilliseconds,
            availableFrom: now.advanced(byMilliseconds: Self.duration(latencyMilliseconds: counted)))
    }

    func isAvailable(_ broker: String, now: MonotonicTime) -> Bool {
        entries[broker].map { now >= $0.availableFrom } ?? true
    }

    /// The broker that does least harm when none of `brokers` is available: the one that is available first, and of those
    /// the fastest.
    func leastBad(of brokers: some Sequence<String>) -> String? {
        brokers.min { a, b in
            guard let first = entries[a] else { return entries[b] != nil }
            guard let second = entries[b] else { return false }
            return (first.availableFrom, first.latencyMilliseconds) < (second.availableFrom, second.latencyMilliseconds)
        }
    }
}
