import Base
import Model

/// The quotas of a broker: what the configuration says, and the limits of clients. Those of topics and groups stand with them.
public final class Quotas {
    private(set) var configuration = QuotaConfiguration()
    /// False until anything has a limit; then requests are looked at.
    @exclusivity(unchecked) public private(set) var areActive = false
    private var clients: [ClientAddress: ClientLimits] = [:]
    private var round = 0

    init() {}

    /// What counts as one client: an address without its port.
    private struct ClientAddress: Hashable {
        var high: UInt64
        var low: UInt64
        init(_ host: HostAddress) {
            high = host.high
            low = host.low
        }
    }

    func configure(_ configuration: QuotaConfiguration) { self.configuration = configuration }

    /// The limit for a resolved rate: nil without one, else `limit` with this rate, or a new one.
    func limit(_ rate: TrafficRate, keeping limit: TrafficLimit?) -> TrafficLimit? {
        guard rate != TrafficRate() else { return nil }
        areActive = true
        limit?.set(rate)
        return limit ?? TrafficLimit(rate)
    }

    /// A number for one round of asking again; see ``QuotaRequest/askAgain(round:now:)``.
    func nextRound() -> Int {
        round += 1
        return round
    }

    // MARK: - Clients

    /// What one client address may use, over all its connections.
    public final class ClientLimits {
        public let send: TrafficLimit?
        public let pull: TrafficLimit?
        fileprivate let host: HostAddress
        fileprivate var connections = 0

        fileprivate init(_ host: HostAddress, send: TrafficLimit?, pull: TrafficLimit?) {
            self.host = host
            self.send = send
            self.pull = pull
        }

        fileprivate func isIdle(_ now: MonotonicTime) -> Bool {
            connections == 0 && send?.isIdle(now) ?? true && pull?.isIdle(now) ?? true
        }
    }

    /// Counts a connection of a client.
    /// - Returns: nil when clients have no limits.
    func connected(_ peer: HostAddress) -> ClientLimits? {
        let rates = configuration.client
        guard !rates.isByDefault else { return nil }
        let address = ClientAddress(peer)
        let limits =
            clients[address]
            ?? ClientLimits(
                peer, send: limit(rates.send.resolved(TrafficRate()), keeping: nil),
                pull: limit(rates.pull.resolved(TrafficRate()), keeping: nil))
        limits.connections += 1
        clients[address] = limits
        return limits
    }

    /// A client that comes again finds what it left, until that has been made good.
    func disconnected(_ limits: ClientLimits) { limits.connections -= 1 }

    /// Forgets clients that are gone and owe nothing.
    func expire(now: MonotonicTime) {
        guard !clients.isEmpty else { return }
        clients = clients.filter { !$0.value.isIdle(now) }
    }

    /// Clients that are connected, or were lately.
    var clientCount: Int { clients.count }
}
