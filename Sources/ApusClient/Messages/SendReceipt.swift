import Base
import Model

/// What a broker said about a message that it stored.
public struct SendReceipt: Equatable, Sendable {
    /// How durable the message is.
    public enum Status: Equatable, Sendable {
        /// As durable as the broker is set to make it.
        case stored
        /// Stored, but not flushed to disk in time (code 10).
        case flushTimedOut
        /// Stored, but there is no replica to copy it to (code 11).
        case replicaUnavailable
        /// Stored, but not copied to a replica in time (code 12).
        case replicaTimedOut
    }
    public var status: Status
    /// The id that this client gave (`UNIQ_KEY`), which consumers see. Of a batch, the first message's.
    public var messageID: String
    /// The ids that this client gave to the messages of a batch; one for a single message.
    public var messageIDs: [String]
    /// The broker's id, which tells where the message lies; of a batch all of them, joined by commas.
    public var offsetMessageID: String
    public var queue: MessageQueue
    /// The message's ordinal in its queue; of a batch, the first message's.
    public var queueOffset: QueueOffset
    /// What ``Producer/recall(_:timeout:)`` cancels a delayed message by; nil when the broker gave none.
    public var recallHandle: String?
    /// The id of the transaction, of a half message; RocketMQ 5 gives one to every message.
    public var transactionID: String?
}
