import Base
import Model
import Storage

/// Why a broker refuses a request. A frontend turns each case into its protocol's code and words, in one table.
public enum BrokerError: Error, Equatable, Sendable {
    // Topics and messages
    case sendingForbidden
    case topicBlank
    case topicIllegalCharacters
    case topicTooLong
    case topicIsSystem(String)
    case topicUnknown(String)
    case topicNotWritable(String)
    case topicNotReadable(String)
    case topicReserved(String)
    case queueIllegal(QueueID, TopicConfiguration)
    /// Body or properties are larger than allowed.
    case messageTooLarge(bodyMaximum: Int)
    /// A batch that is empty, cut short, or of a kind that may not be batched.
    case batchIllegal(String)
    /// No message begins at this place of the log.
    case messageUnknown(PhysicalOffset)
    /// A kind of message that this version does not serve.
    case unsupported(String)
    /// A configuration that makes no sense: what, and what is allowed.
    case invalid(String)
    // Consuming
    case pullingForbidden
    case groupUnknown(String)
    case groupDisabled(String)
    case groupOffline(String)
    case broadcastForbidden(String)
    case subscriptionUnknown(String)
    case subscriptionOld(String)
    case transaction(TransactionError)
    /// `rejectTransactionMessage`.
    case transactionsForbidden
    /// An expression that names no tag, or is no SQL92 expression: then why.
    case subscriptionUnparsable(SelectorError?)
    /// The group's SQL92 expression cannot be used.
    case selectorMissing(SelectorError)
    /// It cannot be used, and the client knows of a newer one than that which goes on.
    case selectorOld
    /// Filters of this type are not served here.
    case filterTypeDisabled(String)
    /// There is no room for one more: what of, and how many there are.
    case limitReached(String, Int)
    /// More than a quota allows, by so much that it would have to wait too long.
    case quotaExceeded(String)
    // The store
    case storage(StorageError)
    case refusesMessages
}
