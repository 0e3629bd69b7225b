import ApusClient
import Base
import Model

/// The messages that a consumer group gave up: what lies in its topic `%DLQ%group`.
struct DeadLetters {
    static let prefix = SystemTopics.deadLetterPrefix

    /// Which messages are meant.
    struct Selection: Equatable {
        var ids: Set<String> = []
        var keys: Set<String> = []
        var tags: Set<String> = []
        /// The topics that they were first sent to.
        var topics: Set<String> = []
        var from: Timestamp?
        var until: Timestamp?
        var limit: Int?

        static let options: [CommandOption] = [
            CommandOption(
                "id", .text("ID"), isRepeatable: true, "Only the message with this id, its own or the first copy's"),
            CommandOption("key", short: "k", .text("KEY"), isRepeatable: true, "Only messages with this key"),
            CommandOption("tag", .text("TAG"), isRepeatable: true, "Only messages with this tag"),
            CommandOption(
                "topic", .text("NAME"), isRepeatable: true, "Only messages that were first sent to this topic"),
            CommandOption("from", .text("TIME"), "Only messages that became dead letters at this time or later"),
            CommandOption("until", .text("TIME"), "Only messages that became dead letters before this time"),
            CommandOption("limit", .integer(1...1_000_000_000), "Not more messages than this"),
        ]

        init() {}

        init(_ invocation: Invocation, now: Timestamp) throws(CommandFailure) {
            ids = Set(invocation.texts("id"))
            keys = Set(invocation.texts("key"))
            tags = Set(invocation.texts("tag"))
            topics = Set(invocation.texts("topic"))
            from = try Self.time("from", invocation, now)
            until = try Self.time("until", invocation, now)
            limit = invocation.isGiven("limit") ? invocation.integer("limit") : nil
        }

        private static func time(
            _ name: String, _ invocation: Invocation, _ now: Timestamp
        ) throws(CommandFailure) -> Timestamp? {
            guard let text = invocation.optionalText(name) else { return nil }
            guard let time = TimeText.timestamp(text, now: now) else {
                throw CommandFailure(
                    .usage, "--\(name) must be a time, and '\(text)' is not",
                    advice: "write a time like 2026-01-31T12:00:00Z, 1769860800000, or 10m for ten minutes ago")
            }
            return time
        }

        /// True when it means every message.
        var isAll: Bool {
            ids.isEmpty && keys.isEmpty && tags.isEmpty && topics.isEmpty && from == nil && until == nil
        }

        func contains(_ message: ReceivedMessage) -> Bool {
            guard from.map({ message.storeTimestamp >= $0 }) ?? true,
                until.map({ message.storeTimestamp < $0 }) ?? true,
                topics.isEmpty || topics.contains(message.originTopic),
                tags.isEmpty || message.tag.map(tags.contains) == true,
                keys.isEmpty || !keys.isDisjoint(with: message.keys)
            else { return false }
            return ids.isEmpty
                || !ids.isDisjoint(with: [message.messageID, message.originMessageID, message.offsetMessageID])
        }
    }

    let group: String
    private let consumer: PullConsumer
    private let selection: Selection
    /// Where each queue ended when this began.
    private var ends: [MessageQueue: QueueOffset] = [:]
    /// Read and not returned yet.
    private var pending: ArraySlice<ReceivedMessage> = []
    private var count = 0

    private init(_ consumer: PullConsumer, group: String, _ selection: Selection) {
        self.group = group
        self.selection = selection
        self.consumer = consumer
    }

    /// The dead letters of a group that are there now.
    /// - Throws: when the group has none, or they cannot be read.
    static func open(
        _ client: RocketMQClient, group: String, _ selection: Selection
    ) async throws -> DeadLetters {
        var letters = DeadLetters(client.pullConsumer(group: SystemGroups.tools), group: group, selection)
        for queue in try await queues(letters.consumer, group) {
            try await letters.consumer.seek(queue, to: selection.from.map { .timestamp($0) } ?? .firstOffset)
            letters.ends[queue] = try await letters.consumer.offset(queue, at: .lastOffset)
        }
        return letters
    }

    private static func queues(_ consumer: PullConsumer, _ group: String) async throws -> [MessageQueue] {
        let topic = SystemTopics.deadLetter(of: group)
        do throws(ClientError) {
            let queues = try await consumer.queues(of: topic)
            if !queues.isEmpty { return queues }
        } catch {
            guard error.code == .topicNotFound else { throw error }
            throw CommandFailure(
                .notFound, "group \(group) has no dead letters", advice: "'apus dlq list' shows the groups that have")
        }
        throw CommandFailure(
            .refused, "topic \(topic) cannot be read", advice: "'apus topic update \(topic) --perm rw' lets it be read")
    }

    /// The next message that is meant and was there when this began, oldest first in each queue; nil behind the last.
    mutating func next() async throws -> ReceivedMessage? {
        while selection.limit.map({ count < $0 }) ?? true {
            guard let message = pending.popFirst() else {
                guard try await !isRead() else { return nil }
                pending = try await consumer.poll(maximum: 256, timeout: .seconds(1))[...]
                continue
            }
            guard let end = ends[message.queue], message.queueOffset < end, selection.contains(message) else {
                continue
            }
            count += 1
            return message
        }
        return nil
    }

    private func isRead() async throws(ClientError) -> Bool {
        for (queue, end) in ends where try await consumer.position(queue) < end { return false }
        return true
    }
}
