/// Names that mean something to a broker (reference §1.8).
public enum SystemTopics {
    /// Lends its settings to topics that are created on first use (`AUTO_CREATE_TOPIC_KEY_TOPIC`).
    public static let autoCreate = "TBW102"
    public static let schedule = "SCHEDULE_TOPIC_XXXX"
    /// Holds the delayed messages until they are due; its queues are the slots of the timer wheel. RocketMQ 5's name.
    public static let timerWheel = "rmq_sys_wheel_timer"
    public static let half = "RMQ_SYS_TRANS_HALF_TOPIC"
    public static let operationHalf = "RMQ_SYS_TRANS_OP_HALF_TOPIC"
    public static let transactionCheckExceeded = "TRANS_CHECK_MAX_TIME_TOPIC"
    public static let selfTest = "SELF_TEST_TOPIC"
    public static let offsetMoved = "OFFSET_MOVED_EVENT"
    public static let trace = "RMQ_SYS_TRACE_TOPIC"
    public static let benchmark = "BenchmarkTest"
    /// Carries the state records of this broker: topics, groups, offsets. Not RocketMQ's.
    public static let state = "rmq_sys_APUS_STATE"
    public static let retryPrefix = "%RETRY%"
    public static let deadLetterPrefix = "%DLQ%"

    public static func retry(of group: String) -> String { retryPrefix + group }
    public static func deadLetter(of group: String) -> String { deadLetterPrefix + group }
    public static func reply(of cluster: String) -> String { cluster + "_REPLY_TOPIC" }

    /// Topics that clients must not send to (code 16, "Sending message to topic[X] is forbidden.").
    public static let sendForbidden: Set<String> = [
        schedule, timerWheel, half, operationHalf, transactionCheckExceeded, selfTest, offsetMoved, state,
    ]
    /// All fixed names, for the lists that administration asks for.
    public static let fixed: [String] = [
        autoCreate, schedule, half, operationHalf, transactionCheckExceeded, selfTest, offsetMoved, trace, benchmark,
        state, timerWheel,
    ]
}

public enum SystemGroups {
    public static let tools = "TOOLS_CONSUMER"
    /// The producer group that every Java client announces.
    public static let clientInnerProducer = "CLIENT_INNER_PRODUCER"
    public static let prefix = "CID_RMQ_SYS_"
    public static let fixed: Set<String> = [
        tools, "FILTERSRV_CONSUMER", "SELF_TEST_C_GROUP", "CID_ONS-HTTP-PROXY", "CID_ONSAPI_PULL",
        "CID_ONSAPI_PERMISSION",
        "CID_ONSAPI_OWNER", "__MONITOR_CONSUMER", "CID_RMQ_SYS_TRANS",
    ]
}

/// Names of message properties that clients and brokers give a meaning (reference §1.8).
public enum PropertyName {
    public static let keys = "KEYS"
    public static let tags = "TAGS"
    public static let wait = "WAIT"
    public static let delay = "DELAY"
    public static let retryTopic = "RETRY_TOPIC"
    public static let realTopic = "REAL_TOPIC"
    public static let realQueueID = "REAL_QID"
    public static let timerDeliver = "TIMER_DELIVER_MS"
    public static let timerDelay = "TIMER_DELAY_MS"
    public static let timerDelaySeconds = "TIMER_DELAY_SEC"
    /// When a delayed message is due, in ms since 1970.
    public static let timerOut = "TIMER_OUT_MS"
    /// When the record of a delayed message is to be looked at again, when that is before it is due. Not RocketMQ's.
    public static let timerWake = "TIMER_WAKE_MS"
    public static let transactionPrepared = "TRAN_MSG"
    public static let producerGroup = "PGROUP"
    public static let originMessageID = "ORIGIN_MESSAGE_ID"
    public static let uniqueKey = "UNIQ_KEY"
    public static let maxReconsumeTimes = "MAX_RECONSUME_TIMES"
    public static let reconsumeTime = "RECONSUME_TIME"
    public static let cluster = "CLUSTER"
    public static let region = "MSG_REGION"
    public static let traceOn = "TRACE_ON"
    public static let minOffset = "MIN_OFFSET"
    public static let maxOffset = "MAX_OFFSET"
    public static let instanceID = "INSTANCE_ID"
    public static let shardingKey = "__SHARDINGKEY"
    /// Of a request message: the client that waits for the reply; of the reply: the same.
    public static let replyToClient = "REPLY_TO_CLIENT"
    /// When a broker passed a reply on, in ms.
    public static let pushReplyTime = "PUSH_REPLY_TIME"
    /// RocketMQ 5's checksum over a whole record.
    public static let recordCRC = "__CRC32#"
    /// Separates a name from its value.
    public static let nameSeparator: UInt8 = 1
    /// Separates one property from the next.
    public static let propertySeparator: UInt8 = 2
}
