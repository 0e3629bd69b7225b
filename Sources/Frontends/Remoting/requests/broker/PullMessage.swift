import Base
import BrokerCore
import Bytes
import Model
import RemotingProtocol
import Storage

/// A pull that is not answered yet: everything that is needed to run it again.
struct HeldPull {
    var queue: StoredQueue
    var offset: QueueOffset
    var maximumCount: Int
    var filter: MessageFilter
    var opaque: Int32
    var encoding: HeaderEncoding
    /// Until when it may be held; nil when it may not.
    var deadline: MonotonicTime?
    /// What waits in the broker while it is held for messages; nil while it waits for the medium.
    var fetch: HeldFetch?
    /// What it asks of its quotas; nil without any.
    var quota: QuotaRequest?
}

/// 11 `PULL_MESSAGE`, 361 `LITE_PULL_MESSAGE` (remoting reference §1.9): the hot path of consumers.
extension BrokerSession {
    func pullMessage(_ request: BrokerRequest) throws(Refusal) {
        let input = request.input
        let span = input.bytes
        let fields: PullMessageHeader
        do throws(HeaderError) {
            fields = try PullMessageHeader(header, in: span)
        } catch {
            throw Refusal(error)
        }
        let topic = span.extracting(fields.topic)
        let group = span.extracting(fields.consumerGroup)
        let queue: StoredQueue
        let filter: MessageFilter
        do throws(BrokerError) {
            queue = try broker.queue(forPulling: topic, queueID: fields.queueID, group: group)
            filter = try self.filter(fields, in: span)
            if fields.flags.contains(.commitOffset), fields.commitOffset.rawValue >= 0 {
                try broker.commitOffset(
                    topic: topic, group: group, queueID: fields.queueID, offset: fields.commitOffset)
            }
        } catch {
            throw refusal(error)
        }
        guard !header.isOneway else { return }
        var pull = HeldPull(
            queue: queue, offset: fields.queueOffset, maximumCount: Int(fields.maxMessageCount), filter: filter,
            opaque: header.opaque, encoding: header.encoding)
        if fields.flags.contains(.suspend), broker.configuration.isLongPollingEnabled {
            let milliseconds = max(0, min(fields.suspendTimeoutMilliseconds, Limits.pullHoldMillisecondsMaximum))
            pull.deadline = broker.monotonic.advanced(byMilliseconds: milliseconds)
        }
        if broker.hasQuotas {
            let quota = broker.pullQuota(topic: topic, group: group, client: clientLimits)
            if quota.isLimited { pull.quota = quota }
        }
        run(pull)
    }

    /// Which messages the pull wants: what its header says, or what the group's heartbeats said.
    private func filter(_ fields: PullMessageHeader, in span: RawSpan) throws(BrokerError) -> MessageFilter {
        guard fields.flags.contains(.subscription) else {
            return try broker.subscriptionFilter(
                topic: span.extracting(fields.topic), group: span.extracting(fields.consumerGroup),
                version: fields.subscriptionVersion)
        }
        let type = span.extracting(fields.expressionType ?? 0..<0)
        guard let expression = fields.subscription else {
            // RocketMQ has no words for an SQL92 filter without an expression; without a type everything is wanted.
            if type.isEmpty || type.equals("TAG") { return .all }
            throw .subscriptionUnparsable(nil)
        }
        return try broker.filter(expression: span.extracting(expression), type: type)
    }

    // MARK: - Run, hold, run again

    /// Fetches, and answers with what there is, or holds the pull.
    func run(_ pull: HeldPull, mayWait: Bool = false, hasQuota: Bool = false) {
        var maximumCount = pull.maximumCount
        var maximumSize = Int.max
        if var quota = pull.quota {
            guard hasQuota || broker.ask(&quota) == 0 else { return holdForQuota(pull, quota) }
            let allowance = broker.allowance(quota)
            maximumCount = min(maximumCount, allowance.messages)
            maximumSize = allowance.bytes
        }
        let records = frontend.records
        records.removeAll()
        let result: FetchResult
        do throws(BrokerError) {
            result = try broker.fetch(
                pull.queue, from: pull.offset, maximumCount: maximumCount, maximumSize: maximumSize,
                filter: pull.filter,
                mayWait: mayWait, into: records)
        } catch {
            return answer(pull, refusal(error))
        }
        if let quota = pull.quota {
            broker.charge(quota, messages: result.messageCount, bytes: result.byteCount)
        }
        switch result.status {
        case .cold: waitForMedium(pull, result)
        case .offsetOverflowOne: hold(pull, result)
        case .noMessageInQueue where pull.offset == .zero: hold(pull, result)
        default: answer(pull, result)
        }
    }

    private func hold(_ pull: HeldPull, _ result: FetchResult) {
        guard let deadline = pull.deadline, deadline > broker.monotonic,
            heldPulls.count < Limits.heldPullsPerConnectionMaximum
        else { return answer(pull, result) }
        guard broker.mayHold else {
            // Clients wait a little after this code, where they would ask again at once after 19.
            return answer(pull, Refusal(.flowControl, "system busy: too many pulls are held"))
        }
        lastPullNumber &+= 1
        var pull = pull
        pull.fetch = broker.hold(
            pull.queue, filter: pull.filter, from: pull.offset, until: deadline, waiter: self, token: lastPullNumber)
        heldPulls[lastPullNumber] = pull
        frontend.startTicking()
    }

    private func waitForMedium(_ pull: HeldPull, _ result: FetchResult) {
        lastPullNumber &+= 1
        let number = lastPullNumber
        heldPulls[number] = pull
        broker.prefetch(result) {
            guard let pull = self.heldPulls.removeValue(forKey: number) else { return }
            self.run(pull, mayWait: true)
        }
    }

    // MARK: - Answers

    private func answer(_ pull: HeldPull, _ refusal: Refusal) {
        frontend.countRefusal(refusal.code.rawValue)
        write(pull.encoding) { writer in
            writer.begin(response: refusal.code, opaque: pull.opaque, remark: .text(refusal.remark))
            writer.end()
        }
    }

    /// Answers with the records that `frontend.records` holds.
    private func answer(_ pull: HeldPull, _ result: FetchResult) {
        write(pull.encoding) { writer in
            writer.begin(
                response: Self.code(result.status, at: pull.offset), opaque: pull.opaque,
                remark: .literal(Self.name(result.status)))
            writer.field("suggestWhichBrokerId", Int64(0))
            writer.field("nextBeginOffset", result.nextOffset.rawValue)
            writer.field("minOffset", result.minimumOffset.rawValue)
            writer.field("maxOffset", result.maximumOffset.rawValue)
            if result.messageCount > 0 {
                writer.beginBody()
                let records = frontend.records
                writer.buffer.append(records.bytes)
            }
            writer.end()
        }
    }

    /// Answers as if the queue held nothing more: the client pulls again.
    func answerNothing(_ pull: HeldPull) {
        frontend.records.removeAll()
        let minimum = (try? broker.store.minimumOffset(of: pull.queue)) ?? .zero
        var result = FetchResult(
            nextOffset: pull.offset, minimumOffset: minimum, maximumOffset: pull.queue.maximumOffset)
        result.status = .offsetOverflowOne
        answer(pull, result)
    }

    /// The table of remoting reference §1.9, "Pull".
    static func code(_ status: FetchStatus, at offset: QueueOffset) -> ResponseCode {
        switch status {
        case .found: .success
        case .noMatchedMessage, .messageWasRemoving: .pullRetryImmediately
        case .noMessageInQueue: offset == .zero ? .pullNotFound : .pullOffsetMoved
        case .offsetTooSmall, .offsetOverflowBadly: .pullOffsetMoved
        case .offsetOverflowOne: .pullNotFound
        case .cold: preconditionFailure("a cold fetch is not answered")
        }
    }

    static func name(_ status: FetchStatus) -> StaticString {
        switch status {
        case .found: "FOUND"
        case .noMatchedMessage: "NO_MATCHED_MESSAGE"
        case .messageWasRemoving: "MESSAGE_WAS_REMOVING"
        case .noMessageInQueue: "NO_MESSAGE_IN_QUEUE"
        case .offsetTooSmall: "OFFSET_TOO_SMALL"
        case .offsetOverflowOne: "OFFSET_OVERFLOW_ONE"
        case .offsetOverflowBadly: "OFFSET_OVERFLOW_BADLY"
        case .cold: "COLD"
        }
    }
}

// MARK: - Waking

extension BrokerSession: FetchWaiter {
    public func wake(_ fetch: HeldFetch, isExpired: Bool) {
        guard var pull = heldPulls.removeValue(forKey: fetch.token) else { return }
        pull.fetch = nil
        if isExpired { pull.deadline = nil }
        // What came before the message that woke it does not pass: it is not looked at again.
        if let found = fetch.found { pull.offset = max(pull.offset, found) }
        run(pull)
    }
}
