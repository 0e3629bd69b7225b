import Base
import BrokerCore
import Model
import RemotingProtocol

/// 208, 317, 300, 303: how far groups are.
extension BrokerSession {
    /// 208 `GET_CONSUME_STATS`.
    func getConsumeStatistics(_ request: BrokerRequest) throws(Refusal) {
        let fields: GetConsumeStatsHeader = try fields(request)
        let only = fields.topic.flatMap { $0.isEmpty ? nil : $0 }
        var statistics = ConsumeStats(offsets: [:])
        for topic in broker.progressTopics(of: fields.consumerGroup, only: only) {
            let count = topic.configuration.readQueueCount
            statistics.offsets.merge(try progress(of: fields.consumerGroup, topic, queueCount: count)) { $1 }
        }
        answer(request, body: statistics)
    }

    /// 317 `GET_BROKER_CONSUME_STATS`.
    func getBrokerConsumeStatistics(_ request: BrokerRequest) throws(Refusal) {
        let fields: GetBrokerConsumeStatsHeader = try fields(request)
        var list = ConsumeStatsList(
            brokerAddress: broker.configuration.address.description, totalDifference: 0, groups: [])
        for group in broker.groups {
            var statistics: [ConsumeStats] = []
            for topic in broker.progressTopics(of: group.name) {
                guard !fields.isOrdered || topic.configuration.isOrdered else { continue }
                let count = topic.configuration.writeQueueCount
                let offsets = try progress(of: group.name, topic, queueCount: count)
                for queue in offsets.values {
                    list.totalDifference += queue.brokerOffset.rawValue - queue.consumerOffset.rawValue
                }
                statistics.append(ConsumeStats(offsets: offsets))
            }
            list.groups.append([group.name: statistics])
        }
        answer(request, body: list)
    }

    private func progress(
        of group: String, _ topic: Topic, queueCount: Int32
    ) throws(Refusal) -> [MessageQueue: ConsumeStats.OffsetWrapper] {
        var offsets: [MessageQueue: ConsumeStats.OffsetWrapper] = [:]
        do throws(BrokerError) {
            for number in 0..<queueCount {
                let queueID = QueueID(number)
                let consumed = broker.consumerOffset(topic.name, group, queueID) ?? .zero
                offsets[messageQueue(topic.name, queueID)] = ConsumeStats.OffsetWrapper(
                    brokerOffset: try broker.status(topic, queueID).maximumOffset, consumerOffset: consumed,
                    lastTimestamp: try storeTimestamp(topic, queueID, before: consumed))
            }
        } catch {
            throw refusal(error)
        }
        return offsets
    }

    /// 300 `QUERY_TOPIC_CONSUME_BY_WHO`.
    func getConsumingGroups(_ request: BrokerRequest) throws(Refusal) {
        let fields: QueryTopicConsumeByWhoHeader = try fields(request)
        answer(request, body: GroupList(groups: broker.groupNames(consuming: fields.topic)))
    }

    /// 303 `QUERY_CONSUME_TIME_SPAN`.
    func getConsumeTimeSpan(_ request: BrokerRequest) throws(Refusal) {
        let fields: QueryConsumeTimeSpanHeader = try fields(request)
        let topic = try topic(named: fields.topic)
        var body = QueryConsumeTimeSpanBody(spans: [])
        do throws(BrokerError) {
            for number in 0..<topic.configuration.writeQueueCount {
                body.spans.append(try timeSpan(topic, QueueID(number), group: fields.group))
            }
        } catch {
            throw refusal(error)
        }
        answer(request, body: body)
    }

    private func timeSpan(
        _ topic: Topic, _ queueID: QueueID, group: String
    ) throws(BrokerError) -> QueryConsumeTimeSpanBody.QueueTimeSpan {
        let status = try broker.status(topic, queueID)
        let minimum = try broker.storeTimestamp(topic, queueID, at: status.minimumOffset)
        let consumed = broker.consumerOffset(topic.name, group, queueID) ?? .zero
        var span = QueryConsumeTimeSpanBody.QueueTimeSpan(
            queue: messageQueue(topic.name, queueID), minimumTimestamp: minimum ?? Timestamp(milliseconds: -1),
            maximumTimestamp: try storeTimestamp(topic, queueID, before: status.maximumOffset),
            consumeTimestamp: minimum ?? Timestamp(milliseconds: -1), delayMilliseconds: 0)
        if consumed > .zero { span.consumeTimestamp = try storeTimestamp(topic, queueID, before: consumed) }
        if consumed < status.maximumOffset,
            let next = try broker.storeTimestamp(topic, queueID, at: max(consumed, status.minimumOffset))
        {
            span.delayMilliseconds = broker.timestamp.milliseconds - next.milliseconds
        }
        return span
    }
}
