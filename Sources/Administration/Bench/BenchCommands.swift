import ApusClient
import Base
import RemotingProtocol
import Runtime

/// `apus bench`: load for any server that speaks RocketMQ's remoting protocol.
public enum BenchCommands {
    public static let all: [Command] = [produce, consume, endToEnd, listen, disk]
    public static let group = CommandGroup("bench", "Measure a server, and check that it loses nothing")

    private static let method = """
        Works against Apus and any other server that speaks RocketMQ's remoting protocol. Nothing is allocated for a message and
        frames are made from templates, so that the server is the bottleneck; what this client itself used is printed too.
        With --rate sends leave at fixed times whatever the server does (an open loop), and latency counts from the time
        that a send was due: a stall counts for every message that it delayed.
        """

    // MARK: - Options

    private static let options: [CommandOption] =
        [
            .nameServer,
            CommandOption("namesrv", .text("HOST:PORT"), "The same as --name-server"),
            CommandOption("broker", short: "b", .text("HOST:PORT"), "Ask no name server; this broker has all queues"),
            CommandOption(
                "topic", short: "t", .text("NAME"), default: "apus_bench", "Topic, or what names of topics begin with"),
            CommandOption(
                "topics", .integer(1...1_000_000), default: "1", "Number of topics, used round robin: NAME_0, NAME_1 …"),
            CommandOption(
                "queues", .integer(1...65_536), default: "4",
                "Queues of each topic; the name server knows better, if asked"
            ),
            CommandOption("create-topic", .flag, "Make the topics first"),
            CommandOption(
                "header", .choice(["json", "rocketmq"]), default: "json", "How headers of requests are written"),
            CommandOption("threads", .integer(1...64), default: "1", "Threads of this client"),
            CommandOption("count", .integer(1...1_000_000_000_000), "Stop after so many messages"),
            CommandOption("duration", short: "d", .duration, "Stop after this time"),
            CommandOption("warm-up", .duration, default: "0s", "Load before figures are taken; checked all the same"),
            CommandOption(
                "server-pid", .integer(1...4_194_304), "Process on this machine whose CPU, memory and calls are shown"),
            CommandOption("progress", .flag, default: "true", "Print a line on standard error every second"),
            .timeout, .output,
        ] + ServerTrust.options

    private static let producing: [CommandOption] = [
        CommandOption("connections", short: "c", .integer(1...100_000), default: "1", "Connections that send"),
        CommandOption("in-flight", .integer(1...100_000), default: "64", "Unanswered sends of each connection"),
        CommandOption("size", short: "s", .size, default: "1K", "Bytes of each body, at least 36"),
        CommandOption("batch", .integer(1...10_000), default: "1", "Messages of each send"),
        CommandOption(
            "rate", .text("NUMBER"), "Messages a second over all connections; without it, as fast as answers come"),
        CommandOption(
            "properties", .choice(Workload.Properties.allCases.map(\.rawValue)), default: "client",
            "none; client: what RocketMQ's clients always send; full: keys and tags too"),
        CommandOption("transactions", .flag, "Send half messages, and commit each one-way when its answer is there"),
        CommandOption("delay", .duration, "Ask for delivery so much later (TIMER_DELIVER_MS)"),
        CommandOption("delay-spread", .duration, default: "0s", "And up to so much later still, at random"),
    ]

    private static let consuming: [CommandOption] = [
        CommandOption("pull-batch", .integer(1...1024), default: "32", "Messages that one pull asks for"),
        CommandOption("long-poll", .duration, default: "15s", "How long the server may hold a pull that finds nothing"),
        CommandOption("group", short: "g", .text("NAME"), default: "apus_bench_consumers", "Consumer group"),
        CommandOption(
            "subscription", .choice(Workload.SubscriptionSource.allCases.map(\.rawValue)), default: "header",
            "Where the server finds it: in each pull, or in the group's heartbeat"),
        CommandOption("commit", .flag, "Let pulls commit the group's offsets"),
        CommandOption("verify", .flag, default: "true", "Check every message"),
    ]

    private static let ledger = CommandOption(
        "ledger", .path, "File for what was acknowledged: written by produce, checked against by consume")

    // MARK: - Commands

    static let produce = Command(
        "bench produce", "Send messages and measure how fast they are acknowledged",
        discussion: method, options: producing + [ledger] + options,
        examples: [
            CommandExample(
                "apus bench produce --create-topic --duration 10s --server-pid $(pgrep -x apus)",
                "One connection with 64 sends in flight, and what the server used for each"),
            CommandExample("apus bench produce -c 64 --in-flight 1", "64 connections that wait for each answer"),
            CommandExample("apus bench produce --batch 32 --header rocketmq", "Batches, binary headers"),
            CommandExample("apus bench produce --transactions", "Half messages that are committed at once"),
            CommandExample("apus bench produce --rate 50000 --duration 30s", "Latency at a fixed rate"),
            CommandExample(
                "apus bench produce --topics 10000 --queues 4 --create-topic --count 1000000",
                "A million messages, round robin over 40,000 queues"),
            CommandExample(
                "apus bench produce --delay 1m --delay-spread 24h --count 10000000",
                "Ten million messages that wait, for up to a day"),
            CommandExample("apus bench produce --output json > result.json", "For a program"),
        ]
    ) { try await run(.produce, $0) }

    static let consume = Command(
        "bench consume", "Pull messages, check them, and measure how fast they come",
        discussion: method + "\n" + """
            Without --count and --duration it reads to the end of every queue and stops there. Then, if it began at the first
            message, a hole in a producer's numbers counts as a loss; with --ledger exactly what was acknowledged must be there.
            """,
        options: [
            CommandOption(
                "connections", short: "c", .integer(1...100_000), default: "1", "Connections that share the queues"),
            CommandOption(
                "from", .choice(Workload.Start.allCases.map(\.rawValue)), default: "first", "Message to begin with"),
        ] + consuming + [ledger] + options,
        examples: [
            CommandExample("apus bench consume", "Read everything and check it"),
            CommandExample("apus bench consume --from last --duration 30s", "Follow what others send"),
            CommandExample(
                "apus bench consume --ledger acknowledged.txt",
                "After a crash: is everything there that was acknowledged?"),
        ]
    ) { try await run(.consume, $0) }

    static let endToEnd = Command(
        "bench e2e", "Send and receive at once: nothing may be lost, duplicated, changed or out of order",
        discussion: method + "\n" + """
            The clock of a delivery runs from when its send was due to when a consumer has it. Ends when every acknowledged message
            has come, or ten seconds after the last one that did.
            """,
        options: producing + [
            CommandOption(
                "consumers", .integer(1...100_000), default: "1", "Connections that share the queues and pull")
        ] + consuming + options,
        examples: [
            CommandExample("apus bench e2e --create-topic --count 1000000", "A million messages, each of them checked"),
            CommandExample(
                "apus bench e2e --rate 20000 --duration 30s", "Latency from sender to receiver at a fixed rate"),
        ]
    ) { try await run(.endToEnd, $0) }

    static let listen = Command(
        "bench listen", "Receive with the Swift client's push consumer, and measure how fast its handlers are called",
        discussion: """
            Joins as a group of its own, reads the topic from its first message on, and ends after --count messages, or after all that
            were there when it began. The handlers only count. The processor time is that of this whole process, in
            microseconds a message.
            """,
        options: [
            CommandOption("topic", short: "t", .text("NAME"), default: "apus_bench", "Topic to read"),
            CommandOption("ordered", .flag, "Lock the queues and handle one message of each at a time"),
            CommandOption("concurrency", .integer(1...10_000), default: "20", "Handlers at work at once, at most"),
            CommandOption("count", .integer(1...1_000_000_000_000), "End after so many messages"),
            .output,
        ] + Cluster.options,
        examples: [
            CommandExample(
                "apus bench produce --create-topic --queues 8 --count 1000000", "A million messages to read"),
            CommandExample("apus bench listen", "Concurrently"),
            CommandExample("apus bench listen --ordered", "And in the order of each queue"),
        ]
    ) { invocation in
        try await Cluster.with(invocation) { client in
            let topic = invocation.text("topic")
            let stored = try await client.administration.topicStats(topic).offsets.values.reduce(Int64(0)) {
                $0 + $1.maximumOffset.rawValue - $1.minimumOffset.rawValue
            }
            guard stored > 0 || invocation.isGiven("count") else {
                throw CommandFailure(
                    .notFound, "topic \(topic) holds no message",
                    advice: "send some first: apus bench produce --topic \(topic)")
            }
            let bench = ListenBench(
                topic: topic, isOrdered: invocation.flag("ordered"), concurrency: invocation.integer("concurrency"),
                count: invocation.isGiven("count") ? invocation.integer("count") : Int(stored))
            invocation.print(ListenBench.table(try await bench.run(client), isOrdered: bench.isOrdered))
            return .success
        }
    }

    static let disk = Command(
        "bench disk", "Measure how long the disk takes to make one small write durable",
        discussion: """
            Writes blocks into a file of fixed length and calls fdatasync after each: the floor under a synchronous send. Times are
            in microseconds.
            """,
        options: [
            CommandOption("path", .path, default: ".", "Folder on the disk to measure"),
            CommandOption("size", short: "s", .size, default: "4K", "Bytes of each write"),
            CommandOption("count", .integer(1...1_000_000), default: "1000", "Number of writes"),
            .output,
        ],
        examples: [
            CommandExample("apus bench disk --path ./data", "Of the disk that holds the store"),
            CommandExample("apus bench produce --in-flight 1", "What a server with SYNC_FLUSH adds to it"),
        ]
    ) { invocation in
        let probe = DiskProbe(
            folder: invocation.text("path"), blockSize: invocation.size("size"), count: invocation.integer("count"))
        guard probe.blockSize > 0, probe.blockSize <= 64 << 20 else {
            throw CommandFailure(.usage, "--size must be from 1 to 64M")
        }
        invocation.print(DiskProbe.table(try probe.measure()))
        return .success
    }

    // MARK: - From the command line

    private static func run(_ kind: Workload.Kind, _ invocation: Invocation) async throws -> ExitCode {
        let workload = try workload(kind, invocation)
        var options = BenchRun.Options(entrance: entrance(invocation))
        options.createsTopics = invocation.flag("create-topic")
        options.serverPID = invocation.optionalText("server-pid").flatMap { Int($0) }
        options.showsProgress = invocation.flag("progress")
        options.ledgerPath = kind == .endToEnd ? nil : invocation.optionalText("ledger")
        options.watchesSignals = true
        OpenFiles.raiseLimit()
        let result = try await BenchRun.run(workload, options)
        Console.print(BenchReport(result: result).rendered(as: invocation.format, style: invocation.style))
        return result.exitCode
    }

    private static func entrance(_ invocation: Invocation) -> BenchTargets.Entrance {
        if let broker = invocation.optionalText("broker") { return .broker(broker) }
        if let text = invocation.optionalText("namesrv") {
            return .nameServers(text.split(separator: ";").map(String.init))
        }
        return .nameServers(invocation.nameServers)
    }

    static func workload(_ kind: Workload.Kind, _ invocation: Invocation) throws -> Workload {
        var workload = Workload()
        workload.kind = kind
        workload.encoding = invocation.text("header") == "json" ? .json : .binary
        workload.topic = invocation.text("topic")
        workload.topicCount = invocation.integer("topics")
        workload.queueCount = invocation.integer("queues")
        workload.timeoutMilliseconds = max(1, nanoseconds(invocation.duration("timeout")) / 1_000_000)
        workload.warmUpNanoseconds = nanoseconds(invocation.duration("warm-up"))
        workload.end = try end(kind, invocation)
        if workload.produces { try readProducing(&workload, invocation) }
        if workload.consumes { readConsuming(&workload, invocation) }
        workload.tls = try ServerTrust.context(invocation)
        workload.credentials = try ServerTrust.credentials(invocation)
        let connections = kind == .consume ? workload.consumerConnections : workload.producerConnections
        workload.threads = min(invocation.integer("threads"), connections)
        return workload
    }

    private static func end(_ kind: Workload.Kind, _ invocation: Invocation) throws -> Workload.End {
        switch (invocation.isGiven("count"), invocation.isGiven("duration")) {
        case (true, true):
            throw CommandFailure(.usage, "--count and --duration exclude each other", advice: "leave one of them out")
        case (true, false): return .messages(invocation.integer("count"))
        case (false, true): return .nanoseconds(nanoseconds(invocation.duration("duration")))
        case (false, false): return kind == .consume ? .caughtUp : .nanoseconds(10_000_000_000)
        }
    }

    private static func readProducing(_ workload: inout Workload, _ invocation: Invocation) throws {
        workload.producerConnections = invocation.integer("connections")
        workload.inFlight = invocation.integer("in-flight")
        workload.bodySize = invocation.size("size")
        workload.batchSize = invocation.integer("batch")
        workload.properties = Workload.Properties(rawValue: invocation.text("properties")) ?? .client
        workload.isTransactional = invocation.flag("transactions")
        guard !workload.isTransactional || workload.batchSize == 1 else {
            throw CommandFailure(
                .usage, "--batch and --transactions exclude each other", advice: "leave one of them out")
        }
        if invocation.isGiven("delay") {
            workload.delayMilliseconds = nanoseconds(invocation.duration("delay")) / 1_000_000
            workload.delaySpreadMilliseconds = nanoseconds(invocation.duration("delay-spread")) / 1_000_000
            guard workload.batchSize == 1 else {
                throw CommandFailure(.usage, "--delay does not go with --batch: a batch holds no delayed messages")
            }
        }
        guard workload.bodySize >= MessageStamp.sizeMinimum else {
            throw CommandFailure(.usage, "--size must be at least \(MessageStamp.sizeMinimum)")
        }
        guard (workload.bodySize + 512) * workload.batchSize < Limits.frameSizeMaximum else {
            throw CommandFailure(.usage, "a send of \(workload.batchSize) × \(workload.bodySize) bytes exceeds a frame")
        }
        guard let text = invocation.optionalText("rate") else { return }
        guard let rate = Double(text), rate.isFinite, rate > 0, rate <= 1e9 else {
            throw CommandFailure(.usage, "--rate must be a number above 0, and '\(text)' is not")
        }
        workload.rate = rate
    }

    private static func readConsuming(_ workload: inout Workload, _ invocation: Invocation) {
        workload.consumerConnections = invocation.integer(workload.kind == .consume ? "connections" : "consumers")
        workload.pullSize = invocation.integer("pull-batch")
        workload.longPollMilliseconds = nanoseconds(invocation.duration("long-poll")) / 1_000_000
        workload.consumerGroup = invocation.text("group")
        workload.subscription = Workload.SubscriptionSource(rawValue: invocation.text("subscription")) ?? .header
        workload.commits = invocation.flag("commit")
        workload.verifies = invocation.flag("verify")
        if workload.kind == .consume { workload.start = Workload.Start(rawValue: invocation.text("from")) ?? .first }
    }

    private static func nanoseconds(_ duration: Duration) -> Int64 {
        let (seconds, attoseconds) = duration.components
        return seconds * 1_000_000_000 + attoseconds / 1_000_000_000
    }
}
