import Base
import Model
import Runtime

/// Sends messages. Any number of tasks may use one producer at once; they share its connections.
///
///     let producer = client.producer(group: "orders")
///     let receipt = try await producer.send(Message(topic: "Orders", text: "one pizza"))
///
/// Every call has a deadline, ``ProducerConfiguration/sendTimeout`` unless given. Once more sends are under way than
/// ``ProducerConfiguration/inFlightMaximum``, the next one waits, which is how a fast caller is slowed down.
public final class Producer: Sendable {
    private let client: RocketMQClient
    private let core: ProducerCore
    private let ids: MessageIDGenerator
    public var configuration: ProducerConfiguration { core.configuration }

    init(_ client: RocketMQClient, _ configuration: ProducerConfiguration) {
        self.client = client
        core = ProducerCore(client.core, configuration)
        ids = client.ids
    }

    // MARK: - One message

    /// Sends a message and returns when a broker has stored it.
    ///
    /// Goes to the queues in turn, or, with a ``Message/shardingKey``, to the key's queue. After a failure that another
    /// broker may not have, the others are tried: a message can then be stored twice.
    /// - Throws: ``ClientError``.
    @discardableResult
    public func send(_ message: Message, timeout: Duration? = nil) async throws(ClientError) -> SendReceipt {
        try await core.send(prepare(message), Self.choice(message), timeout: timeout)
    }

    /// Sends a message to one queue, and to no other when that fails.
    @discardableResult
    public func send(
        _ message: Message, to queue: MessageQueue, timeout: Duration? = nil
    ) async throws(ClientError) -> SendReceipt {
        try await core.send(prepare(message), .queue(queue), timeout: timeout)
    }

    /// Sends a message to the queue that `select` chooses among the topic's writable queues, which are sorted.
    @discardableResult
    public func send(
        _ message: Message, timeout: Duration? = nil, select: @escaping @Sendable ([MessageQueue]) -> MessageQueue?
    ) async throws(ClientError) -> SendReceipt {
        try await core.send(prepare(message), .selected(select), timeout: timeout)
    }

    // MARK: - Many messages

    /// Sends messages of one topic as one batch: into one queue, one after the other, stored all or none.
    /// - Throws: ``ClientError/Code-swift.struct/messageTooLarge`` when all together exceed
    ///   ``ProducerConfiguration/messageSizeMaximum``: send them in parts then.
    @discardableResult
    public func send(
        contentsOf messages: some Sequence<Message>, timeout: Duration? = nil
    ) async throws(ClientError) -> SendReceipt {
        let batch = Array(messages)
        let now = Self.now()
        let prepared = try PreparedMessage(
            batch: batch, ids: batch.map { _ in ids.next(at: now) }, at: now, configuration)
        return try await core.send(prepared, Self.choice(batch.first), timeout: timeout)
    }

    /// Starts to send a message, and returns as soon as there is room for it in flight; the ticket tells how it went.
    /// A send whose ticket nobody asks goes on all the same.
    public func submit(_ message: Message, timeout: Duration? = nil) async throws(ClientError) -> SendTicket {
        let prepared = try prepare(message)
        let choice = Self.choice(message)
        let deadline = await core.deadline(timeout)
        try await core.acquire(deadline)
        return SendTicket(
            task: Task { [core] in
                do throws(ClientError) {
                    return .success(try await core.sendReleasing(prepared, choice, deadline))
                } catch {
                    return .failure(error)
                }
            })
    }

    /// Sends a message that nobody acknowledges; it may get lost. Returns when it was handed to the connection.
    public func sendOneWay(_ message: Message, timeout: Duration? = nil) async throws(ClientError) {
        try await core.sendOneWay(prepare(message), Self.choice(message), timeout: timeout)
    }

    /// ``sendOneWay(_:timeout:)`` to one queue.
    public func sendOneWay(
        _ message: Message, to queue: MessageQueue, timeout: Duration? = nil
    ) async throws(ClientError) {
        try await core.sendOneWay(prepare(message), .queue(queue), timeout: timeout)
    }

    // MARK: - Queues

    /// The queues of a topic that may be written, in the order that ``send(_:timeout:select:)`` shows them.
    public func queues(of topic: String, timeout: Duration? = nil) async throws(ClientError) -> [MessageQueue] {
        try await core.publishQueues(topic, deadline: core.deadline(timeout))
    }

    /// Leaves the producer group. Later sends fail; those under way go on.
    public func shutdown() async { await core.shutdown() }

    // MARK: - Preparation

    private func prepare(_ message: Message) throws(ClientError) -> PreparedMessage {
        let now = Self.now()
        return try PreparedMessage(message, id: ids.next(at: now), at: now, configuration)
    }

    private static func choice(_ message: Message?) -> QueueChoice { message?.shardingKey.map(QueueChoice.key) ?? .any }

    private static func now() -> Timestamp { SystemClock().timestamp }
}

/// A send under way.
public struct SendTicket: Sendable {
    fileprivate let task: Task<Result<SendReceipt, ClientError>, Never>

    fileprivate init(task: Task<Result<SendReceipt, ClientError>, Never>) { self.task = task }

    /// Waits until the message was stored. May be asked more than once.
    public var receipt: SendReceipt {
        get async throws(ClientError) { try await task.value.get() }
    }
}
