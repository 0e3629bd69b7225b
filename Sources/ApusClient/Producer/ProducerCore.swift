import Base
import Model
import RemotingProtocol
import Runtime
import Telemetry

/// The state of one producer, on the client's loop.
actor ProducerCore {
    private nonisolated let core: ClientCore
    nonisolated let configuration: ProducerConfiguration
    nonisolated var unownedExecutor: UnownedSerialExecutor { core.unownedExecutor }

    private let waits: WaitList
    /// The sends that wait for their turn, first come first, with their sizes.
    private var queued: [(number: Int32, size: Int)] = []
    private var inFlight = 0
    private var inFlightBytes = 0
    private var rotations: [String: QueueRotation] = [:]
    private var faults = FaultTable()
    private var isRegistered = false
    private var isChecking = false
    private var isClosed = false

    init(_ core: ClientCore, _ configuration: ProducerConfiguration) {
        self.core = core
        self.configuration = configuration
        waits = WaitList(core.loop)
    }

    private func now() -> MonotonicTime { core.loop.clock.monotonic }

    // MARK: - Sending

    func send(
        _ message: PreparedMessage, _ choice: QueueChoice, timeout: Duration?
    ) async throws(ClientError) -> SendReceipt {
        if let timeout { return try await send(message, choice, now().advanced(by: timeout)) }
        // Waiting for room is what a slow broker does to its senders, and no failure.
        try await acquire(message.size, nil)
        return try await sendReleasing(message, choice, deadline(nil))
    }

    private func send(
        _ message: PreparedMessage, _ choice: QueueChoice, _ deadline: MonotonicTime
    ) async throws(ClientError) -> SendReceipt {
        try await acquire(message.size, deadline)
        return try await sendReleasing(message, choice, deadline)
    }

    /// Sends a message for which there is a permit already, and gives the permit back.
    func sendReleasing(
        _ message: PreparedMessage, _ choice: QueueChoice, _ deadline: MonotonicTime
    ) async throws(ClientError) -> SendReceipt {
        defer { release(message.size) }
        return try await sendAcquired(message, choice, deadline)
    }

    private func sendAcquired(
        _ message: PreparedMessage, _ choice: QueueChoice, _ deadline: MonotonicTime
    ) async throws(ClientError) -> SendReceipt {
        var lastBroker: String?
        var attempt = 0
        while true {
            let queue = try await select(message, choice, lastBroker, deadline)
            do throws(ClientError) {
                let receipt = try await attemptSend(message, queue, deadline)
                let isGoodEnough = receipt.status == .stored || !configuration.isRetryingWhenNotDurable
                if isGoodEnough || !mayRetry(attempt, choice, deadline) { return receipt }
            } catch {
                if error.answer?.code == ResponseCode.topicNotExist.rawValue || error.code == .brokerNotFound {
                    await core.forgetRoute(message.topic)
                }
                guard isWorthRetrying(error), mayRetry(attempt, choice, deadline) else { throw error }
                core.log.debug(
                    "send failed, trying another broker", ["broker": queue.brokerName, "reason": "\(error)"])
            }
            lastBroker = queue.brokerName
            attempt += 1
        }
    }

    private func mayRetry(_ attempt: Int, _ choice: QueueChoice, _ deadline: MonotonicTime) -> Bool {
        choice.isFree && attempt < configuration.retryMaximum && now() < deadline
    }

    private func isWorthRetrying(_ error: ClientError) -> Bool {
        if let answer = error.answer { return configuration.retriableAnswers.contains(answer.code) }
        return error.isRetriable
    }

    private func attemptSend(
        _ message: PreparedMessage, _ queue: MessageQueue, _ deadline: MonotonicTime
    ) async throws(ClientError) -> SendReceipt {
        let start = now()
        do throws(ClientError) {
            let address = try await core.address(of: queue, deadline: deadline)
            if message.needsMembership { await core.announce(producerGroup: configuration.group, to: address) }
            let receipt = try await core.call(request(message, queue), to: address, deadline: deadline)
            note(queue.brokerName, start, isFailure: false)
            return receipt
        } catch {
            if error.code != .cancelled { note(queue.brokerName, start, isFailure: true) }
            throw error
        }
    }

    private func note(_ broker: String, _ start: MonotonicTime, isFailure: Bool) {
        guard configuration.isFaultToleranceEnabled else { return }
        let now = now()
        faults.record(broker, latencyMilliseconds: now.milliseconds(since: start), isFailure: isFailure, now: now)
    }

    private func request(_ message: PreparedMessage, _ queue: MessageQueue) -> Request<SendReceipt> {
        message.request(
            producerGroup: configuration.group, to: queue,
            defaultTopic: configuration.defaultTopic ?? SystemTopics.autoCreate,
            defaultTopicQueueCount: configuration.defaultTopicQueueCount)
    }

    // MARK: - One-way

    /// Returns when the message was handed to the connection. Without a timeout of its own, a message waits for a slow broker
    /// rather than to fail.
    func sendOneWay(_ message: PreparedMessage, _ choice: QueueChoice, timeout: Duration?) async throws(ClientError) {
        let deadline = now().advanced(by: timeout ?? configuration.oneWayTimeout)
        try await acquire(message.size, deadline)
        defer { release(message.size) }
        let queue = try await select(message, choice, nil, min(deadline, self.deadline(nil)))
        let address = try await core.address(of: queue, deadline: deadline)
        let full = request(message, queue)
        let request = Request<Void>(full.code, write: full.write) { (_) throws(ClientError) in }
        try await core.post(request, to: address, deadline: deadline)
    }

    // MARK: - Requests

    /// Sends a request and waits for its reply.
    func request(
        _ message: PreparedMessage, _ choice: QueueChoice, correlationID: String, _ deadline: MonotonicTime
    ) async throws(ClientError) -> ReceivedMessage {
        await core.expectReply(correlationID)
        do throws(ClientError) {
            _ = try await send(message, choice, deadline)
        } catch {
            await core.forgetReply(correlationID)
            throw error
        }
        return try await core.reply(correlationID, deadline: deadline)
    }

    // MARK: - Transactions

    /// Joins the producer group everywhere and answers checks, once.
    func start(checker: @escaping TransactionChecker) async throws(ClientError) {
        guard !isClosed else { throw .closed("the producer") }
        guard !isChecking else { return }
        isChecking = true
        do throws(ClientError) {
            try await core.register(checker: checker, producerGroup: configuration.group)
            await register()
            try await core.announceToAll(deadline: deadline(nil))
        } catch {
            // Brokers that routes lead to hear of the group all the same.
            if error.answer != nil { return }
            isChecking = false
            await core.unregisterChecks(producerGroup: configuration.group)
            throw error
        }
    }

    /// Tells the broker of a half message what became of it.
    func end(_ half: SendReceipt, _ outcome: TransactionOutcome) async {
        guard let id = OffsetMessageID(half.offsetMessageID),
            let address = try? await core.address(of: half.queue.brokerName)
        else {
            return core.log.warning("a transaction cannot be ended", ["message": half.messageID])
        }
        await core.end(
            EndTransactionHeader(
                producerGroup: configuration.group, tranStateTableOffset: half.queueOffset, commitLogOffset: id.offset,
                commitOrRollback: outcome.onWire, messageID: half.messageID, transactionID: half.transactionID,
                brokerName: half.queue.brokerName), at: address)
    }

    // MARK: - Queues

    func publishQueues(_ topic: String, deadline: MonotonicTime) async throws(ClientError) -> [MessageQueue] {
        let template = configuration.defaultTopic.map {
            (topic: $0, queueCount: configuration.defaultTopicQueueCount)
        }
        let queues = try await core.route(topic, template: template, deadline: deadline).publishQueues
        guard !queues.isEmpty else {
            await core.forgetRoute(topic)
            throw ClientError(.brokerNotFound, "topic \(topic) has no queue that may be written now")
        }
        return queues
    }

    private func select(
        _ message: PreparedMessage, _ choice: QueueChoice, _ lastBroker: String?, _ deadline: MonotonicTime
    ) async throws(ClientError) -> MessageQueue {
        if case .queue(let queue) = choice { return queue }
        let queues = try await publishQueues(message.topic, deadline: deadline)
        switch choice {
        case .key(let key):
            if let queue = queue(forKey: key, of: queues) { return queue }
        case .selected(let select):
            if let queue = select(queues) { return queue }
        default:
            var rotation = rotations[message.topic] ?? QueueRotation(start: Int.random(in: 0..<1 << 20))
            defer { rotations[message.topic] = rotation }
            let table = configuration.isFaultToleranceEnabled ? faults : nil
            if let queue = rotation.queue(of: queues, avoiding: lastBroker, table, now: now()) { return queue }
        }
        throw ClientError(.invalidArgument, "no queue was selected for topic \(message.topic)")
    }

    // MARK: - How many at once

    /// Waits until there is room for a send of so many bytes, first come first.
    /// - Parameter deadline: nil waits until there is room, which comes when the sends under way end.
    func acquire(_ size: Int, _ deadline: MonotonicTime?) async throws(ClientError) {
        guard !isClosed else { throw .closed("the producer") }
        await register()
        guard !queued.isEmpty || !hasRoom(size) else { return take(size) }
        let number = waits.nextNumber()
        let deadline = deadline ?? now().advanced(by: .seconds(1 << 32))
        let result: Result<Void, ClientError> = await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                waits.add(Waiter("room for another send", deadline: deadline, continuation), number)
                queued.append((number, size))
            }
        } onCancel: {
            core.loop.post {
                self.assumeIsolated { $0.waits.fail(number, ClientError(.cancelled, "the task was cancelled")) }
            }
        }
        do throws(ClientError) { try result.get() } catch {
            // Whoever stood behind a large message may have room without it.
            admit()
            throw error
        }
    }

    private func register() async {
        guard !isRegistered else { return }
        isRegistered = true
        await core.register(producerGroup: configuration.group)
    }

    private func hasRoom(_ size: Int) -> Bool {
        inFlight == 0
            || (inFlight < configuration.inFlightMaximum && inFlightBytes + size <= configuration.inFlightBytesMaximum)
    }

    private func take(_ size: Int) {
        inFlight += 1
        inFlightBytes += size
    }

    func release(_ size: Int) {
        inFlight -= 1
        inFlightBytes -= size
        admit()
    }

    /// Lets those go on that have room now.
    private func admit() {
        var index = 0
        defer { queued.removeFirst(index) }
        while index < queued.count {
            let (number, size) = queued[index]
            guard waits[number] != nil else {
                // It gave up.
                index += 1
                continue
            }
            guard hasRoom(size) else { return }
            index += 1
            take(size)
            (waits.take(number) as? Waiter<Void>)?.succeed(())
        }
    }

    func deadline(_ timeout: Duration?) -> MonotonicTime {
        now().advanced(by: timeout ?? configuration.sendTimeout)
    }

    func shutdown() async {
        guard !isClosed else { return }
        isClosed = true
        waits.failAll(.closed("the producer"))
        waits.cancelTimer()
        if isChecking { await core.unregisterChecks(producerGroup: configuration.group) }
        if isRegistered { await core.unregister(producerGroup: configuration.group) }
    }
}
