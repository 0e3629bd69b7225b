import Bytes
import COpenSSL

/// One connection's TLS, without input and output: records in, bytes out, and the other way round.
///
/// After every call the records that must go to the peer are in the ``TLSWire`` and have to be taken from there before another
/// filter is called. After an error only ``TLSWire/takeOutput(into:)`` makes sense: it holds the alert for the peer.
final class TLSFilter {
    private let ssl: OpaquePointer
    private let context: TLSContext
    private let wire: TLSWire
    /// The handshake is over: bytes can be sent.
    private(set) var isEstablished = false
    /// The peer was told that nothing follows, or there is nothing left to tell it.
    private(set) var hasSaidGoodbye = false

    /// The largest content of a record (RFC 8446 §5.1).
    static let recordContentMaximum = 16 * 1024

    /// A filter before its handshake.
    /// - Parameter host: whom a client wants to speak to.
    /// - Throws: when there is no memory, or `host` cannot be asked for.
    init(_ context: TLSContext, _ wire: TLSWire, host: String? = nil) throws(TLSError) {
        ERR_clear_error()
        guard let ssl = SSL_new(context.pointer) else { throw TLSError(reason("no memory")) }
        self.ssl = ssl
        self.context = context
        self.wire = wire
        guard let bio = wire.makeBIO() else { throw TLSError(reason("no memory")) }
        SSL_set_bio(ssl, bio, bio)
        if context.isServer { SSL_set_accept_state(ssl) } else { SSL_set_connect_state(ssl) }
        if let host, !context.expect(host, of: ssl) { throw TLSError("\(host) cannot be the name of a server") }
    }

    deinit { SSL_free(ssl) }

    /// A client's first word.
    func begin() throws(TLSError) { _ = try shakeHands() }

    /// Takes records of the peer, and appends what they hold to `content`.
    /// - Returns: false when the peer said that nothing follows.
    func receive(_ records: UnsafeRawBufferPointer, into content: ByteBuffer) throws(TLSError) -> Bool {
        try wire.withInput(records) { () throws(TLSError) in
            if !isEstablished {
                guard try shakeHands() else { return true }
            }
            return try read(into: content)
        }
    }

    /// Encrypts up to `size` bytes from the front of `content`, and consumes them.
    /// - Precondition: the handshake is over.
    func send(_ size: Int, of content: ByteBuffer) throws(TLSError) {
        precondition(isEstablished, "bytes to send before the end of the handshake")
        var left = min(size, content.count)
        while left > 0 {
            ERR_clear_error()
            let part = min(left, Self.recordContentMaximum)
            let result = content.withUnsafeMutableBytes { SSL_write(ssl, $0.baseAddress, Int32(part)) }
            guard result > 0 else { throw failure(result) }
            content.consume(Int(result))
            left -= Int(result)
        }
    }

    /// Tells the peer that nothing follows.
    func sayGoodbye() {
        guard isEstablished, !hasSaidGoodbye else { return }
        hasSaidGoodbye = true
        ERR_clear_error()
        SSL_shutdown(ssl)
        ERR_clear_error()
    }

    /// For instance `TLSv1.3`.
    var version: String { String(cString: SSL_get_version(ssl)) }

    // MARK: - Steps

    /// - Returns: whether the handshake is over.
    private func shakeHands() throws(TLSError) -> Bool {
        ERR_clear_error()
        let result = SSL_do_handshake(ssl)
        if result == 1 {
            isEstablished = true
            return true
        }
        guard SSL_get_error(ssl, result) == SSL_ERROR_WANT_READ else { throw failure(result) }
        return false
    }

    private func read(into content: ByteBuffer) throws(TLSError) -> Bool {
        while true {
            ERR_clear_error()
            var result: Int32 = 0
            content.appendUninitialized(Self.recordContentMaximum) { room in
                result = SSL_read(ssl, room.baseAddress, Int32(room.count))
                return max(0, Int(result))
            }
            if result > 0 { continue }
            switch SSL_get_error(ssl, result) {
            case SSL_ERROR_WANT_READ: return true
            case SSL_ERROR_ZERO_RETURN: return false
            default: throw failure(result)
            }
        }
    }

    private func failure(_ result: Int32) -> TLSError {
        hasSaidGoodbye = true
        let verification = SSL_get_verify_result(ssl)
        guard verification == Int(X509_V_OK) else {
            ERR_clear_error()
            return TLSError(
                "certificate refused: " + String(cString: X509_verify_cert_error_string(verification)))
        }
        return TLSError(reason("protocol error \(SSL_get_error(ssl, result))"))
    }
}
