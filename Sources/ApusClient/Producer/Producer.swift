import Base
import Model
import RemotingProtocol
import Runtime

/// Sends messages. Any number of tasks may use one producer at once; they share its connections.
///
///     let producer = client.producer(group: "orders")
///     let receipt = try await producer.send(Message(topic: "Orders", text: "one pizza"))
///
/// Every call has a deadline: ``ProducerConfiguration/sendTimeout`` from when there is room for it, or what is given, waiting
/// for room included. Once more sends are under way than
/// ``ProducerConfiguration/inFlightMaximum``, or more bytes than ``ProducerConfiguration/inFlightBytesMaximum``, the next one
/// waits, which is how a fast caller is slowed down and memory stays bounded.
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
        try await core.send(prepare(message), QueueChoice(message), timeout: timeout)
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
    ///   ``ProducerConfiguration/messageSizeMaximum``: ``sendInBatches(_:timeout:)`` splits them.
    @discardableResult
    public func send(
        contentsOf messages: some Sequence<Message>, timeout: Duration? = nil
    ) async throws(ClientError) -> SendReceipt {
        let batch = Array(messages)
        return try await core.send(prepare(batch: batch), QueueChoice(batch.first), timeout: timeout)
    }

    /// Sends any number of messages, also of different topics, in as few batches as ``ProducerConfiguration/batchSizeMaximum``
    /// allows, one batch after the other. Messages of one topic and one sharding key keep their order. A message that is larger
    /// than a batch, or delayed, goes alone.
    /// - Parameter timeout: of each batch.
    /// - Returns: a receipt for each batch.
    /// - Throws: ``ClientError``, whose ``ClientError/stored`` tells which batches were stored before.
    @discardableResult
    public func sendInBatches(
        _ messages: some Sequence<Message>, timeout: Duration? = nil
    ) async throws(ClientError) -> [SendReceipt] {
        var receipts: [SendReceipt] = []
        for batch in MessageBatches.split(messages, sizeMaximum: batchSizeMaximum) {
            do throws(ClientError) {
                let receipt =
                    batch.count == 1
                    ? try await send(batch[0], timeout: timeout) : try await send(contentsOf: batch, timeout: timeout)
                receipts.append(receipt)
            } catch {
                var failure = error
                failure.stored = receipts
                throw failure
            }
        }
        return receipts
    }

    private var batchSizeMaximum: Int { min(configuration.batchSizeMaximum, configuration.messageSizeMaximum) }

    /// Starts to send a message, and returns as soon as there is room for it in flight; the ticket tells how it went.
    /// A send whose ticket nobody asks goes on all the same.
    ///
    /// When brokers are slow, this waits rather than to fail: the time for the send begins when there is room for it.
    public func submit(_ message: Message, timeout: Duration? = nil) async throws(ClientError) -> SendTicket {
        let prepared = try prepare(message)
        let choice = QueueChoice(message)
        try await core.acquire(prepared.size, nil)
        return SendTicket(
            task: Task { [core] in
                do throws(ClientError) {
                    return .success(try await core.sendReleasing(prepared, choice, core.deadline(timeout)))
                } catch {
                    return .failure(error)
                }
            })
    }

    /// Sends a message that nobody acknowledges; it may get lost. Returns when it was handed to the connection: a broker that
    /// is slow slows the caller down, for as long as ``ProducerConfiguration/oneWayTimeout`` unless given.
    public func sendOneWay(_ message: Message, timeout: Duration? = nil) async throws(ClientError) {
        try await core.sendOneWay(prepare(message), QueueChoice(message), timeout: timeout)
    }

    /// ``sendOneWay(_:timeout:)`` to one queue.
    public func sendOneWay(
        _ message: Message, to queue: MessageQueue, timeout: Duration? = nil
    ) async throws(ClientError) {
        try await core.sendOneWay(prepare(message), .queue(queue), timeout: timeout)
    }

    // MARK: - Requests and replies

    /// Sends a message to whoever consumes its topic, and waits for the reply to it.
    /// - Parameter timeout: for the way there, the work, and the way back.
    /// - Returns: the reply; its ``ReceivedMessage/queue`` and offsets mean nothing.
    /// - Throws: ``ClientError/Code-swift.struct/timedOut`` when no reply came in time. The request may have been consumed.
    public func request(_ message: Message, timeout: Duration = .seconds(3)) async throws(ClientError)
        -> ReceivedMessage
    {
        guard !message.isDelayed else { throw ClientError(.invalidArgument, "a request cannot be delayed") }
        let deadline = await core.deadline(timeout)
        let now = Self.now()
        let correlationID = ids.next(at: now)
        var prepared = try PreparedMessage(
            message, id: ids.next(at: now), at: now, configuration,
            extra: [
                (PropertyName.correlationID, correlationID), (PropertyName.replyToClient, client.clientID),
                (PropertyName.timeToLive, "\(timeout.milliseconds)"),
            ])
        prepared.needsMembership = true
        return try await core.request(prepared, QueueChoice(message), correlationID: correlationID, deadline)
    }

    /// Answers a request that a consumer got: see ``ReceivedMessage/isRequest``. Returns when the one who asked has it.
    /// - Throws: ``ClientError/Code-swift.struct/invalidArgument`` when the message is no request, and
    ///   ``ClientError/Code-swift.struct/refused`` when the one who asked is not there any more.
    public func reply(
        to request: ReceivedMessage, body: some Sequence<UInt8>, tag: String? = nil, properties: [String: String] = [:],
        timeout: Duration? = nil
    ) async throws(ClientError) {
        guard let correlationID = request.property(PropertyName.correlationID),
            let asker = request.property(PropertyName.replyToClient)
        else { throw ClientError(.invalidArgument, "message \(request.messageID) is no request") }
        guard let cluster = request.property(PropertyName.cluster) else {
            throw ClientError(.invalidArgument, "message \(request.messageID) does not say which cluster it came from")
        }
        var extra: [(name: String, value: String)] = [
            (PropertyName.messageType, PropertyName.replyType), (PropertyName.correlationID, correlationID),
            (PropertyName.replyToClient, asker),
        ]
        if let time = request.property(PropertyName.timeToLive) { extra.append((PropertyName.timeToLive, time)) }
        let message = Message(topic: SystemTopics.reply(of: cluster), body: body, tag: tag, properties: properties)
        let now = Self.now()
        let prepared = try PreparedMessage(message, id: ids.next(at: now), at: now, configuration, extra: extra)
        try await client.core.send(
            reply: prepared, to: request.queue, producerGroup: configuration.group, deadline: core.deadline(timeout))
    }

    /// ``reply(to:body:tag:properties:timeout:)`` with the UTF-8 of a text.
    public func reply(
        to request: ReceivedMessage, text: String, timeout: Duration? = nil
    ) async throws(ClientError) {
        try await reply(to: request, body: text.utf8, timeout: timeout)
    }

    // MARK: - Recall

    /// Cancels a delayed message that was not delivered yet (370, RocketMQ 5.3).
    /// - Throws: ``ClientError/Code-swift.struct/invalidArgument`` when the broker gave no handle, and
    ///   ``ClientError/Code-swift.struct/refused`` when it is too late.
    public func recall(_ receipt: SendReceipt, timeout: Duration? = nil) async throws(ClientError) {
        guard let handle = receipt.recallHandle else {
            throw ClientError(.invalidArgument, "message \(receipt.messageID) has no recall handle")
        }
        let address = try await client.core.address(of: receipt.queue, deadline: core.deadline(timeout))
        try await recall(topic: receipt.queue.topic, handle, at: address, receipt.queue.brokerName, timeout)
    }

    /// ``recall(_:timeout:)`` with a handle that was kept.
    public func recall(topic: String, handle: String, timeout: Duration? = nil) async throws(ClientError) {
        guard let parts = RecallHandle(handle) else {
            throw ClientError(.invalidArgument, "\"\(handle)\" is no recall handle")
        }
        _ = try await core.publishQueues(topic, deadline: core.deadline(timeout))
        let address = try await client.core.address(of: parts.brokerName)
        try await recall(topic: topic, handle, at: address, parts.brokerName, timeout)
    }

    private func recall(
        topic: String, _ handle: String, at address: String, _ brokerName: String, _ timeout: Duration?
    ) async throws(ClientError) {
        let group = configuration.group
        let request = Request<Void>(.recallMessage) { writer in
            writer.field("producerGroup", group)
            writer.field("topic", topic)
            writer.field("recallHandle", handle)
            writer.field("bname", brokerName)
        } read: { (answer) throws(ClientError) in
            try answer.requireSuccess()
        }
        try await client.core.call(request, to: address, deadline: core.deadline(timeout))
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

    private func prepare(batch: [Message]) throws(ClientError) -> PreparedMessage {
        let now = Self.now()
        return try PreparedMessage(
            batch: batch, ids: batch.map { _ in ids.next(at: now) }, at: now, configuration)
    }

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
