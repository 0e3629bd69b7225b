import Base

/// What a loop knows of the addresses that connect to it: how many connections each has, and whether it sends rubbish.
///
/// An address that keeps sending what is no frame is refused for a while. That costs a broken or hostile peer one refused
/// connection where it would cost the loop a read, a decoding and a line in the log.
final class PeerTable {
    /// An address without its port.
    private struct Address: Hashable {
        var high: UInt64
        var low: UInt64
        init(_ host: HostAddress) {
            high = host.high
            low = host.low
        }
    }

    private struct Peer {
        var connections = 0
        /// TLS handshakes of these connections, those that wait included.
        var handshakes = 0
        /// Rubbish since ``firstStrike``.
        var strikes = 0
        var firstStrike = MonotonicTime(nanoseconds: 0)
        /// Refused until then.
        var penaltyEnd: MonotonicTime?
    }

    private var peers: [Address: Peer] = [:]

    /// So much rubbish within ``strikeMilliseconds`` is too much.
    static let strikesMaximum = 10
    static let strikeMilliseconds: Int64 = 10_000
    /// How long an address is refused then.
    static let penaltyMilliseconds: Int64 = 5_000
    /// Addresses that are remembered without a connection; beyond it, all of them are forgotten.
    static let remembered = 16_384

    /// Addresses that are refused now, or were lately.
    var penalties: Int { peers.values.count { $0.penaltyEnd != nil } }
    var count: Int { peers.count }

    /// Why a new connection from there is refused; nil when it is not.
    func objection(to host: HostAddress, maximum: Int, now: MonotonicTime) -> Listener.Refusal? {
        guard let peer = peers[Address(host)] else { return nil }
        if let end = peer.penaltyEnd, now < end { return .penalty }
        return maximum > 0 && peer.connections >= maximum ? .tooManyFromAddress : nil
    }

    func opened(_ host: HostAddress) { peers[Address(host), default: Peer()].connections += 1 }

    func closed(_ host: HostAddress) {
        let address = Address(host)
        guard var peer = peers[address] else { return }
        peer.connections -= 1
        let isForgotten = peer.connections <= 0 && peer.strikes == 0 && peer.penaltyEnd == nil
        peers[address] = isForgotten ? nil : peer
    }

    // MARK: - Handshakes

    func handshakes(of host: HostAddress) -> Int { peers[Address(host)]?.handshakes ?? 0 }

    /// Called while the connection is open, so that the address is known.
    func handshakeBegan(_ host: HostAddress) { peers[Address(host)]?.handshakes += 1 }
    func handshakeEnded(_ host: HostAddress) { peers[Address(host)]?.handshakes -= 1 }

    // MARK: - Rubbish

    /// The address has sent rubbish.
    /// - Returns: true when it is refused from now on.
    func strike(_ host: HostAddress, now: MonotonicTime) -> Bool {
        var peer = peers[Address(host)] ?? Peer()
        if peer.strikes == 0 || now.milliseconds(since: peer.firstStrike) > Self.strikeMilliseconds {
            peer.strikes = 0
            peer.firstStrike = now
        }
        peer.strikes += 1
        let isTooMuch = peer.strikes >= Self.strikesMaximum && (peer.penaltyEnd.map { $0 <= now } ?? true)
        if isTooMuch {
            peer.penaltyEnd = now.advanced(byMilliseconds: Self.penaltyMilliseconds)
            peer.strikes = 0
        }
        peers[Address(host)] = peer
        return isTooMuch
    }

    /// Forgets addresses without connections whose rubbish is long ago. Called once a second.
    func expire(now: MonotonicTime) {
        guard !peers.isEmpty else { return }
        func isOver(_ peer: Peer) -> Bool {
            now.milliseconds(since: peer.firstStrike) > Self.strikeMilliseconds
                && peer.penaltyEnd.map { $0 <= now } ?? true
        }
        for (address, peer) in peers where (peer.strikes > 0 || peer.penaltyEnd != nil) && isOver(peer) {
            peers[address]?.strikes = 0
            peers[address]?.penaltyEnd = nil
            if peer.connections <= 0 { peers[address] = nil }
        }
        if peers.count > Self.remembered { peers = peers.filter { $0.value.connections > 0 } }
    }
}

extension HostAddress {
    /// Whether it is one of this machine's own: 127.0.0.0/8 or ::1.
    public var isLoopback: Bool { isIPv6 ? high == 0 && low == 1 : ipv4 >> 24 == 127 }
}
