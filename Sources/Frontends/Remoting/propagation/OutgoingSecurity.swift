import RemotingProtocol
import Runtime

/// How a broker approaches other servers. Belongs to the loop; what changes counts from the next connection on.
public final class OutgoingSecurity {
    /// Nil speaks plainly.
    public var tls: TLSContext?
    /// Signs requests; nil signs nothing.
    public var signer: RequestSigner?

    public init(tls: TLSContext? = nil, signer: RequestSigner? = nil) {
        self.tls = tls
        self.signer = signer
    }
}
