import Base
import BrokerCore
import Bytes
import Model
import RemotingProtocol
import Storage

/// Half messages on the send path, 37 `END_TRANSACTION`, and 39 `CHECK_TRANSACTION_STATE` to producers (remoting reference
/// §1.9).
extension BrokerSession {
    /// Stores a message of a transaction where no consumer sees it (`TRAN_MSG=true`).
    func prepare(
        _ draft: borrowing MessageDraft, for queue: StoredQueue, group: RawSpan
    ) throws(BrokerError) -> MessageStore.Appended {
        guard !broker.configuration.transactions.rejectsHalves else { throw .transactionsForbidden }
        return try broker.prepare(draft, for: queue, group: group)
    }

    /// 37: commit, rollback, or nothing new. Clients send it one-way; who asks is answered when the end of the transaction is
    /// as safe as a message that was sent.
    func endTransaction(_ request: BrokerRequest) throws(Refusal) {
        let span = request.input.bytes
        let fields: EndTransactionFields
        do throws(HeaderError) {
            fields = try EndTransactionFields(header, in: span)
        } catch {
            throw Refusal(error)
        }
        let outcome: TransactionOutcome
        switch fields.commitOrRollback {
        case MessageFlags.transactionCommit: outcome = .commit
        case MessageFlags.transactionRollback: outcome = .rollback
        // The producer does not know yet: it will be asked.
        case 0: return answer(request)
        default:
            throw Refusal(.systemError, "commitOrRollback is 0, 8 or 12, not \(fields.commitOrRollback)")
        }
        let end = try call { () throws(BrokerError) in
            try broker.endTransaction(
                outcome, at: fields.commitLogOffset, queueOffset: fields.tranStateTableOffset,
                group: span.extracting(fields.producerGroup),
                messageID: span.extracting(fields.messageID),
                transactionID: span.extracting(fields.transactionID))
        }
        switch end {
        case .ended(let end):
            guard !header.isOneway else { return }
            acknowledge(end, opaque: header.opaque, header.encoding)
        case .cold:
            let names = ColdHalf(
                group: span.extracting(fields.producerGroup).array(),
                messageID: span.extracting(fields.messageID).array(),
                transactionID: span.extracting(fields.transactionID).array())
            endLater(fields, outcome, names)
        }
    }

    /// 323 `RESUME_CHECK_HALF_MESSAGE`: producers are asked about the message again, from the beginning.
    func resumeChecks(_ request: BrokerRequest) throws(Refusal) {
        let fields: ResumeCheckHalfMessageHeader = try fields(request)
        guard let text = fields.messageID, let id = OffsetMessageID(text) else {
            throw Refusal(
                .systemError, "Exception was thrown when putting message back to RMQ_SYS_TRANS_HALF_TOPIC.")
        }
        try call { () throws(BrokerError) in try broker.resumeChecks(at: id.offset) }
        answer(request, after: broker.store.end)
    }

    /// Parks an answer that says nothing but success until the log's watermark has reached `end`.
    private func acknowledge(_ end: PhysicalOffset, opaque: Int32, _ encoding: HeaderEncoding) {
        let needsFlush = broker.store.configuration.flushMode == .synchronous
        let buffer = needsFlush ? frontend.flushedGate.buffer : frontend.writtenGate.buffer
        let start = buffer.count
        var writer = CommandWriter(buffer, encoding: encoding)
        writer.begin(response: .success, opaque: opaque)
        writer.end()
        let size = buffer.count - start
        if needsFlush {
            let deadline = broker.monotonic.advanced(byMilliseconds: frontend.flushTimeoutMilliseconds)
            frontend.flushedGate.park(size, until: end, session: self, deadline: deadline)
        } else {
            frontend.writtenGate.park(size, until: end, session: self, deadline: broker.monotonic)
        }
    }

    /// What a request says, for the time until the half message has come.
    private struct ColdHalf {
        var group: [UInt8]
        var messageID: [UInt8]
        var transactionID: [UInt8]
    }

    /// The half message must come from the medium first.
    private func endLater(_ fields: EndTransactionFields, _ outcome: TransactionOutcome, _ half: ColdHalf) {
        let requester =
            header.isOneway
            ? nil
            : WaitingRequester(
                session: self, opaque: header.opaque, encoding: header.encoding)
        let broker = broker
        broker.prefetchHalf(at: fields.commitLogOffset) {
            do throws(BrokerError) {
                let end = try broker.endTransaction(
                    outcome, at: fields.commitLogOffset, queueOffset: fields.tranStateTableOffset,
                    group: half.group.span.bytes,
                    messageID: half.messageID.span.bytes, transactionID: half.transactionID.span.bytes,
                    mayWait: true)
                guard case .ended(let end) = end, let requester else { return }
                requester.session?.acknowledge(end, opaque: requester.opaque, requester.encoding)
            } catch {
                guard let session = requester?.session else { return }
                requester?.refuse(session.refusal(error))
            }
        }
    }
}

extension BrokerSession {
    public var isReachable: Bool { output != nil && !isClosed && !isCongested }

    /// 39, one-way: the client answers with 37, from a thread of its own and in its own time.
    public func checkTransaction(_ check: TransactionCheck) {
        write(.json) { writer in
            writer.begin(request: .checkTransactionState, opaque: nextOpaque(), isOneway: true)
            writer.field("commitLogOffset", check.physicalOffset.rawValue)
            writer.field("msgId", check.uniqueKey)
            writer.field("tranStateTableOffset", check.queueOffset.rawValue)
            let position = writer.beginField("offsetMsgId")
            OffsetMessageID(host: broker.configuration.address, offset: check.physicalOffset).append(to: writer.buffer)
            writer.endField(position)
            writer.field("transactionId", check.uniqueKey)
            writer.beginBody()
            writer.buffer.append(check.record.bytes)
            writer.end()
        }
    }
}
