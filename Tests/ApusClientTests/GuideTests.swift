import ApusClient
import Foundation
import Testing

/// What the guide's examples talk to besides the broker.
private actor Kitchen {
    private(set) var cooked: [String] = []
    private(set) var stored: Set<String> = []
    func cook(_ text: String) { cooked.append(text) }
    func store(_ key: String) throws { stored.insert(key) }
    func isStored(_ keys: [String]) -> Bool { !stored.isDisjoint(with: keys) }
}

/// The examples of docs/client.md, word for word; ``GuideTests`` compares them, and runs what ends by itself.
private enum Examples {
    /// Not run: nothing listens there.
    static func first() async throws {
        let configuration = ClientConfiguration(nameServers: ["127.0.0.1:9876"])
        try await RocketMQClient.with(configuration) { client in
            let producer = client.producer(group: "orders")
            try await producer.send(Message(topic: "Orders", text: "one pizza"))
        }
    }

    static func send(_ producer: Producer) async throws {
        var message = Message(topic: "Orders", text: "one pizza", tag: "new", keys: ["order-42"])
        message.properties["region"] = "EU"
        message.shardingKey = "customer-7"
        let receipt = try await producer.send(message)
        print(receipt.messageID, receipt.queue, receipt.queueOffset)
    }

    static func many(_ producer: Producer) async throws {
        let lines = (0..<1000).map { Message(topic: "Log", text: "line \($0)") }
        try await producer.sendInBatches(lines)

        var tickets: [SendTicket] = []
        for line in lines { tickets.append(try await producer.submit(line)) }
        for ticket in tickets { _ = try await ticket.receipt }
        try await producer.sendOneWay(Message(topic: "Log", text: "nobody waits for this"))
    }

    static func later(_ producer: Producer) async throws {
        var reminder = Message(topic: "Reminders", text: "your table is ready")
        reminder.deliverAfter = .seconds(90 * 60)
        let later = try await producer.send(reminder)
        try await producer.recall(later)
    }

    static func consume(_ client: RocketMQClient, _ cook: @escaping @Sendable (String) async throws -> Void)
        async throws
    {
        let consumer = client.pushConsumer(group: "kitchen", subscriptions: ["Orders": "new || paid"])
        try await consumer.consume(concurrency: 32) { message in
            try await cook(message.text)
        }
    }

    static func deliveries(_ consumer: PushConsumer) async throws {
        for try await delivery in consumer.deliveries {
            switch delivery.message.text {
            case "not yet": delivery.retry(delayLevel: 3)
            case "never": delivery.deadLetter()
            default: delivery.ack()
            }
        }
    }

    static func sql(_ client: RocketMQClient) -> PushConsumer {
        let european = client.pushConsumer(
            group: "europe", subscriptions: ["Orders": .sql("region = 'EU' AND price BETWEEN 10 AND 20")])
        return european
    }

    static func pull(_ client: RocketMQClient) async throws -> [ReceivedMessage] {
        let reader = client.pullConsumer(group: "audit")
        let queues = try await reader.queues(of: "Orders")
        try await reader.assign(queues)
        try await reader.seek(queues[0], to: .firstOffset)
        let messages = try await reader.poll(maximum: 100)
        try await reader.commit()
        return messages
    }

    static func transaction(_ client: RocketMQClient, _ database: Kitchen) async throws {
        let producer = client.transactionProducer(group: "orders") { message in
            await database.isStored(message.keys) ? .commit : .rollback
        }
        try await producer.send(Message(topic: "Orders", text: "one pizza", keys: ["order-42"])) { receipt in
            try await database.store("order-42")
            return .commit
        }
    }

    static func ask(_ producer: Producer) async throws {
        let answer = try await producer.request(Message(topic: "Prices", text: "pizza"), timeout: .seconds(5))
        print(answer.text)
    }

    static func reply(_ client: RocketMQClient, _ producer: Producer) async throws {
        try await client.pushConsumer(group: "prices", subscriptions: ["Prices": .all]).consume { message in
            try await producer.reply(to: message, text: "seven")
        }
    }
}

@Suite("The guide to the client library", .timeLimit(.minutes(2)))
struct GuideTests {
    /// Lines without their indentation, since examples stand in functions here.
    private static func lines(_ text: some StringProtocol) -> [String] {
        text.split(separator: "\n").map { $0.trimmingCharacters(in: .whitespaces) }.filter { !$0.isEmpty }
    }

    @Test("every example of docs/client.md is in this file, word for word")
    func compiled() throws {
        let here = URL(filePath: #filePath)
        let source = Self.lines(try String(contentsOf: here, encoding: .utf8))
        let root = here.deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
        let guide = try String(contentsOf: root.appending(path: "docs/client.md"), encoding: .utf8)
        let blocks = guide.components(separatedBy: "```swift\n").dropFirst().map {
            $0.components(separatedBy: "```")[0]
        }
        #expect(blocks.count >= 11)
        for block in blocks {
            let wanted = Self.lines(block)
            let isThere = source.indices.contains { start in
                start + wanted.count <= source.count && Array(source[start..<start + wanted.count]) == wanted
            }
            #expect(isThere, "\(wanted.first ?? "")")
        }
    }

    @Test("the examples do what the guide says")
    func run() async throws {
        try await TestCluster.with { cluster in
            let configuration = cluster.configuration
            try await RocketMQClient.with(configuration) { client in
                let producer = client.producer(group: "p")
                try await Examples.send(producer)
                try await Examples.many(producer)
                try await Examples.later(producer)
                let kitchen = Kitchen()
                try await Examples.transaction(client, kitchen)
                let isRead = try await eventually {
                    let texts = try await Examples.pull(client).map(\.text)
                    return !texts.isEmpty && texts.allSatisfy { $0 == "one pizza" }
                }
                #expect(isRead)
                let replier = Task { try await Examples.reply(client, producer) }
                let isAnswered = await eventually { (try? await Examples.ask(producer)) != nil }
                #expect(isAnswered)
                replier.cancel()
                try await replier.value
                let consumer = Examples.sql(client)
                try await consumer.start()
                let sequence = Task { try await Examples.deliveries(consumer) }
                let cook = Task { try await Examples.consume(client) { text in await kitchen.cook(text) } }
                // A new group begins at the end, so the order comes after it has its queues.
                let isCooked = await eventually {
                    try? await Examples.send(producer)
                    return await !kitchen.cooked.isEmpty
                }
                #expect(isCooked)
                await consumer.shutdown()
                try await sequence.value
                cook.cancel()
                try await cook.value
            }
        }
    }
}
