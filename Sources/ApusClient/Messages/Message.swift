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
    public var delayLevel: Int32 = 0
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

extension Message: CustomStringConvertible {
    /// Without the body, which may be large and nobody's business.
    public var description: String {
        "message to \(topic), \(body.count) bytes" + (tag.map { ", tag \($0)" } ?? "")
    }
}
