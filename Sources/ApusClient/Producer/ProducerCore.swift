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
    /// Numbers of the sends that wait for their turn, first come first.
    private var queued: [Int32] = []
    private var inFlight = 0
    private var rotations: [String: QueueRotation] = [:]
    private var faults = FaultTable()
    private var isRegistered = false
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
        let deadline = now().advanced(by: timeout ?? configuration.sendTimeout)
        try await acquire(deadline)
        defer { release() }
        return try await sendAcquired(message, choice, deadline)
    }

    /// Sends a message for which there is a permit already, and gives the permit back.
    func sendReleasing(
        _ message: PreparedMessage, _ choice: QueueChoice, _ deadline: MonotonicTime
    ) async throws(ClientError) -> SendReceipt {
        defer { release() }
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

    /// Returns when the message was handed to the connection.
    func sendOneWay(_ message: PreparedMessage, _ choice: QueueChoice, timeout: Duration?) async throws(ClientError) {
        let deadline = now().advanced(by: timeout ?? configuration.sendTimeout)
        try await acquire(deadline)
        defer { release() }
        let queue = try await select(message, choice, nil, deadline)
        let address = try await core.address(of: queue, deadline: deadline)
        let full = request(message, queue)
        let request = Request<Void>(full.code, write: full.write) { (_) throws(ClientError) in }
        try await core.post(request, to: address, deadline: deadline)
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

    /// Waits until fewer sends are under way than are allowed, and counts one more.
    func acquire(_ deadline: MonotonicTime) async throws(ClientError) {
        guard !isClosed else { throw .closed("the producer") }
        if !isRegistered {
            isRegistered = true
            await core.register(producerGroup: configuration.group)
        }
        guard inFlight >= configuration.inFlightMaximum else {
            inFlight += 1
            return
        }
        let number = waits.nextNumber()
        let result: Result<Void, ClientError> = await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                waits.add(Waiter("room for another send", deadline: deadline, continuation), number)
                queued.append(number)
            }
        } onCancel: {
            core.loop.post {
                self.assumeIsolated { $0.waits.fail(number, ClientError(.cancelled, "the task was cancelled")) }
            }
        }
        try result.get()
    }

    func release() {
        var index = 0
        defer { queued.removeFirst(index) }
        while index < queued.count {
            index += 1
            if let waiter = waits.take(queued[index - 1]) as? Waiter<Void> { return waiter.succeed(()) }
        }
        inFlight -= 1
    }

    func deadline(_ timeout: Duration?) -> MonotonicTime {
        now().advanced(by: timeout ?? configuration.sendTimeout)
    }

    func shutdown() async {
        guard !isClosed else { return }
        isClosed = true
        waits.failAll(.closed("the producer"))
        waits.cancelTimer()
        if isRegistered { await core.unregister(producerGroup: configuration.group) }
    }
}
