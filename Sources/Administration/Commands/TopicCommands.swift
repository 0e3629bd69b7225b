import ApusClient
import Base
import Model
import RemotingProtocol

/// `apus topic`.
public enum TopicCommands {
    public static let all: [Command] = [list, create, update, delete, route, show, status]
    public static let group = CommandGroup("topic", "Look at and change topics")

    // MARK: - Kinds

    /// What a topic is for, by its name.
    enum Kind: String {
        case normal, retry, deadLetter, system

        /// - Parameter ownNames: names of clusters and brokers, which have a topic of that name each.
        init(of topic: String, ownNames: Set<String> = []) {
            if topic.hasPrefix(SystemTopics.retryPrefix) {
                self = .retry
            } else if topic.hasPrefix(SystemTopics.deadLetterPrefix) {
                self = .deadLetter
            } else if SystemTopics.fixed.contains(topic) || topic.hasPrefix("rmq_sys_") || topic.hasPrefix("RMQ_SYS_")
                || topic.hasSuffix("_REPLY_TOPIC") || ownNames.contains(topic)
            {
                self = .system
            } else {
                self = .normal
            }
        }
    }

    // MARK: - list

    static let list = Command(
        "topic list", "List the topics that the name servers know",
        discussion: """
            Queues and permissions are those of all masters together. Topics that the system keeps for itself are left out
            unless --all is given. Kinds are normal, retry and deadLetter (of a consumer group), and system.
            """,
        options: Cluster.options + [
            CommandOption("all", short: "a", .flag, "Also topics of the system"), .output,
        ],
        examples: [
            CommandExample("apus topic list", "Every topic but the system's own"),
            CommandExample("apus topic list --all --output json", "All of them, for a program"),
        ]
    ) { invocation in
        try await Cluster.with(invocation) { client in
            let info = try await client.administration.clusterInfo()
            var totals: [String: TopicConfiguration] = [:]
            for broker in info.brokers.values.sorted(by: { $0.brokerName < $1.brokerName }) {
                guard let address = broker.addresses[0] else { continue }
                for topic in try await client.administration.topicConfigurations(ofBroker: address) {
                    totals[topic.name] = totals[topic.name].map { sum($0, topic) } ?? topic
                }
            }
            let names = try await client.administration.topics()
            let ownNames = Set(info.brokers.keys).union(info.clusters.keys)
            invocation.print(table(names, totals, ownNames: ownNames, isAll: invocation.flag("all")))
            return .success
        }
    }

    private static func sum(_ a: TopicConfiguration, _ b: TopicConfiguration) -> TopicConfiguration {
        var sum = a
        sum.readQueueCount += b.readQueueCount
        sum.writeQueueCount += b.writeQueueCount
        sum.permission.formUnion(b.permission)
        return sum
    }

    static func table(
        _ names: [String], _ configurations: [String: TopicConfiguration], ownNames: Set<String>, isAll: Bool
    ) -> OutputTable {
        var table = OutputTable(["topic", "kind", "readQueues", "writeQueues", "perm", "ordered"])
        for name in names {
            let kind = Kind(of: name, ownNames: ownNames)
            guard isAll || kind != .system else { continue }
            guard let topic = configurations[name] else {
                table.append([.text(name), .text(kind.rawValue), .absent, .absent, .absent, .absent])
                continue
            }
            table.append([
                .text(name), .text(kind.rawValue), .integer(Int64(topic.readQueueCount)),
                .integer(Int64(topic.writeQueueCount)), .text(text(topic.permission)), .boolean(topic.isOrdered),
            ])
        }
        return table
    }

    // MARK: - create and update

    private static let name = CommandArgument("TOPIC", "Its name: letters, digits, and any of %|_-")

    private static func settings(queues: String?) -> [CommandOption] {
        [
            CommandOption("queues", short: "q", .integer(1...65_536), default: queues, "Queues on each broker"),
            CommandOption("read-queues", .integer(0...65_536), "Queues that consumers may read, if not --queues"),
            CommandOption("write-queues", .integer(0...65_536), "Queues that producers may write, if not --queues"),
            CommandOption(
                "perm", .choice(["rw", "r", "w", "6", "4", "2"]), default: queues == nil ? nil : "rw",
                "Who may use it: rw (6), only readers r (4), only writers w (2)"),
            CommandOption("order", .flag, "Mark it as a topic whose order matters"),
        ] + QuotaOptions.options("send", "may be sent to it on each broker")
            + QuotaOptions.options("pull", "may be pulled from it on each broker")
    }

    static func text(_ permission: Permission) -> String {
        (permission.contains(.read) ? "r" : "") + (permission.contains(.write) ? "w" : "")
    }

    static func permission(_ text: String) -> Permission {
        switch text {
        case "r", "4": .read
        case "w", "2": .write
        default: .readWrite
        }
    }

    /// `topic` with what the command line says of it.
    static func apply(_ invocation: Invocation, to topic: inout TopicConfiguration) throws(CommandFailure) {
        try QuotaOptions.apply(invocation, to: &topic.quota)
        if invocation.optionalText("queues") != nil {
            topic.readQueueCount = Int32(invocation.integer("queues"))
            topic.writeQueueCount = Int32(invocation.integer("queues"))
        }
        if invocation.isGiven("read-queues") { topic.readQueueCount = Int32(invocation.integer("read-queues")) }
        if invocation.isGiven("write-queues") { topic.writeQueueCount = Int32(invocation.integer("write-queues")) }
        if let text = invocation.optionalText("perm") { topic.permission = permission(text) }
        if invocation.isGiven("order") { topic.isOrdered = invocation.flag("order") }
    }

    static let create = Command(
        "topic create", "Create a topic on every master",
        discussion: """
            Returns when the name servers know the new topic. A topic that is there already with the same settings is left as it is,
            and that counts as success; with other settings it is refused: 'apus topic update' changes them.
            """,
        arguments: [name],
        options: Cluster.options + settings(queues: "8") + [Cluster.clusterOption, Cluster.brokerOption],
        examples: [
            CommandExample("apus topic create Orders", "8 queues on every master"),
            CommandExample("apus topic create Orders --queues 1", "One queue: one order for all messages"),
            CommandExample(
                "apus topic create Orders --broker 192.0.2.7:10911 --perm r", "On one broker, only to be read"),
        ]
    ) { invocation in
        try await Cluster.with(invocation) { client in
            var topic = TopicConfiguration(name: invocation.arguments[0])
            try apply(invocation, to: &topic)
            let brokers = try await brokers(client, invocation)
            var isMissing = false
            for broker in brokers {
                switch try await configuration(client, topic.name, of: broker) {
                case nil: isMissing = true
                case topic: break
                case let other?:
                    throw CommandFailure(
                        .refused, "topic \(topic.name) is on \(broker) already, with \(summary(other))",
                        advice: "'apus topic update' changes it")
                }
            }
            if isMissing {
                for broker in brokers {
                    try await client.administration.createTopic(
                        topic, onBroker: broker, setsQuota: QuotaOptions.isGiven(invocation))
                }
                try await waitForRoute(client, invocation, to: brokers.map { _ in topic })
            }
            Console.print("topic \(topic.name) \(isMissing ? "created" : "is there already"): \(summary(topic))")
            return .success
        }
    }

    static let update = Command(
        "topic update", "Change settings of a topic",
        discussion: """
            Settings that are not given stay as they are on each broker. With fewer queues, messages in the queues that go away can no
            longer be read: take away --write-queues first and --read-queues when consumers are through.
            """,
        arguments: [name],
        options: Cluster.options + settings(queues: nil) + [Cluster.clusterOption, Cluster.brokerOption],
        examples: [
            CommandExample("apus topic update Orders --queues 16", "More queues"),
            CommandExample("apus topic update Orders --perm r", "No more sends"),
            CommandExample(
                "apus topic update Orders --quota-send-messages 500 --quota-send-bytes 1M",
                "Producers are slowed down above 500 messages or 1 MiB a second"),
        ]
    ) { invocation in
        let changes = ["queues", "read-queues", "write-queues", "perm", "order"] + QuotaOptions.names
        guard changes.contains(where: invocation.isGiven) else {
            throw CommandFailure(
                .usage, "nothing is to be changed", advice: "give one of --\(changes.joined(separator: ", --"))")
        }
        return try await Cluster.with(invocation) { client in
            var updated: [TopicConfiguration] = []
            for broker in try await brokers(client, invocation) {
                guard var topic = try await configuration(client, invocation.arguments[0], of: broker) else { continue }
                try apply(invocation, to: &topic)
                try await client.administration.createTopic(
                    topic, onBroker: broker, setsQuota: QuotaOptions.isGiven(invocation))
                Console.print("topic \(topic.name) updated on \(broker): \(summary(topic))")
                updated.append(topic)
            }
            guard !updated.isEmpty else { throw missing(invocation.arguments[0]) }
            try await waitForRoute(client, invocation, to: updated)
            return .success
        }
    }

    /// Addresses of the brokers that are meant.
    static func brokers(_ client: RocketMQClient, _ invocation: Invocation) async throws(ClientError) -> [String] {
        if let broker = invocation.optionalText("broker") { return [broker] }
        return try await client.administration.masters(ofCluster: invocation.optionalText("cluster")).map(\.address)
    }

    private static func configuration(
        _ client: RocketMQClient, _ topic: String, of broker: String
    ) async throws(ClientError) -> TopicConfiguration? {
        try await client.administration.topicConfigurations(ofBroker: broker).first { $0.name == topic }
    }

    /// Brokers tell name servers about a topic after they have answered; whoever sends right after this command must find it.
    /// - Parameter topics: the settings on each of the brokers.
    private static func waitForRoute(
        _ client: RocketMQClient, _ invocation: Invocation, to topics: [TopicConfiguration]
    ) async throws {
        let name = invocation.arguments[0]
        let end = ContinuousClock.now + invocation.duration("timeout")
        repeat {
            do throws(ClientError) {
                if isRoute(try await client.administration.route(of: name), to: topics) { return }
            } catch {
                guard error.code == .topicNotFound else { throw error }
            }
            try await Task.sleep(for: .milliseconds(20))
        } while ContinuousClock.now < end
        throw CommandFailure(
            .unreachable, "the brokers have the settings of topic \(name), but the name server does not tell them yet",
            advice: "'apus topic route \(name)' shows when it does")
    }

    /// True when as many brokers as there are `topics` have these settings.
    static func isRoute(_ route: TopicRouteData, to topics: [TopicConfiguration]) -> Bool {
        var left = route.queues
        return topics.allSatisfy { topic in
            guard
                let index = left.firstIndex(where: {
                    $0.readQueueCount == topic.readQueueCount && $0.writeQueueCount == topic.writeQueueCount
                        && $0.permission == topic.permission
                })
            else { return false }
            left.remove(at: index)
            return true
        }
    }

    private static func summary(_ topic: TopicConfiguration) -> String {
        let queues =
            topic.readQueueCount == topic.writeQueueCount
            ? "\(topic.readQueueCount) \(topic.readQueueCount == 1 ? "queue" : "queues")"
            : "\(topic.readQueueCount) queues to read, \(topic.writeQueueCount) to write"
        return queues + ", perm \(text(topic.permission))" + (topic.isOrdered ? ", ordered" : "")
    }

    private static func missing(_ topic: String) -> CommandFailure {
        CommandFailure(
            .notFound, "there is no topic \(topic)",
            advice: "'apus topic list' shows what is there, 'apus topic create' makes one")
    }

    // MARK: - delete

    static let delete = Command(
        "topic delete", "Delete a topic and its messages, on every broker",
        discussion: "There is no way back, and nobody is asked whether they still need it.",
        arguments: [name], options: Cluster.options + [Cluster.clusterOption],
        examples: [CommandExample("apus topic delete Orders", "Messages and offsets are gone")]
    ) { invocation in
        try await Cluster.with(invocation) { client in
            let topic = invocation.arguments[0]
            guard try await client.administration.topics().contains(topic) else { throw missing(topic) }
            try await client.administration.deleteTopic(topic, inCluster: invocation.optionalText("cluster"))
            Console.print("topic \(topic) deleted")
            return .success
        }
    }

    // MARK: - route and status

    static let route = Command(
        "topic route", "Show which brokers have a topic",
        arguments: [name], options: Cluster.options + [.output],
        examples: [CommandExample("apus topic route Orders", "What clients learn from the name server")]
    ) { invocation in
        try await Cluster.with(invocation) { client in
            invocation.print(table(try await client.administration.route(of: invocation.arguments[0])))
            return .success
        }
    }

    static func table(_ route: TopicRouteData) -> OutputTable {
        var table = OutputTable([
            "broker", "cluster", "brokerId", "address", "readQueues", "writeQueues", "perm",
        ])
        for broker in route.brokers.sorted(by: { $0.brokerName < $1.brokerName }) {
            let queues = route.queues.first { $0.brokerName == broker.brokerName }
            for (id, address) in broker.addresses.sorted(by: { $0.key < $1.key }) {
                table.append([
                    .text(broker.brokerName), .text(broker.cluster), .integer(id), .text(address),
                    queues.map { .integer(Int64($0.readQueueCount)) } ?? .absent,
                    queues.map { .integer(Int64($0.writeQueueCount)) } ?? .absent,
                    queues.map { .text(text($0.permission)) } ?? .absent,
                ])
            }
        }
        return table
    }

    static let show = Command(
        "topic show", "Show the settings of a topic on every broker, its quota included",
        discussion: """
            sendMessages to pullBytes are what may be sent to it and pulled from it in a second on each broker; 'default' is what the
            broker's settings say, 'none' any number.
            """,
        arguments: [name], options: Cluster.options + [Cluster.clusterOption, Cluster.brokerOption, .output],
        examples: [CommandExample("apus topic show Orders", "Its queues, permission and quota")]
    ) { invocation in
        try await Cluster.with(invocation) { client in
            var table = OutputTable(["broker", "readQueues", "writeQueues", "perm", "ordered"] + QuotaOptions.columns)
            for broker in try await brokers(client, invocation) {
                guard let topic = try await configuration(client, invocation.arguments[0], of: broker) else { continue }
                table.append(
                    [
                        .text(broker), .integer(Int64(topic.readQueueCount)), .integer(Int64(topic.writeQueueCount)),
                        .text(text(topic.permission)), .boolean(topic.isOrdered),
                    ] + QuotaOptions.cells(topic.quota))
            }
            guard !table.rows.isEmpty else { throw missing(invocation.arguments[0]) }
            invocation.print(table)
            return .success
        }
    }

    static let status = Command(
        "topic status", "Show the offsets of every queue of a topic",
        discussion: """
            minOffset is the oldest message that is still there, maxOffset what the next message will get, and lastUpdate when the
            newest one was stored, in UTC.
            """,
        arguments: [name], options: Cluster.options + [.output],
        examples: [
            CommandExample("apus topic status Orders", "How many messages there are, and when the last one came"),
            CommandExample("apus topic status Orders --output csv", "For a program"),
        ]
    ) { invocation in
        try await Cluster.with(invocation) { client in
            invocation.print(table(try await client.administration.topicStats(invocation.arguments[0])))
            return .success
        }
    }

    static func table(_ stats: TopicStatsTable) -> OutputTable {
        var table = OutputTable(["broker", "queue", "minOffset", "maxOffset", "lastUpdate"])
        for (queue, offset) in stats.offsets.sorted(by: { $0.key < $1.key }) {
            table.append([
                .text(queue.brokerName), .integer(Int64(queue.queueID.rawValue)),
                .integer(offset.minimumOffset.rawValue), .integer(offset.maximumOffset.rawValue),
                TimeText.cell(offset.lastUpdateTimestamp),
            ])
        }
        return table
    }
}
