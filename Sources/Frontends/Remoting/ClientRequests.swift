import Base
import BrokerCore
import Bytes
import RemotingProtocol

/// What a client answered to a request of the broker, while it is handled: positions are in `input`.
struct ClientAnswer {
    let header: CommandHeader
    let input: ByteBuffer
    let body: Range<Int>
}

/// How a request to a client ended.
enum ClientOutcome {
    case answered(ClientAnswer)
    case timedOut
    /// The connection is gone.
    case closed
}

/// The requests of the broker that one client has not answered yet.
struct ClientRequests {
    private struct Waiting {
        var deadline: MonotonicTime
        var completion: (ClientOutcome) -> Void
    }

    /// Requests that may wait for one client; further ones fail at once.
    static let countMaximum = 1_024

    private var waiting: [Int32: Waiting] = [:]

    var isEmpty: Bool { waiting.isEmpty }
    var isFull: Bool { waiting.count >= Self.countMaximum }

    mutating func add(_ opaque: Int32, until deadline: MonotonicTime, _ completion: @escaping (ClientOutcome) -> Void) {
        waiting[opaque] = Waiting(deadline: deadline, completion: completion)
    }

    /// Who waits for the answer with this number; nil when nobody does any more.
    mutating func take(_ opaque: Int32) -> ((ClientOutcome) -> Void)? {
        waiting.removeValue(forKey: opaque)?.completion
    }

    /// Those whose time is up.
    mutating func takeExpired(at now: MonotonicTime) -> [(ClientOutcome) -> Void] {
        let expired = waiting.filter { $0.value.deadline <= now }
        for opaque in expired.keys { waiting[opaque] = nil }
        return expired.values.map(\.completion)
    }

    mutating func takeAll() -> [(ClientOutcome) -> Void] {
        defer { waiting.removeAll() }
        return waiting.values.map(\.completion)
    }
}

/// Whom an answer goes to that is not ready yet.
struct WaitingRequester {
    weak var session: BrokerSession?
    var opaque: Int32
    var encoding: HeaderEncoding

    func refuse(_ refusal: Refusal) {
        session?.write(encoding) { writer in
            writer.begin(response: refusal.code, opaque: opaque, remark: .text(refusal.remark))
            writer.end()
        }
    }
}

extension BrokerSession {
    /// Sends a request to the client and calls back once: with the answer, or when it takes too long, or when the connection
    /// ends. Requests of the broker have JSON headers, whatever the client's (remoting reference §1.2).
    /// - Parameter write: writes the fields, and the body between `beginBody` and the end.
    func ask(
        _ code: RequestCode, timeoutMilliseconds: Int64, _ write: (inout CommandWriter) -> Void,
        _ completion: @escaping (ClientOutcome) -> Void
    ) {
        guard output != nil, !isClosed else { return completion(.closed) }
        guard !clientRequests.isFull else { return completion(.timedOut) }
        let opaque = nextOpaque()
        clientRequests.add(
            opaque, until: broker.monotonic.advanced(byMilliseconds: timeoutMilliseconds), completion)
        frontend.asked(self)
        self.write(.json) { writer in
            writer.begin(request: code, opaque: opaque)
            write(&writer)
            writer.end()
        }
    }

    /// Ends the requests whose time is up.
    /// - Returns: whether any are left.
    func expireClientRequests() -> Bool {
        for completion in clientRequests.takeExpired(at: broker.monotonic) { completion(.timedOut) }
        return !clientRequests.isEmpty
    }

    /// An answer of the client has come.
    func clientAnswered(_ answer: ClientAnswer) {
        clientRequests.take(header.opaque)?(.answered(answer))
    }
}
