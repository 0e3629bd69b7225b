import Base
import BrokerCore
import Bytes
import Model
import Simulation
import Storage

/// A half message as its producer knows it.
struct PreparedHalf: Equatable {
    var body: String
    var queueOffset: QueueOffset
    var physicalOffset: PhysicalOffset
}

extension TestBroker {
    /// Sends a half message in a turn of its own.
    func prepare(
        _ topic: String, _ body: String, queueID: Int32 = 0, group: String = "payers",
        properties: [(name: String, value: String)] = [], bornHost: HostAddress = .loopback(port: 1)
    ) throws -> PreparedHalf {
        let topicBytes = Array(topic.utf8)
        let defaultTopic = Array(SystemTopics.autoCreate.utf8)
        var request = SendRequest(topic: topicBytes.span.bytes, defaultTopic: defaultTopic.span.bytes, peer: bornHost)
        request.queueID = QueueID(queueID)
        let queue = try broker.queue(for: request)
        let bodyBytes = Array(body.utf8)
        let text = ByteBuffer()
        let all = [(name: "TRAN_MSG", value: "true"), (name: "UNIQ_KEY", value: "id-\(body)")] + properties
        MessageProperties.encode(all, to: text)
        let propertyBytes = text.bytes.array()
        var draft = MessageDraft(
            topic: topicBytes.span.bytes, body: bodyBytes.span.bytes, properties: propertyBytes.span.bytes)
        draft.flags = MessageFlags(rawValue: MessageFlags.transactionPrepared)
        draft.flag = 7
        draft.bornHost = bornHost
        draft.bornTimestamp = Timestamp(milliseconds: 42)
        let groupBytes = Array(group.utf8)
        let appended = try broker.prepare(draft, for: queue, group: groupBytes.span.bytes)
        try broker.endTurn()
        return PreparedHalf(body: body, queueOffset: appended.queueOffset, physicalOffset: appended.physicalOffset)
    }

    /// Ends a transaction in a turn of its own.
    func end(_ half: PreparedHalf, _ outcome: TransactionOutcome, group: String = "payers") throws {
        let groupBytes = Array(group.utf8)
        let id = Array("id-\(half.body)".utf8)
        _ = try broker.endTransaction(
            outcome, at: half.physicalOffset, queueOffset: half.queueOffset, group: groupBytes.span.bytes,
            messageID: id.span.bytes, mayWait: true)
        try broker.endTurn()
    }

    /// A producer of the group comes online.
    func produce(_ group: String = "payers", on channel: TestChannel, client: String = "c") throws {
        try broker.heartbeat(
            Heartbeat(
                identity: ClientIdentity(clientID: client, language: "JAVA", version: 409), producerGroups: [group],
                consumers: []), on: channel)
        try broker.endTurn()
    }

    /// Lets time pass in steps of 50 ms, as the broker's timer does.
    func advance(milliseconds: Int64) throws {
        var rest = milliseconds
        while rest > 0 {
            clock.advance(milliseconds: min(rest, 50))
            rest -= 50
            try broker.keepHouse()
            try broker.endTurn()
            while disk.runCompletions() > 0 { try broker.endTurn() }
        }
    }

    /// Everything that a topic holds, as consumers see it.
    func all(_ topic: String, queueID: Int32 = 0) throws -> [String] {
        guard broker.topic(topic) != nil else { return [] }
        var bodies: [String] = []
        var offset: Int64 = 0
        while true {
            let (result, more) = try fetch(topic, from: offset, queueID: queueID)
            guard result.messageCount > 0 else { return bodies }
            bodies += more
            offset = result.nextOffset.rawValue
        }
    }

    /// The first record of a topic's queue.
    func record(_ topic: String, queueID: Int32 = 0) throws -> (MessageRecord, [UInt8]) {
        let buffer = ByteBuffer()
        _ = try broker.fetch(
            try queue(topic, queueID), from: .zero, maximumCount: 1, filter: .all, into: buffer)
        return (try MessageRecord(buffer.bytes), buffer.bytes.array())
    }
}
