import Model

/// What one member of a group has in common with every other, when the group is in order: how it consumes, and what it
/// subscribes to.
///
/// Members that differ here lose messages without an error, for queues are shared among all members whatever they subscribe
/// to, and the broker keeps one subscription of a topic for the whole group: RocketMQ users' most frequent mistake.
struct SubscriptionOutline: Hashable {
    private struct Filter: Hashable, CustomStringConvertible {
        var type: String
        var expression: String
        var description: String { "\(type) \(expression)" }

        init(_ subscription: Subscription) {
            guard subscription.isByTags else {
                type = subscription.expressionType
                expression = subscription.expression
                return
            }
            type = Subscription.tagType
            // `a||b` and `b || a` are the same.
            let tags = Set(TagFilter.tags(of: subscription.expression)).sorted()
            expression = tags.isEmpty ? "*" : tags.joined(separator: " || ")
        }
    }

    private var consumeType: ConsumeType
    private var messageModel: MessageModel
    private var filters: [String: Filter]

    init(_ consumer: Heartbeat.Consumer) {
        consumeType = consumer.consumeType
        messageModel = consumer.messageModel
        filters = [:]
        // Clients subscribe to the retry topic by themselves, or not, by their kind.
        let retryTopic = SystemTopics.retry(of: consumer.group)
        for subscription in consumer.subscriptions where subscription.topic != retryTopic {
            filters[subscription.topic] = Filter(subscription)
        }
    }

    /// In words, how this member differs from others that have `usual` in common; empty when it does not.
    func differences(from usual: SubscriptionOutline) -> [String] {
        var differences: [String] = []
        if consumeType != usual.consumeType {
            differences.append("is \(consumeType.rawValue), others are \(usual.consumeType.rawValue)")
        }
        if messageModel != usual.messageModel {
            differences.append("is \(messageModel.rawValue), others are \(usual.messageModel.rawValue)")
        }
        for topic in Set(filters.keys).union(usual.filters.keys).sorted() {
            switch (filters[topic], usual.filters[topic]) {
            case (let own?, let other?) where own != other:
                differences.append("subscribes \(topic) by \(own), others by \(other)")
            case (let own?, nil): differences.append("subscribes \(topic) by \(own), others do not")
            case (nil, let other?): differences.append("does not subscribe \(topic), others do by \(other)")
            default: break
            }
        }
        return differences
    }
}

/// A member of a group that subscribes to something else, or consumes in another way, than most of the group.
public struct SubscriptionDisagreement: Equatable, Sendable {
    public var clientID: String
    /// In words, for operators.
    public var differences: [String]

    public init(clientID: String, differences: [String]) {
        self.clientID = clientID
        self.differences = differences
    }
}
