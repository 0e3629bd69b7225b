import Base
import BrokerCore
import Bytes
import Model
import RemotingProtocol
import Storage
import Telemetry

/// 324 `SEND_REPLY_MESSAGE`, 325 `SEND_REPLY_MESSAGE_V2`: the answer to a request message, passed on to the client that asked
/// (remoting reference §1.11).
///
///     replier ──325──▶ broker ──326──▶ requester
///             ◀──0/1──        ◀──0────
extension BrokerSession {
    func sendReply(_ request: BrokerRequest) throws(Refusal) {
        let input = request.input
        let span = input.bytes
        let fields = try sendFields(span)
        let properties = span.extracting(fields.properties)
        let requester = MessageProperties.valueRange(of: "REPLY_TO_CLIENT", in: properties).map {
            properties.extracting($0).string()
        }
        let receipt = try storeReply(request, fields)
        guard let requester else {
            throw Refusal(.systemError, "reply message properties[\(PropertyName.replyToClient)] is null")
        }
        guard let client = broker.members.producer(clientID: requester) as? BrokerSession else {
            throw Refusal(.systemError, "push reply message fail, channel of <\(requester)> not found.")
        }
        let replier =
            header.isOneway ? nil : WaitingRequester(session: self, opaque: header.opaque, encoding: header.encoding)
        let header = pushHeader(fields, in: span)
        let log = frontend.log
        client.ask(.pushReplyMessageToClient, timeoutMilliseconds: Self.relayTimeoutMilliseconds) { writer in
            header.write(into: &writer)
            writer.beginBody()
            writer.buffer.append(input.bytes.extracting(request.body))
        } _: { outcome in
            if case .answered(let answer) = outcome, answer.header.responseCode == .success {
                replier?.acknowledge(receipt)
            } else {
                log.info("a reply did not reach its requester", ["client": requester])
                replier?.refuseSend(Refusal(.systemError, "push reply message to \(requester)fail."))
            }
        }
    }

    /// Every check that a send has, and the reply in its topic when replies are stored.
    /// - Returns: what the replier is told when the requester has its reply.
    private func storeReply(_ request: BrokerRequest, _ fields: SendMessageHeader) throws(Refusal) -> ReplyReceipt {
        let span = request.input.bytes
        var target = SendRequest(
            topic: span.extracting(fields.topic), defaultTopic: span.extracting(fields.defaultTopic), peer: peer)
        target.defaultQueueCount = fields.defaultTopicQueueCount
        target.queueID = fields.queueID
        let queue: StoredQueue
        do throws(BrokerError) {
            queue = try broker.queue(for: target)
        } catch {
            throw refusal(error)
        }
        var receipt = ReplyReceipt(queueID: queue.queueID)
        guard broker.configuration.storesReplies else { return receipt }
        do throws(BrokerError) {
            let appended = try broker.append(
                draft(
                    fields, topic: span.extracting(fields.topic), body: span.extracting(request.body),
                    properties: span.extracting(fields.properties)), to: queue)
            receipt.messageID = OffsetMessageID(host: broker.configuration.address, offset: appended.physicalOffset)
            receipt.queueOffset = appended.queueOffset
        } catch .messageTooLarge(let maximum) {
            throw refusal(.messageTooLarge(bodyMaximum: maximum))
        } catch {
            // The requester waits for its reply, not for the copy.
            frontend.log.warning("a reply is passed on, but not stored", ["error": "\(error)"])
        }
        return receipt
    }

    private func pushHeader(_ fields: SendMessageHeader, in span: RawSpan) -> ReplyMessageHeader {
        let now = broker.timestamp
        var properties = span.extracting(fields.properties).string()
        if !properties.isEmpty, !properties.hasSuffix("\u{2}") { properties += "\u{2}" }
        properties += "\(PropertyName.pushReplyTime)\u{1}\(now.milliseconds)"
        return ReplyMessageHeader(
            producerGroup: span.extracting(fields.producerGroup).string(),
            topic: span.extracting(fields.topic).string(),
            defaultTopic: span.extracting(fields.defaultTopic).string(),
            defaultTopicQueueCount: fields.defaultTopicQueueCount, queueID: fields.queueID, flags: fields.flags,
            bornTimestamp: fields.bornTimestamp, flag: fields.flag, properties: properties,
            reconsumeTimes: fields.reconsumeTimes, isUnit: fields.isUnit, bornHost: peer.description,
            storeHost: broker.configuration.address.description, storeTimestamp: now)
    }
}

/// What a replier is told of the stored copy.
private struct ReplyReceipt {
    var queueID: QueueID
    /// Nil when it was not stored: then clients are told `0`, for they must decode something.
    var messageID: OffsetMessageID?
    var queueOffset = QueueOffset.zero

    init(queueID: QueueID) { self.queueID = queueID }
}

extension WaitingRequester {
    fileprivate func acknowledge(_ receipt: ReplyReceipt) {
        session?.write(encoding) { writer in
            writer.begin(response: .success, opaque: opaque)
            if let messageID = receipt.messageID {
                SendMessageResponseHeader.write(
                    into: &writer, messageID: messageID, queueID: receipt.queueID, queueOffset: receipt.queueOffset)
            } else {
                writer.field("queueId", receipt.queueID.rawValue)
                writer.field("msgId", literal: "0")
                writer.field("queueOffset", Int64(0))
            }
            BrokerSession.writeRegion(into: &writer)
            writer.end()
        }
    }

    /// Refuses a send: with the fields that every answer to a send has.
    fileprivate func refuseSend(_ refusal: Refusal) {
        session?.write(encoding) { writer in
            writer.begin(response: refusal.code, opaque: opaque, remark: .text(refusal.remark))
            BrokerSession.writeRegion(into: &writer)
            writer.end()
        }
    }
}
