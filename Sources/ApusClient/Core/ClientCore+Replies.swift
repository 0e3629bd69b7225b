import Base
import Compression
import Model
import RemotingProtocol
import Runtime
import Telemetry

/// How far a request is.
enum ReplyState {
    /// The request is on its way.
    case expected
    /// A task waits, under this number.
    case waiting(Int32)
    /// The reply came before anybody waited.
    case arrived(ReceivedMessage)
}

/// Requests and their replies (remoting reference §1.11): a reply goes to the broker that had the request (325), which passes
/// it on to the client that asked (326).
extension ClientCore {
    func expectReply(_ correlationID: String) { replies[correlationID] = .expected }

    func forgetReply(_ correlationID: String) { replies[correlationID] = nil }

    /// Waits for the reply to a request that was announced with ``expectReply(_:)``.
    func reply(_ correlationID: String, deadline: MonotonicTime) async throws(ClientError) -> ReceivedMessage {
        defer { replies[correlationID] = nil }
        if case .arrived(let message) = replies[correlationID] { return message }
        guard !isClosed else { throw .closed() }
        let number = waits.nextNumber()
        let result: Result<ReceivedMessage, ClientError> = await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                waits.add(Waiter("the reply to a request", deadline: deadline, continuation), number)
                replies[correlationID] = .waiting(number)
            }
        } onCancel: {
            loop.post {
                self.assumeIsolated { $0.waits.fail(number, ClientError(.cancelled, "the task was cancelled")) }
            }
        }
        return try result.get()
    }

    /// A broker passes on a reply (326).
    /// - Returns: why it cannot be read; nil when all is well. As in RocketMQ, a reply that nobody waits for any more is well.
    func takeReply(_ command: ReceivedCommand) -> String? {
        guard let header = try? command.fields(ReplyMessageHeader.self) else {
            return "the reply's header is unreadable"
        }
        var message = ReceivedMessage(reply: header, body: command.body)
        do throws(CompressionError) { try message.decompress() } catch { return "the reply's body: \(error)" }
        guard let correlationID = message.property(PropertyName.correlationID) else {
            return "the reply has no \(PropertyName.correlationID)"
        }
        switch replies[correlationID] {
        case .expected: replies[correlationID] = .arrived(message)
        case .waiting(let number): (waits.take(number) as? Waiter<ReceivedMessage>)?.succeed(message)
        case .arrived, nil: log.info("a reply that nobody waits for", ["correlationId": correlationID])
        }
        return nil
    }

    /// Sends a reply to the broker that had the request.
    func send(reply: PreparedMessage, to queue: MessageQueue, producerGroup: String, deadline: MonotonicTime)
        async throws(ClientError)
    {
        let address = try await address(of: queue, deadline: deadline)
        let target = MessageQueue(topic: reply.topic, brokerName: queue.brokerName, queueID: QueueID(0))
        let full = reply.request(
            producerGroup: producerGroup, to: target, defaultTopic: SystemTopics.autoCreate, defaultTopicQueueCount: 1)
        try await call(
            Request<Void>(.sendReplyMessageV2, write: full.write) { (answer) throws(ClientError) in
                try answer.requireSuccess()
            }, to: address, deadline: deadline)
    }
}
