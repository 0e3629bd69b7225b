import Base
import Compression
import Model
import Runtime
import Telemetry

/// A member of a consumer group: gets the messages of the queues that fall to it.
///
/// As a sequence, where the loop's pace is the back-pressure:
///
///     for try await delivery in consumer.deliveries {
///         print(delivery.message.text)
///         delivery.ack()
///     }
///
/// Or with a handler, for several messages at a time:
///
///     try await consumer.consume(concurrency: 32) { message in
///         try await store(message)
///     }
///
/// It joins its group with the first of either, and leaves it with ``shutdown()``, with its client, or at the end of
/// ``RocketMQClient/withPushConsumer(_:_:)``. A message is delivered at least once.
public final class PushConsumer: Sendable {
    private let client: RocketMQClient
    let core: PushConsumerCore
    public var configuration: PushConsumerConfiguration { core.configuration }

    init(_ client: RocketMQClient, _ configuration: PushConsumerConfiguration) {
        self.client = client
        core = PushConsumerCore(client.core, configuration)
    }

    /// Joins the group. Need not be called: receiving does.
    /// - Throws: ``ClientError`` when the configuration is wrong or no name server answers.
    public func start() async throws(ClientError) { try await core.start() }

    /// Waits for the next message.
    /// - Returns: nil when the consumer was shut down or the task was cancelled.
    public func receive() async throws(ClientError) -> Delivery? {
        guard let run = try await core.receive(), let message = run.messages.first else { return nil }
        return delivery(of: message, run)
    }

    private func delivery(of stored: ReceivedMessage, _ run: DeliveryRun) -> Delivery {
        var message = stored
        message.restoreTopic()
        do throws(CompressionError) { try message.decompress() } catch {
            core.log.warning(
                "body not decompressed", ["message": message.messageID, "reason": "\(error)"])
        }
        return Delivery(message, run.token(stored), of: core)
    }

    /// The messages, until the consumer is shut down or the task cancelled. Several loops may share them.
    public var deliveries: Deliveries { Deliveries(consumer: self) }

    public struct Deliveries: AsyncSequence, Sendable {
        public typealias Element = Delivery
        public typealias Failure = ClientError
        let consumer: PushConsumer

        public struct AsyncIterator: AsyncIteratorProtocol {
            public typealias Failure = ClientError
            let consumer: PushConsumer

            public mutating func next(isolation actor: isolated (any Actor)?) async throws(ClientError) -> Delivery? {
                try await consumer.receive()
            }

            public mutating func next() async throws(ClientError) -> Delivery? { try await consumer.receive() }
        }

        public func makeAsyncIterator() -> AsyncIterator { AsyncIterator(consumer: consumer) }
    }

    /// Calls `handler` for each message, for up to `concurrency` messages at once, until the consumer is shut down or the task
    /// is cancelled; then waits for the handlers that are running, and leaves the group.
    ///
    /// A message is acknowledged when its handler returns, and retried when it throws.
    public func consume(
        concurrency: Int = 20, _ handler: @escaping @Sendable (ReceivedMessage) async throws -> Void
    ) async throws(ClientError) {
        try await consumeDeliveries(concurrency: concurrency) { delivery in try await handler(delivery.message) }
    }

    /// ``consume(concurrency:_:)`` with a handler that may answer by itself, for instance to choose the delay of a retry.
    public func consumeDeliveries(
        concurrency: Int = 20, _ handler: @escaping @Sendable (Delivery) async throws -> Void
    ) async throws(ClientError) {
        precondition(concurrency > 0, "a consumer with no handler at work")
        try await start()
        await withTaskGroup(of: Void.self) { group in
            for _ in 0..<concurrency { group.addTask { await self.work(handler) } }
        }
        await shutdown()
    }

    private func work(_ handler: @Sendable (Delivery) async throws -> Void) async {
        // Messages of a queue come one after the other, so whoever handles one may as well handle the next. How many are taken
        // at once follows from how long the handler takes: of a slow one each message is acknowledged by itself.
        var length = 1
        var next = try? await core.receive(maximum: length)
        while let run = next {
            let (answer, mayGrow) = await handle(run, handler)
            length = mayGrow ? min(length * 2, Self.runLengthMaximum) : 1
            next = try? await core.receive(after: answer, maximum: length)
        }
    }

    /// Messages of a queue that one task takes at once, at most.
    private static let runLengthMaximum = 32
    /// No further message of a run is begun after this time, in ms.
    private static let runDurationMaximum: Int64 = 5

    /// Calls the handler for one message after the other, until one fails or the time is over.
    /// - Returns: also whether the next run may be longer.
    private func handle(
        _ run: DeliveryRun, _ handler: @Sendable (Delivery) async throws -> Void
    ) async -> (RunAnswer, mayGrow: Bool) {
        var answer = RunAnswer()
        let end = SystemClock().monotonic.advanced(byMilliseconds: Self.runDurationMaximum)
        var isOver = false
        for message in run.messages {
            if isOver {
                answer.untouched.append(run.token(message))
                continue
            }
            let delivery = delivery(of: message, run)
            var result = ConsumeResult.success
            do { try await handler(delivery) } catch {
                core.log.info("handler failed", ["message": delivery.message.messageID, "reason": "\(error)"])
                result = .retry(delayLevel: 0)
            }
            // A handler may have answered by itself; what it said is not known here, so nothing is handled behind it.
            let token = delivery.claim()
            if let token { answer.results.append((token, result)) }
            isOver = token == nil || result != .success || Task.isCancelled || end < SystemClock().monotonic
        }
        return (answer, !isOver)
    }

    /// Subscribes to one topic more, or changes what is wanted of it. Brokers hear of it before this returns.
    public func subscribe(_ topic: String, _ filter: MessageFilter) async throws(ClientError) {
        try await core.subscribe(topic, filter)
    }

    /// Gives up a topic, and its queues.
    public func unsubscribe(_ topic: String) async throws(ClientError) { try await core.unsubscribe(topic) }

    /// The queues that are this consumer's now, sorted.
    public var assignedQueues: [MessageQueue] { get async { await core.assignedQueues } }

    // MARK: - Pauses

    /// Pulls and hands out nothing of a queue until ``resume(_:)``; what is out already goes on. A queue that is not assigned
    /// is remembered for when it is.
    public func pause(_ queue: MessageQueue) async { await core.setPaused(true, queue) }

    /// Goes on with a paused queue.
    public func resume(_ queue: MessageQueue) async { await core.setPaused(false, queue) }

    /// Pulls and hands out nothing of any queue until ``resume()``.
    public func pause() async { await core.setPaused(true, nil) }

    /// Goes on with all queues, also with those that were paused by themselves.
    public func resume() async { await core.setPaused(false, nil) }

    // MARK: - Offsets and the end

    /// Stores the offsets of all acknowledged messages at the brokers now rather than at the next interval.
    public func commitOffsets() async { await core.commitOffsets(isAnswerAwaited: true) }

    /// Stops handing out, waits for the answers to messages that are out
    /// (``PushConsumerConfiguration/handOverTimeout``), stores offsets, gives up locks and leaves the group. Messages that are
    /// not acknowledged then are delivered again, to whoever gets their queues.
    public func shutdown() async {
        // The calling task may be cancelled already, which must not cancel the goodbyes.
        await Task { [core] in await core.shutdown() }.value
    }
}
