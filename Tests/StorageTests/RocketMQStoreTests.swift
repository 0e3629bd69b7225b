import Base
import Foundation
import Simulation
import Storage
import Testing

/// What a broker said about one message in the manifest.
private struct ManifestMessage: Equatable {
    var offset: Int64
    var entry: ConsumeQueueEntry

    init(_ json: [String: Any]) throws {
        offset = try number(json["offset"])
        entry = ConsumeQueueEntry(
            physicalOffset: PhysicalOffset(try number(json["commitLogOffset"])),
            size: Int32(try number(json["storeSize"])), tagsCode: try number(json["cqTagsCode"]))
    }
}

private func number(_ value: Any?) throws -> Int64 { try #require(value as? NSNumber).int64Value }

private func object(_ value: Any?) throws -> [String: Any] { try #require(value as? [String: Any]) }

@Suite("Views of stores that RocketMQ 4.9.8 wrote")
struct RocketMQStoreTests {
    @Test("every queue has the minimum, maximum and entries that the broker served")
    func consumeQueues() throws {
        let disk = SimulatedDisk()
        try RocketMQFixture.small.install("store/consumequeue", on: disk)
        let manifest = try RocketMQFixture.small.json("manifest.json")
        let files = OpenFileCache(capacity: 8)
        var queueCount = 0
        var messageCount = 0
        for part in ["topics", "unlistedQueues"] {
            for (topic, value) in try object(manifest[part]) {
                let queues = part == "topics" ? try object(object(value)["queues"]) : try object(value)
                for (id, value) in queues {
                    let expected = try object(value)
                    // The broker said that there is no such queue.
                    guard expected["max"] != nil else { continue }
                    let queue = ConsumeQueue(
                        directory: "store/consumequeue/\(topic)/\(id)",
                        configuration: ConsumeQueueConfiguration(entriesPerFile: 300), disk: disk, files: files)
                    try queue.load()
                    try queue.correctMinimum(logStart: .zero)
                    messageCount += try check(queue, expected)
                    queueCount += 1
                }
            }
        }
        #expect(queueCount > 60)
        #expect(messageCount > 3055)
        #expect(files.count <= 8)
    }

    private func check(_ queue: ConsumeQueue, _ expected: [String: Any]) throws -> Int {
        #expect(queue.minimumOffset.rawValue == (try number(expected["min"])), "\(queue.directory)")
        #expect(queue.maximumOffset.rawValue == (try number(expected["max"])), "\(queue.directory)")
        let messages = try (#require(expected["messages"] as? [[String: Any]])).map(ManifestMessage.init)
        var entries = Array(repeating: ConsumeQueueEntry.blank, count: messages.count + 1)
        let result = try entries.withUnsafeMutableBufferPointer {
            try queue.read(from: queue.minimumOffset, maximumCount: .max, into: $0)
        }
        #expect(result.count == messages.count, "\(queue.directory)")
        #expect(Array(entries.prefix(result.count)) == messages.map(\.entry), "\(queue.directory)")
        for message in messages.suffix(3) {
            #expect(try queue.entry(at: QueueOffset(message.offset)) == message.entry)
        }
        return messages.count
    }

    @Test("each key query finds the records that the broker found, in its order")
    func keyQueries() throws {
        let disk = SimulatedDisk()
        try RocketMQFixture.small.install("store/index", on: disk)
        let index = MessageIndex(
            directory: "store/index",
            configuration: MessageIndexConfiguration(slotCount: 1000, entryCount: 4000), disk: disk,
            files: OpenFileCache())
        try index.load()
        #expect(index.fileCount == 2)
        #expect(index.last?.physicalOffset == PhysicalOffset(3_947_581))
        #expect(index.last?.storeTimestamp == Timestamp(milliseconds: 1_795_200_515_807))
        let manifest = try RocketMQFixture.small.json("manifest.json")
        let queries = try #require(manifest["keyQueries"] as? [[String: Any]])
        #expect(queries.count > 200)
        for query in queries {
            let answer = try #require(query["answer"] as? [[String: Any]]).map { try number($0["commitLogOffset"]) }
            let found = try index.query(
                topic: try #require(query["topic"] as? String), key: try #require(query["key"] as? String),
                from: try number(query["beginTimestamp"]), to: try number(query["endTimestamp"]),
                maximumCount: Int(try number(query["maxNum"])))
            // The broker sorts what the index gives, newest first, by physical offset.
            #expect(found == found.sorted().reversed(), "\(query["key"] ?? "")")
            #expect(found.reversed().map(\.rawValue) == answer, "\(query["topic"] ?? "") \(query["key"] ?? "")")
        }
    }

    @Test("an index written with other sizes is read, and not written to")
    func foreignLayout() throws {
        let disk = SimulatedDisk()
        try RocketMQFixture.small.install("store/index", on: disk)
        let before = disk.files(below: "store/index").map { disk.contents($0) }
        let index = MessageIndex(
            directory: "store/index", configuration: MessageIndexConfiguration(slotCount: 50, entryCount: 100),
            disk: disk, files: OpenFileCache())
        try index.load()
        #expect(index.ignoredFiles.isEmpty)
        let found = try index.query(topic: "FxTags", key: "键2", from: 0, to: .max, maximumCount: 64)
        #expect(!found.isEmpty)
        let now = Timestamp(milliseconds: 1_795_200_600_000)
        try index.insert(topic: "FxTags", key: "键2", physicalOffset: PhysicalOffset(4_000_000), storeTimestamp: now)
        while try !index.writeBack(maximumBytes: 4096) {}
        #expect(index.fileCount == 3)
        #expect(
            try index.query(topic: "FxTags", key: "键2", from: 0, to: .max, maximumCount: 64)
                == [PhysicalOffset(4_000_000)] + found.prefix(63))
        #expect(
            before.elementsEqual(disk.files(below: "store/index").prefix(2).map { disk.contents($0) }))
    }

    @Test("queues of a killed broker open, and hold what they held before")
    func crashedConsumeQueues() throws {
        let disk = SimulatedDisk()
        try RocketMQFixture.crash.install("store/consumequeue", on: disk)
        let files = OpenFileCache()
        let topics = try object(RocketMQFixture.crash.json("manifest-recovered.json")["topics"])
        var messageCount = 0
        for (topic, value) in topics {
            for (id, value) in try object(object(value)["queues"]) {
                let queue = ConsumeQueue(
                    directory: "store/consumequeue/\(topic)/\(id)",
                    configuration: ConsumeQueueConfiguration(entriesPerFile: 300), disk: disk, files: files)
                // Replayed from the start of the last two segments, as recovery would.
                try queue.load(replayingFrom: PhysicalOffset(5 << 20))
                let all = try #require(object(value)["messages"] as? [[String: Any]]).map(ManifestMessage.init)
                let kept = all.filter { $0.entry.physicalOffset < PhysicalOffset(5 << 20) }
                // One queue is gone from the folder: the broker removed it by mistake, and rebuilt it in its recovery.
                guard disk.exists("store/consumequeue/\(topic)/\(id)") else { continue }
                for message in kept {
                    #expect(try queue.entry(at: QueueOffset(message.offset)) == message.entry)
                }
                for message in all {
                    try queue.append(message.entry, at: QueueOffset(message.offset))
                }
                #expect(queue.maximumOffset.rawValue == (try number(object(value)["max"])), "\(topic) \(id)")
                messageCount += all.count
            }
        }
        #expect(messageCount > 8000)
    }
}

extension MessageIndex {
    /// The query with texts and milliseconds.
    func query(
        topic: String, key: String, from begin: Int64, to end: Int64, maximumCount: Int
    ) throws -> [PhysicalOffset] {
        try query(
            topic: Array(topic.utf8).span.bytes, key: Array(key.utf8).span.bytes,
            from: Timestamp(milliseconds: begin), to: Timestamp(milliseconds: end), maximumCount: maximumCount)
    }

    func insert(topic: String, key: String, physicalOffset: PhysicalOffset, storeTimestamp: Timestamp) throws {
        try insert(
            topic: Array(topic.utf8).span.bytes, key: Array(key.utf8).span.bytes, physicalOffset: physicalOffset,
            storeTimestamp: storeTimestamp)
    }
}
