import Base
import Bytes
import Model
import RemotingProtocol
import Testing

@testable import ApusClient

/// What a consumer received: texts, in order, with the queue that each came from.
private typealias Inbox = Shared<[(text: String, queue: MessageQueue)]>

extension Shared where Value == [(text: String, queue: MessageQueue)] {
    fileprivate var texts: [String] { value.map(\.text) }
    fileprivate func add(_ message: ReceivedMessage) { change { $0.append((message.text, message.queue)) } }
}

private func topic(_ name: String, queues: Int32 = 4) -> TopicConfiguration {
    TopicConfiguration(name: name, readQueueCount: queues, writeQueueCount: queues)
}

private func consumerConfiguration(
    _ group: String, _ topic: String, _ filter: MessageFilter = .all
) -> PushConsumerConfiguration {
    var configuration = PushConsumerConfiguration(group: group, subscriptions: [topic: filter])
    configuration.consumeFrom = .firstOffset
    configuration.rebalanceInterval = .milliseconds(500)
    configuration.localRetryDelay = .milliseconds(50)
    configuration.pullRetryDelay = .milliseconds(100)
    configuration.offsetCommitInterval = .milliseconds(100)
    return configuration
}

private func send(_ count: Int, to topic: String, _ client: RocketMQClient, from start: Int = 0) async throws {
    let producer = client.producer(group: "p")
    try await withThrowingTaskGroup(of: Void.self) { group in
        for number in start..<start + count {
            group.addTask { try await producer.send(Message(topic: topic, text: "\(number)"), timeout: .seconds(20)) }
        }
        try await group.waitForAll()
    }
}

private func numbers(_ range: Range<Int>) -> Set<String> { Set(range.map(String.init)) }

/// Messages that a group has not consumed.
private func lag(_ client: RocketMQClient, _ group: String, _ topic: String) async throws -> Int {
    let stats = try await client.administration.consumeStats(group: group, topic: topic)
    return stats.offsets.values.reduce(0) { $0 + $1.brokerOffset.messages(since: $1.consumerOffset) }
}

/// Consumes into `inbox` until cancelled.
private func consume(
    _ client: RocketMQClient, _ configuration: PushConsumerConfiguration, _ inbox: Inbox, concurrency: Int = 8
) -> Task<Void, any Error> {
    Task {
        try await client.pushConsumer(configuration).consume(concurrency: concurrency) { message in
            inbox.add(message)
        }
    }
}

@Suite("Producers and consumers through a cluster of Apus", .timeLimit(.minutes(2)))
struct ClusterTests {
    @Test("every message of many concurrent sends arrives, once, at a sequence of deliveries")
    func endToEnd() async throws {
        try await TestCluster.with { cluster in
            try await RocketMQClient.with(cluster.configuration) { client in
                try await client.administration.createTopic(topic("T"))
                try await send(500, to: "T", client)
                let inbox = Inbox([])
                let consumer = client.pushConsumer(consumerConfiguration("g", "T"))
                for try await delivery in consumer.deliveries {
                    inbox.add(delivery.message)
                    delivery.ack()
                    if inbox.value.count == 500 { break }
                }
                #expect(Set(inbox.texts) == numbers(0..<500))
                await consumer.shutdown()
                let stats = try await client.administration.consumeStats(group: "g", topic: "T")
                #expect(stats.offsets.count == 4)
                #expect(stats.offsets.values.allSatisfy { $0.consumerOffset == $0.brokerOffset })
            }
        }
    }

    @Test(
        "a handler gets messages sent before and after it began, with their properties",
        arguments: [.binary, .json] as [HeaderEncoding])
    func properties(encoding: HeaderEncoding) async throws {
        try await TestCluster.with { cluster in
            var configuration = cluster.configuration
            configuration.encoding = encoding
            try await RocketMQClient.with(configuration) { client in
                let producer = client.producer(group: "p")
                // Nobody created the topic: the first send does.
                let large = String(repeating: "0123456789", count: 1000)
                var message = Message(topic: "New", text: large, tag: "a", keys: ["k1"], properties: ["x": "y"])
                message.flag = 7
                let receipt = try await producer.send(message)
                let received = Shared<[ReceivedMessage]>([])
                let task = Task {
                    try await client.pushConsumer(consumerConfiguration("g", "New", "a || b")).consume {
                        message in received.change { $0.append(message) }
                    }
                }
                #expect(await eventually { received.value.count == 1 })
                try await producer.send(Message(topic: "New", text: "dropped", tag: "c"))
                try await producer.send(Message(topic: "New", text: "kept", tag: "b"))
                #expect(await eventually { received.value.count == 2 })
                let first = try #require(received.value.first)
                #expect(first.text == large)
                #expect(first.messageID == receipt.messageID)
                #expect(first.offsetMessageID == receipt.offsetMessageID)
                #expect(first.tag == "a" && first.keys == ["k1"] && first.property("x") == "y" && first.flag == 7)
                #expect(received.value.last?.text == "kept")
                task.cancel()
                try await task.value
            }
        }
    }

    @Test("messages with one key are consumed in order, one at a time, whatever the concurrency")
    func ordered() async throws {
        try await TestCluster.with { cluster in
            try await RocketMQClient.with(cluster.configuration) { client in
                try await client.administration.createTopic(topic("O"))
                let producer = client.producer(group: "p")
                for number in 0..<40 {
                    for key in ["x", "y", "z"] {
                        try await producer.send(Message(topic: "O", text: "\(key)\(number)", shardingKey: key))
                    }
                }
                let inbox = Inbox([])
                let failed = Shared(false)
                var configuration = consumerConfiguration("g", "O")
                configuration.isOrdered = true
                let task = Task { [configuration] in
                    try await client.pushConsumer(configuration).consume(concurrency: 8) { message in
                        // One message fails once: those behind it have to wait.
                        if message.text == "x7", !failed.value {
                            failed.change { $0 = true }
                            throw ClientError(.closed, "a failure of the handler")
                        }
                        await Task.yield()
                        inbox.add(message)
                    }
                }
                #expect(await eventually { inbox.value.count == 120 })
                task.cancel()
                try await task.value
                for key in ["x", "y", "z"] {
                    let own = inbox.texts.filter { $0.hasPrefix(key) }
                    #expect(own == (0..<40).map { "\(key)\($0)" })
                }
                #expect(failed.value)
            }
        }
    }

    @Test("every broadcasting consumer gets every message")
    func broadcast() async throws {
        try await TestCluster.with { cluster in
            try await RocketMQClient.with(cluster.configuration) { first in
                try await RocketMQClient.with(cluster.configuration) { second in
                    try await first.administration.createTopic(topic("B"))
                    var configuration = consumerConfiguration("g", "B")
                    configuration.model = .broadcasting
                    let inboxes = [Inbox([]), Inbox([])]
                    let tasks = [
                        consume(first, configuration, inboxes[0]), consume(second, configuration, inboxes[1]),
                    ]
                    try await send(100, to: "B", first)
                    for inbox in inboxes {
                        #expect(await eventually { inbox.value.count >= 100 })
                        #expect(Set(inbox.texts) == numbers(0..<100))
                    }
                    for task in tasks {
                        task.cancel()
                        try await task.value
                    }
                }
            }
        }
    }

    @Test("two consumers share the queues, and nothing is lost when one comes and goes", arguments: [false, true])
    func rebalance(isOrdered: Bool) async throws {
        try await TestCluster.with(brokers: ["a", "b"]) { cluster in
            try await RocketMQClient.with(cluster.configuration) { first in
                try await first.administration.createTopic(topic("R"))
                var configuration = consumerConfiguration("g", "R")
                configuration.isOrdered = isOrdered
                let inbox = Inbox([])
                let task = consume(first, configuration, inbox)
                try await send(200, to: "R", first)
                #expect(await eventually { Set(inbox.texts).count == 200 })
                let other = Inbox([])
                try await RocketMQClient.with(cluster.configuration) { second in
                    let consumer = second.pushConsumer(configuration)
                    let otherTask = Task {
                        try await consumer.consume(concurrency: 8) { message in other.add(message) }
                    }
                    let isShared = await eventually {
                        await consumer.assignedQueues.filter { $0.topic == "R" }.count == 4
                    }
                    #expect(isShared)
                    try await send(200, to: "R", first, from: 200)
                    #expect(await eventually { Set(inbox.texts + other.texts).count == 400 })
                    #expect(!other.value.isEmpty)
                    otherTask.cancel()
                    try await otherTask.value
                }
                try await send(100, to: "R", first, from: 400)
                #expect(await eventually { Set(inbox.texts + other.texts) == numbers(0..<500) })
                task.cancel()
                try await task.value
                #expect(try await lag(first, "g", "R") == 0)
            }
        }
    }

    @Test("a broker that is restarted is found again by producers and consumers, and nothing is lost")
    func restart() async throws {
        try await TestCluster.with { cluster in
            try await RocketMQClient.with(cluster.configuration) { client in
                try await client.administration.createTopic(topic("T"))
                let inbox = Inbox([])
                let task = consume(client, consumerConfiguration("g", "T"), inbox)
                try await send(100, to: "T", client)
                #expect(await eventually { Set(inbox.texts).count == 100 })
                await cluster.stopBroker("a")
                let error = await #expect(throws: ClientError.self) {
                    try await client.producer(group: "p").send(
                        Message(topic: "T", text: "lost"), timeout: .milliseconds(300))
                }
                #expect(error?.isRetriable == true || error?.code == .topicNotFound)
                try await cluster.startBroker("a")
                let isBack = await eventually {
                    (try? await client.producer(group: "p").send(Message(topic: "T", text: "0"))) != nil
                }
                #expect(isBack)
                try await send(100, to: "T", client, from: 100)
                #expect(await eventually { Set(inbox.texts).isSuperset(of: numbers(0..<200)) })
                task.cancel()
                try await task.value
            }
        }
    }

    @Test("a consumer that was stopped goes on where it was")
    func resume() async throws {
        try await TestCluster.with { cluster in
            try await RocketMQClient.with(cluster.configuration) { client in
                try await client.administration.createTopic(topic("T", queues: 1))
                try await send(10, to: "T", client)
                var received: [String] = []
                for _ in 0..<2 {
                    try await client.withPushConsumer(consumerConfiguration("g", "T")) { consumer in
                        for _ in 0..<5 {
                            let delivery = try #require(try await consumer.receive())
                            received.append(delivery.message.text)
                            delivery.ack()
                        }
                        // What is pulled and not acknowledged comes again.
                    }
                }
                #expect(Set(received) == numbers(0..<10))
                #expect(received.count == 10)
            }
        }
    }

    @Test("a message whose handler fails comes again, and the offset waits for it")
    func retry() async throws {
        try await TestCluster.with(configure: TestCluster.delaysLittle) { cluster in
            try await RocketMQClient.with(cluster.configuration) { client in
                try await client.administration.createTopic(topic("T", queues: 1))
                try await send(5, to: "T", client)
                let attempts = Shared<[String: Int]>([:])
                let task = Task {
                    try await client.pushConsumer(consumerConfiguration("g", "T")).consume(concurrency: 2) { message in
                        attempts.change { $0[message.text, default: 0] += 1 }
                        if message.text == "2", attempts.value["2"] == 1 { throw ClientError(.closed, "not yet") }
                    }
                }
                #expect(await eventually { attempts.value["2"] == 2 && attempts.value.count == 5 })
                task.cancel()
                try await task.value
                #expect(attempts.value.filter { $0.key != "2" }.values.allSatisfy { $0 == 1 })
                #expect(try await lag(client, "g", "T") == 0)
            }
        }
    }

    @Test("a slow consumer holds back the pulls")
    func backPressure() async throws {
        try await TestCluster.with { cluster in
            try await RocketMQClient.with(cluster.configuration) { client in
                try await client.administration.createTopic(topic("T", queues: 1))
                try await send(300, to: "T", client)
                var configuration = consumerConfiguration("g", "T")
                configuration.cachedMessagesPerQueueMaximum = 40
                configuration.pullBatchMaximum = 16
                try await client.withPushConsumer(configuration) { consumer in
                    var open: [Delivery] = []
                    for number in 0..<300 {
                        let delivery = try #require(try await consumer.receive())
                        #expect(delivery.message.queueOffset == QueueOffset(Int64(number)))
                        open.append(delivery)
                        #expect(await consumer.core.cachedCount <= 40 + 16)
                        if open.count == 30 {
                            for delivery in open { delivery.ack() }
                            open = []
                        }
                    }
                    for delivery in open { delivery.ack() }
                }
                #expect(try await lag(client, "g", "T") == 0)
            }
        }
    }

    @Test("a pull consumer reads where it is told, and commits what it returned")
    func pull() async throws {
        try await TestCluster.with { cluster in
            try await RocketMQClient.with(cluster.configuration) { client in
                try await client.administration.createTopic(topic("P", queues: 2))
                try await send(50, to: "P", client)
                var configuration = PullConsumerConfiguration(group: "g")
                configuration.consumeFrom = .firstOffset
                let consumer = client.pullConsumer(configuration)
                let queues = try await consumer.queues(of: "P")
                #expect(queues.count == 2)
                try await consumer.assign(queues)
                var texts: [String] = []
                while texts.count < 50 {
                    let messages = try await consumer.poll(maximum: 7)
                    #expect(!messages.isEmpty && messages.count <= 7)
                    texts += messages.map(\.text)
                }
                #expect(Set(texts) == numbers(0..<50))
                try await consumer.commit()
                for queue in queues {
                    let end = try await consumer.offset(queue, at: .lastOffset)
                    #expect(try await consumer.position(queue) == end)
                    #expect(try await consumer.committed(queue) == end)
                    #expect(try await consumer.offset(queue, at: .firstOffset) == .zero)
                    #expect(try await consumer.offset(queue, at: .timestamp(Timestamp(milliseconds: 0))) == .zero)
                }
                let time = try await elapsed {
                    let messages = try await consumer.poll(timeout: .milliseconds(200))
                    #expect(messages.isEmpty)
                }
                #expect(time >= 200)
                try await consumer.seek(queues[0], to: .firstOffset)
                #expect(try await consumer.poll(maximum: 1).first?.queueOffset == .zero)
                #expect(try await consumer.position(queues[0]) == QueueOffset(1))
                async let late = consumer.poll(timeout: .seconds(10))
                await consumer.seek(queues[0], to: try await consumer.offset(queues[0], at: .lastOffset))
                try await client.producer(group: "p").send(Message(topic: "P", text: "late"), to: queues[1])
                _ = try await late
            }
        }
    }

    @Test("operators see and change topics, groups, offsets and messages")
    func administration() async throws {
        try await TestCluster.with(brokers: ["a", "b"]) { cluster in
            try await RocketMQClient.with(cluster.configuration) { client in
                let administration = client.administration
                #expect(try await administration.clusterInfo().brokers.keys.sorted() == ["a", "b"])
                try await administration.createTopic(topic("T", queues: 2))
                #expect(try await administration.topics().contains("T"))
                #expect(try await administration.route(of: "T").queues.map(\.brokerName).sorted() == ["a", "b"])
                let producer = client.producer(group: "p")
                let receipt = try await producer.send(Message(topic: "T", text: "hi", keys: ["k"]))
                let stats = try await administration.topicStats("T")
                #expect(stats.offsets.count == 4)
                #expect(stats.offsets[receipt.queue]?.maximumOffset == QueueOffset(1))
                #expect(try await administration.message(offsetMessageID: receipt.offsetMessageID).text == "hi")
                let found = try await eventually {
                    let byKey = try await administration.messages(topic: "T", key: "k")
                    let byID = try await administration.message(topic: "T", messageID: receipt.messageID)
                    return byKey.first?.text == "hi" && byID?.text == "hi"
                }
                #expect(found)

                try await administration.createGroup(GroupConfiguration(name: "g"))
                #expect(try await administration.groups().contains { $0.name == "g" })
                try await administration.setCommittedOffset(receipt.queue, QueueOffset(1), group: "g")
                #expect(try await administration.committedOffset(receipt.queue, group: "g") == QueueOffset(1))
                #expect(try await administration.groups(ofTopic: "T") == ["g"])
                try await client.withPushConsumer(consumerConfiguration("g", "T")) { consumer in
                    try await consumer.start()
                    let connections = try await administration.consumerConnections(group: "g")
                    #expect(connections.connections.map(\.clientID) == [client.clientID])
                    #expect(connections.subscriptions.map(\.topic) == ["%RETRY%g", "T"])
                }
                let error = await #expect(throws: ClientError.self) {
                    try await administration.consumerConnections(group: "g")
                }
                #expect(error?.answer?.code == 206)
                try await administration.deleteGroup("g")
                #expect(try await !administration.groups().contains { $0.name == "g" })
                try await administration.deleteTopic("T")
                #expect(
                    await #expect(throws: ClientError.self) { try await administration.route(of: "T") }?.code
                        == .topicNotFound)
            }
        }
    }

    @Test("moved offsets move the members that are online")
    func reset() async throws {
        try await TestCluster.with { cluster in
            try await RocketMQClient.with(cluster.configuration) { client in
                try await client.administration.createTopic(topic("T", queues: 2))
                try await send(20, to: "T", client)
                let inbox = Inbox([])
                let consumer = client.pushConsumer(consumerConfiguration("g", "T"))
                let task = Task { try await consumer.consume { message in inbox.add(message) } }
                let isRead = await eventually { inbox.value.count == 20 }
                #expect(isRead)
                // The broker resets groups only that have stored where they stand.
                await consumer.commitOffsets()
                try await client.administration.resetOffsets(group: "g", topic: "T", to: Timestamp(milliseconds: 0))
                let isReadAgain = await eventually { inbox.value.count == 40 }
                #expect(isReadAgain)
                task.cancel()
                try await task.value
            }
        }
    }

    @Test("tools hear from a member where it stands, and how it is")
    func questions() async throws {
        try await TestCluster.with { cluster in
            try await RocketMQClient.with(cluster.configuration) { client in
                try await client.administration.createTopic(topic("T", queues: 2))
                try await send(20, to: "T", client)
                let inbox = Inbox([])
                let consumer = client.pushConsumer(consumerConfiguration("g", "T"))
                let task = Task { try await consumer.consume { message in inbox.add(message) } }
                let isRead = await eventually { inbox.value.count == 20 }
                #expect(isRead)
                let broker = try #require(try await client.administration.masters().first).address
                let clientID = client.core.identity.clientID
                let status = try await client.core.call(
                    Request(
                        .invokeBrokerToGetConsumerStatus, GetConsumerStatusHeader(topic: "T", group: "g"),
                        json: GetConsumerStatusBody.self), to: broker)
                let offsets = try #require(status.consumers[clientID])
                #expect(offsets.count == 2)
                #expect(offsets.values.reduce(0) { $0 + $1.rawValue } == 20)
                let information = try await client.core.call(
                    Request(
                        .getConsumerRunningInfo,
                        GetConsumerRunningInfoHeader(consumerGroup: "g", clientID: clientID),
                        json: ConsumerRunningInfo.self), to: broker)
                #expect(information.document["mqTable"]?.members?.count ?? 0 >= 2)
                #expect(information.document["properties"]?["PROP_CONSUME_TYPE"] == "CONSUME_PASSIVELY")
                let topics = information.document["subscriptionSet"]?.arrayValue?.compactMap {
                    $0["topic"]?.stringValue
                }
                #expect(topics?.contains("T") == true)
                task.cancel()
                try await task.value
            }
        }
    }
}
