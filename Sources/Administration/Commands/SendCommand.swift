import ApusClient
import Base
import Model

/// `apus send`.
public enum SendCommand {
    public static let all: [Command] = [send, recall]

    static let send = Command(
        "send", "Send messages to a topic",
        discussion: """
            The message is BODY, or each line of --file, or, with neither, each line of standard input. Bytes are kept as they are: only
            the line feed at the end of a line is no part of its message. Messages are sent one after the other, each when the one before was
            stored, so that those of one queue keep their order. The first failure ends it; the rows tell what was stored.
            A topic that is not there is created by the broker, if it is set to do so.
            With a delay, the rows end with the handle that 'apus recall' cancels a message by, if the broker gives one.
            """,
        arguments: [
            CommandArgument("TOPIC", "Where to"), CommandArgument("BODY", "The message", isRequired: false),
        ],
        options: Cluster.options + [
            CommandOption("file", short: "f", .path, "Send each line of this file; - is standard input"),
            CommandOption("tag", .text("TAG"), "What consumers filter by"),
            CommandOption("key", short: "k", .text("KEY"), isRepeatable: true, "What the message can be searched by"),
            CommandOption("property", short: "p", .text("KEY=VALUE"), isRepeatable: true, "A property of each message"),
            CommandOption("queue", .integer(0...65_535), "Queue to send to; without it, all in turn"),
            CommandOption("ordering-key", .text("KEY"), "Messages with the same key go to the same queue"),
            CommandOption(
                "delay-level", .integer(0...1000), default: "0",
                "Deliver later, by the broker's table: 1 is 1 s, 3 is 10 s, 18 is 2 h unless changed"),
            CommandOption("delay", .duration, "Deliver so long after the broker got it"),
            CommandOption(
                "at", .text("TIME"), "Deliver at this time, in UTC, like 2026-01-31T12:00:00, or in ms since 1970"),
            CommandOption("one-way", .flag, "Wait for no answer; messages may get lost"),
            CommandOption("count", short: "c", .integer(1...1_000_000_000), default: "1", "Send BODY so many times"),
            CommandOption(
                "group", short: "g", .text("NAME"), default: "apus_cli_producer", "Producer group"),
            CommandOption("quiet", .flag, "Print no row for each message"),
            .output,
        ],
        examples: [
            CommandExample("apus send Orders 'one pizza' --tag new --key order-42", "One message"),
            CommandExample(
                "apus send Orders --file orders.txt --queue 0 --quiet", "Each line of a file, into one queue"),
            CommandExample("apus send Orders 'remind me' --delay 90m", "One message that is delivered in 90 minutes"),
            CommandExample("journalctl -f -o cat | apus send Log", "What another program prints, line by line"),
            CommandExample(
                "apus send Orders x --count 1000 --output csv > sent.csv", "A thousand messages and their ids"),
        ]
    ) { invocation in
        let template = try template(invocation)
        var bodies = try Bodies(invocation)
        return try await Cluster.with(invocation) { client in
            var sender = try await Sender(client, invocation)
            do {
                while let body = try bodies.next() {
                    var message = template
                    message.body = body
                    try await sender.send(message)
                }
            } catch let error as ClientError {
                sender.finish(isFailed: true)
                var failure = Cluster.failure(error, nameServers: client.configuration.nameServers)
                failure.message = "\(bodies.place)\(failure.message)"
                if sender.count > 0 { failure.message += "; \(sender.count) messages before it were sent" }
                throw failure
            } catch {
                sender.finish(isFailed: true)
                throw error
            }
            sender.finish()
            if invocation.flag("one-way") { try await sender.flush() }
            return .success
        }
    }

    static let recall = Command(
        "recall", "Cancel a delayed message that was not delivered yet",
        discussion:
            "HANDLE is what 'apus send' printed for it, or what another client got with the answer to its send.",
        arguments: [CommandArgument("TOPIC", "Where it was sent to"), CommandArgument("HANDLE", "Its recall handle")],
        options: Cluster.options + [
            CommandOption("group", short: "g", .text("NAME"), default: "apus_cli_producer", "Producer group")
        ],
        examples: [CommandExample("apus recall Orders 'djEgT3JkZXJz…'", "Cancel one message")]
    ) { invocation in
        try await Cluster.with(invocation) { client in
            let producer = client.producer(group: invocation.text("group"))
            try await producer.recall(
                topic: invocation.arguments[0], handle: invocation.arguments[1],
                timeout: invocation.duration("timeout"))
            Console.print("message recalled")
            return .success
        }
    }

    /// The message without its body.
    static func template(_ invocation: Invocation) throws(CommandFailure) -> Message {
        if invocation.isGiven("queue"), invocation.isGiven("ordering-key") {
            throw CommandFailure(
                .usage, "--queue and --ordering-key exclude each other", advice: "leave one of them out")
        }
        var message = Message(topic: invocation.arguments[0], body: [])
        message.tag = invocation.optionalText("tag")
        message.keys = invocation.texts("key")
        message.shardingKey = invocation.optionalText("ordering-key")
        try delay(&message, invocation)
        for text in invocation.texts("property") {
            let pair = text.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            guard pair.count == 2, !pair[0].isEmpty else {
                throw CommandFailure(.usage, "--property needs KEY=VALUE, and '\(text)' is not that")
            }
            message.properties[String(pair[0])] = String(pair[1])
        }
        return message
    }

    private static let delays = ["delay-level", "delay", "at"]

    private static func delay(_ message: inout Message, _ invocation: Invocation) throws(CommandFailure) {
        guard delays.count(where: invocation.isGiven) <= 1 else {
            throw CommandFailure(
                .usage, "--delay-level, --delay and --at exclude each other", advice: "leave all but one of them out")
        }
        message.delayLevel = Int32(invocation.integer("delay-level"))
        if invocation.isGiven("delay") { message.deliverAfter = invocation.duration("delay") }
        guard let text = invocation.optionalText("at") else { return }
        guard let time = TimeText.moment(text) else {
            throw CommandFailure(
                .usage, "--at must be a time, and '\(text)' is not",
                advice: "write one like 2026-01-31T12:00:00Z or 1769860800000; --delay takes durations")
        }
        message.deliverAt = time
    }

    /// Where bodies come from.
    struct Bodies {
        private let lines: LineReader?
        private let body: [UInt8]
        private var left: Int
        /// Where the last body stood, for errors.
        private(set) var place = ""

        init(_ invocation: Invocation) throws(CommandFailure) {
            let path = invocation.optionalText("file")
            let argument = invocation.arguments.count > 1 ? invocation.arguments[1] : nil
            if path != nil, argument != nil {
                throw CommandFailure(.usage, "BODY and --file exclude each other", advice: "leave one of them out")
            }
            if invocation.isGiven("count"), argument == nil {
                throw CommandFailure(.usage, "--count needs BODY", advice: "a file is sent once, line by line")
            }
            body = Array((argument ?? "").utf8)
            left = argument == nil ? 0 : invocation.integer("count")
            lines = argument == nil ? try LineReader(path: path ?? "-") : nil
            if path == nil, argument == nil, Console.isInputTerminal {
                Console.printError("apus: reading messages from the keyboard, one a line; Ctrl-D ends")
            }
        }

        mutating func next() throws(CommandFailure) -> [UInt8]? {
            if lines != nil {
                let line = try lines?.next()
                place = "line \(lines?.lineNumber ?? 0): "
                return line
            }
            guard left > 0 else { return nil }
            left -= 1
            return body
        }
    }

    /// Sends messages and prints a row for each.
    struct Sender {
        private let client: RocketMQClient
        private let producer: Producer
        private let topic: String
        private let queue: MessageQueue?
        private let isOneWay: Bool
        private let isQuiet: Bool
        private var rows: RowStream
        private(set) var count = 0

        static let columns = ["messageId", "broker", "queue", "offset", "status"]
        private let isDelayed: Bool

        init(_ client: RocketMQClient, _ invocation: Invocation) async throws {
            self.client = client
            topic = invocation.arguments[0]
            var configuration = ProducerConfiguration(group: invocation.text("group"))
            configuration.sendTimeout = invocation.duration("timeout")
            producer = client.producer(configuration)
            isOneWay = invocation.flag("one-way")
            isQuiet = invocation.flag("quiet")
            isDelayed = SendCommand.delays.contains(where: invocation.isGiven)
            rows = RowStream(
                Self.columns + (isDelayed ? ["recallHandle"] : []), as: invocation.format, style: invocation.style)
            guard invocation.isGiven("queue") else {
                queue = nil
                return
            }
            let number = invocation.integer("queue")
            let queues = try await producer.queues(of: topic)
            queue = queues.first { Int($0.queueID.rawValue) == number }
            guard queue != nil else {
                let numbers = Set(queues.map(\.queueID.rawValue)).sorted().map(String.init).joined(separator: ", ")
                throw CommandFailure(
                    .notFound, "topic \(topic) has no queue \(number) that may be written", advice: "it has \(numbers)")
            }
        }

        mutating func send(_ message: Message) async throws {
            if isOneWay {
                if let queue {
                    try await producer.sendOneWay(message, to: queue)
                } else {
                    try await producer.sendOneWay(message)
                }
                show([.absent, .absent, .absent, .absent, .text("ONE_WAY")], handle: nil)
            } else {
                let receipt =
                    if let queue { try await producer.send(message, to: queue) } else {
                        try await producer.send(message)
                    }
                show(SendCommand.row(receipt), handle: receipt.recallHandle)
            }
            count += 1
        }

        /// Asks every broker of the topic something: its answer says that what came before on the same connection was read.
        func flush() async throws(ClientError) {
            for queue in try await producer.queues(of: topic) {
                _ = try await client.administration.offset(queue, at: .firstOffset)
            }
        }

        private mutating func show(_ row: [OutputTable.Cell], handle: String?) {
            let last = isDelayed ? [handle.map { OutputTable.Cell.text($0) } ?? .absent] : []
            if !isQuiet { Console.write(Array(rows.text([row + last]).utf8)) }
        }

        /// Ends the rows. A header without rows, above an error, would only confuse; JSON must be whole all the same.
        mutating func finish(isFailed: Bool = false) {
            if isFailed, count == 0, rows.format != .json { return }
            if !isQuiet { Console.write(Array(rows.end().utf8)) }
        }
    }

    static func row(_ receipt: SendReceipt) -> [OutputTable.Cell] {
        [
            .text(receipt.messageID), .text(receipt.queue.brokerName), .integer(Int64(receipt.queue.queueID.rawValue)),
            .integer(receipt.queueOffset.rawValue), .text(text(receipt.status)),
        ]
    }

    /// RocketMQ's names (`SendStatus`).
    private static func text(_ status: SendReceipt.Status) -> String {
        switch status {
        case .stored: "SEND_OK"
        case .flushTimedOut: "FLUSH_DISK_TIMEOUT"
        case .replicaUnavailable: "SLAVE_NOT_AVAILABLE"
        case .replicaTimedOut: "FLUSH_SLAVE_TIMEOUT"
        }
    }
}
