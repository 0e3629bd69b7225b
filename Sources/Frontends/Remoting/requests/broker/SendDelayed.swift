import Base
import BrokerCore
import Bytes
import Model
import RemotingProtocol
import Storage

/// Sends whose message is to be delivered later (remoting reference §2.5): by level, or at any time.
extension BrokerSession {
    /// When the properties say that the message is due; nil when they do not ask for a delay.
    func dueTime(of properties: RawSpan) throws(Refusal) -> Timestamp? {
        do throws(MessageDelay.Malformed) {
            return try MessageDelay.due(properties, now: broker.timestamp, broker.configuration.timers)
        } catch {
            switch error {
            case .level(let text):
                throw Refusal(.systemError, "java.lang.NumberFormatException: For input string: \"\(text)\"")
            case .time: throw Self.illegalTime
            }
        }
    }

    /// RocketMQ's words for a time that is none. It has a longest delay there, which we have not.
    private static let illegalTime = Refusal(
        .messageIllegal,
        "timer message illegal, the delay time should not be bigger than the max delay \(Int64.max)ms; or if set del "
            + "msg, the delay time should be bigger than the current time")

    /// Stores one message that waits. The answer tells where it waits, as RocketMQ does, and how it can be recalled.
    func sendDelayed(
        _ request: BrokerRequest, _ fields: SendMessageHeader, to queue: StoredQueue, due: Timestamp, waits: Bool
    ) throws(Refusal) {
        let span = request.input.bytes
        let properties = frontend.properties
        let appended: MessageStore.Appended
        do throws(BrokerError) {
            appended = try broker.append(
                draft(
                    fields, topic: span.extracting(fields.topic), body: span.extracting(request.body),
                    properties: properties.bytes), to: queue, dueAt: due)
        } catch {
            throw refusal(error)
        }
        let handle =
            broker.configuration.timers.allowsRecall && due > broker.timestamp
            ? recallHandle(topic: queue.topic.name, due: due, properties.bytes) : nil
        park(appended.end, waitsForFlush: waits) { writer in
            SendMessageResponseHeader.write(
                into: &writer,
                messageID: OffsetMessageID(host: broker.configuration.address, offset: appended.physicalOffset),
                queueID: queue.queueID, queueOffset: appended.queueOffset)
            writer.field("recallHandle", handle)
        }
    }

    private func recallHandle(topic: String, due: Timestamp, _ properties: RawSpan) -> String? {
        // RocketMQ recalls what has a time, and nothing that has a level.
        guard !topic.hasPrefix(SystemTopics.retryPrefix), !MessageDelay.hasLevel(properties),
            let key = MessageProperties.valueRange(of: "UNIQ_KEY", in: properties)
        else { return nil }
        return RecallHandle(
            topic: topic, brokerName: broker.configuration.name, due: due,
            uniqueKey: properties.extracting(key).string()
        ).text
    }

    // MARK: - Recall

    /// 370 `RECALL_MESSAGE`: takes a delayed message back before it is delivered (remoting reference §1.10).
    func recallMessage(_ request: BrokerRequest) throws(Refusal) {
        let fields: RecallMessageHeader = try fields(request)
        guard broker.configuration.timers.allowsRecall else {
            throw Refusal(.noPermission, "recall failed, operation is forbidden")
        }
        guard broker.configuration.permission.contains(.write) else {
            throw Refusal(.serviceNotAvailable, "recall failed, broker service not available")
        }
        guard broker.topic(fields.topic) != nil else {
            throw Refusal(.topicNotExist, "recall failed, the topic[\(fields.topic)] not exist")
        }
        guard let handle = RecallHandle(fields.recallHandle) else {
            throw Refusal(.illegalOperation, "recall handle is invalid")
        }
        guard handle.topic == fields.topic else {
            throw Refusal(.illegalOperation, "recall failed, topic not match")
        }
        guard handle.brokerName == broker.configuration.name else {
            throw Refusal(.illegalOperation, "recall failed, broker service not available")
        }
        guard handle.due > broker.timestamp else {
            throw Refusal(.illegalOperation, "recall failed, timestamp invalid")
        }
        let topic = Array(handle.topic.utf8)
        let key = Array(handle.uniqueKey.utf8)
        let count: Int
        do throws(BrokerError) {
            count = try broker.recall(topic: topic.span.bytes, uniqueKey: key.span.bytes)
        } catch {
            throw Refusal(.systemError, "recall failed, execute error")
        }
        guard count > 0 else {
            throw Refusal(.illegalOperation, "recall failed, the message does not wait any more")
        }
        park(broker.store.end, waitsForFlush: true) { writer in writer.field("msgId", handle.uniqueKey) }
    }
}
