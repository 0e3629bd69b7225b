import Base
import Bytes
import Compression
import Model
import RemotingProtocol
import Testing

@Suite("Bodies")
struct BodyTests {
    static let topics = TopicConfigSerializeWrapper(
        dataVersion: DataVersion(timestamp: Timestamp(milliseconds: 1_795_200_595_752), counter: 3),
        topics: [
            TopicConfiguration(name: "A", readQueueCount: 4, writeQueueCount: 2, permission: .read),
            TopicConfiguration(name: "%RETRY%G", readQueueCount: 1, writeQueueCount: 1, filterType: .multiTag),
        ])

    @Test("a registration in both layouts", arguments: [false, true])
    func register(isCompressed: Bool) throws {
        let body = RegisterBrokerBody(topics: Self.topics, filterServers: ["10.0.0.1:1234"])
        let buffer = ByteBuffer()
        if isCompressed { try body.encodeCompressed(to: buffer) } else { body.encode(to: buffer) }
        #expect(try RegisterBrokerBody(parsing: buffer.bytes, isCompressed: isCompressed) == body)
    }

    @Test("a damaged compressed registration is refused")
    func damaged() throws {
        let plain = ByteBuffer()
        let packed = ByteBuffer()
        try RegisterBrokerBody(topics: Self.topics).encodeCompressed(to: packed)
        try CompressionCodec.zlib.decompress(packed.bytes, into: plain, sizeMaximum: 10_000)
        let layout = plain.bytes.array()
        // Without its list of filter servers it is still whole: older brokers end there.
        let whole = layout.count - 6
        for length in 0..<layout.count where length != whole {
            let again = ByteBuffer()
            try CompressionCodec.zlib.compress(Array(layout[..<length]).span.bytes, into: again)
            #expect(throws: BodyError.self) { try RegisterBrokerBody(parsing: again.bytes, isCompressed: true) }
        }
        // A count that promises more topics than there are must not be believed.
        var many = layout
        let count = 4 + Int(layout.span.bytes.bigEndian(at: 0, as: Int32.self))
        many.replaceSubrange(count..<count + 4, with: [0x7F, 0xFF, 0xFF, 0xFF])
        let again = ByteBuffer()
        try CompressionCodec.zlib.compress(many.span.bytes, into: again)
        #expect(throws: BodyError.self) { try RegisterBrokerBody(parsing: again.bytes, isCompressed: true) }
        #expect(throws: BodyError.self) { try RegisterBrokerBody(parsing: many.span.bytes, isCompressed: true) }
    }

    @Test("route data quotes broker numbers for those who want standard JSON")
    func route() throws {
        let route = TopicRouteData(
            orderTopicConfig: "broker-a:4",
            queues: [QueueData(brokerName: "broker-a", readQueueCount: 4, writeQueueCount: 4, permission: .readWrite)],
            brokers: [BrokerData(cluster: "C", brokerName: "broker-a", addresses: [1: "h:2", 0: "h:1"])])
        for (isStandard, numbers) in [(true, #"{"0":"h:1","1":"h:2"}"#), (false, #"{0:"h:1",1:"h:2"}"#)] {
            let buffer = ByteBuffer()
            var json = JSONWriter(buffer)
            route.write(to: &json, isStandard: isStandard)
            #expect(
                buffer.bytes.string() == """
                    {"brokerDatas":[{"brokerAddrs":\(numbers),"brokerName":"broker-a","cluster":"C"}],"filterServerTable":{},\
                    "orderTopicConf":"broker-a:4","queueDatas":[{"brokerName":"broker-a","perm":6,"readQueueNums":4,\
                    "topicSysFlag":0,"writeQueueNums":4}]}
                    """)
            #expect(try TopicRouteData(parsing: buffer.bytes) == route)
        }
    }

    @Test("offsets of groups, of delay levels, and new offsets in both forms")
    func offsets() throws {
        let groups = ConsumerOffsetSerializeWrapper(offsets: ["T@G": [1: 5, 0: 12], "B@G": [:]])
        #expect(String(decoding: groups.encoded(), as: UTF8.self) == #"{"offsetTable":{"B@G":{},"T@G":{0:12,1:5}}}"#)
        #expect(try ConsumerOffsetSerializeWrapper(parsing: groups.encoded().span.bytes) == groups)
        let levels = DelayOffsetSerializeWrapper(offsets: [2: 7, 1: 3])
        #expect(String(decoding: levels.encoded(), as: UTF8.self) == #"{"offsetTable":{1:3,2:7}}"#)
        #expect(try DelayOffsetSerializeWrapper(parsing: levels.encoded().span.bytes) == levels)
        let queue = MessageQueue(topic: "T", brokerName: "b", queueID: QueueID(1))
        let reset = ResetOffsetBody(offsets: [queue: QueueOffset(9)])
        #expect(
            String(decoding: reset.encoded(), as: UTF8.self)
                == #"{"offsetTable":{{"brokerName":"b","queueId":1,"topic":"T"}:9}}"#)
        #expect(try ResetOffsetBody(parsing: reset.encoded().span.bytes) == reset)
        let buffer = ByteBuffer()
        var json = JSONWriter(buffer)
        reset.writeList(to: &json)
        #expect(
            buffer.bytes.string() == #"{"offsetTable":[{"brokerName":"b","offset":9,"queueId":1,"topic":"T"}]}"#)
        #expect(try ResetOffsetBody(parsing: buffer.bytes) == reset)
    }

    @Test("a heartbeat of the reference, with RocketMQ's defaults where it is silent")
    func heartbeat() throws {
        let text = """
            {"clientID":"c","consumerDataSet":[{"groupName":"G","subscriptionDataSet":[{"topic":"T","codeSet":[2598919],
            "tagsSet":["TagA"],"subString":"TagA","subVersion":5,"new":{}}]}],"producerDataSet":[{"groupName":"P"}]}
            """
        let heartbeat = try HeartbeatData(parsing: Array(text.utf8).span.bytes)
        #expect(
            heartbeat
                == HeartbeatData(
                    clientID: "c", producerGroups: ["P"],
                    consumers: [
                        ConsumerData(
                            groupName: "G", consumeType: .push, messageModel: .clustering,
                            consumeFromWhere: .lastOffset,
                            subscriptions: [
                                Subscription(
                                    topic: "T", expression: "TagA", tags: ["TagA"], tagHashes: [2_598_919], version: 5)
                            ])
                    ]))
    }

    @Test(
        "heartbeats that are none",
        arguments: [
            "", "[]", "1", "{}", #"{"clientID":5}"#, #"{"clientID":"c","producerDataSet":{}}"#,
            #"{"clientID":"c","producerDataSet":[5]}"#, #"{"clientID":"c","producerDataSet":[{}]}"#,
            #"{"clientID":"c","consumerDataSet":[{"groupName":"G","consumeType":"X"}]}"#,
            #"{"clientID":"c","consumerDataSet":[{"groupName":"G","subscriptionDataSet":[{"topic":"T","codeSet":[99999999999]}]}]}"#,
            #"{"clientID":"c","consumerDataSet":[{"groupName":"G","unitMode":3}]}"#,
        ])
    func heartbeatRefused(text: String) {
        let error = #expect(throws: BodyError.self) { try HeartbeatData(parsing: Array(text.utf8).span.bytes) }
        #expect(error?.description.isEmpty == false)
    }

    // MARK: - Batch

    @Test("a batch goes in and comes out")
    func batch() throws {
        let buffer = ByteBuffer()
        for index in 0..<3 {
            MessageBatch.append(
                flag: Int32(index), body: Array("batch\(index)".utf8).span.bytes,
                properties: Array("UNIQ_KEY\u{1}\(index)".utf8).span.bytes, to: buffer)
        }
        let span = buffer.bytes
        var position = 0
        for index in 0..<3 {
            let entry = try MessageBatch.next(in: span, at: &position)
            #expect(entry?.flag == Int32(index))
            let body = entry.map { span.extracting($0.body).string() }
            #expect(body == "batch\(index)")
        }
        let end = try MessageBatch.next(in: span, at: &position)
        #expect(end == nil)
        let all = span.array()
        for length in 1..<all.count where length % (all.count / 3) != 0 {
            #expect(throws: BodyError.self) { try MessageBatch.count(in: Array(all[..<length]).span.bytes) }
        }
        #expect(try MessageBatch.count(in: [UInt8]().span.bytes) == 0)
    }

    @Test(
        "lengths of a batch that do not add up",
        arguments: [
            "00000000", "ffffffff000000000000000000000000000000000000", "00000015000000000000000000000000000000000000",
            "7fffffff000000000000000000000000000000000000", "00000016000000000000000000000000ffffffff0000",
            "000000160000000000000000000000007fffffff0000", "00000016000000000000000000000000000000000001",
            "0000001700000000000000000000000000000000000000", "0000001700000000000000000000000000000001ff",
        ])
    func batchRefused(hexadecimal: String) {
        #expect(throws: BodyError.self) { try MessageBatch.count(in: bytes(hexadecimal: hexadecimal).span.bytes) }
    }
}
