import ApusClient
import Base
import Model
import Runtime

/// `apus consume`.
public enum ConsumeCommand {
    public static let all: [Command] = [consume]

    static let consume = Command(
        "consume", "Receive messages of a topic and print them",
        discussion: """
            Without --count and --follow it prints what was there when it began, and ends. With --count it ends after so many messages, and with
            exit code 4 when they did not come --within the time; what came has been printed then. Messages of one queue are
            printed in the order of their offsets.
            The group's offsets are stored after messages were printed, never before, unless --no-commit is given. --from committed, the
            default, goes on where the group stands, and begins with the first message for a group that never read. The command does not join
            the group: members that are running go on with their queues.
            TIMESTAMP is in UTC, like 2026-01-31T12:00:00, or milliseconds since 1970, or a time ago like 10m.
            --body-only prints bodies byte for byte with a line feed after each. In the other forms bytes that are no UTF-8 become U+FFFD.
            With --follow, --output json prints one object a line.
            """,
        arguments: [CommandArgument("TOPIC", "Where from")],
        options: Cluster.options + [
            CommandOption("group", short: "g", .text("NAME"), isRequired: true, "Consumer group whose offsets count"),
            CommandOption(
                "from", .text("first|last|committed|TIMESTAMP"), default: "committed", "Message to begin with"),
            CommandOption("count", short: "c", .integer(1...1_000_000_000_000), "End after so many messages"),
            CommandOption("within", .duration, "How long it may take; 30s with --count, else without end"),
            CommandOption("tags", .text("TAGS"), "Only messages with one of these tags, like 'a || b'"),
            CommandOption("sql", .text("EXPRESSION"), "Only messages whose properties satisfy this SQL92 expression"),
            CommandOption("follow", short: "f", .flag, "Wait for further messages, until Ctrl-C"),
            CommandOption("body-only", .flag, "Print bodies and nothing else"),
            CommandOption("commit", .flag, default: "true", "Store the group's offsets"),
            .output,
        ],
        examples: [
            CommandExample("apus consume Orders --group audit", "What the group has not read yet"),
            CommandExample("apus consume Orders --group audit --follow", "And what comes, until Ctrl-C"),
            CommandExample(
                "apus consume Orders --group check --from first --count 10 --within 5s --body-only",
                "Ten bodies, or exit code 4"),
            CommandExample(
                "apus consume Orders --group big --sql 'price > 100 AND region IS NOT NULL'",
                "What a filter by properties lets pass"),
            CommandExample(
                "apus consume Orders --group peek --from 10m --no-commit --output json", "The last ten minutes"),
        ]
    ) { invocation in
        let plan = try Plan(invocation, now: SystemClock().timestamp)
        return try await Cluster.with(invocation) { client in
            var reader = try await Reader(client, plan, Printer(invocation))
            return try await reader.run()
        }
    }

    // MARK: - What to do

    enum Start: Equatable {
        case committed
        case place(ConsumeFrom)
    }

    struct Plan: Equatable {
        var topic: String
        var group: String
        var start: Start
        var count: Int?
        var within: Duration?
        var filter: MessageFilter
        var follows: Bool
        var commits: Bool

        init(_ invocation: Invocation, now: Timestamp) throws(CommandFailure) {
            topic = invocation.arguments[0]
            group = invocation.text("group")
            count = invocation.isGiven("count") ? invocation.integer("count") : nil
            within = invocation.isGiven("within") ? invocation.duration("within") : count.map { _ in .seconds(30) }
            filter = invocation.optionalText("tags").map { MessageFilter(stringLiteral: $0) } ?? .all
            if let expression = invocation.optionalText("sql") {
                guard !invocation.isGiven("tags") else {
                    throw CommandFailure(
                        .usage, "--tags and --sql exclude each other", advice: "SQL can say TAGS IN ('a', 'b')")
                }
                filter = .sql(expression)
            }
            follows = invocation.flag("follow")
            commits = invocation.flag("commit")
            switch invocation.text("from") {
            case "committed": start = .committed
            case "first": start = .place(.firstOffset)
            case "last": start = .place(.lastOffset)
            case let text:
                guard let timestamp = TimeText.timestamp(text, now: now) else {
                    throw CommandFailure(
                        .usage, "--from must be first, last, committed or a time, and '\(text)' is not",
                        advice: "write a time like 2026-01-31T12:00:00Z, 1769860800000 or 10m")
                }
                start = .place(.timestamp(timestamp))
            }
            if count != nil, follows {
                throw CommandFailure(
                    .usage, "--count and --follow exclude each other", advice: "--count waits for messages anyway")
            }
        }
    }

    // MARK: - Printing

    struct Printer {
        private let isBodyOnly: Bool
        private var rows: RowStream

        static let columns = ["messageId", "broker", "queue", "offset", "storeTime", "tag", "keys", "body"]

        init(_ invocation: Invocation) {
            isBodyOnly = invocation.flag("body-only")
            rows = RowStream(
                Self.columns, as: invocation.format, style: invocation.style, isEndless: invocation.flag("follow"))
        }

        /// - Returns: false when nobody reads standard output any more.
        mutating func print(_ messages: [ReceivedMessage]) -> Bool {
            if isBodyOnly { return Console.write(messages.flatMap { $0.body + [UInt8(ascii: "\n")] }) }
            return Console.write(Array(rows.text(messages.map(ConsumeCommand.row)).utf8))
        }

        mutating func finish() {
            if !isBodyOnly { Console.write(Array(rows.end().utf8)) }
        }
    }

    static func row(_ message: ReceivedMessage) -> [OutputTable.Cell] {
        [
            .text(message.messageID), .text(message.queue.brokerName),
            .integer(Int64(message.queue.queueID.rawValue)), .integer(message.queueOffset.rawValue),
            TimeText.cell(message.storeTimestamp), message.tag.map { .text($0) } ?? .absent,
            message.keys.isEmpty ? .absent : .text(message.keys.joined(separator: " ")), .text(message.text),
        ]
    }

    // MARK: - Reading

    struct Reader {
        private let plan: Plan
        private let consumer: PullConsumer
        private let queues: [MessageQueue]
        private var printer: Printer
        /// Offsets that the broker has; at first where reading began.
        private var stored: [MessageQueue: QueueOffset] = [:]
        /// Where reading ends that does not follow.
        private var ends: [MessageQueue: QueueOffset] = [:]
        private var count = 0

        init(_ client: RocketMQClient, _ plan: Plan, _ printer: Printer) async throws {
            self.plan = plan
            self.printer = printer
            var configuration = PullConsumerConfiguration(group: plan.group)
            configuration.filter = plan.filter
            configuration.consumeFrom = .firstOffset
            consumer = client.pullConsumer(configuration)
            queues = try await consumer.queues(of: plan.topic)
            guard !queues.isEmpty else {
                throw CommandFailure(
                    .refused, "topic \(plan.topic) has no queue that may be read",
                    advice: "'apus topic route \(plan.topic)' shows its permissions")
            }
            switch plan.start {
            case .committed: try await consumer.assign(queues)
            case .place(let place): for queue in queues { try await consumer.seek(queue, to: place) }
            }
            for queue in queues {
                stored[queue] = try await consumer.position(queue)
                ends[queue] = try await consumer.offset(queue, at: .lastOffset)
            }
        }

        mutating func run() async throws -> ExitCode {
            let deadline = plan.within.map { ContinuousClock.now + $0 }
            // Polls in slices, to notice that queues whose last messages were filtered out are at their end.
            let slice: Duration = plan.follows || plan.count != nil ? .seconds(5) : .milliseconds(200)
            var isDone = try await isFinished()
            while !isDone {
                let left = deadline.map { $0 - ContinuousClock.now } ?? slice
                guard left > .zero else { break }
                guard try await printNext(waiting: min(left, slice), deadline) else { return .success }
                isDone = try await isFinished()
            }
            printer.finish()
            if isDone, count == 0, plan.count == nil {
                Console.printError(
                    "apus: nothing is left for group \(plan.group); --from first reads again, --follow waits for more")
            }
            if isDone || plan.follows { return .success }
            let wanted = plan.count.map { "\(count) of \($0) messages came" } ?? "the end was not reached"
            throw CommandFailure(
                .unreachable, "\(wanted) within \(plan.within ?? .zero)", advice: "--within gives them more time")
        }

        /// - Returns: false when nobody reads what is printed.
        private mutating func printNext(
            waiting time: Duration, _ deadline: ContinuousClock.Instant?
        ) async throws -> Bool {
            let maximum = plan.count.map { min(256, $0 - count) } ?? 256
            var messages: [ReceivedMessage] = []
            do throws(ClientError) {
                messages = try await consumer.poll(maximum: maximum, timeout: time)
            } catch {
                // A broker that restarts comes back; whoever set a time, or follows, waits for it.
                guard error.isRetriable, plan.follows || deadline.map({ $0 > .now }) == true else { throw error }
                return true
            }
            if !messages.isEmpty {
                guard printer.print(messages) else { return false }
                count += messages.count
            }
            if plan.commits { try await commit() }
            return true
        }

        /// Stores the offsets of queues that were read.
        private mutating func commit() async throws(ClientError) {
            for queue in queues {
                let position = try await consumer.position(queue)
                guard position != stored[queue] else { continue }
                try await consumer.commit(queue, position)
                stored[queue] = position
            }
        }

        private func isFinished() async throws(ClientError) -> Bool {
            if let wanted = plan.count { return count >= wanted }
            if plan.follows { return false }
            for queue in queues {
                guard let end = ends[queue], try await consumer.position(queue) >= end else { return false }
            }
            return true
        }
    }
}
