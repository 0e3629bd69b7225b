import CLibuv

/// What the operating system refused to an event loop, and for which address.
public struct RuntimeError: Error, Equatable, Sendable, CustomStringConvertible {
    public enum Kind: Equatable, Sendable {
        case addressInUse
        /// Nobody listens at the address.
        case refused
        case timedOut
        /// The host or its network cannot be reached.
        case unreachable
        /// The host's name has no address.
        case nameNotFound
        case permission
        /// EMFILE or ENFILE.
        case tooManyOpenFiles
        /// The loop was stopped before the operation ended.
        case stopped
        /// The TLS handshake failed: a certificate that is not believed, or a peer that does not speak TLS.
        case untrusted
        case other
    }
    public var kind: Kind
    /// What was being done, for instance `listen`.
    public var operation: String
    /// What it was done to, for instance `127.0.0.1:9876`.
    public var subject: String
    /// What libuv says about it.
    public var message: String

    /// - Parameter status: a negative number that libuv returned.
    init(_ status: Int32, operation: String, subject: String = "") {
        kind = Self.kinds[uv_errno_t(rawValue: status)] ?? .other
        self.operation = operation
        self.subject = subject
        message = describe(status)
    }

    /// - Parameter message: why a handshake failed.
    init(untrusted message: String, subject: String) {
        kind = .untrusted
        operation = "connect"
        self.subject = subject
        self.message = message
    }

    public var description: String { "\(operation) \(subject): \(message)" }

    /// How libuv's error numbers are understood; every other one is ``Kind/other``.
    private static let kinds: [uv_errno_t: Kind] = [
        UV_EADDRINUSE: .addressInUse,
        UV_ECONNREFUSED: .refused,
        UV_ETIMEDOUT: .timedOut,
        UV_EHOSTUNREACH: .unreachable,
        UV_ENETUNREACH: .unreachable,
        UV_ENETDOWN: .unreachable,
        UV_EHOSTDOWN: .unreachable,
        UV_EAI_NONAME: .nameNotFound,
        UV_EAI_NODATA: .nameNotFound,
        UV_EAI_AGAIN: .nameNotFound,
        UV_EAI_FAIL: .nameNotFound,
        UV_EACCES: .permission,
        UV_EPERM: .permission,
        UV_EMFILE: .tooManyOpenFiles,
        UV_ENFILE: .tooManyOpenFiles,
        UV_ECANCELED: .stopped,
    ]
}

/// libuv's words for a negative status.
func describe(_ status: Int32) -> String {
    var text = [CChar](repeating: 0, count: 160)
    uv_strerror_r(status, &text, text.count)
    return text.withUnsafeBufferPointer { bytes in
        String(decoding: bytes.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}
