import Base
import BrokerCore
import Bytes
import Model
import RemotingProtocol

/// 307, 309, 223: questions of tools that a client answers; the broker stands between (remoting reference §1.9).
extension BrokerSession {
    /// How long a client may take, in ms (`Broker2Client`): for a relayed request, and for its status.
    static let relayTimeoutMilliseconds: Int64 = 10_000
    static let statusTimeoutMilliseconds: Int64 = 5_000

    /// 307 `GET_CONSUMER_RUNNING_INFO`.
    func getConsumerRunningInformation(_ request: BrokerRequest) throws(Refusal) {
        let fields: GetConsumerRunningInfoHeader = try fields(request)
        try relay(request, group: fields.consumerGroup, clientID: fields.clientID, fields: fields, message: nil)
    }

    /// 309 `CONSUME_MESSAGE_DIRECTLY`: the message goes with the request, so that the client need not fetch it.
    func consumeMessageDirectly(_ request: BrokerRequest) throws(Refusal) {
        var fields: ConsumeMessageDirectlyHeader = try fields(request)
        fields.brokerName = broker.configuration.name
        var message: ByteBuffer?
        if let text = fields.messageID {
            guard let id = OffsetMessageID(text) else {
                throw Refusal(.systemError, "\(text) is no message id")
            }
            let record = ByteBuffer()
            do throws(BrokerError) {
                if try broker.readRecord(at: id.offset, into: record) { message = record }
            } catch {
                throw refusal(error)
            }
        }
        try relay(
            request, group: fields.consumerGroup, clientID: fields.clientID ?? "", fields: fields, message: message)
    }

    private func relay(
        _ request: BrokerRequest, group: String, clientID: String, fields: some CommandFields, message: ByteBuffer?
    ) throws(Refusal) {
        guard let client = member(group, clientID) else {
            throw Refusal(.systemError, "The Consumer <\(group)> <\(clientID)> not online")
        }
        guard !header.isOneway else { return }
        let requester = WaitingRequester(session: self, opaque: header.opaque, encoding: header.encoding)
        let input = request.input
        client.ask(header.requestCode, timeoutMilliseconds: Self.relayTimeoutMilliseconds) { writer in
            fields.write(into: &writer)
            writer.beginBody()
            if let message {
                writer.buffer.append(message.bytes)
            } else {
                writer.buffer.append(input.bytes.extracting(request.body))
            }
        } _: { outcome in
            switch outcome {
            case .answered(let answer): requester.pass(answer)
            case .timedOut:
                requester.refuse(Refusal(.consumeMessageTimeout, "consumer <\(group)> <\(clientID)> Timeout: 10 s"))
            case .closed:
                requester.refuse(
                    Refusal(.systemError, "invoke consumer <\(group)> <\(clientID)> Exception: connection closed"))
            }
        }
    }

    private func member(_ group: String, _ clientID: String) -> BrokerSession? {
        broker.members.consumerGroup(group)?.members.first { $0.identity.clientID == clientID }?.channel
            as? BrokerSession
    }

    // MARK: - Status

    /// 223 `INVOKE_BROKER_TO_GET_CONSUMER_STATUS`: asks every member, or the one that is named, with 221, and gathers what
    /// they say in time.
    func getConsumerStatus(_ request: BrokerRequest) throws(Refusal) {
        let fields: GetConsumerStatusHeader = try fields(request)
        let members = broker.members.consumerGroup(fields.group)?.members ?? []
        guard !members.isEmpty else {
            throw Refusal(.systemError, "No Any Consumer online in the consumer group: [\(fields.group)]")
        }
        guard !header.isOneway else { return }
        let gathering = StatusGathering(
            WaitingRequester(session: self, opaque: header.opaque, encoding: header.encoding))
        let named = fields.clientAddress.flatMap { $0.isEmpty ? nil : $0 }
        for member in members where named == nil || member.identity.clientID == named {
            guard let client = member.channel as? BrokerSession else { continue }
            let clientID = member.identity.clientID
            gathering.expected += 1
            client.ask(.getConsumerStatusFromClient, timeoutMilliseconds: Self.statusTimeoutMilliseconds) { writer in
                writer.field("topic", fields.topic)
                writer.field("group", fields.group)
            } _: { outcome in
                gathering.ended(clientID, outcome)
            }
        }
        gathering.allAsked()
    }
}

/// The answers to 221, until all are in.
private final class StatusGathering {
    private let requester: WaitingRequester
    private var body = GetConsumerStatusBody()
    var expected = 0
    private var ended = 0
    private var areAllAsked = false

    init(_ requester: WaitingRequester) { self.requester = requester }

    func ended(_ clientID: String, _ outcome: ClientOutcome) {
        ended += 1
        if case .answered(let answer) = outcome, answer.header.responseCode == .success {
            let input = answer.input
            let span = input.bytes
            if let status = try? GetConsumerStatusBody(parsing: span.extracting(answer.body)) {
                body.consumers[clientID] = status.queues
            }
        }
        answerIfComplete()
    }

    func allAsked() {
        areAllAsked = true
        answerIfComplete()
    }

    private func answerIfComplete() {
        guard areAllAsked, ended == expected else { return }
        requester.session?.write(requester.encoding) { writer in
            writer.begin(response: .success, opaque: requester.opaque)
            writer.beginBody()
            body.encode(to: writer.buffer)
            writer.end()
        }
    }
}

extension WaitingRequester {
    /// Passes on what a client answered: code, remark, fields and body.
    fileprivate func pass(_ answer: ClientAnswer) {
        let input = answer.input
        let span = input.bytes
        let header = answer.header
        let remark = header.remark.map { span.extracting($0).string() }
        session?.write(encoding) { writer in
            writer.begin(response: header.responseCode, opaque: opaque, remark: CommandWriter.Remark(remark))
            // A name that a binary header cannot hold is no name that anybody looks for.
            for field in header.fields where field.key.count <= Int(Int16.max) {
                writer.field(name: span.extracting(field.key), span.extracting(field.value))
            }
            writer.beginBody()
            writer.buffer.append(span.extracting(answer.body))
            writer.end()
        }
    }
}
