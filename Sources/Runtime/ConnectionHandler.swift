import Base
import Bytes

/// What a connection tells its protocol. All calls come on the loop's thread, never from within a call into the connection.
public protocol ConnectionHandler: AnyObject {
    /// Bytes have arrived. The handler consumes whole frames from the front of `input` and leaves the rest, which comes
    /// again, with more behind it, at the next call. It says with `expect(bytes:)` how long an unfinished frame is.
    ///
    /// It may also leave whole frames while ``Connection/isCongested`` or after ``Connection/pauseReading()``: they come
    /// again when reading resumes. `input` is not to be kept.
    func received(_ input: ByteBuffer, on connection: Connection)
    /// The peer has taken so much output that the connection is no longer congested.
    func drained(_ connection: Connection)
    /// The connection is gone; the last call. Nothing can be sent any more.
    func closed(_ connection: Connection, reason: CloseReason)
}

/// Why a connection ended.
public enum CloseReason: Equatable, Sendable, CustomStringConvertible {
    /// This side closed it, for the reason given.
    case asked(String)
    /// The peer closed it.
    case peerClosed
    /// The connection broke; libuv's words.
    case broken(String)
    /// No traffic for the idle time.
    case idle
    /// The peer did not take its output: more than ``ConnectionOptions/outputMaximum`` were waiting.
    case outputOverflow
    /// The handler left more than ``ConnectionOptions/inputMaximum`` unconsumed, or expects a frame of more.
    case inputOverflow
    /// The peer sent what is no frame of the protocol; the handler's words.
    case malformed(String)
    /// A frame took longer than ``ConnectionOptions/frameSeconds`` to arrive.
    case frameTooSlow
    /// Peers held more memory than ``EventLoop/memoryBudget``.
    case memoryShort
    /// The event loop stopped.
    case loopStopped

    public var description: String {
        switch self {
        case .asked(let reason): reason
        case .peerClosed: "closed by the peer"
        case .broken(let message): message
        case .idle: "no traffic"
        case .outputOverflow: "the peer does not take its output"
        case .inputOverflow: "frame too large"
        case .malformed(let reason): reason
        case .frameTooSlow: "a frame took too long to arrive"
        case .memoryShort: "peers hold too much memory"
        case .loopStopped: "stopped"
        }
    }
}

/// Limits of a connection. Sizes are in bytes.
public struct ConnectionOptions: Equatable, Sendable {
    /// Unsent output above which the connection is congested and, unless ``readsWhileCongested``, reads nothing.
    public var outputHighWatermark = 1024 * 1024
    /// Unsent output down to which a congested connection recovers.
    public var outputLowWatermark = 256 * 1024
    /// Unsent output above which the connection is closed.
    public var outputMaximum = 64 * 1024 * 1024
    /// Most input that may wait for the rest of its frame: the largest frame and what precedes its content.
    public var inputMaximum = Limits.frameSizeMaximum + 1024
    /// Seconds without traffic in either direction after which the connection is closed; 0 means never. Checked once a second.
    public var idleSeconds = Limits.connectionIdleSeconds

    /// Seconds within which a frame that has begun must have arrived; 0 means any time. A peer that sends a byte now and then
    /// is not idle, and holds memory all the same.
    public var frameSeconds = Limits.frameSecondsMaximum

    /// Goes on reading while congested: for the side that asks. If both sides stopped reading while the other does not take
    /// their output, neither would ever start again. Its handler consumes every whole frame, congested or not.
    public var readsWhileCongested = false

    public init() {}

    /// Of connections that this side opens.
    public static var client: ConnectionOptions {
        var options = ConnectionOptions()
        options.readsWhileCongested = true
        return options
    }
}

/// What happens to output that the peer has not yet got when a connection is closed.
public enum CloseMode: Sendable {
    /// It is sent first, for up to ``Connection/lingerSeconds`` without progress.
    case afterFlush
    /// It is lost.
    case abort
}
