import Base
import Model
import Storage

/// What a broker is called and what it allows. RocketMQ's names are given for each.
public struct BrokerConfiguration: Sendable {
    /// `brokerName`.
    public var name = "broker-a"
    /// `brokerClusterName`.
    public var cluster = "DefaultCluster"
    /// `brokerId`; 0 is the master.
    public var brokerID: Int64 = 0
    /// The address that clients are told, and that message ids carry (`brokerIP1`, `listenPort`).
    public var address = HostAddress.loopback(port: 10_911)
    /// `brokerPermission`.
    public var permission = Permission.readWrite
    /// `autoCreateTopicEnable`.
    public var createsTopics = true
    /// `defaultTopicQueueNums`: queues of TBW102, so the most that a topic created on first use gets.
    public var defaultTopicQueueCount: Int32 = 8
    /// `autoCreateSubscriptionGroup`.
    public var createsGroups = true
    /// `longPollingEnable`.
    public var isLongPollingEnabled = true
    /// `enablePropertyFilter`: whether SQL92 expressions are served. RocketMQ's default is false.
    public var isPropertyFilterEnabled = true
    /// `storeReplyMessageEnable`: whether replies are stored as well as passed on.
    public var storesReplies = true
    /// `clusterTopicEnable`, `brokerTopicEnable`: whether topics named like the cluster and the broker may be used.
    public var isClusterTopicEnabled = true
    public var isBrokerTopicEnabled = true
    /// `traceTopicEnable`.
    public var isTraceTopicEnabled = false
    /// `notifyConsumerIdsChangedEnable`.
    public var notifiesMembers = true
    /// `maxMessageSize`, in bytes.
    public var messageSizeMaximum = Limits.messageSizeDefault
    /// A member that sends no heartbeat for so long is gone (`channelExpiredTimeout`), in ms.
    public var memberExpiryMilliseconds: Int64 = 120_000
    /// A queue lock that is not renewed for so long is free (`rocketmq.broker.rebalance.lockMaxLiveTime`), in ms.
    public var lockExpiryMilliseconds: Int64 = 60_000
    public var transactions = TransactionConfiguration()
    public var timers = TimerConfiguration()
    /// `deadLetterReservedTime`, in hours; RocketMQ keeps dead letters as long as everything else.
    public var deadLetterReservedHours = 72
    public var quotas = QuotaConfiguration()
    public var limits = BrokerLimits()

    public init() {}
}
