import Base
import Bytes
import Compression
import Model
import RemotingProtocol
import Testing

@testable import ApusClient

/// The properties that a send carried.
private func properties(_ request: FakeServer.Request) -> [String: String] {
    let bytes = Array((request.fields["i"] ?? "").utf8)
    return Dictionary(MessageProperties.decode(bytes.span.bytes).map { ($0.name, $0.value) }) { $1 }
}

private func message(_ text: String = "m", _ change: (inout Message) -> Void) -> Message {
    var message = Message(topic: "T", text: text)
    change(&message)
    return message
}

@Suite("Messages can be delivered later", .timeLimit(.minutes(1)))
struct DelayTests {
    @Test("the broker is told when", arguments: [0, 1, 2])
    func delay(way: Int) async throws {
        let scene = try await BrokerScene()
        try await scene.withClient { client in
            let message = message {
                switch way {
                case 0: $0.delayLevel = 3
                case 1: $0.deliverAt = Timestamp(milliseconds: 1_900_000_000_123)
                default: $0.deliverAfter = .milliseconds(1500)
                }
            }
            try await client.producer(group: "p").send(message)
            let sent = properties(try #require(scene.broker.requests(.sendMessageV2).first))
            #expect(sent["DELAY"] == (way == 0 ? "3" : nil))
            #expect(sent["TIMER_DELIVER_MS"] == (way == 1 ? "1900000000123" : nil))
            #expect(sent["TIMER_DELAY_MS"] == (way == 2 ? "1500" : nil))
        }
    }

    @Test("delays that contradict each other, or are none, are refused before they are sent", arguments: 0..<6)
    func wrong(number: Int) async throws {
        let scene = try await BrokerScene()
        try await scene.withClient { client in
            let message = message {
                switch number {
                case 0: ($0.delayLevel, $0.deliverAfter) = (1, .seconds(1))
                case 1: ($0.deliverAt, $0.deliverAfter) = (Timestamp(milliseconds: 1), .seconds(1))
                case 2: $0.delayLevel = -1
                case 3: $0.deliverAfter = .seconds(-1)
                case 4: $0.deliverAt = Timestamp(milliseconds: -1)
                default: $0.properties = ["TIMER_DELAY_SEC": "x"]
                }
            }
            let error = await #expect(throws: ClientError.self) { try await client.producer(group: "p").send(message) }
            #expect(error?.code == .invalidArgument)
            #expect(scene.broker.requests(.sendMessageV2).isEmpty)
        }
    }

    @Test("a delayed message can be cancelled by its receipt, and by its handle")
    func recall() async throws {
        // base64url of "v1 T b 1900000000123 ABC".
        let handle = "djEgVCBiIDE5MDAwMDAwMDAxMjMgQUJD"
        let scene = try await BrokerScene { request in
            guard request.code == .sendMessageV2 else { return nil }
            return .reply(fields: ["msgId": "x", "queueId": "0", "queueOffset": "0", "recallHandle": handle])
        }
        try await scene.withClient { client in
            let producer = client.producer(group: "p")
            let receipt = try await producer.send(message { $0.deliverAfter = .seconds(60) })
            #expect(receipt.recallHandle == handle)
            try await producer.recall(receipt)
            try await producer.recall(topic: "T", handle: handle)
            let requests = scene.broker.requests(.recallMessage)
            #expect(requests.count == 2)
            for request in requests {
                #expect(request.fields["producerGroup"] == "p" && request.fields["topic"] == "T")
                #expect(request.fields["recallHandle"] == handle && request.fields["bname"] == "b")
            }
            for nonsense in ["", "nonsense", "%%%"] {
                let error = await #expect(throws: ClientError.self) {
                    try await producer.recall(topic: "T", handle: nonsense)
                }
                #expect(error?.code == .invalidArgument)
            }
        }
    }
}

@Suite("Messages of a transaction", .timeLimit(.minutes(1)))
struct TransactionTests {
    /// A broker that stores half messages.
    private static let half: @Sendable (FakeServer.Request) -> FakeServer.Answer? = { request in
        guard request.code == .sendMessageV2 else { return nil }
        return .reply(fields: [
            "msgId": "7F000001000078BF00000000000002CB", "queueId": "0", "queueOffset": "5", "transactionId": "tx",
        ])
    }

    @Test(
        "the broker hears how the local transaction ended",
        arguments: [(.commit, "8"), (.rollback, "12"), (.unknown, "0")] as [(TransactionOutcome, String)])
    func outcome(outcome: TransactionOutcome, onWire: String) async throws {
        let scene = try await BrokerScene(broker: Self.half)
        try await scene.withClient { client in
            let producer = client.transactionProducer(group: "p") { _ in .unknown }
            let receipt = try await producer.send(Message(topic: "T", text: "m"), checkImmunity: .seconds(9)) { half in
                #expect(half.transactionID == "tx")
                #expect(scene.broker.requests(.endTransaction).isEmpty)
                return outcome
            }
            #expect(receipt.outcome == outcome)
            let isEnded = await eventually { !scene.broker.requests(.endTransaction).isEmpty }
            #expect(isEnded)
            let sent = try #require(scene.broker.requests(.sendMessageV2).first)
            #expect(sent.fields["f"] == "4")
            let properties = properties(sent)
            #expect(properties["TRAN_MSG"] == "true" && properties["PGROUP"] == "p")
            #expect(properties["CHECK_IMMUNITY_TIME_IN_SECONDS"] == "9")
            let end = try #require(scene.broker.requests(.endTransaction).first)
            #expect(end.isOneway)
            #expect(end.fields["producerGroup"] == "p" && end.fields["commitOrRollback"] == onWire)
            #expect(end.fields["tranStateTableOffset"] == "5" && end.fields["commitLogOffset"] == "\(0x2CB)")
            #expect(end.fields["msgId"] == receipt.half.messageID && end.fields["transactionId"] == "tx")
            #expect(end.fields["fromTransactionCheck"] == "false")
            // The broker knew the group before it got the half message.
            let codes = scene.broker.requests.map(\.code)
            let heartbeat = try #require(codes.firstIndex(of: .heartbeat))
            #expect(heartbeat < codes.firstIndex(of: .sendMessageV2) ?? 0)
        }
    }

    @Test("a local transaction that throws leaves the outcome open, and its error comes out")
    func failure() async throws {
        let scene = try await BrokerScene(broker: Self.half)
        try await scene.withClient { client in
            let producer = client.transactionProducer(group: "p") { _ in .unknown }
            let error = await #expect(throws: ClientError.self) {
                try await producer.send(Message(topic: "T", text: "m")) { _ in throw ClientError(.closed, "mine") }
            }
            #expect(error?.message == "mine")
            #expect(
                await eventually { scene.broker.requests(.endTransaction).first?.fields["commitOrRollback"] == "0" })
        }
    }

    @Test("a half message that is not durable is rolled back, and the local transaction does not run")
    func notDurable() async throws {
        let scene = try await BrokerScene { request in
            guard request.code == .sendMessageV2 else { return nil }
            let fields = ["msgId": "7F000001000078BF00000000000002CB", "queueId": "0", "queueOffset": "5"]
            return .reply(.flushDiskTimeout, fields: fields)
        }
        try await scene.withClient { client in
            let producer = client.transactionProducer(group: "p") { _ in .unknown }
            let receipt = try await producer.send(Message(topic: "T", text: "m")) { _ in
                Issue.record("the transaction ran")
                return .commit
            }
            #expect(receipt.outcome == .rollback)
            #expect(
                await eventually { scene.broker.requests(.endTransaction).first?.fields["commitOrRollback"] == "12" })
        }
    }

    @Test("a broker that asks is answered by the checker", arguments: [true, false])
    func check(isFailing: Bool) async throws {
        let scene = try await BrokerScene(broker: Self.half)
        try await scene.withClient { client in
            let producer = client.transactionProducer(group: "p") { message in
                #expect(message.topic == "T" && message.text == "old")
                if isFailing { throw ClientError(.closed, "no database") }
                return .commit
            }
            try await producer.send(Message(topic: "T", text: "m")) { _ in .rollback }
            let record = StoredRecord(
                queueOffset: 3, physicalOffset: 99, body: Array("old".utf8),
                properties: [("UNIQ_KEY", "id"), ("PGROUP", "p"), ("TRAN_MSG", "true")])
            let fields = ["tranStateTableOffset": "3", "commitLogOffset": "99", "msgId": "id", "transactionId": "tx9"]
            scene.broker.push(.checkTransactionState, fields: fields, body: record.bytes)
            // Of a group that nobody here is in.
            var stranger = record
            stranger.properties = [("PGROUP", "other")]
            scene.broker.push(.checkTransactionState, fields: fields, body: stranger.bytes)
            scene.broker.push(.checkTransactionState, fields: fields, body: [1, 2, 3])
            let isAnswered = await eventually { scene.broker.requests(.endTransaction).count == 2 }
            #expect(isAnswered)
            let end = try #require(scene.broker.requests(.endTransaction).last)
            #expect(end.fields["fromTransactionCheck"] == "true")
            #expect(end.fields["commitOrRollback"] == (isFailing ? "0" : "8"))
            #expect(end.fields["tranStateTableOffset"] == "3" && end.fields["commitLogOffset"] == "99")
            #expect(end.fields["msgId"] == "id" && end.fields["transactionId"] == "tx9")
        }
    }

    @Test("delayed messages and a second producer of the group are refused")
    func refusals() async throws {
        let scene = try await BrokerScene(broker: Self.half)
        try await scene.withClient { client in
            let producer = client.transactionProducer(group: "p") { _ in .unknown }
            let delayed = await #expect(throws: ClientError.self) {
                try await producer.send(message { $0.delayLevel = 1 }) { _ in .commit }
            }
            #expect(delayed?.code == .invalidArgument)
            try await producer.start()
            let second = client.transactionProducer(group: "p") { _ in .unknown }
            let error = await #expect(throws: ClientError.self) { try await second.start() }
            #expect(error?.code == .invalidArgument)
            await producer.shutdown()
            try await client.transactionProducer(group: "p") { _ in .unknown }.start()
        }
    }
}

@Suite("Requests and replies", .timeLimit(.minutes(1)))
struct ReplyTests {
    @Test("a request waits for the reply that the broker passes on", arguments: [false, true])
    func request(isCompressed: Bool) async throws {
        let scene = try await BrokerScene()
        try await scene.withClient { client in
            async let reply = client.producer(group: "p").request(
                Message(topic: "T", text: "how much?"), timeout: .seconds(20))
            let isSent = await eventually { !scene.broker.requests(.sendMessageV2).isEmpty }
            #expect(isSent)
            let sent = properties(try #require(scene.broker.requests(.sendMessageV2).first))
            let id = try #require(sent["CORRELATION_ID"])
            #expect(sent["REPLY_TO_CLIENT"] == client.clientID && sent["TTL"] == "20000")
            var body = Array("seven".utf8)
            if isCompressed {
                let buffer = ByteBuffer()
                try CompressionCodec.zlib.compress(body.span.bytes, into: buffer, level: 5)
                body = buffer.bytes.array()
            }
            var fields = [
                "producerGroup": "q", "topic": "C_REPLY_TOPIC", "defaultTopic": "TBW102", "defaultTopicQueueNums": "4",
                "queueId": "0", "sysFlag": isCompressed ? "769" : "0", "bornTimestamp": "1", "flag": "0",
                "bornHost": "/127.0.0.1:5", "storeHost": "127.0.0.1:6", "storeTimestamp": "2",
            ]
            for (other, code) in [("\(id)x", ResponseCode.success), (id, .success), (id, .success)] {
                fields["properties"] = "CORRELATION_ID\u{1}\(other)\u{2}x\u{1}y"
                scene.broker.push(.pushReplyMessageToClient, fields: fields, body: body, isOneway: false)
                let isAnswered = await eventually { scene.broker.responses.last?.code.rawValue == code.rawValue }
                #expect(isAnswered)
            }
            fields["properties"] = "x\u{1}y"
            scene.broker.push(.pushReplyMessageToClient, fields: fields, body: body, isOneway: false)
            #expect(
                await eventually {
                    scene.broker.responses.last?.code.rawValue == ResponseCode.systemError.rawValue
                })
            let message = try await reply
            #expect(message.text == "seven" && message.property("x") == "y")
            #expect(message.bornHost.description == "127.0.0.1:5")
        }
    }

    @Test("a request that nobody answers fails at its deadline, and nothing is left of it")
    func timeout() async throws {
        let scene = try await BrokerScene()
        try await scene.withClient { client in
            let error = await #expect(throws: ClientError.self) {
                try await client.producer(group: "p").request(
                    Message(topic: "T", text: "?"), timeout: .milliseconds(300))
            }
            #expect(error?.code == .timedOut)
            let left = await client.core.replies.count
            #expect(left == 0)
        }
    }

    @Test("a reply goes to the broker that had the request")
    func reply() async throws {
        let scene = try await BrokerScene()
        try await scene.withClient { client in
            let producer = client.producer(group: "q")
            _ = try await producer.queues(of: "T")
            var record = StoredRecord(properties: [
                ("CORRELATION_ID", "c1"), ("REPLY_TO_CLIENT", "asker"), ("TTL", "3000"), ("CLUSTER", "C"),
            ])
            let request = try record.message()
            #expect(request.isRequest)
            try await producer.reply(to: request, text: "seven")
            let sent = try #require(scene.broker.requests(.sendReplyMessageV2).first)
            #expect(sent.fields["b"] == "C_REPLY_TOPIC" && sent.body == Array("seven".utf8))
            let properties = properties(sent)
            #expect(properties["MSG_TYPE"] == "reply" && properties["CORRELATION_ID"] == "c1")
            #expect(properties["REPLY_TO_CLIENT"] == "asker" && properties["TTL"] == "3000")
            record.properties = []
            let plain = try record.message()
            let error = await #expect(throws: ClientError.self) { try await producer.reply(to: plain, text: "x") }
            #expect(error?.code == .invalidArgument)
        }
    }
}

@Suite("Many messages, and large ones", .timeLimit(.minutes(1)))
struct BatchTests {
    @Test("messages are put into batches by topic, key and size")
    func split() {
        func texts(_ batches: [[Message]]) -> [[String]] {
            batches.map { $0.map { String(decoding: $0.body, as: UTF8.self) } }
        }
        let small = (0..<5).map { Message(topic: "T", text: "\($0)") }
        #expect(texts(MessageBatches.split(small, sizeMaximum: 10_000)) == [["0", "1", "2", "3", "4"]])
        #expect(texts(MessageBatches.split(small, sizeMaximum: 330)) == [["0", "1"], ["2", "3"], ["4"]])
        #expect(texts(MessageBatches.split(small, sizeMaximum: 1)).count == 5)
        let mixed = [("T", "a"), ("U", "b"), ("T", "c"), ("U", "d")].map { Message(topic: $0.0, text: $0.1) }
        #expect(texts(MessageBatches.split(mixed, sizeMaximum: 10_000)) == [["a", "c"], ["b", "d"]])
        let keyed = ["x", "y", "x"].map { Message(topic: "T", text: $0, shardingKey: $0) }
        #expect(texts(MessageBatches.split(keyed, sizeMaximum: 10_000)) == [["x", "x"], ["y"]])
        let delayed = [message("0") { _ in }, message("1") { $0.delayLevel = 1 }, message("2") { _ in }]
        #expect(texts(MessageBatches.split(delayed, sizeMaximum: 10_000)) == [["0", "2"], ["1"]])
        #expect(MessageBatches.split([], sizeMaximum: 1).isEmpty)
    }

    @Test("any number of messages is sent in batches, and a failure tells what was stored")
    func batches() async throws {
        let sends = Shared(0)
        let scene = try await BrokerScene { request in
            guard request.code == .sendBatchMessage else { return nil }
            sends.change { $0 += 1 }
            return sends.value > 2 ? .reply(.messageIllegal, remark: "no") : nil
        }
        try await scene.withClient { client in
            var configuration = ProducerConfiguration(group: "p")
            configuration.batchSizeMaximum = 3000
            let messages = (0..<40).map { Message(topic: "T", text: "\($0)", tag: "t\($0 % 3)", keys: ["k\($0)"]) }
            let error = await #expect(throws: ClientError.self) {
                try await client.producer(configuration).sendInBatches(messages)
            }
            #expect(error?.stored.count == 2)
            #expect(scene.broker.requests(.sendBatchMessage).allSatisfy { $0.body.count <= 3000 })
            configuration.batchSizeMaximum = 1 << 20
            let receipts = try await client.producer(configuration).sendInBatches([Message(topic: "T", text: "1")])
            #expect(receipts.count == 1)
        }
    }

    @Test(
        "a large body is compressed, with the bits that say how",
        arguments: [(.zlib, 0x301), (.lz4, 0x101), (.zstd, 0x201)] as [(CompressionCodec, Int32)])
    func compression(codec: CompressionCodec, flags: Int32) async throws {
        let scene = try await BrokerScene()
        try await scene.withClient { client in
            var configuration = ProducerConfiguration(group: "p")
            configuration.compression = codec
            configuration.compressionThreshold = 100
            let text = String(repeating: "0123456789", count: 1000)
            let producer = client.producer(configuration)
            try await producer.send(Message(topic: "T", text: text))
            try await producer.send(Message(topic: "T", text: "short"))
            let sent = scene.broker.requests(.sendMessageV2)
            #expect(sent.map { $0.fields["f"] } == ["\(flags)", "0"])
            let body = try #require(sent.first?.body)
            #expect(body.count < 1000)
            var received = try StoredRecord(body: body, flags: MessageFlags(rawValue: flags)).message()
            #expect(received.isBodyCompressed)
            try received.decompress()
            #expect(received.text == text && !received.isBodyCompressed)
        }
    }

    @Test("a message that is larger than allowed is not sent")
    func tooLarge() async throws {
        let scene = try await BrokerScene()
        try await scene.withClient { client in
            var configuration = ProducerConfiguration(group: "p")
            configuration.messageSizeMaximum = 10
            let error = await #expect(throws: ClientError.self) {
                try await client.producer(configuration).send(Message(topic: "T", text: "0123456789A"))
            }
            #expect(error?.code == .messageTooLarge)
            #expect(error?.message == "the body has 11 bytes, 10 are allowed")
            #expect(scene.broker.requests(.sendMessageV2).isEmpty)
        }
    }
}

@Suite("A slow broker slows its senders down", .timeLimit(.minutes(1)))
struct BackPressureTests {
    @Test("sends wait for room by count and by bytes, and do not fail for it", arguments: [true, false])
    func room(isByCount: Bool) async throws {
        let isOpen = Shared(false)
        let scene = try await BrokerScene { request in
            request.code == .sendMessageV2 && !isOpen.value ? .silence : nil
        }
        try await scene.withClient { client in
            var configuration = ProducerConfiguration(group: "p")
            configuration.sendTimeout = .seconds(2)
            configuration.retryMaximum = 0
            if isByCount { configuration.inFlightMaximum = 2 } else { configuration.inFlightBytesMaximum = 2500 }
            let producer = client.producer(configuration)
            let submitted = Shared(0)
            let body = [UInt8](repeating: 7, count: 1000)
            let task = Task {
                var tickets: [SendTicket] = []
                for _ in 0..<6 {
                    tickets.append(try await producer.submit(Message(topic: "T", body: body)))
                    submitted.change { $0 += 1 }
                }
                return tickets
            }
            #expect(await eventually { submitted.value == 2 })
            #expect(await !eventually(within: 1) { submitted.value > 2 })
            isOpen.change { $0 = true }
            // The first two find out that they were never answered; the others waited longer than a send may take, and do not
            // fail for it.
            let tickets = try await task.value
            var stored = 0
            for ticket in tickets { if (try? await ticket.receipt) != nil { stored += 1 } }
            #expect(stored == 4)
        }
    }

    @Test("many sends at once do not fail for waiting, but keep to a deadline of their own")
    func waiting() async throws {
        let isOpen = Shared(false)
        let scene = try await BrokerScene { request in
            request.code == .sendMessageV2 && !isOpen.value ? .silence : nil
        }
        try await scene.withClient { client in
            var configuration = ProducerConfiguration(group: "p")
            configuration.sendTimeout = .seconds(2)
            configuration.retryMaximum = 0
            configuration.inFlightMaximum = 1
            let producer = client.producer(configuration)
            let first = Task { try await producer.send(Message(topic: "T", text: "0")) }
            #expect(await eventually { scene.broker.requests(.sendMessageV2).count == 1 })
            let patient = Task { try await producer.send(Message(topic: "T", text: "1")) }
            let error = await #expect(throws: ClientError.self) {
                try await producer.send(Message(topic: "T", text: "2"), timeout: .milliseconds(200))
            }
            #expect(error?.code == .timedOut)
            isOpen.change { $0 = true }
            await #expect(throws: ClientError.self) { try await first.value }
            _ = try await patient.value
        }
    }

    @Test("one-way messages wait for a broker that does not read, and none is lost")
    func oneWay() async throws {
        let isDeaf = Shared(true)
        let scene = try await BrokerScene { request in
            request.code == .sendMessageV2 ? (isDeaf.value ? .deafness : .silence) : nil
        }
        try await scene.withClient { client in
            var configuration = ProducerConfiguration(group: "p")
            configuration.compression = nil
            configuration.sendTimeout = .seconds(1)
            let producer = client.producer(configuration)
            let sent = Shared(0)
            let body = [UInt8](repeating: 7, count: 1 << 20)
            let task = Task {
                for _ in 0..<60 {
                    try await producer.sendOneWay(Message(topic: "T", body: body))
                    sent.change { $0 += 1 }
                }
            }
            // Sockets take some, and the client's buffer; then the sender has to wait, for longer than a send may take.
            let isDone = await eventually(within: 3) { sent.value == 60 }
            #expect(!isDone && sent.value > 0)
            isDeaf.change { $0 = false }
            scene.broker.resumeReading()
            try await task.value
            let isThere = await eventually { scene.broker.requests(.sendMessageV2).count == 60 }
            #expect(isThere)
        }
    }

    @Test("a message that is larger than all room goes when nothing else is under way")
    func larger() async throws {
        let scene = try await BrokerScene()
        try await scene.withClient { client in
            var configuration = ProducerConfiguration(group: "p")
            configuration.inFlightBytesMaximum = 10
            let producer = client.producer(configuration)
            try await withThrowingTaskGroup(of: Void.self) { group in
                for _ in 0..<5 {
                    group.addTask { try await producer.send(Message(topic: "T", text: "more than ten bytes")) }
                }
                try await group.waitForAll()
            }
            #expect(scene.broker.requests(.sendMessageV2).count == 5)
        }
    }

    @Test("whoever gives up waiting makes room for those behind")
    func givingUp() async throws {
        let isOpen = Shared(false)
        let scene = try await BrokerScene { request in
            request.code == .sendMessageV2 && !isOpen.value ? .silence : nil
        }
        try await scene.withClient { client in
            var configuration = ProducerConfiguration(group: "p")
            configuration.inFlightBytesMaximum = 1000
            configuration.sendTimeout = .seconds(20)
            let producer = client.producer(configuration)
            let first = Task { try await producer.send(Message(topic: "T", body: [UInt8](repeating: 1, count: 500))) }
            #expect(await eventually { scene.broker.requests(.sendMessageV2).count == 1 })
            let large = Task { try await producer.send(Message(topic: "T", body: [UInt8](repeating: 1, count: 900))) }
            #expect(await !eventually(within: 1) { scene.broker.requests(.sendMessageV2).count > 1 })
            isOpen.change { $0 = true }
            let small = Task { try await producer.send(Message(topic: "T", text: "x")) }
            #expect(await !eventually(within: 1) { scene.broker.requests(.sendMessageV2).count > 1 })
            large.cancel()
            _ = try await small.value
            first.cancel()
            #expect(await #expect(throws: ClientError.self) { try await large.value }?.code == .cancelled)
        }
    }
}
