import Base
import Compression
import Model
import Telemetry

/// Reads queues that the caller chooses, from where the caller says.
///
///     let consumer = client.pullConsumer(group: "audit")
///     try await consumer.assign(try await consumer.queues(of: "Orders"))
///     let messages = try await consumer.poll()
///     try await consumer.commit()
///
/// It does not become a member of its group: nothing is rebalanced, and its queues may be read by others too.
public final class PullConsumer: Sendable {
    private let client: RocketMQClient
    private let core: PullConsumerCore
    public var configuration: PullConsumerConfiguration { core.configuration }

    init(_ client: RocketMQClient, _ configuration: PullConsumerConfiguration) {
        self.client = client
        core = PullConsumerCore(client.core, configuration)
    }

    // MARK: - Queues

    /// The readable queues of a topic, sorted.
    public func queues(of topic: String, timeout: Duration? = nil) async throws(ClientError) -> [MessageQueue] {
        try await client.core.route(topic, deadline: client.core.deadline(timeout)).subscribeQueues
    }

    /// Chooses the queues to read. One that is new begins at the group's stored offset, or, when there is none, as
    /// ``PullConsumerConfiguration/consumeFrom`` says.
    public func assign(_ queues: [MessageQueue]) async throws(ClientError) { try await core.assign(queues) }

    /// The queues that were chosen, sorted.
    public var assignedQueues: [MessageQueue] { get async { await core.assigned } }

    /// Reads nothing of an assigned queue until ``resume(_:)``. What was pulled of it already is kept.
    public func pause(_ queue: MessageQueue) async throws(ClientError) { try await core.setPaused(true, queue) }

    /// Goes on with a paused queue.
    public func resume(_ queue: MessageQueue) async throws(ClientError) { try await core.setPaused(false, queue) }

    // MARK: - Reading

    /// Goes on reading at `offset`; adds the queue if it was not assigned.
    public func seek(_ queue: MessageQueue, to offset: QueueOffset) async { await core.seek(queue, to: offset) }

    /// Goes on reading at the beginning, the end, or a time.
    public func seek(_ queue: MessageQueue, to place: ConsumeFrom) async throws(ClientError) {
        await core.seek(queue, to: try await client.core.offset(queue, place))
    }

    /// The next messages of the assigned queues, taken from all of them in turn.
    /// - Parameters:
    ///   - maximum: of messages to return.
    ///   - timeout: how long to wait for the first one.
    /// - Returns: none when none came in time.
    /// - Throws: why no queue could be read, if that went on until the time was up, or cannot change, as with a mistake in an
    ///   SQL expression.
    public func poll(
        maximum: Int = 32, timeout: Duration = .seconds(5)
    ) async throws(ClientError) -> [ReceivedMessage] {
        var messages = try await core.poll(maximum: maximum, timeout: timeout)
        for index in messages.indices {
            messages[index].restoreTopic()
            do throws(CompressionError) { try messages[index].decompress() } catch {
                client.core.log.warning(
                    "body not decompressed", ["message": messages[index].messageID, "reason": "\(error)"])
            }
        }
        return messages
    }

    // MARK: - Offsets

    /// Stores, for every assigned queue, the offset behind the last message that ``poll(maximum:timeout:)`` returned.
    public func commit() async throws(ClientError) { try await core.commit() }

    /// Stores an offset of the group.
    public func commit(_ queue: MessageQueue, _ offset: QueueOffset) async throws(ClientError) {
        try await client.core.commit(queue, offset, group: configuration.group, isAnswerAwaited: true)
    }

    /// The offset of the next message that ``poll(maximum:timeout:)`` returns from the queue.
    public func position(_ queue: MessageQueue) async throws(ClientError) -> QueueOffset {
        try await core.position(queue)
    }

    /// The stored offset of the group; nil when there is none.
    public func committed(_ queue: MessageQueue) async throws(ClientError) -> QueueOffset? {
        try await client.core.committedOffset(queue, group: configuration.group)
    }

    /// The offset of a place in a queue: `.firstOffset` is the oldest message, `.lastOffset` the one that comes next.
    public func offset(_ queue: MessageQueue, at place: ConsumeFrom) async throws(ClientError) -> QueueOffset {
        try await client.core.offset(queue, place)
    }
}
