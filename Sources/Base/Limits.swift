/// The limits that clients and operators meet, in one place. docs/limits.md explains each; tests stand on the edges.
public enum Limits {
    /// Largest frame of the remoting protocol, in bytes after the length field (`com.rocketmq.remoting.frameMaxLength`).
    public static let frameSizeMaximum = 16 * 1024 * 1024
    /// Largest record of the log that is read on the word of its first bytes: what the largest frame can become.
    public static let recordSizeMaximum = frameSizeMaximum + 65_536
    /// Largest header within a frame: its length has 24 bits (remoting §1.1).
    public static let headerSizeMaximum = 0xFF_FFFF
    /// Largest header that is read, in bytes. What an answer repeats of it may grow sixfold when it is escaped, and must still
    /// fit ``headerSizeMaximum``.
    public static let headerSizeAccepted = 2 * 1024 * 1024
    /// Default of `maxMessageSize`: the body of one message, or the sum of one batch.
    public static let messageSizeDefault = 4 * 1024 * 1024
    /// Longest topic name in bytes (RocketMQ 4.9: one length byte, of which Java uses 127).
    public static let topicLengthMaximum = 127
    /// Longest group name in bytes.
    public static let groupLengthMaximum = 255
    /// Longest encoded property string in bytes: its stored length is a signed 16-bit number.
    public static let propertiesSizeMaximum = 32_767
    /// Longest connection without traffic, in seconds (`serverChannelMaxIdleTimeSeconds`).
    public static let connectionIdleSeconds = 120
    /// Seconds within which a frame that has begun must have arrived. The largest takes 134 s at 1 Mbit/s.
    public static let frameSecondsMaximum = 150
    /// Most messages in one pull answer whatever the client asks.
    public static let pullMessagesMaximum = 1024
    /// Most queues a topic may have.
    public static let queuesPerTopicMaximum = 65_536
    /// Longest time that a pull is held, in milliseconds; clients ask for 15,000.
    public static let pullHoldMillisecondsMaximum: Int64 = 600_000
    /// Most pulls that are held for one connection; further ones are answered at once.
    public static let heldPullsPerConnectionMaximum = 16_384
    /// Most messages in one batch.
    public static let batchMessagesMaximum = 65_536
    /// Most delays in the list of a group's retry policy.
    public static let retryDelaysMaximum = 1_024
    /// Most records in the answer to one query by key.
    public static let queryMessagesMaximum = 64

    /// Largest body that is no message: JSON, which takes some ten times its size while it is read.
    public static let documentSizeMaximum = 4 * 1024 * 1024

    // What a broker keeps for its clients. docs/limits.md says how many bytes each takes.

    /// Defaults of `maximumTopics`, `maximumGroups` and `maximumHeldPulls`.
    public static let topicsDefault = 50_000
    public static let groupsDefault = 50_000
    public static let heldPullsDefault = 200_000
    /// Longest id of a client in bytes; Java's have some 40.
    public static let clientIDLengthMaximum = 1_024
    /// Most groups in one heartbeat, producers' and consumers' together.
    public static let groupsPerHeartbeatMaximum = 1_024
    /// Most members of one group: each that comes or goes is told to all.
    public static let membersPerGroupMaximum = 10_000
    /// Most members of all groups together; a client counts in each of its groups.
    public static let membersMaximum = 200_000
    /// Most topics that one member subscribes to.
    public static let subscriptionsPerMemberMaximum = 1_024
    /// Most tags in one subscription.
    public static let tagsPerSubscriptionMaximum = 4_096
    /// Most consumer offsets: each group has one for each queue of each of its topics.
    public static let consumerOffsetsMaximum = 4_000_000
    /// Most queues that are locked at a time, by all groups together.
    public static let queueLocksMaximum = 500_000
    /// Bytes of answers that wait for a flush, above which producers are not read from.
    public static let parkedReplyBytesMaximum = 64 * 1024 * 1024

    // What a name server keeps.

    /// Most brokers that are registered at a time.
    public static let registeredBrokersMaximum = 4_096
    /// Most pairs of a topic and a broker.
    public static let routeEntriesMaximum = 2_000_000
    /// Most keys of the key-value configuration, and their bytes with those of the values: each change writes all of them.
    public static let keyValuesMaximum = 65_536
    public static let keyValueBytesMaximum = 16 * 1024 * 1024
    /// Longest name of a broker, cluster, namespace or key, and longest address, in bytes.
    public static let nameLengthMaximum = 255
    /// Most filter servers of a broker.
    public static let filterServersMaximum = 64

    /// Highest rate of a quota, in messages or bytes a second. A bucket counts in billionths, in 63 bits.
    public static let quotaRateMaximum: Int64 = 4_000_000_000

    // SQL92 filters. RocketMQ sets no limits; these keep one expression from taking the broker's thread for long.

    /// Longest expression, in bytes of UTF-8.
    public static let selectorLengthMaximum = 65_536
    /// Deepest nesting of parentheses, NOT and signs; reading takes the stack of a thread.
    public static let selectorDepthMaximum = 100
    /// Most properties and literals in one expression, elements of lists included.
    public static let selectorTermsMaximum = 4_096
    /// Most different properties in one expression: each is looked for in every property of every message.
    public static let selectorPropertiesMaximum = 64
    /// Most compiled expressions that a broker keeps for pulls that bring their own.
    public static let selectorsKeptMaximum = 1_024
}
