import Base
import BrokerCore
import Bytes
import Model
import RemotingProtocol
import Simulation
import Storage
import Testing

@testable import RemotingFrontend

/// Plays what clients and tools said to RocketMQ 4.9.8's broker to a broker of ours, request by request and connection by
/// connection, and compares the answers.
@Suite("Captured conversations with RocketMQ's broker")
struct BrokerReplayTests {
    /// Scenarios whose answers depend on RocketMQ's timing: two messages that were sent back within a millisecond come again with 30 ms
    /// between them there.
    static let notCovered: Set<String> = ["rocketmq/retry"]
    static let scenarios = ["json", "rocketmq", "mqadmin"].flatMap(CapturedLine.scenarios)
        .filter { !notCovered.contains($0) }

    @Test("every request is answered as RocketMQ answered it", arguments: scenarios)
    func replay(_ scenario: String) throws {
        let lines = try CapturedLine.load(scenario)
        let player = try CapturedPlayer(lines, scenario)
        for line in lines where line.isBroker { try player.play(line) }
        try player.finish()
    }

    @Test("the scenarios that are not covered are there")
    func list() {
        let all = ["json", "rocketmq", "mqadmin"].flatMap(CapturedLine.scenarios)
        #expect(Self.notCovered.isSubset(of: all))
        #expect(Self.scenarios.count > 40)
    }
}

/// One scenario, played to a fresh broker.
private final class CapturedPlayer {
    let scenario: String
    let it: BrokerConversation
    private var clients: [Int64: TestClient] = [:]
    /// Our answers, by connection and number.
    private var answers: [String: Received] = [:]
    private var requests: [String: Received] = [:]
    private var expected: [(key: String, line: CapturedLine)] = []
    /// Numbers of our requests to clients, by connection and code, oldest first.
    private var asked: [String: [Received]] = [:]
    private var notices: [String: Int] = [:]
    private var expectedNotices: [String: Int] = [:]
    /// What RocketMQ asked producers about their half messages.
    private var expectedChecks: [Received] = []
    private var live: [TestClient] = []
    private var start: Int64 = 0
    private let beginning: CapturedBeginning

    init(_ lines: [CapturedLine], _ scenario: String) throws {
        self.scenario = scenario
        // The clock of the captured clients, so that times in requests mean the same.
        let born = lines.lazy.compactMap { line in line.frame.fields["g"].flatMap { Int64($0) }.map { $0 - line.time } }
        it = try BrokerConversation(
            clock: SimulatedClock(timestamp: Timestamp(milliseconds: born.first ?? 1_795_200_000_000))
        ) { configuration, _ in
            // As the captured broker was set.
            configuration.transactions.timeoutMilliseconds = 2_000
            configuration.transactions.checkIntervalMilliseconds = 3_000
        }
        start = it.clock.timestamp.milliseconds
        it.frontend.settings.settings = [("brokerName", "broker-a")]
        beginning = try CapturedBeginning(lines)
        try prepare(beginning)
        if scenario.hasPrefix("mqadmin/") { try connectLiveClients() }
    }

    // MARK: - Before

    private func prepare(_ beginning: CapturedBeginning) throws {
        let wired: [(String, Int32)] = [("WireT", 4), ("WireOrd", 2)]
        for (name, queues) in wired where beginning.topics[name] == nil { try it.putTopic(name, queues: queues) }
        for (name, topic) in beginning.topics where !it.broker.isSystemTopic(name) {
            try it.broker.putTopic(
                TopicConfiguration(
                    name: name, readQueueCount: topic.read, writeQueueCount: topic.write,
                    permission: Permission(rawValue: topic.permission)))
        }
        let producer = it.connect(port: 1)
        for (queue, count) in beginning.maximum.sorted(by: {
            ($0.key.topic, $0.key.queueID) < ($1.key.topic, $1.key.queueID)
        }) {
            if it.broker.topic(queue.topic) == nil {
                guard !it.broker.isSystemTopic(queue.topic), !queue.topic.hasPrefix("%") else { continue }
                // Made by the first message in the scenario, if its queues are empty.
                guard count > 0 else { continue }
                try it.putTopic(queue.topic)
            }
            for offset in 0..<count {
                let message = beginning.messages[queue]?[offset]
                producer.send(
                    .sendMessageV2,
                    TestClient.sendFields(
                        queue.topic, queue: queue.queueID,
                        properties: Self.withoutDelay(message?.properties ?? "TAGS\u{1}x\u{2}KEYS\u{1}filler\u{2}")),
                    body: message?.body ?? Array("filler".utf8), isOneway: true)
            }
        }
        for (progress, offset) in beginning.offsets where offset >= 0 {
            if it.broker.topic(progress.queue.topic) == nil, progress.queue.topic.hasPrefix("%RETRY%") {
                try it.putTopic(progress.queue.topic, queues: 1)
            }
            let topic = Array(progress.queue.topic.utf8)
            let group = Array(progress.group.utf8)
            try it.broker.commitOffset(
                topic: topic.span.bytes, group: group.span.bytes, queueID: QueueID(progress.queue.queueID),
                offset: QueueOffset(offset))
        }
        it.turn()
    }

    /// A message that was delivered late still says so, and would wait again.
    private static func withoutDelay(_ properties: String) -> String {
        properties.split(separator: "\u{2}").filter { !$0.hasPrefix("DELAY\u{1}") }.map { "\($0)\u{2}" }.joined()
    }

    /// The request with the place of the message in our log instead of RocketMQ's.
    private func translated(_ line: CapturedLine) throws -> ByteBuffer {
        let buffer = ByteBuffer()
        if line.requestCode == 37 { return try endTransaction(line) }
        if line.requestCode == 36 { return try sendBack(line) }
        guard line.requestCode == 33, let theirs = line.frame.fields["offset"].flatMap({ Int64($0) }),
            let (queue, offset) = beginning.queried[theirs]
        else {
            buffer.append(line.bytes)
            return buffer
        }
        let topic = try #require(it.broker.topic(queue.topic))
        let entry = try it.broker.entries(
            topic, QueueID(queue.queueID), from: QueueOffset(offset), maximumCount: 1)
        var writer = CommandWriter(buffer, encoding: line.frame.encoding)
        writer.begin(request: .viewMessageByID, opaque: line.frame.opaque)
        writer.field("offset", try #require(entry.first).physicalOffset.rawValue)
        writer.end()
        return buffer
    }

    /// A message that is sent back, with its place in our log.
    private func sendBack(_ line: CapturedLine) throws -> ByteBuffer {
        let theirs = try #require(line.frame.fields["offset"].flatMap { Int64($0) })
        let (queue, offset) = try #require(beginning.queried[theirs])
        let topic = try #require(it.broker.topic(queue.topic))
        let entry = try it.broker.entries(topic, QueueID(queue.queueID), from: QueueOffset(offset), maximumCount: 1)
        var fields = line.frame.fields
        fields["offset"] = "\(try #require(entry.first).physicalOffset)"
        let buffer = ByteBuffer()
        var writer = CommandWriter(buffer, encoding: line.frame.encoding)
        writer.begin(request: .consumerSendMessageBack, opaque: line.frame.opaque)
        for (name, value) in fields {
            let name = Array(name.utf8)
            let value = Array(value.utf8)
            writer.field(name: name.span.bytes, value.span.bytes)
        }
        writer.end()
        return buffer
    }

    /// The end of a transaction with the place of its half message in our log.
    private func endTransaction(_ line: CapturedLine) throws -> ByteBuffer {
        let id = try #require(line.frame.fields["msgId"])
        let send = requests.first { $0.value.fields["i"]?.contains("UNIQ_KEY\u{1}\(id)") == true }
        let key = try #require(send?.key)
        let answer = try #require(answers[key])
        let text = try #require(answer.fields["msgId"])
        let half = try #require(OffsetMessageID(text))
        var fields = line.frame.fields
        fields["commitLogOffset"] = "\(half.offset)"
        fields["tranStateTableOffset"] = answer.fields["queueOffset"]
        let buffer = ByteBuffer()
        var writer = CommandWriter(buffer, encoding: line.frame.encoding)
        writer.begin(request: .endTransaction, opaque: line.frame.opaque, isOneway: true)
        for (name, value) in fields {
            let name = Array(name.utf8)
            let value = Array(value.utf8)
            writer.field(name: name.span.bytes, value.span.bytes)
        }
        writer.end()
        return buffer
    }

    /// A consumer and a producer were online while the tools ran.
    private func connectLiveClients() throws {
        let consumer = it.connect(port: 35_032)
        try consumer.subscribe("WCG_live", to: ["WireT"], clientID: "192.0.2.2@WCG_live-i398")
        for queue in 0..<4 {
            for group in ["WCG_live", "WCG_pull", "WCG_push"] {
                _ = try consumer.ask(
                    .updateConsumerOffset,
                    [
                        ("consumerGroup", group), ("topic", "WireT"), ("queueId", String(queue)),
                        ("commitOffset", "0"),
                    ])
            }
        }
        let producer = it.connect(port: 35_048)
        _ = try producer.ask(
            .heartbeat,
            body: HeartbeatData(clientID: "192.0.2.2@WPG_live2-i", producerGroups: ["WPG_live2"], consumers: [])
                .encoded())
        _ = try consumer.receive()
        live = [consumer, producer]
    }

    // MARK: - Play

    private func client(_ connection: Int64) -> TestClient {
        if let client = clients[connection] { return client }
        let client = it.connect(port: 41_000 + Int32(connection))
        clients[connection] = client
        return client
    }

    func play(_ line: CapturedLine) throws {
        let behind = start + line.time - it.clock.timestamp.milliseconds
        if behind > 0 { it.advance(milliseconds: behind, step: 50) }
        let client = client(line.connection)
        let key = "\(line.connection) \(line.frame.opaque)"
        switch (line.isFromClient, line.frame.isResponse) {
        case (true, false):
            requests[key] = line.frame
            let buffer = try translated(line)
            #expect(client.session.next(buffer) == .handled, "\(scenario): \(line.frame)")
            it.turn()
        case (true, true):
            let name = "\(line.connection) \(line.requestCode)"
            var waiting = asked[name] ?? []
            guard !waiting.isEmpty else {
                Issue.record("\(scenario): the client answers \(line.requestCode), which it was not asked")
                return
            }
            let request = waiting.removeFirst()
            asked[name] = waiting
            client.reply(
                to: request, code: line.frame.responseCode, body: String(decoding: line.frame.body, as: UTF8.self))
            it.turn()
        case (false, true): expected.append((key, line))
        case (false, false):
            let name = "\(line.connection) \(line.requestCode) \(line.frame.fields["consumerGroup"] ?? "")"
            if line.requestCode == 39 { expectedChecks.append(line.frame) }
            if line.requestCode == 40 { expectedNotices[name, default: 0] += 1 }
        }
        try collect()
    }

    private func collect() throws {
        for (connection, client) in clients {
            for frame in try client.receive() {
                if frame.isResponse {
                    answers["\(connection) \(frame.opaque)"] = frame
                } else if frame.code == 40 {
                    notices["\(connection) 40 \(frame.fields["consumerGroup"] ?? "")", default: 0] += 1
                } else {
                    asked["\(connection) \(frame.code)", default: []].append(frame)
                }
            }
        }
        for client in live {
            for frame in try client.receive() where !frame.isResponse && frame.flag & 2 == 0 {
                client.reply(to: frame, code: .success, body: "{}")
            }
        }
    }

    // MARK: - Compare

    /// Every question that RocketMQ asked is asked, with the same names and the same content. The places in the log are ours.
    private func compareChecks() throws {
        func outline(_ check: Received) throws -> [String] {
            let message = try #require(try check.messages().first)
            let properties = message.properties.split(separator: "\u{2}").map(String.init)
                .filter { !$0.hasPrefix("__CRC32#") && !$0.hasPrefix("WAIT\u{1}") }
            return [check.fields["msgId"] ?? "", check.fields["transactionId"] ?? "", message.topic, message.text]
                + ["\(message.queueID) \(message.flag) \(check.flag)"] + check.fields.keys.sorted()
                + properties.sorted()
        }
        let asked = try asked.filter { $0.key.hasSuffix(" 39") }.flatMap(\.value).map(outline)
        for check in expectedChecks {
            let wanted = try outline(check)
            #expect(asked.contains(wanted), "\(scenario): \(wanted) – \(asked)")
        }
        #expect(scenario.hasSuffix("transaction") == !expectedChecks.isEmpty)
    }

    func finish() throws {
        it.advance(milliseconds: 31_000, step: 100)
        try collect()
        for (key, line) in expected {
            guard let request = requests[key] else { continue }
            let kept = answers.removeValue(forKey: key)
            let answer = try #require(kept, "\(scenario): no answer to \(request)")
            try AnswerComparison(scenario, request, line.frame, answer, request: line.requestCode).run()
        }
        try compareChecks()
        // Held pulls that RocketMQ had not answered when the capture ended.
        let rest = answers.filter { requests[$0.key]?.code != 11 && requests[$0.key]?.code != 52 }
        #expect(rest.isEmpty, "\(scenario): RocketMQ answered nothing to \(rest.keys.compactMap { requests[$0] })")
        for (name, count) in expectedNotices {
            #expect(notices[name] != nil, "\(scenario): no notice \(name), RocketMQ sent \(count)")
        }
    }
}

/// Compares one answer with RocketMQ's.
private struct AnswerComparison {
    let comment: Comment
    let request: Received
    let theirs: Received
    let ours: Received
    let code: Int32

    init(_ scenario: String, _ request: Received, _ theirs: Received, _ ours: Received, request code: Int32) {
        self.request = request
        self.theirs = theirs
        self.ours = ours
        self.code = code
        comment = "\(scenario): request \(request), RocketMQ: \(theirs), ours: \(ours)"
    }

    /// A message for later: the offset in the answer is that of the queue where it waits, which is another one here.
    private var isDelayed: Bool { request.fields["i"]?.contains("DELAY\u{1}") == true }

    func run() throws {
        if isDelayed {
            #expect(ours.code == theirs.code, comment)
            #expect(ours.fields["queueId"] == theirs.fields["queueId"], comment)
            return
        }
        // RocketMQ takes in a heartbeat on one thread and the pull behind it on another, and may find the subscription of the
        // pull newer than what it knows. Here they come one after the other.
        if theirs.responseCode == .subscriptionNotLatest, ours.responseCode != .systemError { return }
        guard !isDifferentOnPurpose() else { return }
        #expect(ours.code == theirs.code, comment)
        guard ours.code == theirs.code else { return }
        // RocketMQ answers some requests in JSON whatever their encoding; see quirk 14 of its data.
        #expect(ours.encoding == request.encoding, comment)
        compareRemarks()
        compareFields()
        try compareBodies()
    }

    /// No setting changes while this broker runs (25), and it counts nothing by topic and group (315).
    private func isDifferentOnPurpose() -> Bool {
        switch code {
        case 25:
            #expect(ours.responseCode == .noPermission, comment)
            return true
        case 315:
            #expect(ours.responseCode == .systemError, comment)
            #expect(ours.remark?.hasSuffix("not exist") == true, comment)
            return true
        default: return false
        }
    }

    private func compareRemarks() {
        let words = "not set any response code"
        guard let remark = theirs.remark, remark != words else { return }
        #expect(ours.remark?.prefix(24) == remark.prefix(24), comment)
    }

    /// Of the values those that do not depend on what was there before.
    private static let comparedFields: Set<String> = [
        "queueId", "queueOffset", "TRACE_ON", "MSG_REGION", "suggestWhichBrokerId", "minOffset", "offset",
        "nextBeginOffset", "maxOffset",
    ]

    private func compareFields() {
        #expect(Set(ours.fields.keys) == Set(theirs.fields.keys), comment)
        guard ![29, 32].contains(code), !comment.rawValue.hasPrefix("mqadmin") else { return }
        // A half message tells its place among its like.
        let isHalf = request.fields["i"]?.contains("TRAN_MSG\u{1}") == true
        for (name, value) in theirs.fields where Self.comparedFields.contains(name) {
            guard !isHalf || name != "queueOffset" else { continue }
            #expect(ours.fields[name] == value, "\(name) – \(comment)")
        }
    }

    private func compareBodies() throws {
        switch code {
        case 11, 12, 33:
            let mine = try ours.messages()
            let his = try theirs.messages()
            #expect(mine.map(\.topic).first == his.map(\.topic).first, comment)
            if code == 11, !comment.rawValue.hasPrefix("mqadmin") {
                #expect(mine.map(\.queueOffset) == his.map(\.queueOffset), comment)
                #expect(mine.map(\.text) == his.map(\.text), comment)
            }
        case 26:
            #expect(ours.text == "brokerName=broker-a\n", comment)
        default:
            #expect(ours.body.isEmpty == theirs.body.isEmpty, comment)
            guard !theirs.body.isEmpty, !ours.body.isEmpty else { return }
            try compareJSON(ours.json(), theirs.json(), "")
        }
    }

    /// Members whose keys are names of something: their values have one form.
    private static let maps: Set<String> = [
        "offsetTable", "topicConfigTable", "subscriptionGroupTable", "subscriptionTable", "data", "consumerTable",
        "messageQueueTable", "mqTable", "consumeStatsList", "statusTable", "properties",
    ]

    private func compareJSON(_ mine: JSONValue, _ his: JSONValue, _ path: String) throws {
        let name = path.split(separator: ".").last.map(String.init) ?? ""
        if name == "table" {
            let missing = Set(keys(his)).subtracting(keys(mine)).filter {
                !$0.hasPrefix("scheduleMessageOffset_") && !$0.hasPrefix("commitLogDiskRatio_")
            }
            #expect(missing.isEmpty, "\(path) – \(comment)")
            return
        }
        if case .array(let mine) = mine, case .array(let his) = his {
            if let first = mine.first, let other = his.first { try compareJSON(first, other, path) }
            return
        }
        guard let members = mine.members, let others = his.members else {
            #expect(kind(mine) == kind(his), "\(path) – \(comment)")
            return
        }
        if Self.maps.contains(name) {
            if let first = members.first, let other = others.first {
                try compareJSON(first.value, other.value, path + ".*")
            }
            return
        }
        // What a client put into an answer that is passed on is its own.
        guard code != 307 else { return }
        #expect(keys(mine) == keys(his), "\(path) – \(comment)")
        for member in others {
            guard let key = member.key.stringValue, let value = mine[key] else { continue }
            try compareJSON(value, member.value, "\(path).\(key)")
        }
    }

    private func keys(_ value: JSONValue) -> [String] { (value.members ?? []).compactMap(\.key.stringValue).sorted() }

    private func kind(_ value: JSONValue) -> String {
        if value.members != nil { return "object" }
        if value.arrayValue != nil { return "array" }
        if value.boolValue != nil, value.stringValue == nil { return "bool" }
        if value.stringValue != nil { return "text" }
        return "number"
    }
}
