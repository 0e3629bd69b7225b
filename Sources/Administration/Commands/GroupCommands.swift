import ApusClient
import Base
import Model
import RemotingProtocol

/// `apus group`.
public enum GroupCommands {
    public static let all: [Command] = [list, create, update, delete, show]
    public static let group = CommandGroup("group", "Look at and change consumer groups")

    private static let name = CommandArgument("GROUP", "Name of the consumer group")

    static func isSystem(_ group: String) -> Bool {
        SystemGroups.fixed.contains(group) || group.hasPrefix(SystemGroups.prefix)
    }

    // MARK: - list

    static let list = Command(
        "group list", "List consumer groups and their settings",
        discussion: "Groups that the system keeps for itself are left out unless --all is given.",
        options: Cluster.options + [
            Cluster.clusterOption, CommandOption("all", short: "a", .flag, "Also groups of the system"), .output,
        ],
        examples: [
            CommandExample("apus group list", "Every group but the system's own"),
            CommandExample("apus group list --output json", "For a program"),
        ]
    ) { invocation in
        try await Cluster.with(invocation) { client in
            let groups = try await client.administration.groups(inCluster: invocation.optionalText("cluster"))
            invocation.print(table(groups, isAll: invocation.flag("all")))
            return .success
        }
    }

    static func table(_ groups: [GroupConfiguration], isAll: Bool) -> OutputTable {
        var table = OutputTable(["group", "kind", "consume", "broadcast", "retryQueues", "retryMax", "retryPolicy"])
        for group in groups where isAll || !isSystem(group.name) {
            table.append([
                .text(group.name), .text(isSystem(group.name) ? "system" : "normal"),
                .boolean(group.isConsumeEnabled), .boolean(group.isBroadcastEnabled),
                .integer(Int64(group.retryQueueCount)), .integer(Int64(group.retryMaximum)),
                .text(RetryPolicyText.text(group.retryPolicy)),
            ])
        }
        return table
    }

    // MARK: - create and update

    private static let settings: [CommandOption] =
        [
            CommandOption(
                "retry-max", .integer(-1...1_000_000), "Attempts before a message becomes a dead letter (16)"),
            CommandOption("retry-queues", .integer(0...65_536), "Queues of the retry topic on each broker (1)"),
            CommandOption(
                "retry-policy", .text("POLICY"),
                "When a failed message comes again: ladder, exponential, exponential:FIRST:LONGEST:FACTOR, or delays like 10s,1m,5m"
            ),
            CommandOption("consume", .flag, "Members get messages (yes); --no-consume stops them"),
            CommandOption("broadcast", .flag, "Members may get all messages each (yes); or --no-broadcast"),
            Cluster.clusterOption, Cluster.brokerOption,
        ] + QuotaOptions.options("pull", "its members may pull together from each broker")

    /// `group` with what the command line says of it.
    static func apply(_ invocation: Invocation, to group: inout GroupConfiguration) throws {
        if invocation.isGiven("retry-max") { group.retryMaximum = Int32(invocation.integer("retry-max")) }
        if invocation.isGiven("retry-queues") { group.retryQueueCount = Int32(invocation.integer("retry-queues")) }
        if let text = invocation.optionalText("retry-policy") {
            guard let policy = RetryPolicyText.policy(text) else {
                throw CommandFailure(
                    .usage, "--retry-policy '\(text)' is none",
                    advice: "ladder, exponential, exponential:1s:10m:3, or delays like 10s,1m,5m")
            }
            group.retryPolicy = policy
        }
        if invocation.isGiven("consume") { group.isConsumeEnabled = invocation.flag("consume") }
        try QuotaOptions.apply(invocation, to: &group.quota)
        if invocation.isGiven("broadcast") { group.isBroadcastEnabled = invocation.flag("broadcast") }
    }

    static let create = Command(
        "group create", "Create a consumer group on every master",
        discussion: """
            Brokers that allow it make a group by themselves when its first member comes. A group that is there already is refused:
            'apus group update' changes it.
            """,
        arguments: [name], options: Cluster.options + settings,
        examples: [
            CommandExample("apus group create audit", "With the usual settings"),
            CommandExample("apus group create audit --retry-max 3", "Three attempts, then dead letters"),
        ]
    ) { invocation in
        try await Cluster.with(invocation) { client in
            var group = GroupConfiguration(name: invocation.arguments[0])
            if let found = try await find(group.name, client, invocation), !invocation.isGiven("broker") {
                try apply(invocation, to: &group)
                guard found == group else {
                    throw CommandFailure(
                        .refused, "group \(group.name) is there already, with other settings",
                        advice: "'apus group update' changes it")
                }
                Console.print("group \(group.name) is there already")
                return .success
            }
            try apply(invocation, to: &group)
            try await client.administration.createGroup(
                group, inCluster: invocation.optionalText("cluster"), onBroker: invocation.optionalText("broker"))
            Console.print("group \(group.name) created")
            return .success
        }
    }

    static let update = Command(
        "group update", "Change settings of a consumer group",
        discussion: "Settings that are not given stay as they are.",
        arguments: [name], options: Cluster.options + settings,
        examples: [
            CommandExample("apus group update audit --no-consume", "Its members get no more messages"),
            CommandExample("apus group update audit --retry-max 3", "Three attempts, then dead letters"),
            CommandExample(
                "apus group update audit --retry-policy 1s,10s,5m", "Again after 1 s, then 10 s, then every 5 m"),
        ]
    ) { invocation in
        let changes =
            [
                "retry-max", "retry-queues", "retry-policy", "consume", "broadcast", "quota-pull-messages",
                "quota-pull-bytes",
            ]
        guard changes.contains(where: invocation.isGiven) else {
            throw CommandFailure(
                .usage, "nothing is to be changed", advice: "give one of --\(changes.joined(separator: ", --"))")
        }
        return try await Cluster.with(invocation) { client in
            guard var group = try await find(invocation.arguments[0], client, invocation) else {
                throw missing(invocation.arguments[0])
            }
            try apply(invocation, to: &group)
            try await client.administration.createGroup(
                group, inCluster: invocation.optionalText("cluster"), onBroker: invocation.optionalText("broker"))
            Console.print("group \(group.name) updated")
            return .success
        }
    }

    private static func find(
        _ name: String, _ client: RocketMQClient, _ invocation: Invocation
    ) async throws(ClientError) -> GroupConfiguration? {
        try await client.administration.groups(inCluster: invocation.optionalText("cluster")).first { $0.name == name }
    }

    private static func missing(_ group: String) -> CommandFailure {
        CommandFailure(
            .notFound, "there is no consumer group \(group)",
            advice: "'apus group list' shows what is there, 'apus group create' makes one")
    }

    // MARK: - delete

    static let delete = Command(
        "group delete", "Delete a consumer group and its offsets, on every master",
        discussion: "There is no way back, and nobody is asked. Members that are running may bring the group back.",
        arguments: [name],
        options: Cluster.options + [
            Cluster.clusterOption,
            CommandOption("keep-offsets", .flag, "A group of this name goes on where this one was"),
        ],
        examples: [CommandExample("apus group delete audit", "Where it stood is forgotten")]
    ) { invocation in
        try await Cluster.with(invocation) { client in
            let group = invocation.arguments[0]
            guard try await find(group, client, invocation) != nil else { throw missing(group) }
            try await client.administration.deleteGroup(
                group, isOffsetRemoved: !invocation.flag("keep-offsets"),
                inCluster: invocation.optionalText("cluster"))
            Console.print("group \(group) deleted")
            return .success
        }
    }

    // MARK: - show

    static let show = Command(
        "group show", "Show members, subscriptions and progress of a consumer group",
        discussion: """
            lag is what the group has yet to consume of a queue: brokerOffset is what the next message will get, consumerOffset the first
            one not consumed. Members are those with a connection now; 'apus consume' is none. With --output csv only the queues are printed.
            A warning names the members that subscribe to something else than most, or consume in another way: such groups lose messages.
            """,
        arguments: [name],
        options: Cluster.options + [
            CommandOption("topic", short: "t", .text("TOPIC"), "Progress in this topic only"), .output,
        ],
        examples: [
            CommandExample("apus group show audit", "Who reads, and how far behind"),
            CommandExample("apus group show audit --output json", "One object with members, subscriptions and queues"),
        ]
    ) { invocation in
        try await Cluster.with(invocation) { client in
            let group = invocation.arguments[0]
            var members = OutputTable(Report.memberColumns)
            var subscriptions = OutputTable(Report.subscriptionColumns)
            var disagreements = OutputTable(Report.disagreementColumns)
            let configuration = try await client.administration.groups().first { $0.name == group }
            var isKnown = configuration != nil
            do throws(ClientError) {
                let online = try await client.administration.consumerConnections(group: group)
                isKnown = true
                for member in online.connections { members.append(Report.row(member)) }
                for subscription in online.subscriptions { subscriptions.append(Report.row(subscription)) }
                for member in online.disagreements { Report.rows(member).forEach { disagreements.append($0) } }
            } catch {
                // Nobody is online, or the broker does not know the group.
                guard error.code == .refused else { throw error }
            }
            var queues = OutputTable(Report.queueColumns)
            do throws(ClientError) {
                let stats = try await client.administration.consumeStats(
                    group: group, topic: invocation.optionalText("topic"))
                queues = Report.queues(stats)
            } catch {
                guard error.code == .refused else { throw error }
            }
            guard isKnown || !queues.rows.isEmpty else { throw missing(group) }
            let report = Report(
                group: group, members: members, subscriptions: subscriptions, disagreements: disagreements,
                queues: queues, quota: configuration?.quota ?? .byDefault)
            Console.print(report.rendered(as: invocation.format, style: invocation.style))
            return .success
        }
    }

    /// What is known of a group.
    struct Report {
        var group: String
        var members: OutputTable
        var subscriptions: OutputTable
        var disagreements = OutputTable(disagreementColumns)
        var queues: OutputTable
        /// What its members may pull from one broker.
        var quota = TrafficQuota.byDefault

        static let memberColumns = ["clientId", "address", "language", "version"]
        static let subscriptionColumns = ["topic", "type", "expression"]
        static let disagreementColumns = ["clientId", "difference"]
        static let queueColumns = [
            "topic", "broker", "queue", "brokerOffset", "consumerOffset", "lag", "lastConsumed",
        ]

        static func row(_ member: ClientConnection) -> [OutputTable.Cell] {
            [
                .text(member.clientID), .text(member.address), .text(member.language.name.description),
                .integer(Int64(member.version)),
            ]
        }

        static func row(_ subscription: Subscription) -> [OutputTable.Cell] {
            [.text(subscription.topic), .text(subscription.expressionType), .text(subscription.expression)]
        }

        /// One row for each difference.
        static func rows(_ member: MemberDisagreement) -> [[OutputTable.Cell]] {
            member.differences.map { [.text(member.clientID), .text($0)] }
        }

        static func queues(_ stats: ConsumeStats) -> OutputTable {
            var table = OutputTable(queueColumns)
            for (queue, offset) in stats.offsets.sorted(by: { $0.key < $1.key }) {
                table.append([
                    .text(queue.topic), .text(queue.brokerName), .integer(Int64(queue.queueID.rawValue)),
                    .integer(offset.brokerOffset.rawValue), .integer(offset.consumerOffset.rawValue),
                    .integer(max(0, offset.brokerOffset.rawValue - offset.consumerOffset.rawValue)),
                    TimeText.cell(offset.lastTimestamp),
                ])
            }
            return table
        }

        var lag: Int64 {
            queues.rows.reduce(0) { sum, row in
                if case .integer(let lag) = row[5] { sum + lag } else { sum }
            }
        }

        /// Empty for a group without a quota of its own.
        private var quotaText: String {
            guard !quota.isByDefault else { return "" }
            return ", quota of \(QuotaOptions.text(quota.pull.messages)) messages and "
                + "\(QuotaOptions.text(quota.pull.bytes)) bytes a second from each broker"
        }

        func rendered(as format: OutputFormat, style: TextStyle = .plain) -> String {
            switch format {
            case .csv: return queues.rendered(as: .csv)
            case .json:
                func array(_ table: OutputTable) -> String {
                    String(table.rendered(as: .json).dropLast()).replacing("\n", with: "\n  ")
                }
                return """
                    {
                      "group": \(JSONText.string(group)),
                      "lag": \(lag),
                      "quota": {"pullMessages": "\(QuotaOptions.text(quota.pull.messages))", "pullBytes": "\(QuotaOptions.text(quota.pull.bytes))"},
                      "members": \(array(members)),
                      "subscriptions": \(array(subscriptions)),
                      "disagreements": \(array(disagreements)),
                      "queues": \(array(queues))
                    }

                    """
            case .table:
                func part(_ title: String, _ table: OutputTable, none: String) -> String {
                    let body = table.rows.isEmpty ? none + "\n" : table.rendered(as: .table, style: style)
                    return style.bold(title) + "\n" + body
                }
                let warning =
                    disagreements.rows.isEmpty
                    ? []
                    : [
                        style.bold("WARNING: members disagree, so messages may reach nobody") + "\n"
                            + disagreements.rendered(as: .table, style: style)
                    ]
                return [
                    "group \(OutputTable.Cell.text(group).json), lag \(lag)\(quotaText)\n",
                    part("members: \(members.rows.count)", members, none: "nobody is online"),
                    part("subscriptions", subscriptions, none: "none, for nobody is online"),
                ].joined(separator: "\n") + "\n"
                    + (warning + [
                        part("queues", queues, none: "the group has stored no offset yet")
                    ]).joined(separator: "\n")
            }
        }
    }
}
