/// The limits that clients and operators meet, in one place. docs/limits.md explains each; tests stand on the edges.
public enum Limits {
    /// Largest frame of the remoting protocol, in bytes after the length field (`com.rocketmq.remoting.frameMaxLength`).
    public static let frameSizeMaximum = 16 * 1024 * 1024
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
