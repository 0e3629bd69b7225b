import Base
import Glibc
import Model
import RemotingProtocol
import Runtime
import Telemetry

/// A connection to a RocketMQ cluster: Apus, or any RocketMQ 4.9 or 5.x that speaks the remoting protocol.
///
///     try await RocketMQClient.with(ClientConfiguration(nameServers: ["127.0.0.1:9876"])) { client in
///         try await client.producer(group: "orders").send(Message(topic: "Orders", text: "one pizza"))
///     }
///
/// One client has one thread with an event loop, one connection to each server, and one cache of routes; its producers and
/// consumers share them. Make one for a process.
///
/// Work begins with the first call. ``run()`` is for long-lived services: it returns when its task is cancelled, after
/// a clean shutdown. Without it call ``shutdown()``, or use ``with(_:log:_:)``.
public final class RocketMQClient: Sendable {
    let core: ClientCore
    let ids: MessageIDGenerator
    public var configuration: ClientConfiguration { core.configuration }
    /// How brokers call this client: `address@instanceName`.
    public var clientID: String { core.identity.clientID }

    /// Makes a client; nothing is sent before its first call.
    /// - Throws: ``ClientError`` when the process has no room for a thread or descriptors, or a file of certificates is wrong.
    public init(_ configuration: ClientConfiguration, log: Log = .silent) throws(ClientError) {
        let tls: TLSContext?
        do throws(TLSError) {
            tls = try configuration.tls.map { (tls) throws(TLSError) in try TLSContext(client: tls) }
        } catch {
            throw ClientError(.invalidArgument, "TLS cannot be used: \(error)", underlying: error)
        }
        let thread: LoopThread
        do throws(RuntimeError) {
            thread = try LoopThread(named: "rocketmq-client", log: log)
        } catch {
            throw ClientError(.connectionFailed, "no event loop", underlying: error)
        }
        let identity = ClientIdentity(instanceName: configuration.instanceName)
        core = ClientCore(
            thread, configuration: configuration, identity: identity, tls: tls, log: log.labelled("client"))
        ids = MessageIDGenerator(
            address: identity.address, process: getpid(), number: UInt32.random(in: 0...UInt32.max))
    }

    deinit {
        // Whoever did not say goodbye leaves without. The thread ends with the core, when the last task has let go of it.
        core.loop.post { [core] in core.assumeIsolated { $0.close() } }
    }

    // MARK: - Life

    /// Returns after ``shutdown()``, or, when the task is cancelled, after shutting down.
    public func run() async {
        await core.waitForEnd()
        await shutdown()
    }

    /// Says goodbye: consumers store their offsets and leave their groups, connections are closed. Calls under way fail
    /// with ``ClientError/Code-swift.struct/closed``, and so do later ones. Takes at most about
    /// ``ClientConfiguration/shutdownTimeout`` for each consumer, and ``PushConsumerConfiguration/handOverTimeout`` if messages
    /// are out.
    public func shutdown() async {
        // The calling task may be cancelled already, which must not cancel the goodbyes.
        await Task { [core] in await core.shutdown() }.value
    }

    /// Makes a client for the time that `body` takes, and shuts it down cleanly.
    @discardableResult
    public static func with<Result>(
        _ configuration: ClientConfiguration, log: Log = .silent, _ body: (RocketMQClient) async throws -> Result
    ) async throws -> Result {
        let client = try RocketMQClient(configuration, log: log)
        do {
            let result = try await body(client)
            await client.shutdown()
            return result
        } catch {
            await client.shutdown()
            throw error
        }
    }

    // MARK: - Producers and consumers

    public func producer(_ configuration: ProducerConfiguration) -> Producer { Producer(self, configuration) }

    public func producer(group: String) -> Producer { producer(ProducerConfiguration(group: group)) }

    /// Makes a producer of transactions.
    /// - Parameter checker: answers when a broker asks what became of a half message.
    public func transactionProducer(
        _ configuration: ProducerConfiguration, checker: @escaping TransactionChecker
    ) -> TransactionProducer {
        TransactionProducer(self, configuration, checker)
    }

    /// ``transactionProducer(_:checker:)`` of a group, with RocketMQ's settings.
    public func transactionProducer(group: String, checker: @escaping TransactionChecker) -> TransactionProducer {
        transactionProducer(ProducerConfiguration(group: group), checker: checker)
    }

    /// Makes a consumer; it joins its group when it first receives.
    public func pushConsumer(_ configuration: PushConsumerConfiguration) -> PushConsumer {
        PushConsumer(self, configuration)
    }

    /// ``pushConsumer(_:)`` of a group and what it subscribes to.
    public func pushConsumer(group: String, subscriptions: [String: MessageFilter]) -> PushConsumer {
        pushConsumer(PushConsumerConfiguration(group: group, subscriptions: subscriptions))
    }

    /// Makes a consumer for the time that `body` takes; then it leaves its group.
    @discardableResult
    public func withPushConsumer<Result>(
        _ configuration: PushConsumerConfiguration, _ body: (PushConsumer) async throws -> Result
    ) async throws -> Result {
        let consumer = pushConsumer(configuration)
        do {
            let result = try await body(consumer)
            await consumer.shutdown()
            return result
        } catch {
            await consumer.shutdown()
            throw error
        }
    }

    public func pullConsumer(_ configuration: PullConsumerConfiguration) -> PullConsumer {
        PullConsumer(self, configuration)
    }

    public func pullConsumer(group: String) -> PullConsumer { pullConsumer(PullConsumerConfiguration(group: group)) }

    /// Topics, groups, offsets and everything else that operators ask for.
    public var administration: ClusterAdministration { ClusterAdministration(self) }
}
