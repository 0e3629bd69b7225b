import Base
import Bytes
import Glibc
import RemotingProtocol
import Runtime
import Telemetry
import Testing

@testable import Administration

@Suite("Benchmarks against a broker in memory", .timeLimit(.minutes(2)))
struct BenchRunTests {
    private func options(_ address: String, drainMilliseconds: Int64 = 500) -> BenchRun.Options {
        var options = BenchRun.Options(entrance: .nameServers([address]))
        options.createsTopics = true
        options.drainNanoseconds = drainMilliseconds * 1_000_000
        return options
    }

    private func workload(_ kind: Workload.Kind, _ end: Workload.End) -> Workload {
        var workload = Workload()
        workload.kind = kind
        workload.end = end
        workload.bodySize = 100
        return workload
    }

    @Test("sends as many messages as asked, in either encoding", arguments: [HeaderEncoding.json, .binary], [1, 8])
    func produce(_ encoding: HeaderEncoding, _ batch: Int) async throws {
        try await FakeBroker.with { address, requests in
            var workload = workload(.produce, .messages(800))
            workload.encoding = encoding
            workload.batchSize = batch
            workload.producerConnections = 3
            workload.threads = 2
            workload.inFlight = 7
            let result = try await BenchRun.run(workload, options(address))
            #expect(result.sent?.messages == 800 && result.sent?.bytes == 80_000)
            #expect(result.sent?.requests == 800 / batch && result.errorCount == 0)
            #expect(result.sent?.requestLatency.count == UInt64(800 / batch))
            #expect(result.exitCode == .success)
            #expect(requests[batch > 1 ? .sendBatchMessage : .sendMessageV2] == 800 / batch)
        }
    }

    @Test("everything sent is received and verified", arguments: [1, 2], [HeaderEncoding.json, .binary])
    func endToEnd(_ threads: Int, _ encoding: HeaderEncoding) async throws {
        try await FakeBroker.with { address, requests in
            var workload = workload(.endToEnd, .messages(1000))
            workload.encoding = encoding
            workload.threads = threads
            workload.producerConnections = 3
            workload.consumerConnections = 2
            workload.topicCount = 12
            let result = try await BenchRun.run(workload, options(address))
            let verdict = try #require(result.verdict)
            #expect(verdict.isClean && verdict.lost == 0 && verdict.figures.received == 1000)
            #expect(result.received?.messages == 1000)
            #expect(result.received?.deliveryLatency.count == 1000)
            #expect(result.exitCode == .success)
            #expect(requests[.heartbeat] == 2 && requests[.updateAndCreateTopic] == 12)
        }
    }

    @Test("a second consumer reads what a producer left, to the end")
    func consumeLater() async throws {
        try await FakeBroker.with { address, _ in
            _ = try await BenchRun.run(workload(.produce, .messages(500)), options(address))
            var consume = workload(.consume, .caughtUp)
            consume.subscription = .heartbeat
            var options = options(address)
            options.createsTopics = false
            let result = try await BenchRun.run(consume, options)
            #expect(result.verdict?.isClean == true && result.verdict?.lost == 0)
            #expect(result.received?.messages == 500 && result.exitCode == .success)
            consume.end = .messages(100)
            let part = try await BenchRun.run(consume, options)
            #expect(part.received.map { $0.messages >= 100 && $0.messages < 500 } == true)
            #expect(part.verdict?.lost == nil && part.exitCode == .success)
        }
    }

    @Test("a warm-up is verified but not counted")
    func warmUp() async throws {
        try await FakeBroker.with { address, requests in
            var workload = workload(.endToEnd, .messages(200))
            workload.warmUpNanoseconds = 50_000_000
            workload.rate = 2000
            let result = try await BenchRun.run(workload, options(address))
            #expect(result.sent?.messages == 200)
            #expect(requests[.sendMessageV2] > 200)
            #expect(result.verdict.map { $0.isClean && $0.figures.received > 200 } == true)
        }
    }

    // MARK: - Negative controls

    enum Fault: String, CaseIterable, Sendable { case forgets, duplicates, delays, corrupts }

    @Test("whatever the broker does to a message is found", arguments: Fault.allCases)
    func faults(_ fault: Fault) async throws {
        var faults = Faults()
        switch fault {
        case .forgets: faults.forgets = 123
        case .duplicates: faults.duplicates = 123
        case .delays: faults.delays = 123
        case .corrupts: faults.corrupts = 123
        }
        try await FakeBroker.with(faults) { address, _ in
            let result = try await BenchRun.run(workload(.endToEnd, .messages(400)), options(address))
            let verdict = try #require(result.verdict)
            #expect(verdict.lost == (fault == .forgets || fault == .corrupts ? 1 : 0))
            #expect(verdict.figures.duplicated == (fault == .duplicates ? 1 : 0))
            #expect(verdict.figures.reordered == (fault == .delays ? 1 : 0))
            #expect(verdict.figures.corrupt == (fault == .corrupts ? 1 : 0))
            #expect(result.exitCode == .verification)
            #expect(BenchReport(result: result).rendered(as: .table).contains("VERIFICATION FAILED"))
        }
    }

    @Test("a ledger tells what a consumer must find")
    func ledger() async throws {
        var template = Array("/tmp/apus-bench-XXXXXX".utf8CString)
        let descriptor = mkstemp(&template)
        close(descriptor)
        let path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
        defer { unlink(path) }
        var faults = Faults()
        faults.forgets = 299
        try await FakeBroker.with(faults) { address, _ in
            var options = options(address)
            options.ledgerPath = path
            _ = try await BenchRun.run(workload(.produce, .messages(300)), options)
            // The last message is gone: without the ledger nobody could tell.
            options.createsTopics = false
            let judged = try await BenchRun.run(workload(.consume, .caughtUp), options)
            #expect(judged.verdict?.lost == 1 && judged.exitCode == .verification)
            options.ledgerPath = nil
            let blind = try await BenchRun.run(workload(.consume, .caughtUp), options)
            #expect(blind.verdict?.lost == 0)
        }
    }

    @Test("refused sends are counted by code and fail the run")
    func refused() async throws {
        var faults = Faults()
        faults.refusesFrom = 100
        try await FakeBroker.with(faults) { address, _ in
            let result = try await BenchRun.run(workload(.produce, .messages(150)), options(address))
            #expect(result.sent?.messages == 100)
            #expect(result.sent?.errors == [.refused(2): 50])
            #expect(result.sent?.remarks[.refused(2)] == "[OVERLOAD]system busy")
            #expect(result.exitCode == .failure)
        }
    }

    @Test("a lost connection comes back, and what was unanswered counts as an error")
    func reconnects() async throws {
        var faults = Faults()
        faults.hangsUpAt = 50
        try await FakeBroker.with(faults) { address, _ in
            var workload = workload(.produce, .messages(200))
            workload.inFlight = 1
            let result = try await BenchRun.run(workload, options(address))
            #expect(result.sent?.messages == 199)
            #expect(result.sent?.errors == [.connectionLost: 1])
        }
    }

    @Test("in an open loop a stall counts for every message that it delays; in a closed one for what was in flight")
    func latencyCorrection() async throws {
        var faults = Faults()
        faults.stalls = (from: 100, milliseconds: 300)
        let slow = try await slowSends(faults, rate: 1000)
        // 300 ms at 1000/s: about 300 messages were due meanwhile, 200 of which waited for more than 100 ms.
        #expect(slow > 150)
        let slowClosed = try await slowSends(faults, rate: nil)
        // 16 if the machine has nothing else to do.
        #expect(slowClosed >= 1 && slowClosed < slow / 2)
    }

    /// Sends of one connection with 16 in flight that took more than 100 ms.
    private func slowSends(_ faults: Faults, rate: Double?) async throws -> UInt64 {
        try await FakeBroker.with(faults) { address, _ in
            var workload = workload(.produce, .messages(700))
            workload.inFlight = 16
            workload.rate = rate
            let result = try await BenchRun.run(workload, options(address))
            #expect(result.sent?.messages == 700)
            return (result.sent?.requestLatency.buckets ?? []).filter { $0.upperBound > 100_000_000 }
                .reduce(0) { $0 + $1.count }
        }
    }

    // MARK: - Where to send

    @Test("a topic that is not there is an error with advice")
    func missingTopic() async throws {
        try await FakeBroker.with { address, _ in
            var options = options(address)
            options.createsTopics = false
            let failure = await #expect(throws: CommandFailure.self) {
                try await BenchRun.run(workload(.produce, .messages(1)), options)
            }
            #expect(failure?.code == .notFound && failure?.advice == "--create-topic makes it")
        }
    }

    @Test("a broker can be named without a name server")
    func broker() async throws {
        try await FakeBroker.with { address, requests in
            var options = options(address)
            options.entrance = .broker(address)
            options.createsTopics = false
            let result = try await BenchRun.run(workload(.endToEnd, .messages(100)), options)
            #expect(result.verdict?.isClean == true)
            #expect(requests[.getRouteInfoByTopic] == 0 && requests[.getBrokerClusterInfo] == 0)
        }
    }

    @Test("nobody at the address, or no address at all, is said at once")
    func unreachable() async throws {
        let failure = await #expect(throws: CommandFailure.self) {
            try await BenchRun.run(workload(.produce, .messages(1)), options("127.0.0.1:1"))
        }
        #expect(failure?.code == .unreachable)
        let usage = await #expect(throws: CommandFailure.self) {
            try await BenchRun.run(workload(.produce, .messages(1)), options("nonsense"))
        }
        #expect(usage?.code == .usage)
    }
}

@Suite("Report of a benchmark")
struct BenchReportTests {
    private var result: BenchResult {
        var workload = Workload()
        workload.rate = 100
        var result = BenchResult(workload: workload, run: 0xAB, nanoseconds: 2_000_000_000)
        var sent = LoadFigures()
        sent.messages = 2000
        sent.bytes = 2_048_000
        sent.requests = 2000
        for value: Int64 in 1...2000 { sent.requestLatency.record(value * 1000) }
        sent.count(.refused(2), remark: "busy, \"very\"")
        result.merge(sent: sent)
        result.ownCPUNanoseconds = 2_000_000
        result.brokers = ["a, \"b"]
        return result
    }

    @Test("JSON can be read by a program")
    func json() throws {
        let buffer = ByteBuffer()
        buffer.append(utf8: BenchReport(result: result).rendered(as: .json))
        let json = try JSONValue(parsing: buffer.bytes)
        #expect(json["sentMessages"]?.integerValue == 2000)
        #expect(json["brokers"]?.stringValue == "a, \"b")
        #expect(json["clientCPUPerMessage"]?.doubleValue == 1)
        #expect(json["errors"]?.arrayValue?.first?["remark"]?.stringValue == "busy, \"very\"")
        #expect(json["sentRequestHistogram"]?.arrayValue?.isEmpty == false)
        #expect(json["receivedMessages"]?.integerValue == nil && json["lost"]?.integerValue == nil)
    }

    @Test("CSV has one row with a cell for each name, and tables tell people the same")
    func csvAndTable() {
        let report = BenchReport(result: result)
        let lines = report.rendered(as: .csv).split(separator: "\n")
        #expect(lines.count == 2)
        #expect(lines[0].hasPrefix("mode,run,brokers,seconds") && lines[1].hasPrefix("produce,ab,\"a, \"\"b\",2.0"))
        let table = report.rendered(as: .table)
        #expect(table.contains("2,000 messages · 1,000 messages/s · 1.0 MB/s"))
        #expect(table.contains("this client 1.00 µs a message"))
        #expect(table.contains("code 2: busy"))
        #expect(!table.contains("verified"))
    }

    @Test("names of fields differ")
    func names() {
        let names = BenchReport(result: result).fields.map(\.name)
        #expect(Set(names).count == names.count)
    }
}

@Suite("Command line of bench")
struct BenchCommandTests {
    private func workload(_ line: String) throws -> Workload {
        let words = line.split(separator: " ").map(String.init)
        let table = CommandTable(BenchCommands.all, groups: [BenchCommands.group])
        guard case .run(let invocation) = try CommandParser(table: table, environment: [:]).parse(words) else {
            throw CommandFailure(.usage, "help")
        }
        let kinds: [String: Workload.Kind] = ["produce": .produce, "consume": .consume, "e2e": .endToEnd]
        return try BenchCommands.workload(try #require(kinds[words[1]]), invocation)
    }

    @Test("defaults are one connection with 64 sends of 1 KiB in flight")
    func defaults() throws {
        var expected = Workload()
        #expect(try workload("bench produce") == expected)
        expected.kind = .consume
        expected.end = .caughtUp
        #expect(try workload("bench consume") == expected)
        expected.kind = .endToEnd
        expected.end = .nanoseconds(10_000_000_000)
        #expect(try workload("bench e2e") == expected)
    }

    @Test("every option arrives")
    func options() throws {
        let line = """
            bench e2e -c 8 --in-flight 2 -s 4K --batch 16 --rate 2.5 --properties full --consumers 3 --pull-batch 64 \
            --long-poll 1s --group G --subscription heartbeat --commit --no-verify --topic T --topics 30 --queues 9 \
            --header rocketmq --threads 2 --count 5000 --warm-up 250ms --timeout 2s
            """
        let workload = try workload(line)
        #expect(workload.producerConnections == 8 && workload.inFlight == 2 && workload.bodySize == 4096)
        #expect(workload.batchSize == 16 && workload.rate == 2.5 && workload.properties == .full)
        #expect(workload.consumerConnections == 3 && workload.pullSize == 64 && workload.longPollMilliseconds == 1000)
        #expect(workload.consumerGroup == "G" && workload.subscription == .heartbeat && workload.commits)
        #expect(!workload.verifies && workload.topic == "T" && workload.topicCount == 30 && workload.queueCount == 9)
        #expect(workload.encoding == .binary && workload.threads == 2 && workload.end == .messages(5000))
        #expect(workload.warmUpNanoseconds == 250_000_000 && workload.timeoutMilliseconds == 2000)
        #expect(try self.workload("bench produce --transactions").isTransactional && !workload.isTransactional)
        #expect(workload.topicName(7) == "T_07" && workload.topicName(29) == "T_29")
    }

    @Test(
        "what makes no sense is refused",
        arguments: [
            "bench produce --size 35", "bench produce --rate 0", "bench produce --rate x", "bench produce --rate inf",
            "bench produce --count 1 --duration 1s", "bench produce --size 1M --batch 32", "bench produce --from last",
            "bench consume --rate 5", "bench produce --transactions --batch 2", "bench consume --transactions",
        ])
    func refused(_ line: String) {
        let failure = #expect(throws: CommandFailure.self) { try workload(line) }
        #expect(failure?.code == .usage)
    }
}
