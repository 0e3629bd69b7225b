import Base
import Model
import RemotingProtocol
import Testing

@testable import ApusClient

private let brokerScript: FakeServer.Script = { request in
    switch request.code {
    case .sendMessageV2, .sendBatchMessage: stored(request)
    default: .reply()
    }
}

private func configuration(_ servers: FakeServer...) -> ClientConfiguration {
    var configuration = ClientConfiguration(nameServers: servers.map(\.address))
    configuration.reconnectDelayMinimum = .milliseconds(20)
    configuration.shutdownTimeout = .milliseconds(500)
    return configuration
}

/// A name server with one topic T on one broker, both answering by scripts.
private struct Scene {
    let broker: FakeServer
    let names: FakeServer

    init(broker script: @escaping FakeServer.Script = brokerScript) async throws {
        let broker = try await FakeServer(script)
        self.broker = broker
        names = try await FakeServer(nameServerScript(["T"]) { [("b", broker.address)] })
    }

    func withClient(
        encoding: HeaderEncoding = .binary, _ body: (RocketMQClient) async throws -> Void
    ) async throws {
        var configuration = configuration(names)
        configuration.encoding = encoding
        try await RocketMQClient.with(configuration, body)
    }
}

@Suite("Calls have an end")
struct CallTests {
    @Test("a message is sent without anybody having called run", arguments: [.binary, .json] as [HeaderEncoding])
    func send(encoding: HeaderEncoding) async throws {
        let scene = try await Scene()
        try await scene.withClient(encoding: encoding) { client in
            let receipt = try await client.producer(group: "p").send(Message(topic: "T", text: "hi"))
            #expect(receipt.status == .stored)
            #expect(receipt.queue.brokerName == "b")
            #expect(receipt.offsetMessageID == "7F000001000078BF00000000000002CB")
            let request = try #require(scene.broker.requests(.sendMessageV2).first)
            #expect(request.encoding == encoding)
            #expect(request.body == Array("hi".utf8))
            #expect(request.fields["a"] == "p")
            #expect(request.fields["i"]?.contains("UNIQ_KEY\u{1}\(receipt.messageID)") == true)
        }
    }

    @Test("a call to a server that never answers ends at its deadline")
    func deadline() async throws {
        let scene = try await Scene { $0.code == .sendMessageV2 ? .silence : .reply() }
        try await scene.withClient { client in
            let time = await elapsed {
                let error = await #expect(throws: ClientError.self) {
                    try await client.producer(group: "p").send(
                        Message(topic: "T", text: "x"), timeout: .milliseconds(200))
                }
                #expect(error?.code == .timedOut)
                #expect(error?.isRetriable == true)
            }
            #expect(time >= 200 && time < 20_000)
        }
    }

    @Test("a call to where nobody listens fails with the reason")
    func refusedConnection() async throws {
        try await RocketMQClient.with(ClientConfiguration(nameServers: ["127.0.0.1:1"])) { client in
            let error = await #expect(throws: ClientError.self) {
                // Long enough for the refusal to be seen on a machine that does much else.
                try await client.producer(group: "p").send(Message(topic: "T", text: "x"), timeout: .seconds(60))
            }
            #expect(error?.code == .noNameServer)
            #expect((error?.underlying as? ClientError)?.code == .connectionFailed)
        }
    }

    @Test("a wrong address, and none, are errors", arguments: [["nonsense"], []])
    func wrongAddress(servers: [String]) async throws {
        try await RocketMQClient.with(ClientConfiguration(nameServers: servers)) { client in
            let error = await #expect(throws: ClientError.self) { try await client.administration.topics() }
            #expect(error?.code == (servers.isEmpty ? .noNameServer : .invalidArgument))
        }
    }

    @Test("a cancelled task does not wait for the answer")
    func cancellation() async throws {
        let scene = try await Scene { $0.code == .sendMessageV2 ? .silence : .reply() }
        try await scene.withClient { client in
            let task = Task {
                try await client.producer(group: "p").send(Message(topic: "T", text: "x"), timeout: .seconds(60))
            }
            #expect(await eventually { !scene.broker.requests(.sendMessageV2).isEmpty })
            task.cancel()
            let error = await #expect(throws: ClientError.self) { try await task.value }
            #expect(error?.code == .cancelled)
        }
    }

    @Test("calls under way fail when the client is shut down, and so do later ones")
    func shutdown() async throws {
        let scene = try await Scene { $0.code == .sendMessageV2 ? .silence : .reply() }
        let client = try RocketMQClient(configuration(scene.names))
        let producer = client.producer(group: "p")
        let task = Task { try await producer.send(Message(topic: "T", text: "x"), timeout: .seconds(60)) }
        #expect(await eventually { !scene.broker.requests(.sendMessageV2).isEmpty })
        await client.shutdown()
        #expect(await #expect(throws: ClientError.self) { try await task.value }?.code == .closed)
        let error = await #expect(throws: ClientError.self) { try await producer.send(Message(topic: "T", text: "y")) }
        #expect(error?.code == .closed)
        #expect(scene.broker.requests(.unregisterClient).first?.fields["producerGroup"] == "p")
    }

    @Test("run ends when it is cancelled, with a clean shutdown")
    func run() async throws {
        let scene = try await Scene()
        let client = try RocketMQClient(configuration(scene.names))
        let running = Task { await client.run() }
        try await client.producer(group: "p").send(Message(topic: "T", text: "x"))
        running.cancel()
        await running.value
        #expect(scene.broker.requests(.unregisterClient).count == 1)
        let error = await #expect(throws: ClientError.self) { try await client.administration.topics() }
        #expect(error?.code == .closed)
    }

    @Test("a client that is forgotten does not live on")
    func abandoned() async throws {
        let scene = try await Scene()
        let memory: WeakClient
        do {
            let client = try RocketMQClient(configuration(scene.names))
            memory = WeakClient(client)
            try await client.producer(group: "p").send(Message(topic: "T", text: "x"))
        }
        #expect(await eventually { memory.client == nil })
    }
}

/// SAFETY: written once, and a weak reference is read atomically.
private final class WeakClient: @unchecked Sendable {
    private(set) weak var client: RocketMQClient?
    init(_ client: RocketMQClient) { self.client = client }
}

@Suite("Connections come back by themselves")
struct ReconnectTests {
    @Test("after the broker closed the connection the next send makes a new one")
    func reconnect() async throws {
        let scene = try await Scene()
        try await scene.withClient { client in
            let producer = client.producer(group: "p")
            try await producer.send(Message(topic: "T", text: "1"))
            scene.broker.dropConnections()
            try await producer.send(Message(topic: "T", text: "2"))
            try await producer.send(Message(topic: "T", text: "3"))
            #expect(scene.broker.requests(.sendMessageV2).count >= 3)
            #expect(scene.broker.acceptedCount == 2)
        }
    }

    @Test("what waits for an answer fails when the connection ends, and is sent again")
    func hangUp() async throws {
        let count = Shared(0)
        let scene = try await Scene { request in
            guard request.code == .sendMessageV2 else { return .reply() }
            count.change { $0 += 1 }
            return count.value == 1 ? .hangUp : stored(request)
        }
        try await scene.withClient { client in
            try await client.producer(group: "p").send(Message(topic: "T", text: "1"))
            #expect(count.value == 2)
        }
    }

    @Test("an answer that is no frame ends the connection, not the process")
    func garbage() async throws {
        let count = Shared(0)
        let scene = try await Scene { request in
            guard request.code == .sendMessageV2 else { return .reply() }
            count.change { $0 += 1 }
            return count.value == 1 ? .garbage : stored(request)
        }
        try await scene.withClient { client in
            try await client.producer(group: "p").send(Message(topic: "T", text: "1"))
            #expect(count.value == 2)
        }
    }

    @Test("a server that is away is not asked again and again")
    func backOff() async throws {
        var configuration = ClientConfiguration(nameServers: ["127.0.0.1:1"])
        configuration.reconnectDelayMinimum = .milliseconds(100)
        try await RocketMQClient.with(configuration) { client in
            let time = await elapsed {
                for _ in 0..<3 {
                    await #expect(throws: ClientError.self) { try await client.administration.topics() }
                }
            }
            // At once, after 100 ms, and after 200 ms more.
            #expect(time >= 290)
        }
    }

    @Test("another name server is asked when one is away, and stays the one that is asked")
    func nameServerFailover() async throws {
        let broker = try await FakeServer(brokerScript)
        let script = nameServerScript(["T"]) { [("b", broker.address)] }
        let first = try await FakeServer(script)
        let second = try await FakeServer(script)
        var configuration = configuration(first, second)
        configuration.routeRefreshInterval = .milliseconds(20)
        try await RocketMQClient.with(configuration) { client in
            let producer = client.producer(group: "p")
            try await producer.send(Message(topic: "T", text: "1"))
            #expect(second.requests.isEmpty)
            first.stop()
            #expect(await eventually { second.requests.count > 3 })
            try await producer.send(Message(topic: "T", text: "2"))
        }
    }

    @Test("a name server that does not answer leaves time for the next one")
    func silentNameServer() async throws {
        let broker = try await FakeServer(brokerScript)
        let first = try await FakeServer { _ in .silence }
        let second = try await FakeServer(nameServerScript(["T"]) { [("b", broker.address)] })
        var configuration = configuration(first, second)
        configuration.requestTimeout = .milliseconds(1000)
        try await RocketMQClient.with(configuration) { client in
            try await client.producer(group: "p").send(Message(topic: "T", text: "1"))
        }
    }
}

@Suite("A producer finds its way")
struct ProducerTests {
    @Test(
        "an answer that another broker may not give is retried there",
        arguments: [1, 2, 14, 16, 17, 204, 205] as [Int32])
    func retry(code: Int32) async throws {
        let bad = try await FakeServer {
            $0.code == .sendMessageV2 ? .reply(ResponseCode(code), remark: "no") : .reply()
        }
        let good = try await FakeServer(brokerScript)
        let names = try await FakeServer(
            nameServerScript(["T"]) { [("bad", bad.address), ("good", good.address)] })
        try await RocketMQClient.with(configuration(names)) { client in
            let producer = client.producer(group: "p")
            for _ in 0..<4 {
                let receipt = try await producer.send(Message(topic: "T", text: "1"))
                #expect(receipt.queue.brokerName == "good")
            }
            #expect(!bad.requests(.sendMessageV2).isEmpty)
        }
    }

    @Test("an answer about the message itself is not retried")
    func noRetry() async throws {
        let scene = try await Scene {
            $0.code == .sendMessageV2 ? .reply(.messageIllegal, remark: "too long") : .reply()
        }
        try await scene.withClient { client in
            let error = await #expect(throws: ClientError.self) {
                try await client.producer(group: "p").send(Message(topic: "T", text: "1"))
            }
            #expect(error?.answer == ClientError.Answer(code: 13, remark: "too long"))
            #expect(error?.isRetriable == false)
            #expect(scene.broker.requests(.sendMessageV2).count == 1)
        }
    }

    @Test(
        "a message that is stored but not durable yet is a success",
        arguments: [(10, .flushTimedOut), (11, .replicaUnavailable), (12, .replicaTimedOut)]
            as [(Int32, SendReceipt.Status)])
    func notDurable(code: Int32, status: SendReceipt.Status) async throws {
        let scene = try await Scene { request in
            .reply(ResponseCode(code), fields: ["msgId": "00", "queueId": "1", "queueOffset": "9"])
        }
        try await scene.withClient { client in
            let receipt = try await client.producer(group: "p").send(Message(topic: "T", text: "1"))
            #expect(receipt.status == status)
            #expect(receipt.queueOffset == QueueOffset(9))
            #expect(receipt.queue.queueID == QueueID(1))
        }
    }

    @Test("an unknown topic takes the route of TBW102; without that it is an error that says so")
    func unknownTopic() async throws {
        let broker = try await FakeServer(brokerScript)
        let names = try await FakeServer(nameServerScript(["TBW102"], { [("b", broker.address)] }, queues: 8))
        try await RocketMQClient.with(configuration(names)) { client in
            let producer = client.producer(group: "p")
            #expect(try await producer.queues(of: "New").count == 4)
            try await producer.send(Message(topic: "New", text: "1"))
            let request = try #require(broker.requests(.sendMessageV2).first)
            #expect(request.fields["c"] == "TBW102")
            #expect(request.fields["d"] == "4")

            var strict = ProducerConfiguration(group: "q")
            strict.defaultTopic = nil
            let error = await #expect(throws: ClientError.self) {
                try await client.producer(strict).send(Message(topic: "Other", text: "1"))
            }
            #expect(error?.code == .topicNotFound)
        }
    }

    @Test("concurrent first sends ask for the route once")
    func sharedRoute() async throws {
        let scene = try await Scene()
        try await scene.withClient { client in
            let producer = client.producer(group: "p")
            try await withThrowingTaskGroup(of: Void.self) { group in
                for number in 0..<50 {
                    group.addTask { try await producer.send(Message(topic: "T", text: "\(number)")) }
                }
                try await group.waitForAll()
            }
            #expect(scene.names.requests(.getRouteInfoByTopic).count == 1)
            #expect(scene.broker.requests(.sendMessageV2).count == 50)
        }
    }

    @Test("no more sends are under way than allowed")
    func inFlight() async throws {
        let scene = try await Scene { $0.code == .sendMessageV2 ? .silence : .reply() }
        try await scene.withClient { client in
            var configuration = ProducerConfiguration(group: "p")
            configuration.inFlightMaximum = 3
            configuration.retryMaximum = 0
            let producer = client.producer(configuration)
            var tickets: [SendTicket] = []
            for number in 0..<3 {
                tickets.append(
                    try await producer.submit(Message(topic: "T", text: "\(number)"), timeout: .milliseconds(2000)))
            }
            let error = await #expect(throws: ClientError.self) {
                try await producer.send(Message(topic: "T", text: "x"), timeout: .milliseconds(100))
            }
            #expect(error?.code == .timedOut)
            #expect(error?.message.hasPrefix("room for another send") == true)
            #expect(scene.broker.requests(.sendMessageV2).count <= 3)
            for ticket in tickets {
                #expect(await #expect(throws: ClientError.self) { try await ticket.receipt }?.code == .timedOut)
            }
            // Their places are free again.
            _ = try await producer.submit(Message(topic: "T", text: "y"), timeout: .milliseconds(100))
        }
    }

    @Test("a one-way message says so, and nobody waits")
    func oneWay() async throws {
        let scene = try await Scene()
        try await scene.withClient { client in
            try await client.producer(group: "p").sendOneWay(Message(topic: "T", text: "1"))
            #expect(await eventually { scene.broker.requests(.sendMessageV2).first?.isOneway == true })
        }
    }

    @Test("messages with one sharding key go to one queue, and a chosen queue is kept")
    func choice() async throws {
        let scene = try await Scene()
        try await scene.withClient { client in
            let producer = client.producer(group: "p")
            var queues: Set<MessageQueue> = []
            for _ in 0..<6 {
                queues.insert(try await producer.send(Message(topic: "T", text: "1", shardingKey: "k")).queue)
            }
            #expect(queues.count == 1)
            let last = try await producer.send(Message(topic: "T", text: "1")) { $0.last }
            #expect(last.queue.queueID == QueueID(1))
            let direct = MessageQueue(topic: "T", brokerName: "b", queueID: QueueID(0))
            #expect(try await producer.send(Message(topic: "T", text: "1"), to: direct).queue == direct)
        }
    }

    @Test("a batch is one request")
    func batch() async throws {
        let scene = try await Scene()
        try await scene.withClient { client in
            let receipt = try await client.producer(group: "p").send(
                contentsOf: (0..<3).map { Message(topic: "T", text: "\($0)") })
            #expect(receipt.messageIDs.count == 3)
            #expect(scene.broker.requests(.sendBatchMessage).first?.fields["m"] == "true")
        }
    }

    @Test("brokers hear of the producer's group in heartbeats")
    func heartbeats() async throws {
        let scene = try await Scene()
        var configuration = configuration(scene.names)
        configuration.heartbeatInterval = .milliseconds(20)
        try await RocketMQClient.with(configuration) { client in
            try await client.producer(group: "p").send(Message(topic: "T", text: "1"))
            #expect(await eventually { scene.broker.requests(.heartbeat).count >= 3 })
            let body = try #require(scene.broker.requests(.heartbeat).first?.body)
            let data = try HeartbeatData(parsing: body.span.bytes)
            #expect(data.producerGroups == ["p", "CLIENT_INNER_PRODUCER"])
            #expect(data.clientID == client.clientID)
        }
    }
}
