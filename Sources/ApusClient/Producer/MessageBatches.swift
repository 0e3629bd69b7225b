import Model

/// Puts messages together that can go in one batch (remoting reference §1.8).
enum MessageBatches {
    /// What the entry of one message takes besides its body: 20 bytes of lengths and numbers, 2 of the properties' length, and the
    /// properties of this library, generously.
    static let overhead = 160

    private struct Kind: Hashable {
        var topic: String
        var shardingKey: String?
        var isWaitingForStore: Bool
    }

    /// The batches, each of one topic and one sharding key, and of `sizeMaximum` bytes at most unless it is one message. Messages
    /// of one kind keep their order.
    static func split(_ messages: some Sequence<Message>, sizeMaximum: Int) -> [[Message]] {
        var batches: [[Message]] = []
        /// The batch that takes further messages of a kind, and its size.
        var open: [Kind: (index: Int, size: Int)] = [:]
        for message in messages {
            let kind = Kind(
                topic: message.topic, shardingKey: message.shardingKey, isWaitingForStore: message.isWaitingForStore)
            let size = size(message)
            if message.isDelayed || message.topic.hasPrefix(SystemTopics.retryPrefix) {
                batches.append([message])
            } else if let batch = open[kind], batch.size + size <= sizeMaximum {
                batches[batch.index].append(message)
                open[kind] = (batch.index, batch.size + size)
            } else {
                open[kind] = (batches.count, size)
                batches.append([message])
            }
        }
        return batches
    }

    private static func size(_ message: Message) -> Int {
        var size = overhead + message.body.count + (message.tag?.utf8.count ?? 0)
        size += (message.shardingKey?.utf8.count ?? 0) + message.keys.reduce(0) { $0 + $1.utf8.count + 1 }
        return message.properties.reduce(size) { $0 + $1.key.utf8.count + $1.value.utf8.count + 2 }
    }
}
