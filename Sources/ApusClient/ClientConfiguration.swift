import Compression
import Model
import RemotingProtocol
import Runtime

/// How a ``RocketMQClient`` finds and speaks to its cluster. Every default is RocketMQ's (remoting reference §1.13).
public struct ClientConfiguration: Sendable {
    /// Where the name servers listen, each as `host:port`. The first that answers is used until it fails.
    public var nameServers: [String]
    /// Speaks TLS to every server; nil speaks plainly. `TLSClientConfiguration()` believes the roots of the system and checks that
    /// certificates name the addresses that the name server tells; RocketMQ's own clients check neither.
    public var tls: TLSClientConfiguration?
    /// Signs every request, for servers with access control; nil signs none.
    public var credentials: Credentials?
    /// How headers are written. Every server since RocketMQ 3 reads both; JSON is easier to read in a capture.
    public var encoding = HeaderEncoding.binary
    /// Tells this client from others on the same host: part of the client's id, `address@instanceName`. Nil takes the
    /// process number and a clock, as RocketMQ does; choose a name to find broadcast offsets again after a restart.
    public var instanceName: String?
    /// How long one attempt to connect may take.
    public var connectTimeout = Duration.seconds(3)
    /// Deadline of calls that are given none.
    public var requestTimeout = Duration.seconds(3)
    /// How often routes are fetched anew.
    public var routeRefreshInterval = Duration.seconds(30)
    /// How often brokers are told that this client lives. They forget it after 120 s.
    public var heartbeatInterval = Duration.seconds(30)
    /// The wait before a second attempt to connect to the same server. It doubles with each failure.
    public var reconnectDelayMinimum = Duration.milliseconds(100)
    /// The longest wait between two attempts to connect.
    public var reconnectDelayMaximum = Duration.seconds(5)
    /// How long ``RocketMQClient/shutdown()`` may take to say goodbye to brokers.
    public var shutdownTimeout = Duration.seconds(3)

    /// - Parameter nameServers: for instance `["127.0.0.1:9876"]`.
    public init(nameServers: [String]) {
        self.nameServers = nameServers
    }

    /// Name servers as RocketMQ's tools write them: `host:port;host:port`.
    public init(nameServers list: String) {
        nameServers = list.split { $0 == ";" || $0 == "," || $0 == " " }.map(String.init)
    }
}

/// How a ``Producer`` sends.
public struct ProducerConfiguration: Sendable {
    /// The producer group: brokers name it in their lists, and ask it about transactions.
    public var group: String
    /// Deadline of one send, all attempts included. The time that a send waits for room in flight does not count, unless the send
    /// was given a deadline of its own.
    public var sendTimeout = Duration.seconds(3)
    /// Further attempts, over other brokers, after the first failed (`retryTimesWhenSendFailed`).
    public var retryMaximum = 2
    /// Answers after which another broker is tried.
    public var retriableAnswers = ClientError.retriableAnswers
    /// Tries another broker also when the message was stored but not flushed or replicated in time, which duplicates it
    /// (`retryAnotherBrokerWhenNotStoreOK`).
    public var isRetryingWhenNotDurable = false
    /// Sends that may be under way at once; further ones wait.
    public var inFlightMaximum = 256
    /// Bytes of bodies and properties that may be under way at once; further sends wait. One message is always allowed.
    public var inFlightBytesMaximum = 64 * 1024 * 1024
    /// How long a one-way send that is given no deadline may wait for a broker that takes nothing.
    public var oneWayTimeout = Duration.seconds(60)
    /// Bodies larger than this, in bytes, are compressed (`compressMsgBodyOverHowmuch`).
    public var compressionThreshold = 4096
    /// How bodies are compressed; nil never does. Clients before 4.9.3 read only zlib.
    public var compression: CompressionCodec? = .zlib
    public var compressionLevel = CompressionCodec.levelDefault
    /// Largest body of a message, and largest batch, in bytes; the broker must allow as much (`maxMessageSize`).
    public var messageSizeMaximum = 4 * 1024 * 1024
    /// Size, in bytes, that ``Producer/sendInBatches(_:timeout:)`` fills batches to.
    public var batchSizeMaximum = 1024 * 1024
    /// Passes over brokers that were slow or failed, for a time that grows with the latency (`sendLatencyFaultEnable`).
    public var isFaultToleranceEnabled = false
    /// Queues, on each broker, of a topic that is created by the first send (`defaultTopicQueueNums`).
    public var defaultTopicQueueCount: Int32 = 4
    /// The topic whose settings and route a topic takes that is created by the first send; nil creates none.
    public var defaultTopic: String? = "TBW102"

    public init(group: String) {
        self.group = group
    }
}

/// Where a group that has no stored offset begins to read. Brokers before RocketMQ 5 read young queues, as told at
/// ``lastOffset``, from their beginning in every case.
public enum ConsumeFrom: Equatable, Sendable {
    /// Behind the newest message. Of a queue whose first message is still there and in memory, brokers say that the group
    /// stands at its beginning, so that nothing is passed over in queues that were added while the group was at work.
    case lastOffset
    /// At the oldest message that is still there.
    case firstOffset
    /// At the first message stored at this time or later.
    case timestamp(Timestamp)

    var onWire: ConsumeFromWhere {
        switch self {
        case .lastOffset: .lastOffset
        case .firstOffset: .firstOffset
        case .timestamp: .timestamp
        }
    }
}

/// Which messages of a topic a consumer wants.
public enum MessageFilter: Equatable, Sendable, ExpressibleByStringLiteral {
    /// Every message.
    case all
    /// Messages with one of the tags: `a`, or `a || b`.
    case tags(String)
    /// Messages whose properties satisfy an SQL92 expression; the broker must have `enablePropertyFilter`.
    case sql(String)
    /// `"*"`, or tags.
    public init(stringLiteral value: String) {
        self = value == "*" ? .all : .tags(value)
    }
}

/// How a ``PushConsumer`` consumes.
public struct PushConsumerConfiguration: Sendable {
    /// The consumer group. All members must have the same subscriptions.
    public var group: String
    /// Filter by topic. The group's retry topic is added by itself.
    public var subscriptions: [String: MessageFilter]
    /// Whether members share the messages or each gets all.
    public var model = MessageModel.clustering
    /// Locks queues at the broker also for consumption that is not ordered, so that no two members hand out messages of one
    /// queue at the same time, not even while queues move between them: a queue moves when its last message was answered.
    ///
    /// Members of other libraries do not ask for these locks. The queues of a member that died are read again when its locks
    /// have run out, after 60 s.
    public var isExclusive = false
    /// Hands out the messages of each queue one after the other, each after the one before was acknowledged, and locks
    /// queues at the broker so that no other member reads them.
    public var isOrdered = false
    /// Where to begin when the group has no stored offset.
    public var consumeFrom = ConsumeFrom.lastOffset
    /// How queues are shared among the members; all members must use the same.
    public var allocation = AllocationStrategy.average
    /// Messages asked for at once.
    public var pullBatchMaximum: Int32 = 32
    /// How long a broker holds a pull that finds nothing.
    public var pullSuspension = Duration.seconds(15)
    /// Messages of one queue that may wait in this process (`pullThresholdForQueue`).
    public var cachedMessagesPerQueueMaximum = 1000
    /// Bytes of bodies of one queue that may wait in this process (`pullThresholdSizeForQueue`).
    public var cachedBytesPerQueueMaximum = 100 * 1024 * 1024
    /// Messages of all queues together that may wait in this process; nil is no limit.
    public var cachedMessagesMaximum: Int?
    /// Bytes of bodies of all queues together that may wait in this process; nil is no limit.
    public var cachedBytesMaximum: Int?
    /// Distance between the oldest unacknowledged message of a queue and the newest pulled (`consumeConcurrentlyMaxSpan`);
    /// not for ordered consumption.
    public var offsetSpanMaximum: Int64 = 2000
    /// Retries of a message before it becomes a dead letter; nil leaves it to the group's settings at the broker, 16 unless
    /// changed, and for ordered consumption means without end.
    public var reconsumeMaximum: Int32?
    /// How long a message may go without an answer. Then it is logged, reported to ``onStall``, and sent back to the broker so
    /// that it comes again, to this member or another (`consumeTimeout`). Messages of ordered consumption and broadcasts are
    /// reported and stay. Nil waits for ever.
    public var consumeTimeout: Duration? = .seconds(15 * 60)
    /// Is told of deliveries that got no answer within ``consumeTimeout``; called on the client's thread, so it must not block.
    public var onStall: (@Sendable (StalledDelivery) -> Void)?
    /// How long ``PushConsumer/shutdown()`` waits for the answers to messages that are out. What has none by then is
    /// delivered again, to whoever gets the queue.
    public var handOverTimeout = Duration.seconds(5)
    /// How often offsets are stored at the broker.
    public var offsetCommitInterval = Duration.seconds(5)
    /// How often queues are shared out anew.
    public var rebalanceInterval = Duration.seconds(20)
    /// How often locks of ordered consumption are renewed; brokers forget them after 60 s.
    public var lockInterval = Duration.seconds(20)
    /// The wait before a message that failed is handed out again within this process: of ordered consumption, and of any
    /// other when the broker cannot take it back.
    public var localRetryDelay = Duration.seconds(1)
    /// The wait after a pull failed.
    public var pullRetryDelay = Duration.seconds(1)
    /// Folder for the offsets of broadcasting consumers, in RocketMQ's format; nil keeps them in memory only.
    public var broadcastOffsetFolder: String?

    /// - Parameter subscriptions: for instance `["Orders": "new || paid"]`.
    public init(group: String, subscriptions: [String: MessageFilter]) {
        self.group = group
        self.subscriptions = subscriptions
    }
}

/// How a ``PullConsumer`` reads.
public struct PullConsumerConfiguration: Sendable {
    /// The consumer group whose offsets are read and committed. The consumer does not become a member of it.
    public var group: String
    /// Which messages to return.
    public var filter = MessageFilter.all
    /// Messages asked for at once, from each queue.
    public var pullBatchMaximum: Int32 = 32
    /// Where ``PullConsumer/assign(_:)`` begins when the group has no stored offset.
    public var consumeFrom = ConsumeFrom.lastOffset

    public init(group: String) {
        self.group = group
    }
}
