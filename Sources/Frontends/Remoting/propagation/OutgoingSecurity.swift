import Runtime

/// How a broker approaches other servers.
public struct OutgoingSecurity: Sendable {
    /// Nil speaks plainly.
    public var tls: TLSContext?

    public init(tls: TLSContext? = nil) {
        self.tls = tls
    }
}
