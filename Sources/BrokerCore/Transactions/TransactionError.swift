/// Why a transaction was not ended. The words are RocketMQ's where it has them.
public enum TransactionError: Error, Equatable, Sendable {
    /// No half message begins at that place of the log, or it is too old.
    case notFound
    case groupWrong
    /// The half message has another offset in its queue.
    case queueOffsetWrong
    /// The queue of half messages has something else at that offset.
    case commitLogOffsetWrong
    /// Another half message lies at that place than the one that the request names: a power cut took that one.
    case otherMessage
    /// It was committed, rolled back or given up before.
    case ended
    /// The half message does not say where it goes.
    case withoutDestination
}
