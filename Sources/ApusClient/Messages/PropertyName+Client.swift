import Model

/// Names of properties that the client gives to messages, besides those that brokers need too (remoting reference §1.8).
extension PropertyName {
    // Requests and replies.
    static let correlationID = "CORRELATION_ID"
    /// How long the asker waits, in ms.
    static let timeToLive = "TTL"
    static let messageType = "MSG_TYPE"
    /// The ``messageType`` of a reply.
    static let replyType = "reply"

    // Transactions.
    /// How long a broker waits before it first asks what became of a half message.
    static let checkImmunity = "CHECK_IMMUNITY_TIME_IN_SECONDS"

    // Dead letters.
    static let deadLetterOriginTopic = "DLQ_ORIGIN_TOPIC"
    static let deadLetterOriginMessageID = "DLQ_ORIGIN_MESSAGE_ID"
}
