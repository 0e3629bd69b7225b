import Base
import Model

/// Records that wait in system queues: see ``PendingID``.
extension Broker {
    /// Notes that these records wait no longer, although no message came of them. Durable with the turn.
    func settle(_ pending: [PendingID]) throws(BrokerError) {
        guard !pending.isEmpty else { return }
        try change(.settled(pending))
    }
}
