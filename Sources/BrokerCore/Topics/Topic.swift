import Base
import Model
import Storage

/// A topic of the broker with its queues.
public final class Topic {
    // What a send looks at comes first, so that it lies in one line of the processor's cache.
    /// Filled as the queues are used.
    @exclusivity(unchecked) private var queues: [StoredQueue?] = []
    /// Whether producers may send to it: a writable topic that is none of the broker's own.
    @exclusivity(unchecked) private(set) var takesMessages: Bool
    /// Queues that may hold messages.
    @exclusivity(unchecked) private(set) var queueCount: Int32
    /// What may still be sent, and be pulled, now; nil without a limit.
    @exclusivity(unchecked) private(set) var sendLimit: TrafficLimit?
    @exclusivity(unchecked) private(set) var pullLimit: TrafficLimit?
    public let name: String
    public internal(set) var configuration: TopicConfiguration {
        didSet {
            takesMessages = Self.takesMessages(configuration)
            queueCount = configuration.queueCount
            limitTraffic()
        }
    }
    private let quotas: Quotas

    init(_ configuration: TopicConfiguration, quotas: Quotas) {
        name = configuration.name
        self.configuration = configuration
        self.quotas = quotas
        takesMessages = Self.takesMessages(configuration)
        queueCount = configuration.queueCount
        limitTraffic()
    }

    /// Takes over what its settings, or the broker's, say of its traffic. The broker's say nothing about its own topics, nor
    /// about those of retries and dead letters, which groups fill.
    func limitTraffic() {
        let isOwn = name.hasPrefix("%") || SystemTopics.fixed.contains(name)
        let defaults = isOwn ? TrafficQuota.byDefault : quotas.configuration.topic
        sendLimit = quotas.limit(configuration.quota.send.resolved(defaults.send), keeping: sendLimit)
        pullLimit = quotas.limit(configuration.quota.pull.resolved(defaults.pull), keeping: pullLimit)
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
