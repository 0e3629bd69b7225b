import Base
import BrokerCore
import Model
import RemotingProtocol

/// 202, 305, 351, 352: topics and groups as tools look at them.
extension BrokerSession {
    /// 202 `GET_TOPIC_STATS_INFO`.
    func getTopicStatistics(_ request: BrokerRequest) throws(Refusal) {
        let fields: GetTopicStatsInfoHeader = try fields(request)
        let topic = try topic(named: fields.topic)
        var table = TopicStatsTable(offsets: [:])
        do throws(BrokerError) {
            for number in 0..<topic.configuration.queueCount {
                let queueID = QueueID(number)
                let status = try broker.status(topic, queueID)
                table.offsets[messageQueue(topic.name, queueID)] = TopicStatsTable.TopicOffset(
                    minimumOffset: status.minimumOffset, maximumOffset: status.maximumOffset,
                    lastUpdateTimestamp: try storeTimestamp(topic, queueID, before: status.maximumOffset))
            }
        } catch {
            throw refusal(error)
        }
        answer(request, body: table)
    }

    /// When the message before `offset` was stored; 0 when it is not there.
    func storeTimestamp(
        _ topic: Topic, _ queueID: QueueID, before offset: QueueOffset
    ) throws(BrokerError) -> Timestamp {
        let none = Timestamp(milliseconds: 0)
        guard offset > .zero else { return none }
        return try broker.storeTimestamp(topic, queueID, at: offset.advanced(by: -1)) ?? none
    }

    /// 305 `GET_SYSTEM_TOPIC_LIST_FROM_BROKER`: names that belong to the broker, whether the topics are there or not.
    func getSystemTopics(_ request: BrokerRequest) {
        let own = [
            broker.configuration.name, broker.configuration.cluster,
            SystemTopics.reply(of: broker.configuration.cluster),
        ]
        let names = Set(SystemTopics.fixed + own).subtracting([SystemTopics.state])
        answer(request, body: TopicList(topics: names.sorted()))
    }

    /// 351 `GET_TOPIC_CONFIG`.
    func getTopicConfiguration(_ request: BrokerRequest) throws(Refusal) {
        let fields: GetTopicConfigHeader = try fields(request)
        guard let topic = broker.topic(fields.topic) else {
            throw Refusal(.topicNotExist, "No topic in this broker. topic: \(fields.topic)")
        }
        answer(request, body: topic.configuration)
    }

    /// 352 `GET_SUBSCRIPTIONGROUP_CONFIG`.
    func getGroupConfiguration(_ request: BrokerRequest) throws(Refusal) {
        let fields: GetSubscriptionGroupConfigHeader = try fields(request)
        guard let group = broker.group(fields.group) else {
            throw Refusal(.subscriptionGroupNotExist, "No group in this broker. group: \(fields.group)")
        }
        answer(request, body: group)
    }
}
