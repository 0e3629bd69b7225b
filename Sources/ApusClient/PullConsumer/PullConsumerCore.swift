import Base
import Model
import RemotingProtocol
import Runtime
import Telemetry

/// The state of one pull consumer, on the client's loop.
actor PullConsumerCore {
    private nonisolated let core: ClientCore
    nonisolated let configuration: PullConsumerConfiguration
    nonisolated var unownedExecutor: UnownedSerialExecutor { core.unownedExecutor }

    /// How far one queue was read.
    private struct Cursor {
        /// Where the next message that is returned comes from, at the earliest.
        var position: QueueOffset
        /// Where the next pull begins.
        var pulledTo: QueueOffset
        var buffer: [ReceivedMessage] = []
        var isPulling = false
        /// Nothing is pulled or returned for now.
        var isPaused = false
        /// Changes with each seek, so that pulls from before it count no more.
        var generation: UInt64 = 0
        /// Why the last pull failed.
        var failure: ClientError?

        init(at offset: QueueOffset) {
            position = offset
            pulledTo = offset
        }
    }

    private var cursors: [MessageQueue: Cursor] = [:]
    private var lastGeneration: UInt64 = 0
    /// Topics whose expression a broker has found right.
    private var checkedTopics: Set<String> = []
    /// Where the next poll begins among the queues, so that each gets its turn.
    private var turn = 0
    private let waits: WaitList
    private var pollers: [Int32] = []

    init(_ core: ClientCore, _ configuration: PullConsumerConfiguration) {
        self.core = core
        self.configuration = configuration
        waits = WaitList(core.loop)
    }

    private func now() -> MonotonicTime { core.loop.clock.monotonic }

    var assigned: [MessageQueue] { cursors.keys.sorted() }

    func assign(_ queues: [MessageQueue]) async throws(ClientError) {
        for queue in cursors.keys where !queues.contains(queue) { cursors[queue] = nil }
        for queue in queues where cursors[queue] == nil {
            var offset = try await core.committedOffset(
                queue, group: configuration.group, mayBeZero: configuration.consumeFrom == .lastOffset)
            if offset == nil { offset = try await core.offset(queue, configuration.consumeFrom) }
            if cursors[queue] == nil, let offset { seek(queue, to: offset) }
        }
    }

    func seek(_ queue: MessageQueue, to offset: QueueOffset) {
        lastGeneration += 1
        var cursor = Cursor(at: offset)
        cursor.generation = lastGeneration
        cursor.isPaused = cursors[queue]?.isPaused ?? false
        cursors[queue] = cursor
    }

    func setPaused(_ isPaused: Bool, _ queue: MessageQueue) throws(ClientError) {
        try requireAssigned(queue)
        cursors[queue]?.isPaused = isPaused
        if !isPaused { wakePollers() }
    }

    func position(_ queue: MessageQueue) throws(ClientError) -> QueueOffset {
        guard let cursor = cursors[queue] else { throw notAssigned(queue) }
        return cursor.position
    }

    func requireAssigned(_ queue: MessageQueue) throws(ClientError) {
        guard cursors[queue] != nil else { throw notAssigned(queue) }
    }

    private func notAssigned(_ queue: MessageQueue) -> ClientError {
        ClientError(.invalidArgument, "\(queue) is not assigned to this consumer")
    }

    func commit() async throws(ClientError) {
        for (queue, cursor) in cursors.sorted(by: { $0.key < $1.key }) {
            try await core.commit(queue, cursor.position, group: configuration.group, isAnswerAwaited: true)
        }
    }

    // MARK: - Polling

    func poll(maximum: Int, timeout: Duration) async throws(ClientError) -> [ReceivedMessage] {
        let deadline = now().advanced(by: timeout)
        while true {
            let messages = takeBuffered(maximum)
            if !messages.isEmpty { return messages }
            guard !cursors.isEmpty else { throw ClientError(.invalidArgument, "no queue is assigned to this consumer") }
            try throwFinalFailure()
            let left = deadline.milliseconds(since: now())
            if left <= 0 {
                if let failure = cursors.values.lazy.compactMap(\.failure).first { throw failure }
                return []
            }
            startPulls(.milliseconds(left))
            try await waitForMessages(deadline)
        }
    }

    /// Throws what trying again does not mend, for instance a mistake in an expression.
    private func throwFinalFailure() throws(ClientError) {
        for (queue, cursor) in cursors {
            guard let failure = cursor.failure, !failure.isRetriable else { continue }
            // The next poll asks again.
            cursors[queue]?.failure = nil
            throw failure
        }
    }

    private func takeBuffered(_ maximum: Int) -> [ReceivedMessage] {
        let queues = assigned
        var messages: [ReceivedMessage] = []
        for index in queues.indices where messages.count < maximum {
            let queue = queues[(turn + index) % queues.count]
            guard var cursor = cursors[queue], !cursor.isPaused else { continue }
            let count = min(maximum - messages.count, cursor.buffer.count)
            messages += cursor.buffer.prefix(count)
            cursor.buffer.removeFirst(count)
            // What was filtered out between the messages is consumed with them.
            cursor.position = cursor.buffer.first?.queueOffset ?? cursor.pulledTo
            cursors[queue] = cursor
        }
        turn = queues.isEmpty ? 0 : (turn + 1) % queues.count
        return messages
    }

    private func startPulls(_ suspension: Duration) {
        for (queue, cursor) in cursors where !cursor.isPulling && !cursor.isPaused && cursor.buffer.isEmpty {
            cursors[queue]?.isPulling = true
            let generation = cursor.generation
            Task { await self.pull(queue, generation, suspension) }
        }
    }

    private func pull(_ queue: MessageQueue, _ generation: UInt64, _ suspension: Duration) async {
        guard let cursor = cursors[queue], cursor.generation == generation else { return }
        let pull = Pull(
            group: configuration.group, queue: queue, offset: cursor.pulledTo,
            messagesMaximum: configuration.pullBatchMaximum,
            subscription: Subscription(
                topic: queue.topic, configuration.filter, version: core.loop.clock.timestamp.milliseconds),
            isSubscriptionSent: true, suspension: suspension)
        var result: Result<PullAnswer, ClientError>
        do throws(ClientError) {
            // The broker answers when it has held the pull; a while more is for the way.
            let deadline = now().advanced(by: suspension + .seconds(5))
            let address = try await core.address(of: queue, isReplicaAllowed: true, deadline: deadline)
            try await check(pull.subscription, at: address, deadline)
            result = .success(try await core.call(pull.request, to: address, deadline: deadline))
        } catch {
            result = .failure(error)
            // Whoever polls tries again until the deadline; this keeps that from spinning.
            try? await Task.sleep(for: .milliseconds(100))
        }
        guard var cursor = cursors[queue], cursor.generation == generation else { return }
        cursor.isPulling = false
        switch result {
        case .success(let answer):
            cursor.failure = nil
            cursor.buffer += answer.messages
            cursor.pulledTo = answer.nextOffset
            if cursor.buffer.isEmpty { cursor.position = answer.nextOffset }
        case .failure(let error):
            cursor.failure = error
        }
        cursors[queue] = cursor
        wakePollers()
    }

    /// Has a broker look at an expression before the first pull by it: RocketMQ's brokers do not refuse a pull whose expression
    /// has a mistake, but answer it with every message.
    private func check(_ subscription: Subscription, at address: String, _ deadline: MonotonicTime)
        async throws(ClientError)
    {
        guard subscription.expressionType == Subscription.sqlType, !checkedTopics.contains(subscription.topic) else {
            return
        }
        try await core.check(subscription, group: configuration.group, at: address, deadline: deadline)
        checkedTopics.insert(subscription.topic)
    }

    private func wakePollers() {
        let numbers = pollers
        pollers = []
        for number in numbers { (waits.take(number) as? Waiter<Void>)?.succeed(()) }
    }

    /// Returns when a pull has ended, or at the deadline.
    private func waitForMessages(_ deadline: MonotonicTime) async throws(ClientError) {
        let number = waits.nextNumber()
        let result: Result<Void, ClientError> = await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                waits.add(Waiter("messages", deadline: deadline, continuation), number)
                pollers.append(number)
            }
        } onCancel: {
            core.loop.post {
                self.assumeIsolated { $0.waits.fail(number, ClientError(.cancelled, "the task was cancelled")) }
            }
        }
        do throws(ClientError) { try result.get() } catch {
            guard error.code == .timedOut else { throw error }
        }
    }
}
