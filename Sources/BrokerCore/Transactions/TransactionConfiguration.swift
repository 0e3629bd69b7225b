/// How transactions are treated. RocketMQ's names are given for each.
public struct TransactionConfiguration: Sendable {
    /// `rejectTransactionMessage`: half messages are refused.
    public var rejectsHalves = false
    /// `transactionTimeOut`: how long after it was stored a half message's producer is asked for the first time, in ms, unless
    /// the message says so itself (`CHECK_IMMUNITY_TIME_IN_SECONDS`).
    public var timeoutMilliseconds: Int64 = 6_000
    /// `transactionCheckInterval`: how long after each question the next one follows, in ms.
    public var checkIntervalMilliseconds: Int64 = 60_000
    /// `transactionCheckMax`: how often a producer is asked before the message is given up.
    public var checkMaximum: Int32 = 15
    /// Half messages that wait in memory for their next check; further ones stay on the disk until there is room. 16 bytes
    /// each, so 16 MB for a million.
    public var waitingMaximum = 1_000_000

    public init() {}
}
