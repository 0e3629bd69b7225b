import ApusClient
import Base
import Foundation
import Model
import RemotingProtocol
import Testing

@testable import Administration

@Suite("Commands for a cluster")
struct ClusterCommandTests {
    static let table = CommandTable(
        SendCommand.all + ConsumeCommand.all + TopicCommands.all + GroupCommands.all + StatusCommand.all,
        groups: [TopicCommands.group, GroupCommands.group])

    private func parse(_ words: [String], environment: [String: String] = [:]) throws -> Invocation {
        let parser = CommandParser(table: Self.table, environment: environment)
        guard case .run(let invocation) = try parser.parse(words) else {
            throw CommandFailure(.failure, "help")
        }
        return invocation
    }

    private func plan(_ words: String...) throws -> ConsumeCommand.Plan {
        try ConsumeCommand.Plan(
            try parse(["consume", "T", "--group", "G"] + words), now: Timestamp(milliseconds: 10_000_000))
    }

    // MARK: - Options

    @Test("every command has examples that its own parser takes")
    func examples() throws {
        for command in Self.table.commands {
            #expect(!command.examples.isEmpty, "\(command.name)")
            for example in command.examples where example.line.hasPrefix("apus ") && !example.line.contains("'") {
                let line = example.line.split(separator: ">")[0]
                #expect(throws: Never.self) { try parse(line.split(separator: " ").dropFirst().map(String.init)) }
            }
        }
    }

    @Test("--namesrv, --name-server and NAMESRV_ADDR name the same thing, in this order")
    func nameServers() throws {
        let environment = ["NAMESRV_ADDR": "c:3;d:4"]
        func servers(_ words: String...) throws -> [String] {
            Cluster.nameServers(try parse(["topic", "list"] + words, environment: environment))
        }
        #expect(try servers("--namesrv", "a:1", "--name-server", "b:2") == ["a:1"])
        #expect(try servers("--name-server", "b:2") == ["b:2"])
        #expect(try servers() == ["c:3", "d:4"])
        #expect(Cluster.nameServers(try parse(["topic", "list"])) == ["127.0.0.1:9876"])
    }

    @Test(
        "an address without a port is refused before anything is tried", arguments: ["host", "host:", "host:0", "h:x"])
    func address(_ text: String) throws {
        let invocation = try parse(["topic", "list", "-n", text])
        let failure = #expect(throws: CommandFailure.self) { try Cluster.configuration(invocation) }
        #expect(failure?.code == .usage && failure?.message.contains(text) == true)
    }

    @Test("a topic takes what the command line says, and keeps the rest")
    func topicSettings() throws {
        var topic = TopicConfiguration(name: "T", readQueueCount: 3, writeQueueCount: 2, permission: .read)
        let before = topic
        try TopicCommands.apply(try parse(["topic", "update", "T", "--order"]), to: &topic)
        #expect(topic.isOrdered && topic.readQueueCount == before.readQueueCount && topic.permission == .read)
        try TopicCommands.apply(
            try parse(["topic", "update", "T", "--queues", "5", "--write-queues", "4"]), to: &topic)
        #expect(topic.readQueueCount == 5 && topic.writeQueueCount == 4)
        try TopicCommands.apply(try parse(["topic", "create", "T", "--perm", "2"]), to: &topic)
        #expect(topic.readQueueCount == 8 && topic.permission == .write)
    }

    @Test("a group takes what the command line says, and keeps the rest")
    func groupSettings() throws {
        var group = GroupConfiguration(name: "G")
        try GroupCommands.apply(try parse(["group", "update", "G", "--no-consume", "--retry-max", "3"]), to: &group)
        #expect(!group.isConsumeEnabled && group.retryMaximum == 3 && group.isBroadcastEnabled)
    }

    @Test("a message takes tag, keys, properties and ordering key")
    func message() throws {
        let message = try SendCommand.template(
            try parse([
                "send", "T", "x", "--tag", "a", "--key", "1", "-k", "2", "--property", "p=q=r", "--ordering-key", "o",
            ]))
        #expect(message.tag == "a" && message.keys == ["1", "2"] && message.shardingKey == "o")
        #expect(message.properties == ["p": "q=r"])
    }

    @Test(
        "sends that contradict themselves are refused",
        arguments: [
            ["x", "--property", "p"], ["x", "--property", "=v"], ["x", "--queue", "0", "--ordering-key", "k"],
            ["x", "--file", "f"], ["--count", "3"], ["--file", "/no/such/file"],
        ])
    func contradictions(_ words: [String]) throws {
        let invocation = try parse(["send", "T"] + words)
        let failure = #expect(throws: CommandFailure.self) {
            _ = try SendCommand.template(invocation)
            _ = try SendCommand.Bodies(invocation)
        }
        #expect(failure?.code == .usage)
    }

    @Test("where reading begins and ends")
    func plans() throws {
        #expect(try plan().start == .committed && plan().within == nil && plan().commits)
        #expect(try plan("--from", "first").start == .place(.firstOffset))
        #expect(try plan("--from", "5s").start == .place(.timestamp(Timestamp(milliseconds: 9_995_000))))
        #expect(try plan("--count", "3").within == .seconds(30))
        #expect(try plan("--count", "3", "--within", "2s").within == .seconds(2))
        #expect(try plan("--tags", "a || b", "--no-commit").filter == .tags("a || b"))
        #expect(throws: CommandFailure.self) { try plan("--from", "yesterday") }
        #expect(throws: CommandFailure.self) { try plan("--count", "1", "--follow") }
    }

    // MARK: - Times

    @Test(
        "times are read and written in UTC",
        arguments: [
            ("1234", 1234), ("1970-01-02", 86_400_000), ("2026-01-31T12:00:00Z", 1_769_860_800_000),
            ("2026-01-31T12:00:00.123", 1_769_860_800_123), ("2024-02-29T00:00:00Z", 1_709_164_800_000),
        ])
    func times(_ text: String, _ milliseconds: Int64) {
        let time = TimeText.timestamp(text, now: Timestamp(milliseconds: 0))
        #expect(time == Timestamp(milliseconds: milliseconds))
        #expect(
            TimeText.timestamp(TimeText.text(Timestamp(milliseconds: milliseconds)), now: .init(milliseconds: 0))
                == time)
    }

    @Test(
        "what is no time is none",
        arguments: [
            "", "Z", "T", "-5", "2026-", "2026-13-01", "2026-02-30", "2026-01-01T25:00:00", "2026-01-01T1:2", "now",
        ])
    func noTimes(_ text: String) {
        #expect(TimeText.timestamp(text, now: Timestamp(milliseconds: 0)) == nil)
    }

    // MARK: - Rows

    @Test(
        "the names of columns are read as words",
        arguments: [
            ("topic", "TOPIC"), ("readQueues", "READ QUEUES"), ("clientCPUPerMessage", "CLIENT CPU PER MESSAGE"),
        ])
    func heading(_ column: String, _ heading: String) {
        #expect(OutputTable.heading(column) == heading)
    }

    @Test("rows that come one by one read like one table", arguments: OutputFormat.allCases)
    func rowStream(_ format: OutputFormat) {
        let rows: [[OutputTable.Cell]] = (1...3).map { [.integer($0), .text("a\n,\"")] }
        var stream = RowStream(["number", "text"], as: format)
        let text = stream.text([rows[0]]) + stream.text([]) + stream.text([rows[1], rows[2]]) + stream.end()
        #expect(text == OutputTable(["number", "text"], rows).rendered(as: format))
        var empty = RowStream(["number"], as: format)
        #expect(empty.end() == OutputTable(["number"]).rendered(as: format))
    }

    @Test("an endless stream of JSON has an object on each line")
    func endless() {
        var stream = RowStream(["n"], as: .json, isEndless: true)
        #expect(stream.text([[.integer(1)], [.integer(2)]]) == "{\"n\": 1}\n{\"n\": 2}\n")
        #expect(stream.text([[.integer(3)]]) + stream.end() == "{\"n\": 3}\n")
    }

    @Test("lines keep every byte but the line feed", arguments: [1, 65_535, 65_536, 200_000])
    func lines(_ length: Int) throws {
        let path = FileManager.default.temporaryDirectory.appending(path: "apus-\(UUID().uuidString)").path
        let long = [UInt8](repeating: 0x61, count: length)
        let lines: [[UInt8]] = [Array("a \t".utf8), [], [0, 0xFF, 0x0D], long, Array("last".utf8)]
        #expect(FileManager.default.createFile(atPath: path, contents: Data(lines.joined(separator: [0x0A]))))
        defer { try? FileManager.default.removeItem(atPath: path) }
        let reader = try LineReader(path: path)
        for (index, line) in lines.enumerated() {
            #expect(try reader.next() == line)
            #expect(reader.lineNumber == index + 1)
        }
        #expect(try reader.next() == nil)
    }

    @Test("topics have kinds, and those of the system are hidden")
    func kinds() {
        let names = ["%DLQ%G", "%RETRY%G", "C", "Orders", "TBW102", "broker-a", "C_REPLY_TOPIC"]
        let all = TopicCommands.table(names, [:], ownNames: ["C", "broker-a"], isAll: true)
        let kinds = all.rows.map { $0[1] }
        #expect(kinds == ["deadLetter", "retry", "system", "normal", "system", "system", "system"].map { .text($0) })
        #expect(TopicCommands.table(names, [:], ownNames: ["C", "broker-a"], isAll: false).rows.count == 3)
    }

    @Test("a route is there when every broker tells the settings")
    func route() {
        func queues(_ broker: String, _ count: Int32, _ permission: Permission = .readWrite) -> QueueData {
            QueueData(brokerName: broker, readQueueCount: count, writeQueueCount: count, permission: permission)
        }
        let topic = TopicConfiguration(name: "T", readQueueCount: 2, writeQueueCount: 2)
        func isRoute(_ data: QueueData...) -> Bool {
            TopicCommands.isRoute(TopicRouteData(queues: data, brokers: []), to: [topic, topic])
        }
        #expect(isRoute(queues("a", 2), queues("b", 2)))
        #expect(!isRoute(queues("a", 2)) && !isRoute(queues("a", 2), queues("b", 1)))
        #expect(!isRoute(queues("a", 2), queues("b", 2, .read)))
    }

    @Test("a group's report has its lag, and JSON is one object")
    func report() throws {
        let queue = MessageQueue(topic: "T", brokerName: "b", queueID: QueueID(0))
        let offsets = ConsumeStats.OffsetWrapper(
            brokerOffset: QueueOffset(9), consumerOffset: QueueOffset(4), lastTimestamp: Timestamp(milliseconds: 0))
        let report = GroupCommands.Report(
            group: "G", members: OutputTable(GroupCommands.Report.memberColumns),
            subscriptions: OutputTable(GroupCommands.Report.subscriptionColumns),
            queues: GroupCommands.Report.queues(ConsumeStats(offsets: [queue: offsets])))
        #expect(report.lag == 5)
        #expect(report.rendered(as: .table).contains("nobody is online"))
        let json = try JSONSerialization.jsonObject(with: Data(report.rendered(as: .json).utf8)) as? [String: Any]
        #expect(json?["lag"] as? Int == 5)
        let queues = json?["queues"] as? [[String: Any]]
        #expect(queues?.first?["consumerOffset"] as? Int == 4 && queues?.first?["lastConsumed"] is NSNull)
    }

    @Test("a group whose members disagree shows a warning with a row for each difference, and only such a group")
    func disagreements() throws {
        var report = GroupCommands.Report(
            group: "G", members: OutputTable(GroupCommands.Report.memberColumns),
            subscriptions: OutputTable(GroupCommands.Report.subscriptionColumns),
            queues: OutputTable(GroupCommands.Report.queueColumns))
        #expect(!report.rendered(as: .table).contains("WARNING"))
        let member = MemberDisagreement(clientID: "c1", differences: ["is A, others are B", "does not subscribe T"])
        GroupCommands.Report.rows(member).forEach { report.disagreements.append($0) }
        let table = report.rendered(as: .table)
        #expect(table.contains("WARNING: members disagree"))
        #expect(table.split(separator: "\n").count { $0.hasPrefix("c1") } == 2)
        let json = try JSONSerialization.jsonObject(with: Data(report.rendered(as: .json).utf8)) as? [String: Any]
        let rows = json?["disagreements"] as? [[String: Any]]
        #expect(rows?.map { $0["difference"] as? String } == ["is A, others are B", "does not subscribe T"])
    }

    // MARK: - Errors

    @Test(
        "errors of the client have stable exit codes",
        arguments: [
            (ClientError(.noNameServer, ""), ExitCode.unreachable), (ClientError(.timedOut, ""), .unreachable),
            (ClientError(.topicNotFound, ""), .notFound), (ClientError(.invalidArgument, ""), .usage),
            (ClientError(.refused, "no", answer: .init(code: 16, remark: "no")), .refused),
            (ClientError(.refused, "no", answer: .init(code: 206, remark: "no")), .notFound),
            (ClientError(.malformedAnswer, ""), .failure),
        ])
    func codes(_ error: ClientError, _ code: ExitCode) {
        #expect(Cluster.failure(error, nameServers: ["a:1"]).code == code)
    }

    @Test("an unreachable name server is named, with what to do")
    func unreachable() {
        let line = Cluster.failure(ClientError(.noNameServer, ""), nameServers: ["a:1", "b:2"]).line
        #expect(line.contains("a:1, b:2") && line.contains("apus start"))
    }
}
