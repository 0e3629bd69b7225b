import Base
import BrokerCore
import Bytes
import Model
import RemotingProtocol

/// 222 `INVOKE_BROKER_TO_RESET_OFFSET`, and 220 to the members of the group, as RocketMQ 4.9 does: the broker computes the
/// offsets, and the members take them over (remoting reference §1.9, "Topic and group admin").
extension BrokerSession {
    func resetOffsets(_ request: BrokerRequest) throws(Refusal) {
        let fields: ResetOffsetHeader = try fields(request)
        guard let topic = broker.topic(fields.topic) else {
            throw Refusal(
                .systemError, "[reset-offset] reset offset failed, no topic in this broker. topic=\(fields.topic)")
        }
        let table = ResetOffsetBody(offsets: try newOffsets(topic, fields))
        let members = broker.members.consumerGroup(fields.group)?.members ?? []
        guard !members.isEmpty else {
            throw Refusal(
                .consumerNotOnline,
                "Consumer not online, so can not reset offset, Group: \(fields.group) Topic: \(fields.topic) "
                    + "Timestamp: \(fields.timestamp)")
        }
        for member in members {
            (member.channel as? BrokerSession)?.sendReset(
                fields, table, language: LanguageCode(name: member.identity.language))
        }
        answerReset(request, table)
    }

    /// The offset of each queue that was stored at the time asked, or the group's own where that would skip messages and
    /// nobody forces it.
    private func newOffsets(
        _ topic: Topic, _ fields: ResetOffsetHeader
    ) throws(Refusal) -> [MessageQueue: QueueOffset] {
        var offsets: [MessageQueue: QueueOffset] = [:]
        let name = Array(topic.name.utf8)
        for number in 0..<topic.configuration.writeQueueCount {
            let queueID = QueueID(number)
            guard let own = broker.consumerOffset(topic.name, fields.group, queueID) else {
                throw Refusal(.systemError, "THe consumer group <\(fields.group)> not exist")
            }
            do throws(BrokerError) {
                let wanted =
                    fields.timestamp == -1
                    ? try broker.status(topic, queueID).maximumOffset
                    : try broker.offset(
                        topic: name.span.bytes, queueID: queueID,
                        storedAtOrAfter: Timestamp(milliseconds: fields.timestamp))
                offsets[messageQueue(topic.name, queueID)] = fields.isForced || wanted < own ? wanted : own
            } catch {
                throw refusal(error)
            }
        }
        return offsets
    }

    /// 220 `RESET_CONSUMER_CLIENT_OFFSET`, one-way. A client in C++ reads a list only, others a map only.
    private func sendReset(_ fields: ResetOffsetHeader, _ table: ResetOffsetBody, language: LanguageCode) {
        write(.json) { writer in
            writer.begin(request: .resetConsumerClientOffset, opaque: nextOpaque(), isOneway: true)
            writer.field("topic", fields.topic)
            writer.field("group", fields.group)
            writer.field("timestamp", fields.timestamp)
            writer.field("isForce", false)
            writer.beginBody()
            Self.write(table, language: language, to: writer.buffer)
            writer.end()
        }
    }

    private func answerReset(_ request: BrokerRequest, _ table: ResetOffsetBody) {
        guard !header.isOneway else { return }
        write(header.encoding) { writer in
            writer.begin(response: .success, to: header)
            writer.beginBody()
            Self.write(table, language: header.language, to: writer.buffer)
            writer.end()
        }
    }

    private static func write(_ table: ResetOffsetBody, language: LanguageCode, to buffer: ByteBuffer) {
        var json = JSONWriter(buffer)
        if language == .cpp { table.writeList(to: &json) } else { table.write(to: &json) }
    }
}
