import Base
import Bytes
import Foundation
import Model
import Testing

@testable import Administration
@testable import ApusClient

/// A dead letter of group G as a broker would send it.
private func letter(
    id: String = "ID", body: [UInt8] = Array("hi".utf8), storedAt time: Int64 = 5000,
    _ properties: [(name: String, value: String)] = [("RETRY_TOPIC", "Orders")]
) throws -> ReceivedMessage {
    let encoded = ByteBuffer()
    MessageProperties.encode([("UNIQ_KEY", id)] + properties, to: encoded)
    let buffer = ByteBuffer()
    let host = HostAddress.loopback(port: 10_911)
    buffer.append(bigEndian: UInt32(0))
    buffer.append(bigEndian: MessageRecord.magicV1)
    for number in [0, 0, 7] as [Int32] { buffer.append(bigEndian: number) }
    for number in [3, 4] as [Int64] { buffer.append(bigEndian: number) }
    buffer.append(bigEndian: Int32(0))
    buffer.append(bigEndian: Int64(1000))
    host.append(to: buffer)
    buffer.append(bigEndian: time)
    host.append(to: buffer)
    buffer.append(bigEndian: Int32(16))
    buffer.append(bigEndian: Int64(0))
    buffer.append(bigEndian: Int32(body.count))
    buffer.append(body)
    buffer.append(UInt8(6))
    buffer.append(utf8: "%DLQ%G")
    buffer.append(bigEndian: UInt16(encoded.count))
    buffer.append(encoded.bytes)
    buffer.patch(bigEndian: UInt32(buffer.count), at: 0)
    let span = buffer.bytes
    return ReceivedMessage(try MessageRecord(span), in: span, brokerName: "b", topic: "%DLQ%G")
}

@Suite("Commands for dead letters")
struct DeadLetterCommandTests {
    private static let table = CommandTable(
        DeadLetterCommands.all + SendCommand.all + ConsumeCommand.all, groups: [DeadLetterCommands.group])

    private func parse(_ words: [String]) throws -> Invocation {
        let parser = CommandParser(table: Self.table, environment: [:])
        guard case .run(let invocation) = try parser.parse(words) else { throw CommandFailure(.failure, "help") }
        return invocation
    }

    private func selection(_ words: String...) throws -> DeadLetters.Selection {
        try DeadLetters.Selection(try parse(["dlq", "show", "G"] + words), now: Timestamp(milliseconds: 10_000_000))
    }

    @Test("every command has examples that its own parser takes")
    func examples() throws {
        for command in DeadLetterCommands.all {
            #expect(!command.examples.isEmpty, "\(command.name)")
            for example in command.examples {
                #expect(throws: Never.self) {
                    try parse(example.line.split(separator: " ").dropFirst().map(String.init))
                }
            }
        }
    }

    @Test(
        "options of one kind widen the choice, different kinds narrow it",
        arguments: [
            ([], true), (["--id", "ID"], true), (["--id", "other"], false), (["--id", "other", "--id", "ID"], true),
            (["--key", "k2"], true), (["--key", "k"], false), (["--tag", "t"], true), (["--tag", "u"], false),
            (["--topic", "Orders"], true), (["--topic", "%DLQ%G"], false), (["--from", "5000"], true),
            (["--from", "5001"], false), (["--until", "5000"], false), (["--until", "5001"], true),
            (["--tag", "t", "--key", "k"], false), (["--tag", "t", "--key", "k1", "--topic", "Orders"], true),
        ] as [([String], Bool)])
    func selection(_ words: [String], _ isMeant: Bool) throws {
        let message = try letter([("RETRY_TOPIC", "Orders"), ("TAGS", "t"), ("KEYS", "k1 k2")])
        let invocation = try parse(["dlq", "show", "G"] + words)
        let selection = try DeadLetters.Selection(invocation, now: Timestamp(milliseconds: 10_000_000))
        #expect(selection.contains(message) == isMeant)
        #expect(selection.isAll == words.isEmpty)
    }

    @Test("a time ago, a limit, and what is no time")
    func times() throws {
        #expect(try selection("--from", "5s").from == Timestamp(milliseconds: 9_995_000))
        #expect(try selection("--limit", "3").limit == 3)
        #expect(throws: CommandFailure.self) { try selection("--until", "later") }
    }

    @Test("an exported message is one line of JSON with everything in it")
    func export() throws {
        let message = try letter([
            ("RETRY_TOPIC", "Orders"), ("TAGS", "t"), ("KEYS", "k1 k2"), ("ORIGIN_MESSAGE_ID", "O"), ("a", "b\n\""),
        ])
        let line = DeadLetterCommands.json(message, group: "G")
        #expect(!line.contains("\n"))
        let object = try #require(try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any])
        #expect(object["messageId"] as? String == "ID" && object["originMessageId"] as? String == "O")
        #expect(object["topic"] as? String == "Orders" && object["group"] as? String == "G")
        #expect(object["keys"] as? [String] == ["k1", "k2"] && object["tag"] as? String == "t")
        #expect(object["attempts"] as? Int == 16 && object["offset"] as? Int == 3)
        #expect((object["properties"] as? [String: String])?["a"] == "b\n\"")
        #expect(object["body"] as? String == "hi")
        let bytes = DeadLetterCommands.json(try letter(body: [0xFF, 0xFE]), group: "G")
        #expect(bytes.contains("\"bodyBase64\": \"//4=\"") && !bytes.contains("\"body\""))
    }

    @Test("what is sent again goes where it came from, with all that is the user's and nothing that is the way's")
    func copy() throws {
        let message = try letter([
            ("RETRY_TOPIC", "Orders"), ("TAGS", "t"), ("KEYS", "k1 k2"), ("__SHARDINGKEY", "s"), ("DELAY", "3"),
            ("ORIGIN_MESSAGE_ID", "O"), ("RECONSUME_TIME", "16"), ("CLUSTER", "C"), ("TIMER_OUT_MS", "1"),
            ("color", "red"), ("POP_CK", "x"), ("WAIT", "true"),
        ])
        let copy = Message(copying: message)
        #expect(
            copy.topic == "Orders" && copy.body == Array("hi".utf8) && copy.tag == "t" && copy.keys == ["k1", "k2"])
        #expect(copy.shardingKey == "s" && copy.flag == 7 && copy.properties == ["color": "red"])
        #expect(Message(copying: message, to: "Else").topic == "Else")
        let modern = try letter([("DLQ_ORIGIN_TOPIC", "New"), ("RETRY_TOPIC", "Old")])
        #expect(Message(copying: modern).topic == "New")
    }

    @Test("sending everything again has to be said")
    func all() async throws {
        let invocation = try parse(["dlq", "resend", "G"])
        let failure = await #expect(throws: CommandFailure.self) { _ = try await invocation.command.run(invocation) }
        #expect(failure?.code == .usage)
    }

    // MARK: - Delay and SQL

    @Test("a message is delayed in one way at most")
    func delays() throws {
        func message(_ words: String...) throws -> Message {
            try SendCommand.template(try parse(["send", "T", "x"] + words))
        }
        #expect(try message("--delay-level", "3").delayLevel == 3)
        #expect(try message("--delay", "90m").deliverAfter == .seconds(5400))
        #expect(try message("--at", "2026-01-31T12:00:00Z").deliverAt == Timestamp(milliseconds: 1_769_860_800_000))
        #expect(try message("--at", "1769860800000").deliverAt == Timestamp(milliseconds: 1_769_860_800_000))
        for words in [["--delay", "1s", "--at", "1"], ["--delay", "1s", "--delay-level", "1"], ["--at", "10m"]] {
            let failure = #expect(throws: CommandFailure.self) {
                try SendCommand.template(try parse(["send", "T", "x"] + words))
            }
            #expect(failure?.code == .usage)
        }
    }

    @Test("a filter is by tags or by SQL")
    func filters() throws {
        func plan(_ words: String...) throws -> ConsumeCommand.Plan {
            try ConsumeCommand.Plan(
                try parse(["consume", "T", "--group", "G"] + words), now: Timestamp(milliseconds: 0))
        }
        #expect(try plan("--sql", "a > 5").filter == .sql("a > 5"))
        #expect(throws: CommandFailure.self) { try plan("--sql", "a > 5", "--tags", "t") }
    }
}
