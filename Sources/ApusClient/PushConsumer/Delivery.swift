import Base
import Model
import Runtime
import Synchronization

/// A message that was handed to the consumer and wants an answer: ``ack()`` or ``retry(delayLevel:)``.
///
/// The offset of the group does not pass a message before it is answered. A delivery that is dropped without an answer is
/// retried.
public final class Delivery: Sendable {
    public let message: ReceivedMessage
    private let consumer: PushConsumerCore
    private let token: DeliveryToken
    private let isAnswered = Atomic(false)

    init(_ message: ReceivedMessage, _ token: DeliveryToken, of consumer: PushConsumerCore) {
        self.message = message
        self.token = token
        self.consumer = consumer
    }

    deinit { if !isAnswered.load(ordering: .relaxed) { answer(.retry(delayLevel: 0)) } }

    /// The message was consumed. Returns at once; the offset is stored at the broker with the next commit.
    public func ack() { answer(.success) }

    /// The message could not be consumed and shall come again.
    /// - Parameter delayLevel: of the broker's table; 0 lets the broker choose by the number of attempts, and a negative one
    ///   makes the message a dead letter at once. Ordered consumption waits
    ///   ``PushConsumerConfiguration/localRetryDelay`` instead.
    public func retry(delayLevel: Int32 = 0) { answer(.retry(delayLevel: delayLevel)) }

    private func answer(_ result: ConsumeResult) {
        guard !isAnswered.exchange(true, ordering: .relaxed) else { return }
        consumer.loop.post { [consumer, token] in consumer.assumeIsolated { $0.answered(token, result) } }
    }
}

/// What became of a message.
enum ConsumeResult: Equatable, Sendable {
    case success
    /// It shall come again: see ``Delivery/retry(delayLevel:)``.
    case retry(delayLevel: Int32)
}

/// Which message a delivery stands for.
struct DeliveryToken: Sendable {
    var queue: MessageQueue
    var offset: QueueOffset
    /// Tells an assignment of the queue from later ones.
    var assignment: UInt64
}
