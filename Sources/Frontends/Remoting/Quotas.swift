import Base
import BrokerCore
import Bytes
import Model
import RemotingProtocol
import Storage

// Quotas slow down first: a send that is over them stays unread in front of its connection's input, and a pull is held as if
// there were no message. Only a send that would have to wait longer than `quotaWaitMillis` is refused, with the code for
// which RocketMQ 4.9's producers try again (remoting reference §1.3).

extension BrokerSession {
    /// Whether the send at hand may pass now. If not, it stays in front of the input.
    @inline(never)
    func passesQuota(_ request: BrokerRequest, _ fields: SendMessageHeader) throws(Refusal) -> Bool {
        if hasQuota {
            hasQuota = false
            return true
        }
        let span = request.input.bytes
        let body = span.extracting(request.body)
        let isBatch = fields.isBatch && header.requestCode == .sendBatchMessage
        let topic = span.extracting(fields.topic)
        var wanted = broker.sendQuota(
            topic: topic, client: clientLimits, messages: isBatch ? Self.messageCount(body) : 1,
            bytes: body.byteCount)
        guard wanted.isLimited else { return true }
        let wait = broker.ask(&wanted)
        guard wait > 0 else { return true }
        // Nobody would hear of a one-way message that is refused.
        guard header.isOneway || wait <= broker.quotaWaitMilliseconds * 1_000_000 else {
            broker.quotaRefused()
            throw refusal(.quotaExceeded(topic.string()))
        }
        waitsForQuota = true
        frontend.holdSend(self, wanted)
        return false
    }

    /// How many messages a batch holds. What is wrong with it is found out later.
    private static func messageCount(_ batch: RawSpan) -> Int {
        var position = 0
        var count = 0
        while let entry = try? MessageBatch.next(in: batch, at: &position), entry.body.upperBound > 0 { count += 1 }
        return max(1, count)
    }

    /// What was held up may pass: the send at the front of the input, or a pull.
    func quotaPassed(pull number: Int?) {
        guard let number else {
            waitsForQuota = false
            hasQuota = true
            return resumeReading()
        }
        guard let pull = heldPulls.removeValue(forKey: number) else { return }
        run(pull, hasQuota: true)
    }

    /// A pull has waited for its quota as long as it may.
    func quotaExpired(pull number: Int) {
        guard let pull = heldPulls.removeValue(forKey: number) else { return }
        answerNothing(pull)
    }

    /// Holds a pull until its quota has something left.
    func holdForQuota(_ pull: HeldPull, _ request: QuotaRequest) {
        guard heldPulls.count < Limits.heldPullsPerConnectionMaximum else { return answerNothing(pull) }
        lastPullNumber &+= 1
        heldPulls[lastPullNumber] = pull
        let deadline = pull.deadline ?? broker.monotonic.advanced(byMilliseconds: broker.quotaWaitMilliseconds)
        frontend.holdPull(self, lastPullNumber, request, until: deadline)
    }
}
