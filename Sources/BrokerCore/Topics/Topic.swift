import Base
import Model
import Storage

/// A topic of the broker with its queues.
public final class Topic {
    public let name: String
    public internal(set) var configuration: TopicConfiguration {
        didSet { takesMessages = Self.takesMessages(configuration) }
    }
    /// Whether producers may send to it: a writable topic that is none of the broker's own.
    @exclusivity(unchecked) private(set) var takesMessages: Bool
    /// Filled as the queues are used.
    @exclusivity(unchecked) private var queues: [StoredQueue?] = []

    init(_ configuration: TopicConfiguration) {
        name = configuration.name
        self.configuration = configuration
        takesMessages = Self.takesMessages(configuration)
    }

    private static func takesMessages(_ configuration: TopicConfiguration) -> Bool {
        configuration.permission.contains(.write) && !SystemTopics.sendForbidden.contains(configuration.name)
    }

    /// The queue, loaded when it is used for the first time.
    /// - Precondition: the topic has a queue of this number.
    @inline(__always)
    func queue(_ queueID: QueueID, in store: MessageStore) throws(BrokerError) -> StoredQueue {
        let number = Int(queueID.rawValue)
        if number < queues.count, let queue = queues[number] { return queue }
        return try load(queueID, in: store)
    }

    @inline(never)
    private func load(_ queueID: QueueID, in store: MessageStore) throws(BrokerError) -> StoredQueue {
        let number = Int(queueID.rawValue)
        do {
            let queue = try store.queue(topic: name, queueID)
            while queues.count <= number { queues.append(nil) }
            queues[number] = queue
            return queue
        } catch {
            throw .storage(error)
        }
    }
}
