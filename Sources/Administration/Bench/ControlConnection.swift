import Base
import Bytes
import RemotingProtocol
import Runtime

/// A connection for the few requests that prepare a benchmark: routes, topics, offsets. One continuation per request.
actor ControlConnection {
    nonisolated let loop: EventLoop
    nonisolated var unownedExecutor: UnownedSerialExecutor { loop.asUnownedSerialExecutor() }
    nonisolated let address: String
    private let encoding: HeaderEncoding
    private let timeoutMilliseconds: Int64
    private let tls: TLSContext?
    private let signer: RequestSigner?
    private var connection: Connection?
    private var waiting: [Int32: CheckedContinuation<Answer, any Error>] = [:]
    private var nextOpaque: Int32 = 1

    struct Answer: Sendable {
        var code: ResponseCode
        var remark: String
        var fields: [String: String]
        var body: [UInt8]
    }

    init(
        _ loop: EventLoop, address: String, encoding: HeaderEncoding, timeoutMilliseconds: Int64,
        tls: TLSContext? = nil, credentials: Credentials? = nil
    ) {
        self.loop = loop
        self.address = address
        self.encoding = encoding
        self.timeoutMilliseconds = timeoutMilliseconds
        self.tls = tls
        signer = credentials.flatMap { RequestSigner($0) }
    }

    /// - Throws: ``CommandFailure`` when the address makes no sense or nobody answers there.
    func open() async throws {
        let (host, port) = try Self.parse(address)
        try await withCheckedThrowingContinuation { (opened: CheckedContinuation<Void, any Error>) in
            loop.connect(host: host, port: port, timeoutMilliseconds: timeoutMilliseconds, tls: tls) { connection in
                self.connection = connection
                opened.resume()
                return ControlHandler(self)
            } failed: { error in
                opened.resume(throwing: Self.unreachable(error))
            }
        }
    }

    /// `host:port`, with the host of an IPv6 address in brackets.
    static func parse(_ address: String) throws -> (host: String, port: Int) {
        guard let colon = address.lastIndex(of: ":"), let port = Int(address[address.index(after: colon)...]),
            (1...65_535).contains(port), colon != address.startIndex
        else { throw CommandFailure(.usage, "'\(address)' is no address", advice: "write it as HOST:PORT") }
        var host = String(address[..<colon])
        if host.hasPrefix("["), host.hasSuffix("]") { host = String(host.dropFirst().dropLast()) }
        return (host, port)
    }

    static func unreachable(_ error: RuntimeError) -> CommandFailure {
        CommandFailure(.unreachable, "\(error)", advice: "is the server running, and is the address right?")
    }

    /// Sends a request and waits for its answer, whatever its code.
    func request(
        _ code: RequestCode, body: [UInt8] = [], _ fields: @Sendable (inout CommandWriter) -> Void
    ) async throws -> Answer {
        guard let connection, connection.isOpen else {
            throw CommandFailure(.unreachable, "\(address) closed the connection")
        }
        let opaque = nextOpaque
        nextOpaque += 1
        var writer = CommandWriter(connection.output, encoding: encoding)
        writer.signer = signer
        writer.begin(request: code, opaque: opaque)
        fields(&writer)
        writer.beginBody()
        connection.output.append(body)
        writer.end()
        connection.outputAdded()
        let timer = loop.schedule(afterMilliseconds: timeoutMilliseconds) {
            self.end(opaque, .failure(CommandFailure(.unreachable, "\(self.address) does not answer request \(code)")))
        }
        defer { timer.cancel() }
        return try await withCheckedThrowingContinuation { waiting[opaque] = $0 }
    }

    /// Sends a request that must succeed.
    func demand(
        _ code: RequestCode, body: [UInt8] = [], _ fields: @Sendable (inout CommandWriter) -> Void
    ) async throws -> Answer {
        let answer = try await request(code, body: body, fields)
        guard answer.code == .success else {
            throw CommandFailure(
                .refused, "\(address) answered request \(code) with code \(answer.code): \(answer.remark)")
        }
        return answer
    }

    func close() { connection?.close("done") }

    // MARK: - From the handler

    fileprivate func answered(_ opaque: Int32, _ answer: Answer) { end(opaque, .success(answer)) }

    fileprivate func closed(_ reason: CloseReason) {
        connection = nil
        for opaque in waiting.keys {
            end(opaque, .failure(CommandFailure(.unreachable, "\(address) closed the connection (\(reason))")))
        }
    }

    private func end(_ opaque: Int32, _ result: Result<Answer, any Error>) {
        waiting.removeValue(forKey: opaque)?.resume(with: result)
    }
}

/// Turns bytes into answers for a ``ControlConnection``.
private final class ControlHandler: ConnectionHandler {
    private let owner: ControlConnection
    private let header = CommandHeader()

    init(_ owner: ControlConnection) { self.owner = owner }

    func received(_ input: ByteBuffer, on connection: Connection) {
        do {
            while let frame = try Frame.next(in: input) {
                try header.decode(frame, in: input)
                if header.isResponse { deliver(frame, input.bytes) }
                input.consume(frame.size)
            }
            connection.expect(bytes: Frame.sizeNeeded(in: input.bytes))
        } catch {
            connection.close("unreadable answer: \(error)", .abort)
        }
    }

    private func deliver(_ frame: Frame, _ bytes: RawSpan) {
        var fields: [String: String] = [:]
        for field in header.fields {
            fields[bytes.extracting(field.key).string()] = bytes.extracting(field.value).string()
        }
        let answer = ControlConnection.Answer(
            code: header.responseCode, remark: header.remark.map { bytes.extracting($0).string() } ?? "",
            fields: fields, body: bytes.extracting(frame.body).array())
        let opaque = header.opaque
        owner.assumeIsolated { $0.answered(opaque, answer) }
    }

    func drained(_ connection: Connection) {}

    func closed(_ connection: Connection, reason: CloseReason) {
        owner.assumeIsolated { $0.closed(reason) }
    }
}
