import ApusClient
import RemotingProtocol

/// `apus acl`: accounts of access control, on brokers that run.
public enum AccessCommands {
    public static let all: [Command] = [list, set, delete, whitelist]
    public static let group = CommandGroup("acl", "Look at and change accounts of access control")

    private static let account = CommandArgument("ACCESSKEY", "Access key of the account")
    private static let targets = [Cluster.clusterOption, Cluster.brokerOption]
    private static let signed =
        "The request must be signed by an admin account: --credentials, or APUS_ACCESS_KEY and APUS_SECRET_KEY."

    // MARK: - list

    static let list = Command(
        "acl list", "List accounts and what they may do",
        discussion: """
            Without their secrets. The line * stands for globalWhiteRemoteAddresses, which are asked for no signature. \(signed)
            RocketMQ from 4.9.8 and 5.2 on does not answer this any more.
            """,
        options: Cluster.options + targets + [.output],
        examples: [
            CommandExample("apus acl list --credentials operator.credentials", "Every account of every master"),
            CommandExample("apus acl list --broker 127.0.0.1:10911 --output json", "One broker's, for a program"),
        ]
    ) { invocation in
        try await Cluster.with(invocation) { client in
            var table = OutputTable([
                "broker", "accessKey", "admin", "topicDefault", "groupDefault", "topics", "groups", "addresses",
            ])
            for address in try await brokers(client, invocation) {
                add(try await client.administration.accessConfig(ofBroker: address), of: address, to: &table)
            }
            invocation.print(table)
            return .success
        }
    }

    private static func brokers(
        _ client: RocketMQClient, _ invocation: Invocation
    ) async throws(ClientError) -> [String] {
        if let address = invocation.optionalText("broker") { return [address] }
        return try await client.administration.masters(ofCluster: invocation.optionalText("cluster")).map(\.address)
    }

    static func add(_ config: AclConfig, of broker: String, to table: inout OutputTable) {
        for account in config.accounts {
            table.append([
                .text(broker), .text(account.accessKey), .boolean(account.isAdministrator),
                .text(account.defaultTopicPermission ?? "DENY"), .text(account.defaultGroupPermission ?? "DENY"),
                .text(account.topicPermissions.joined(separator: ",")),
                .text(account.groupPermissions.joined(separator: ",")), .text(account.whiteRemoteAddress ?? ""),
            ])
        }
        guard !config.globalWhiteAddresses.isEmpty else { return }
        table.append([
            .text(broker), .text("*"), .absent, .absent, .absent, .absent, .absent,
            .text(config.globalWhiteAddresses.joined(separator: ",")),
        ])
    }

    // MARK: - set

    private static let permission = CommandOption.Kind.choice(["DENY", "PUB", "SUB", "PUB|SUB"])

    private static let settings: [CommandOption] = [
        CommandOption(
            "secret-file", .path,
            "File whose first line is the account's secret, at least 7 letters; - reads it from input"
        ),
        CommandOption("admin", .flag, "It may administer; --no-admin: it may not"),
        CommandOption("topic-default", permission, "What it may do with topics without a row (DENY)"),
        CommandOption("group-default", permission, "What it may do with groups without a row (DENY)"),
        CommandOption(
            "topic", .text("TOPIC=PERM"), isRepeatable: true,
            "Row of a topic, like Orders=PUB|SUB; these replace all rows"),
        CommandOption(
            "group", .text("GROUP=PERM"), isRepeatable: true, "Row of a group, like billing=SUB; these replace all rows"
        ),
        CommandOption("no-rows", .flag, "Take away all rows of topics and groups that are not given"),
        CommandOption("address", .text("PATTERNS"), "Addresses from which it needs no signature; '' for none"),
    ]

    static let set = Command(
        "acl set", "Make an account, or change one, on every master",
        discussion: """
            What is not given stays as it is. The change is in plain_acl.yml when the command returns, and holds at once. \(signed)
            The secret crosses the network as it is: use TLS. RocketMQ wants --secret-file with each change, and takes away admin
            where it is not given.
            """,
        arguments: [account], options: Cluster.options + settings + targets,
        examples: [
            CommandExample(
                "openssl rand -hex 16 | apus acl set orders-1 --secret-file - --topic 'Orders=PUB|SUB' --group billing=SUB",
                "A new account with a random secret"),
            CommandExample("apus acl set orders-1 --topic-default SUB", "It may read every topic"),
            CommandExample("apus acl set operator --admin", "It may administer"),
        ]
    ) { invocation in
        let fields = try fields(invocation)
        return try await Cluster.with(invocation) { client in
            try await client.administration.putAccount(
                fields, inCluster: invocation.optionalText("cluster"), onBroker: invocation.optionalText("broker"))
            Console.print("account \(fields.accessKey) set")
            return .success
        }
    }

    static func fields(_ invocation: Invocation) throws(CommandFailure) -> UpdateAccessConfigHeader {
        guard settings.contains(where: { invocation.isGiven($0.name) }) else {
            throw CommandFailure(
                .usage, "nothing is to be changed",
                advice: "give one of --\(settings.map(\.name).joined(separator: ", --"))")
        }
        var fields = UpdateAccessConfigHeader(accessKey: invocation.arguments[0])
        if let path = invocation.optionalText("secret-file") { fields.secretKey = try secret(path) }
        if invocation.isGiven("admin") { fields.isAdministrator = invocation.flag("admin") }
        fields.defaultTopicPermission = invocation.optionalText("topic-default")
        fields.defaultGroupPermission = invocation.optionalText("group-default")
        let isCleared = invocation.flag("no-rows")
        if isCleared || invocation.isGiven("topic") { fields.topicPermissions = try rows("topic", invocation) }
        if isCleared || invocation.isGiven("group") { fields.groupPermissions = try rows("group", invocation) }
        fields.whiteRemoteAddress = invocation.optionalText("address")
        return fields
    }

    private static func rows(_ option: String, _ invocation: Invocation) throws(CommandFailure) -> String {
        let rows = invocation.texts(option)
        for row in rows where row.split(separator: "=").count != 2 || row.contains(",") {
            throw CommandFailure(
                .usage, "--\(option) '\(row)' is not of the form NAME=PERMISSION", advice: "like Orders=PUB|SUB")
        }
        return rows.joined(separator: ",")
    }

    /// From a file or input, never from the command line, which every user of the machine can see.
    private static func secret(_ path: String) throws(CommandFailure) -> String {
        let line = try LineReader(path: path).next() ?? []
        var text = String(decoding: line, as: UTF8.self)
        while text.last?.isWhitespace == true { text.removeLast() }
        guard !text.isEmpty else {
            throw CommandFailure(
                .usage, "\(path == "-" ? "standard input" : path) holds no secret",
                advice: "openssl rand -hex 16 makes one")
        }
        return text
    }

    // MARK: - delete

    static let delete = Command(
        "acl delete", "Delete an account on every master",
        discussion: "What it signs is refused when the command returns. Nobody is asked. \(signed)",
        arguments: [account], options: Cluster.options + targets,
        examples: [CommandExample("apus acl delete orders-1", "Its key is worth nothing from now on")]
    ) { invocation in
        try await Cluster.with(invocation) { client in
            let key = invocation.arguments[0]
            try await client.administration.deleteAccount(
                key, inCluster: invocation.optionalText("cluster"), onBroker: invocation.optionalText("broker"))
            Console.print("account \(key) deleted")
            return .success
        }
    }

    // MARK: - whitelist

    static let whitelist = Command(
        "acl whitelist", "Set the addresses that are asked for no signature, on every master",
        discussion: """
            From there anybody may do everything, but change accounts. The addresses replace those that are there; --none leaves
            none. Patterns are 192.0.2.7, 192.0.2.*, 192.0.2.1-20, 192.0.2.{7,8}, 192.0.2.0/24 and fd00::/8. \(signed)
            """,
        arguments: [
            CommandArgument("PATTERN", "Address, or pattern of addresses", isRequired: false, isRepeatable: true)
        ],
        options: Cluster.options + targets + [CommandOption("none", .flag, "Trust no address")],
        examples: [
            CommandExample("apus acl whitelist '192.0.2.*' 198.51.100.7", "A network and one more machine"),
            CommandExample("apus acl whitelist --none", "Everybody signs"),
        ]
    ) { invocation in
        guard invocation.flag("none") == invocation.arguments.isEmpty else {
            throw CommandFailure(.usage, "give addresses, or --none")
        }
        return try await Cluster.with(invocation) { client in
            try await client.administration.setTrustedAddresses(
                invocation.arguments, inCluster: invocation.optionalText("cluster"),
                onBroker: invocation.optionalText("broker"))
            Console.print(invocation.flag("none") ? "no address is trusted" : "trusted addresses set")
            return .success
        }
    }
}
