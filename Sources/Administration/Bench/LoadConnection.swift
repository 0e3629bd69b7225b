import Base
import Bytes
import RemotingProtocol
import Runtime

/// A connection that makes load: cuts answers out of what arrives, and comes back when it was lost. What it asks, and what it
/// does with answers, is its subclass's.
///
/// Belongs to one event loop.
class LoadConnection: ConnectionHandler {
    let loop: EventLoop
    let host: String
    let port: Int
    private let tls: TLSContext?
    private let encoding: HeaderEncoding
    private let signer: RequestSigner?
    private let options: ConnectionOptions
    private let clock = SystemClock()
    private(set) var connection: Connection?
    /// The header of the answer at hand.
    let header = CommandHeader()
    /// Since when the answers at hand are here, in nanoseconds.
    private(set) var receivedAt: Int64 = 0
    /// Set once the run is over: a lost connection stays lost.
    private(set) var isEnding = false

    /// Between two attempts to come back.
    private static let redialMilliseconds: Int64 = 200

    init(_ loop: EventLoop, host: String, port: Int, workload: Workload) {
        self.loop = loop
        self.host = host
        self.port = port
        tls = workload.tls
        encoding = workload.encoding
        signer = workload.signer
        var options = ConnectionOptions.client
        // Requests wait in their schedule rather than in the output, which so keeps its memory.
        options.outputHighWatermark = 256 * 1024
        options.outputLowWatermark = 64 * 1024
        options.idleSeconds = 0
        self.options = options
    }

    /// Connects, and keeps connecting anew after a connection that was good once.
    /// - Parameter done: called once, with the reason when the server cannot be reached.
    func dial(timeoutMilliseconds: Int64, _ done: @escaping (RuntimeError?) -> Void) {
        loop.connect(
            host: host, port: port, timeoutMilliseconds: timeoutMilliseconds, options: options, tls: tls
        ) { connection in
            guard !self.isEnding else { return nil }
            self.connection = connection
            done(nil)
            self.opened()
            return self
        } failed: { error in
            done(error)
        }
    }

    private func redial() {
        loop.schedule(afterMilliseconds: Self.redialMilliseconds) {
            guard !self.isEnding else { return }
            self.dial(timeoutMilliseconds: 1000) { error in
                if error != nil { self.redial() }
            }
        }
    }

    /// Closes the connection for good, after what it still has to send.
    func end() {
        isEnding = true
        connection?.close("the benchmark is over")
    }

    var now: Int64 { clock.monotonic.nanoseconds }

    /// What writes requests to `connection`, signed if they are to be.
    func writer(to connection: Connection) -> CommandWriter {
        var writer = CommandWriter(connection.output, encoding: encoding)
        writer.signer = signer
        return writer
    }

    // MARK: - For subclasses

    /// A connection is there. Called from within the attempt to connect, so output leaves with this turn.
    func opened() {}
    /// ``header`` holds an answer whose frame lies in `input`.
    func answered(_ frame: Frame, in input: ByteBuffer) {}
    /// All answers that had arrived were seen, or the output has drained.
    func proceed() {}
    /// The connection is gone, and with it every unanswered request.
    func lost() {}

    // MARK: - ConnectionHandler

    final func received(_ input: ByteBuffer, on connection: Connection) {
        receivedAt = now
        var position = 0
        do {
            while let frame = try Frame.next(in: input, from: position) {
                try header.decode(frame, in: input)
                position = frame.range.upperBound
                // Requests of the server, such as 40, concern real clients only.
                if header.isResponse { answered(frame, in: input) }
            }
        } catch {
            connection.close("unreadable answer: \(error)", .abort)
            return
        }
        let needed = Frame.sizeNeeded(in: input.bytes, from: position)
        input.consume(position)
        connection.expect(bytes: needed)
        proceed()
    }

    final func drained(_ connection: Connection) { proceed() }

    final func closed(_ connection: Connection, reason: CloseReason) {
        self.connection = nil
        lost()
        if !isEnding { redial() }
    }
}
