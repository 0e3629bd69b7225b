import Base
import Bytes
import Model
import Telemetry

/// Who is connected for which group: the producers and consumers that heartbeats announce.
///
/// A client is gone when its connection closes, when it says so, or when it has been silent for too long; the members of a
/// consumer group are told of every change at once.
public final class Membership {
    /// One client in one group.
    public final class Member {
        public let channel: any ClientChannel
        public internal(set) var identity: ClientIdentity
        public internal(set) var lastSeen: Timestamp
        fileprivate var deadline: MonotonicTime
        /// What this member subscribes to and how it consumes; nil of a producer.
        var outline: SubscriptionOutline?

        fileprivate init(
            _ channel: any ClientChannel, _ identity: ClientIdentity, _ now: Timestamp, _ deadline: MonotonicTime
        ) {
            self.channel = channel
            self.identity = identity
            lastSeen = now
            self.deadline = deadline
        }
    }

    /// A subscription of a group, ready for use.
    public struct ActiveSubscription {
        public var subscription: Subscription
        /// What the subscription asks for; when its expression cannot be used, what the one before asked for.
        public var filter: MessageFilter
        /// The version of the subscription that ``filter`` belongs to.
        public var filterVersion: Int64
        /// Why the expression cannot be used; nil when it can.
        public var selectorError: SelectorError?
    }

    public final class ConsumerGroup {
        public let name: String
        public internal(set) var consumeType: ConsumeType
        public internal(set) var messageModel: MessageModel
        public internal(set) var consumeFromWhere: ConsumeFromWhere
        public internal(set) var members: [Member] = []
        var subscriptions = ByteKeyTable<ActiveSubscription>()
        /// Members who want something else than most of the group. Empty when all agree, as they should.
        public internal(set) var disagreements: [SubscriptionDisagreement] = []
        /// How many members have each outline; one outline when all agree.
        fileprivate var outlines: [SubscriptionOutline: Int] = [:]

        init(_ consumer: Heartbeat.Consumer) {
            name = consumer.group
            consumeType = consumer.consumeType
            messageModel = consumer.messageModel
            consumeFromWhere = consumer.consumeFromWhere
        }

        /// What the group wants of a topic.
        public func subscription(topic: RawSpan) -> ActiveSubscription? { subscriptions[topic] }
        public var allSubscriptions: [Subscription] {
            subscriptions.values.map(\.subscription).sorted { $0.topic < $1.topic }
        }
    }

    public final class ProducerGroup {
        public let name: String
        public internal(set) var members: [Member] = []
        init(name: String) { self.name = name }
    }

    private var consumerGroups = ByteKeyTable<ConsumerGroup>()
    private var producerGroups: [String: ProducerGroup] = [:]
    /// Clients that are in any producer group.
    private var producers = ByteKeyTable<any ClientChannel>()
    /// The groups that a connection is a member of, so that its end need not look through all.
    private var joined: [ObjectIdentifier: Joined] = [:]
    private struct Joined {
        var consumers: [String: Member] = [:]
        var producers: [String: Member] = [:]
        var isEmpty: Bool { consumers.isEmpty && producers.isEmpty }
    }
    /// Members of all groups; a client counts in each of its groups.
    public private(set) var count = 0
    private let expiryMilliseconds: Int64
    private let selectors: SelectorCache
    private let log: Log

    init(expiryMilliseconds: Int64, selectors: SelectorCache, log: Log) {
        self.expiryMilliseconds = expiryMilliseconds
        self.selectors = selectors
        self.log = log
    }

    public func consumerGroup(_ name: RawSpan) -> ConsumerGroup? { consumerGroups[name] }
    public func consumerGroup(_ name: String) -> ConsumerGroup? { consumerGroups[name] }
    public func producerGroup(_ name: String) -> ProducerGroup? { producerGroups[name] }
    /// The connection of a client that produces; the newest, when two clients have one id.
    public func producer(clientID: String) -> (any ClientChannel)? { producers[clientID] }
    public var allConsumerGroups: [ConsumerGroup] { consumerGroups.values.sorted { $0.name < $1.name } }
    public var allProducerGroups: [ProducerGroup] { producerGroups.values.sorted { $0.name < $1.name } }

    // MARK: - Heartbeats

    /// Takes in one consumer of a heartbeat.
    /// - Parameter notifies: whether the group's members are told of changes.
    func register(
        _ consumer: Heartbeat.Consumer, of identity: ClientIdentity, on channel: any ClientChannel, notifies: Bool,
        now: Timestamp, monotonic: MonotonicTime
    ) {
        let group: ConsumerGroup
        if let known = consumerGroups[consumer.group] {
            group = known
        } else {
            group = ConsumerGroup(consumer)
            consumerGroups[consumer.group] = group
        }
        group.consumeType = consumer.consumeType
        group.messageModel = consumer.messageModel
        group.consumeFromWhere = consumer.consumeFromWhere
        let (member, isNew) = touch(
            joined[ObjectIdentifier(channel)]?.consumers[group.name], &group.members, channel, identity, now,
            monotonic.advanced(byMilliseconds: expiryMilliseconds))
        if isNew { joined[ObjectIdentifier(channel), default: Joined()].consumers[group.name] = member }
        let hasChanged = update(group, consumer.subscriptions)
        let outline = SubscriptionOutline(consumer)
        if isNew || member.outline != outline {
            group.count(outline, insteadOf: member.outline)
            member.outline = outline
            lookForDisagreements(group)
        }
        if notifies, isNew || hasChanged { notify(group) }
    }

    /// - Returns: whether the group has a producer more.
    func register(
        producerGroup name: String, of identity: ClientIdentity, on channel: any ClientChannel, now: Timestamp,
        monotonic: MonotonicTime
    ) -> Bool {
        let group = producerGroups[name] ?? ProducerGroup(name: name)
        producerGroups[name] = group
        if producers[identity.clientID] !== channel { producers[identity.clientID] = channel }
        let (member, isNew) = touch(
            joined[ObjectIdentifier(channel)]?.producers[name], &group.members, channel, identity, now,
            monotonic.advanced(byMilliseconds: expiryMilliseconds))
        if isNew { joined[ObjectIdentifier(channel), default: Joined()].producers[name] = member }
        return isNew
    }

    private func touch(
        _ known: Member?, _ members: inout [Member], _ channel: any ClientChannel, _ identity: ClientIdentity,
        _ now: Timestamp,
        _ deadline: MonotonicTime
    ) -> (Member, isNew: Bool) {
        if let member = known {
            let isNew = member.identity.clientID != identity.clientID
            member.identity = identity
            member.lastSeen = now
            member.deadline = deadline
            return (member, isNew)
        }
        let member = Member(channel, identity, now, deadline)
        members.append(member)
        count += 1
        return (member, true)
    }

    /// The group's subscriptions are those of the newest heartbeat: of two for one topic the newer version wins, and topics
    /// that are not named any more are dropped.
    /// - Returns: whether a topic came or went, or an expression changed.
    private func update(_ group: ConsumerGroup, _ subscriptions: [Subscription]) -> Bool {
        var hasChanged = false
        for subscription in subscriptions {
            let active = group.subscriptions[subscription.topic]
            if let known = active?.subscription {
                guard subscription.version > known.version else { continue }
                if known.expression != subscription.expression || known.expressionType != subscription.expressionType {
                    log.info(
                        "a group changed its subscription",
                        ["group": group.name, "topic": subscription.topic, "expression": subscription.expression])
                }
            } else {
                hasChanged = true
            }
            group.subscriptions[subscription.topic] = activate(subscription, of: group, insteadOf: active)
        }
        let topics = Set(subscriptions.map(\.topic))
        for known in group.allSubscriptions where !topics.contains(known.topic) {
            group.subscriptions[known.topic] = nil
            hasChanged = true
        }
        return hasChanged
    }

    /// Compiles what the subscription asks for. One whose expression cannot be used is taken in all the same: its pulls hear
    /// why.
    private func activate(
        _ subscription: Subscription, of group: ConsumerGroup, insteadOf former: ActiveSubscription?
    ) -> ActiveSubscription {
        guard !subscription.isByTags else {
            return ActiveSubscription(
                subscription: subscription, filter: .tags(TagFilter(subscription)),
                filterVersion: subscription.version)
        }
        do throws(SelectorError) {
            return ActiveSubscription(
                subscription: subscription, filter: .selector(try selectors.program(for: subscription.expression)),
                filterVersion: subscription.version)
        } catch {
            log.warning(
                "a group's expression cannot be used",
                [
                    "group": group.name, "topic": subscription.topic, "expression": subscription.expression,
                    "error": error.description,
                ])
            return ActiveSubscription(
                subscription: subscription, filter: former?.filter ?? .all,
                filterVersion: former?.filterVersion ?? subscription.version, selectorError: error)
        }
    }

    /// Clients that a line of the log names at the most.
    private static let clientsNamed = 8

    /// Finds out who wants something else than most, and tells the log when that has changed.
    private func lookForDisagreements(_ group: ConsumerGroup) {
        let disagreements = group.currentDisagreements
        guard disagreements != group.disagreements else { return }
        group.disagreements = disagreements
        guard !disagreements.isEmpty else {
            return log.notice("the members of a group agree again on what they subscribe to", ["group": group.name])
        }
        var clients = disagreements.prefix(Self.clientsNamed).map {
            "\($0.clientID) \($0.differences.joined(separator: ", "))"
        }
        if disagreements.count > clients.count { clients.append("and \(disagreements.count - clients.count) more") }
        log.warning(
            "members of one group subscribe to different things or consume in different ways: some messages reach nobody",
            ["group": group.name, "clients": clients.joined(separator: "; ")])
    }

    private func notify(_ group: ConsumerGroup) {
        for member in group.members { member.channel.membersChanged(of: group.name) }
    }

    // MARK: - Room

    /// A group of the heartbeat that has so many members, and not this one; nil when there is none.
    func fullGroup(for heartbeat: Heartbeat, on channel: any ClientChannel, maximum: Int) -> String? {
        let joined = joined[ObjectIdentifier(channel)] ?? Joined()
        return heartbeat.consumers.lazy.map(\.group).first {
            joined.consumers[$0] == nil && consumerGroups[$0]?.members.count ?? 0 >= maximum
        }
            ?? heartbeat.producerGroups.first {
                joined.producers[$0] == nil && producerGroups[$0]?.members.count ?? 0 >= maximum
            }
    }

    /// Whether the client is not yet a member of all groups of its heartbeat.
    func hasNewcomer(_ heartbeat: Heartbeat, on channel: any ClientChannel) -> Bool {
        let joined = joined[ObjectIdentifier(channel)] ?? Joined()
        return heartbeat.consumers.contains { joined.consumers[$0.group] == nil }
            || heartbeat.producerGroups.contains { joined.producers[$0] == nil }
    }

    // MARK: - Going

    /// What the consumer on this connection calls itself in the group.
    func clientID(of channel: any ClientChannel, in group: String) -> String? {
        joined[ObjectIdentifier(channel)]?.consumers[group]?.identity.clientID
    }

    /// The groups that a connection consumes for, and what it calls itself there.
    func consumers(on channel: any ClientChannel) -> [(group: String, clientID: String)] {
        (joined[ObjectIdentifier(channel)]?.consumers ?? [:]).map { ($0.key, $0.value.identity.clientID) }
            .sorted { $0.0 < $1.0 }
    }

    /// Takes the client out of the groups it names; nil names none.
    func unregister(channel: any ClientChannel, producerGroup: String?, consumerGroup: String?, notifies: Bool) {
        guard let groups = joined[ObjectIdentifier(channel)] else { return }
        if let producerGroup, let member = groups.producers[producerGroup] {
            remove([member], ofProducers: producerGroup)
        }
        if let consumerGroup, let member = groups.consumers[consumerGroup] {
            remove([member], ofConsumers: consumerGroup, notifies: notifies)
        }
    }

    /// Takes the client out of every group, because its connection is gone.
    func closed(_ channel: any ClientChannel, notifies: (String) -> Bool) {
        guard let groups = joined[ObjectIdentifier(channel)] else { return }
        for (name, member) in groups.producers { remove([member], ofProducers: name) }
        for (name, member) in groups.consumers.sorted(by: { $0.key < $1.key }) {
            remove([member], ofConsumers: name, notifies: notifies(name))
        }
    }

    /// Takes out everybody who has been silent for too long.
    func expire(now: MonotonicTime, notifies: (String) -> Bool) {
        for group in allProducerGroups {
            remove(group.members.filter { $0.deadline <= now }, ofProducers: group.name)
        }
        for group in allConsumerGroups {
            let gone = group.members.filter { $0.deadline <= now }
            if !gone.isEmpty { remove(gone, ofConsumers: group.name, notifies: notifies(group.name)) }
        }
    }

    /// Those that go in the order in which they came are found at the front.
    private static func remove(_ gone: [Member], from members: inout [Member]) {
        for member in gone {
            if let index = members.firstIndex(where: { $0 === member }) { members.remove(at: index) }
        }
    }

    private func remove(_ gone: [Member], ofProducers name: String) {
        guard let group = producerGroups[name], !gone.isEmpty else { return }
        count -= gone.count
        Self.remove(gone, from: &group.members)
        if group.members.isEmpty { producerGroups[name] = nil }
        for member in gone {
            left(member.channel) { $0.producers[name] = nil }
            guard producers[member.identity.clientID] === member.channel,
                joined[ObjectIdentifier(member.channel)]?.producers.isEmpty ?? true
            else { continue }
            producers[member.identity.clientID] = nil
        }
    }

    private func left(_ channel: any ClientChannel, _ change: (inout Joined) -> Void) {
        let key = ObjectIdentifier(channel)
        guard var groups = joined[key] else { return }
        change(&groups)
        joined[key] = groups.isEmpty ? nil : groups
    }

    private func remove(_ gone: [Member], ofConsumers name: String, notifies: Bool) {
        guard let group = consumerGroups[name], !gone.isEmpty else { return }
        count -= gone.count
        Self.remove(gone, from: &group.members)
        for member in gone { left(member.channel) { $0.consumers[name] = nil } }
        guard !group.members.isEmpty else { return consumerGroups[group.name] = nil }
        for member in gone { group.count(nil, insteadOf: member.outline) }
        lookForDisagreements(group)
        if notifies { notify(group) }
    }
}

extension Membership.ConsumerGroup {
    fileprivate func count(_ outline: SubscriptionOutline?, insteadOf former: SubscriptionOutline?) {
        if let former, let count = outlines[former] { outlines[former] = count > 1 ? count - 1 : nil }
        if let outline { outlines[outline, default: 0] += 1 }
    }

    /// Members who differ from the outline that most members have; of two that are as frequent, from that of the older member.
    fileprivate var currentDisagreements: [SubscriptionDisagreement] {
        guard outlines.count > 1, let most = outlines.values.max(),
            let usual = members.lazy.compactMap(\.outline).first(where: { self.outlines[$0] == most })
        else { return [] }
        return members.compactMap { member in
            guard let differences = member.outline?.differences(from: usual), !differences.isEmpty else { return nil }
            return SubscriptionDisagreement(clientID: member.identity.clientID, differences: differences)
        }
    }
}
