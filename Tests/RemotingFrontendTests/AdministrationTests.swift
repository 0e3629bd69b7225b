import Base
import BrokerCore
import Bytes
import Model
import RemotingFrontend
import RemotingProtocol
import Simulation
import Storage
import Testing

@Suite("What tools ask of a broker")
struct AdministrationTests {
    private let it: BrokerConversation
    private let tool: TestClient
    private let consumer: TestClient

    init() throws {
        it = try BrokerConversation()
        try it.putTopic("T", queues: 2)
        tool = it.connect()
        consumer = it.connect(port: 40_001)
        try consumer.subscribe("CG", to: ["T"], clientID: "c1")
        for number in 0..<6 {
            try tool.produce("m\(number)", to: "T", queue: Int32(number % 2), tags: "A")
            it.clock.advance(milliseconds: 100)
        }
        _ = try consumer.receive()
    }

    private func commit(_ offset: Int64, queue: Int32, group: String = "CG") throws {
        _ = try tool.ask(
            .updateConsumerOffset,
            [
                ("consumerGroup", group), ("topic", "T"), ("queueId", String(queue)), ("commitOffset", String(offset)),
            ])
    }

    private func body<Body: CommandBody>(
        _ code: RequestCode, _ fields: [(StaticString, String)] = []
    ) throws -> Body {
        let answer = try tool.ask(code, fields)
        #expect(answer.responseCode == .success, "\(answer)")
        return try Body(parsing: answer.body.span.bytes)
    }

    private func queue(_ number: Int32) -> MessageQueue {
        MessageQueue(topic: "T", brokerName: "broker-a", queueID: QueueID(number))
    }

    @Test("202: how far the queues of a topic reach")
    func topicStatistics() throws {
        let table: TopicStatsTable = try body(.getTopicStatsInfo, [("topic", "T")])
        #expect(table.offsets.count == 2)
        let start = it.clock.timestamp.milliseconds - 600
        #expect(
            table.offsets[queue(1)]
                == TopicStatsTable.TopicOffset(
                    minimumOffset: .zero, maximumOffset: QueueOffset(3),
                    lastUpdateTimestamp: Timestamp(milliseconds: start + 500)))
        let missing = try tool.ask(.getTopicStatsInfo, [("topic", "None")])
        #expect(missing.responseCode == .topicNotExist)
        #expect(missing.remark == "topic[None] not exist")
    }

    @Test("203, 204, 328: who is connected")
    func connections() throws {
        let consumers: ConsumerConnection = try body(.getConsumerConnectionList, [("consumerGroup", "CG")])
        #expect(consumers.connections.map(\.clientID) == ["c1"])
        #expect(consumers.connections.map(\.address) == ["127.0.0.1:40001"])
        #expect(consumers.subscriptions.map(\.topic) == ["T"])
        let offline = try tool.ask(.getConsumerConnectionList, [("consumerGroup", "None")])
        #expect(offline.code == 206)
        #expect(offline.remark == "the consumer group[None] not online")
        let producers: ProducerConnection = try body(
            .getProducerConnectionList, [("producerGroup", "CLIENT_INNER_PRODUCER")])
        #expect(producers.connections.count == 1)
        let none = try tool.ask(.getProducerConnectionList, [("producerGroup", "None")])
        #expect(none.code == 1)
        let all: ProducerTableInfo = try body(.getAllProducerInfo)
        #expect(all.groups["CLIENT_INNER_PRODUCER"]?.map(\.remoteAddress) == ["/127.0.0.1:40001"])
    }

    @Test("208, 300, 303, 317: how far groups are")
    func progress() throws {
        try commit(2, queue: 0)
        let statistics: ConsumeStats = try body(.getConsumeStats, [("consumerGroup", "CG")])
        let start = it.clock.timestamp.milliseconds - 600
        #expect(statistics.offsets[queue(0)]?.consumerOffset == QueueOffset(2))
        #expect(statistics.offsets[queue(0)]?.brokerOffset == QueueOffset(3))
        #expect(statistics.offsets[queue(0)]?.lastTimestamp == Timestamp(milliseconds: start + 200))
        #expect(statistics.offsets[queue(1)]?.consumerOffset == .zero)
        #expect(statistics.offsets[queue(1)]?.lastTimestamp == Timestamp(milliseconds: 0))
        let groups: GroupList = try body(.queryTopicConsumeByWho, [("topic", "T")])
        #expect(groups.groups == ["CG"])
        let spans: QueryConsumeTimeSpanBody = try body(.queryConsumeTimeSpan, [("topic", "T"), ("group", "CG")])
        #expect(spans.spans.count == 2)
        #expect(spans.spans[0].minimumTimestamp == Timestamp(milliseconds: start))
        #expect(spans.spans[0].maximumTimestamp == Timestamp(milliseconds: start + 400))
        #expect(spans.spans[0].consumeTimestamp == Timestamp(milliseconds: start + 200))
        #expect(spans.spans[0].delayMilliseconds == 200)
        let all: ConsumeStatsList = try body(.getBrokerConsumeStats, [("isOrder", "false")])
        #expect(all.totalDifference == 4)
    }

    @Test("43, 45, 308, 314: tables of offsets")
    func offsets() throws {
        try commit(2, queue: 0)
        try commit(1, queue: 0, group: "Behind")
        let all: ConsumerOffsetSerializeWrapper = try body(.getAllConsumerOffset)
        #expect(all.offsets == ["T@CG": [0: 2], "T@Behind": [0: 1]])
        let delayed = try tool.ask(.getAllDelayOffset)
        #expect(delayed.text == #"{"offsetTable":{}}"#)
        let smallest: QueryCorrectionOffsetBody = try body(
            .queryCorrectionOffset, [("topic", "T"), ("compareGroup", "None")])
        #expect(smallest.offsets == [0: 1])
        let without: QueryCorrectionOffsetBody = try body(
            .queryCorrectionOffset, [("topic", "T"), ("compareGroup", "None"), ("filterGroups", "Behind,x")])
        #expect(without.offsets == [0: 2])
        let compared: QueryCorrectionOffsetBody = try body(
            .queryCorrectionOffset, [("topic", "T"), ("compareGroup", "Behind"), ("filterGroups", "Behind")])
        #expect(compared.offsets == [0: .max])
        #expect(
            try tool.ask(.cloneGroupOffset, [("srcGroup", "CG"), ("destGroup", "Copy"), ("offline", "false")]).code == 0
        )
        let cloned: ConsumerOffsetSerializeWrapper = try body(.getAllConsumerOffset)
        #expect(cloned.offsets["T@Copy"] == [0: 2])
    }

    @Test("25, 26: settings are shown, and not changed")
    func settings() throws {
        it.frontend.settings.settings = [("brokerName", "broker-a"), ("fileReservedTime", "72")]
        it.frontend.settings.version = DataVersion(timestamp: Timestamp(milliseconds: 7))
        let shown = try tool.ask(.getBrokerConfig)
        #expect(shown.text == "brokerName=broker-a\nfileReservedTime=72\n")
        #expect(shown.fields == ["version": #"{"counter":0,"timestamp":7}"#])
        let refused = try tool.ask(.updateBrokerConfig, body: Array("fileReservedTime=1\n".utf8))
        #expect(refused.responseCode == .noPermission)
        #expect(refused.remark?.hasPrefix("fileReservedTime cannot be changed") == true)
        let black = try tool.ask(.updateBrokerConfig, body: Array("a=b\nbrokerConfigPath=/etc/passwd\n".utf8))
        #expect(black.responseCode == .noPermission)
        #expect(black.remark == "Can not update config in black list.")
        #expect(try tool.ask(.updateBrokerConfig).code == 0)
    }

    @Test("28: what the broker says of its running")
    func runtime() throws {
        it.advance(milliseconds: 20_000, step: 1_000)
        for _ in 0..<50 { try tool.produce("x", to: "T") }
        it.advance(milliseconds: 5_000, step: 1_000)
        _ = try tool.ask(.pullMessage, TestClient.pullFields("T"))
        let table: KVTable = try body(.getBrokerRuntimeInfo)
        #expect(table.table["putMessageTimesTotal"] == "56")
        #expect(table.table["msgGetTotalTodayNow"] == "32")
        #expect(table.table["runtime"] == "[ 0 days, 0 hours, 0 minutes, 25 seconds ]")
        let rates = try #require(table.table["putTps"]).split(separator: " ").compactMap { Double($0) }
        #expect(rates.count == 3)
        #expect(rates[0] > 4.9 && rates[0] < 5.1, "\(rates)")
        #expect(table.table["commitLogMaxOffset"] == String(it.broker.written.rawValue))
        #expect(table.table["earliestMessageTimeStamp"] != "-1")
        // What clusterList and exportMetrics of RocketMQ 5 split and parse without asking whether it is there.
        #expect(table.table["getTransferredTps"]?.split(separator: " ").count == 3)
        for name in ["timerReadBehind", "timerOffsetBehind", "timerCongestNum", "timerEnqueueTps", "timerDequeueTps"] {
            #expect(table.table[name].flatMap { Double($0) } == 0, "\(name)")
        }
        #expect(table.table["brokerActive"] == "true")
    }

    @Test("305, 315, 321, 351, 352 and requests that nobody knows")
    func rest() throws {
        let system: TopicList = try body(.getSystemTopicListFromBroker)
        #expect(system.topics.contains("TBW102") && system.topics.contains("broker-a"))
        let statistics = try tool.ask(.viewBrokerStatsData, [("statsName", "TOPIC_PUT_NUMS"), ("statsKey", "T")])
        #expect(statistics.remark == "The stats <TOPIC_PUT_NUMS> <T> not exist")
        let entries: QueryConsumeQueueBody = try body(
            .queryConsumeQueue,
            [("topic", "T"), ("queueId", "1"), ("index", "1"), ("count", "5"), ("consumerGroup", "CG")])
        #expect(entries.entries.count == 2)
        #expect(entries.entries.allSatisfy { $0.tagsCode == 65 && $0.isMatched })
        #expect(entries.maximumOffset == QueueOffset(3))
        let topic: TopicConfiguration = try body(.getTopicConfig, [("topic", "T")])
        #expect(topic.writeQueueCount == 2)
        let group: GroupConfiguration = try body(.getSubscriptionGroupConfig, [("group", "CG")])
        #expect(group.name == "CG")
        let unknown = try tool.ask(RequestCode(299))
        #expect(unknown.code == 3)
        #expect(unknown.remark == " request type 299 not supported")
    }

    @Test("306, 316, 329: cleaning removes what nobody needs, and nothing else")
    func cleaning() throws {
        it.disk.install("store/consumequeue/Gone/0/00000000000000000000", Array(repeating: 0, count: 40))
        it.disk.install(
            "store/consumequeue/RMQ_SYS_TRANS_HALF_TOPIC/0/00000000000000000000", Array(repeating: 0, count: 40))
        for code in [RequestCode.cleanExpiredConsumeQueue, .cleanUnusedTopic, .deleteExpiredCommitLog] {
            #expect(try tool.ask(code).code == 0)
        }
        #expect(!it.disk.exists("store/consumequeue/Gone"))
        #expect(it.disk.exists("store/consumequeue/RMQ_SYS_TRANS_HALF_TOPIC/0/00000000000000000000"))
        #expect(try tool.ask(.pullMessage, TestClient.pullFields("T")).messages().count == 3)
    }

    // MARK: - Clients

    @Test(
        "222: members are told the new offsets, each in the form that its language reads",
        arguments: [
            (LanguageCode.java, #"{"offsetTable":{{"brokerName":"broker-a","queueId":0,"topic":"T"}:1,"#),
            (.cpp, #"{"offsetTable":[{"brokerName":"broker-a","offset":1,"queueId":0,"topic":"T"},"#),
        ])
    func reset(_ language: LanguageCode, _ start: String) throws {
        consumer.language = language
        try consumer.subscribe("CG", to: ["T"], clientID: "c1")
        try commit(3, queue: 0)
        try commit(0, queue: 1)
        _ = try consumer.receive()
        let time = it.clock.timestamp.milliseconds - 600 + 150
        let answer: ResetOffsetBody = try body(
            .invokeBrokerToResetOffset,
            [("topic", "T"), ("group", "CG"), ("timestamp", String(time)), ("isForce", "false")])
        // Queue 1 stays: nobody forces it forward.
        #expect(answer.offsets == [queue(0): QueueOffset(1), queue(1): .zero])
        let notice = try #require(try consumer.receive().first)
        #expect(notice.code == 220)
        #expect(notice.flag == 2)
        #expect(notice.text.hasPrefix(start), "\(notice.text)")
    }

    @Test("222 is refused for groups that are not there, and for groups without members")
    func resetRefused() throws {
        let fields: [(StaticString, String)] = [("topic", "T"), ("timestamp", "-1"), ("isForce", "true")]
        let unknown = try tool.ask(.invokeBrokerToResetOffset, fields + [("group", "None")])
        #expect(unknown.remark == "THe consumer group <None> not exist")
        for queue in 0..<2 { try commit(1, queue: Int32(queue), group: "Off") }
        let offline = try tool.ask(.invokeBrokerToResetOffset, fields + [("group", "Off")])
        #expect(offline.code == 206)
        #expect(offline.remark == "Consumer not online, so can not reset offset, Group: Off Topic: T Timestamp: -1")
    }

    private static let running: [(StaticString, String)] = [
        ("consumerGroup", "CG"), ("clientId", "c1"), ("jstackEnable", "true"),
    ]

    @Test("307: the client's answer is passed on", arguments: [HeaderEncoding.json, .binary])
    func relayed(_ encoding: HeaderEncoding) throws {
        tool.encoding = encoding
        let question = tool.send(.getConsumerRunningInfo, Self.running)
        let passed = try #require(try consumer.receive().first)
        #expect(passed.code == 307 && passed.encoding == .json)
        #expect(passed.fields == ["consumerGroup": "CG", "clientId": "c1", "jstackEnable": "true"])
        #expect(try tool.answer(to: question) == nil)
        consumer.reply(to: passed, code: .success, [("extra", "1")], body: #"{"jstack":"x"}"#)
        let answer = try #require(try tool.answer(to: question))
        #expect(answer.code == 0)
        #expect(answer.remark == "as asked")
        #expect(answer.fields == ["extra": "1"])
        #expect(answer.text == #"{"jstack":"x"}"#)
        #expect(answer.encoding == encoding)
        // A second answer to the same request is passed over.
        consumer.reply(to: passed, code: .success)
        #expect(try tool.receive().isEmpty)
    }

    @Test("307: a client that does not answer, goes away, or is not there")
    func notRelayed() throws {
        let slow = tool.send(.getConsumerRunningInfo, Self.running)
        it.advance(milliseconds: 9_900, step: 100)
        #expect(try tool.answer(to: slow) == nil)
        it.advance(milliseconds: 200, step: 100)
        #expect(try tool.answer(to: slow)?.code == 207)
        let lost = tool.send(.getConsumerRunningInfo, Self.running)
        consumer.session.close()
        #expect(try tool.answer(to: lost)?.code == 1)
        let gone = try tool.ask(.getConsumerRunningInfo, Self.running)
        #expect(gone.code == 1)
        #expect(gone.remark == "The Consumer <CG> <c1> not online")
    }

    @Test("307: whoever asked may be gone when the client answers")
    func requesterGone() throws {
        tool.send(.getConsumerRunningInfo, Self.running)
        tool.session.close()
        let passed = try #require(try consumer.receive().first)
        consumer.reply(to: passed, code: .success)
        #expect(try it.connect().produce("x", to: "T").code == 0)
    }

    @Test("309: the message goes with the request")
    func consumeDirectly() throws {
        let id = try #require(try tool.produce("direct", to: "T").fields["msgId"])
        let question = tool.send(
            .consumeMessageDirectly, [("consumerGroup", "CG"), ("clientId", "c1"), ("msgId", id)])
        let passed = try #require(try consumer.receive().first)
        #expect(passed.fields["brokerName"] == "broker-a")
        #expect(try passed.messages().map(\.text) == ["direct"])
        consumer.reply(to: passed, code: .success, body: "{}")
        #expect(try tool.answer(to: question)?.text == "{}")
    }

    @Test("223: what every member says, of those that say anything in time")
    func status() throws {
        let other = it.connect(port: 40_002)
        try other.subscribe("CG", to: ["T"], clientID: "c2")
        _ = try consumer.receive()
        _ = try other.receive()
        let question = tool.send(.invokeBrokerToGetConsumerStatus, [("topic", "T"), ("group", "CG")])
        let asked = try #require(try consumer.receive().first)
        #expect(asked.code == 221)
        consumer.reply(
            to: asked, code: .success,
            body: #"{"consumerTable":{},"messageQueueTable":{{"brokerName":"broker-a","queueId":1,"topic":"T"}:4}}"#)
        #expect(try tool.answer(to: question) == nil)
        it.advance(milliseconds: 5_100, step: 100)
        let answer = try #require(try tool.answer(to: question))
        let status = try GetConsumerStatusBody(parsing: answer.body.span.bytes)
        #expect(status.consumers == ["c1": [queue(1): QueueOffset(4)]])
    }
}
