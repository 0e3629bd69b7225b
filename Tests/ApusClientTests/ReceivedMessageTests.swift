import Base
import Bytes
import Model
import Testing

@testable import ApusClient

@Suite("Messages as brokers send them")
struct ReceivedMessageTests {
    /// Golden vector E3: two records as RocketMQ 4.9.8 answered a pull with them.
    private static let golden =
        "000000d5daa320a758932aac0000000200000000000000000000000000000000000002cb00000000000001a1f9fccd737f0000010000beea000001a1f9fccd9e7f000001000078bf00000000000000000000000000000002686906546f7069634a00724b455953016b31206b32027570017602554e49515f4b455901464430303030303030303030303030303030303030303030303030303030303233463834333039343645303936353934453537333030303002434c55535445520144656661756c74436c757374657202544147530154616741"
        + "000000cddaa320a77433689f0000000200000000000000000000000100000000000003a000000000000001a1f9fcce407f0000010000beea000001a1f9fcce457f000001000078bf00000000000000000000000000000002617306546f7069634a006a4b455953016b3402554e49515f4b455901464430303030303030303030303030303030303030303030303030303030303233463834333039343645303936353934453634303030303202434c55535445520144656661756c74436c757374657202544147530154616742"

    private static let bytes: [UInt8] = stride(from: 0, to: golden.utf8.count, by: 2).map { index in
        let digits = Array(golden.utf8)[index..<index + 2]
        return UInt8(String(decoding: digits, as: UTF8.self), radix: 16)!
    }

    @Test("records of RocketMQ 4.9.8 are read")
    func goldenRecords() throws {
        let messages = try ReceivedMessage.decodeAll(Self.bytes.span.bytes, brokerName: "broker-a", topic: "TopicJ")
        #expect(messages.map(\.text) == ["hi", "as"])
        #expect(messages.map(\.tag) == ["TagA", "TagB"])
        #expect(messages[0].keys == ["k1", "k2"])
        #expect(messages[0].property("up") == "v")
        #expect(messages[0].queue.description == "TopicJ@broker-a:2")
        #expect(messages[1].queueOffset == QueueOffset(1))
        #expect(messages[0].offsetMessageID == "7F000001000078BF00000000000002CB")
        #expect(messages[0].messageID.hasPrefix("FD00"))
        #expect(messages[0].hasTag(in: ["x", "TagA"]))
        #expect(!messages[0].hasTag(in: ["TagB"]))
    }

    @Test("a body cut off anywhere is an error, not a trap", arguments: [1, 90, 200, 213, 214, 300, 417])
    func truncated(length: Int) {
        let bytes = Array(Self.bytes[..<length])
        guard length != 213 else { return }
        #expect(throws: ClientError.self) {
            _ = try ReceivedMessage.decodeAll(bytes.span.bytes, brokerName: "b", topic: "T")
        }
    }

    @Test("a message from a retry topic shows the topic that it was sent to")
    func retryTopic() throws {
        var message = try StoredRecord(topic: "%RETRY%g", properties: [("RETRY_TOPIC", "Orders")]).message()
        message.restoreTopic()
        #expect(message.topic == "Orders")
        #expect(message.queue.topic == "%RETRY%g")
    }

    @Test("a body that is no compressed data is an error, and stays as it is")
    func brokenCompression() throws {
        var message = try StoredRecord(body: [1, 2, 3], flags: .compressed).message()
        #expect(throws: CompressionErrorBox.self) {
            do { try message.decompress() } catch { throw CompressionErrorBox(error: error) }
        }
        #expect(message.body == [1, 2, 3])
    }

    private struct CompressionErrorBox: Error { var error: any Error }

    @Test(
        "filters become subscriptions",
        arguments: [
            (.all, "TAG", "*", []), ("*", "TAG", "*", []), ("TagA || TagB", "TAG", "TagA || TagB", ["TagA", "TagB"]),
            (.tags(" a||b "), "TAG", " a||b ", ["a", "b"]), (.sql("x > 1"), "SQL92", "x > 1", []),
            (.tags("*"), "TAG", "*", []),
        ] as [(MessageFilter, String, String, [String])])
    func filters(filter: MessageFilter, type: String, expression: String, tags: [String]) {
        let subscription = Subscription(topic: "T", filter, version: 5)
        #expect(subscription.expressionType == type)
        #expect(subscription.expression == expression)
        #expect(subscription.tags == tags)
        // Golden vector E6.
        if tags.first == "TagA" { #expect(subscription.tagHashes == [2_598_919, 2_598_920]) }
    }
}
