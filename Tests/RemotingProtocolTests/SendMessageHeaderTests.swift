import Base
import Bytes
import Model
import RemotingProtocol
import Testing

@Suite("Fields of a send and a pull")
struct SendMessageHeaderTests {
    static let letters = [
        "a": "PG", "b": "T", "c": "TBW102", "d": "4", "e": "2", "f": "769", "g": "1795195456883", "h": "9",
        "i": "KEYS\\u0001k", "j": "3", "k": "true", "l": "16", "m": "false", "n": "broker-a",
    ]
    static let names = [
        "a": "producerGroup", "b": "topic", "c": "defaultTopic", "d": "defaultTopicQueueNums", "e": "queueId",
        "f": "sysFlag", "g": "bornTimestamp", "h": "flag", "i": "properties", "j": "reconsumeTimes", "k": "unitMode",
        "l": "maxReconsumeTimes", "m": "batch", "n": "brokerName",
    ]

    private func header(_ code: Int, _ fields: [String: String]) throws -> DecodedFrame {
        let members = fields.map { "\"\($0.key)\":\"\($0.value)\"" }.joined(separator: ",")
        return try DecodedFrame(frame(json: "{\"code\":\(code),\"extFields\":{\(members)}}"))
    }

    @Test("letters and long names say the same", arguments: [(310, true), (320, true), (10, false), (324, false)])
    func both(code: Int, isShort: Bool) throws {
        let fields =
            isShort ? Self.letters : Dictionary(uniqueKeysWithValues: Self.letters.map { (Self.names[$0]!, $1) })
        let decoded = try header(code, fields)
        let buffer = decoded.buffer
        let send = try SendMessageHeader(decoded.header, in: buffer.bytes)
        #expect(decoded.text(send.producerGroup) == "PG")
        #expect(decoded.text(send.topic) == "T")
        #expect(decoded.text(send.defaultTopic) == "TBW102")
        #expect(send.defaultTopicQueueCount == 4)
        #expect(send.queueID == QueueID(2))
        #expect(send.flags.contains(.compressed) && send.flags.compressionType == 3)
        #expect(send.bornTimestamp.milliseconds == 1_795_195_456_883)
        #expect(send.flag == 9)
        #expect(decoded.text(send.properties) == "KEYS\u{1}k")
        #expect(send.reconsumeTimes == 3)
        #expect(send.isUnit && !send.isBatch)
        #expect(send.maxReconsumeTimes == 16)
        #expect(send.brokerName.map(decoded.text) == "broker-a")
    }

    @Test("a to h must be there, the rest need not", arguments: letters.keys.sorted())
    func missing(letter: String) throws {
        for (code, name) in [(310, letter), (10, Self.names[letter]!)] {
            var fields = Self.letters
            if code == 10 { fields = Dictionary(uniqueKeysWithValues: fields.map { (Self.names[$0]!, $1) }) }
            fields[name] = nil
            let decoded = try header(code, fields)
            let buffer = decoded.buffer
            if letter <= "h" {
                #expect(throws: HeaderError.missing(field: name)) {
                    try SendMessageHeader(decoded.header, in: buffer.bytes)
                }
            } else {
                #expect(throws: Never.self) { try SendMessageHeader(decoded.header, in: buffer.bytes) }
            }
        }
    }

    @Test("numbers that are none are named", arguments: ["d", "e", "f", "g", "h", "j", "l"])
    func invalid(letter: String) throws {
        for value in ["", "x", "1.5", "99999999999999999999", " 1"] {
            var fields = Self.letters
            fields[letter] = value
            let decoded = try header(310, fields)
            let buffer = decoded.buffer
            let error = #expect(throws: HeaderError.self) { try SendMessageHeader(decoded.header, in: buffer.bytes) }
            guard case .invalid(Self.names[letter], value, _) = error else {
                Issue.record("\(String(describing: error))")
                continue
            }
        }
    }

    @Test("a flag of the C++ client that says 1 is no batch, as in RocketMQ")
    func one() throws {
        var fields = Self.letters
        fields["m"] = "1"
        let decoded = try header(320, fields)
        let buffer = decoded.buffer
        #expect(try SendMessageHeader(decoded.header, in: buffer.bytes).isBatch == false)
    }

    @Test("an offset message id is written without a string, and equal")
    func response() throws {
        let id = OffsetMessageID(host: .loopback(port: 30911), offset: PhysicalOffset(0x2cb))
        for encoding in [HeaderEncoding.json, .binary] {
            let bytes = written(encoding) { writer in
                writer.begin(response: .success, opaque: 6)
                SendMessageResponseHeader.write(
                    into: &writer, messageID: id, queueID: QueueID(2), queueOffset: .zero)
                writer.end()
            }
            let decoded = try DecodedFrame(bytes)
            let buffer = decoded.buffer
            let expected = SendMessageResponseHeader(
                messageID: "7F000001000078BF00000000000002CB", queueID: QueueID(2), queueOffset: .zero)
            #expect(try SendMessageResponseHeader(decoded.header, in: buffer.bytes) == expected)
        }
    }

    @Test(
        "each field that a pull needs is named when it is missing",
        arguments: [
            "consumerGroup", "topic", "queueId", "queueOffset", "maxMsgNums", "sysFlag", "commitOffset",
            "suspendTimeoutMillis", "subVersion",
        ])
    func pull(name: String) throws {
        var fields = [
            "consumerGroup": "G", "topic": "T", "queueId": "2", "queueOffset": "5", "maxMsgNums": "32", "sysFlag": "3",
            "commitOffset": "4", "suspendTimeoutMillis": "15000", "subVersion": "7", "unknown": "x",
        ]
        let whole = try header(11, fields)
        let buffer = whole.buffer
        let pull = try PullMessageHeader(whole.header, in: buffer.bytes)
        #expect(pull.flags == [.commitOffset, .suspend])
        #expect(pull.queueOffset == QueueOffset(5))
        #expect(pull.expressionType == nil)
        fields[name] = nil
        let part = try header(11, fields)
        let partBuffer = part.buffer
        #expect(throws: HeaderError.missing(field: name)) { try PullMessageHeader(part.header, in: partBuffer.bytes) }
    }
}
