import Base
import Bytes
import Model

extension Broker {
    /// False until anything has a quota. Ask this first: it is all that a request costs then.
    @inline(__always)
    public var hasQuotas: Bool { state.quotas.areActive }
    /// How long a send may wait for its quota, in ms; see ``QuotaConfiguration/waitMilliseconds``.
    public var quotaWaitMilliseconds: Int64 { state.quotas.configuration.waitMilliseconds }

    /// Counts a connection of a client. Nil when clients have no limits; else give it back with ``quotaDisconnected(_:)``.
    public func quotaConnected(_ peer: HostAddress) -> Quotas.ClientLimits? { state.quotas.connected(peer) }
    public func quotaDisconnected(_ limits: Quotas.ClientLimits) { state.quotas.disconnected(limits) }

    // MARK: - Requests

    /// What a send to the topic asks for.
    public func sendQuota(
        topic: RawSpan, client: Quotas.ClientLimits?, messages: Int, bytes: Int
    ) -> QuotaRequest {
        QuotaRequest(topic: state.topics[topic]?.sendLimit, client: client?.send, messages: messages, bytes: bytes)
    }

    /// What a pull asks for: that anything is left of the topic's, the group's and the client's share.
    public func pullQuota(topic: RawSpan, group: RawSpan, client: Quotas.ClientLimits?) -> QuotaRequest {
        QuotaRequest(
            topic: state.topics[topic]?.pullLimit, group: state.groups.pullLimit(group), client: client?.pull,
            messages: 1, bytes: 1, takes: false)
    }

    /// Asks to pass; see ``QuotaRequest/ask(now:)``.
    public func ask(_ request: inout QuotaRequest) -> Int64 {
        let wait = request.ask(now: clock.monotonic)
        if wait > 0 { metrics.quotaWaits += 1 }
        return wait
    }

    /// Begins to ask again for all that wait, the oldest first.
    /// - Returns: the round's number, for ``askAgain(_:round:)``.
    public func beginQuotaRound() -> Int { state.quotas.nextRound() }

    /// Asks again; see ``QuotaRequest/askAgain(round:now:)``.
    public func askAgain(_ request: inout QuotaRequest, round: Int) -> Bool {
        request.askAgain(round: round, now: clock.monotonic)
    }

    /// How many messages and bytes a pull that has passed may bring.
    public func allowance(_ request: QuotaRequest) -> (messages: Int, bytes: Int) {
        let (messages, bytes) = request.available(clock.monotonic)
        return (Int(max(1, messages)), Int(max(1, bytes)))
    }

    /// Counts what a pull has brought.
    public func charge(_ request: QuotaRequest, messages: Int, bytes: Int) {
        guard messages > 0 else { return }
        request.take(messages: Int64(messages), bytes: Int64(bytes), now: clock.monotonic)
    }

    /// Counts a send that was refused because it would have had to wait too long.
    public func quotaRefused() { metrics.quotaRefusals += 1 }
}
