import Base
import BrokerCore
import Bytes
import Model
import NameService
import RemotingProtocol
import Runtime
import Simulation
import Storage
import Telemetry
import Testing

@testable import RemotingFrontend

/// A broker that listens on this machine and keeps a name server informed.
private final class LoopbackBroker {
    let broker: Broker
    let frontend: BrokerFrontend
    let registrar: NameServerRegistrar
    let propagation: TopicPropagation
    var created: [String] = []

    init(_ name: String, cluster: String = "C", nameServer: Int, _ loop: EventLoop) throws {
        var accept: ((Connection) -> (any ConnectionHandler)?)?
        let listener = try loop.listen(host: "127.0.0.1", port: 0) { accept?($0) }
        var configuration = BrokerConfiguration()
        configuration.name = name
        configuration.cluster = cluster
        configuration.address = HostAddress.loopback(port: Int32(listener.port))
        var store = StoreConfiguration(root: name)
        store.segmentSize = 8 * 1024 * 1024
        broker = try Broker(
            configuration, store: store, disk: SimulatedDisk(), clock: loop.clock, random: SeededRandom(seed: 1),
            log: .silent)
        frontend = BrokerFrontend(broker: broker, log: .silent)
        let identity = BrokerIdentity(cluster: cluster, name: name, id: 0, address: "127.0.0.1:\(listener.port)")
        let endpoints = [NameServerEndpoint(host: "127.0.0.1", port: nameServer)]
        let broker = broker
        registrar = NameServerRegistrar(
            NameServerRegistrarConfiguration(nameServers: endpoints),
            broker: RegisteredBroker(
                identity: identity, haAddress: "127.0.0.1:1", dataVersion: { broker.topicVersion },
                topics: { broker.topics.map(\.configuration) }),
            loop: loop, log: .silent)
        propagation = TopicPropagation(
            TopicPropagationConfiguration(nameServers: endpoints), identity: identity, loop: loop, log: .silent)
        let frontend = frontend
        accept = { frontend.accept($0) }
        frontend.start(on: loop)
        broker.topicAutoCreated = { [unowned self] in
            created.append($0.name)
            propagation.topicCreated($0)
        }
        broker.topicChanged = { [unowned self] name in
            registrar.topicsChanged(self.broker.topic(name).map { [$0.configuration] } ?? [])
        }
        registrar.start()
    }

    /// A message for a topic comes in.
    func produce(_ topic: String, queues: Int = 4) throws {
        let output = ByteBuffer()
        let session = frontend.makeSession(peer: .loopback(port: 9), output: output)
        let buffer = ByteBuffer()
        var writer = CommandWriter(buffer, encoding: .json)
        writer.begin(request: .sendMessageV2, opaque: 1)
        for (name, value) in TestClient.sendFields(topic) {
            writer.field(name, name.description == "d" ? String(queues) : value)
        }
        writer.end()
        #expect(session.next(buffer) == .handled)
    }
}

@Suite("Topics made on first use appear on every master of the cluster")
struct TopicPropagationTests {
    /// Runs until `isDone`, or until it is late.
    private func run(_ loop: EventLoop, until isDone: @escaping () -> Bool) {
        var isLate = false
        loop.schedule(afterMilliseconds: 20_000) {
            isLate = true
            loop.stop()
        }
        loop.schedule(afterMilliseconds: 1, repeatingEveryMilliseconds: 1) {
            if isDone() { loop.stop() }
        }
        loop.run()
        #expect(!isLate, "it did not happen in time")
    }

    @Test("with the settings that they have, once, and not where they are already or in other clusters")
    func propagates() throws {
        let loop = try EventLoop()
        let nameServer = try LoopbackNameServer(loop)
        let first = try LoopbackBroker("broker-a", nameServer: nameServer.port, loop)
        let second = try LoopbackBroker("broker-b", nameServer: nameServer.port, loop)
        let stranger = try LoopbackBroker("broker-c", cluster: "Other", nameServer: nameServer.port, loop)
        try second.broker.putTopic(TopicConfiguration(name: "Own", readQueueCount: 16, writeQueueCount: 16))
        var isSent = false
        run(loop) {
            guard [first, second, stranger].allSatisfy({ $0.registrar.registeredCount == 1 }) else { return false }
            if !isSent {
                isSent = true
                for topic in ["New1", "New2", "Own"] {
                    #expect(throws: Never.self) { try first.produce(topic, queues: 3) }
                }
                return false
            }
            return first.propagation.pendingCount == 0 && nameServer.server.route(of: "New2")?.queues.count == 2
        }
        for topic in ["New1", "New2"] {
            #expect(second.broker.topic(topic)?.configuration == first.broker.topic(topic)?.configuration)
            #expect(second.broker.topic(topic)?.configuration.writeQueueCount == 3)
        }
        #expect(second.broker.topic("Own")?.configuration.writeQueueCount == 16)
        #expect(first.created == ["New1", "New2", "Own"])
        #expect(second.created.isEmpty)
        #expect(stranger.broker.topic("New1") == nil)
    }

    @Test("also when the other broker comes back later")
    func retries() throws {
        let loop = try EventLoop()
        let nameServer = try LoopbackNameServer(loop)
        let first = try LoopbackBroker("broker-a", nameServer: nameServer.port, loop)
        let second = try LoopbackBroker("broker-b", nameServer: nameServer.port, loop)
        var isSent = false
        run(loop) {
            guard [first, second].allSatisfy({ $0.registrar.registeredCount == 1 }) || isSent else { return false }
            if !isSent {
                isSent = true
                nameServer.goAway()
                #expect(throws: Never.self) { try first.produce("New") }
                loop.schedule(afterMilliseconds: 300) { #expect(throws: Never.self) { try nameServer.listen() } }
            }
            return second.broker.topic("New") != nil
        }
    }
}
