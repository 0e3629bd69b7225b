import Base
import BrokerCore
import Bytes
import Model
import RemotingProtocol
import Storage

/// 321 `QUERY_CONSUME_QUEUE`: entries of a consume queue, for `queryCq`.
extension BrokerSession {
    func queryConsumeQueue(_ request: BrokerRequest) throws(Refusal) {
        let fields: QueryConsumeQueueHeader = try fields(request)
        guard let topic = broker.topic(fields.topic), fields.queueID.rawValue >= 0,
            fields.queueID.rawValue < topic.configuration.queueCount
        else { throw Refusal(.systemError, "\(fields.queueID)@\(fields.topic) is not exist!") }
        let status: QueueStatus
        let entries: [ConsumeQueueEntry]
        do throws(BrokerError) {
            status = try broker.status(topic, fields.queueID)
            entries = try broker.entries(
                topic, fields.queueID, from: QueueOffset(fields.index), maximumCount: Int(fields.count))
        } catch {
            throw refusal(error)
        }
        var body = QueryConsumeQueueBody(
            entries: [], maximumOffset: status.maximumOffset, minimumOffset: status.minimumOffset)
        let filter = describeSubscription(fields, in: &body)
        body.entries = entries.map {
            QueryConsumeQueueBody.Entry(
                physicalOffset: $0.physicalOffset, size: $0.size, tagsCode: $0.tagsCode,
                isMatched: filter?.mayMatch($0.tagsCode) ?? false)
        }
        answer(request, body: body)
    }

    /// Fills in what the group wants of the topic.
    /// - Returns: the filter that entries are judged by; nil when no group is named, or it is not online.
    private func describeSubscription(
        _ fields: QueryConsumeQueueHeader, in body: inout QueryConsumeQueueBody
    ) -> MessageFilter? {
        guard let group = fields.consumerGroup else { return nil }
        let topic = Array(fields.topic.utf8)
        guard let active = broker.members.consumerGroup(group)?.subscription(topic: topic.span.bytes) else {
            body.filterData = "\(group)@\(fields.topic) is not online!"
            return nil
        }
        body.subscription = active.subscription
        body.filterData = if case .selector(let program) = active.filter { program.expression } else { "null" }
        return active.filter
    }
}
