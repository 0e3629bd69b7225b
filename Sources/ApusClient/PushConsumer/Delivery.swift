import Base
import Model
import Runtime
import Synchronization

/// A message that was handed to the consumer and wants an answer: ``ack()``, ``retry(delayLevel:)`` or ``deadLetter()``.
/// The first answer counts.
///
/// The offset of the group does not pass a message before it is answered. A delivery that is dropped without an answer is
/// retried, and so is one that has no answer after ``PushConsumerConfiguration/consumeTimeout``.
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
    ///
    /// The broker delivers a copy of it to the group later, or makes it a dead letter when it has failed too often. Ordered
    /// consumption keeps the message and its queue here, and tries again after
    /// ``PushConsumerConfiguration/localRetryDelay``.
    /// - Parameter delayLevel: of the broker's table; 0 lets the broker choose by the number of attempts, and a negative one
    ///   is ``deadLetter()``.
    public func retry(delayLevel: Int32 = 0) { answer(delayLevel < 0 ? .deadLetter : .retry(delayLevel: delayLevel)) }

    /// The message will never be consumed: it goes to the group's dead letters, `%DLQ%group`, at once.
    public func deadLetter() { answer(.deadLetter) }

    /// Counts the delivery as answered, for a caller that tells the consumer by itself.
    /// - Returns: nil when it was answered before.
    func claim() -> DeliveryToken? { isAnswered.exchange(true, ordering: .relaxed) ? nil : token }

    private func answer(_ result: ConsumeResult) {
        guard let token = claim() else { return }
        consumer.loop.post { [consumer] in consumer.assumeIsolated { $0.answered(token, result) } }
    }
}

/// What became of a message.
enum ConsumeResult: Equatable, Sendable {
    case success
    /// It shall come again: see ``Delivery/retry(delayLevel:)``.
    case retry(delayLevel: Int32)
    /// See ``Delivery/deadLetter()``.
    case deadLetter
}

/// Which message a delivery stands for.
struct DeliveryToken: Sendable {
    var queue: MessageQueue
    var offset: QueueOffset
    /// Tells an assignment of the queue from later ones.
    var assignment: UInt64
}

/// Messages of one queue that were handed out together, oldest first: one, or of ordered consumption several.
struct DeliveryRun: Sendable {
    var queue: MessageQueue
    var assignment: UInt64
    var messages: [ReceivedMessage]

    func token(_ message: ReceivedMessage) -> DeliveryToken {
        DeliveryToken(queue: queue, offset: message.queueOffset, assignment: assignment)
    }
}

/// What became of the messages of a run.
struct RunAnswer: Sendable {
    /// Oldest first.
    var results: [(token: DeliveryToken, result: ConsumeResult)] = []
    /// Those that nobody began to work on: they wait again, as if they had not been handed out.
    var untouched: [DeliveryToken] = []
}

/// A delivery that was not answered within ``PushConsumerConfiguration/consumeTimeout``.
public struct StalledDelivery: Sendable {
    /// The body may be compressed still.
    public var message: ReceivedMessage
    /// How long ago it was handed out.
    public var elapsed: Duration
    /// Whether it goes back to the broker, for another member to try. Messages of ordered consumption and broadcasts stay
    /// with their handler.
    public var isSentBack: Bool
}
