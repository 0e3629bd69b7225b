import Base
import BrokerCore
import Bytes
import Model
import RemotingFrontend
import RemotingProtocol
import Storage
import Testing

/// Whatever comes over a connection: an answer or a closed connection, never a trap, and a store that is as it was.
@Suite("Bad input to a broker")
struct BadInputTests {
    /// Every request that a broker knows, and some that nobody does.
    static let codes: [Int32] =
        Array(0...60) + Array(100...106) + Array(200...225) + Array(300...361)
        + [370, 400, 513, 901, 907, 1007, 2001, 200_050, -1, .max, .min]

    private func conversation() throws -> BrokerConversation {
        let it = try BrokerConversation()
        try it.putTopic("T")
        let client = it.connect(port: 1)
        for number in 0..<5 { try client.produce("m\(number)", to: "T", tags: "A", keys: "k\(number)") }
        try client.subscribe("CG", to: ["T"], clientID: "c1")
        return it
    }

    /// The five messages are there and the broker goes on.
    private func checkUnharmed(_ it: BrokerConversation) throws {
        let client = it.connect(port: 2)
        let pull = try client.ask(.pullMessage, TestClient.pullFields("T"))
        #expect(try pull.messages().prefix(5).map(\.text) == (0..<5).map { "m\($0)" })
        #expect(it.failure == nil)
    }

    @Test("every code without fields and body gets a code", arguments: [HeaderEncoding.json, .binary])
    func noFields(_ encoding: HeaderEncoding) throws {
        let it = try conversation()
        let client = it.connect()
        client.encoding = encoding
        for code in Self.codes where code != 215 {
            let opaque = client.send(RequestCode(code))
            it.turn()
            let answer = try client.answer(to: opaque)
            #expect(answer != nil, "request \(code)")
            if let answer, answer.code == 3 {
                let seen = encoding == .json ? code : RequestCode(truncated: Int16(truncatingIfNeeded: code)).rawValue
                #expect(answer.remark == " request type \(seen) not supported")
            }
        }
        try checkUnharmed(it)
    }

    /// Values that numbers, names and flags are not expecting.
    static let oddValues = [
        "", " ", "-1", "0", "1", "4", "65535", "65536", "2147483647", "2147483648", "-2147483648",
        "9223372036854775807",
        "-9223372036854775808", "9223372036854775808", "1e3", "T", "%RETRY%CG", "@", "a@b", "../../etc", "null", "true",
        "\u{0}", "\u{1}\u{2}", "ключ", "\u{1F980}", String(repeating: "x", count: 300),
        String(repeating: "\u{1}", count: 400),
    ]
    static let names: [StaticString] = [
        "topic", "queueId", "queueOffset", "maxMsgNums", "sysFlag", "commitOffset", "suspendTimeoutMillis",
        "subscription",
        "subVersion", "expressionType", "consumerGroup", "group", "groupName", "timestamp", "offset", "key", "maxNum",
        "beginTimestamp", "endTimestamp", "clientID", "clientId", "producerGroup", "defaultTopic", "readQueueNums",
        "writeQueueNums", "perm", "topicFilterType", "topicSysFlag", "order", "removeOffset", "index", "count",
        "statsName",
        "statsKey", "srcGroup", "destGroup", "offline", "compareGroup", "filterGroups", "isOrder", "isForce", "msgId",
        "clientAddr", "jstackEnable", "a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m",
    ]

    @Test("every code with every value in every field", arguments: oddValues)
    func values(_ value: String) throws {
        let it = try conversation()
        for code in Self.codes where code != 215 {
            let client = it.connect()
            client.send(RequestCode(code), Self.names.map { ($0, value) }, body: Array(value.utf8))
            it.turn()
            client.session.close()
        }
        it.advance(milliseconds: 1_000, step: 100)
        try checkUnharmed(it)
    }

    @Test("random values in the fields that a request needs", arguments: 1...4 as ClosedRange<UInt64>)
    func mixedValues(_ seed: UInt64) throws {
        let random = SeededRandom(seed: seed)
        let it = try conversation()
        var client = it.connect()
        for round in 0..<1_000 {
            let code = Self.codes[random.next(below: Self.codes.count)]
            // Deleting T and its queues is not what this is about.
            guard code != 215, code != 17 else { continue }
            var fields: [(StaticString, String)] = []
            for name in Self.names {
                switch random.next(below: 10) {
                case 0: fields.append((name, Self.oddValues[random.next(below: Self.oddValues.count)]))
                case 1: break
                default: fields.append((name, Self.sensible(name)))
                }
            }
            client.encoding = random.next(below: 2) == 0 ? .json : .binary
            client.send(
                RequestCode(code), fields, body: Self.bodies[random.next(below: Self.bodies.count)],
                isOneway: random.next(below: 5) == 0)
            if random.next(below: 3) == 0 { it.turn() }
            if round % 500 == 499 {
                it.advance(milliseconds: 1_000, step: 500)
                client.session.close()
                client = it.connect()
            }
            client.output.removeAll()
        }
        it.turn()
        #expect(it.failure == nil)
        #expect(it.broker.topic("T") != nil)
    }

    private static func sensible(_ name: StaticString) -> String {
        switch name.description {
        case "topic", "b": "T"
        case "defaultTopic", "c": "TBW102"
        case "consumerGroup", "group", "srcGroup", "compareGroup": "CG"
        case "clientID", "clientId": "c1"
        case "subscription", "expressionType": "*"
        case "i": "TAGS\u{1}A\u{2}"
        default: "1"
        }
    }

    static let bodies: [[UInt8]] = [
        [], Array("{}".utf8), Array("{".utf8), Array("[]".utf8), Array("null".utf8), Array(repeating: 0, count: 40),
        Array("{\"clientID\":\"x\",\"consumerDataSet\":[{}]}".utf8), Array("{\"groupName\":\"\"}".utf8),
        Array("{\"groupName\":\"G\",\"retryQueueNums\":-1}".utf8),
        Array(
            "{\"clientId\":\"x\",\"consumerGroup\":\"CG\",\"mqSet\":[{\"topic\":\"T\",\"brokerName\":\"b\",\"queueId\":-9}]}"
                .utf8),
        Array("configBlackList=x\n".utf8), Array(String(repeating: "[", count: 5_000).utf8),
    ]

    // MARK: - Bytes

    @Test("a request that is cut short anywhere waits for the rest", arguments: [HeaderEncoding.json, .binary])
    func truncation(_ encoding: HeaderEncoding) throws {
        let it = try conversation()
        let bytes = frame(.sendMessageV2, TestClient.sendFields("T"), body: [1, 2, 3], encoding)
        for count in 0..<bytes.count {
            let client = it.connect()
            let buffer = ByteBuffer()
            buffer.append(Array(bytes[..<count]))
            guard case .incomplete(let needed) = client.session.next(buffer) else {
                Issue.record("\(count) bytes are no frame")
                continue
            }
            #expect(needed > count && needed <= bytes.count)
            #expect(buffer.count == count)
        }
        #expect(it.broker.metrics.messagesSent == 5)
    }

    @Test("a request with one changed byte is answered or refused", arguments: [HeaderEncoding.json, .binary])
    func changedBytes(_ encoding: HeaderEncoding) throws {
        let it = try conversation()
        let bytes = frame(.pullMessage, TestClient.pullFields("T", holdMilliseconds: 10), body: [], encoding)
        for position in 0..<bytes.count {
            for change in [1, 0x20, 0x80, 0xFF] as [UInt8] {
                var changed = bytes
                changed[position] ^= change
                try feed(changed, to: it)
            }
        }
        try checkUnharmed(it)
    }

    @Test("garbage closes the connection", arguments: 1...10 as ClosedRange<UInt64>)
    func garbage(_ seed: UInt64) throws {
        let it = try conversation()
        let random = SeededRandom(seed: seed)
        for _ in 0..<50 {
            let bytes = (0..<1 + random.next(below: 300)).map { _ in UInt8(truncatingIfNeeded: random.next()) }
            try feed(bytes, to: it)
            // With a length that fits.
            let length = UInt32(bytes.count)
            try feed([24, 16, 8, 0].map { UInt8(truncatingIfNeeded: length >> UInt32($0)) } + bytes, to: it)
        }
        try checkUnharmed(it)
    }

    @Test(
        "lengths that no frame has",
        arguments: [
            [0, 0, 0, 0], [0, 0, 0, 3], [0xFF, 0xFF, 0xFF, 0xFF], [0x80, 0, 0, 0], [0x7F, 0xFF, 0xFF, 0xFF],
            [1, 0, 0, 1],
            [0, 0, 0, 8, 0, 0, 0, 5, 1, 2, 3, 4], [0, 0, 0, 8, 7, 0, 0, 2, 1, 2, 3, 4],
        ] as [[UInt8]])
    func lengths(_ bytes: [UInt8]) throws {
        let it = try conversation()
        let buffer = ByteBuffer()
        buffer.append(bytes + Array(repeating: 0, count: 16))
        guard case .malformed = it.connect().session.next(buffer) else {
            Issue.record("taken")
            return
        }
    }

    @Test("a header that would grow too large in an answer is refused", arguments: [HeaderEncoding.json, .binary])
    func hugeHeader(_ encoding: HeaderEncoding) throws {
        let it = try conversation()
        for size in encoding == .json ? [300_000, 400_000] : [1_900_000, 2_200_000] {
            let name = String(repeating: "\u{1}", count: size)
            for code in [RequestCode.pullMessage, .getTopicStatsInfo] {
                try feed(
                    frame(code, TestClient.pullFields(name, group: "g") + [("group", name)], body: [], encoding), to: it
                )
                try feed(
                    frame(code, TestClient.pullFields("T", group: name) + [("group", "g")], body: [], encoding), to: it)
            }
        }
        try checkUnharmed(it)
    }

    private func frame(
        _ code: RequestCode, _ fields: [(StaticString, String)], body: [UInt8], _ encoding: HeaderEncoding
    ) -> [UInt8] {
        let buffer = ByteBuffer()
        var writer = CommandWriter(buffer, encoding: encoding)
        writer.begin(request: code, opaque: 1)
        for (name, value) in fields { writer.field(name, value) }
        writer.beginBody()
        buffer.append(body)
        writer.end()
        return buffer.bytes.array()
    }

    /// What a connection would do with the bytes.
    private func feed(_ bytes: [UInt8], to it: BrokerConversation) throws {
        let client = it.connect()
        let buffer = ByteBuffer()
        buffer.append(bytes)
        while case .handled = client.session.next(buffer) {}
        it.turn()
        _ = try client.receive()
        client.session.close()
    }

    // MARK: - Batches

    /// The body of a batch of `texts`.
    static func batch(_ texts: [String], properties: String = "TAGS\u{1}A") -> [UInt8] {
        let buffer = ByteBuffer()
        for text in texts {
            let body = Array(text.utf8)
            let tail = Array(properties.utf8)
            buffer.append(bigEndian: Int32(4 + 4 + 4 + 4 + 4 + body.count + 2 + tail.count))
            buffer.append(bigEndian: Int32(0))
            buffer.append(bigEndian: Int32(0))
            buffer.append(bigEndian: Int32(7))
            buffer.append(bigEndian: Int32(body.count))
            buffer.append(body)
            buffer.append(bigEndian: Int16(tail.count))
            buffer.append(tail)
        }
        return buffer.bytes.array()
    }

    private static let batchFields: [(StaticString, String)] = {
        var fields = TestClient.sendFields("T", queue: 1)
        fields[fields.count - 1] = ("m", "true")
        return fields
    }()

    @Test("a batch is stored whole")
    func goodBatch() throws {
        let it = try conversation()
        let client = it.connect()
        let answer = try client.ask(.sendBatchMessage, Self.batchFields, body: Self.batch(["a", "", "c"]))
        #expect(answer.responseCode == .success)
        #expect(answer.fields["msgId"]?.split(separator: ",").count == 3)
        let pull = try client.ask(.pullMessage, TestClient.pullFields("T", queue: 1))
        #expect(try pull.messages().map(\.text) == ["a", "", "c"])
        #expect(try pull.messages().map(\.flag) == [7, 7, 7])
    }

    @Test("a batch that is wrong at any byte is stored whole or not at all")
    func brokenBatch() throws {
        let good = Self.batch(["one", "two", "three"])
        let it = try conversation()
        let client = it.connect()
        var stored: Int64 = 0
        func check(_ body: [UInt8]) throws {
            let answer = try client.ask(.sendBatchMessage, Self.batchFields, body: body)
            let range = try it.broker.status(try #require(it.broker.topic("T")), QueueID(1))
            let now = range.maximumOffset.rawValue
            if answer.code == 0 {
                #expect(answer.fields["queueOffset"] == String(stored))
                #expect(now - stored == Int64(answer.fields["msgId"]?.split(separator: ",").count ?? 0))
            } else {
                #expect(answer.responseCode == .messageIllegal, "\(answer)")
                #expect(now == stored)
            }
            stored = now
        }
        for count in 0..<good.count { try check(Array(good[..<count])) }
        for position in 0..<good.count {
            for change in [1, 0x7F, 0x80, 0xFF] as [UInt8] {
                var bad = good
                bad[position] ^= change
                try check(bad)
            }
        }
        // All of it can be read.
        var offset: Int64 = 0
        while offset < stored {
            let pull = try client.ask(.pullMessage, TestClient.pullFields("T", queue: 1, from: offset))
            offset += Int64(try pull.messages().count)
            #expect(pull.code == 0)
        }
    }

    @Test(
        "kinds of messages that no batch may hold",
        arguments: [
            "DELAY\u{1}3", "TRAN_MSG\u{1}true", "a\u{1}" + String(repeating: "x", count: 32_760),
        ])
    func forbiddenInBatch(_ properties: String) throws {
        let it = try conversation()
        let body = Self.batch(["fine"]) + Self.batch(["not"], properties: properties)
        let answer = try it.connect().ask(.sendBatchMessage, Self.batchFields, body: body)
        #expect(answer.responseCode == .messageIllegal)
        #expect(try it.broker.status(try #require(it.broker.topic("T")), QueueID(1)).maximumOffset == .zero)
    }
}
