import Base
import BrokerCore
import Model
import RemotingProtocol

/// 17, 21, 215: the topics of a broker.
extension BrokerSession {
    func putTopic(_ request: BrokerRequest) throws(Refusal) {
        let fields: CreateTopicHeader = try fields(request)
        var topic = TopicConfiguration(
            name: fields.topic, readQueueCount: fields.readQueueCount, writeQueueCount: fields.writeQueueCount,
            permission: fields.permission)
        topic.systemFlag = fields.systemFlag ?? 0
        topic.isOrdered = fields.isOrdered
        topic.filterType = TopicFilterType(rawValue: fields.topicFilterType) ?? .singleTag
        // Tools that know nothing of quotas leave them as they are.
        topic.quota = broker.topic(topic.name)?.configuration.quota ?? .byDefault
        if let attributes = fields.attributes, let unknown = topic.quota.apply(attributes: attributes) {
            throw Refusal(.systemError, "the attribute [\(unknown)] is unknown or has an illegal value")
        }
        do throws(BrokerError) {
            try broker.putTopic(topic)
        } catch {
            throw administrationRefusal(error)
        }
        answer(request)
    }

    func deleteTopic(_ request: BrokerRequest) throws(Refusal) {
        let fields: DeleteTopicHeader = try fields(request)
        do throws(BrokerError) {
            try broker.removeTopic(fields.topic)
        } catch {
            throw administrationRefusal(error)
        }
        answer(request)
    }

    /// A system topic is refused with other words here than when somebody sends to it.
    private func administrationRefusal(_ error: BrokerError) -> Refusal {
        if case .topicIsSystem(let topic) = error {
            return Refusal(.systemError, "The topic[\(topic)] is conflict with system topic.")
        }
        return refusal(error)
    }

    func getAllTopics(_ request: BrokerRequest) {
        answer(
            request,
            body: TopicConfigSerializeWrapper(
                dataVersion: broker.topicVersion, topics: broker.topics.map(\.configuration)))
    }
}
