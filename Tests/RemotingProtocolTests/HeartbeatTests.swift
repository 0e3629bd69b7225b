import Model
import RemotingProtocol
import Testing

@Suite("Heartbeat body")
struct HeartbeatTests {
    @Test("the C++ client's ordinals mean what Java's names do")
    func ordinals() throws {
        let body = Array(
            """
            {"clientID":"c","consumerDataSet":[{"consumeFromWhere":4,"consumeType":1,"groupName":"g","messageModel":1,\
            "subscriptionDataSet":[]}],"producerDataSet":[]}
            """.utf8)
        let consumer = try #require(try HeartbeatData(parsing: body.span.bytes).consumers.first)
        #expect(consumer.consumeFromWhere == .firstOffset)
        #expect(consumer.consumeType == .push)
        #expect(consumer.messageModel == .clustering)
    }

    @Test("a value that is no name and no ordinal is refused", arguments: ["7", "-1", "\"SOMEHOW\"", "true"])
    func unknown(value: String) {
        let body = Array(#"{"clientID":"c","consumerDataSet":[{"groupName":"g","consumeType":\#(value)}]}"#.utf8)
        #expect(throws: BodyError.self) { try HeartbeatData(parsing: body.span.bytes) }
    }
}
