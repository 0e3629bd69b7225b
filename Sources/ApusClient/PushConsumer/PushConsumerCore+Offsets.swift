import Base
import Model
import RemotingProtocol
import Telemetry

/// Where the group stands: read when a queue is assigned, stored every five seconds, when a queue is given up, and at the end.
extension PushConsumerCore {
    /// Where to begin to read a queue.
    func initialOffset(_ queue: MessageQueue) async throws(ClientError) -> QueueOffset {
        if let offset = broadcastOffsets?.offsets[queue] { return offset }
        let mayBeZero = configuration.consumeFrom == .lastOffset
        if isClustering,
            let offset = try await core.committedOffset(queue, group: configuration.group, mayBeZero: mayBeZero)
        {
            return offset
        }
        // A retry topic is read from its beginning: what came back must not be passed over.
        let isRetry = queue.topic.hasPrefix(SystemTopics.retryPrefix)
        return try await core.offset(queue, isRetry ? .firstOffset : configuration.consumeFrom)
    }

    /// Stores the offset of every queue where it has changed.
    /// - Parameter isAnswerAwaited: false sends one-way requests, as in steady state.
    func commitOffsets(isAnswerAwaited: Bool) async {
        for assignment in assignments.values.sorted(by: { $0.queue < $1.queue }) {
            await commitOffset(assignment, isAnswerAwaited: isAnswerAwaited)
        }
        broadcastOffsets?.save()
    }

    func commitOffset(_ assignment: Assignment, isAnswerAwaited: Bool) async {
        let offset = assignment.process.commitOffset
        guard isClustering else {
            broadcastOffsets?.set(assignment.queue, offset)
            return
        }
        guard offset != assignment.committed else { return }
        let before = assignment.committed
        assignment.committed = offset
        do throws(ClientError) {
            try await core.commit(
                assignment.queue, offset, group: configuration.group, isAnswerAwaited: isAnswerAwaited)
        } catch {
            assignment.committed = before
            log.info("offset not stored", ["queue": "\(assignment.queue)", "reason": "\(error)"])
        }
    }

    /// Moves to offsets that an operator chose (220).
    func reset(_ offsets: [MessageQueue: QueueOffset]) async {
        for (queue, offset) in offsets {
            guard let assignment = assignments.removeValue(forKey: queue) else { continue }
            log.notice("offset reset", ["queue": "\(queue)", "offset": "\(offset)"])
            stopPulling(assignment)
            // A new assignment, so that answers to what was delivered before count no more.
            assign(queue, from: offset, lockedUntil: assignment.lockedUntil)
            if let assignment = assignments[queue] { await commitOffset(assignment, isAnswerAwaited: true) }
        }
    }

    func assign(_ queue: MessageQueue, from offset: QueueOffset, lockedUntil: MonotonicTime) {
        lastAssignment += 1
        let assignment = Assignment(queue, number: lastAssignment, from: offset)
        assignment.lockedUntil = lockedUntil
        assignments[queue] = assignment
        startPulling(assignment)
    }
}

/// Requests about offsets.
extension ClientCore {
    /// The stored offset of a group; nil when there is none.
    /// - Parameter mayBeZero: takes the broker's word that a group without an offset stands at the beginning of a queue that
    ///   still has its first message in memory.
    func committedOffset(
        _ queue: MessageQueue, group: String, mayBeZero: Bool = false, timeout: Duration? = nil
    ) async throws(ClientError) -> QueueOffset? {
        let deadline = deadline(timeout)
        let address = try await address(of: queue, isReplicaAllowed: true, deadline: deadline)
        let header = QueryConsumerOffsetHeader(
            consumerGroup: group, topic: queue.topic, queueID: queue.queueID, brokerName: queue.brokerName,
            isZeroIfNotFound: mayBeZero ? nil : false)
        let request = Request<QueueOffset?>(.queryConsumerOffset, header) { (answer) throws(ClientError) in
            if answer.code == .queryNotFound { return nil }
            try answer.requireSuccess()
            return try answer.fields(OffsetResponseHeader.self).offset
        }
        return try await call(request, to: address, deadline: deadline)
    }

    func commit(
        _ queue: MessageQueue, _ offset: QueueOffset, group: String, isAnswerAwaited: Bool, timeout: Duration? = nil
    ) async throws(ClientError) {
        let deadline = deadline(timeout)
        let address = try await address(of: queue, isReplicaAllowed: true, deadline: deadline)
        let request = Request(
            .updateConsumerOffset,
            UpdateConsumerOffsetHeader(
                consumerGroup: group, topic: queue.topic, queueID: queue.queueID, brokerName: queue.brokerName,
                commitOffset: offset))
        if isAnswerAwaited {
            try await call(request, to: address, deadline: deadline)
        } else {
            try await post(request, to: address, deadline: deadline)
        }
    }

    /// The offset that a place in a queue has.
    func offset(
        _ queue: MessageQueue, _ place: ConsumeFrom, timeout: Duration? = nil
    ) async throws(ClientError) -> QueueOffset {
        let deadline = deadline(timeout)
        let address = try await address(of: queue, isReplicaAllowed: true, deadline: deadline)
        let (topic, queueID, broker) = (queue.topic, queue.queueID, queue.brokerName)
        let request: Request<OffsetResponseHeader>
        switch place {
        case .firstOffset:
            request = Request(
                .getMinimumOffset, GetMinimumOffsetHeader(topic: topic, queueID: queueID, brokerName: broker),
                answer: OffsetResponseHeader.self)
        case .lastOffset:
            request = Request(
                .getMaximumOffset, GetMaximumOffsetHeader(topic: topic, queueID: queueID, brokerName: broker),
                answer: OffsetResponseHeader.self)
        case .timestamp(let timestamp):
            request = Request(
                .searchOffsetByTimestamp,
                SearchOffsetHeader(topic: topic, queueID: queueID, brokerName: broker, timestamp: timestamp),
                answer: OffsetResponseHeader.self)
        }
        return try await call(request, to: address, deadline: deadline).offset
    }
}
