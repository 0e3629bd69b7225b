import Base
import BrokerCore
import Bytes
import Model
import RemotingProtocol
import Runtime
import Storage
import Telemetry

/// One connection's conversation with a broker: frames in, calls on `Broker`, frames out.
///
/// ``next(_:)`` does no input and no output, so tests and simulations can drive it with bytes; as a `ConnectionHandler` the
/// same session serves a socket. Answers are appended to ``output`` at once, or parked at a ``ReplyGate``, or when a pull is
/// held. One file per request, or small family, is in `requests/broker/`.
public final class BrokerSession {
    let frontend: BrokerFrontend
    public let peer: HostAddress
    /// Nil once it is closed. Not weak: a weak reference would put every retain of the connection on the slow path.
    @exclusivity(unchecked) private var connection: Connection?
    private let ownOutput: ByteBuffer?
    /// Pulls that wait for messages or for the medium, by a number of their own.
    @exclusivity(unchecked) var heldPulls: [Int: HeldPull] = [:]
    var lastPullNumber = 0
    /// What the client says of itself with each frame.
    var identity = ClientIdentity(clientID: "", language: "", version: 0)
    private var lastOpaque: Int32 = 0
    /// What the broker asked the client.
    var clientRequests = ClientRequests()
    /// Whether it has said that it is in any group.
    var isMember = false
    private(set) var isClosed = false
    /// What its client address may use; nil without a limit.
    let clientLimits: Quotas.ClientLimits?
    /// Whether the send at the front of the input waits for its quota, and whether it has got it.
    @exclusivity(unchecked) var waitsForQuota = false
    @exclusivity(unchecked) var hasQuota = false
    /// Whether requests must be authorized before they are handled.
    private let isGuarded: Bool
    /// The session wants its connection closed at once. Who drives it with bytes looks here.
    public private(set) var isAborted = false

    init(_ frontend: BrokerFrontend, peer: HostAddress, connection: Connection) {
        clientLimits = frontend.broker.quotaConnected(peer)
        self.frontend = frontend
        self.peer = peer
        isGuarded = frontend.requestGuard.guards(isLocal: HostAddress.areOneMachine(peer, connection.local))
        self.connection = connection
        ownOutput = nil
    }

    init(_ frontend: BrokerFrontend, peer: HostAddress, isLocal: Bool, output: ByteBuffer) {
        clientLimits = frontend.broker.quotaConnected(peer)
        self.frontend = frontend
        self.peer = peer
        isGuarded = frontend.requestGuard.guards(isLocal: isLocal)
        ownOutput = output
    }

    var broker: Broker { frontend.broker }
    var header: CommandHeader { frontend.header }

    // MARK: - Output

    /// Where answers go; nil when the connection is gone.
    var output: ByteBuffer? { ownOutput ?? (connection?.isOpen == true ? connection?.output : nil) }

    /// Whether the client takes less than it is sent.
    var isCongested: Bool { connection?.isCongested ?? false }

    /// Says that something was appended to ``output``.
    func outputAdded() { connection?.outputAdded() }

    /// Appends whole encoded frames.
    func send(_ frames: RawSpan) {
        guard let output else { return }
        output.append(frames)
        outputAdded()
    }

    /// Closes the connection without sending what waits.
    func abort(_ reason: String) {
        connection?.close(reason, .abort)
        isAborted = true
    }

    /// Sends one frame that `body` writes.
    func write(_ encoding: HeaderEncoding, _ body: (inout CommandWriter) -> Void) {
        guard let output else { return }
        var writer = CommandWriter(output, encoding: encoding)
        body(&writer)
        outputAdded()
    }

    /// A number for a request of the broker to the client.
    func nextOpaque() -> Int32 {
        lastOpaque &+= 1
        return lastOpaque
    }

    /// Reads on.
    func resumeReading() { connection?.resumeReading() }

    // MARK: - Input

    /// What came of looking for one frame.
    public enum Step: Equatable, Sendable {
        case handled
        /// There is no whole frame yet; the next one takes `bytes` bytes in all.
        case incomplete(bytes: Int)
        /// The next frame brings a message while the disk is behind, or before its quota allows it: it stays in front of the
        /// input. Ask again later.
        case heldBack
        /// Nothing behind this can be understood. Close the connection.
        case malformed(reason: String)
    }

    /// Takes one frame from the front of `input` and handles it.
    public func next(_ input: ByteBuffer) -> Step {
        if waitsForQuota { return .heldBack }
        let frame: Frame
        do throws(FrameError) {
            guard let next = try Frame.next(in: input) else {
                return .incomplete(bytes: Frame.sizeNeeded(in: input.bytes))
            }
            frame = next
        } catch {
            return .malformed(reason: error.description)
        }
        if broker.store.isBehind || frontend.flushedGate.isFull, frontend.bringsMessage(frame, in: input) {
            return .heldBack
        }
        // A send that has to wait for its quota is read again, and reading JSON replaces escapes in place.
        let source = broker.hasQuotas ? frontend.copy(of: frame, in: input) : input
        do throws(HeaderError) {
            try header.decode(frame, in: source)
        } catch {
            input.consume(frame.size)
            return .malformed(reason: error.description)
        }
        handle(BrokerRequest(header: header, input: source, body: frame.body))
        if waitsForQuota { return .heldBack }
        input.consume(frame.size)
        frontend.requestHandled()
        return .handled
    }

    private func handle(_ request: BrokerRequest) {
        guard !header.isResponse else {
            return clientAnswered(ClientAnswer(header: header, input: request.input, body: request.body))
        }
        do throws(Refusal) {
            if isGuarded { try authorize(request) }
            try dispatch(request)
        } catch {
            refuse(request, error)
        }
    }

    /// Answers that the request was refused, unless nobody waits for it.
    func refuse(_ request: BrokerRequest, _ refusal: Refusal) {
        frontend.log.debug(
            "request refused",
            [
                "peer": peer.description, "request": String(header.code), "code": refusal.code.description,
                "remark": refusal.remark,
            ])
        if header.isSend { broker.sendRefused() }
        frontend.countRefusal(refusal.code.rawValue)
        guard !header.isOneway else { return }
        write(header.encoding) { writer in
            writer.begin(response: refusal.code, to: header, remark: .text(refusal.remark))
            if header.isSend { Self.writeRegion(into: &writer) }
            writer.end()
        }
    }

    /// What every answer to a send carries, refusals too (remoting reference §1.9).
    static func writeRegion(into writer: inout CommandWriter) {
        writer.field("MSG_REGION", literal: "DefaultRegion")
        writer.field("TRACE_ON", literal: "true")
    }

    /// Where the newest change of state ends, when it is not yet as safe as a message that was sent. Whoever is answered may learn
    /// of it: that his request made it, that it was made before, or what has come of it.
    private var unsafeStateEnd: PhysicalOffset? {
        let store = broker.store
        let end = store.answeredStateEnd
        let isSafe = store.configuration.flushMode == .synchronous ? end <= store.flushed : end <= store.written
        // With a failed store it never will be, and reads go on.
        return isSafe || store.failure != nil ? nil : end
    }

    /// Answers with the fields that `fields` writes, when every change of state so far is as safe as a message that was sent.
    /// - Parameter end: what else must be safe: where a record ends that the request has appended.
    func answer(
        _ request: BrokerRequest, after end: PhysicalOffset? = nil,
        _ fields: (inout CommandWriter) -> Void = { _ in }
    ) {
        guard !header.isOneway else { return }
        if let end = end ?? unsafeStateEnd { return park(end, waitsForFlush: true, hasRegion: false, fields) }
        write(header.encoding) { writer in
            writer.begin(response: .success, to: header)
            fields(&writer)
            writer.end()
        }
    }

    /// Answers with a body; when as with fields.
    func answer(_ request: BrokerRequest, body: some CommandBody) {
        guard !header.isOneway else { return }
        if let end = unsafeStateEnd {
            return park(end, waitsForFlush: true, hasRegion: false) { writer in
                writer.beginBody()
                body.encode(to: writer.buffer)
            }
        }
        write(header.encoding) { writer in
            writer.begin(response: .success, to: header)
            writer.beginBody()
            body.encode(to: writer.buffer)
            writer.end()
        }
    }

    /// Answers when everything that was appended so far is on the medium, whatever the flush mode is.
    func answerWhenFlushed(_ request: BrokerRequest, body: some CommandBody) {
        guard !header.isOneway else { return }
        let buffer = frontend.flushedGate.buffer
        let start = buffer.count
        var writer = CommandWriter(buffer, encoding: header.encoding)
        writer.begin(response: .success, to: header)
        writer.beginBody()
        body.encode(to: buffer)
        writer.end()
        let size = buffer.count - start
        let deadline = broker.monotonic.advanced(byMilliseconds: frontend.flushTimeoutMilliseconds)
        frontend.flushedGate.park(size, until: broker.store.end, session: self, deadline: deadline)
    }

    /// Runs a call on the broker and turns its refusal into this protocol's.
    @inline(__always)
    func call<R>(_ body: () throws(BrokerError) -> R) throws(Refusal) -> R {
        do {
            return try body()
        } catch {
            throw refusal(error)
        }
    }

    func refusal(_ error: BrokerError) -> Refusal {
        Refusal(error, broker: broker.configuration.address, peer: peer)
    }

    // MARK: - Dispatch

    /// The requests that are served, one leaf each.
    private func dispatch(_ request: BrokerRequest) throws(Refusal) {
        switch header.requestCode {
        case .sendMessage, .sendMessageV2, .sendBatchMessage: try sendMessage(request)
        case .endTransaction: try endTransaction(request)
        case .consumerSendMessageBack: try sendBack(request)
        case .recallMessage: try recallMessage(request)
        case .pullMessage, .litePullMessage: try pullMessage(request)
        case .sendReplyMessage, .sendReplyMessageV2: try sendReply(request)
        case .queryConsumerOffset: try queryConsumerOffset(request)
        case .updateConsumerOffset: try updateConsumerOffset(request)
        case .searchOffsetByTimestamp: try searchOffset(request)
        case .getMaximumOffset: try getMaximumOffset(request)
        case .getMinimumOffset: try getMinimumOffset(request)
        case .getEarliestMessageStoreTime: try getEarliestStoreTime(request)
        case .queryMessage: try queryMessage(request)
        case .viewMessageByID: try viewMessage(request)
        case .heartbeat: try heartbeat(request)
        case .unregisterClient: try unregisterClient(request)
        case .getConsumerListByGroup: try getConsumerList(request)
        case .checkClientConfig: try checkClientConfiguration(request)
        case .lockBatch: try lockQueues(request)
        case .unlockBatch: try unlockQueues(request)
        case .updateAndCreateTopic: try putTopic(request)
        case .deleteTopicInBroker: try deleteTopic(request)
        case .getAllTopicConfig: getAllTopics(request)
        case .updateAndCreateSubscriptionGroup: try putGroup(request)
        case .getAllSubscriptionGroupConfig: getAllGroups(request)
        case .deleteSubscriptionGroup: try deleteGroup(request)
        default: try administer(request)
        }
    }
}

/// One request, while it is handled. Ranges of its header are positions in ``input``.
struct BrokerRequest {
    let header: CommandHeader
    let input: ByteBuffer
    let body: Range<Int>
}

extension CommandHeader {
    /// True for the requests that store a message.
    var isSend: Bool {
        switch requestCode {
        case .sendMessage, .sendMessageV2, .sendBatchMessage, .sendReplyMessage, .sendReplyMessageV2: true
        default: false
        }
    }
}

// MARK: - On a socket

extension BrokerSession: ConnectionHandler {
    public func received(_ input: ByteBuffer, on connection: Connection) {
        while !connection.isCongested {
            switch next(input) {
            case .handled: continue
            case .incomplete(let bytes): return connection.expect(bytes: bytes)
            case .heldBack: return waitsForQuota ? connection.pauseReading() : frontend.holdBack(connection)
            case .malformed(let reason):
                frontend.log.warning(
                    "connection closed: not the remoting protocol", ["peer": peer.description, "reason": reason])
                return connection.reject(reason)
            }
        }
    }

    public func drained(_ connection: Connection) {}

    public func closed(_ connection: Connection, reason: CloseReason) {
        frontend.log.debug("connection closed", ["peer": peer.description, "reason": reason.description])
        close()
    }

    /// The client is gone: its pulls are held no longer, and its groups lose a member.
    public func close() {
        guard !isClosed else { return }
        isClosed = true
        connection = nil
        for pull in heldPulls.values { if let fetch = pull.fetch { broker.release(fetch) } }
        heldPulls.removeAll()
        if let clientLimits { broker.quotaDisconnected(clientLimits) }
        for completion in clientRequests.takeAll() { completion(.closed) }
        frontend.closed(self)
    }
}

// MARK: - To the client

extension BrokerSession: ClientChannel {
    public func membersChanged(of group: String) {
        // Requests of the broker have JSON headers, whatever the client's (remoting reference §1.2).
        write(.json) { writer in
            writer.begin(request: .notifyConsumerIdsChanged, opaque: nextOpaque(), isOneway: true)
            writer.field("consumerGroup", group)
            writer.end()
        }
    }
}
