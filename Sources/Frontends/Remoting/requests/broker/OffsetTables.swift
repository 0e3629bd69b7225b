import Base
import BrokerCore
import Model
import RemotingProtocol

/// 43, 45, 308, 314: the offsets of many groups at once.
extension BrokerSession {
    /// 43 `GET_ALL_CONSUMER_OFFSET`.
    func getAllConsumerOffsets(_ request: BrokerRequest) {
        var table = ConsumerOffsetSerializeWrapper(offsets: [:])
        for entry in broker.allOffsets {
            var queues: [Int32: Int64] = [:]
            for (number, offset) in entry.offsets.enumerated() where offset >= 0 { queues[Int32(number)] = offset }
            table.offsets["\(entry.topic)@\(entry.group)"] = queues
        }
        answer(request, body: table)
    }

    /// 45 `GET_ALL_DELAY_OFFSET`: no delay level has a queue of its own here.
    func getAllDelayOffsets(_ request: BrokerRequest) {
        answer(request, body: DelayOffsetSerializeWrapper(offsets: [:]))
    }

    /// 308 `QUERY_CORRECTION_OFFSET`: the smallest offset of the groups of a topic, or the largest number where the group that
    /// is compared is ahead of all.
    func getCorrectionOffsets(_ request: BrokerRequest) throws(Refusal) {
        let fields: QueryCorrectionOffsetHeader = try fields(request)
        var body = QueryCorrectionOffsetBody(offsets: [:])
        guard let topic = broker.topic(fields.topic) else { return answer(request, body: body) }
        let excluded = Set((fields.filterGroups ?? "").split(separator: ",").map(String.init))
        do throws(BrokerError) {
            body.offsets = try broker.smallestOffsets(topic, excluding: excluded)
        } catch {
            throw refusal(error)
        }
        for (queueID, smallest) in body.offsets {
            guard let own = broker.consumerOffset(topic.name, fields.compareGroup, QueueID(queueID)) else { continue }
            if smallest > own.rawValue { body.offsets[queueID] = .max }
        }
        answer(request, body: body)
    }

    /// 314 `CLONE_GROUP_OFFSET`.
    func cloneGroupOffsets(_ request: BrokerRequest) throws(Refusal) {
        let fields: CloneGroupOffsetHeader = try fields(request)
        let only = fields.topic.flatMap { $0.isEmpty ? nil : $0 }
        let topics =
            fields.isOffline
            ? (only.map { [$0] } ?? broker.topicNames(consumedBy: fields.sourceGroup)).compactMap { broker.topic($0) }
            : broker.progressTopics(of: fields.sourceGroup, only: only)
        let end: PhysicalOffset
        do throws(BrokerError) {
            for topic in topics {
                try broker.cloneOffsets(from: fields.sourceGroup, to: fields.destinationGroup, topic: topic)
            }
            end = try broker.logOffsets()
        } catch {
            throw refusal(error)
        }
        answer(request, after: end)
    }
}
