import Base
import Bytes
import Model
import Storage

extension Broker {
    /// The queue that a consumer wants to read, after RocketMQ's checks in its order (remoting reference §1.9).
    /// - Throws: ``BrokerError/pullingForbidden``, ``BrokerError/groupUnknown(_:)``, ``BrokerError/groupDisabled(_:)``,
    ///   ``BrokerError/topicUnknown(_:)``, ``BrokerError/topicNotReadable(_:)``, ``BrokerError/queueIllegal(_:_:)``.
    public func queue(
        forPulling topicName: RawSpan, queueID: QueueID, group groupName: RawSpan
    ) throws(BrokerError) -> StoredQueue {
        guard configuration.permission.contains(.read) else { throw .pullingForbidden }
        let isEnabled =
            if let known = state.groups.isConsumeEnabled(groupName) {
                known
            } else {
                try groupOrCreate(groupName.string()).isConsumeEnabled
            }
        guard isEnabled else { throw .groupDisabled(groupName.string()) }
        guard let topic = state.topics[topicName] else { throw .topicUnknown(topicName.string()) }
        guard topic.configuration.permission.contains(.read) else { throw .topicNotReadable(topic.name) }
        guard queueID.rawValue >= 0, queueID.rawValue < topic.configuration.readQueueCount else {
            throw .queueIllegal(queueID, topic.configuration)
        }
        return try topic.queue(queueID, in: store)
    }

    /// What the group's heartbeats say about a topic.
    /// - Parameter version: what the client knows of its own subscription; 0 when it does not say.
    /// - Throws: ``BrokerError/groupOffline(_:)``, ``BrokerError/broadcastForbidden(_:)``,
    ///   ``BrokerError/subscriptionUnknown(_:)``, ``BrokerError/subscriptionOld(_:)``, and of a filter that is no tag's
    ///   ``BrokerError/selectorMissing(_:)``, ``BrokerError/selectorOld``, ``BrokerError/filterTypeDisabled(_:)``.
    public func subscriptionFilter(
        topic: RawSpan, group groupName: RawSpan, version: Int64
    ) throws(BrokerError) -> MessageFilter {
        guard let group = members.consumerGroup(groupName) else { throw .groupOffline(groupName.string()) }
        if group.messageModel == .broadcasting, state.groups[group.name]?.isBroadcastEnabled == false {
            throw .broadcastForbidden(group.name)
        }
        guard let active = group.subscription(topic: topic) else { throw .subscriptionUnknown(group.name) }
        guard active.subscription.version >= version else { throw .subscriptionOld(group.name) }
        guard !active.subscription.isByTags else { return active.filter }
        try checkFilterType(active.subscription.expressionType)
        guard let error = active.selectorError else { return active.filter }
        // What was compiled before goes on for those who know of no newer expression, as in RocketMQ.
        guard case .selector = active.filter else { throw .selectorMissing(error) }
        guard active.filterVersion >= version else { throw .selectorOld }
        return active.filter
    }

    /// The filter that a pull or a check brings with it.
    /// - Parameter type: `TAG`, `SQL92`, or empty for tags.
    /// - Throws: ``BrokerError/subscriptionUnparsable(_:)``, ``BrokerError/filterTypeDisabled(_:)``.
    public func filter(expression: RawSpan, type: RawSpan) throws(BrokerError) -> MessageFilter {
        if type.isEmpty || type.equals("TAG") {
            guard let filter = TagFilter(expression: expression.string()) else { throw .subscriptionUnparsable(nil) }
            return .tags(filter)
        }
        try checkFilterType(type.string())
        do {
            return .selector(try selectors.program(for: expression))
        } catch {
            throw .subscriptionUnparsable(error)
        }
    }

    private func checkFilterType(_ type: String) throws(BrokerError) {
        guard type == Subscription.sqlType, configuration.isPropertyFilterEnabled else {
            throw .filterTypeDisabled(type)
        }
    }

    /// Appends messages of the queue from `offset` on to `buffer`.
    /// - Parameter maximumCount: what the client asks for; less may come (`FetchLimits`).
    /// - Parameter maximumSize: bytes of records; the first comes whatever its size.
    /// - Parameter mayWait: see `MessageStore/fetch(_:from:maximumCount:maximumSize:mayWait:into:matches:)`.
    public func fetch(
        _ queue: StoredQueue, from offset: QueueOffset, maximumCount: Int, maximumSize: Int = .max,
        filter: MessageFilter,
        mayWait: Bool = false, into buffer: ByteBuffer
    ) throws(BrokerError) -> FetchResult {
        do {
            let count = max(1, min(maximumCount, Limits.pullMessagesMaximum))
            let result =
                switch filter {
                case .tags(let tags):
                    try store.fetch(
                        queue, from: offset, maximumCount: count, maximumSize: maximumSize, mayWait: mayWait,
                        into: buffer
                    ) { tags.matches($0) }
                case .selector(let program):
                    try store.fetch(
                        queue, from: offset, maximumCount: count, maximumSize: maximumSize, mayWait: mayWait,
                        weight: program.weight, into: buffer, selects: { program.matches($0) })
                }
            metrics.messagesFetched += Int64(result.messageCount)
            metrics.bytesFetched += Int64(result.byteCount)
            if result.messageCount > 0 { metrics.fetchesFound += 1 } else { metrics.fetchesMissed += 1 }
            return result
        } catch {
            throw .storage(error)
        }
    }

    /// Brings the records that a fetch found cold into the page cache and calls `completion` in a later turn.
    public func prefetch(_ result: FetchResult, _ completion: @escaping () -> Void) {
        store.prefetch(result, completion)
    }

    /// Holds a fetch until a message that it wants is visible in the queue, or until `deadline`.
    /// - Parameter token: returned to the waiter with the wake-up.
    public func hold(
        _ queue: StoredQueue, filter: MessageFilter, from offset: QueueOffset, until deadline: MonotonicTime,
        waiter: any FetchWaiter, token: Int
    ) -> HeldFetch {
        let fetch = HeldFetch(
            queue: queue, filter: filter, offset: offset, deadline: deadline, waiter: waiter, token: token)
        heldFetches.hold(fetch)
        metrics.fetchesHeld += 1
        return fetch
    }

    /// Forgets a held fetch, because its client has gone.
    public func release(_ fetch: HeldFetch) { heldFetches.release(fetch) }

    /// Whether one more fetch may be held; counts when it may not.
    public var mayHold: Bool {
        if heldFetches.count < configuration.limits.heldPulls { return true }
        metrics.holdRefusals += 1
        return false
    }

    public var heldFetchCount: Int { heldFetches.count }
    public var monotonic: MonotonicTime { clock.monotonic }

    // MARK: - Single messages

    /// Appends the record at a physical offset to `buffer`; false when there is none that consumers may see.
    public func readRecord(at offset: PhysicalOffset, into buffer: ByteBuffer) throws(BrokerError) -> Bool {
        guard offset < store.dispatched else { return false }
        do {
            return try store.readRecord(at: offset, into: buffer)
        } catch {
            throw .storage(error)
        }
    }

    /// Where the newest messages of a topic with a key lie, in the order of the log.
    public func query(
        topic: RawSpan, key: RawSpan, from begin: Timestamp, to end: Timestamp, maximumCount: Int
    ) throws(BrokerError) -> [PhysicalOffset] {
        do {
            return try store.query(topic: topic, key: key, from: begin, to: end, maximumCount: maximumCount)
        } catch {
            throw .storage(error)
        }
    }
}
