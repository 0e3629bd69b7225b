import Bytes
import RemotingProtocol
import Runtime
import Synchronization

/// A server that answers by a script, over loopback: a name server, a broker, or neither.
///
/// SAFETY: what belongs to the loop is touched only in closures posted to it; the rest is behind a lock.
final class FakeServer: @unchecked Sendable {
    struct Request: Sendable {
        var code: RequestCode
        var opaque: Int32
        var isOneway: Bool
        var fields: [String: String]
        var body: [UInt8]
        var encoding: HeaderEncoding
    }
    enum Answer: Sendable {
        case reply(ResponseCode = .success, remark: String = "", fields: [String: String] = [:], body: [UInt8] = [])
        case silence
        /// Reads nothing more from the connection, until ``FakeServer/resumeReading()``.
        case deafness
        /// Closes the connection.
        case hangUp
        /// Bytes that are no frame.
        case garbage
    }
    typealias Script = @Sendable (Request) -> Answer

    private let thread: LoopThread
    private let script: Script
    private let received = Mutex<[Request]>([])
    fileprivate let answers = Mutex<[Request]>([])
    fileprivate let accepted = Mutex<Int>(0)
    private var listener: Listener?
    fileprivate var connections: [Connection] = []
    private(set) var port = 0

    /// - Parameter port: 0 takes a free one.
    init(port: Int = 0, _ script: @escaping Script) async throws {
        self.script = script
        thread = try LoopThread(named: "fake")
        self.port = try await withCheckedThrowingContinuation { continuation in
            thread.loop.post { [self] in
                do {
                    let listener = try thread.loop.listen(
                        host: "127.0.0.1", port: port, maximumConnections: 100, options: ConnectionOptions()
                    ) { connection in
                        self.accepted.withLock { $0 += 1 }
                        self.connections.append(connection)
                        return FakeSession(self)
                    }
                    self.listener = listener
                    continuation.resume(returning: listener.port)
                } catch {
                    continuation.resume(throwing: error)
                }
            }
        }
    }

    deinit { thread.stop() }

    var address: String { "127.0.0.1:\(port)" }
    /// Connections so far.
    var acceptedCount: Int { accepted.withLock { $0 } }
    /// Everything that came in.
    var requests: [Request] { received.withLock { $0 } }
    /// What clients answered to requests of this server; `code` is the answer's.
    var responses: [Request] { answers.withLock { $0 } }
    func requests(_ code: RequestCode) -> [Request] { requests.filter { $0.code == code } }

    /// Closes the listener and all connections; the port is free when this returns.
    func stop() { thread.stopAndJoin() }

    /// Closes all connections, and goes on listening.
    func dropConnections() {
        thread.loop.post { [self] in
            for connection in connections { connection.close("dropped", .abort) }
            connections = []
        }
    }

    /// Reads again from every connection.
    func resumeReading() {
        thread.loop.post { [self] in
            for connection in connections where connection.isOpen { connection.resumeReading() }
        }
    }

    /// Sends a request to every client.
    func push(_ code: RequestCode, fields: [String: String], body: [UInt8] = [], isOneway: Bool = true) {
        thread.loop.post { [self] in
            for connection in connections where connection.isOpen {
                var writer = CommandWriter(connection.output, encoding: .json)
                writer.begin(request: code, opaque: 77, isOneway: isOneway)
                for (name, value) in fields { writer.field(name: Array(name.utf8), value: value) }
                writer.beginBody()
                writer.buffer.append(body)
                writer.end()
                connection.outputAdded()
            }
        }
    }

    fileprivate func answer(_ request: Request) -> Answer {
        received.withLock { $0.append(request) }
        return script(request)
    }
}

extension CommandWriter {
    mutating func field(name: [UInt8], value: String) {
        let bytes = Array(value.utf8)
        field(name: name.span.bytes, bytes.span.bytes)
    }
}

private final class FakeSession: ConnectionHandler {
    private let server: FakeServer
    private let header = CommandHeader()

    init(_ server: FakeServer) { self.server = server }

    func received(_ input: ByteBuffer, on connection: Connection) {
        while connection.isOpen, let frame = try? Frame.next(in: input) {
            try? header.decode(frame, in: input)
            var fields: [String: String] = [:]
            for field in header.fields {
                fields[input.bytes.extracting(field.key).string()] = input.bytes.extracting(field.value).string()
            }
            let request = FakeServer.Request(
                code: header.requestCode, opaque: header.opaque, isOneway: header.isOneway, fields: fields,
                body: input.bytes.extracting(frame.body).array(), encoding: header.encoding)
            input.consume(frame.size)
            if header.isResponse {
                server.answers.withLock { $0.append(request) }
                continue
            }
            reply(server.answer(request), to: request, on: connection)
        }
    }

    private func reply(_ answer: FakeServer.Answer, to request: FakeServer.Request, on connection: Connection) {
        switch answer {
        case .silence: break
        case .deafness: connection.pauseReading()
        case .hangUp: connection.close("hung up", .abort)
        case .garbage:
            connection.output.append([0xFF, 0xFF, 0xFF, 0xFF, 1, 2, 3])
            connection.outputAdded()
        case .reply(let code, let remark, let fields, let body):
            guard !request.isOneway else { return }
            var writer = CommandWriter(connection.output, encoding: request.encoding)
            writer.begin(response: code, opaque: request.opaque, remark: .init(remark))
            for (name, value) in fields { writer.field(name: Array(name.utf8), value: value) }
            writer.beginBody()
            writer.buffer.append(body)
            writer.end()
            connection.outputAdded()
        }
    }

    func drained(_ connection: Connection) {}
    func closed(_ connection: Connection, reason: CloseReason) {}
}
