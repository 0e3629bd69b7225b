import Base
import Bytes
import Model

/// Which queue a message goes to.
enum QueueChoice: Sendable {
    /// The next one in turn; another broker's after a failure.
    case any
    case queue(MessageQueue)
    /// The one that a key stands for.
    case key(String)
    case selected(@Sendable ([MessageQueue]) -> MessageQueue?)

    /// The queue of the message's sharding key, if it has one.
    init(_ message: Message?) { self = message?.shardingKey.map(QueueChoice.key) ?? .any }

    /// Whether another queue does as well.
    var isFree: Bool {
        if case .any = self { return true }
        return false
    }
}

/// Goes round the queues of a topic.
struct QueueRotation {
    private var next: Int

    init(start: Int) { next = start }

    /// The next queue in turn.
    /// - Parameters:
    ///   - lastBroker: failed just now; another one's queue is taken if there is any.
    ///   - faults: brokers to pass over, if that is wanted.
    mutating func queue(
        of queues: [MessageQueue], avoiding lastBroker: String?, _ faults: FaultTable?, now: MonotonicTime
    ) -> MessageQueue? {
        guard !queues.isEmpty else { return nil }
        if let faults {
            if let queue = turn(
                queues, where: { faults.isAvailable($0.brokerName, now: now) && $0.brokerName != lastBroker })
            {
                return queue
            }
            if let broker = faults.leastBad(of: queues.map(\.brokerName)) {
                return turn(queues) { $0.brokerName == broker }
            }
        }
        return turn(queues) { $0.brokerName != lastBroker } ?? turn(queues) { _ in true }
    }

    private mutating func turn(_ queues: [MessageQueue], where condition: (MessageQueue) -> Bool) -> MessageQueue? {
        for _ in queues.indices {
            let queue = queues[next % queues.count]
            next = (next + 1) & Int.max
            if condition(queue) { return queue }
        }
        return nil
    }
}

/// The queue that a sharding key stands for: the Java hash of the key, made positive, over the number of queues, so that
/// producers written with RocketMQ's `SelectMessageQueueByHash` agree.
func queue(forKey key: String, of queues: [MessageQueue]) -> MessageQueue? {
    guard !queues.isEmpty else { return nil }
    // Java: Math.abs(hash % count). The remainder of Int32.min is in range, unlike its magnitude.
    let remainder = Int(javaHash(key)) % queues.count
    return queues[abs(remainder)]
}
