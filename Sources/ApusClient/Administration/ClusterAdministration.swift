import Base
import Bytes
import Model
import RemotingProtocol
import Runtime

/// What operators ask of a cluster, and change in it. Every call has a deadline, ``ClientConfiguration/requestTimeout``
/// unless given; calls that go to several brokers give each that much.
public struct ClusterAdministration: Sendable {
    let client: RocketMQClient
    var core: ClientCore { client.core }

    init(_ client: RocketMQClient) { self.client = client }

    // MARK: - The cluster

    /// Where a topic is, fetched anew.
    public func route(of topic: String, timeout: Duration? = nil) async throws(ClientError) -> TopicRouteData {
        do throws(ClientError) {
            return try await core.callNameServer(
                Request(
                    .getRouteInfoByTopic, GetRouteInfoHeader(topic: topic, isStandardJSONOnly: true),
                    json: TopicRouteData.self), deadline: core.deadline(timeout))
        } catch {
            guard error.answer?.code == ResponseCode.topicNotExist.rawValue else { throw error }
            throw ClientError(.topicNotFound, "no broker serves topic \(topic)", answer: error.answer)
        }
    }

    /// All clusters and brokers.
    public func clusterInfo(timeout: Duration? = nil) async throws(ClientError) -> ClusterInfo {
        try await core.callNameServer(
            Request(.getBrokerClusterInfo, json: ClusterInfo.self), deadline: core.deadline(timeout))
    }

    /// Addresses of the masters of a cluster, or of all, sorted by broker name.
    public func masters(
        ofCluster cluster: String? = nil, timeout: Duration? = nil
    ) async throws(ClientError) -> [(brokerName: String, address: String)] {
        let info = try await clusterInfo(timeout: timeout)
        let masters = info.brokers.values.sorted { $0.brokerName < $1.brokerName }.compactMap { broker in
            (cluster == nil || broker.cluster == cluster) ? broker.addresses[0].map { (broker.brokerName, $0) } : nil
        }
        guard !masters.isEmpty else {
            throw ClientError(.brokerNotFound, "there is no broker\(cluster.map { " in cluster \($0)" } ?? "")")
        }
        return masters
    }

    /// Addresses of the brokers that a change goes to.
    func targets(
        _ cluster: String?, _ broker: String?, _ timeout: Duration?
    ) async throws(ClientError) -> [String] {
        if let broker { return [broker] }
        return try await masters(ofCluster: cluster, timeout: timeout).map(\.address)
    }

    /// What a broker says of itself: names and values (28).
    public func brokerRuntimeInfo(
        _ address: String, timeout: Duration? = nil
    ) async throws(ClientError) -> [String: String] {
        try await core.call(Request(.getBrokerRuntimeInfo, json: KVTable.self), to: address, timeout: timeout).table
    }

    // MARK: - Topics

    /// Names of all topics that the name servers know, sorted.
    public func topics(timeout: Duration? = nil) async throws(ClientError) -> [String] {
        try await core.callNameServer(
            Request(.getAllTopicListFromNameServer, json: TopicList.self), deadline: core.deadline(timeout)
        ).topics.sorted()
    }

    /// The settings of all topics of one broker.
    public func topicConfigurations(
        ofBroker address: String, timeout: Duration? = nil
    ) async throws(ClientError) -> [TopicConfiguration] {
        try await core.call(
            Request(.getAllTopicConfig, json: TopicConfigSerializeWrapper.self), to: address, timeout: timeout
        ).topics.sorted { $0.name < $1.name }
    }

    /// Creates a topic, or changes its settings, on every master.
    /// - Parameters:
    ///   - cluster: nil means all clusters.
    ///   - broker: the only broker to change, as `host:port`; nil means every master of the cluster.
    ///   - setsQuota: whether the topic's quota is told too, which brokers of RocketMQ refuse; otherwise it stays as it is.
    public func createTopic(
        _ topic: TopicConfiguration, inCluster cluster: String? = nil, onBroker broker: String? = nil,
        setsQuota: Bool = false, timeout: Duration? = nil
    ) async throws(ClientError) {
        try PreparedMessage.checkTopic(topic.name)
        let header = CreateTopicHeader(
            topic: topic.name, defaultTopic: SystemTopics.autoCreate, readQueueCount: topic.readQueueCount,
            writeQueueCount: topic.writeQueueCount, permission: topic.permission,
            topicFilterType: topic.filterType.rawValue, systemFlag: topic.systemFlag, isOrdered: topic.isOrdered,
            attributes: setsQuota ? topic.quota.attributeText : nil)
        for address in try await targets(cluster, broker, timeout) {
            try await core.call(Request(.updateAndCreateTopic, header), to: address, timeout: timeout)
        }
        await core.forgetRoute(topic.name)
    }

    /// Deletes a topic and its messages on every broker, and from the name servers.
    public func deleteTopic(
        _ topic: String, inCluster cluster: String? = nil, timeout: Duration? = nil
    ) async throws(ClientError) {
        for master in try await masters(ofCluster: cluster, timeout: timeout) {
            try await core.call(
                Request(.deleteTopicInBroker, DeleteTopicHeader(topic: topic)), to: master.address, timeout: timeout)
        }
        let header = DeleteTopicInNameServerHeader(topic: topic, clusterName: cluster)
        for server in core.configuration.nameServers {
            try await core.call(Request(.deleteTopicInNameServer, header), to: server, timeout: timeout)
        }
        await core.forgetRoute(topic)
    }

    /// The offsets of every queue of a topic.
    public func topicStats(_ topic: String, timeout: Duration? = nil) async throws(ClientError) -> TopicStatsTable {
        var table = TopicStatsTable(offsets: [:])
        let request = Request(
            .getTopicStatsInfo, GetTopicStatsInfoHeader(topic: topic), json: TopicStatsTable.self)
        for address in try await brokers(of: topic, timeout) {
            table.offsets.merge(try await core.call(request, to: address, timeout: timeout).offsets) { $1 }
        }
        return table
    }

    /// Groups that have an offset in a topic, sorted.
    public func groups(ofTopic topic: String, timeout: Duration? = nil) async throws(ClientError) -> [String] {
        var groups: Set<String> = []
        let request = Request(.queryTopicConsumeByWho, QueryTopicConsumeByWhoHeader(topic: topic), json: GroupList.self)
        for address in try await brokers(of: topic, timeout) {
            groups.formUnion(try await core.call(request, to: address, timeout: timeout).groups)
        }
        return groups.sorted()
    }

    private func brokers(of topic: String, _ timeout: Duration?) async throws(ClientError) -> [String] {
        try await route(of: topic, timeout: timeout).brokers.compactMap { broker in
            broker.addresses.min { $0.key < $1.key }?.value
        }
    }

    // MARK: - Groups

    /// The settings of all groups, by name; of a group that differs among brokers, the first one's.
    public func groups(
        inCluster cluster: String? = nil, timeout: Duration? = nil
    ) async throws(ClientError) -> [GroupConfiguration] {
        var groups: [String: GroupConfiguration] = [:]
        for master in try await masters(ofCluster: cluster, timeout: timeout) {
            let wrapper = try await core.call(
                Request(.getAllSubscriptionGroupConfig, json: SubscriptionGroupWrapper.self), to: master.address,
                timeout: timeout)
            for group in wrapper.groups where groups[group.name] == nil { groups[group.name] = group }
        }
        return groups.values.sorted { $0.name < $1.name }
    }

    /// Creates a group, or changes its settings, on every master.
    /// - Parameter broker: the only broker to change, as `host:port`; nil means every master of the cluster.
    public func createGroup(
        _ group: GroupConfiguration, inCluster cluster: String? = nil, onBroker broker: String? = nil,
        timeout: Duration? = nil
    ) async throws(ClientError) {
        try PreparedMessage.checkName(group.name, "consumer group", lengthMaximum: Limits.groupLengthMaximum)
        let body = group.encoded()
        for address in try await targets(cluster, broker, timeout) {
            try await core.call(Request(.updateAndCreateSubscriptionGroup, body: body), to: address, timeout: timeout)
        }
    }

    /// Deletes a group on every master.
    /// - Parameter isOffsetRemoved: true also forgets where it stands.
    public func deleteGroup(
        _ group: String, isOffsetRemoved: Bool = true, inCluster cluster: String? = nil, timeout: Duration? = nil
    ) async throws(ClientError) {
        let header = DeleteSubscriptionGroupHeader(groupName: group, isOffsetRemoved: isOffsetRemoved)
        for master in try await masters(ofCluster: cluster, timeout: timeout) {
            try await core.call(Request(.deleteSubscriptionGroup, header), to: master.address, timeout: timeout)
        }
    }

    /// How far a group is in each of its queues.
    /// - Parameter topic: nil means all topics that it reads.
    public func consumeStats(
        group: String, topic: String? = nil, timeout: Duration? = nil
    ) async throws(ClientError) -> ConsumeStats {
        var stats = ConsumeStats(offsets: [:])
        let request = Request(
            .getConsumeStats, GetConsumeStatsHeader(consumerGroup: group, topic: topic), json: ConsumeStats.self)
        for master in try await masters(timeout: timeout) {
            let part = try await core.call(request, to: master.address, timeout: timeout)
            stats.offsets.merge(part.offsets) { $1 }
            stats.consumeTPS += part.consumeTPS
        }
        return stats
    }

    /// The members of a group, and what they subscribe to.
    /// - Throws: ``ClientError/Code-swift.struct/refused`` with answer 206 when nobody is online.
    public func consumerConnections(
        group: String, timeout: Duration? = nil
    ) async throws(ClientError) -> ConsumerConnection {
        let request = Request(
            .getConsumerConnectionList, GetConsumerConnectionListHeader(consumerGroup: group),
            json: ConsumerConnection.self)
        var last: ClientError?
        // Every broker knows all members; the first that does will do.
        for master in try await masters(timeout: timeout) {
            do throws(ClientError) {
                let connections = try await core.call(request, to: master.address, timeout: timeout)
                if !connections.connections.isEmpty { return connections }
            } catch {
                last = error
            }
        }
        throw last ?? .refused(.consumerNotOnline, "no consumer of group \(group) is online")
    }

    /// Makes a group go on at a time, on every broker of the topic (222). Members that are online move at once.
    /// - Parameters:
    ///   - timestamp: nil means the end of each queue.
    ///   - isForced: false moves back only, never forth.
    /// - Returns: the new offsets.
    @discardableResult
    public func resetOffsets(
        group: String, topic: String, to timestamp: Timestamp?, isForced: Bool = true, timeout: Duration? = nil
    ) async throws(ClientError) -> [MessageQueue: QueueOffset] {
        let header = ResetOffsetHeader(
            topic: topic, group: group, timestamp: timestamp?.milliseconds ?? -1, isForced: isForced)
        var offsets: [MessageQueue: QueueOffset] = [:]
        for address in try await brokers(of: topic, timeout) {
            let request = Request(.invokeBrokerToResetOffset, header, json: ResetOffsetBody.self)
            offsets.merge(try await core.call(request, to: address, timeout: timeout).offsets) { $1 }
        }
        return offsets
    }

    // MARK: - Offsets

    /// The stored offset of a group in a queue; nil when there is none.
    public func committedOffset(
        _ queue: MessageQueue, group: String, timeout: Duration? = nil
    ) async throws(ClientError) -> QueueOffset? {
        try await core.committedOffset(queue, group: group, timeout: timeout)
    }

    /// Stores an offset of a group.
    public func setCommittedOffset(
        _ queue: MessageQueue, _ offset: QueueOffset, group: String, timeout: Duration? = nil
    ) async throws(ClientError) {
        try await core.commit(queue, offset, group: group, isAnswerAwaited: true, timeout: timeout)
    }

    /// The offset of a place in a queue: its beginning, its end, or a time.
    public func offset(
        _ queue: MessageQueue, at place: ConsumeFrom, timeout: Duration? = nil
    ) async throws(ClientError) -> QueueOffset {
        try await core.offset(queue, place, timeout: timeout)
    }

    // MARK: - Messages

    /// The message that a broker's id stands for; the id says which broker has it.
    public func message(
        offsetMessageID text: String, timeout: Duration? = nil
    ) async throws(ClientError) -> ReceivedMessage {
        guard let id = OffsetMessageID(text) else {
            throw ClientError(.invalidArgument, "\"\(text)\" is no id of a broker: 32 or 56 hexadecimal digits")
        }
        let request = Request(.viewMessageByID, ViewMessageHeader(offset: id.offset)) { (answer) throws(ClientError) in
            try answer.requireSuccess()
            return try ReceivedMessage.decodeAll(
                answer.buffer.bytes.extracting(answer.frame.body), brokerName: "", topic: "")
        }
        guard let message = try await core.call(request, to: "\(id.host)", timeout: timeout).first else {
            throw ClientError(.malformedAnswer, "the broker answered without a message")
        }
        return Self.restored([message])[0]
    }

    /// The message with an id that its producer gave (`UNIQ_KEY`); nil when there is none.
    public func message(
        topic: String, messageID: String, timeout: Duration? = nil
    ) async throws(ClientError) -> ReceivedMessage? {
        try await messages(topic: topic, key: messageID, maximum: 32, isUniqueKey: true, timeout: timeout)
            .first { $0.messageID == messageID }
    }

    /// Messages with a key.
    /// - Parameters:
    ///   - times: when they were stored.
    ///   - isUniqueKey: `key` is an id that a producer gave.
    public func messages(
        topic: String, key: String, in times: ClosedRange<Timestamp>? = nil, maximum: Int32 = 64,
        isUniqueKey: Bool = false, timeout: Duration? = nil
    ) async throws(ClientError) -> [ReceivedMessage] {
        let header = QueryMessageHeader(
            topic: topic, key: key, maxMessageCount: maximum,
            beginTimestamp: times?.lowerBound ?? Timestamp(milliseconds: 0),
            endTimestamp: times?.upperBound ?? Timestamp(milliseconds: .max),
            // All that it does is to have brokers look for 32. They do not agree whether it is signed, so it stays out there.
            isUniqueKey: core.configuration.credentials == nil ? isUniqueKey : nil)
        var found: [ReceivedMessage] = []
        for broker in try await route(of: topic, timeout: timeout).brokers {
            guard let address = broker.addresses.min(by: { $0.key < $1.key })?.value else { continue }
            let request = Request(.queryMessage, header) { (answer) throws(ClientError) -> [ReceivedMessage] in
                if answer.code == .queryNotFound { return [] }
                try answer.requireSuccess()
                return try ReceivedMessage.decodeAll(
                    answer.buffer.bytes.extracting(answer.frame.body), brokerName: broker.brokerName, topic: topic)
            }
            found += try await core.call(request, to: address, timeout: timeout)
        }
        // The index knows hashes only, and different keys can have the same.
        found.removeAll { isUniqueKey ? $0.messageID != key : !$0.keys.contains(key) }
        return Self.restored(Array(found.sorted { $0.storeTimestamp < $1.storeTimestamp }.prefix(Int(maximum))))
    }

    private static func restored(_ messages: [ReceivedMessage]) -> [ReceivedMessage] {
        messages.map { message in
            var message = message
            // A body that cannot be decompressed is shown as it is stored.
            try? message.decompress()
            return message
        }
    }
}
