import Base
import Bytes
import Model
import Storage
import Telemetry

/// A message that a consumer could not handle, as it says so.
public struct SendBackRequest: Sendable {
    /// Where the message lies in the log.
    public var offset: PhysicalOffset
    public var group: String
    /// 0: the group's policy says when; above 0: a delay level; below: straight to the dead letters.
    public var delayLevel: Int32
    /// Attempts before the dead letters, when the consumer says it; else the group's.
    public var retryMaximum: Int32?
    /// Whether the consumer belongs to a unit of several data centres.
    public var isUnit: Bool

    public init(
        offset: PhysicalOffset, group: String, delayLevel: Int32, retryMaximum: Int32? = nil, isUnit: Bool = false
    ) {
        self.offset = offset
        self.group = group
        self.delayLevel = delayLevel
        self.retryMaximum = retryMaximum
        self.isUnit = isUnit
    }
}

/// Messages that consumers could not handle: they come again by the retry topic of the group after a delay, and when all attempts
/// are used up they go to its dead letters (remoting reference §1.9, "Retry and DLQ").
extension Broker {
    /// Stores a copy of the message that comes to the group again, after RocketMQ's checks in its order.
    ///
    /// In memory on return, like ``append(_:to:)``.
    /// - Returns: nil when the group has no retry queues: then the message is dropped.
    /// - Throws: ``BrokerError/groupUnknown(_:)``, ``BrokerError/sendingForbidden``, ``BrokerError/topicNotWritable(_:)``,
    ///   ``BrokerError/messageUnknown(_:)``, and what ``append(_:to:)`` throws.
    public func sendBack(_ request: SendBackRequest) throws(BrokerError) -> MessageStore.Appended? {
        let group = try groupOrCreate(request.group)
        guard configuration.permission.contains(.write) else { throw .sendingForbidden }
        guard group.retryQueueCount > 0 else { return nil }
        var topic = try retryTopic(of: group, isUnit: request.isUnit)
        guard topic.configuration.permission.contains(.write) else { throw .topicNotWritable(topic.name) }
        let buffer = timers.record
        buffer.removeAll()
        guard try readRecord(at: request.offset, into: buffer), let record = try? MessageRecord(buffer.bytes),
            !isInternal(buffer.bytes.extracting(record.topic))
        else { throw .messageUnknown(request.offset) }
        let isDead =
            record.reconsumeTimes >= request.retryMaximum ?? group.retryMaximum || request.delayLevel < 0
        if isDead { topic = try deadLetterTopic(of: group.name) }
        return try appendCopy(of: record, to: topic, isDead ? nil : delay(request, record, group))
    }

    /// When the copy comes: by level, or after so many ms.
    private enum RetryDelay {
        case level(Int64)
        case milliseconds(Int64)
    }

    private func delay(
        _ request: SendBackRequest, _ record: MessageRecord, _ group: GroupConfiguration
    ) -> RetryDelay {
        if request.delayLevel > 0 { return .level(Int64(request.delayLevel)) }
        if let delay = group.retryPolicy.delay(attempts: record.reconsumeTimes) { return .milliseconds(delay) }
        return .level(3 + Int64(record.reconsumeTimes))
    }

    /// Appends the copy of the record in ``TimerWheel/record``.
    private func appendCopy(
        of record: MessageRecord, to topic: Topic, _ delay: RetryDelay?
    ) throws(BrokerError) -> MessageStore.Appended {
        let source = timers.record
        let bytes = source.bytes
        let old = bytes.extracting(record.properties)
        // The timers' own buffer is written when the copy goes to the wheel.
        let properties = retryProperties
        properties.removeAll()
        TimerProperties.appendPlain(old, to: properties)
        if MessageProperties.valueRange(of: "RETRY_TOPIC", in: old) == nil {
            TimerProperties.append(PropertyName.retryTopic, bytes.extracting(record.topic), to: properties)
        }
        if MessageProperties.valueRange(of: "ORIGIN_MESSAGE_ID", in: old)?.isEmpty ?? true {
            let first = OffsetMessageID(host: record.storeHost, offset: record.physicalOffset)
            TimerProperties.append(PropertyName.originMessageID, first.description, to: properties)
        }
        var due = clock.timestamp
        switch delay {
        case nil: break
        case .milliseconds(let delay): due.milliseconds &+= delay
        case .level(let level):
            TimerProperties.append(
                PropertyName.delay, min(level, Int64(configuration.timers.delayLevels.count)), to: properties)
            due.milliseconds &+= configuration.timers.delay(level: level)
        }
        let count = max(1, topic.configuration.writeQueueCount)
        let queue = try topic.queue(QueueID(Int32(random.next(below: Int(count)))), in: store)
        let name = Array(topic.name.utf8)
        var draft = MessageDraft(
            topic: name.span.bytes, body: bytes.extracting(record.body), properties: properties.bytes)
        draft.flag = record.flag
        draft.flags = record.flags.withTransactionState(0)
        draft.bornTimestamp = record.bornTimestamp
        draft.bornHost = record.bornHost
        draft.storeHost = configuration.address
        draft.reconsumeTimes = record.reconsumeTimes &+ 1
        let appended = try append(draft, to: queue, dueAt: due)
        if delay == nil { metrics.deadLetters += 1 } else { metrics.retries += 1 }
        return appended
    }

    /// Records that no consumer ever got.
    private func isInternal(_ topic: RawSpan) -> Bool {
        topic.equals("rmq_sys_wheel_timer") || topic.equals("rmq_sys_APUS_STATE")
            || topic.equals("SCHEDULE_TOPIC_XXXX") || topic.equals("RMQ_SYS_TRANS_HALF_TOPIC")
            || topic.equals("RMQ_SYS_TRANS_OP_HALF_TOPIC")
    }

    // MARK: - Sent by the client itself

    /// What becomes of a message that a client sends to a retry topic itself, because ``sendBack(_:)`` failed or because an orderly
    /// consumer gives it up.
    public enum RetrySend: Equatable {
        /// It goes to the retry topic, after as long as it says itself.
        case asSent
        /// It goes to the retry topic after so many ms, for the group has a policy of its own.
        case delayed(milliseconds: Int64)
        /// All attempts are used up: it goes to this queue of the dead letters, without delay.
        case dead(StoredQueue)

        public static func == (a: Self, b: Self) -> Bool {
            switch (a, b) {
            case (.asSent, .asSent): true
            case (.delayed(let a), .delayed(let b)): a == b
            case (.dead(let a), .dead(let b)): a === b
            default: false
            }
        }
    }

    /// - Parameters:
    ///   - topic: the retry topic's name.
    ///   - attempts: what the message says of the attempts so far, the failed one included.
    ///   - retryMaximum: attempts before the dead letters, when the client says it; else the group's.
    /// - Throws: ``BrokerError/groupUnknown(_:)``.
    public func retrySend(
        to topic: String, attempts: Int32, retryMaximum: Int32?
    ) throws(BrokerError) -> RetrySend {
        let group = try groupOrCreate(String(topic.dropFirst(SystemTopics.retryPrefix.count)))
        let maximum = retryMaximum ?? group.retryMaximum
        // A group that holds locks consumes in order: it sends here only what it has given up.
        guard attempts > maximum || (attempts >= maximum && state.locks.hasLocks(group.name, now: clock.monotonic))
        else {
            guard let delay = group.retryPolicy.delay(attempts: attempts &- 1) else { return .asSent }
            return .delayed(milliseconds: delay)
        }
        return .dead(try deadLetterTopic(of: group.name).queue(QueueID(0), in: store))
    }

    /// Appends a message that has no attempts left to a queue that ``retrySend(to:attempts:retryMaximum:)`` gave. It says nothing of
    /// a delay any more.
    public func appendDead(
        _ draft: consuming MessageDraft, to queue: StoredQueue
    ) throws(BrokerError) -> MessageStore.Appended {
        let properties = retryProperties
        properties.removeAll()
        TimerProperties.appendPlain(draft.properties, to: properties)
        var copy = MessageDraft(topic: draft.topic, body: draft.body, properties: properties.bytes)
        copy.flag = draft.flag
        copy.flags = draft.flags
        copy.bornTimestamp = draft.bornTimestamp
        copy.bornHost = draft.bornHost
        copy.storeHost = draft.storeHost
        copy.reconsumeTimes = draft.reconsumeTimes
        let appended = try append(copy, to: queue)
        metrics.deadLetters += 1
        return appended
    }

    // MARK: - Topics

    private func retryTopic(of group: GroupConfiguration, isUnit: Bool) throws(BrokerError) -> Topic {
        let name = SystemTopics.retry(of: group.name)
        if let topic = state.topics[name] { return topic }
        var topic = TopicConfiguration(
            name: name, readQueueCount: group.retryQueueCount, writeQueueCount: group.retryQueueCount)
        // `TopicSysFlag.buildSysFlag(false, true)`.
        if isUnit { topic.systemFlag = 2 }
        return try makeTopic(topic)
    }

    /// One queue that can be read, unlike that of older versions of RocketMQ 4.
    private func deadLetterTopic(of group: String) throws(BrokerError) -> Topic {
        let name = SystemTopics.deadLetter(of: group)
        if let topic = state.topics[name] { return topic }
        return try makeTopic(TopicConfiguration(name: name, readQueueCount: 1, writeQueueCount: 1))
    }
}
