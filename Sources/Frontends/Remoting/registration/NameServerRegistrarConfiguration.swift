/// How a broker keeps name servers informed (`BrokerConfig`, remoting reference Appendix C).
public struct NameServerRegistrarConfiguration: Equatable, Sendable {
    public var nameServers: [NameServerEndpoint]
    /// How often the registration is renewed (`registerNameServerPeriod`). Name servers forget a broker after 120 s.
    public var intervalMilliseconds: Int64 = 30_000
    /// How long a name server may take to answer (`registerBrokerTimeoutMills`); then its connection is made anew.
    public var timeoutMilliseconds: Int64 = 6_000
    /// Whether each renewal carries all topics (`forceRegister`). RocketMQ's default is true, because its one-way notices of new
    /// topics can be lost; here every change is acknowledged, so asking whether anything changed is enough.
    public var isForced = false
    /// Whether registrations are always compressed (`compressedRegister`). The compressed layout has no room for the unit
    /// flags of topics.
    public var isCompressed = false
    /// A registration that would be larger than this many bytes is compressed anyway, unless it has unit flags to lose: that
    /// takes a fifth of the time to write, and 10,000 topics take 26 KB instead of 1.9 MB.
    public var plainSizeMaximum = 64 * 1024
    /// One that would be larger than this is compressed even then: a frame holds 16 MiB.
    public var flaggedSizeMaximum = 12 * 1024 * 1024
    /// Waits between attempts to connect begin here, and double.
    public var reconnectMillisecondsMinimum: Int64 = 100
    public var reconnectMillisecondsMaximum: Int64 = 5_000

    public init(nameServers: [NameServerEndpoint]) { self.nameServers = nameServers }
}

/// The host and port of a name server.
public struct NameServerEndpoint: Hashable, Sendable, CustomStringConvertible {
    public var host: String
    public var port: Int

    public init(host: String, port: Int) {
        self.host = host
        self.port = port
    }

    /// `host:port` or `[IPv6 address]:port`; nil for anything else.
    public init?(_ text: String) {
        guard let colon = text.lastIndex(of: ":"), let port = UInt16(text[text.index(after: colon)...]), port > 0
        else { return nil }
        var host = text[..<colon]
        if host.hasPrefix("["), host.hasSuffix("]") { host = host.dropFirst().dropLast() }
        guard !host.isEmpty else { return nil }
        self.init(host: String(host), port: Int(port))
    }

    /// The endpoints of a list joined by semicolons, as `namesrvAddr` holds it; nil when one of them is none.
    public static func list(_ text: String) -> [NameServerEndpoint]? {
        let parts = text.split(separator: ";").map { $0.filter { $0 != " " } }.filter { !$0.isEmpty }
        let endpoints = parts.compactMap { NameServerEndpoint($0) }
        return endpoints.count == parts.count ? endpoints : nil
    }

    public var description: String { host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)" }
}
