import Bytes
import Foundation
import Model
import RemotingProtocol
import Testing

@testable import RemotingFrontend

/// One frame of a captured conversation with RocketMQ's broker or name server.
struct CapturedLine {
    var connection: Int64
    var isFromClient: Bool
    var isBroker: Bool
    /// Milliseconds since the scenario began.
    var time: Int64
    var requestCode: Int32
    var bytes: [UInt8]
    var frame: Received

    static let folder = "Wire/rocketmq-4.9.8"

    /// The lines of a file such as `json/send-sync`.
    static func load(_ scenario: String) throws -> [CapturedLine] {
        try String(contentsOfFixture: "\(folder)/\(scenario).jsonl").split(separator: "\n").map { line in
            let json = try JSONValue(parsing: Array(line.utf8))
            let bytes = try hexadecimal(try #require(json["hex"]?.stringValue))
            let buffer = ByteBuffer()
            buffer.append(bytes)
            return CapturedLine(
                connection: try #require(json["conn"]?.integerValue), isFromClient: json["dir"]?.stringValue == "c2s",
                isBroker: json["server"]?.stringValue == "broker",
                time: Int64((json["t"]?.doubleValue ?? 0) * 1_000),
                requestCode: Int32(try #require(json["request_code"]?.integerValue)), bytes: bytes,
                frame: try #require(try Received(from: buffer)))
        }
    }

    static func scenarios(_ part: String) -> [String] {
        let tests = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        let path = tests.appendingPathComponent("Fixtures/\(folder)/\(part)").path
        let names = (try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []
        precondition(!names.isEmpty, "no captured traffic in \(part)")
        return names.filter { $0.hasSuffix(".jsonl") }.map { "\(part)/\($0.dropLast(6))" }.sorted()
    }

    private static func hexadecimal(_ text: String) throws -> [UInt8] {
        let digits = try text.map { UInt8(try #require($0.hexDigitValue)) }
        return stride(from: 0, to: digits.count, by: 2).map { digits[$0] << 4 | digits[$0 + 1] }
    }
}

/// What has to be there before a scenario is played, read off the answers that RocketMQ gave in it: the captures begin with a
/// broker that had been in use.
struct CapturedBeginning {
    struct Queue: Hashable {
        var topic: String
        var queueID: Int32
    }
    struct Progress: Hashable {
        var group: String
        var queue: Queue
    }

    /// By topic: queues to read, to write, permission.
    var topics: [String: (read: Int32, write: Int32, permission: Int32)] = [:]
    /// The number of messages in each queue.
    var maximum: [Queue: Int64] = [:]
    /// Messages that were pulled, where they lie below the maximum.
    var messages: [Queue: [Int64: StoredMessage]] = [:]
    var offsets: [Progress: Int64] = [:]
    /// Messages that were found by key or id, by their place in RocketMQ's log.
    var queried: [Int64: (queue: Queue, offset: Int64)] = [:]

    init(_ lines: [CapturedLine]) throws {
        var requests: [String: Received] = [:]
        var requestFields: [String: [String: String]] = [:]
        for line in lines {
            let key = "\(line.isBroker) \(line.connection) \(line.frame.opaque)"
            if line.isFromClient, !line.frame.isResponse {
                requests[key] = line.frame
                requestFields[key] = line.frame.fields
                // An offset that is stored before it is asked for was not there.
                if line.requestCode == 15, let progress = Self.progress(line.frame.fields), offsets[progress] == nil {
                    offsets[progress] = -1
                }
                continue
            }
            guard line.frame.isResponse, !line.isFromClient, let fields = requestFields[key] else { continue }
            if line.isBroker { try note(line, fields) } else { try noteRoute(line, fields) }
        }
        for (queue, offset) in queried.values where maximum[queue] == nil { maximum[queue] = offset + 1 }
    }

    private static func progress(_ fields: [String: String]) -> Progress? {
        guard let group = fields["consumerGroup"], let queue = queue(fields) else { return nil }
        return Progress(group: group, queue: queue)
    }

    private static func queue(_ fields: [String: String]) -> Queue? {
        guard let topic = fields["topic"] ?? fields["b"], let id = Int32(fields["queueId"] ?? fields["e"] ?? "")
        else { return nil }
        return Queue(topic: topic, queueID: id)
    }

    private mutating func noteRoute(_ line: CapturedLine, _ fields: [String: String]) throws {
        guard line.requestCode == 105, line.frame.code == 0, let topic = fields["topic"] else { return }
        let route = try TopicRouteData(parsing: line.frame.body.span.bytes)
        guard let queue = route.queues.first else { return }
        topics[topic] = (queue.readQueueCount, queue.writeQueueCount, queue.permission.rawValue)
    }

    private mutating func note(_ line: CapturedLine, _ fields: [String: String]) throws {
        let answer = line.frame
        if [12, 33].contains(line.requestCode) {
            for message in try answer.messages() {
                let queue = Queue(topic: message.topic, queueID: message.queueID)
                messages[queue, default: [:]][message.queueOffset] = message
                queried[message.physicalOffset] = (queue, message.queueOffset)
            }
            return
        }
        guard var queue = Self.queue(fields) else { return }
        switch line.requestCode {
        case 10, 310, 320, 324, 325:
            guard let id = answer.fields["queueId"].flatMap({ Int32($0) }),
                let offset = answer.fields["queueOffset"].flatMap({ Int64($0) })
            else { return }
            queue.queueID = id
            // A delayed message tells its place among the delayed ones.
            guard fields["i"]?.contains("DELAY\u{1}") != true else { return }
            if maximum[queue] == nil { maximum[queue] = offset }
        case 11:
            for message in try answer.messages() {
                messages[queue, default: [:]][message.queueOffset] = message
                queried[message.physicalOffset] = (queue, message.queueOffset)
            }
            // What comes again comes of the scenario itself.
            let known = queue.topic.hasPrefix("%RETRY%") ? fields["queueOffset"] : answer.fields["maxOffset"]
            if maximum[queue] == nil { maximum[queue] = known.flatMap { Int64($0) } }
        case 30:
            if maximum[queue] == nil { maximum[queue] = answer.fields["offset"].flatMap { Int64($0) } }
        case 14:
            guard answer.code == 0, let progress = Self.progress(fields), offsets[progress] == nil else { return }
            offsets[progress] = answer.fields["offset"].flatMap { Int64($0) }
        default: break
        }
    }
}
