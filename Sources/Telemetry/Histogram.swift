/// Counts durations or sizes in buckets whose width grows with the value: within 1/64 of each value (1.6 %), from 0 to 2⁴⁰,
/// in 34 KiB. Recording costs a few instructions and allocates nothing.
public struct Histogram: Sendable {
    /// Values below 128 have a bucket of their own; above, each power of two has 64 (the lower half of its slots stays empty,
    /// since the top bit of a shifted value is always set).
    private static let subBucketBits = 7
    private static let powers = 40 - subBucketBits
    private var counts: [UInt64]
    public private(set) var count: UInt64 = 0
    public private(set) var maximum: Int64 = 0
    public private(set) var minimum: Int64 = .max
    public private(set) var sum: Int64 = 0

    public init() {
        counts = [UInt64](repeating: 0, count: (Self.powers + 1) << Self.subBucketBits)
    }

    /// Counts one value; negative ones count as 0, and those of 2⁴⁰ and more as the largest.
    public mutating func record(_ value: Int64) {
        let value = Swift.max(0, value)
        counts[Self.bucket(of: value)] += 1
        count += 1
        sum &+= value
        maximum = Swift.max(maximum, value)
        minimum = Swift.min(minimum, value)
    }

    /// Adds everything that `other` counted.
    public mutating func merge(_ other: Histogram) {
        for index in counts.indices { counts[index] += other.counts[index] }
        count += other.count
        sum &+= other.sum
        maximum = Swift.max(maximum, other.maximum)
        minimum = Swift.min(minimum, other.minimum)
    }

    public var mean: Double { count == 0 ? 0 : Double(sum) / Double(count) }

    /// The value that the given share of all values does not exceed; 0 when nothing was counted.
    /// - Parameter quantile: from 0 to 1, for instance 0.999.
    public func value(at quantile: Double) -> Int64 {
        guard count > 0 else { return 0 }
        let rank = Swift.max(1, UInt64((Double(count) * quantile).rounded(.up)))
        var seen: UInt64 = 0
        for (index, count) in counts.enumerated() where count > 0 {
            seen += count
            if seen >= rank { return Swift.min(Self.upperBound(of: index), maximum) }
        }
        return maximum
    }

    /// The buckets that counted something: the largest value of each, and its count.
    public var buckets: [(upperBound: Int64, count: UInt64)] {
        counts.enumerated().compactMap { $1 > 0 ? (Self.upperBound(of: $0), $1) : nil }
    }

    private static func bucket(of value: Int64) -> Int {
        let value = Swift.min(UInt64(value), (1 << 40) - 1)
        let power = Swift.max(0, 64 - value.leadingZeroBitCount - subBucketBits)
        guard power > 0 else { return Int(value) }
        let within = Int(value >> UInt64(power)) & ((1 << subBucketBits) - 1)
        return (power << subBucketBits) + within
    }

    private static func upperBound(of bucket: Int) -> Int64 {
        let power = bucket >> subBucketBits
        guard power > 0 else { return Int64(bucket) }
        let within = Int64(bucket & ((1 << subBucketBits) - 1))
        return ((within + 1) << Int64(power)) - 1
    }
}
