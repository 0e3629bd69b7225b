import Base
import Model
import RemotingProtocol
import Runtime
import Telemetry

/// A queue that fell to this consumer, from its assignment until it is given up. Belongs to the consumer's actor.
final class Assignment {
    let queue: MessageQueue
    /// Tells this assignment of the queue from later ones.
    let number: UInt64
    var process: ProcessQueue
    /// The last offset that was stored at the broker.
    var committed: QueueOffset?
    /// The replica to pull from.
    var brokerID: Int64 = 0
    var puller: Task<Void, Never>?
    /// Continues the puller, which waits for room.
    var room: CheckedContinuation<Void, Never>?
    /// Stands in the list of queues that have something to deliver.
    var isReady = false

    // Queues that are locked.
    /// Until when the broker's lock holds as far as this client is concerned.
    var lockedUntil = MonotonicTime(nanoseconds: 0)
    /// A message is out: of ordered consumption, the next one has to wait.
    var isBusy: Bool { process.deliveredCount > 0 }
    /// Nothing more is delivered: the queue is given up when the messages that are out have been answered.
    var isRetiring = false
    /// Of ordered consumption: the first message failed, and waits for its next attempt.
    var isSuspended = false

    init(_ queue: MessageQueue, number: UInt64, from offset: QueueOffset) {
        self.queue = queue
        self.number = number
        process = ProcessQueue(from: offset)
    }
}

/// The state of one push consumer, on the client's loop: which queues it has, what was pulled from them, and who waits.
actor PushConsumerCore {
    nonisolated let core: ClientCore
    nonisolated let configuration: PushConsumerConfiguration
    nonisolated let log: Log
    nonisolated var loop: EventLoop { core.loop }
    nonisolated var unownedExecutor: UnownedSerialExecutor { core.unownedExecutor }

    enum State { case idle, starting, running, closed }
    private(set) var state = State.idle
    var subscriptions: [String: Subscription] = [:]
    var assignments: [MessageQueue: Assignment] = [:]
    var lastAssignment: UInt64 = 0
    /// Assignments with something to deliver, in turn.
    private var ready: [Assignment] = []
    /// Tasks that wait for a message, first come first.
    private var receivers: [(number: UInt64, maximum: Int, continuation: CheckedContinuation<DeliveryRun?, Never>)] = []
    private var lastReceiver: UInt64 = 0
    private var isDeliveryDue = false
    /// Whoever answers takes the next message by itself, before the others.
    private var isCallerServed = false
    private var starters: [CheckedContinuation<Result<Void, ClientError>, Never>] = []
    private var timers: [LoopTimer] = []
    var isRebalancing = false
    var isRebalanceWanted = false
    /// How often the group's retry topic was not found.
    var retryTopicLooks = 0
    var broadcastOffsets: BroadcastOffsets?
    private var hasWarnedOfLocalRetry = false
    /// Queues that the user wants nothing of for now, and whether that is so of all.
    var pausedQueues: Set<MessageQueue> = []
    var isPaused = false
    /// A puller waits for room in all queues together.
    var isShortOfRoom = false
    /// Continues the shutdown, which waits for messages that are out.
    private var handOver: CheckedContinuation<Void, Never>?

    init(_ core: ClientCore, _ configuration: PushConsumerConfiguration) {
        self.core = core
        self.configuration = configuration
        log = core.log.labelled("client.consumer")
    }

    var isRunning: Bool { state == .running }
    var group: String { configuration.group }
    var isClustering: Bool { configuration.model == .clustering }
    /// Only clustering consumers lock queues: of a broadcast everybody reads everything.
    var needsLocks: Bool { (configuration.isOrdered || configuration.isExclusive) && isClustering }
    var assignedQueues: [MessageQueue] { assignments.keys.sorted() }
    /// Messages that were pulled and are not acknowledged.
    var cachedCount: Int { assignments.values.reduce(0) { $0 + $1.process.count } }
    /// Bytes of their bodies.
    var cachedBytes: Int { assignments.values.reduce(0) { $0 + $1.process.bytes } }
    /// Messages that somebody works on: handed out and not answered.
    var deliveredCount: Int {
        assignments.values.reduce(0) { $0 + ($1.isSuspended ? 0 : $1.process.deliveredCount) }
    }
    func now() -> MonotonicTime { loop.clock.monotonic }

    // MARK: - Start and end

    /// Joins the group, once.
    func start() async throws(ClientError) {
        switch state {
        case .running: return
        case .closed: throw .closed("the consumer")
        case .starting:
            try await withCheckedContinuation { starters.append($0) }.get()
        case .idle:
            state = .starting
            var result: Result<Void, ClientError> = .success(())
            do throws(ClientError) { try await join() } catch { result = .failure(error) }
            if state == .starting {
                if case .success = result { state = .running } else { state = .idle }
            }
            for starter in starters { starter.resume(returning: result) }
            starters = []
            try result.get()
            beginWork()
        }
    }

    private func join() async throws(ClientError) {
        try PreparedMessage.checkName(group, "consumer group", lengthMaximum: Limits.groupLengthMaximum)
        guard !configuration.subscriptions.isEmpty || !subscriptions.isEmpty else {
            throw ClientError(.invalidArgument, "the consumer subscribes to no topic")
        }
        for (topic, filter) in configuration.subscriptions where subscriptions[topic] == nil {
            try PreparedMessage.checkName(topic, "topic", lengthMaximum: Limits.topicLengthMaximum)
            subscriptions[topic] = subscription(topic, filter)
        }
        if isClustering {
            let retry = SystemTopics.retry(of: group)
            subscriptions[retry] = subscription(retry, .all)
        } else {
            broadcastOffsets = BroadcastOffsets(
                folder: configuration.broadcastOffsetFolder, clientID: core.identity.clientID, group: group, loop: loop,
                log: log)
        }
        try await core.register(self, consumerData)
        for topic in subscriptions.keys.sorted() {
            do throws(ClientError) {
                _ = try await core.route(topic, deadline: core.deadline(nil))
            } catch {
                guard error.code == .topicNotFound else {
                    await core.unregister(consumerGroup: group)
                    throw error
                }
                // The topic may appear later: each rebalance asks again.
                if !topic.hasPrefix(SystemTopics.retryPrefix) { log.warning("no route yet", ["topic": topic]) }
            }
        }
        do throws(ClientError) {
            for topic in subscriptions.keys.sorted() { try await check(topic) }
        } catch {
            await core.unregister(consumerGroup: group)
            throw error
        }
        await core.sendHeartbeats()
    }

    private func beginWork() {
        guard isRunning else { return }
        repeatEvery(configuration.rebalanceInterval) { $0.rebalanceSoon() }
        repeatEvery(configuration.offsetCommitInterval) { consumer in
            Task { await consumer.commitOffsets(isAnswerAwaited: false) }
        }
        if needsLocks { repeatEvery(configuration.lockInterval) { consumer in Task { await consumer.renewLocks() } } }
        if let timeout = configuration.consumeTimeout {
            let period = max(10, min(60_000, timeout.milliseconds / 4))
            repeatEvery(.milliseconds(period)) { $0.findStalled(timeout) }
        }
        rebalanceSoon()
    }

    private func repeatEvery(_ interval: Duration, _ body: @escaping @Sendable (isolated PushConsumerCore) -> Void) {
        let period = max(1, interval.milliseconds)
        timers.append(
            loop.schedule(afterMilliseconds: period, repeatingEveryMilliseconds: period) { [weak self] in
                self?.assumeIsolated { body($0) }
            })
    }

    func shutdown() async {
        guard state != .closed else { return }
        let wasJoined = state == .running || state == .starting
        state = .closed
        for timer in timers { timer.cancel() }
        timers = []
        for receiver in receivers { receiver.continuation.resume(returning: nil) }
        receivers = []
        for assignment in assignments.values { stopPulling(assignment) }
        guard wasJoined else { return }
        await waitForAnswers()
        await commitOffsets(isAnswerAwaited: true)
        if needsLocks { await unlock(assignments.values.map(\.queue)) }
        assignments = [:]
        ready = []
        await core.unregister(consumerGroup: group)
    }

    /// Waits until every message that is out was answered, for as long as the hand-over may take.
    private func waitForAnswers() async {
        guard deliveredCount > 0, configuration.handOverTimeout > .zero else { return }
        await withCheckedContinuation { continuation in
            handOver = continuation
            loop.schedule(afterMilliseconds: max(1, configuration.handOverTimeout.milliseconds)) { [weak self] in
                self?.assumeIsolated { $0.endHandOver() }
            }
        }
        if deliveredCount > 0 {
            log.warning("messages are left without an answer", ["group": group, "messages": "\(deliveredCount)"])
        }
    }

    private func endHandOverIfDone() {
        if handOver != nil, deliveredCount == 0 { endHandOver() }
    }

    private func endHandOver() {
        handOver?.resume()
        handOver = nil
    }

    // MARK: - Subscriptions

    private func subscription(_ topic: String, _ filter: MessageFilter) -> Subscription {
        Subscription(topic: topic, filter, version: loop.clock.timestamp.milliseconds)
    }

    var consumerData: ConsumerData {
        ConsumerData(
            groupName: group, consumeType: .push, messageModel: configuration.model,
            consumeFromWhere: configuration.consumeFrom.onWire,
            subscriptions: subscriptions.values.sorted { $0.topic < $1.topic })
    }

    func subscribe(_ topic: String, _ filter: MessageFilter) async throws(ClientError) {
        try PreparedMessage.checkName(topic, "topic", lengthMaximum: Limits.topicLengthMaximum)
        let before = subscriptions[topic]
        subscriptions[topic] = subscription(topic, filter)
        guard isRunning else { return }
        do throws(ClientError) { try await check(topic) } catch {
            subscriptions[topic] = before
            throw error
        }
        try await announce()
    }

    /// Has a broker look at an expression (46), so that whoever subscribes hears at once of a mistake in it.
    private func check(_ topic: String) async throws(ClientError) {
        guard let subscription = subscriptions[topic], subscription.expressionType == Subscription.sqlType,
            let broker = (try? await core.route(topic, deadline: core.deadline(nil)))?.subscribeQueues.first?.brokerName
        else { return }
        let address = try await core.address(of: broker, isReplicaAllowed: true)
        try await core.check(subscription, group: group, at: address, deadline: core.deadline(nil))
    }

    func unsubscribe(_ topic: String) async throws(ClientError) {
        subscriptions[topic] = nil
        try await announce()
    }

    private func announce() async throws(ClientError) {
        guard isRunning else { return }
        try await core.register(self, consumerData)
        await core.sendHeartbeats()
        rebalanceSoon()
    }

    // MARK: - Delivery

    /// The next message, as soon as there is one; nil at the end.
    /// - Parameter answer: to what the caller had before; saves a way to this actor of its own.
    /// - Parameter maximum: of ordered consumption, how many messages of a queue the caller takes at once, to handle them one
    ///   after the other. Otherwise it gets one, so that none waits behind a slow one while another task has nothing to do.
    func receive(after answer: RunAnswer? = nil, maximum: Int = 1) async throws(ClientError) -> DeliveryRun? {
        if let answer {
            isCallerServed = true
            for token in answer.untouched { assignment(token)?.process.takeBack(token.offset) }
            for (token, result) in answer.results { answered(token, result) }
            isCallerServed = false
        }
        if state == .closed { return nil }
        try await start()
        if let run = take(maximum) {
            // What the answer made ready besides.
            if answer != nil { handOut() }
            return run
        }
        lastReceiver += 1
        let number = lastReceiver
        return await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                guard isRunning, !Task.isCancelled else { return continuation.resume(returning: nil) }
                receivers.append((number, maximum, continuation))
                // A message may have come since this looked for one: nobody else would hand it out.
                handOut()
            }
        } onCancel: {
            loop.post { self.assumeIsolated { $0.forgetReceiver(number) } }
        }
    }

    private func forgetReceiver(_ number: UInt64) {
        guard let index = receivers.firstIndex(where: { $0.number == number }) else { return }
        receivers.remove(at: index).continuation.resume(returning: nil)
    }

    /// The next message of the next queue that has one, and of ordered consumption those behind it.
    private func take(_ maximum: Int) -> DeliveryRun? {
        while !ready.isEmpty {
            let assignment = ready.removeFirst()
            assignment.isReady = false
            let now = now()
            guard mayDeliver(assignment), let message = assignment.process.takeNext(at: now) else { continue }
            var messages = [message]
            if configuration.isOrdered {
                while messages.count < maximum, let next = assignment.process.takeNext(at: now) {
                    messages.append(next)
                }
            }
            markReady(assignment)
            return DeliveryRun(queue: assignment.queue, assignment: assignment.number, messages: messages)
        }
        return nil
    }

    private func mayDeliver(_ assignment: Assignment) -> Bool {
        guard assignments[assignment.queue] === assignment, !assignment.isRetiring, !isPaused(assignment.queue),
            !needsLocks || assignment.lockedUntil > now()
        else { return false }
        return !configuration.isOrdered || (!assignment.isBusy && !assignment.isSuspended)
    }

    private func markReady(_ assignment: Assignment) {
        guard !assignment.isReady, assignment.process.hasWaiting, mayDeliver(assignment) else { return }
        assignment.isReady = true
        ready.append(assignment)
    }

    /// Hands out what this queue has to whoever waits.
    func deliver(_ assignment: Assignment) {
        markReady(assignment)
        handOut()
    }

    /// Hands out what this queue has after what the loop has to do already. Whoever answered a message usually asks for the next
    /// one at once, and is here sooner than a task that would have to be woken.
    private func deliverSoon(_ assignment: Assignment) {
        markReady(assignment)
        guard !receivers.isEmpty, !isDeliveryDue else { return }
        isDeliveryDue = true
        loop.post { [weak self] in self?.assumeIsolated { $0.handOut() } }
    }

    private func handOut() {
        isDeliveryDue = false
        while let receiver = receivers.first, let run = take(receiver.maximum) {
            receivers.removeFirst()
            receiver.continuation.resume(returning: run)
        }
    }

    // MARK: - Answers

    private func assignment(_ token: DeliveryToken) -> Assignment? {
        assignments[token.queue].flatMap { $0.number == token.assignment ? $0 : nil }
    }

    func answered(_ token: DeliveryToken, _ result: ConsumeResult) {
        guard let assignment = assignment(token) else { return }
        switch result {
        case .success: acknowledge(assignment, token.offset)
        case .retry where configuration.isOrdered: retryInOrder(assignment, token)
        case .retry(let delayLevel): giveBack(assignment, token, delayLevel: delayLevel)
        case .deadLetter: giveBack(assignment, token, delayLevel: -1)
        }
    }

    private func giveBack(_ assignment: Assignment, _ token: DeliveryToken, delayLevel: Int32) {
        guard let message = assignment.process.message(at: token.offset) else { return }
        guard isClustering else {
            // As in RocketMQ, a broadcast is not repeated: there is no group to keep the attempts for.
            log.warning("broadcast message failed and is dropped", ["queue": "\(token.queue)"])
            return acknowledge(assignment, token.offset)
        }
        Task { await self.sendBack(message, token, delayLevel: delayLevel) }
    }

    /// Looks for messages that were handed out long ago and have no answer.
    private func findStalled(_ timeout: Duration) {
        let limit = MonotonicTime(nanoseconds: now().nanoseconds - timeout.milliseconds * 1_000_000)
        for assignment in assignments.values {
            // Of ordered consumption only the first is at work; those behind it wait for it.
            for (message, deliveredAt) in assignment.process.takeStalled(
                since: limit, firstOnly: configuration.isOrdered)
            {
                let isSentBack = isClustering && !configuration.isOrdered
                report(message, elapsed: now().milliseconds(since: deliveredAt), isSentBack: isSentBack)
                guard isSentBack else { continue }
                let token = DeliveryToken(
                    queue: assignment.queue, offset: message.queueOffset, assignment: assignment.number)
                // The level that RocketMQ's clients give to what they clean up: 10 s.
                giveBack(assignment, token, delayLevel: 3)
            }
        }
    }

    private func report(_ message: ReceivedMessage, elapsed: Int64, isSentBack: Bool) {
        var restored = message
        restored.restoreTopic()
        log.warning(
            "a message has no answer for long: its handler is slow or hangs",
            [
                "group": group, "message": restored.messageID, "queue": "\(message.queue)",
                "offset": "\(message.queueOffset)", "elapsedMs": "\(elapsed)", "sentBack": "\(isSentBack)",
            ])
        configuration.onStall?(
            StalledDelivery(message: restored, elapsed: .milliseconds(elapsed), isSentBack: isSentBack))
    }

    private func acknowledge(_ assignment: Assignment, _ offset: QueueOffset) {
        assignment.process.acknowledge(offset)
        wakePuller(assignment)
        if isShortOfRoom {
            isShortOfRoom = false
            for other in assignments.values where other !== assignment { wakePuller(other) }
        }
        endHandOverIfDone()
        if assignment.isRetiring {
            rebalanceSoon()
        } else if isCallerServed {
            markReady(assignment)
        } else if configuration.isOrdered {
            deliverSoon(assignment)
        } else {
            deliver(assignment)
        }
    }

    /// Makes the message wait again, and with it the queue.
    private func retryInOrder(_ assignment: Assignment, _ token: DeliveryToken) {
        guard let message = assignment.process.message(at: token.offset) else { return }
        if let maximum = configuration.reconsumeMaximum, message.reconsumeTimes >= maximum {
            return giveBack(assignment, token, delayLevel: -1)
        }
        assignment.isSuspended = true
        retryLocally(token)
    }

    private func retryLocally(_ token: DeliveryToken) {
        guard state == .running else { return forget(token) }
        loop.schedule(afterMilliseconds: configuration.localRetryDelay.milliseconds) { [weak self] in
            self?.assumeIsolated { $0.putBack(token) }
        }
    }

    private func putBack(_ token: DeliveryToken) {
        guard let assignment = assignment(token) else { return }
        assignment.process.putBack(token.offset)
        assignment.isSuspended = false
        endHandOverIfDone()
        if assignment.isRetiring { rebalanceSoon() } else { deliver(assignment) }
    }

    /// At the end: the message stays unacknowledged, and nobody waits for it any more.
    private func forget(_ token: DeliveryToken) {
        assignment(token)?.process.putBack(token.offset)
        endHandOverIfDone()
    }

    /// Gives a failed message back to the broker, which delivers it again later or makes it a dead letter. When the broker
    /// cannot, the message is sent to the retry topic; when that fails too, it stays here and is tried again here.
    private func sendBack(_ message: ReceivedMessage, _ token: DeliveryToken, delayLevel: Int32) async {
        let maximum = configuration.reconsumeMaximum
        let deadline = await core.deadline(nil)
        do throws(ClientError) {
            let address = try await core.address(of: token.queue, deadline: deadline)
            let header = ConsumerSendMessageBackHeader(
                offset: message.physicalOffset, group: group, delayLevel: delayLevel,
                originMessageID: message.originMessageID, originTopic: message.topic, maxReconsumeTimes: maximum,
                brokerName: token.queue.brokerName)
            try await core.call(Request(.consumerSendMessageBack, header), to: address, deadline: deadline)
            return settle(token)
        } catch {
            log.info("message not taken back, sending it again", ["queue": "\(token.queue)", "reason": "\(error)"])
        }
        do throws(ClientError) {
            try await sendToRetryTopic(message, delayLevel)
            settle(token)
        } catch {
            keepHere(token, error)
        }
    }

    private func sendToRetryTopic(_ message: ReceivedMessage, _ delayLevel: Int32) async throws(ClientError) {
        var restored = message
        restored.restoreTopic()
        let prepared = PreparedMessage(
            retry: restored, group: group, reconsumeMaximum: configuration.reconsumeMaximum, delayLevel: delayLevel)
        let deadline = await core.deadline(nil)
        let queues = try await core.route(prepared.topic, deadline: deadline).publishQueues
        guard let queue = queues.randomElement() else {
            throw ClientError(.brokerNotFound, "\(prepared.topic) has no writable queue")
        }
        let request = prepared.request(
            producerGroup: SystemGroups.clientInnerProducer, to: queue, defaultTopic: SystemTopics.autoCreate,
            defaultTopicQueueCount: 1)
        let address = try await core.address(of: queue, deadline: deadline)
        _ = try await core.call(request, to: address, deadline: deadline)
    }

    private func settle(_ token: DeliveryToken) {
        if let assignment = assignment(token) { acknowledge(assignment, token.offset) }
    }

    private func keepHere(_ token: DeliveryToken, _ error: ClientError) {
        if !hasWarnedOfLocalRetry {
            hasWarnedOfLocalRetry = true
            log.warning(
                "the broker does not take failed messages back: they are retried in this process, without a limit",
                ["group": group, "reason": "\(error)"])
        }
        retryLocally(token)
    }

    // MARK: - Room

    /// Whether more of a queue shall be pulled now.
    func mayPull(_ assignment: Assignment) -> Bool {
        guard !assignment.isRetiring, !isPaused(assignment.queue), hasRoom(assignment) else { return false }
        guard (configuration.cachedMessagesMaximum.map { cachedCount < $0 } ?? true),
            (configuration.cachedBytesMaximum.map { cachedBytes < $0 } ?? true)
        else {
            isShortOfRoom = true
            return false
        }
        return true
    }

    private func hasRoom(_ assignment: Assignment) -> Bool {
        assignment.process.count < configuration.cachedMessagesPerQueueMaximum
            && assignment.process.bytes < configuration.cachedBytesPerQueueMaximum
            && (configuration.isOrdered || assignment.process.span < configuration.offsetSpanMaximum)
    }

    /// Lets a puller go on that waited for room and has it.
    private func wakePuller(_ assignment: Assignment) {
        guard let room = assignment.room, mayPull(assignment) else { return }
        assignment.room = nil
        room.resume()
    }

    // MARK: - Pauses

    func isPaused(_ queue: MessageQueue) -> Bool { isPaused || pausedQueues.contains(queue) }

    /// - Parameter queue: nil means all, also those that are assigned later.
    func setPaused(_ isPaused: Bool, _ queue: MessageQueue?) {
        if let queue {
            if isPaused { pausedQueues.insert(queue) } else { pausedQueues.remove(queue) }
        } else {
            self.isPaused = isPaused
            if !isPaused { pausedQueues = [] }
        }
        guard !isPaused else { return }
        for assignment in assignments.values { goOn(assignment) }
    }

    /// Lets a queue go on from which nothing was wanted.
    func goOn(_ assignment: Assignment) {
        wakePuller(assignment)
        deliver(assignment)
    }

    func stopPulling(_ assignment: Assignment) {
        assignment.puller?.cancel()
        assignment.room?.resume()
        assignment.room = nil
    }
}
