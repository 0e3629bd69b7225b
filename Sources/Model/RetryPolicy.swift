/// How long a message that a consumer could not handle waits before it is tried again (`GroupRetryPolicy` of RocketMQ 5).
public enum RetryPolicy: Equatable, Sendable {
    /// By the broker's delay levels, from the third on: 10 s, 30 s, 1 m, … 2 h.
    case ladder
    /// `initial` × `multiplier` to the power of the attempts so far, at most `maximum`; times in ms.
    case exponential(initial: Int64, maximum: Int64, multiplier: Int64)
    /// The delay of each attempt in ms, as RocketMQ counts them: the first retry takes the third of the list, as the ladder takes
    /// the third level. The last one repeats.
    case list([Int64])

    /// RocketMQ's defaults for an exponential policy: 5 s, 2 h, 2.
    public static let exponentialDefault = RetryPolicy.exponential(
        initial: 5_000, maximum: 7_200_000, multiplier: 2)

    /// The delay after `attempts` failures before this one, in ms; nil when the ladder says it.
    public func delay(attempts: Int32) -> Int64? {
        switch self {
        case .ladder: return nil
        case .exponential(let initial, let maximum, let multiplier):
            // RocketMQ counts no more than 32.
            var delay = max(0, initial)
            for _ in 0..<max(0, min(attempts, 32)) {
                let (product, isTooLong) = delay.multipliedReportingOverflow(by: max(1, multiplier))
                if isTooLong || product >= maximum { return max(0, maximum) }
                delay = product
            }
            return max(0, min(delay, maximum))
        case .list(let delays):
            guard let last = delays.last else { return nil }
            let index = Int(max(0, attempts)) + 2
            return max(0, index < delays.count ? delays[index] : last)
        }
    }
}
