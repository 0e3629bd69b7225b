import Base
import Model

/// A message to be sent.
///
///     var message = Message(topic: "Orders", text: "one pizza")
///     message.tag = "new"
///     message.keys = ["order-42"]
public struct Message: Equatable, Sendable {
    public var topic: String
    public var body: [UInt8]
    /// What consumers filter by; one at most.
    public var tag: String?
    /// What the message can be searched by: business ids, without spaces.
    public var keys: [String]
    /// Further names and values that travel with the message. Names that RocketMQ gives a meaning are refused.
    public var properties: [String: String]
    /// Messages with the same key go to the same queue, and so keep their order, as long as the topic's queues stay the same.
    public var shardingKey: String?
    /// Delay before delivery, as a level of the broker's table: 1 is 1 s, 3 is 10 s, 18 is 2 h. 0 is none.
    ///
    /// Of this, ``deliverAt`` and ``deliverAfter`` one at most may be set.
    public var delayLevel: Int32 = 0
    /// When the message is to be delivered, by the broker's clock; a time that has passed means at once (RocketMQ 5's
    /// `TIMER_DELIVER_MS`).
    public var deliverAt: Timestamp?
    /// How long after its arrival at the broker the message is to be delivered, in whole milliseconds (RocketMQ 5's
    /// `TIMER_DELAY_MS`).
    public var deliverAfter: Duration?
    /// A number that RocketMQ carries along unread.
    public var flag: Int32 = 0
    /// Whether the broker shall answer only when the message is as durable as the broker is set to make it.
    public var isWaitingForStore = true

    public init(
        topic: String, body: some Sequence<UInt8>, tag: String? = nil, keys: [String] = [],
        properties: [String: String] = [:], shardingKey: String? = nil
    ) {
        self.topic = topic
        self.body = Array(body)
        self.tag = tag
        self.keys = keys
        self.properties = properties
        self.shardingKey = shardingKey
    }

    /// A message whose body is the UTF-8 of `text`.
    public init(
        topic: String, text: String, tag: String? = nil, keys: [String] = [], properties: [String: String] = [:],
        shardingKey: String? = nil
    ) {
        self.init(
            topic: topic, body: text.utf8, tag: tag, keys: keys, properties: properties, shardingKey: shardingKey)
    }
}

extension Message {
    /// Whether a broker keeps the message for a while before it is delivered.
    var isDelayed: Bool { delayLevel != 0 || deliverAt != nil || deliverAfter != nil }

    /// - Throws: ``ClientError/Code-swift.struct/invalidArgument`` for delays that contradict each other or are none.
    func checkDelay() throws(ClientError) {
        let ways = [delayLevel != 0, deliverAt != nil, deliverAfter != nil].count { $0 }
        guard ways <= 1 else {
            throw ClientError(.invalidArgument, "delayLevel, deliverAt and deliverAfter exclude each other")
        }
        guard delayLevel >= 0 else {
            throw ClientError(.invalidArgument, "a delay level is 0 or more, not \(delayLevel)")
        }
        guard deliverAt.map({ $0.milliseconds >= 0 }) ?? true else {
            throw ClientError(.invalidArgument, "deliverAt lies before 1970")
        }
        guard deliverAfter.map({ $0 >= .zero }) ?? true else {
            throw ClientError(.invalidArgument, "deliverAfter is negative")
        }
    }
}

extension Message: CustomStringConvertible {
    /// Without the body, which may be large and nobody's business.
    public var description: String {
        "message to \(topic), \(body.count) bytes" + (tag.map { ", tag \($0)" } ?? "")
    }
}
