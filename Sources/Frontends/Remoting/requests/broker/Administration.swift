import Base
import BrokerCore
import Model
import RemotingProtocol

/// The requests that tools send (remoting reference §1.9, "Topic and group admin"), one leaf each.
extension BrokerSession {
    func administer(_ request: BrokerRequest) throws(Refusal) {
        switch header.requestCode {
        case .resumeCheckHalfMessage: try resumeChecks(request)
        case .updateAndCreateACLConfig: try putAccount(request)
        case .deleteACLConfig: try deleteAccount(request)
        case .updateGlobalWhiteAddressesConfig: try setTrustedAddresses(request)
        case .getBrokerClusterACLInfo: try getAccountsVersion(request)
        case .getBrokerClusterACLConfig: try getAccounts(request)
        case .getTopicStatsInfo: try getTopicStatistics(request)
        case .getSystemTopicListFromBroker: getSystemTopics(request)
        case .getTopicConfig: try getTopicConfiguration(request)
        case .getSubscriptionGroupConfig: try getGroupConfiguration(request)
        case .getConsumerConnectionList: try getConsumerConnections(request)
        case .getProducerConnectionList: try getProducerConnections(request)
        case .getAllProducerInfo: getAllProducers(request)
        case .getConsumeStats: try getConsumeStatistics(request)
        case .getBrokerConsumeStats: try getBrokerConsumeStatistics(request)
        case .queryTopicConsumeByWho: try getConsumingGroups(request)
        case .queryConsumeTimeSpan: try getConsumeTimeSpan(request)
        case .getAllConsumerOffset: getAllConsumerOffsets(request)
        case .getAllDelayOffset: getAllDelayOffsets(request)
        case .queryCorrectionOffset: try getCorrectionOffsets(request)
        case .cloneGroupOffset: try cloneGroupOffsets(request)
        case .invokeBrokerToResetOffset: try resetOffsets(request)
        case .invokeBrokerToGetConsumerStatus: try getConsumerStatus(request)
        case .getConsumerRunningInfo: try getConsumerRunningInformation(request)
        case .consumeMessageDirectly: try consumeMessageDirectly(request)
        case .getBrokerConfig: getBrokerConfiguration(request)
        case .updateBrokerConfig: try updateBrokerConfiguration(request)
        case .getBrokerRuntimeInfo: try getRuntimeInformation(request)
        case .viewBrokerStatsData: try viewStatistics(request)
        case .queryConsumeQueue: try queryConsumeQueue(request)
        case .cleanExpiredConsumeQueue: answer(request)
        case .cleanUnusedTopic: try cleanUnusedTopics(request)
        case .deleteExpiredCommitLog: try deleteExpiredSegments(request)
        default: throw Refusal(.requestCodeNotSupported, " request type \(header.code) not supported")
        }
    }

    /// The topic that a tool asks about.
    func topic(named name: String) throws(Refusal) -> Topic {
        guard let topic = broker.topic(name) else { throw Refusal(.topicNotExist, "topic[\(name)] not exist") }
        return topic
    }

    /// A queue as clients name it.
    func messageQueue(_ topic: String, _ queueID: QueueID) -> MessageQueue {
        MessageQueue(topic: topic, brokerName: broker.configuration.name, queueID: queueID)
    }

    // MARK: - Cleaning

    /// 316 `CLEAN_UNUSED_TOPIC`: removes the queues of topics that are gone. 306 `CLEAN_EXPIRED_CONSUMEQUEUE` has nothing to do
    /// here: entries of messages that are gone are cut off whenever their queue is looked at.
    func cleanUnusedTopics(_ request: BrokerRequest) throws(Refusal) {
        do throws(BrokerError) {
            try broker.removeUnusedQueues()
        } catch {
            throw refusal(error)
        }
        answer(request)
    }

    /// 329 `DELETE_EXPIRED_COMMITLOG`.
    func deleteExpiredSegments(_ request: BrokerRequest) throws(Refusal) {
        do throws(BrokerError) {
            try broker.removeExpiredSegments()
        } catch {
            throw refusal(error)
        }
        answer(request)
    }
}
