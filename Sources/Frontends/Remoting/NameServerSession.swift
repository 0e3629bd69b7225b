import Base
import Bytes
import NameService
import RemotingProtocol
import Runtime
import Telemetry

/// One connection's conversation with a name server: frames in, calls on `NameServer`, frames out.
///
/// ``next(_:_:)`` does no input and no output, so tests and simulations can drive it with bytes; as a `ConnectionHandler` the
/// same session serves a socket. Every request is answered in its own header encoding, before the next one is looked at;
/// one-way requests never are.
public final class NameServerSession {
    let frontend: NameServerFrontend
    /// Names this connection to the name server.
    public let token: ConnectionToken
    let peer: HostAddress
    /// Whether administrative requests must be authorized.
    private let isGuarded: Bool

    init(_ frontend: NameServerFrontend, token: ConnectionToken, peer: HostAddress, isLocal: Bool) {
        self.frontend = frontend
        self.token = token
        self.peer = peer
        isGuarded = frontend.requestGuard.guards(isLocal: isLocal)
    }

    var server: NameServer { frontend.server }

    /// What came of looking for one frame.
    public enum Step: Equatable, Sendable {
        /// A whole frame was taken from the input, and its answer, if it gets one, appended to the output.
        case handled
        /// There is no whole frame yet; the next one takes `bytes` bytes in all.
        case incomplete(bytes: Int)
        /// What was sent is no frame, or a frame without a header: nothing behind it can be understood. Close the connection.
        case malformed(reason: String)
    }

    /// Takes one frame from the front of `input` and appends the answer to `output`.
    public func next(_ input: ByteBuffer, _ output: ByteBuffer) -> Step {
        let frame: Frame
        do throws(FrameError) {
            guard let next = try Frame.next(in: input) else {
                return .incomplete(bytes: Frame.sizeNeeded(in: input.bytes))
            }
            frame = next
        } catch {
            return .malformed(reason: error.description)
        }
        defer { input.consume(frame.size) }
        do throws(HeaderError) {
            try frontend.header.decode(frame, in: input)
        } catch {
            return .malformed(reason: error.description)
        }
        answer(NameServerRequest(header: frontend.header, input: input, body: frame.body), output)
        return .handled
    }

    /// Says that the connection is gone, and with it the brokers that registered over it.
    public func close() {
        frontend.closed(token)
    }

    // MARK: - One request

    private func answer(_ request: NameServerRequest, _ output: ByteBuffer) {
        let header = request.header
        // A name server asks nothing, so it has no use for answers.
        guard !header.isResponse else { return }
        let start = output.count
        var writer = CommandWriter(output, encoding: header.encoding)
        do throws(NameServerFailure) {
            if isGuarded, header.requestCode.isNameServerAdministration { try authorize(request) }
            try handle(request, &writer)
            let size = output.count - start
            guard size <= Limits.frameSizeMaximum else { throw .answerTooLarge(size: size) }
        } catch {
            refuse(request, error, &writer, start)
        }
        if header.isOneway { output.truncate(to: start) }
    }

    /// Routes are for everybody, as in RocketMQ; changes are for operators. Brokers register without credentials.
    private func authorize(_ request: NameServerRequest) throws(NameServerFailure) {
        let guardian = frontend.requestGuard
        let input = request.input
        do throws(Refusal) {
            guard guardian.controlsAccess else { throw guardian.remoteAdministration(request.header, peer) }
            let account = try guardian.account(of: request.header, body: request.body, in: input.bytes, peer: peer)
            if let account { try guardian.requireAdministrator(account, request.header, peer) }
        } catch {
            throw .denied(error.remark)
        }
    }

    private func refuse(
        _ request: NameServerRequest, _ failure: NameServerFailure, _ writer: inout CommandWriter, _ start: Int
    ) {
        let (code, remark) = failure.response
        frontend.log.debug(
            "request refused",
            [
                "peer": peer.description, "request": String(request.header.code), "code": code.description,
                "remark": remark,
            ])
        writer.buffer.truncate(to: start)
        writer = CommandWriter(writer.buffer, encoding: writer.encoding)
        writer.begin(response: code, to: request.header, remark: .text(remark))
        writer.end()
    }

    /// The requests of RocketMQ 4.9's name server, one leaf each; see `requests/namesrv/`.
    private func handle(
        _ request: NameServerRequest, _ writer: inout CommandWriter
    ) throws(NameServerFailure) {
        switch request.header.requestCode {
        case .getRouteInfoByTopic: try getRoute(request, &writer)
        case .registerBroker: try registerBroker(request, &writer)
        case .unregisterBroker: try unregisterBroker(request, &writer)
        case .queryDataVersion: try queryDataVersion(request, &writer)
        case .getBrokerClusterInfo: getClusterInformation(request, &writer)
        case .getAllTopicListFromNameServer: try getAllTopics(request, &writer)
        case .getTopicsByCluster: try getTopicsByCluster(request, &writer)
        case .getSystemTopicListFromNameServer: getSystemTopics(request, &writer)
        case .getUnitTopicList: try getUnitTopics(.unit, request, &writer)
        case .getHasUnitSubTopicList: try getUnitTopics(.unitSubscription, request, &writer)
        case .getHasUnitSubUnunitTopicList: try getUnitTopics(.unitSubscriptionOnly, request, &writer)
        case .deleteTopicInNameServer: try deleteTopic(request, &writer)
        case .wipeWritePermOfBroker: try wipeWritePermission(request, &writer)
        case .addWritePermOfBroker: try addWritePermission(request, &writer)
        case .putKVConfig: try putKVConfig(request, &writer)
        case .getKVConfig: try getKVConfig(request, &writer)
        case .deleteKVConfig: try deleteKVConfig(request, &writer)
        case .getKVListByNamespace: try getKVList(request, &writer)
        case .updateNameServerConfig: try updateConfiguration(request, &writer)
        case .getNameServerConfig: getConfiguration(request, &writer)
        default: throw .notSupported(code: request.header.code)
        }
    }
}

// MARK: - On a socket

extension NameServerSession: ConnectionHandler {
    public func received(_ input: ByteBuffer, on connection: Connection) {
        while !connection.isCongested {
            switch next(input, connection.output) {
            case .handled: connection.outputAdded()
            case .incomplete(let bytes): return connection.expect(bytes: bytes)
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
}
