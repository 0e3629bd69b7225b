import Base
import Bytes
import Model
import Storage

extension Broker {
    /// The settings of all consumer groups, by name.
    public var groups: [GroupConfiguration] { state.groups.all }
    public var groupVersion: DataVersion { state.groups.version }
    public func group(_ name: String) -> GroupConfiguration? { state.groups[name] }

    /// Creates the group or gives it new settings. Durable with the turn.
    public func putGroup(_ group: GroupConfiguration) throws(BrokerError) {
        try checkGroupName(group.name)
        guard group.retryQueueCount >= 0, group.retryQueueCount <= Limits.queuesPerTopicMaximum else {
            throw .invalid("a group has 0 to \(Limits.queuesPerTopicMaximum) retry queues")
        }
        if case .list(let delays) = group.retryPolicy, delays.count > Limits.retryDelaysMaximum {
            throw .invalid("a retry policy lists up to \(Limits.retryDelaysMaximum) delays")
        }
        guard state.groups.count < configuration.limits.groups || state.groups[group.name] != nil else {
            throw limitReached("groups", configuration.limits.groups)
        }
        try change(.groupPut(group, at: clock.timestamp))
    }

    /// Removes the group's settings.
    /// - Parameter removesOffsets: whether its offsets go too; otherwise a group of the same name goes on from there.
    public func removeGroup(_ name: String, removesOffsets: Bool) throws(BrokerError) {
        if state.groups[name] != nil { try change(.groupRemoved(name, at: clock.timestamp)) }
        if removesOffsets { try change(.groupOffsetsRemoved(name)) }
    }

    private func checkGroupName(_ name: String) throws(BrokerError) {
        let bytes = Array(name.utf8)
        guard !bytes.isEmpty else { throw .invalid("the group has no name") }
        guard TopicName.hasLegalCharacters(bytes.span.bytes), bytes.count <= Limits.groupLengthMaximum else {
            throw .invalid("a group's name has up to \(Limits.groupLengthMaximum) characters of ^[%|a-zA-Z0-9_-]+$")
        }
    }

    /// The group's settings; made when groups are made on first use.
    /// - Throws: ``BrokerError/groupUnknown(_:)``.
    func groupOrCreate(_ name: String) throws(BrokerError) -> GroupConfiguration {
        if let group = state.groups[name] { return group }
        guard configuration.createsGroups || SystemGroups.fixed.contains(name) else { throw .groupUnknown(name) }
        let group = GroupConfiguration(name: name)
        try unlessNothingIsTaken { () throws(BrokerError) in try putGroup(group) }
        return group
    }

    /// Runs a change of state that reads do not need: with a full or failed disk it is left out, and made when its group comes
    /// again.
    private func unlessNothingIsTaken(_ change: () throws(BrokerError) -> Void) throws(BrokerError) {
        do {
            try change()
        } catch .storage(.diskFull) {
            return
        } catch .storage(.stopped) {
            return
        }
    }

    // MARK: - Members

    /// Takes in a heartbeat: the client's groups, made with their retry topics when they are new. Members hear of changes
    /// before this returns.
    public func heartbeat(_ heartbeat: Heartbeat, on channel: any ClientChannel) throws(BrokerError) {
        try check(heartbeat, on: channel)
        for consumer in heartbeat.consumers {
            let group = try groupOrCreate(consumer.group)
            let retryTopic = SystemTopics.retry(of: group.name)
            if state.topics[retryTopic] == nil, group.retryQueueCount > 0,
                retryTopic.utf8.count <= Limits.topicLengthMaximum
            {
                try unlessNothingIsTaken { () throws(BrokerError) in _ = try makeRetryTopic(retryTopic) }
            }
            members.register(
                consumer, of: heartbeat.identity, on: channel, notifies: notifies(group.name), now: clock.timestamp,
                monotonic: clock.monotonic)
        }
        for group in heartbeat.producerGroups {
            let isNew = members.register(
                producerGroup: group, of: heartbeat.identity, on: channel, now: clock.timestamp,
                monotonic: clock.monotonic)
            if isNew { transactions.producerCame(group, now: clock.monotonic) }
        }
    }

    /// Refuses a heartbeat that asks the broker to remember too much, before anything of it is taken in.
    private func check(_ heartbeat: Heartbeat, on channel: any ClientChannel) throws(BrokerError) {
        guard heartbeat.identity.clientID.utf8.count <= Limits.clientIDLengthMaximum else {
            throw .invalid("a client's id has up to \(Limits.clientIDLengthMaximum) bytes")
        }
        let groupCount = heartbeat.consumers.count + heartbeat.producerGroups.count
        guard groupCount <= Limits.groupsPerHeartbeatMaximum else {
            throw limitReached("groups of one client", Limits.groupsPerHeartbeatMaximum)
        }
        for group in heartbeat.producerGroups {
            guard group.utf8.count <= Limits.groupLengthMaximum else {
                throw .invalid("a group's name has up to \(Limits.groupLengthMaximum) bytes")
            }
        }
        for consumer in heartbeat.consumers {
            guard consumer.subscriptions.count <= Limits.subscriptionsPerMemberMaximum else {
                throw limitReached("subscriptions of one member", Limits.subscriptionsPerMemberMaximum)
            }
            for subscription in consumer.subscriptions { try check(subscription) }
        }
        let limits = configuration.limits
        if let full = members.fullGroup(for: heartbeat, on: channel, maximum: limits.membersPerGroup) {
            throw limitReached("members of the group \(full)", limits.membersPerGroup)
        }
        guard members.count + groupCount <= limits.members || !members.hasNewcomer(heartbeat, on: channel) else {
            throw limitReached("members of groups", limits.members)
        }
    }

    private func check(_ subscription: Subscription) throws(BrokerError) {
        guard subscription.topic.utf8.count <= Limits.groupLengthMaximum,
            subscription.expression.utf8.count <= Limits.selectorLengthMaximum,
            max(subscription.tags.count, subscription.tagHashes.count) <= Limits.tagsPerSubscriptionMaximum,
            subscription.tags.reduce(0, { $0 + $1.utf8.count }) <= Limits.selectorLengthMaximum
        else {
            throw .invalid(
                "a subscription has an expression of up to \(Limits.selectorLengthMaximum) bytes and up to "
                    + "\(Limits.tagsPerSubscriptionMaximum) tags")
        }
    }

    /// Takes the client out of the groups it names.
    public func unregister(
        channel: any ClientChannel, producerGroup: String?, consumerGroup: String?
    ) throws(BrokerError) {
        // Who leaves has stopped consuming, so that its queues are free for the others at once.
        if let consumerGroup, let clientID = members.clientID(of: channel, in: consumerGroup) {
            let owned = state.locks.owned(group: consumerGroup, clientID: clientID)
            if !owned.isEmpty { try change(.queuesLocked(owned, group: consumerGroup, clientID: nil)) }
        }
        members.unregister(
            channel: channel, producerGroup: producerGroup, consumerGroup: consumerGroup,
            notifies: consumerGroup.map(notifies) ?? false)
    }

    /// Takes the client out of everything, because its connection is gone.
    public func closed(_ channel: any ClientChannel) {
        for (group, clientID) in members.consumers(on: channel) {
            state.locks.abandon(group: group, clientID: clientID)
        }
        members.closed(channel) { notifies($0) }
    }

    // MARK: - Queue locks

    /// Locks the queues that the client may have: those that are free, its own, or whose lock has expired; see ``QueueLocks``.
    /// Only queues that are there, for groups that are known. Durable with the turn.
    /// - Returns: the queues that the client holds now, in the order asked.
    public func lock(
        _ queues: [MessageQueue], group: String, clientID: String
    ) throws(BrokerError) -> [MessageQueue] {
        guard state.groups[group] != nil, !clientID.isEmpty, clientID.utf8.count <= Int(Int16.max) else { return [] }
        var granted: [MessageQueue] = []
        var changed: [MessageQueue] = []
        for queue in queues where isThere(queue) {
            switch state.locks.ask(queue, group: group, clientID: clientID, now: clock.monotonic) {
            case .taken: continue
            case .renewed: break
            case .free: changed.append(queue)
            }
            granted.append(queue)
        }
        guard !changed.isEmpty else { return granted }
        guard state.locks.count + changed.count <= configuration.limits.queueLocks else {
            throw limitReached("locked queues", configuration.limits.queueLocks)
        }
        try change(.queuesLocked(changed, group: group, clientID: clientID))
        for queue in changed { state.locks.renew(queue, group: group, now: clock.monotonic) }
        return granted
    }

    private func isThere(_ queue: MessageQueue) -> Bool {
        guard let topic = state.topics[queue.topic], queue.brokerName.utf8.count <= Limits.groupLengthMaximum else {
            return false
        }
        return queue.queueID.rawValue >= 0 && queue.queueID.rawValue < topic.configuration.queueCount
    }

    /// Frees the queues that the client holds; those of others stay locked.
    public func unlock(_ queues: [MessageQueue], group: String, clientID: String) throws(BrokerError) {
        let owned = state.locks.owned(queues, group: group, clientID: clientID)
        guard !owned.isEmpty else { return }
        try change(.queuesLocked(owned, group: group, clientID: nil))
    }

    /// Forgets locks that have expired, so that the table does not grow with clients that are long gone.
    func expireLocks(now: MonotonicTime) throws(BrokerError) {
        for (group, queues) in state.locks.expired(now: now) {
            try change(.queuesLocked(queues, group: group, clientID: nil))
        }
    }
}
