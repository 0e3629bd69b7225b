import COpenSSL

/// Certificates, keys and rules that many connections share: OpenSSL's `SSL_CTX`, never changed after it was made.
///
/// TLS 1.2 and 1.3 only, forward-secret ciphers with authentication only; no compression, no renegotiation, no resumed
/// sessions (so nothing is kept for peers that are gone).
public final class TLSContext: @unchecked Sendable {
    // SAFETY: OpenSSL counts references to a context atomically and locks it where connections change it.
    let pointer: OpaquePointer
    private let checksServerName: Bool
    let isServer: Bool

    /// Ciphers of TLS 1.2 (RFC 9325 §4.2); those of TLS 1.3 are all of this kind.
    private static let ciphers = "ECDHE+AESGCM:ECDHE+CHACHA20"

    private init(isServer: Bool, checksServerName: Bool) throws(TLSError) {
        ERR_clear_error()
        guard let pointer = SSL_CTX_new(isServer ? TLS_server_method() : TLS_client_method()) else {
            throw TLSError(reason("OpenSSL gives no context"))
        }
        self.pointer = pointer
        self.checksServerName = checksServerName
        self.isServer = isServer
        apus_ssl_set_modes(pointer)
        guard apus_ssl_set_minimum(pointer, TLS1_2_VERSION) == 1, SSL_CTX_set_cipher_list(pointer, Self.ciphers) == 1
        else { throw TLSError(reason("OpenSSL does not know TLS 1.2")) }
    }

    deinit { SSL_CTX_free(pointer) }

    /// A server's.
    /// - Throws: what is wrong with which file.
    public convenience init(server configuration: TLSServerConfiguration) throws(TLSError) {
        try self.init(isServer: true, checksServerName: false)
        try show(configuration.certificatePath, configuration.keyPath, configuration.keyPassword)
        switch configuration.clientAuthentication {
        case .none: return
        case .optional: SSL_CTX_set_verify(pointer, SSL_VERIFY_PEER, nil)
        case .require: SSL_CTX_set_verify(pointer, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nil)
        }
        guard let path = configuration.trustPath else {
            throw TLSError("client certificates can be checked only with a file of roots")
        }
        try trust(path)
        // Names of roots, by which clients choose among their certificates; the context owns the list.
        SSL_CTX_set_client_CA_list(pointer, SSL_load_client_CA_file(path))
    }

    /// A client's.
    public convenience init(client configuration: TLSClientConfiguration) throws(TLSError) {
        try self.init(
            isServer: false, checksServerName: configuration.verifiesServer && configuration.checksServerName)
        SSL_CTX_set_verify(pointer, configuration.verifiesServer ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, nil)
        if let path = configuration.trustPath {
            try trust(path)
        } else if configuration.verifiesServer, SSL_CTX_set_default_verify_paths(pointer) != 1 {
            throw TLSError(reason("the system's roots cannot be read"))
        }
        guard let path = configuration.certificatePath else { return }
        try show(path, configuration.keyPath ?? path, configuration.keyPassword)
    }

    private func show(_ certificate: String, _ key: String, _ password: String?) throws(TLSError) {
        ERR_clear_error()
        guard SSL_CTX_use_certificate_chain_file(pointer, certificate) == 1 else {
            throw TLSError("\(certificate) is no usable certificate: \(reason("unknown reason"))")
        }
        guard apus_use_key(pointer, key, password) == 1 else {
            throw TLSError("\(key) is no usable key for \(certificate): \(reason("unknown reason"))")
        }
    }

    private func trust(_ path: String) throws(TLSError) {
        ERR_clear_error()
        guard SSL_CTX_load_verify_locations(pointer, path, nil) == 1 else {
            throw TLSError("\(path) holds no usable certificates: \(reason("unknown reason"))")
        }
    }

    /// Why clients will not accept the certificate today, if that is so.
    public var certificateWarning: String? {
        switch apus_validity(pointer) {
        case ..<0: "the certificate has expired"
        case 1...: "the certificate is not valid yet"
        default: nil
        }
    }

    /// Asks the server at the other end of `ssl` for the certificate of `host`, and checks its name if so configured.
    func expect(_ host: String, of ssl: OpaquePointer) -> Bool {
        let isNumeric = SocketAddress(numeric: host, port: 0) != nil
        if !isNumeric, apus_ssl_set_name(ssl, host) != 1 { return false }
        guard checksServerName else { return true }
        if isNumeric { return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host) == 1 }
        return SSL_set1_host(ssl, host) == 1
    }
}

extension TLSContext: Equatable {
    /// Whether both are one object.
    public static func == (a: TLSContext, b: TLSContext) -> Bool { a === b }
}

/// OpenSSL's words for the oldest error of this thread; forgets them all.
func reason(_ otherwise: String) -> String {
    let code = ERR_get_error()
    ERR_clear_error()
    guard code != 0 else { return otherwise }
    return apus_error_reason(code).map { String(cString: $0) } ?? "error \(code)"
}
