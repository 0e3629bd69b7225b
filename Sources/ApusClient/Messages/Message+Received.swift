import Model

extension Message {
    /// A message with the content of one that was received, to be sent anew: body, tag, keys, sharding key, flag and the user's own
    /// properties. What RocketMQ noted about the way of the old one is left out, and sending gives it an id of its own.
    /// - Parameter topic: nil means the topic that it was first sent to, also of a dead letter.
    public init(copying received: ReceivedMessage, to topic: String? = nil) {
        self.init(
            topic: topic ?? received.originTopic, body: received.body, tag: received.tag, keys: received.keys,
            shardingKey: received.shardingKey)
        flag = received.flag
        for (name, value) in received.allProperties where !Self.isOfTheWay(name) { properties[name] = value }
    }

    /// Names that brokers and clients give to properties on a message's way (remoting reference §1.8).
    private static func isOfTheWay(_ name: String) -> Bool {
        PreparedMessage.reservedNames.contains(name) || wayNames.contains(name) || name.hasPrefix("__RMQ.TRANSIENT.")
            || name.hasPrefix("TIMER_")
    }

    private static let wayNames: Set<String> = [
        PropertyName.deadLetterOriginTopic, PropertyName.deadLetterOriginMessageID, PropertyName.checkImmunity,
        "__transactionId__", "TRANSACTION_CHECK_TIMES", "TRAN_PREPARED_QUEUE_OFFSET", "CONSUME_START_TIME", "POP_CK",
        "POP_CK_OFFSET", "1ST_POP_TIME", "INNER_NUM", "INNER_BASE", "ARRIVE_TIME", "PUSH_REPLY_TIME", "BUYER_ID",
        "TRANSFER_FLAG", "CORRECTION_FLAG", "MQ2_FLAG", "EXTEND_UNIQ_INFO", "DUP_INFO", "__BORNHOST", "BORN_TIMESTAMP",
    ]
}
