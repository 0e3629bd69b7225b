import Base
import BrokerCore
import Bytes
import Model
import RemotingProtocol
import Storage

/// 36 `CONSUMER_SEND_MSG_BACK`, and what clients send to retry topics themselves (remoting reference §1.9, "Retry and DLQ").
extension BrokerSession {
    func sendBack(_ request: BrokerRequest) throws(Refusal) {
        let fields: ConsumerSendMessageBackHeader = try fields(request)
        let back = SendBackRequest(
            offset: fields.offset, group: fields.group, delayLevel: fields.delayLevel,
            // Clients before 3.4.9 may send something else there.
            retryMaximum: header.version >= Self.version349 ? fields.maxReconsumeTimes : nil, isUnit: fields.isUnit)
        let appended: MessageStore.Appended?
        do throws(BrokerError) {
            appended = try broker.sendBack(back)
        } catch {
            throw sendBackRefusal(error)
        }
        // RocketMQ does not wait for the medium here (`setWaitStoreMsgOK(false)`). But the consumer goes on now: if a power cut took
        // the copy, the message would never come again.
        park(appended?.end ?? broker.store.end, waitsForFlush: true, hasRegion: false) { _ in }
    }

    /// The ordinal of `V3_4_9` in RocketMQ's `MQVersion`.
    static let version349 = 121

    private func sendBackRefusal(_ error: BrokerError) -> Refusal {
        switch error {
        case .groupUnknown(let group):
            Refusal(.subscriptionGroupNotExist, "subscription group not exist, \(group) \n\(Refusal.faq)")
        case .messageTooLarge: Refusal(.systemError, "MESSAGE_ILLEGAL")
        case .refusesMessages, .storage: Refusal(.systemError, "SERVICE_NOT_AVAILABLE")
        default: refusal(error)
        }
    }

    /// Stores a message that is for a retry topic.
    func sendRetry(
        _ request: BrokerRequest, _ fields: SendMessageHeader, to queue: StoredQueue
    ) throws(Refusal) {
        let fate: Broker.RetrySend
        do throws(BrokerError) {
            fate = try broker.retrySend(
                to: queue.topic.name, attempts: fields.reconsumeTimes,
                retryMaximum: header.version >= Self.version349 ? fields.maxReconsumeTimes : nil)
        } catch {
            throw sendBackRefusal(error)
        }
        let span = request.input.bytes
        let rewritten = frontend.properties
        rewritten.removeAll()
        let found = PropertyRewriter.rewrite(
            span.extracting(fields.properties), cluster: frontend.clusterProperty, into: rewritten)
        let due: Timestamp
        switch fate {
        case .asSent: due = try dueTime(of: rewritten.bytes) ?? broker.timestamp
        case .delayed(let milliseconds):
            due = Timestamp(milliseconds: broker.timestamp.milliseconds &+ milliseconds)
        case .dead(let queue):
            let name = Array(queue.topic.name.utf8)
            let draft = draft(
                fields, topic: name.span.bytes, body: span.extracting(request.body), properties: rewritten.bytes)
            let appended: MessageStore.Appended
            do throws(BrokerError) {
                appended = try broker.appendDead(draft, to: queue)
            } catch {
                throw refusal(error)
            }
            return parkSend(appended, queue, found.waits)
        }
        let draft = draft(
            fields, topic: span.extracting(fields.topic), body: span.extracting(request.body),
            properties: rewritten.bytes)
        let appended: MessageStore.Appended
        do throws(BrokerError) {
            appended = try broker.append(draft, to: queue, dueAt: due)
        } catch {
            throw refusal(error)
        }
        parkSend(appended, queue, found.waits)
    }

    private func parkSend(_ appended: MessageStore.Appended, _ queue: StoredQueue, _ waits: Bool) {
        park(appended.end, waitsForFlush: waits) { writer in
            SendMessageResponseHeader.write(
                into: &writer,
                messageID: OffsetMessageID(host: broker.configuration.address, offset: appended.physicalOffset),
                queueID: queue.queueID, queueOffset: appended.queueOffset)
        }
    }
}
