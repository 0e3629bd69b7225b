/// What a broker counts, from the start of the process.
public struct BrokerMetrics: Sendable {
    public var messagesSent: Int64 = 0
    public var bytesSent: Int64 = 0
    public var sendsRefused: Int64 = 0
    public var messagesFetched: Int64 = 0
    public var bytesFetched: Int64 = 0
    public var fetchesHeld: Int64 = 0
    public var fetchesExpired: Int64 = 0
    public init() {}
}
