import Base

/// Lets through so many tokens a second, and at once as many as a second brings.
///
/// Kept as what is missing from a full bucket, in billionths of a token, so that nothing is rounded: in any time the bucket
/// lets through at most rate × time + rate. Something that is larger than the bucket passes when the bucket is full, and
/// leaves it in debt.
struct TokenBucket {
    /// Tokens a second, and the tokens of a full bucket; 0 when there is no limit.
    private(set) var rate: Int64 = 0
    /// What is missing from a full bucket, in tokens × 10⁹; above `rate` × 10⁹ the bucket is in debt.
    private var missing: Int64 = 0
    private var updated = MonotonicTime(nanoseconds: 0)

    private static let unit: Int64 = 1_000_000_000

    /// What is missing stays missing when the rate changes, up to a whole bucket.
    mutating func setRate(_ rate: Int64) {
        guard rate != self.rate else { return }
        self.rate = min(max(0, rate), Limits.quotaRateMaximum)
        missing = min(missing, self.rate * Self.unit)
    }

    /// Counts what has flowed in since the last call. A time before that of the last call changes nothing.
    private mutating func refill(_ now: MonotonicTime) {
        let elapsed = now.nanoseconds - updated.nanoseconds
        guard elapsed > 0 else { return }
        updated = now
        guard missing > 0 else { return }
        let (inflow, isEnough) = elapsed.multipliedReportingOverflow(by: rate)
        missing = isEnough ? 0 : max(0, missing - inflow)
    }

    /// Nanoseconds until `tokens` may pass, behind `ahead` tokens that wait already; 0 when they may now.
    mutating func wait(for tokens: Int64, ahead: Int64, now: MonotonicTime) -> Int64 {
        guard rate > 0 else { return 0 }
        refill(now)
        let full = rate * Self.unit
        // What is larger than the bucket waits for a full one.
        let needed = min(Self.scaled(tokens), full)
        let (before, isFar) = missing.addingReportingOverflow(Self.scaled(ahead))
        guard !isFar else { return .max }
        let lacking = before - (full - needed)
        return lacking <= 0 ? 0 : lacking / rate + (lacking % rate == 0 ? 0 : 1)
    }

    /// Takes tokens out, whether they are there or not.
    mutating func take(_ tokens: Int64, now: MonotonicTime) {
        guard rate > 0 else { return }
        refill(now)
        let (sum, isFar) = missing.addingReportingOverflow(Self.scaled(tokens))
        missing = isFar ? .max : sum
    }

    /// Whole tokens that are there.
    mutating func available(_ now: MonotonicTime) -> Int64 {
        guard rate > 0 else { return .max }
        refill(now)
        return max(0, rate * Self.unit - missing) / Self.unit
    }

    /// True when the bucket is full, and so says no more than a new one would.
    mutating func isFull(_ now: MonotonicTime) -> Bool {
        refill(now)
        return missing == 0
    }

    private static func scaled(_ tokens: Int64) -> Int64 {
        let (product, isFar) = max(0, tokens).multipliedReportingOverflow(by: unit)
        return isFar ? .max : product
    }
}
