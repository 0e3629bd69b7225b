import Base
import BrokerCore
import Bytes
import Foundation
import Model
import RemotingFrontend
import RemotingProtocol
import Simulation
import Storage
import Telemetry
import Testing

@testable import Server

/// Opens stores that RocketMQ 4.9.8 wrote as the server does, and compares what our broker answers over the protocol with what
/// RocketMQ's own answered: the manifests.
@Suite("Stores that RocketMQ wrote, served over the protocol")
struct ForeignStoreTests {
    struct Fixture: CustomTestStringConvertible {
        var archive: String
        var manifest: String
        /// Where the log of the copy ends.
        var logEnd: Int64
        /// A topic to append to.
        var topic: String
        var testDescription: String { archive }
    }
    static let fixtures = [
        Fixture(archive: "store-small", manifest: "manifest.json", logEnd: 3_947_896, topic: "FxPlain"),
        Fixture(archive: "store-crash", manifest: "manifest-recovered.json", logEnd: 7_021_393, topic: "CrA"),
    ]

    @Test(
        "everything is answered as RocketMQ answered it, and again after appending and reopening", arguments: fixtures)
    func serve(_ fixture: Fixture) throws {
        let files = try UnpackedStore(fixture.archive)
        let disk = SimulatedDisk()
        try files.install(on: disk)
        let check = ManifestCheck(try files.json(fixture.manifest))
        let clock = SimulatedClock(timestamp: Timestamp(milliseconds: try number(check.manifest["takenAt"])))

        let first = try ServedStore(disk, clock, fixture, isForeign: true)
        try check.all(first)
        let topic = fixture.topic
        let before = try #require(try first.maximum(topic, 0))
        try first.produce("appended", to: topic)
        try first.close()

        let second = try ServedStore(disk, clock, fixture, isForeign: false)
        try check.all(second, appended: (topic, 0, before))
        try second.close()
    }
}

private func number(_ value: Any?) throws -> Int64 { try #require(value as? NSNumber).int64Value }
private func text(_ value: Any?) throws -> String { try #require(value as? String) }
private func object(_ value: Any?) throws -> [String: Any] { try #require(value as? [String: Any]) }
private func list(_ value: Any?) throws -> [[String: Any]] { try #require(value as? [[String: Any]]) }

/// An archive of fixtures, unpacked until this goes.
final class UnpackedStore {
    private let folder: URL
    private let name: String

    init(_ name: String) throws {
        self.name = name
        folder = FileManager.default.temporaryDirectory.appending(path: "apus-foreign-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        let archive = URL(filePath: #filePath).deletingLastPathComponent()
            .appending(path: "../Fixtures/Disk/rocketmq-4.9.8/\(name).tar.zst")
        let unpack = Process()
        unpack.executableURL = URL(filePath: "/bin/sh")
        unpack.arguments = ["-c", "zstd -dc \"$0\" | tar -xSf - -C \"$1\"", archive.path, folder.path]
        try unpack.run()
        unpack.waitUntilExit()
        try #require(unpack.terminationStatus == 0, "\(name) was not unpacked; are zstd and tar installed?")
    }

    deinit { try? FileManager.default.removeItem(at: folder) }

    func json(_ file: String) throws -> [String: Any] {
        let data = try Data(contentsOf: folder.appending(path: "\(name)/\(file)"))
        return try object(try JSONSerialization.jsonObject(with: data))
    }

    func install(on disk: SimulatedDisk) throws {
        let root = folder.appending(path: "\(name)/store")
        for path in try #require(FileManager.default.subpaths(atPath: root.path)) {
            let url = root.appending(path: path)
            guard try url.resourceValues(forKeys: [.isRegularFileKey]).isRegularFile == true else { continue }
            disk.install("store/\(path)", Array(try Data(contentsOf: url)))
        }
    }
}

/// A broker on the store, and one client.
final class ServedStore {
    let broker: Broker
    let frontend: BrokerFrontend
    let copiedEnd: Int64
    let isForeign: Bool
    private let disk: SimulatedDisk
    private let session: BrokerSession
    private let output = ByteBuffer()

    struct Answer {
        var code: Int32
        var remark: String
        var fields: [String: String]
        var body: [UInt8]

        /// The records of the body, each with what tells it apart.
        func records() throws -> [(offset: Int64, physical: Int64, bytes: [UInt8])] {
            var records: [(Int64, Int64, [UInt8])] = []
            var position = 0
            while position < body.count {
                let rest = ByteBuffer()
                rest.append(Array(body[position...]))
                let record = try MessageRecord(rest.bytes)
                records.append(
                    (
                        record.queueOffset.rawValue, record.physicalOffset.rawValue,
                        rest.bytes.extracting(0..<record.size).array()
                    ))
                position += record.size
            }
            return records
        }
    }

    init(
        _ disk: SimulatedDisk, _ clock: SimulatedClock, _ fixture: ForeignStoreTests.Fixture, isForeign: Bool
    ) throws {
        self.disk = disk
        copiedEnd = fixture.logEnd
        self.isForeign = isForeign
        var configuration = BrokerConfiguration()
        configuration.address = HostAddress.loopback(port: 21_911)
        var store = StoreConfiguration(root: "store")
        store.segmentSize = 1024 * 1024
        store.consumeQueue = ConsumeQueueConfiguration(entriesPerFile: 300)
        store.messageIndex = MessageIndexConfiguration(slotCount: 1_000, entryCount: 4_000)
        store.messageSizeMaximum = 256 * 1024
        store.retention.reservedHours = 1_000_000
        broker = try Broker(
            configuration, store: store, disk: disk, clock: clock, random: SeededRandom(seed: 1), log: .silent)
        #expect(broker.needsForeignState == isForeign)
        if isForeign { try broker.adopt(try ForeignStore.read(root: "store", disk: disk)) }
        frontend = BrokerFrontend(broker: broker, log: .silent)
        session = frontend.makeSession(peer: .loopback(port: 1), output: output)
        turn()
    }

    private func turn() {
        frontend.endTurn()
        while disk.runCompletions() > 0 { frontend.endTurn() }
    }

    func ask(_ code: RequestCode, _ fields: [(StaticString, String)] = [], body: [UInt8] = []) throws -> Answer {
        let input = ByteBuffer()
        var writer = CommandWriter(input, encoding: .json)
        writer.begin(request: code, opaque: 1)
        for (name, value) in fields { writer.field(name, value) }
        writer.beginBody()
        input.append(body)
        writer.end()
        try #require(session.next(input) == .handled)
        turn()
        let output = output
        let found = try Frame.next(in: output)
        let frame = try #require(found, "no answer to \(code) \(fields)")
        let header = CommandHeader()
        try header.decode(frame, in: output)
        let bytes = output.bytes.array()
        func text(_ range: Range<Int>) -> String { String(decoding: bytes[range], as: UTF8.self) }
        let answer = Answer(
            code: header.code, remark: header.remark.map(text) ?? "",
            fields: Dictionary(header.fields.map { (text($0.key), text($0.value)) }) { $1 },
            body: Array(bytes[frame.body]))
        output.consume(frame.size)
        return answer
    }

    func maximum(_ topic: String, _ queue: Int) throws -> Int64? {
        try ask(.getMaximumOffset, [("topic", topic), ("queueId", String(queue))]).fields["offset"].flatMap {
            Int64($0)
        }
    }

    func pull(_ topic: String, _ queue: String, from offset: Int64, count: Int64) throws -> Answer {
        try ask(
            .pullMessage,
            [
                ("consumerGroup", "TOOLS_CONSUMER"), ("topic", topic), ("queueId", queue),
                ("queueOffset", String(offset)), ("maxMsgNums", String(count)), ("sysFlag", "4"), ("commitOffset", "0"),
                ("suspendTimeoutMillis", "0"), ("subscription", "*"), ("subVersion", "0"), ("expressionType", "TAG"),
            ])
    }

    func produce(_ message: String, to topic: String) throws {
        let answer = try ask(
            .sendMessageV2,
            [
                ("a", "PG"), ("b", topic), ("c", "TBW102"), ("d", "4"), ("e", "0"), ("f", "0"), ("g", "1"), ("h", "0"),
                ("i", "KEYS\u{1}appended-key\u{2}"), ("j", "0"), ("k", "false"), ("m", "false"),
            ], body: Array(message.utf8))
        #expect(answer.code == 0, "\(answer)")
    }

    func close() throws { try frontend.stop() }
}

/// What RocketMQ's broker answered about the same store.
private struct ManifestCheck {
    let manifest: [String: Any]
    /// A message that was appended since: its queue has one more.
    typealias Appended = (topic: String, queue: Int, offset: Int64)

    init(_ manifest: [String: Any]) { self.manifest = manifest }

    func all(_ store: ServedStore, appended: Appended? = nil) throws {
        try topics(store, appended)
        try groups(store)
        try pullProbes(store, appended)
        try timeQueries(store, appended)
        try keyQueries(store)
        try idQueries(store)
        if let appended {
            let pull = try store.pull(appended.topic, String(appended.queue), from: appended.offset, count: 1)
            #expect(try pull.records().map(\.offset) == [appended.offset])
        }
    }

    private func topics(_ store: ServedStore, _ appended: Appended?) throws {
        let answer = try store.ask(.getAllTopicConfig)
        let ours = try TopicConfigSerializeWrapper(parsing: answer.body.span.bytes)
        let configurations = Dictionary(uniqueKeysWithValues: ours.topics.map { ($0.name, $0) })
        var messageCount = 0
        for (name, value) in try object(manifest["topics"]) {
            let topic = try object(value)
            let config = try object(topic["config"])
            let found = try #require(configurations[name], "topic \(name)")
            #expect(Int64(found.readQueueCount) == (try number(config["readQueueNums"])), "\(name)")
            #expect(Int64(found.writeQueueCount) == (try number(config["writeQueueNums"])), "\(name)")
            #expect(Int64(found.permission.rawValue) == (try number(config["perm"])), "\(name)")
            #expect(Int64(found.systemFlag) == (try number(config["topicSysFlag"])), "\(name)")
            #expect(found.isOrdered == (config["order"] as? Bool), "\(name)")
            for (id, value) in try object(topic["queues"]) {
                let more: Int64 = appended?.topic == name && id == appended.map { String($0.queue) } ? 1 : 0
                messageCount += try queue(store, name, id, try object(value), more)
            }
        }
        #expect(Int64(messageCount) == (try number(manifest["messageCount"])))
        try unlistedQueues(store)
    }

    private func queue(
        _ store: ServedStore, _ topic: String, _ id: String, _ expected: [String: Any], _ more: Int64
    ) throws -> Int {
        let fields: [(StaticString, String)] = [("topic", topic), ("queueId", id)]
        let minimum = try number(expected["min"])
        let maximum = try number(expected["max"]) + more
        #expect(try store.ask(.getMinimumOffset, fields).fields["offset"] == String(minimum), "\(topic) \(id)")
        #expect(try store.ask(.getMaximumOffset, fields).fields["offset"] == String(maximum), "\(topic) \(id)")
        if let earliest = expected["earliestStoreTime"], maximum > 0 {
            #expect(
                try store.ask(.getEarliestMessageStoreTime, fields).fields["timestamp"] == String(try number(earliest)),
                "\(topic) \(id)")
        }
        let messages = try list(expected["messages"])
        var index = 0
        var offset = minimum
        while index < messages.count {
            let answer = try store.pull(topic, id, from: offset, count: 32)
            // Topics without the permission to read are not pulled.
            guard answer.code == 0 else {
                #expect(answer.code == 16, "\(topic) \(id) \(answer)")
                return messages.count
            }
            for record in try answer.records() where index < messages.count {
                let message = messages[index]
                #expect(record.offset == (try number(message["offset"])), "\(topic) \(id)")
                #expect(record.physical == (try number(message["commitLogOffset"])), "\(topic) \(id)")
                // Slow in a debug build: after reopening a sample is enough.
                if store.isForeign || index % 16 == 0 {
                    #expect(SHA256.hexadecimal(record.bytes) == (try text(message["recordSha256"])), "\(topic) \(id)")
                }
                index += 1
            }
            offset = try #require(answer.fields["nextBeginOffset"].flatMap { Int64($0) })
        }
        try tagsCodes(store, topic, id, messages)
        return messages.count
    }

    private func tagsCodes(
        _ store: ServedStore, _ topic: String, _ id: String, _ messages: [[String: Any]]
    ) throws {
        guard let first = messages.first else { return }
        let answer = try store.ask(
            .queryConsumeQueue,
            [("topic", topic), ("queueId", id), ("index", String(try number(first["offset"]))), ("count", "800")])
        let entries = try QueryConsumeQueueBody(parsing: answer.body.span.bytes).entries
        for (entry, message) in zip(entries, messages) {
            #expect(entry.tagsCode == (try number(message["cqTagsCode"])), "\(topic) \(id)")
            #expect(Int64(entry.size) == (try number(message["storeSize"])), "\(topic) \(id)")
        }
    }

    /// Queues without a topic: their records are found by their place.
    private func unlistedQueues(_ store: ServedStore) throws {
        for (name, value) in try object(manifest["unlistedQueues"]) {
            for (_, value) in try object(value) {
                for message in (try object(value)["messages"] as? [[String: Any]]) ?? [] {
                    // Asking made RocketMQ write records of its own, after the store was copied.
                    guard try number(message["commitLogOffset"]) < store.copiedEnd else { continue }
                    let answer = try store.ask(
                        .viewMessageByID, [("offset", String(try number(message["commitLogOffset"])))])
                    #expect(SHA256.hexadecimal(answer.body) == (try text(message["recordSha256"])), "\(name)")
                }
            }
        }
    }

    private func groups(_ store: ServedStore) throws {
        let answer = try store.ask(.getAllSubscriptionGroupConfig)
        let ours = try SubscriptionGroupWrapper(parsing: answer.body.span.bytes)
        let known = Dictionary(uniqueKeysWithValues: ours.groups.map { ($0.name, $0) })
        for (name, value) in try object(try object(manifest["subscriptionGroups"])["subscriptionGroupTable"]) {
            let group = try #require(known[name], "group \(name)")
            let expected = try object(value)
            #expect(Int64(group.retryMaximum) == (try number(expected["retryMaxTimes"])), "\(name)")
            #expect(Int64(group.retryQueueCount) == (try number(expected["retryQueueNums"])), "\(name)")
            #expect(group.isConsumeEnabled == (expected["consumeEnable"] as? Bool), "\(name)")
            #expect(group.isBroadcastEnabled == (expected["consumeBroadcastEnable"] as? Bool), "\(name)")
        }
        let offsets = try store.ask(.getAllConsumerOffset)
        var found = try ConsumerOffsetSerializeWrapper(parsing: offsets.body.span.bytes).offsets
        for (key, value) in try object(try object(manifest["consumerOffsets"])["offsetTable"]) {
            var expected: [Int32: Int64] = [:]
            for (queue, offset) in try object(value) { expected[try #require(Int32(queue))] = try number(offset) }
            #expect(found.removeValue(forKey: key) == expected, "\(key)")
        }
        #expect(found.isEmpty)
    }

    private func pullProbes(_ store: ServedStore, _ appended: Appended?) throws {
        for probe in try list(manifest["pullProbes"]) {
            let topic = try text(probe["topic"])
            let queue = try number(probe["queueId"])
            guard topic != appended?.topic || queue != appended.map({ Int64($0.queue) }) else { continue }
            let answer = try store.pull(
                topic, String(queue), from: try number(probe["queueOffset"]), count: try number(probe["maxMsgNums"]))
            let comment: Comment = "\(probe) – ours: \(answer.code) \(answer.remark) \(answer.fields)"
            #expect(Int64(answer.code) == (try number(probe["code"])), comment)
            guard let next = probe["nextBeginOffset"] else { continue }
            #expect(answer.remark == (try text(probe["remark"])), comment)
            #expect(answer.fields["nextBeginOffset"] == String(try number(next)), comment)
            #expect(answer.fields["minOffset"] == String(try number(probe["minOffset"])), comment)
            #expect(answer.fields["maxOffset"] == String(try number(probe["maxOffset"])), comment)
            #expect(answer.fields["suggestWhichBrokerId"] == "0", comment)
            #expect(try answer.records().map(\.offset) == (probe["offsets"] as? [Int64] ?? []), comment)
            #expect(Int64(answer.body.count) == (try number(probe["bytes"])), comment)
        }
    }

    /// RocketMQ's own answers depend on the modification times of files and on the way its search takes; ours is always the
    /// first message that was stored at the time or later.
    private func timeQueries(_ store: ServedStore, _ appended: Appended?) throws {
        for query in try list(manifest["timeQueries"]) {
            let topic = try text(query["topic"])
            let queue = try number(query["queueId"])
            guard topic != appended?.topic || queue != appended.map({ Int64($0.queue) }) else { continue }
            let answer = try store.ask(
                .searchOffsetByTimestamp,
                [
                    ("topic", topic), ("queueId", String(queue)), ("timestamp", String(try number(query["timestamp"]))),
                ])
            #expect(answer.fields["offset"] == String(try number(query["lowerBound"])), "\(query)")
        }
    }

    private func keyQueries(_ store: ServedStore) throws {
        for query in try list(manifest["keyQueries"]) {
            let answer = try store.ask(
                .queryMessage,
                [
                    ("topic", try text(query["topic"])), ("key", try text(query["key"])),
                    ("maxNum", String(try number(query["maxNum"]))),
                    ("beginTimestamp", String(try number(query["beginTimestamp"]))),
                    ("endTimestamp", String(try number(query["endTimestamp"]))),
                    ("_UNIQUE_KEY_QUERY", query["uniqueKeyQuery"] as? Bool == true ? "true" : "false"),
                ])
            let comment: Comment = "\(query["topic"] ?? "") \(query["key"] ?? "")"
            // Index times are whole seconds after their file's first, rounded down: RocketMQ misses a message whose second has
            // begun before the time asked, and an index that was built again may not.
            if try number(query["code"]) == 22, try number(query["beginTimestamp"]) > 0, answer.code == 0 { continue }
            #expect(Int64(answer.code) == (try number(query["code"])), comment)
            let expected = try list(query["answer"]).map { try number($0["commitLogOffset"]) }
            #expect(try answer.records().map(\.physical) == expected, comment)
        }
    }

    private func idQueries(_ store: ServedStore) throws {
        for query in try list(manifest["idQueries"]) {
            let offset: Int64
            if let id = query["offsetMsgId"] as? String {
                offset = try #require(OffsetMessageID(id)).offset.rawValue
            } else {
                offset = try number(query["commitLogOffset"])
            }
            let answer = try store.ask(.viewMessageByID, [("offset", String(offset))])
            // Between records RocketMQ answers with whatever lies there.
            if let digest = query["recordSha256"] as? String, !answer.body.isEmpty {
                #expect(SHA256.hexadecimal(answer.body) == digest, "\(query)")
            }
            if query["offsetMsgId"] != nil { #expect(Int64(answer.code) == (try number(query["code"])), "\(query)") }
        }
    }
}
