import Base
import BrokerCore
import Bytes
import Model
import RemotingFrontend
import RemotingProtocol
import Testing

@Suite("Quotas")
struct QuotaTests {
    /// A producer whose connection is read from only when the broker wants: frames wait in `input`.
    private final class Producer {
        let client: TestClient
        let input = ByteBuffer()
        /// Numbers of the requests in `input` and those under way.
        var sent: [Int32] = []

        init(_ it: BrokerConversation, port: Int32) { client = it.connect(port: port) }

        func enqueue(_ topic: String, size: Int, isOneway: Bool = false) {
            let frame = client.request(
                .sendMessageV2, TestClient.sendFields(topic), body: [UInt8](repeating: 1, count: size),
                isOneway: isOneway)
            input.append(frame.bytes)
            sent.append(client.opaque)
        }

        /// Reads on, as the connection would.
        func read() { while client.session.next(input) == .handled {} }
    }

    private let it: BrokerConversation

    init() throws {
        it = try BrokerConversation()
        try it.putTopic("T")
        try it.putTopic("U")
    }

    private func put(_ topic: String, _ quota: TrafficQuota) throws {
        var configuration = try #require(it.broker.topic(topic)).configuration
        configuration.quota = quota
        try it.broker.putTopic(configuration)
    }

    private func run(_ producers: [Producer], milliseconds: Int64, each: (Int64) -> Void = { _ in }) {
        var passed: Int64 = 0
        while passed < milliseconds {
            for producer in producers { producer.read() }
            it.turn()
            each(passed)
            it.advance(milliseconds: 10)
            passed += 10
        }
    }

    @Test("producers get exactly the rate, and a second's worth at once; none is refused, and all get their share")
    func sendRate() throws {
        try put("T", TrafficQuota(send: TrafficRate(messages: 100)))
        let producers = (0..<5).map { Producer(it, port: 41_000 + $0) }
        for producer in producers { for _ in 0..<500 { producer.enqueue("T", size: 10) } }
        run(producers, milliseconds: 10_000) { passed in
            #expect(it.broker.metrics.messagesSent <= 100 + passed / 10)
        }
        #expect(it.broker.metrics.messagesSent >= 1_090)
        for producer in producers {
            let answers = try producer.client.receive()
            #expect(answers.allSatisfy { $0.responseCode == .success })
            // The first to come takes the burst.
            #expect(answers.count >= 190, "\(answers.count)")
        }
    }

    @Test("a send that has waited is stored as it was sent", arguments: [HeaderEncoding.json, .binary])
    func heldSend(encoding: HeaderEncoding) throws {
        try put("T", TrafficQuota(send: TrafficRate(messages: 1)))
        let producer = Producer(it, port: 41_000)
        producer.client.encoding = encoding
        let properties = "KEYS\u{1}k\u{2}TAGS\u{1}blue\u{2}note\u{1}\"quoted\" and \\back\u{2}"
        for _ in 0..<3 {
            let frame = producer.client.request(
                .sendMessageV2, TestClient.sendFields("T", properties: properties), body: [1])
            producer.input.append(frame.bytes)
        }
        run([producer], milliseconds: 2_500)
        #expect(it.broker.metrics.messagesSent == 3)
        let found = try it.connect(port: 41_001).ask(.pullMessage, TestClient.pullFields("T")).messages()
        #expect(found.count == 3)
        #expect(found.allSatisfy { $0.properties.hasPrefix(properties) }, "\(found.map(\.properties))")
    }

    @Test("bytes count as well, a large message no less than many small ones")
    func sendBytes() throws {
        try put("T", TrafficQuota(send: TrafficRate(bytes: 10_000)))
        let small = Producer(it, port: 41_000)
        let large = Producer(it, port: 41_001)
        for _ in 0..<5_000 { small.enqueue("T", size: 100) }
        for _ in 0..<20 { large.enqueue("T", size: 9_000) }
        run([small, large], milliseconds: 20_000) { passed in
            #expect(it.broker.metrics.bytesSent <= 10_000 + passed * 10)
        }
        // Each waits for its turn, whatever it is the turn of; when the large ones are through, the small have it all.
        #expect(try large.client.receive().count == 20)
        #expect(try small.client.receive().count >= 200)
    }

    @Test("a send that would wait too long is refused with code 1; one that nobody waits for is held all the same")
    func refused() throws {
        try put("T", TrafficQuota(send: TrafficRate(messages: 2)))
        let producers = (0..<8).map { Producer(it, port: 41_000 + $0) }
        for producer in producers { producer.enqueue("T", size: 10) }
        let oneway = Producer(it, port: 42_000)
        oneway.enqueue("T", size: 10, isOneway: true)
        run(producers + [oneway], milliseconds: 10)
        // Two at once, two more within the second that they may wait.
        let refused = try producers.flatMap { try $0.client.receive() }.filter { $0.responseCode == .systemError }
        #expect(refused.count == 4)
        #expect(refused.first?.remark?.hasPrefix("[QUOTA]broker busy, start flow control for a while") == true)
        #expect(it.broker.metrics.quotaRefusals == 4)
        run(producers + [oneway], milliseconds: 3_000)
        #expect(it.broker.metrics.messagesSent == 5)
        #expect(try it.connect().produce("later", to: "T").responseCode == .success, "the quota is there again")
    }

    @Test("others are served while one topic's producers wait; a producer that goes away makes room")
    func others() throws {
        try put("T", TrafficQuota(send: TrafficRate(messages: 1)))
        let first = Producer(it, port: 41_000)
        for _ in 0..<3 { first.enqueue("T", size: 1) }
        run([first], milliseconds: 10)
        let second = Producer(it, port: 41_001)
        second.enqueue("U", size: 1)
        run([second], milliseconds: 10)
        #expect(try second.client.receive().map(\.responseCode) == [.success])
        first.client.session.close()
        it.advance(milliseconds: 1_000)
        second.enqueue("T", size: 1)
        run([second], milliseconds: 10)
        #expect(try second.client.receive().map(\.responseCode) == [.success])
    }

    @Test("each message of a batch counts")
    func batch() throws {
        try put("T", TrafficQuota(send: TrafficRate(messages: 10)))
        let producer = it.connect()
        var body: [UInt8] = []
        for _ in 0..<10 {
            // Remoting reference §1.9, "Batch": size, magic, CRC, flag, body length, body, properties length.
            body += [0, 0, 0, 23] + [UInt8](repeating: 0, count: 12) + [0, 0, 0, 1, 7, 0, 0]
        }
        var fields = TestClient.sendFields("T")
        fields.removeLast()
        fields.append(("m", "true"))
        #expect(try producer.ask(.sendBatchMessage, fields, body: body).responseCode == .success)
        let next = producer.request(.sendMessageV2, TestClient.sendFields("T"))
        #expect(producer.session.next(next) == .heldBack)
        it.advance(milliseconds: 100)
        #expect(producer.session.next(next) == .handled)
    }

    @Test("a client address has one quota over all its connections and topics")
    func client() throws {
        let it = try BrokerConversation { configuration, _ in configuration.quotas.client.send.messages = 2 }
        try it.putTopic("T")
        try it.putTopic("U")
        let one = it.connect(port: 41_000)
        let two = it.connect(port: 41_001)
        #expect(try one.produce("1", to: "T").responseCode == .success)
        #expect(try two.produce("2", to: "U").responseCode == .success)
        let third = two.request(.sendMessageV2, TestClient.sendFields("T"))
        #expect(two.session.next(third) == .heldBack)
        #expect(two.session.next(third) == .heldBack)
        it.advance(milliseconds: 500)
        #expect(two.session.next(third) == .handled)
    }

    // MARK: - Pulls

    @Test("a pull over the quota is held, not failed, and consumers get exactly the rate", arguments: ["T", "G"])
    func pullRate(_ what: String) throws {
        let quota = TrafficQuota(pull: TrafficRate(messages: 50))
        if what == "T" {
            try put("T", quota)
        } else {
            var group = GroupConfiguration(name: "CG")
            group.quota = quota
            try it.broker.putGroup(group)
        }
        let producer = it.connect(port: 41_000)
        for number in 0..<1_000 { try producer.produce("\(number)", to: "T", queue: Int32(number % 2)) }
        let consumers = [it.connect(port: 42_000), it.connect(port: 42_001)]
        var offsets: [Int64] = [0, 0]
        var pulls: [Int32?] = [nil, nil]
        var got = 0
        for passed in stride(from: 0 as Int64, to: 10_000, by: 10) {
            for index in consumers.indices {
                if let pull = pulls[index], let answer = try consumers[index].answer(to: pull) {
                    #expect(answer.responseCode == .success)
                    got += try answer.messages().count
                    offsets[index] = Int64(answer.fields["nextBeginOffset"] ?? "") ?? -1
                    pulls[index] = nil
                }
                if pulls[index] == nil {
                    pulls[index] = consumers[index].send(
                        .pullMessage,
                        TestClient.pullFields(
                            "T", queue: Int32(index), from: offsets[index], holdMilliseconds: 15_000))
                }
            }
            #expect(Int64(got) <= 50 + passed / 20)
            it.advance(milliseconds: 10)
        }
        #expect(got >= 540)
        #expect(offsets.allSatisfy { $0 > 200 }, "both get their share: \(offsets)")
    }

    @Test("bytes of answers count; an answer over the quota holds at least one message")
    func pullBytes() throws {
        try put("T", TrafficQuota(pull: TrafficRate(bytes: 1_000)))
        let producer = it.connect(port: 41_000)
        for _ in 0..<20 { try producer.produce(String(repeating: "x", count: 300), to: "T") }
        let consumer = it.connect()
        let first = try consumer.ask(.pullMessage, TestClient.pullFields("T", holdMilliseconds: 15_000))
        #expect(try first.messages().count == 2)
        let pull = consumer.send(.pullMessage, TestClient.pullFields("T", from: 2, holdMilliseconds: 15_000))
        it.advance(milliseconds: 200)
        let second = try #require(try consumer.answer(to: pull))
        #expect(try second.messages().count == 1)
    }

    @Test("a held pull whose time is over is answered as if there were nothing")
    func expired() throws {
        try put("T", TrafficQuota(pull: TrafficRate(messages: 1)))
        try it.connect(port: 41_000).produce("1", to: "T")
        try it.connect(port: 41_000).produce("2", to: "T")
        let consumer = it.connect()
        _ = try consumer.ask(.pullMessage, TestClient.pullFields("T"))
        let pull = consumer.send(.pullMessage, TestClient.pullFields("T", from: 1, holdMilliseconds: 300))
        it.advance(milliseconds: 250)
        #expect(try consumer.answer(to: pull) == nil)
        it.advance(milliseconds: 100)
        let answer = try #require(try consumer.answer(to: pull))
        #expect(answer.responseCode == .pullNotFound)
        #expect(answer.fields["nextBeginOffset"] == "1")
    }

    // MARK: - Settings

    @Test("topics and groups tell their quotas, and tools that know nothing of them leave a topic's alone")
    func told() throws {
        let tool = it.connect()
        let fields: [(StaticString, String)] = [
            ("topic", "T"), ("defaultTopic", "TBW102"), ("readQueueNums", "4"), ("writeQueueNums", "4"), ("perm", "6"),
            ("topicFilterType", "SINGLE_TAG"), ("order", "false"),
        ]
        let set = ("attributes" as StaticString, "+quota.send.messages=7,+quota.pull.bytes=-1")
        #expect(try tool.ask(.updateAndCreateTopic, fields + [set]).code == 0)
        #expect(try tool.ask(.updateAndCreateTopic, fields).code == 0)
        let topics = try TopicConfigSerializeWrapper(
            parsing: try tool.ask(.getAllTopicConfig).body.span.bytes
        ).topics
        let quota = try #require(topics.first { $0.name == "T" }).quota
        #expect(quota.send.messages == 7 && quota.pull.bytes == -1)
        let unknown = try tool.ask(.updateAndCreateTopic, fields + [("attributes", "+cleanup.policy=COMPACTION")])
        #expect(unknown.responseCode == .systemError)
        var group = GroupConfiguration(name: "CG")
        group.quota.pull.messages = 9
        #expect(try tool.ask(.updateAndCreateSubscriptionGroup, body: group.encoded()).code == 0)
        #expect(it.broker.group("CG") == group)
    }
}
