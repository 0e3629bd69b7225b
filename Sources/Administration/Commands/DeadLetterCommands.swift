import ApusClient
import Base
import Foundation
import Model
import Runtime

/// `apus dlq`.
public enum DeadLetterCommands {
    public static let all: [Command] = [list, show, export, resend]
    public static let group = CommandGroup("dlq", "Look at and resend messages that consumer groups gave up")

    private static let groupArgument = CommandArgument("GROUP", "The consumer group that gave them up")

    // MARK: - list

    static let list = Command(
        "dlq list", "List the consumer groups that have dead letters",
        discussion: """
            A message that failed more often than its group allows lies in the topic %DLQ%GROUP until the broker's retention for such
            topics removes it. The count is of what is there now; LAST is when the newest came.
            """,
        options: Cluster.options + [.output],
        examples: [CommandExample("apus dlq list", "Every group that gave something up")]
    ) { invocation in
        try await Cluster.with(invocation) { client in
            var table = OutputTable(["group", "messages", "last", "topic"])
            for topic in try await client.administration.topics() where topic.hasPrefix(DeadLetters.prefix) {
                let stats = try await client.administration.topicStats(topic).offsets.values
                let count = stats.reduce(0) { $0 + $1.maximumOffset.messages(since: $1.minimumOffset) }
                let last = stats.map(\.lastUpdateTimestamp).max() ?? Timestamp(milliseconds: 0)
                table.append([
                    .text(String(topic.dropFirst(DeadLetters.prefix.count))), .integer(Int64(count)),
                    TimeText.cell(last), .text(topic),
                ])
            }
            invocation.print(table)
            return .success
        }
    }

    // MARK: - show

    static let show = Command(
        "dlq show", "Show the dead letters of a consumer group",
        discussion: """
            TOPIC is where a message was first sent to, ATTEMPTS how often it was delivered, TIME when it was given up. Options of
            one kind that are given more than once widen the choice, different kinds narrow it.
            """,
        arguments: [groupArgument], options: Cluster.options + DeadLetters.Selection.options + [.output],
        examples: [
            CommandExample("apus dlq show audit", "All of them"),
            CommandExample("apus dlq show audit --topic Orders --from 1h --limit 10", "Ten of the last hour"),
        ]
    ) { invocation in
        let selection = try DeadLetters.Selection(invocation, now: SystemClock().timestamp)
        return try await Cluster.with(invocation) { client in
            var rows = RowStream(columns, as: invocation.format, style: invocation.style)
            var letters = try await DeadLetters.open(client, group: invocation.arguments[0], selection)
            while let message = try await letters.next() {
                guard Console.write(Array(rows.text([row(message)]).utf8)) else { return .success }
            }
            Console.write(Array(rows.end().utf8))
            return .success
        }
    }

    static let columns = [
        "messageId", "broker", "queue", "offset", "time", "topic", "attempts", "tag", "keys", "body",
    ]

    static func row(_ message: ReceivedMessage) -> [OutputTable.Cell] {
        [
            .text(message.messageID), .text(message.queue.brokerName),
            .integer(Int64(message.queue.queueID.rawValue)), .integer(message.queueOffset.rawValue),
            TimeText.cell(message.storeTimestamp), .text(message.originTopic), .integer(Int64(message.reconsumeTimes)),
            message.tag.map { .text($0) } ?? .absent,
            message.keys.isEmpty ? .absent : .text(message.keys.joined(separator: " ")), .text(message.text),
        ]
    }

    // MARK: - export

    static let export = Command(
        "dlq export", "Write the dead letters of a consumer group as JSON, one object a line",
        discussion: """
            Each object has messageId, originMessageId, topic, group, broker, queue, offset, time, bornTime, attempts, tag, keys,
            properties and body; a body that is no UTF-8 is written as bodyBase64 instead.
            """,
        arguments: [groupArgument],
        options: Cluster.options + DeadLetters.Selection.options + [
            CommandOption(
                "file", short: "f", .path, "Write to this file, which must not exist yet; else to standard output")
        ],
        examples: [
            CommandExample("apus dlq export audit --file audit.jsonl", "All of them into a file"),
            CommandExample("apus dlq export audit --tag paid", "Those with a tag, to standard output"),
        ]
    ) { invocation in
        let selection = try DeadLetters.Selection(invocation, now: SystemClock().timestamp)
        return try await Cluster.with(invocation) { client in
            var letters = try await DeadLetters.open(client, group: invocation.arguments[0], selection)
            let output = try Lines(path: invocation.optionalText("file"))
            while let message = try await letters.next() {
                guard try output.write(json(message, group: letters.group)) else { return .success }
            }
            try output.end()
            return .success
        }
    }

    /// A message as one line of JSON, without the line feed.
    static func json(_ message: ReceivedMessage, group: String) -> String {
        func text(_ value: String?) -> String { value.map(JSONText.string) ?? "null" }
        func time(_ value: Timestamp) -> String { TimeText.cell(value).json }
        let properties = message.allProperties.map { "\(JSONText.string($0.name)): \(JSONText.string($0.value))" }
        var fields = [
            ("messageId", text(message.messageID)), ("originMessageId", text(message.originMessageID)),
            ("topic", text(message.originTopic)), ("group", text(group)), ("broker", text(message.queue.brokerName)),
            ("queue", "\(message.queue.queueID.rawValue)"), ("offset", "\(message.queueOffset.rawValue)"),
            ("time", time(message.storeTimestamp)), ("bornTime", time(message.bornTimestamp)),
            ("attempts", "\(message.reconsumeTimes)"), ("tag", text(message.tag)),
            ("keys", "[" + message.keys.map(JSONText.string).joined(separator: ", ") + "]"),
            ("properties", "{" + properties.joined(separator: ", ") + "}"),
        ]
        if let body = String(validating: message.body, as: UTF8.self) {
            fields.append(("body", text(body)))
        } else {
            fields.append(("bodyBase64", text(Data(message.body).base64EncodedString())))
        }
        return "{" + fields.map { "\"\($0.0)\": \($0.1)" }.joined(separator: ", ") + "}"
    }

    /// Where lines go: a new file, or standard output.
    struct Lines {
        private let handle: FileHandle?
        private let path: String

        init(path: String?) throws(CommandFailure) {
            self.path = path ?? ""
            guard let path else {
                handle = nil
                return
            }
            guard !FileManager.default.fileExists(atPath: path),
                FileManager.default.createFile(atPath: path, contents: nil),
                let handle = FileHandle(forWritingAtPath: path)
            else {
                throw CommandFailure(
                    .usage, "'\(path)' is there already, or cannot be written", advice: "choose another file")
            }
            self.handle = handle
        }

        /// - Returns: false when nobody reads standard output any more.
        func write(_ line: String) throws(CommandFailure) -> Bool {
            guard let handle else { return Console.write(Array((line + "\n").utf8)) }
            do { try handle.write(contentsOf: Data((line + "\n").utf8)) } catch { throw failure(error) }
            return true
        }

        func end() throws(CommandFailure) {
            do {
                try handle?.synchronize()
                try handle?.close()
            } catch {
                throw failure(error)
            }
        }

        private func failure(_ error: any Error) -> CommandFailure {
            CommandFailure(.failure, "'\(path)' cannot be written: \(error.localizedDescription)")
        }
    }

    // MARK: - resend

    static let resend = Command(
        "dlq resend", "Send dead letters of a consumer group again, to where they came from",
        discussion: """
            Sends a copy of each message that is meant to the topic that it was first sent to, with its body, tag, keys and properties,
            and an id of its own. Every group that reads the topic gets it, not only the one that gave it up. The dead
            letters stay where they are, so what was sent again should not be sent twice: the rows tell what was. The first
            failure ends it. Without any choice --all is required.
            """,
        arguments: [groupArgument],
        options: Cluster.options + DeadLetters.Selection.options + [
            CommandOption("all", short: "a", .flag, "All of them, when no option narrows the choice"),
            CommandOption("to", .text("TOPIC"), "Send to this topic instead"),
            CommandOption("dry-run", .flag, "Print what would be sent, and send nothing"), .output,
        ],
        examples: [
            CommandExample("apus dlq resend audit --id 0A0000010001...", "One message"),
            CommandExample("apus dlq resend audit --key order-42 --from 24h", "Those with a key, of the last day"),
            CommandExample("apus dlq resend audit --all --dry-run", "What would be sent"),
        ]
    ) { invocation in
        let selection = try DeadLetters.Selection(invocation, now: SystemClock().timestamp)
        guard !selection.isAll || invocation.flag("all") else {
            throw CommandFailure(
                .usage, "nothing says which messages to send again",
                advice: "choose some with --id, --key, --tag, --topic, --from or --until, or say --all")
        }
        return try await Cluster.with(invocation) { client in
            var letters = try await DeadLetters.open(client, group: invocation.arguments[0], selection)
            var sender = Resender(client, invocation)
            do {
                while let message = try await letters.next() { try await sender.send(message) }
            } catch let error as ClientError {
                sender.finish(isFailed: true)
                var failure = Cluster.failure(error, nameServers: client.configuration.nameServers)
                failure.message += "; \(sender.count) messages before it were sent"
                throw failure
            }
            sender.finish(isFailed: sender.count == 0)
            guard sender.count > 0 else {
                throw CommandFailure(.notFound, "no dead letter of group \(letters.group) is meant by this")
            }
            return .success
        }
    }

    private struct Resender {
        private let producer: Producer
        private let topic: String?
        private let isDryRun: Bool
        private var rows: RowStream
        private(set) var count = 0

        init(_ client: RocketMQClient, _ invocation: Invocation) {
            var configuration = ProducerConfiguration(group: "apus_cli_producer")
            configuration.sendTimeout = invocation.duration("timeout")
            producer = client.producer(configuration)
            topic = invocation.optionalText("to")
            isDryRun = invocation.flag("dry-run")
            rows = RowStream(
                ["messageId", "offset", "topic", "newMessageId", "newBroker", "newQueue", "newOffset"],
                as: invocation.format, style: invocation.style)
        }

        mutating func send(_ message: ReceivedMessage) async throws {
            let copy = Message(copying: message, to: topic)
            guard !copy.topic.hasPrefix(SystemTopics.deadLetterPrefix) else {
                throw CommandFailure(
                    .failure, "message \(message.messageID) does not say where it came from",
                    advice: "--to names a topic")
            }
            guard !message.isBodyCompressed else {
                throw CommandFailure(.failure, "the body of message \(message.messageID) cannot be decompressed")
            }
            let receipt = isDryRun ? nil : try await producer.send(copy)
            count += 1
            let old: [OutputTable.Cell] = [
                .text(message.messageID), .integer(message.queueOffset.rawValue), .text(copy.topic),
            ]
            let new: [OutputTable.Cell] =
                receipt.map {
                    [
                        .text($0.messageID), .text($0.queue.brokerName), .integer(Int64($0.queue.queueID.rawValue)),
                        .integer($0.queueOffset.rawValue),
                    ]
                } ?? [.absent, .absent, .absent, .absent]
            Console.write(Array(rows.text([old + new]).utf8))
        }

        /// Ends the rows. A header without rows, above an error, would only confuse; JSON must be whole all the same.
        mutating func finish(isFailed: Bool) {
            if isFailed, count == 0, rows.format != .json { return }
            Console.write(Array(rows.end().utf8))
        }
    }
}
