import Model

/// A group's retry policy as people write it.
///
///     text                       policy
///     ladder                     the broker's delay levels, from the third on
///     exponential                from 5 s, twice as long each time, at most 2 h
///     exponential:1s:10m:3       from 1 s, three times as long each time, at most 10 m
///     10s,1m,5m                  these delays; the last one repeats
enum RetryPolicyText {
    /// Nil for anything else.
    static func policy(_ text: String) -> RetryPolicy? {
        if text == "ladder" { return .ladder }
        if text == "exponential" { return .exponentialDefault }
        let parts = text.split(separator: ":", omittingEmptySubsequences: false).map(String.init)
        if parts.count == 4, parts[0] == "exponential" {
            guard let initial = milliseconds(parts[1]), let maximum = milliseconds(parts[2]),
                let multiplier = Int64(parts[3]), multiplier > 0
            else { return nil }
            return .exponential(initial: initial, maximum: maximum, multiplier: multiplier)
        }
        let delays = text.split(separator: ",", omittingEmptySubsequences: false).map { milliseconds(String($0)) }
        guard let first = delays.first, let first, delays.allSatisfy({ $0 != nil }) else { return nil }
        // RocketMQ takes the third of the list for the first retry.
        return .list([first, first] + delays.compactMap { $0 })
    }

    static func text(_ policy: RetryPolicy) -> String {
        switch policy {
        case .ladder: "ladder"
        case .exponential(let initial, let maximum, let multiplier):
            "exponential:\(text(initial)):\(text(maximum)):\(multiplier)"
        case .list(let delays):
            (delays.count > 2 ? delays.dropFirst(2) : delays.suffix(1)).map { text($0) }.joined(separator: ",")
        }
    }

    private static func milliseconds(_ text: String) -> Int64? {
        guard text.last?.isLetter == true, let duration = CommandOption.Kind.duration(text) else { return nil }
        let (seconds, attoseconds) = duration.components
        return seconds * 1_000 + attoseconds / 1_000_000_000_000_000
    }

    /// In the largest unit that is exact.
    private static func text(_ milliseconds: Int64) -> String {
        for (unit, size) in [("h", 3_600_000), ("m", 60_000), ("s", 1_000)] as [(String, Int64)]
        where milliseconds >= size && milliseconds % size == 0 {
            return "\(milliseconds / size)\(unit)"
        }
        return "\(milliseconds)ms"
    }
}
