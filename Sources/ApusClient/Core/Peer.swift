import Base
import Bytes
import RemotingProtocol
import Runtime

/// A server by its address, and the one connection to it. Belongs to the loop's thread.
///
///     idle ──► connecting ──► open
///      ▲           │            │
///      └───────────┴────────────┘   failure: not tried again before `retryAt`
final class Peer: ConnectionHandler {
    enum State {
        case idle
        /// Waits for `retryAt`.
        case backingOff
        case connecting
        case open(Connection)
    }

    let address: String
    var state = State.idle
    /// Failed attempts in a row.
    var failures = 0
    var retryAt = MonotonicTime(nanoseconds: 0)
    /// Why the last attempt failed.
    var lastFailure: ClientError?
    /// Numbers of calls that are not written yet: there is no connection, or it is congested.
    var unwritten: [Int32] = []

    var onAnswer: (ReceivedCommand) -> Void = { _ in }
    var onRequest: (ReceivedCommand, Connection) -> Void = { _, _ in }
    var onDrained: () -> Void = {}
    var onClosed: (CloseReason) -> Void = { _ in }

    private let header = CommandHeader()

    init(_ address: String) { self.address = address }

    /// The connection, if it takes more output now.
    var writable: Connection? {
        guard case .open(let connection) = state, connection.isOpen, !connection.isCongested else { return nil }
        return connection
    }

    func received(_ input: ByteBuffer, on connection: Connection) {
        do {
            while connection.isOpen {
                guard let frame = try Frame.next(in: input) else {
                    return connection.expect(bytes: Frame.sizeNeeded(in: input.bytes))
                }
                try header.decode(frame, in: input)
                let command = ReceivedCommand(header: header, buffer: input, frame: frame)
                if header.isResponse { onAnswer(command) } else { onRequest(command, connection) }
                input.consume(frame.size)
            }
        } catch {
            connection.close("unreadable: \(error)", .abort)
        }
    }

    func drained(_ connection: Connection) { onDrained() }

    func closed(_ connection: Connection, reason: CloseReason) { onClosed(reason) }
}
