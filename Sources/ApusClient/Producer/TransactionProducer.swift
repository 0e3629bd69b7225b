import Base
import Model
import RemotingProtocol
import Runtime

/// What became of the transaction that a half message belongs to.
public enum TransactionOutcome: Equatable, Sendable {
    /// The message is delivered.
    case commit
    /// The message is dropped.
    case rollback
    /// Nobody knows yet: the broker asks the producer group later.
    case unknown

    /// `commitOrRollback` of request 37.
    var onWire: Int32 {
        switch self {
        case .commit: MessageFlags.transactionCommit
        case .rollback: MessageFlags.transactionRollback
        case .unknown: 0
        }
    }
}

/// Says what became of the transaction of a half message, when a broker asks. May be asked by any member of the producer
/// group, more than once, and long after the send; an error counts as ``TransactionOutcome/unknown``.
public typealias TransactionChecker = @Sendable (_ message: ReceivedMessage) async throws -> TransactionOutcome

/// How a transaction went.
public struct TransactionReceipt: Equatable, Sendable {
    /// Of the half message: its queue and offset are not those that consumers will see.
    public var half: SendReceipt
    public var outcome: TransactionOutcome
}

/// Sends messages that become visible together with a transaction of the caller's, for instance in a database.
///
///     let producer = client.transactionProducer(group: "orders") { message in
///         await database.isStored(orderOf: message) ? .commit : .rollback
///     }
///     try await producer.send(Message(topic: "Orders", text: "one pizza")) { receipt in
///         try await database.store(order)
///         return .commit
///     }
///
/// The broker first stores a half message, which no consumer sees; then the local transaction runs; its outcome makes the
/// message visible or drops it. When no outcome arrives, the broker asks the producer group, again and again up to its
/// `transactionCheckMax`, and the checker answers.
public final class TransactionProducer: Sendable {
    private let client: RocketMQClient
    private let core: ProducerCore
    private let checks: TransactionChecker
    public var configuration: ProducerConfiguration { core.configuration }

    init(_ client: RocketMQClient, _ configuration: ProducerConfiguration, _ checker: @escaping TransactionChecker) {
        self.client = client
        core = ProducerCore(client.core, configuration)
        checks = checker
    }

    /// Joins the producer group at every broker, and answers checks from now on: also of half messages that a former process
    /// of the group left behind. Sending does it too.
    public func start() async throws(ClientError) { try await core.start(checker: checks) }

    /// Sends a half message, runs the local transaction, and tells the broker how it ended.
    ///
    /// When the half message is stored less durably than the broker is set to make it, the local transaction does not run and
    /// the message is rolled back.
    /// - Parameters:
    ///   - timeout: of the half message; the local transaction takes as long as it takes.
    ///   - checkImmunity: how long the broker waits before it first asks, in whole seconds; nil is its own setting.
    ///   - localTransaction: gets the receipt of the half message.
    /// - Throws: ``ClientError`` when there is no half message, and what the local transaction throws. Then the outcome is
    ///   unknown, as the transaction may have been committed before it failed: the checker decides.
    @discardableResult
    public func send(
        _ message: Message, timeout: Duration? = nil, checkImmunity: Duration? = nil,
        isolation: isolated (any Actor)? = #isolation,
        _ localTransaction: (SendReceipt) async throws -> TransactionOutcome
    ) async throws -> TransactionReceipt {
        let half = try await sendHalf(message, timeout, checkImmunity)
        guard half.status == .stored else {
            await core.end(half, .rollback)
            return TransactionReceipt(half: half, outcome: .rollback)
        }
        do {
            let outcome = try await localTransaction(half)
            await core.end(half, outcome)
            return TransactionReceipt(half: half, outcome: outcome)
        } catch {
            await core.end(half, .unknown)
            throw error
        }
    }

    private func sendHalf(
        _ message: Message, _ timeout: Duration?, _ immunity: Duration?
    ) async throws(ClientError) -> SendReceipt {
        guard !message.isDelayed else {
            throw ClientError(.invalidArgument, "a message of a transaction cannot be delayed")
        }
        try await start()
        var extra: [(name: String, value: String)] = [
            (PropertyName.transactionPrepared, "true"), (PropertyName.producerGroup, configuration.group),
        ]
        if let immunity { extra.append((PropertyName.checkImmunity, "\((immunity.milliseconds + 999) / 1000)")) }
        let now = SystemClock().timestamp
        var prepared = try PreparedMessage(
            message, id: client.ids.next(at: now), at: now, configuration, extra: extra,
            transactionState: MessageFlags.transactionPrepared)
        prepared.needsMembership = true
        return try await core.send(prepared, QueueChoice(message), timeout: timeout)
    }

    /// Leaves the producer group, and answers no more checks.
    public func shutdown() async { await core.shutdown() }
}
