import Base
import Model
import Testing

@testable import BrokerCore

@Suite("Token buckets")
struct TokenBucketTests {
    private static func at(_ nanoseconds: Int64) -> MonotonicTime { MonotonicTime(nanoseconds: nanoseconds) }

    @Test(
        "in any time no more passes than rate × time + one second's worth",
        arguments: [1, 3, 7, 1_000, 999_983, Limits.quotaRateMaximum] as [Int64], [1 as UInt64, 2, 3])
    func neverMore(_ rate: Int64, _ seed: UInt64) {
        let random = SeededRandom(seed: seed)
        var bucket = TokenBucket()
        bucket.setRate(rate)
        var now: Int64 = 5_000_000_000
        /// When something passed, and how much had passed before.
        var passed: [(time: Int64, before: Int64)] = []
        var total: Int64 = 0
        for _ in 0..<2_000 {
            now += Int64(random.next(below: 300_000_000))
            let size = 1 + Int64(random.next(below: Int(min(rate, 1_000_000))))
            while bucket.wait(for: size, ahead: 0, now: Self.at(now)) == 0 {
                bucket.take(size, now: Self.at(now))
                passed.append((now, total))
                total += size
                if passed.count > 20_000 { break }
            }
            if passed.count > 20_000 { break }
        }
        #expect(total > 0)
        // From every start in the past to now; the arithmetic is exact, so the bound is, too.
        for start in passed.indices where start % 7 == 0 {
            let first = passed[start]
            for end in stride(from: start, to: passed.count, by: 11) {
                let last = passed[end]
                let amount = (end + 1 < passed.count ? passed[end + 1].before : total) - first.before
                let elapsed = last.time - first.time
                let allowed = elapsed.multipliedFullWidth(by: rate)
                guard allowed.high == 0 else { continue }
                #expect(amount <= rate || UInt64(amount - rate) <= allowed.low / 1_000_000_000 + 1)
            }
        }
    }

    @Test("it says to the nanosecond when something may pass")
    func exactWait() {
        var bucket = TokenBucket()
        bucket.setRate(3)
        bucket.take(3, now: Self.at(0))
        let wait = bucket.wait(for: 1, ahead: 0, now: Self.at(0))
        #expect(wait == 333_333_334)
        var early = bucket
        #expect(early.wait(for: 1, ahead: 0, now: Self.at(wait - 1)) == 1)
        #expect(bucket.wait(for: 1, ahead: 0, now: Self.at(wait)) == 0)
    }

    @Test("what is larger than the bucket passes a full one, and is paid for afterwards")
    func large() {
        var bucket = TokenBucket()
        bucket.setRate(10)
        #expect(bucket.wait(for: 35, ahead: 0, now: Self.at(0)) == 0)
        bucket.take(35, now: Self.at(0))
        #expect(bucket.wait(for: 1, ahead: 0, now: Self.at(0)) == 2_600_000_000)
        #expect(bucket.wait(for: 35, ahead: 0, now: Self.at(0)) == 3_500_000_000)
    }

    @Test("a clock that stands still, or goes back, brings nothing")
    func noTime() {
        var bucket = TokenBucket()
        bucket.setRate(10)
        bucket.take(10, now: Self.at(1_000_000_000))
        #expect(bucket.wait(for: 1, ahead: 0, now: Self.at(0)) == 100_000_000)
        #expect(bucket.wait(for: 1, ahead: 0, now: Self.at(1_000_000_000)) == 100_000_000)
        #expect(bucket.wait(for: 1, ahead: 0, now: Self.at(1_100_000_000)) == 0)
    }

    @Test("another rate forgives no more than a bucket, and no rate is no limit")
    func changes() {
        var bucket = TokenBucket()
        bucket.setRate(1_000)
        bucket.take(1_000, now: Self.at(0))
        bucket.setRate(10)
        #expect(bucket.wait(for: 1, ahead: 0, now: Self.at(0)) == 100_000_000)
        bucket.setRate(0)
        #expect(bucket.wait(for: 1_000_000, ahead: 5, now: Self.at(0)) == 0)
        #expect(bucket.available(Self.at(0)) == .max)
    }

    @Test("the largest numbers do not overflow")
    func extremes() {
        var bucket = TokenBucket()
        bucket.setRate(.max)
        #expect(bucket.rate == Limits.quotaRateMaximum)
        for _ in 0..<4 { bucket.take(.max, now: Self.at(0)) }
        #expect(bucket.wait(for: .max, ahead: .max, now: Self.at(1)) == .max)
        #expect(bucket.wait(for: 1, ahead: 0, now: Self.at(.max)) == 0)
    }
}
