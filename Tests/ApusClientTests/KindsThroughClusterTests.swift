import Base
import Model
import RemotingProtocol
import Runtime
import Testing

@testable import ApusClient

private typealias Texts = Shared<[String]>

private func configuration(
    _ group: String, _ topic: String, _ filter: MessageFilter = .all
) -> PushConsumerConfiguration {
    var configuration = PushConsumerConfiguration(group: group, subscriptions: [topic: filter])
    configuration.consumeFrom = .firstOffset
    configuration.rebalanceInterval = .milliseconds(500)
    configuration.localRetryDelay = .milliseconds(50)
    configuration.offsetCommitInterval = .milliseconds(100)
    return configuration
}

private func create(_ name: String, queues: Int32 = 4, _ client: RocketMQClient) async throws {
    try await client.administration.createTopic(
        TopicConfiguration(name: name, readQueueCount: queues, writeQueueCount: queues))
}

/// Consumes until cancelled.
private func consume(
    _ client: RocketMQClient, _ configuration: PushConsumerConfiguration,
    _ handler: @escaping @Sendable (ReceivedMessage) async throws -> Void
) -> Task<Void, any Error> {
    Task { try await client.pushConsumer(configuration).consume(concurrency: 8, handler) }
}

@Suite("Every kind of message through a cluster of Apus", .timeLimit(.minutes(2)))
struct KindsThroughClusterTests {
    // MARK: - Retry and dead letters

    @Test(
        "a message that always fails comes again as often as allowed, with its ids, and then lies among the dead letters"
    )
    func deadLetter() async throws {
        try await TestCluster.with(configure: TestCluster.delaysLittle) { cluster in
            try await RocketMQClient.with(cluster.configuration) { client in
                try await create("T", queues: 1, client)
                let receipt = try await client.producer(group: "p").send(
                    Message(topic: "T", text: "bad", tag: "t", keys: ["k"], properties: ["color": "red"]))
                let attempts = Shared<[ReceivedMessage]>([])
                var configuration = configuration("g", "T")
                configuration.reconsumeMaximum = 3
                let task = consume(client, configuration) { message in
                    attempts.change { $0.append(message) }
                    throw ClientError(.closed, "never")
                }
                let letters = client.pullConsumer(group: "reader")
                let letter = Shared<ReceivedMessage?>(nil)
                let isDead = await eventually(within: 40) {
                    guard let queues = try? await letters.queues(of: "%DLQ%g"), let queue = queues.first else {
                        return false
                    }
                    try? await letters.seek(queue, to: .firstOffset)
                    guard let message = try? await letters.poll(timeout: .seconds(1)).first else { return false }
                    letter.change { $0 = message }
                    return true
                }
                #expect(isDead)
                #expect(attempts.value.map(\.attempt) == [1, 2, 3, 4])
                for message in attempts.value {
                    #expect(message.topic == "T" && message.messageID == receipt.messageID && message.keys == ["k"])
                    #expect(message.originMessageID == receipt.offsetMessageID)
                }
                let dead = try #require(letter.value)
                #expect(dead.text == "bad" && dead.originTopic == "T" && dead.messageID == receipt.messageID)
                #expect(dead.originMessageID == receipt.offsetMessageID)
                task.cancel()
                try await task.value
                // It can be sent again, to be consumed this time.
                try await client.producer(group: "p").send(Message(copying: dead))
                try await client.withPushConsumer(configuration) { consumer in
                    let again = try #require(try await consumer.receive())
                    #expect(again.message.text == "bad" && again.message.tag == "t" && again.message.keys == ["k"])
                    #expect(again.message.property("color") == "red" && again.message.attempt == 1)
                    again.ack()
                }
            }
        }
    }

    @Test("a delivery chooses when to come again, or goes to the dead letters at once", arguments: [false, true])
    func choice(isOrdered: Bool) async throws {
        try await TestCluster.with(configure: TestCluster.delaysLittle) { cluster in
            try await RocketMQClient.with(cluster.configuration) { client in
                try await create("T", queues: 1, client)
                let producer = client.producer(group: "p")
                for text in ["later", "never", "now"] { try await producer.send(Message(topic: "T", text: text)) }
                var configuration = configuration("g", "T")
                configuration.isOrdered = isOrdered
                let log = Texts([])
                let consumer = client.pushConsumer(configuration)
                let task = Task {
                    try await consumer.consumeDeliveries(concurrency: 4) { delivery in
                        log.change { $0.append("\(delivery.message.text)\(delivery.message.attempt)") }
                        switch delivery.message.text {
                        case "later" where delivery.message.attempt == 1: delivery.retry(delayLevel: 2)
                        case "never": delivery.deadLetter()
                        default: delivery.ack()
                        }
                    }
                }
                let isDone = await eventually { log.value.count == 4 }
                #expect(isDone)
                if isOrdered { #expect(log.value == ["later1", "later2", "never1", "now1"]) }
                #expect(Set(log.value) == ["later1", "later2", "never1", "now1"])
                let isDead = await eventually {
                    let stats = try? await client.administration.topicStats("%DLQ%g")
                    return stats?.offsets.values.contains { $0.maximumOffset == QueueOffset(1) } == true
                }
                #expect(isDead)
                task.cancel()
                try await task.value
            }
        }
    }

    @Test("what fails in a group that is new comes again without waiting for the next regular rebalance")
    func firstRetry() async throws {
        try await TestCluster.with(configure: TestCluster.delaysLittle) { cluster in
            try await RocketMQClient.with(cluster.configuration) { client in
                try await create("T", client)
                try await client.producer(group: "p").send(Message(topic: "T", text: "m"))
                var configuration = configuration("g", "T")
                configuration.rebalanceInterval = .seconds(600)
                try await client.withPushConsumer(configuration) { consumer in
                    try #require(try await consumer.receive()).retry()
                    let again = try #require(try await consumer.receive())
                    #expect(again.message.attempt == 2)
                    again.ack()
                }
            }
        }
    }

    // MARK: - Where reading begins

    @Test("a new group begins where it is told", arguments: 0..<3)
    func consumeFrom(place: Int) async throws {
        try await TestCluster.with { cluster in
            try await RocketMQClient.with(cluster.configuration) { client in
                try await create("W", queues: 1, client)
                let producer = client.producer(group: "p")
                try await producer.send(Message(topic: "W", text: "old"))
                try await Task.sleep(for: .milliseconds(20))
                let middle = SystemClock().timestamp
                try await Task.sleep(for: .milliseconds(20))
                try await producer.send(Message(topic: "W", text: "young"))
                var configuration = configuration("g", "W")
                configuration.consumeFrom = [.firstOffset, .timestamp(middle), .lastOffset][place]
                let texts = Texts([])
                let consumer = client.pushConsumer(configuration)
                let task = Task { try await consumer.consume { message in texts.change { $0.append(message.text) } } }
                let isAssigned = await eventually { await consumer.assignedQueues.contains { $0.topic == "W" } }
                #expect(isAssigned)
                try await producer.send(Message(topic: "W", text: "new"))
                let isRead = await eventually { texts.value.last == "new" }
                #expect(isRead)
                // Of a young queue nothing is passed over, as in RocketMQ.
                let all: Set = ["old", "young", "new"]
                let expected = [all, ["young", "new"], all][place]
                #expect(Set(texts.value) == expected)
                task.cancel()
                try await task.value
            }
        }
    }

    @Test("a broadcasting consumer that comes back under its name goes on where it was")
    func broadcastOffsets() async throws {
        try await TestCluster.with { cluster in
            var settings = cluster.configuration
            settings.instanceName = "reader"
            var configuration = configuration("g", "B")
            configuration.model = .broadcasting
            configuration.broadcastOffsetFolder = cluster.folder + "/offsets"
            let texts = Texts([])
            for round in 0..<3 {
                try await RocketMQClient.with(settings) { client in
                    if round == 0 { try await create("B", client) }
                    let producer = client.producer(group: "p")
                    for number in 0..<10 {
                        try await producer.send(Message(topic: "B", text: "\(round * 10 + number)"))
                    }
                    let task = consume(client, configuration) { message in texts.change { $0.append(message.text) } }
                    let isRead = await eventually { texts.value.count >= (round + 1) * 10 }
                    #expect(isRead)
                    task.cancel()
                    try await task.value
                }
            }
            #expect(texts.value.count == 30 && Set(texts.value).count == 30)
        }
    }

    // MARK: - Order

    @Test("the order of a key is kept while a broker restarts and members come and go")
    func order() async throws {
        try await TestCluster.with { cluster in
            try await RocketMQClient.with(cluster.configuration) { client in
                try await create("O", client)
                let texts = Texts([])
                var configuration = configuration("g", "O")
                configuration.isOrdered = true
                configuration.pullRetryDelay = .milliseconds(100)
                let handler: @Sendable (ReceivedMessage) async throws -> Void = { message in
                    try? await Task.sleep(for: .milliseconds(1))
                    texts.change { $0.append(message.text) }
                }
                let first = consume(client, configuration, handler)
                let sender = Task {
                    let producer = client.producer(group: "p")
                    for number in 0..<200 {
                        for key in ["x", "y", "z"] {
                            let message = Message(topic: "O", text: "\(key)\(number)", shardingKey: key)
                            // A send that fails is repeated until it is stored, before the next one of its key.
                            while (try? await producer.send(message, timeout: .seconds(1))) == nil {
                                try await Task.sleep(for: .milliseconds(20))
                            }
                        }
                    }
                }
                _ = await eventually { texts.value.count > 50 }
                await cluster.stopBroker("a")
                try await cluster.startBroker("a")
                try await RocketMQClient.with(cluster.configuration) { other in
                    let second = consume(other, configuration, handler)
                    let count = texts.value.count
                    _ = await eventually { texts.value.count > count + 100 }
                    second.cancel()
                    try await second.value
                }
                try await sender.value
                let wanted = 600
                let isRead = await eventually(within: 60) { Set(texts.value).count == wanted }
                #expect(isRead)
                for key in ["x", "y", "z"] {
                    // Messages may come twice around a restart; the first time of each must be in order.
                    var seen: Set<String> = []
                    let own = texts.value.filter { $0.hasPrefix(key) && seen.insert($0).inserted }
                    #expect(own == (0..<200).map { "\(key)\($0)" })
                }
                first.cancel()
                try await first.value
            }
        }
    }

    // MARK: - Delay

    @Test("a delayed message comes when it is due", arguments: 0..<3)
    func delay(way: Int) async throws {
        try await TestCluster.with { cluster in
            try await RocketMQClient.with(cluster.configuration) { client in
                try await create("D", client)
                var message = Message(topic: "D", text: "later", keys: ["k"])
                let start = SystemClock().timestamp
                switch way {
                case 0: message.delayLevel = 1
                case 1: message.deliverAt = Timestamp(milliseconds: start.milliseconds + 1000)
                default: message.deliverAfter = .seconds(1)
                }
                let consumer = client.pushConsumer(configuration("g", "D"))
                try await consumer.start()
                let receipt = try await client.producer(group: "p").send(message)
                let delivery = try #require(try await consumer.receive())
                #expect(SystemClock().timestamp.milliseconds - start.milliseconds >= 1000)
                #expect(delivery.message.text == "later" && delivery.message.topic == "D")
                #expect(delivery.message.messageID == receipt.messageID && delivery.message.keys == ["k"])
                delivery.ack()
                await consumer.shutdown()
            }
        }
    }

    @Test("a delayed message that was recalled never comes")
    func recall() async throws {
        try await TestCluster.with { cluster in
            try await RocketMQClient.with(cluster.configuration) { client in
                try await create("D", client)
                let producer = client.producer(group: "p")
                var receipts: [SendReceipt] = []
                for text in ["by receipt", "by handle", "kept"] {
                    var message = Message(topic: "D", text: text)
                    message.deliverAfter = .seconds(3)
                    receipts.append(try await producer.send(message))
                }
                try await producer.recall(receipts[0])
                try await producer.recall(topic: "D", handle: try #require(receipts[1].recallHandle))
                let texts = Texts([])
                let task = consume(client, configuration("g", "D")) { message in
                    texts.change { $0.append(message.text) }
                }
                let isRead = await eventually { !texts.value.isEmpty }
                #expect(isRead)
                let isMore = await eventually(within: 1) { texts.value.count > 1 }
                #expect(!isMore && texts.value == ["kept"])
                task.cancel()
                try await task.value
            }
        }
    }

    // MARK: - Transactions

    @Test("a transaction's message is delivered when it is committed, and never when it is rolled back")
    func transactions() async throws {
        try await TestCluster.with { cluster in
            try await RocketMQClient.with(cluster.configuration) { client in
                try await create("T", client)
                let texts = Texts([])
                let task = consume(client, configuration("g", "T")) { message in
                    texts.change { $0.append(message.text) }
                }
                let producer = client.transactionProducer(group: "p") { _ in .unknown }
                for number in 0..<20 {
                    try await producer.send(Message(topic: "T", text: "\(number)", tag: "t", keys: ["k\(number)"])) {
                        _ in
                        number % 2 == 0 ? .commit : .rollback
                    }
                }
                try await client.producer(group: "q").send(Message(topic: "T", text: "last"))
                let isRead = await eventually { texts.value.count == 11 }
                #expect(isRead)
                #expect(Set(texts.value) == Set((0..<20).filter { $0 % 2 == 0 }.map(String.init) + ["last"]))
                task.cancel()
                try await task.value
            }
        }
    }

    @Test("a broker asks what became of a transaction, also a process that comes after the one that sent it")
    func checks() async throws {
        try await TestCluster.with(configure: TestCluster.checksSoon) { cluster in
            try await RocketMQClient.with(cluster.configuration) { first in
                try await create("T", first)
                let producer = first.transactionProducer(group: "p") { _ in .unknown }
                try await producer.send(Message(topic: "T", text: "left behind")) { _ in .unknown }
            }
            try await RocketMQClient.with(cluster.configuration) { second in
                let texts = Texts([])
                let asked = Texts([])
                let task = consume(second, configuration("g", "T")) { message in
                    texts.change { $0.append(message.text) }
                }
                let producer = second.transactionProducer(group: "p") { message in
                    asked.change { $0.append("\(message.topic) \(message.text)") }
                    // The first time nobody knows.
                    return asked.value.count > 1 ? .commit : .unknown
                }
                try await producer.start()
                let isRead = await eventually { texts.value == ["left behind"] }
                #expect(isRead)
                #expect(asked.value.count == 2 && asked.value.allSatisfy { $0 == "T left behind" })
                task.cancel()
                try await task.value
            }
        }
    }

    // MARK: - Requests

    @Test("requests get their replies, each its own, through whichever broker")
    func requests() async throws {
        try await TestCluster.with(brokers: ["a", "b"]) { cluster in
            try await RocketMQClient.with(cluster.configuration) { server in
                try await create("Q", server)
                let replier = server.producer(group: "replies")
                let task = consume(server, configuration("g", "Q")) { message in
                    #expect(message.isRequest)
                    try await replier.reply(to: message, text: "re: " + message.text)
                }
                try await RocketMQClient.with(cluster.configuration) { client in
                    let producer = client.producer(group: "requests")
                    let replies = try await withThrowingTaskGroup(of: String.self) { group in
                        for number in 0..<50 {
                            group.addTask {
                                try await producer.request(
                                    Message(topic: "Q", text: "\(number)"), timeout: .seconds(30)
                                ).text
                            }
                        }
                        return try await group.reduce(into: Set<String>()) { $0.insert($1) }
                    }
                    #expect(replies == Set((0..<50).map { "re: \($0)" }))
                }
                task.cancel()
                try await task.value
            }
        }
    }

    @Test("whoever asked and went away is not replied to")
    func lateReply() async throws {
        try await TestCluster.with { cluster in
            try await RocketMQClient.with(cluster.configuration) { server in
                try await create("Q", server)
                try await RocketMQClient.with(cluster.configuration) { client in
                    let error = await #expect(throws: ClientError.self) {
                        try await client.producer(group: "p").request(
                            Message(topic: "Q", text: "?"), timeout: .seconds(2))
                    }
                    #expect(error?.code == .timedOut)
                }
                let consumer = server.pushConsumer(configuration("g", "Q"))
                let delivery = try #require(try await consumer.receive())
                let error = await #expect(throws: ClientError.self) {
                    try await server.producer(group: "r").reply(to: delivery.message, text: "late")
                }
                #expect(error?.code == .refused)
                delivery.ack()
                await consumer.shutdown()
            }
        }
    }

    // MARK: - Filters

    @Test("an SQL subscription gets what its expression says, pushed and pulled")
    func sql() async throws {
        try await TestCluster.with { cluster in
            try await RocketMQClient.with(cluster.configuration) { client in
                try await create("F", queues: 2, client)
                let texts = Texts([])
                let filter = MessageFilter.sql("a > 5 AND region IN ('EU', 'US')")
                let task = consume(client, configuration("g", "F", filter)) { message in
                    texts.change { $0.append(message.text) }
                }
                let producer = client.producer(group: "p")
                for number in 0..<20 {
                    let properties = ["a": "\(number)", "region": number % 2 == 0 ? "EU" : "ASIA"]
                    try await producer.send(Message(topic: "F", text: "\(number)", properties: properties))
                }
                let expected = Set((6..<20).filter { $0 % 2 == 0 }.map(String.init))
                let isRead = await eventually { texts.value.count >= expected.count }
                #expect(isRead)
                #expect(Set(texts.value) == expected)
                task.cancel()
                try await task.value

                var pull = PullConsumerConfiguration(group: "h")
                (pull.filter, pull.consumeFrom) = (filter, .firstOffset)
                let consumer = client.pullConsumer(pull)
                try await consumer.assign(try await consumer.queues(of: "F"))
                var pulled: Set<String> = []
                while pulled.count < expected.count {
                    let messages = try await consumer.poll(timeout: .seconds(10))
                    guard !messages.isEmpty else { break }
                    pulled.formUnion(messages.map(\.text))
                }
                #expect(pulled == expected)
            }
        }
    }

    @Test("a mistake in an expression is an error at once, with its place")
    func wrongSQL() async throws {
        try await TestCluster.with { cluster in
            try await RocketMQClient.with(cluster.configuration) { client in
                try await create("F", client)
                let pushed = await #expect(throws: ClientError.self) {
                    try await client.pushConsumer(configuration("g", "F", .sql("a > > 5"))).start()
                }
                #expect(pushed?.code == .refused)
                var pull = PullConsumerConfiguration(group: "h")
                (pull.filter, pull.consumeFrom) = (.sql("a IN ("), .firstOffset)
                let consumer = client.pullConsumer(pull)
                try await consumer.assign(try await consumer.queues(of: "F"))
                let time = await elapsed {
                    let pulled = await #expect(throws: ClientError.self) {
                        try await consumer.poll(timeout: .seconds(60))
                    }
                    #expect(pulled?.code == .refused)
                }
                #expect(time < 30_000)
            }
        }
    }

    // MARK: - Large

    @Test(
        "bodies are compressed on the way, by any codec", arguments: [.zlib, .lz4, .zstd, nil] as [CompressionCodec?])
    func compression(codec: CompressionCodec?) async throws {
        try await TestCluster.with { cluster in
            try await RocketMQClient.with(cluster.configuration) { client in
                try await create("L", queues: 1, client)
                var producer = ProducerConfiguration(group: "p")
                producer.compression = codec
                let text = String(repeating: "all work and no play ", count: 20_000)
                try await client.producer(producer).send(Message(topic: "L", text: text))
                try await client.withPushConsumer(configuration("g", "L")) { consumer in
                    let delivery = try #require(try await consumer.receive())
                    #expect(delivery.message.text == text)
                    #expect(delivery.message.flags.contains(.compressed) == (codec != nil))
                    delivery.ack()
                }
            }
        }
    }

    @Test("thousands of messages go in batches and all arrive")
    func batches() async throws {
        try await TestCluster.with { cluster in
            try await RocketMQClient.with(cluster.configuration) { client in
                try await create("N", client)
                var producer = ProducerConfiguration(group: "p")
                producer.batchSizeMaximum = 64 * 1024
                let messages = (0..<3000).map { number in
                    Message(topic: "N", text: "\(number)", tag: "t\(number % 3)", keys: ["k\(number)"])
                }
                let receipts = try await client.producer(producer).sendInBatches(messages, timeout: .seconds(20))
                #expect(receipts.count > 1 && receipts.reduce(0) { $0 + $1.messageIDs.count } == 3000)
                let texts = Shared<Set<String>>([])
                let task = consume(client, configuration("g", "N")) { message in
                    texts.change { $0.insert(message.text) }
                }
                let isRead = await eventually { texts.value.count == 3000 }
                #expect(isRead)
                task.cancel()
                try await task.value
            }
        }
    }

    // MARK: - One at a time

    @Test("exclusive consumers never have a message at the same time, while members come and go")
    func exclusive() async throws {
        try await TestCluster.with { cluster in
            try await RocketMQClient.with(cluster.configuration) { client in
                try await create("X", client)
                let working = Shared<[String: Int]>([:])
                let overlaps = Shared(0)
                let done = Shared<Set<String>>([])
                let handler: @Sendable (ReceivedMessage) async throws -> Void = { message in
                    working.change { $0[message.text, default: 0] += 1 }
                    if working.value[message.text] != 1 { overlaps.change { $0 += 1 } }
                    try? await Task.sleep(for: .milliseconds(20))
                    working.change { $0[message.text, default: 0] -= 1 }
                    done.change { $0.insert(message.text) }
                }
                var configuration = configuration("g", "X")
                configuration.isExclusive = true
                let first = consume(client, configuration, handler)
                let producer = client.producer(group: "p")
                for number in 0..<300 { try await producer.send(Message(topic: "X", text: "\(number)")) }
                for _ in 0..<3 {
                    try await RocketMQClient.with(cluster.configuration) { other in
                        let consumer = other.pushConsumer(configuration)
                        let task = Task { try await consumer.consume(concurrency: 8, handler) }
                        _ = await eventually(within: 5) {
                            await !consumer.assignedQueues.filter { $0.topic == "X" }.isEmpty
                        }
                        task.cancel()
                        try await task.value
                    }
                }
                let isDone = await eventually(within: 40) { done.value.count == 300 }
                #expect(isDone)
                #expect(overlaps.value == 0)
                first.cancel()
                try await first.value
            }
        }
    }
}
