import Base
import Bytes
import Model
import RemotingProtocol
import Runtime
import Telemetry

/// Many connections that do nothing, or wait: `apus bench connections`. Tells what each costs the server in memory.
final class ConnectionsLoad {
    /// What each connection does once it is open.
    enum Role: String, CaseIterable, Sendable {
        /// Nothing at all.
        case bare
        /// Says once that it is a producer, as clients do.
        case producers
        /// Pulls once, and is held.
        case pulls
        /// Sends all but the last byte of a frame.
        case pieces
    }

    struct Result: Equatable, Sendable {
        var opened = 0
        var failed = 0
        /// Connections that ended before they were asked to.
        var lost = 0
        var answers = 0
        /// The server's memory in bytes, before and with the connections; nil without its process id.
        var residentBefore: Int64?
        var residentWith: Int64?
    }

    private let loop: EventLoop
    private let host: String
    private let port: Int
    private let role: Role
    private let count: Int
    private let serverPID: Int?
    private let topic: String
    private let holdMilliseconds: Int64
    private let tls: TLSContext?
    private let signer: RequestSigner?
    private var result = Result()
    private var started = 0
    private var isDone = false

    /// Connections that are being opened at a time: fewer than a listener's backlog.
    private static let openingMaximum = 256

    init(
        host: String, port: Int, role: Role, count: Int, topic: String, holdMilliseconds: Int64, serverPID: Int?,
        tls: TLSContext? = nil, credentials: Credentials? = nil
    ) throws(RuntimeError) {
        loop = try EventLoop()
        self.host = host
        self.port = port
        self.role = role
        self.count = count
        self.topic = topic
        self.holdMilliseconds = holdMilliseconds
        self.serverPID = serverPID
        self.tls = tls
        signer = credentials.flatMap { RequestSigner($0) }
    }

    /// Opens all connections, keeps them for the time, and closes them. Takes the calling thread.
    func run() -> Result {
        result.residentBefore = resident
        for _ in 0..<min(Self.openingMaximum, count) { open() }
        loop.run()
        return result
    }

    private var resident: Int64? {
        serverPID.flatMap { ProcessStatistics.of($0)?.residentBytes }
    }

    private func open() {
        guard started < count, !isDone else { return }
        let number = started
        started += 1
        loop.connect(host: host, port: port, timeoutMilliseconds: 30_000, tls: tls) { connection in
            self.result.opened += 1
            self.greet(connection, number)
            self.advance()
            return Handler(self)
        } failed: { _ in
            self.result.failed += 1
            self.advance()
        }
    }

    private func advance() {
        if result.opened + result.failed == count {
            loop.schedule(afterMilliseconds: holdMilliseconds) { self.finish() }
        }
        open()
    }

    private func finish() {
        result.residentWith = resident
        isDone = true
        loop.stop()
    }

    private func greet(_ connection: Connection, _ number: Int) {
        let opaque = Int32(truncatingIfNeeded: number)
        var writer = CommandWriter(connection.output, encoding: .json)
        writer.signer = signer
        switch role {
        case .bare: return
        case .producers:
            writer.begin(request: .heartbeat, opaque: opaque)
            writer.beginBody()
            HeartbeatData(
                clientID: "127.0.0.1@bench\(number)", producerGroups: ["apus_bench_producers"], consumers: []
            ).encode(to: writer.buffer)
        case .pulls:
            writer.begin(request: .pullMessage, opaque: opaque)
            PullMessageHeader.write(
                into: &writer, consumerGroup: "apus_bench_consumers", topic: topic, queueID: QueueID(0),
                queueOffset: .zero, flags: [.suspend, .subscription], commitOffset: .zero,
                suspendTimeoutMilliseconds: 600_000, subscription: "*", subscriptionVersion: 0)
        case .pieces:
            writer.begin(request: .heartbeat, opaque: opaque)
        }
        writer.end()
        if role == .pieces { connection.output.truncate(to: connection.output.count - 1) }
        connection.outputAdded()
    }

    private final class Handler: ConnectionHandler {
        private let load: ConnectionsLoad
        init(_ load: ConnectionsLoad) { self.load = load }

        func received(_ input: ByteBuffer, on connection: Connection) {
            while let frame = try? Frame.next(in: input) {
                load.result.answers += 1
                input.consume(frame.size)
            }
        }
        func drained(_ connection: Connection) {}
        func closed(_ connection: Connection, reason: CloseReason) { if !load.isDone { load.result.lost += 1 } }
    }

    static func table(_ result: Result) -> OutputTable {
        var table = OutputTable([
            "opened", "failed", "lost", "answers", "serverBefore", "serverWith", "bytesEach",
        ])
        var each: OutputTable.Cell = .absent
        if let before = result.residentBefore, let with = result.residentWith, result.opened > 0 {
            each = .integer((with - before) / Int64(result.opened))
        }
        table.append([
            .integer(Int64(result.opened)), .integer(Int64(result.failed)), .integer(Int64(result.lost)),
            .integer(Int64(result.answers)), result.residentBefore.map { .integer($0) } ?? .absent,
            result.residentWith.map { .integer($0) } ?? .absent, each,
        ])
        return table
    }
}
