import Base
import Bytes
import Model
import RemotingProtocol

/// What a pull brought.
struct PullAnswer: Sendable {
    enum Kind {
        case found
        /// Nothing new (19), or nothing that passes the filter (20).
        case nothing
        /// The offset is not there (21): `nextOffset` is.
        case moved
    }
    var kind: Kind
    var messages: [ReceivedMessage]
    var nextOffset: QueueOffset
    var minimumOffset: QueueOffset
    var maximumOffset: QueueOffset
    /// The replica to ask next.
    var suggestedBrokerID: Int64
}

/// One pull of one queue.
struct Pull: Sendable {
    var group: String
    var queue: MessageQueue
    var offset: QueueOffset
    var messagesMaximum: Int32
    var subscription: Subscription
    /// Sends the filter along, for a consumer that is not a member of the group.
    var isSubscriptionSent = false
    /// The group's offset, to be stored with the pull.
    var commitOffset: QueueOffset?
    /// How long the broker may hold the pull; nil not at all.
    var suspension: Duration?

    private var flags: PullFlags {
        var flags = PullFlags()
        if suspension != nil { flags.insert(.suspend) }
        if isSubscriptionSent { flags.insert(.subscription) }
        if commitOffset != nil { flags.insert(.commitOffset) }
        return flags
    }

    var request: Request<PullAnswer> {
        Request(.pullMessage) { writer in
            PullMessageHeader.write(
                into: &writer, consumerGroup: group, topic: queue.topic, queueID: queue.queueID, queueOffset: offset,
                maxMessageCount: messagesMaximum, flags: flags, commitOffset: commitOffset ?? .zero,
                suspendTimeoutMilliseconds: suspension?.milliseconds ?? 0,
                subscription: isSubscriptionSent ? subscription.expression : nil,
                subscriptionVersion: subscription.version, expressionType: subscription.expressionType,
                brokerName: queue.brokerName)
        } read: { (answer) throws(ClientError) in
            let kind = try Self.kind(answer)
            let header = try answer.fields(PullMessageResponseHeader.self)
            var messages: [ReceivedMessage] = []
            if kind == .found {
                messages = try ReceivedMessage.decodeAll(
                    answer.buffer.bytes.extracting(answer.frame.body), brokerName: queue.brokerName, topic: queue.topic)
                // Brokers compare hashes of tags only, and different tags can have the same.
                if !subscription.tags.isEmpty { messages.removeAll { !$0.hasTag(in: subscription.tags) } }
            }
            return PullAnswer(
                kind: kind, messages: messages, nextOffset: header.nextBeginOffset, minimumOffset: header.minimumOffset,
                maximumOffset: header.maximumOffset, suggestedBrokerID: header.suggestedBrokerID)
        }
    }

    private static func kind(_ answer: ReceivedCommand) throws(ClientError) -> PullAnswer.Kind {
        switch answer.code {
        case .success: return .found
        case .pullNotFound, .pullRetryImmediately: return .nothing
        case .pullOffsetMoved: return .moved
        default: throw answer.refusal
        }
    }
}

extension Subscription {
    /// What a filter means on the wire.
    init(topic: String, _ filter: MessageFilter, version: Int64) {
        switch filter {
        case .all:
            self.init(topic: topic, version: version)
        case .sql(let expression):
            self.init(topic: topic, expressionType: Self.sqlType, expression: expression, version: version)
        case .tags(let expression):
            var tags: [String] = []
            for part in expression.split(separator: "||") {
                let tag = part.drop { $0 == " " }.reversed().drop { $0 == " " }.reversed()
                if !tag.isEmpty { tags.append(String(tag)) }
            }
            if tags.isEmpty || tags == ["*"] {
                self.init(topic: topic, version: version)
            } else {
                self.init(
                    topic: topic, expression: expression, tags: tags, tagHashes: tags.map { javaHash($0) },
                    version: version)
            }
        }
    }
}
