import Base
import Bytes
import Compression
import Model
import RemotingProtocol

extension FuzzTarget {
    /// What comes over the wire, decoder by decoder.
    static func wire() -> [FuzzTarget] { [frame(), json(), properties(), batch(), bodies()] }

    /// Frames with both header encodings, and the fields of some requests.
    private static func frame() -> FuzzTarget {
        let seeds = [HeaderEncoding.json, .binary].map { encoding in
            let buffer = ByteBuffer()
            var writer = CommandWriter(buffer, encoding: encoding)
            writer.begin(request: .sendMessageV2, opaque: 7, isOneway: false)
            for name: StaticString in ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "m"] {
                writer.field(name, "4")
            }
            writer.end()
            return buffer.bytes.array()
        }
        let header = CommandHeader()
        return FuzzTarget("frame", seeds: seeds) { bytes in
            let buffer = ByteBuffer()
            buffer.append(bytes)
            while let frame = try? Frame.next(in: buffer) {
                guard (try? header.decode(frame, in: buffer)) != nil else { return }
                let span = buffer.bytes
                for field in header.fields {
                    precondition(
                        frame.header.lowerBound <= field.key.lowerBound
                            && field.value.upperBound <= frame.header.upperBound, "a field outside its header")
                }
                if let send = try? SendMessageHeader(header, in: span) {
                    MessageProperties.forEach(in: span.extracting(send.properties)) { _, _ in }
                }
                _ = try? PullMessageHeader(header, in: span)
                _ = try? CreateTopicHeader(header, in: span)
                _ = try? EndTransactionFields(header, in: span)
                buffer.consume(frame.size)
            }
        }
    }

    private static func json() -> FuzzTarget {
        let seeds = [
            #"{"a":1,"b":[true,null,-2.5e3,"\u00e9\ud83d\ude00"]}"#, "{0:1,1:{2:\"x\"}}",
            "{{\"topic\":\"t\",\"queueId\":0}:5}",
            "{'a':'b',c:1}",
        ].map { Array($0.utf8) }
        return FuzzTarget("json", seeds: seeds) { bytes in
            guard let value = try? JSONValue(parsing: bytes) else { return }
            // What was understood can be written, and is understood again.
            let buffer = ByteBuffer()
            var writer = JSONWriter(buffer)
            writer.value(value)
            precondition((try? JSONValue(parsing: buffer.bytes)) != nil, "written JSON does not parse")
        }
    }

    private static func properties() -> FuzzTarget {
        FuzzTarget("properties", seeds: [Array("KEYS\u{1}a b\u{2}TAGS\u{1}t\u{2}WAIT\u{1}true".utf8)]) { bytes in
            let span = bytes.span.bytes
            MessageProperties.forEach(in: span) { name, value in
                precondition(name.upperBound <= bytes.count && value.upperBound <= bytes.count)
            }
            _ = MessageProperties.decode(span)
            _ = MessageProperties.valueRange(of: "TAGS", in: span)
            _ = MessageProperties.index(of: 1, in: span, from: 0)
        }
    }

    private static func batch() -> FuzzTarget {
        let buffer = ByteBuffer()
        let (body, properties) = (Array("body".utf8), Array("KEYS\u{1}k".utf8))
        for flag in Int32(0)..<3 {
            MessageBatch.append(flag: flag, body: body.span.bytes, properties: properties.span.bytes, to: buffer)
        }
        return FuzzTarget("batch", seeds: [buffer.bytes.array()]) { bytes in
            var position = 0
            var count = 0
            while let entry = try? MessageBatch.next(in: bytes.span.bytes, at: &position) {
                precondition(entry.body.upperBound <= bytes.count && entry.properties.upperBound <= bytes.count)
                count += 1
            }
            if let all = try? MessageBatch.count(in: bytes.span.bytes) { precondition(all == count) }
        }
    }

    /// Every body of a request or an answer; the first byte says which.
    private static func bodies() -> FuzzTarget {
        let kinds: [any CommandBody.Type] = [
            HeartbeatData.self, CheckClientConfigBody.self, LockBatchBody.self, LockBatchResponseBody.self,
            TopicRouteData.self, ClusterInfo.self, KVTable.self, ConsumerRunningInfo.self,
            ConsumerOffsetSerializeWrapper.self, DelayOffsetSerializeWrapper.self, ResetOffsetBody.self,
            SubscriptionGroupWrapper.self, GroupConfiguration.self, RetryPolicy.self, ConsumeStats.self,
            DataVersion.self,
            TopicConfiguration.self, TopicConfigSerializeWrapper.self, TopicList.self, TopicStatsTable.self,
            RegisterBrokerBody.self, QueryConsumeQueueBody.self, ProducerTableInfo.self, ConsumerConnection.self,
            AclConfig.self,
        ]
        let texts = [
            #"{"clientID":"c","producerDataSet":[{"groupName":"g"}],"consumerDataSet":[{"groupName":"g","consumeType":"CONSUME_PASSIVELY","messageModel":"CLUSTERING","consumeFromWhere":"CONSUME_FROM_LAST_OFFSET","subscriptionDataSet":[{"topic":"t","subString":"*","tagsSet":[],"codeSet":[],"subVersion":1}]}]}"#,
            #"{"dataVersion":{"counter":1,"timestamp":2},"topicConfigTable":{"t":{"topicName":"t","perm":6,"readQueueNums":4,"writeQueueNums":4}}}"#,
            #"{"offsetTable":{"t@g":{0:5,1:6}}}"#,
            #"{"consumerGroup":"g","clientId":"c","mqSet":[{"topic":"t","brokerName":"b","queueId":0}]}"#,
        ]
        let seeds = texts.flatMap { text in [0, 2, 8, 11, 17].map { [UInt8($0)] + Array(text.utf8) } }
        return FuzzTarget("bodies", seeds: seeds) { bytes in
            guard let kind = bytes.first else { return }
            let span = bytes.span.bytes.extracting(1..<bytes.count)
            if Int(kind) == kinds.count {
                _ = try? RegisterBrokerBody(parsing: span, isCompressed: true)
            } else {
                _ = try? kinds[Int(kind) % kinds.count].init(parsing: span)
            }
        }
    }

    static func compression() -> FuzzTarget {
        let text = Array(String(repeating: "a message like many others ", count: 20).utf8)
        let seeds = [CompressionCodec.zlib, .lz4, .zstd].enumerated().map { index, codec in
            let buffer = ByteBuffer()
            try? codec.compress(text.span.bytes, into: buffer)
            return [UInt8(index)] + buffer.bytes.array()
        }
        return FuzzTarget("compression", seeds: seeds) { bytes in
            guard let first = bytes.first else { return }
            let codec = [CompressionCodec.zlib, .lz4, .zstd][Int(first % 3)]
            let output = ByteBuffer()
            try? codec.decompress(bytes.span.bytes.extracting(1..<bytes.count), into: output, sizeMaximum: 64 * 1024)
            precondition(output.count <= 64 * 1024, "more bytes than were asked for")
        }
    }
}
