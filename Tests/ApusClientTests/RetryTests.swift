import Base
import Bytes
import Model
import RemotingProtocol
import Testing

@testable import ApusClient

private func record(_ text: String, attempts: Int32 = 0, _ properties: [(name: String, value: String)] = [])
    -> StoredRecord
{
    StoredRecord(
        body: Array(text.utf8), properties: [("UNIQ_KEY", "id-\(text)"), ("KEYS", "k")] + properties,
        reconsumeTimes: attempts)
}

private func configuration() -> PushConsumerConfiguration {
    var configuration = PushConsumerConfiguration(group: "g", subscriptions: ["T": .all])
    configuration.consumeFrom = .firstOffset
    configuration.localRetryDelay = .milliseconds(20)
    configuration.offsetCommitInterval = .milliseconds(50)
    configuration.handOverTimeout = .milliseconds(500)
    return configuration
}

/// The properties that a send carried.
private func properties(_ request: FakeServer.Request) -> [String: String] {
    let bytes = Array((request.fields["i"] ?? "").utf8)
    return Dictionary(MessageProperties.decode(bytes.span.bytes).map { ($0.name, $0.value) }) { $1 }
}

/// The last offset that the group has stored.
private func committed(_ broker: FakeServer) -> String? {
    broker.requests(.updateConsumerOffset).last { $0.fields["topic"] == "T" }?.fields["commitOffset"]
}

@Suite("A message that failed comes again, or goes to the dead letters", .timeLimit(.minutes(2)))
struct RetryTests {
    @Test(
        "the broker is asked to take it back, at the level that was chosen",
        arguments: [(0, nil, nil), (5, nil, nil), (0, 7, "7"), (-1, nil, nil)] as [(Int32, Int32?, String?)])
    func sendBack(level: Int32, maximum: Int32?, maximumOnWire: String?) async throws {
        let queue = QueueScript(records: [record("a"), record("b")])
        let scene = try await BrokerScene { queue.answer($0) }
        try await scene.withClient { client in
            var configuration = configuration()
            configuration.reconsumeMaximum = maximum
            try await client.withPushConsumer(configuration) { consumer in
                let first = try #require(try await consumer.receive())
                #expect(first.message.attempt == 1)
                first.retry(delayLevel: level)
                try #require(try await consumer.receive()).ack()
                let isSent = await eventually { committed(scene.broker) == "2" }
                #expect(isSent)
            }
            let request = try #require(scene.broker.requests(.consumerSendMessageBack).first)
            #expect(request.fields["group"] == "g")
            #expect(request.fields["delayLevel"] == "\(level)")
            #expect(request.fields["originTopic"] == "T")
            #expect(request.fields["offset"] == "0")
            #expect(request.fields["bname"] == "b")
            #expect(request.fields["maxReconsumeTimes"] == maximumOnWire)
        }
    }

    @Test("when the broker does not take it back, a copy is sent to the retry topic", arguments: [0, 4, -1] as [Int32])
    func fallBack(level: Int32) async throws {
        let queue = QueueScript(
            topic: "%RETRY%g",
            records: [record("a", attempts: 2, [("RETRY_TOPIC", "T"), ("ORIGIN_MESSAGE_ID", "first")])])
        let scene = try await BrokerScene { request in
            request.code == .consumerSendMessageBack ? .reply(.systemError, remark: "no") : queue.answer(request)
        }
        try await scene.withClient { client in
            try await client.withPushConsumer(configuration()) { consumer in
                let delivery = try #require(try await consumer.receive())
                #expect(delivery.message.topic == "T")
                #expect(delivery.message.attempt == 3)
                #expect(delivery.message.originMessageID == "first")
                delivery.retry(delayLevel: level)
                let isSent = await eventually { !scene.broker.requests(.sendMessageV2).isEmpty }
                #expect(isSent)
            }
            let copy = try #require(scene.broker.requests(.sendMessageV2).first)
            let properties = properties(copy)
            #expect(copy.fields["b"] == "%RETRY%g")
            #expect(copy.fields["j"] == "3")
            #expect(copy.fields["l"] == (level < 0 ? "0" : nil))
            #expect(copy.body == Array("a".utf8))
            #expect(properties["RETRY_TOPIC"] == "T")
            #expect(properties["RECONSUME_TIME"] == "3")
            #expect(properties["ORIGIN_MESSAGE_ID"] == "first")
            #expect(properties["UNIQ_KEY"] == "id-a" && properties["KEYS"] == "k")
            #expect(properties["DELAY"] == (level < 0 ? nil : level > 0 ? "4" : "5"))
        }
    }

    @Test("when neither works the message is tried here, and the offset waits for it")
    func local() async throws {
        let queue = QueueScript(records: [record("a"), record("b")])
        let scene = try await BrokerScene { request in
            switch request.code {
            case .consumerSendMessageBack, .sendMessageV2: .reply(.systemError, remark: "no")
            default: queue.answer(request)
            }
        }
        try await scene.withClient { client in
            try await client.withPushConsumer(configuration()) { consumer in
                try #require(try await consumer.receive()).retry()
                try #require(try await consumer.receive()).ack()
                let again = try #require(try await consumer.receive())
                #expect(again.message.text == "a")
                #expect(again.message.attempt == 2)
                #expect(committed(scene.broker) ?? "0" == "0")
                again.ack()
                #expect(await eventually { committed(scene.broker) == "2" })
            }
        }
    }

    @Test("ordered consumption tries a message here, holding its queue, and gives it up after its last attempt")
    func ordered() async throws {
        let queue = QueueScript(records: [record("a"), record("b")])
        let scene = try await BrokerScene { queue.answer($0) }
        try await scene.withClient { client in
            var configuration = configuration()
            configuration.isOrdered = true
            configuration.reconsumeMaximum = 2
            let attempts = Shared<[String]>([])
            try await client.withPushConsumer(configuration) { consumer in
                while let delivery = try await consumer.receive() {
                    attempts.change { $0.append("\(delivery.message.text)\(delivery.message.attempt)") }
                    guard delivery.message.text == "a" else {
                        delivery.ack()
                        break
                    }
                    delivery.retry()
                }
                #expect(await eventually { committed(scene.broker) == "2" })
            }
            #expect(attempts.value == ["a1", "a2", "a3", "b1"])
            let back = scene.broker.requests(.consumerSendMessageBack)
            #expect(back.map { $0.fields["delayLevel"] } == ["-1"])
        }
    }

    @Test("an ordered message can go to the dead letters at once")
    func orderedDeadLetter() async throws {
        let queue = QueueScript(records: [record("a"), record("b")])
        let scene = try await BrokerScene { queue.answer($0) }
        try await scene.withClient { client in
            var configuration = configuration()
            configuration.isOrdered = true
            try await client.withPushConsumer(configuration) { consumer in
                try #require(try await consumer.receive()).deadLetter()
                let second = try #require(try await consumer.receive())
                #expect(second.message.text == "b")
                second.ack()
            }
            #expect(scene.broker.requests(.consumerSendMessageBack).first?.fields["delayLevel"] == "-1")
        }
    }

    @Test("a broadcast that failed is not repeated, and is sent to nobody")
    func broadcast() async throws {
        let queue = QueueScript(records: [record("a"), record("b")])
        let scene = try await BrokerScene { queue.answer($0) }
        try await scene.withClient { client in
            var configuration = configuration()
            configuration.model = .broadcasting
            try await client.withPushConsumer(configuration) { consumer in
                try #require(try await consumer.receive()).retry()
                let second = try #require(try await consumer.receive())
                #expect(second.message.text == "b")
                second.ack()
            }
            #expect(scene.broker.requests(.consumerSendMessageBack).isEmpty)
            #expect(scene.broker.requests(.sendMessageV2).isEmpty)
        }
    }

    @Test("a message without an answer is reported and sent back")
    func stall() async throws {
        let queue = QueueScript(records: [record("a"), record("b")])
        let scene = try await BrokerScene { queue.answer($0) }
        try await scene.withClient { client in
            let stalled = Shared<[StalledDelivery]>([])
            var configuration = configuration()
            configuration.consumeTimeout = .milliseconds(100)
            configuration.onStall = { delivery in stalled.change { $0.append(delivery) } }
            try await client.withPushConsumer(configuration) { consumer in
                let hung = try #require(try await consumer.receive())
                try #require(try await consumer.receive()).ack()
                #expect(await eventually { committed(scene.broker) == "2" })
                #expect(stalled.value.map(\.message.text) == ["a"])
                #expect(stalled.value.allSatisfy { $0.isSentBack && $0.elapsed >= .milliseconds(100) })
                let back = scene.broker.requests(.consumerSendMessageBack)
                #expect(back.map { $0.fields["delayLevel"] } == ["3"])
                // An answer that comes after all changes nothing.
                hung.ack()
            }
            #expect(scene.broker.requests(.consumerSendMessageBack).count == 1)
        }
    }

    @Test("an ordered message without an answer is reported once, and stays")
    func orderedStall() async throws {
        let queue = QueueScript(records: [record("a"), record("b")])
        let scene = try await BrokerScene { queue.answer($0) }
        try await scene.withClient { client in
            let stalled = Shared<[StalledDelivery]>([])
            var configuration = configuration()
            configuration.isOrdered = true
            configuration.consumeTimeout = .milliseconds(60)
            configuration.onStall = { delivery in stalled.change { $0.append(delivery) } }
            try await client.withPushConsumer(configuration) { consumer in
                let hung = try #require(try await consumer.receive())
                #expect(await eventually { stalled.value.count == 1 })
                hung.ack()
                try #require(try await consumer.receive()).ack()
            }
            // On a busy machine the second may have taken its time too.
            #expect(stalled.value.filter { $0.message.text == "a" }.count == 1)
            #expect(stalled.value.first?.isSentBack == false)
            #expect(scene.broker.requests(.consumerSendMessageBack).isEmpty)
        }
    }

    @Test("a shutdown waits for the answers to messages that are out")
    func handOver() async throws {
        let queue = QueueScript(records: [record("a"), record("b")])
        let scene = try await BrokerScene { queue.answer($0) }
        try await scene.withClient { client in
            var configuration = configuration()
            configuration.handOverTimeout = .seconds(20)
            let consumer = client.pushConsumer(configuration)
            let first = try #require(try await consumer.receive())
            let second = try #require(try await consumer.receive())
            async let end: Void = consumer.shutdown()
            first.ack()
            let isLeft = await eventually(within: 1) { !scene.broker.requests(.unregisterClient).isEmpty }
            #expect(!isLeft)
            second.ack()
            await end
            #expect(committed(scene.broker) == "2")
        }
    }

    @Test("what has no answer in time is left behind")
    func handOverTimeout() async throws {
        let queue = QueueScript(records: [record("a"), record("b")])
        let scene = try await BrokerScene { queue.answer($0) }
        try await scene.withClient { client in
            var configuration = configuration()
            configuration.handOverTimeout = .milliseconds(100)
            let consumer = client.pushConsumer(configuration)
            let first = try #require(try await consumer.receive())
            try #require(try await consumer.receive()).ack()
            await consumer.shutdown()
            #expect(committed(scene.broker) ?? "0" == "0")
            first.ack()
        }
    }

    @Test("a paused queue hands out nothing until it goes on")
    func pause() async throws {
        let queue = QueueScript(records: [record("a"), record("b")])
        let scene = try await BrokerScene { queue.answer($0) }
        try await scene.withClient { client in
            try await client.withPushConsumer(configuration()) { consumer in
                try #require(try await consumer.receive()).ack()
                let assigned = await consumer.assignedQueues.first { $0.topic == "T" }
                let own = try #require(assigned)
                for isAll in [false, true] {
                    if isAll { await consumer.pause() } else { await consumer.pause(own) }
                }
                let received = Shared<[String]>([])
                let task = Task {
                    let delivery = try #require(try await consumer.receive())
                    received.change { $0.append(delivery.message.text) }
                    delivery.ack()
                }
                #expect(await !eventually(within: 1) { !received.value.isEmpty })
                await consumer.resume(own)
                #expect(await !eventually(within: 1) { !received.value.isEmpty })
                await consumer.resume()
                try await task.value
                #expect(received.value == ["b"])
            }
        }
    }

    @Test("a subscription by SQL is checked when it is made, and its mistake is the consumer's error")
    func sql() async throws {
        let scene = try await BrokerScene { request in
            request.code == .checkClientConfig ? .reply(.subscriptionParseFailed, remark: "at 3: no operator") : nil
        }
        try await scene.withClient { client in
            var configuration = configuration()
            configuration.subscriptions = ["T": .sql("a >")]
            let consumer = client.pushConsumer(configuration)
            let error = await #expect(throws: ClientError.self) { try await consumer.start() }
            #expect(error?.answer?.code == ResponseCode.subscriptionParseFailed.rawValue)
            #expect(error?.message.contains("at 3") == true)
            let body = try #require(scene.broker.requests(.checkClientConfig).first?.body)
            let check = try CheckClientConfigBody(parsing: body.span.bytes)
            #expect(check.subscription.expressionType == "SQL92")
            #expect(check.subscription.expression == "a >")
            #expect(check.group == "g")
        }
    }

    @Test(
        "a pull consumer has its expression checked before it pulls, for RocketMQ answers a mistake with every message")
    func pulledSQL() async throws {
        let scene = try await BrokerScene { request in
            request.code == .checkClientConfig ? .reply(.subscriptionParseFailed, remark: "at 3: no operator") : nil
        }
        try await scene.withClient { client in
            var configuration = PullConsumerConfiguration(group: "g")
            configuration.filter = .sql("a >")
            let consumer = client.pullConsumer(configuration)
            try await consumer.assign(try await consumer.queues(of: "T"))
            let error = await #expect(throws: ClientError.self) { try await consumer.poll(timeout: .seconds(10)) }
            #expect(error?.answer?.code == ResponseCode.subscriptionParseFailed.rawValue)
            #expect(scene.broker.requests(.pullMessage).isEmpty)
        }
    }
}

@Suite("Messages that are out of a queue")
struct StalledTests {
    @Test("a message is stalled from its time on, once for each delivery")
    func stalled() throws {
        var queue = ProcessQueue(from: .zero)
        var records = [record("a"), record("b"), record("c")]
        for index in records.indices { records[index].queueOffset = Int64(index) }
        queue.append(try records.map { try $0.message() }, nextOffset: QueueOffset(3))
        _ = queue.takeNext(at: MonotonicTime(nanoseconds: 10))
        _ = queue.takeNext(at: MonotonicTime(nanoseconds: 20))
        #expect(queue.deliveredCount == 2)
        #expect(queue.takeStalled(since: MonotonicTime(nanoseconds: 9)).isEmpty)
        #expect(queue.takeStalled(since: MonotonicTime(nanoseconds: 10)).map(\.message.text) == ["a"])
        #expect(queue.takeStalled(since: MonotonicTime(nanoseconds: 30)).map(\.message.text) == ["b"])
        #expect(queue.takeStalled(since: MonotonicTime(nanoseconds: 30)).isEmpty)
        queue.putBack(.zero)
        #expect(queue.deliveredCount == 1)
        _ = queue.takeNext(at: MonotonicTime(nanoseconds: 40))
        #expect(queue.takeStalled(since: MonotonicTime(nanoseconds: 40)).map(\.message.text) == ["a"])
        queue.acknowledge(QueueOffset(1))
        queue.acknowledge(.zero)
        #expect(queue.deliveredCount == 0)
    }
}
