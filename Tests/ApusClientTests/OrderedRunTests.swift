import Base
import Testing

@testable import ApusClient

private func configuration() -> PushConsumerConfiguration {
    var configuration = PushConsumerConfiguration(group: "g", subscriptions: ["T": .all])
    configuration.consumeFrom = .firstOffset
    configuration.isOrdered = true
    configuration.localRetryDelay = .milliseconds(5)
    configuration.offsetCommitInterval = .milliseconds(20)
    return configuration
}

private func committed(_ broker: FakeServer) -> String? {
    broker.requests(.updateConsumerOffset).last { $0.fields["topic"] == "T" }?.fields["commitOffset"]
}

/// Consumes `count` messages of one queue with `handler`, which gets the number and the attempt, until all are committed.
private func consume(
    _ count: Int, concurrency: Int = 4, _ handler: @escaping @Sendable (Int, Delivery) async throws -> Void
) async throws {
    let records = (0..<count).map { StoredRecord(body: Array("\($0)".utf8)) }
    let queue = QueueScript(records: records)
    let scene = try await BrokerScene { queue.answer($0) }
    try await scene.withClient { client in
        let consumer = client.pushConsumer(configuration())
        let consuming = Task {
            try await consumer.consumeDeliveries(concurrency: concurrency) { delivery in
                try await handler(Int(delivery.message.text) ?? -1, delivery)
            }
        }
        #expect(await eventually { committed(scene.broker) == "\(count)" })
        consuming.cancel()
        try await consuming.value
    }
}

@Suite("Ordered messages that are taken several at a time", .timeLimit(.minutes(2)))
struct OrderedRunTests {
    @Test("a message that fails holds up all behind it, also those that were taken with it")
    func failure() async throws {
        let log = Shared<[String]>([])
        try await consume(200) { number, delivery in
            log.change { $0.append("\(number).\(delivery.message.attempt)") }
            if number % 7 == 3, delivery.message.attempt == 1 { throw ClientError(.closed, "on purpose") }
        }
        let expected = (0..<200).flatMap { $0 % 7 == 3 ? ["\($0).1", "\($0).2"] : ["\($0).1"] }
        #expect(log.value == expected)
    }

    @Test("so does one whose handler asks for a retry by itself")
    func ownAnswer() async throws {
        let log = Shared<[String]>([])
        try await consume(100) { number, delivery in
            log.change { $0.append("\(number).\(delivery.message.attempt)") }
            if number % 7 == 3, delivery.message.attempt == 1 { delivery.retry() } else { delivery.ack() }
        }
        let expected = (0..<100).flatMap { $0 % 7 == 3 ? ["\($0).1", "\($0).2"] : ["\($0).1"] }
        #expect(log.value == expected)
    }

    @Test("a slow message is acknowledged by itself: nothing that was taken with it holds its offset up")
    func slow() async throws {
        let records = (0..<64).map { StoredRecord(body: Array("\($0)".utf8)) }
        let queue = QueueScript(records: records)
        let scene = try await BrokerScene { queue.answer($0) }
        try await scene.withClient { client in
            let consumer = client.pushConsumer(configuration())
            let consuming = Task {
                try await consumer.consume(concurrency: 1) { message in
                    // Quick ones first, so that many are taken at once; then one that takes long, and one that hangs.
                    if message.text == "20" { try await Task.sleep(for: .milliseconds(10)) }
                    if message.text == "21" { try await Task.sleep(for: .seconds(60)) }
                }
            }
            #expect(await eventually { committed(scene.broker) == "21" })
            consuming.cancel()
            try await consuming.value
        }
    }

    @Test("a message that was taken and not begun comes again with no attempt more")
    func takeBack() throws {
        var queue = ProcessQueue(from: .zero)
        let messages = try (0..<3).map { try StoredRecord(queueOffset: $0, body: [0]).message() }
        queue.append(messages, nextOffset: QueueOffset(3))
        for _ in 0..<3 { _ = queue.takeNext() }
        queue.takeBack(QueueOffset(2))
        queue.takeBack(QueueOffset(1))
        #expect(queue.deliveredCount == 1)
        let again = queue.takeNext()
        #expect(again?.queueOffset == QueueOffset(1))
        #expect(again?.reconsumeTimes == 0)
        #expect(queue.takeNext()?.queueOffset == QueueOffset(2))
        #expect(queue.takeBack(QueueOffset(9)) == nil)
    }

    @Test("of those that were taken together only the first can be stalled")
    func stalled() throws {
        var queue = ProcessQueue(from: .zero)
        let messages = try (0..<3).map { try StoredRecord(queueOffset: $0, body: [0]).message() }
        queue.append(messages, nextOffset: QueueOffset(3))
        for _ in 0..<3 { _ = queue.takeNext(at: MonotonicTime(nanoseconds: 10)) }
        let limit = MonotonicTime(nanoseconds: 20)
        #expect(queue.takeStalled(since: limit, firstOnly: true).map(\.message.queueOffset) == [.zero])
        #expect(queue.takeStalled(since: limit, firstOnly: true).isEmpty)
        queue.acknowledge(.zero)
        #expect(queue.takeStalled(since: limit, firstOnly: true).map(\.message.queueOffset) == [QueueOffset(1)])
    }
}
