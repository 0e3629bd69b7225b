import Base
import Bytes
import Model
import Storage
import Telemetry

extension Broker {
    /// All topics, by name.
    public var topics: [Topic] { state.topics.all }
    public var topicCount: Int { state.topics.count }
    /// Counts the changes of topics.
    public var topicVersion: DataVersion { state.topics.version }

    @inline(__always)
    public func topic(_ name: RawSpan) -> Topic? { state.topics[name] }
    public func topic(_ name: String) -> Topic? { state.topics[name] }

    // MARK: - Administration

    /// Creates the topic or gives it new settings. Durable with the turn.
    ///
    /// Fewer queues than before hide messages, they do not remove them.
    /// - Throws: ``BrokerError`` for names that are not allowed or reserved and for counts out of range.
    public func putTopic(_ configuration: TopicConfiguration) throws(BrokerError) {
        try TopicName.check(Array(configuration.name.utf8).span.bytes)
        guard configuration.name != self.configuration.cluster else { throw .topicReserved(configuration.name) }
        guard !isSystemTopic(configuration.name) else { throw .topicIsSystem(configuration.name) }
        let range = 0...Int32(Limits.queuesPerTopicMaximum)
        guard range.contains(configuration.readQueueCount), range.contains(configuration.writeQueueCount) else {
            throw .invalid("a topic has 0 to \(Limits.queuesPerTopicMaximum) queues to read and to write")
        }
        try checkRoom(forTopic: configuration.name)
        try change(.topicPut(configuration, at: clock.timestamp))
        topicChanged(configuration.name)
    }

    private func checkRoom(forTopic name: String) throws(BrokerError) {
        guard state.topics.count < configuration.limits.topics || state.topics[name] != nil else {
            throw limitReached("topics", configuration.limits.topics)
        }
    }

    /// Counts a refusal for want of room.
    func limitReached(_ what: String, _ maximum: Int) -> BrokerError {
        metrics.limitRefusals += 1
        return .limitReached(what, maximum)
    }

    /// Marks topics as ordered which the name server's namespace `ORDER_TOPIC_CONFIG` names. Those that it does not name stay
    /// as they are, as with RocketMQ.
    public func markOrdered(_ names: some Sequence<String>) throws(BrokerError) {
        for name in names {
            guard var topic = state.topics[name]?.configuration, !topic.isOrdered, !isSystemTopic(name) else {
                continue
            }
            topic.isOrdered = true
            try putTopic(topic)
        }
    }

    /// Removes the topic, its queues, and the offsets of its groups. Its messages stay in the log until their segments go.
    public func removeTopic(_ name: String) throws(BrokerError) {
        guard !isSystemTopic(name) else { throw .topicIsSystem(name) }
        if state.topics[name] != nil {
            try change(.topicRemoved(name, at: clock.timestamp))
        }
        do {
            try store.removeQueues(ofTopic: name)
        } catch {
            throw .storage(error)
        }
        topicChanged(name)
    }

    /// Topics that the broker itself made and that nobody may change or remove.
    public func isSystemTopic(_ name: String) -> Bool {
        SystemTopics.fixed.contains(name) || name == configuration.name || name == configuration.cluster
            || name == SystemTopics.reply(of: configuration.cluster)
    }

    /// The names of all system topics, by name.
    public var systemTopics: [String] { topics.map(\.name).filter(isSystemTopic) }

    // MARK: - Creation on first use

    /// The topic that a message is for; made when it is a retry topic, or when the sender names a topic to take the settings
    /// from and that one allows it (remoting reference §1.9, "TBW102 auto-create").
    func topic(
        forSending name: RawSpan, defaultTopic: RawSpan, defaultQueueCount: Int32
    ) throws(BrokerError) -> Topic {
        if let topic = state.topics[name] { return topic }
        let text = name.string()
        if text.hasPrefix(SystemTopics.retryPrefix) { return try makeRetryTopic(text) }
        guard let model = state.topics[defaultTopic], model.configuration.permission.contains(.inherit),
            configuration.createsTopics || model.name != SystemTopics.autoCreate
        else { throw .topicUnknown(text) }
        let count = max(0, min(defaultQueueCount, model.configuration.writeQueueCount))
        let topic = TopicConfiguration(
            name: text, readQueueCount: count, writeQueueCount: count,
            permission: model.configuration.permission.subtracting(.inherit),
            systemFlag: 0, filterType: model.configuration.filterType)
        let made = try makeTopic(topic)
        topicAutoCreated(topic)
        return made
    }

    func makeRetryTopic(_ name: String) throws(BrokerError) -> Topic {
        let group = String(name.dropFirst(SystemTopics.retryPrefix.count))
        let count = state.groups[group]?.retryQueueCount ?? 1
        return try makeTopic(
            TopicConfiguration(name: name, readQueueCount: count, writeQueueCount: count, permission: .readWrite))
    }

    func makeTopic(_ topic: TopicConfiguration) throws(BrokerError) -> Topic {
        if !isSystemTopic(topic.name) { try checkRoom(forTopic: topic.name) }
        try change(.topicPut(topic, at: clock.timestamp))
        topicChanged(topic.name)
        guard let made = state.topics[topic.name] else { preconditionFailure("a topic that was put is not there") }
        log.info("created a topic", ["topic": topic.name, "queues": "\(topic.queueCount)"])
        return made
    }

    // MARK: - System topics

    /// One of the system topics that are made with the first message in them: one queue.
    func systemTopic(_ name: String) throws(BrokerError) -> Topic {
        if let topic = state.topics[name] { return topic }
        return try makeTopic(TopicConfiguration(name: name, readQueueCount: 1, writeQueueCount: 1))
    }

    /// Makes the topics that every broker has, where they are missing (remoting reference §1.8).
    func makeSystemTopics() throws(BrokerError) {
        let none = Permission(rawValue: 0)
        var wanted = [
            TopicConfiguration(name: SystemTopics.selfTest, readQueueCount: 1, writeQueueCount: 1),
            TopicConfiguration(name: SystemTopics.benchmark, readQueueCount: 1024, writeQueueCount: 1024),
            TopicConfiguration(
                name: configuration.cluster, readQueueCount: 16, writeQueueCount: 16,
                permission: configuration.isClusterTopicEnabled ? [.inherit, .read, .write] : [.inherit]),
            TopicConfiguration(
                name: configuration.name, readQueueCount: 1, writeQueueCount: 1,
                permission: configuration.isBrokerTopicEnabled ? [.inherit, .read, .write] : [.inherit]),
            TopicConfiguration(name: SystemTopics.offsetMoved, readQueueCount: 1, writeQueueCount: 1),
            TopicConfiguration(name: SystemTopics.schedule, readQueueCount: 18, writeQueueCount: 18),
            TopicConfiguration(
                name: SystemTopics.reply(of: configuration.cluster), readQueueCount: 1, writeQueueCount: 1),
        ]
        if configuration.createsTopics {
            let count = configuration.defaultTopicQueueCount
            wanted.append(
                TopicConfiguration(
                    name: SystemTopics.autoCreate, readQueueCount: count, writeQueueCount: count,
                    permission: [.inherit, .read, .write]))
        }
        if configuration.isTraceTopicEnabled {
            wanted.append(TopicConfiguration(name: SystemTopics.trace, readQueueCount: 1, writeQueueCount: 1))
        }
        for topic in wanted where state.topics[topic.name] == nil && topic.permission != none {
            try change(.topicPut(topic, at: clock.timestamp))
        }
    }
}
