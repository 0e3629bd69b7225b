import Base

/// RocketMQ's delay levels, from 1 (`messageDelayLevel`: "1s 5s 10s 30s 1m 2m 3m 4m 5m 6m 7m 8m 9m 10m 20m 30m 1h 2h").
public enum DelayLevels {
    /// By level less 1, in milliseconds.
    public static let milliseconds: [Int64] = [
        1_000, 5_000, 10_000, 30_000, 60_000, 120_000, 180_000, 240_000, 300_000, 360_000, 420_000, 480_000, 540_000,
        600_000, 1_200_000, 1_800_000, 3_600_000, 7_200_000,
    ]

    /// The delays that RocketMQ's setting spells: numbers with `s`, `m`, `h` or `d`, separated by spaces; nil when one is none.
    public static func parse(_ text: String) -> [Int64]? {
        let units: [Character: Int64] = ["s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000]
        var delays: [Int64] = []
        for part in text.split(separator: " ") {
            guard let letter = part.last, let unit = units[letter], let number = Int64(part.dropLast()), number >= 0
            else { return nil }
            let (delay, isTooLong) = number.multipliedReportingOverflow(by: unit)
            guard !isTooLong else { return nil }
            delays.append(delay)
        }
        return delays.isEmpty ? nil : delays
    }

    /// When a message is due that was stored in a queue of ``SystemTopics/schedule``, whose queues are numbered by level less 1.
    public static func due(queueID: QueueID, storeTimestamp: Timestamp) -> Timestamp {
        let number = Int(queueID.rawValue)
        // RocketMQ's second for levels that are not there.
        let delay = milliseconds.indices.contains(number) ? milliseconds[number] : 1_000
        return Timestamp(milliseconds: storeTimestamp.milliseconds &+ delay)
    }
}
