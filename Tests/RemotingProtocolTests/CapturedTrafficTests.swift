import Base
import Bytes
import Compression
import Model
import RemotingProtocol
import Testing

/// Traffic of a real client, name server and broker: everything in it is read, and what is written back is equal.
@Suite("Captured traffic")
struct CapturedTrafficTests {
    @Test("all captures are there")
    func present() {
        #expect(WireFixture.scenarios.count == 73)
    }

    @Test("every frame is cut and its header read as the capture says", arguments: WireFixture.scenarios)
    func headers(scenario: String) throws {
        for captured in try WireFixture.frames(scenario) {
            let decoded = try DecodedFrame(captured.bytes)
            #expect(decoded.frame.size == captured.bytes.count, "\(captured)")
            #expect(decoded.header.code == captured.code, "\(captured)")
            #expect(decoded.header.flag == captured.flag, "\(captured)")
            #expect(decoded.header.opaque == captured.opaque, "\(captured)")
            #expect(decoded.header.encoding == captured.encoding, "\(captured)")
            #expect(decoded.header.language == .java, "\(captured)")
            #expect(decoded.header.version == 409, "\(captured)")
        }
    }

    @Test("a whole direction of a connection is cut into the same frames, however it arrives")
    func stream() throws {
        let frames = try WireFixture.frames("json/push-consumer").filter { !$0.isResponse }
        for piece in [1, 7, 1000, 65_536] {
            let buffer = ByteBuffer()
            let header = CommandHeader()
            var found: [Int32] = []
            let all = frames.flatMap(\.bytes)
            for start in stride(from: 0, to: all.count, by: piece) {
                buffer.append(Array(all[start..<min(start + piece, all.count)]))
                while let frame = try Frame.next(in: buffer) {
                    try header.decode(frame, in: buffer)
                    found.append(header.opaque)
                    buffer.consume(frame.size)
                }
            }
            #expect(found == frames.map(\.opaque))
            #expect(buffer.isEmpty)
        }
    }

    @Test("a header written again is the captured one, byte for byte in JSON", arguments: WireFixture.scenarios)
    func rewritten(scenario: String) throws {
        for captured in try WireFixture.frames(scenario) {
            let decoded = try DecodedFrame(captured.bytes)
            let again = rewrite(decoded)
            if captured.encoding == .json {
                // RocketMQ writes an empty `extFields` here and there; Apus leaves it out.
                let expected = replacing(captured.bytes, "\"extFields\":{},", "")
                #expect(again.dropFirst(8) == expected.dropFirst(8), "\(captured)")
            } else {
                #expect(again == captured.bytes, "\(captured)")
            }
        }
    }

    /// The frame again, with its fields in the order of the capture.
    private func rewrite(_ decoded: DecodedFrame) -> [UInt8] {
        let buffer = decoded.buffer
        return written(decoded.header.encoding) { writer in
            writer.begin(
                code: decoded.header.code, opaque: decoded.header.opaque, flag: decoded.header.flag,
                remark: .init(decoded.remark))
            for field in decoded.header.fields {
                writer.field(name: buffer.bytes.extracting(field.key), buffer.bytes.extracting(field.value))
            }
            writer.beginBody()
            writer.buffer.append(decoded.body)
            writer.end()
        }
    }

    private func replacing(_ bytes: [UInt8], _ pattern: String, _ replacement: String) -> [UInt8] {
        let pattern = Array(pattern.utf8)
        guard let range = bytes.firstRange(of: pattern) else { return bytes }
        return bytes[..<range.lowerBound] + Array(replacement.utf8) + bytes[range.upperBound...]
    }

    // MARK: - Fields

    @Test(
        "the fields of every request and answer become values and the same fields again",
        arguments: WireFixture.scenarios)
    func fields(scenario: String) throws {
        for captured in try WireFixture.frames(scenario) {
            let decoded = try DecodedFrame(captured.bytes)
            guard let type = fieldsType(captured) else { continue }
            var original = decoded.fields
            for name in Self.foreignFields { original[name] = nil }
            let again = try roundTrip(type, decoded)
            let lost = original.filter { again[$0.key] != $0.value }
            #expect(lost.isEmpty, "\(captured)")
            // A field with a default is written also where it was left out.
            let added = again.filter { original[$0.key] == nil }
            #expect(added.values.allSatisfy { $0 == "false" || $0 == "0" }, "\(captured)")
        }
    }

    /// Fields beside those of the command: on every answer to a send, of the lite pull consumer, and of access control.
    private static let foreignFields = ["MSG_REGION", "TRACE_ON", "ReqT", "AccessKey", "Signature"]

    private func roundTrip(_ type: any CommandFields.Type, _ decoded: DecodedFrame) throws -> [String: String] {
        let buffer = decoded.buffer
        let value = try type.init(decoded.header, in: buffer.bytes)
        let again = written(decoded.header.encoding) { writer in
            writer.begin(code: decoded.header.code, opaque: 0, flag: decoded.header.flag, remark: .none)
            value.write(into: &writer)
            writer.end()
        }
        return try DecodedFrame(again).fields
    }

    private func fieldsType(_ captured: CapturedFrame) -> (any CommandFields.Type)? {
        if !captured.isResponse { return Self.requestFields[captured.code] }
        switch (captured.requestCode, captured.code) {
        case (11, 0), (11, 19), (11, 20), (11, 21): return PullMessageResponseHeader.self
        case (_, 0): return Self.responseFields[captured.requestCode]
        default: return nil
        }
    }

    static let requestFields: [Int32: any CommandFields.Type] = [
        12: QueryMessageHeader.self, 14: QueryConsumerOffsetHeader.self, 15: UpdateConsumerOffsetHeader.self,
        17: CreateTopicHeader.self, 29: SearchOffsetHeader.self, 30: GetMaximumOffsetHeader.self,
        31: GetMinimumOffsetHeader.self, 32: GetEarliestMessageStoreTimeHeader.self, 33: ViewMessageHeader.self,
        35: UnregisterClientHeader.self, 36: ConsumerSendMessageBackHeader.self, 37: EndTransactionHeader.self,
        38: GetConsumerListByGroupHeader.self, 39: CheckTransactionStateHeader.self,
        40: NotifyConsumerIDsChangedHeader.self, 100: PutKVConfigHeader.self, 101: GetKVConfigHeader.self,
        102: DeleteKVConfigHeader.self, 103: RegisterBrokerHeader.self, 104: UnregisterBrokerHeader.self,
        105: GetRouteInfoHeader.self, 202: GetTopicStatsInfoHeader.self, 203: GetConsumerConnectionListHeader.self,
        204: GetProducerConnectionListHeader.self, 205: WipeWritePermissionHeader.self,
        207: DeleteSubscriptionGroupHeader.self, 208: GetConsumeStatsHeader.self, 215: DeleteTopicHeader.self,
        216: DeleteTopicInNameServerHeader.self, 219: GetKVListByNamespaceHeader.self, 220: ResetOffsetHeader.self,
        221: GetConsumerStatusHeader.self, 222: ResetOffsetHeader.self, 223: GetConsumerStatusHeader.self,
        224: GetTopicsByClusterHeader.self, 300: QueryTopicConsumeByWhoHeader.self,
        307: GetConsumerRunningInfoHeader.self, 314: CloneGroupOffsetHeader.self, 317: GetBrokerConsumeStatsHeader.self,
        321: QueryConsumeQueueHeader.self, 322: QueryDataVersionHeader.self, 326: ReplyMessageHeader.self,
        327: WipeWritePermissionHeader.self,
    ]

    static let responseFields: [Int32: any CommandFields.Type] = [
        310: SendMessageResponseHeader.self, 320: SendMessageResponseHeader.self,
        325: SendMessageResponseHeader.self, 12: QueryMessageResponseHeader.self, 14: OffsetResponseHeader.self,
        29: OffsetResponseHeader.self, 30: OffsetResponseHeader.self, 31: OffsetResponseHeader.self,
        32: EarliestMessageStoreTimeResponseHeader.self, 101: GetKVConfigResponseHeader.self,
        103: RegisterBrokerResponseHeader.self, 205: WipeWritePermissionResponseHeader.self,
        327: AddWritePermissionResponseHeader.self, 26: GetBrokerConfigResponseHeader.self,
    ]

    @Test("sends are read in one pass and written the same", arguments: WireFixture.scenarios)
    func sends(scenario: String) throws {
        for captured in try WireFixture.frames(scenario)
        where !captured.isResponse && [310, 320, 325].contains(captured.code) {
            let decoded = try DecodedFrame(captured.bytes)
            let buffer = decoded.buffer
            let send = try SendMessageHeader(decoded.header, in: buffer.bytes)
            #expect(decoded.text(send.topic) == decoded.fields["b"])
            #expect(send.isBatch == (captured.code == 320))
            let again = written(decoded.header.encoding) { writer in
                writer.begin(request: decoded.header.requestCode, opaque: 0)
                SendMessageHeader.write(
                    into: &writer, producerGroup: decoded.text(send.producerGroup), topic: decoded.text(send.topic),
                    defaultTopic: decoded.text(send.defaultTopic), defaultTopicQueueCount: send.defaultTopicQueueCount,
                    queueID: send.queueID, flags: send.flags, bornTimestamp: send.bornTimestamp, flag: send.flag,
                    properties: buffer.bytes.extracting(send.properties), reconsumeTimes: send.reconsumeTimes,
                    isUnit: send.isUnit, maxReconsumeTimes: send.maxReconsumeTimes, isBatch: send.isBatch,
                    brokerName: send.brokerName.map(decoded.text))
                writer.end()
            }
            // A signed request has two fields more, which are not the send's own.
            #expect(try DecodedFrame(again).fields == decoded.fields.filter { $0.key.count == 1 }, "\(captured)")
        }
    }

    @Test(
        "pulls are read in one pass and written the same; what they find are records", arguments: WireFixture.scenarios)
    func pulls(scenario: String) throws {
        for captured in try WireFixture.frames(scenario) where captured.requestCode == 11 {
            let decoded = try DecodedFrame(captured.bytes)
            if captured.isResponse {
                if captured.code == 0 { #expect(try countRecords(decoded.body) > 0) }
                continue
            }
            let buffer = decoded.buffer
            let pull = try PullMessageHeader(decoded.header, in: buffer.bytes)
            let again = written(decoded.header.encoding) { writer in
                writer.begin(request: .pullMessage, opaque: 0)
                PullMessageHeader.write(
                    into: &writer, consumerGroup: decoded.text(pull.consumerGroup), topic: decoded.text(pull.topic),
                    queueID: pull.queueID, queueOffset: pull.queueOffset, maxMessageCount: pull.maxMessageCount,
                    flags: pull.flags, commitOffset: pull.commitOffset,
                    suspendTimeoutMilliseconds: pull.suspendTimeoutMilliseconds,
                    subscription: pull.subscription.map(decoded.text), subscriptionVersion: pull.subscriptionVersion,
                    expressionType: pull.expressionType.map(decoded.text),
                    brokerName: decoded.fields["bname"])
                writer.end()
            }
            let original = decoded.fields.filter { !Self.foreignFields.contains($0.key) }
            #expect(try DecodedFrame(again).fields == original, "\(captured)")
        }
    }

    private func countRecords(_ body: [UInt8]) throws -> Int {
        var position = 0
        var count = 0
        while position < body.count {
            let record = try MessageRecord(body.span.bytes.extracting(position..<body.count))
            position += record.size
            count += 1
        }
        return count
    }

    @Test(
        "batch bodies come apart into entries and together again",
        arguments: ["json/send-batch", "rocketmq/send-batch"])
    func batches(scenario: String) throws {
        let captured = try #require(try WireFixture.frames(scenario).first { $0.code == 320 })
        let body = try DecodedFrame(captured.bytes).body
        let span = body.span.bytes
        let again = ByteBuffer()
        var position = 0
        while let entry = try MessageBatch.next(in: span, at: &position) {
            MessageBatch.append(
                flag: entry.flag, body: span.extracting(entry.body), properties: span.extracting(entry.properties),
                to: again)
        }
        #expect(try MessageBatch.count(in: span) > 1)
        #expect(again.bytes.array() == body)
    }

    // MARK: - Bodies

    @Test("every JSON body becomes a value and an equal document again", arguments: WireFixture.scenarios)
    func bodies(scenario: String) throws {
        for captured in try WireFixture.frames(scenario) {
            let decoded = try DecodedFrame(captured.bytes)
            guard let first = decoded.body.first, first == UInt8(ascii: "{"),
                !captured.isResponse || captured.code == 0
            else { continue }
            let original = try JSONValue(parsing: decoded.body)
            let table = captured.isResponse ? Self.responseBodies : Self.requestBodies
            let type = try #require(table[captured.requestCode], "no body for \(captured)")
            #expect(try rewritten(type, original).sorted == original.sorted, "\(captured)")
            // Whatever else, the tree itself is written back as it was.
            let tree = ByteBuffer()
            var json = JSONWriter(tree)
            json.value(original)
            #expect(tree.bytes.string() == String(decoding: decoded.body, as: UTF8.self), "\(captured)")
        }
    }

    private func rewritten(_ type: any CommandBody.Type, _ json: JSONValue) throws -> JSONValue {
        try JSONValue(parsing: try type.init(json: json).encoded())
    }

    static let requestBodies: [Int32: any CommandBody.Type] = [
        34: HeartbeatData.self, 41: LockBatchBody.self, 42: LockBatchBody.self, 46: CheckClientConfigBody.self,
        103: RegisterBrokerBody.self, 200: GroupConfiguration.self, 220: ResetOffsetBody.self,
        322: DataVersion.self,
    ]

    static let responseBodies: [Int32: any CommandBody.Type] = [
        21: TopicConfigSerializeWrapper.self, 28: KVTable.self, 38: ConsumerIDList.self,
        41: LockBatchResponseBody.self, 43: ConsumerOffsetSerializeWrapper.self, 103: KVTable.self,
        105: TopicRouteData.self, 106: ClusterInfo.self, 201: SubscriptionGroupWrapper.self,
        202: TopicStatsTable.self, 203: ConsumerConnection.self, 204: ProducerConnection.self, 206: TopicList.self,
        208: ConsumeStats.self, 221: GetConsumerStatusBody.self, 222: ResetOffsetBody.self,
        223: GetConsumerStatusBody.self, 224: TopicList.self, 300: GroupList.self, 305: TopicList.self,
        307: ConsumerRunningInfo.self, 315: BrokerStatsData.self, 317: ConsumeStatsList.self,
        321: QueryConsumeQueueBody.self,
        328: ProducerTableInfo.self,
    ]
}
