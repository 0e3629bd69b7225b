import Base
import BrokerCore
import Runtime

/// Requests that wait until their quota lets them pass, in the order in which they came. Asked every
/// ``BrokerFrontend/tickMilliseconds``.
struct QuotaQueue {
    struct Waiting {
        var request: QuotaRequest
        var session: BrokerSession
        /// The number of a pull; nil for a send, whose connection is not read from meanwhile.
        var pullNumber: Int?
        /// When a pull is answered all the same, with nothing.
        var deadline: MonotonicTime
    }

    private var row: ContiguousArray<Waiting> = []

    var isEmpty: Bool { row.isEmpty }
    var count: Int { row.count }

    mutating func append(_ waiting: Waiting) {
        waiting.request.enqueue()
        row.append(waiting)
    }

    /// Empties the queue, to ask for each and put back those that still wait.
    mutating func takeAll() -> ContiguousArray<Waiting> {
        let all = row
        row = []
        return all
    }

    /// Puts back what was taken, in front of what came meanwhile.
    mutating func putBack(_ waiting: ContiguousArray<Waiting>) { row = waiting + row }
}

extension BrokerFrontend {
    /// Reads nothing more from a producer until its message may pass.
    func holdSend(_ session: BrokerSession, _ request: QuotaRequest) {
        quotaQueue.append(
            QuotaQueue.Waiting(
                request: request, session: session, pullNumber: nil,
                deadline: MonotonicTime(nanoseconds: .max)))
        startTicking()
    }

    func holdPull(_ session: BrokerSession, _ number: Int, _ request: QuotaRequest, until deadline: MonotonicTime) {
        quotaQueue.append(
            QuotaQueue.Waiting(request: request, session: session, pullNumber: number, deadline: deadline))
        startTicking()
    }

    /// Lets those pass whose quota allows it by now, the oldest first.
    func askQuotasAgain() {
        guard !quotaQueue.isEmpty else { return }
        let round = broker.beginQuotaRound()
        let now = broker.monotonic
        var left: ContiguousArray<QuotaQueue.Waiting> = []
        for var waiting in quotaQueue.takeAll() {
            if waiting.session.isClosed {
                waiting.request.dequeue()
            } else if broker.askAgain(&waiting.request, round: round) {
                waiting.session.quotaPassed(pull: waiting.pullNumber)
            } else if waiting.deadline <= now {
                waiting.request.dequeue()
                if let number = waiting.pullNumber { waiting.session.quotaExpired(pull: number) }
            } else {
                left.append(waiting)
            }
        }
        quotaQueue.putBack(left)
    }
}
