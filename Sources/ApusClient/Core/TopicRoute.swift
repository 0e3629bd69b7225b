import Base
import Model
import RemotingProtocol

/// Where the queues of a topic are, as one answer of a name server told it.
struct TopicRoute: Sendable {
    let topic: String
    let data: TopicRouteData
    /// Queues that producers may use: writable, on brokers with a master. In the order that all clients agree on.
    let publishQueues: [MessageQueue]
    /// Queues that consumers may read.
    let subscribeQueues: [MessageQueue]
    /// The topic does not exist yet: the route is that of the topic it will be made from.
    let isProvisional: Bool

    init(topic: String, data: TopicRouteData, isProvisional: Bool = false) {
        self.topic = topic
        self.data = data
        self.isProvisional = isProvisional
        publishQueues = Self.publishQueues(topic, data)
        subscribeQueues = data.queues.filter { $0.permission.contains(.read) }
            .flatMap { Self.queues(topic, $0.brokerName, $0.readQueueCount) }.sorted()
    }

    /// The route of a topic that the first send will create from `template`'s settings (remoting reference §1.9).
    init(topic: String, from template: TopicRouteData, queueCount: Int32) {
        var data = template
        data.orderTopicConfig = nil
        for index in data.queues.indices {
            let count = min(queueCount, data.queues[index].readQueueCount)
            data.queues[index].readQueueCount = count
            data.queues[index].writeQueueCount = count
        }
        self.init(topic: topic, data: data, isProvisional: true)
    }

    private static func publishQueues(_ topic: String, _ data: TopicRouteData) -> [MessageQueue] {
        if let order = data.orderTopicConfig, !order.isEmpty { return orderedQueues(topic, order) }
        let masters = Set(data.brokers.filter { $0.addresses[0] != nil }.map(\.brokerName))
        return data.queues.filter { $0.permission.contains(.write) && masters.contains($0.brokerName) }
            .flatMap { queues(topic, $0.brokerName, $0.writeQueueCount) }.sorted()
    }

    /// Of a topic whose order the name server keeps: `broker:queues;broker:queues`.
    private static func orderedQueues(_ topic: String, _ order: String) -> [MessageQueue] {
        order.split(separator: ";").flatMap { part -> [MessageQueue] in
            let pair = part.split(separator: ":")
            guard pair.count == 2, let count = Int32(pair[1]) else { return [] }
            return queues(topic, String(pair[0]), count)
        }
    }

    private static func queues(_ topic: String, _ brokerName: String, _ count: Int32) -> [MessageQueue] {
        let bounded = min(max(0, count), Int32(Limits.queuesPerTopicMaximum))
        return (0..<bounded).map { MessageQueue(topic: topic, brokerName: brokerName, queueID: QueueID($0)) }
    }
}
