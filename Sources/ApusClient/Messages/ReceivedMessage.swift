import Base
import Bytes
import Compression
import Model
import RemotingProtocol

/// A message that a broker stored, as a consumer sees it.
public struct ReceivedMessage: Sendable {
    /// The topic that it was sent to: of a message on its way through a retry topic, the original one.
    public internal(set) var topic: String
    /// The queue that it was read from; its topic may be a retry topic.
    public internal(set) var queue: MessageQueue
    public internal(set) var queueOffset: QueueOffset
    /// The content, decompressed.
    public internal(set) var body: [UInt8]
    public internal(set) var flag: Int32
    /// How often the message was delivered before, and failed.
    public internal(set) var reconsumeTimes: Int32
    /// Which delivery this is: 1 is the first.
    public var attempt: Int { Int(reconsumeTimes) + 1 }
    public internal(set) var bornTimestamp: Timestamp
    /// When the broker stored it.
    public internal(set) var storeTimestamp: Timestamp
    /// Who sent it.
    public internal(set) var bornHost: HostAddress
    public internal(set) var storeHost: HostAddress
    public internal(set) var physicalOffset: PhysicalOffset
    /// RocketMQ's `sysFlag`, as stored.
    public internal(set) var flags: MessageFlags
    /// The property string as stored.
    let encodedProperties: [UInt8]
    /// The body as stored, as long as it is compressed; then empty.
    private(set) var compressedBody: [UInt8] = []

    /// Reads the record at the front of `span`, which a broker sent.
    /// - Throws: `MessageRecordError` when there is no whole record.
    init(_ record: MessageRecord, in span: RawSpan, brokerName: String, topic: String) {
        let recordTopic = span.extracting(record.topic)
        let name = Self.equals(recordTopic, topic) ? topic : recordTopic.string()
        self.topic = name
        queue = MessageQueue(topic: name, brokerName: brokerName, queueID: record.queueID)
        queueOffset = record.queueOffset
        body = span.extracting(record.body).array()
        flag = record.flag
        reconsumeTimes = record.reconsumeTimes
        bornTimestamp = record.bornTimestamp
        storeTimestamp = record.storeTimestamp
        bornHost = record.bornHost
        storeHost = record.storeHost
        physicalOffset = record.physicalOffset
        flags = record.flags
        encodedProperties = span.extracting(record.properties).array()
    }

    /// A message that no queue holds: a reply, as the broker passed it on (326).
    init(reply header: ReplyMessageHeader, body: [UInt8]) {
        topic = header.topic
        queue = MessageQueue(topic: header.topic, brokerName: "", queueID: header.queueID)
        queueOffset = .zero
        self.body = body
        flag = header.flag
        reconsumeTimes = header.reconsumeTimes ?? 0
        bornTimestamp = header.bornTimestamp
        storeTimestamp = header.storeTimestamp
        bornHost = Self.host(header.bornHost)
        storeHost = Self.host(header.storeHost)
        physicalOffset = .zero
        flags = header.flags
        encodedProperties = Array((header.properties ?? "").utf8)
    }

    /// `address:port`; 0.0.0.0 for what is none, which is only shown.
    private static func host(_ text: String) -> HostAddress {
        let parts = text.drop { $0 == "/" }.split(separator: ":")
        guard parts.count == 2, let port = Int32(parts[1]), let host = HostAddress(ipv4: String(parts[0]), port: port)
        else { return HostAddress(ipv4: 0, port: 0) }
        return host
    }

    private static func equals(_ bytes: RawSpan, _ text: String) -> Bool {
        bytes.withUnsafeBytes { $0.elementsEqual(text.utf8) }
    }

    // MARK: - Properties

    /// The value of a property, the user's or RocketMQ's.
    public func property(_ name: String) -> String? { allProperties.last { $0.name == name }?.value }

    /// All properties, in stored order.
    public var allProperties: [(name: String, value: String)] { MessageProperties.decode(encodedProperties.span.bytes) }

    public var tag: String? { value(of: "TAGS") }

    public var keys: [String] { value(of: "KEYS")?.split(separator: " ").map(String.init) ?? [] }

    public var shardingKey: String? { value(of: "__SHARDINGKEY") }

    /// The id that the producer gave (`UNIQ_KEY`); of a message without one, the broker's.
    public var messageID: String { value(of: "UNIQ_KEY") ?? offsetMessageID }

    /// The broker's id of this copy.
    public var offsetMessageID: String { OffsetMessageID(host: storeHost, offset: physicalOffset).description }

    /// The broker's id of the first copy of a message that was sent back.
    public var originMessageID: String { value(of: "ORIGIN_MESSAGE_ID") ?? offsetMessageID }

    /// The body as text; bytes that are no UTF-8 become U+FFFD.
    public var text: String { String(decoding: body, as: UTF8.self) }

    private func value(of name: StaticString) -> String? {
        let span = encodedProperties.span.bytes
        return MessageProperties.valueRange(of: name, in: span).map { span.extracting($0).string() }
    }

    /// The topic that the message was first sent to, of one that came through a retry topic or lies among the dead letters.
    public var originTopic: String { value(of: "DLQ_ORIGIN_TOPIC") ?? value(of: "RETRY_TOPIC") ?? topic }

    /// Whether the sender waits for a reply: see ``Producer/reply(to:body:tag:properties:timeout:)``.
    public var isRequest: Bool { value(of: "CORRELATION_ID") != nil && value(of: "REPLY_TO_CLIENT") != nil }

    /// Whether the body is still compressed, since what the broker sent could not be decompressed.
    public var isBodyCompressed: Bool { flags.contains(.compressed) && compressedBody.isEmpty && !body.isEmpty }

    // MARK: - On the way to the user

    /// Puts the topic that the message was sent to in the place of the retry topic that it came through.
    mutating func restoreTopic() {
        guard topic.hasPrefix(SystemTopics.retryPrefix), let original = value(of: "RETRY_TOPIC") else { return }
        topic = original
    }

    /// The body as the broker has it.
    var storedBody: [UInt8] { compressedBody.isEmpty ? body : compressedBody }

    /// Decompresses the body.
    /// - Parameter sizeMaximum: of the content, in bytes.
    mutating func decompress(sizeMaximum: Int = 64 * 1024 * 1024) throws(CompressionError) {
        guard flags.contains(.compressed), compressedBody.isEmpty, !body.isEmpty else { return }
        guard let codec = CompressionCodec(wireID: flags.compressionType) else {
            throw .corrupt("unknown compression \(flags.compressionType)")
        }
        let buffer = ByteBuffer(capacity: body.count * 4)
        try codec.decompress(body.span.bytes, into: buffer, sizeMaximum: sizeMaximum)
        compressedBody = body
        body = buffer.bytes.array()
    }

    /// The tag, without making a string of it, is one of `tags`.
    func hasTag(in tags: [String]) -> Bool {
        let span = encodedProperties.span.bytes
        guard let range = MessageProperties.valueRange(of: "TAGS", in: span) else { return false }
        let tag = span.extracting(range)
        return tags.contains { Self.equals(tag, $0) }
    }
}

extension ReceivedMessage {
    /// The messages of a body that holds records one after the other: answers to 11, 12 and 33.
    static func decodeAll(
        _ span: RawSpan, brokerName: String, topic: String
    ) throws(ClientError) -> [ReceivedMessage] {
        var messages: [ReceivedMessage] = []
        var position = 0
        while position < span.byteCount {
            let rest = span.extracting(position..<span.byteCount)
            do throws(MessageRecordError) {
                let record = try MessageRecord(rest)
                messages.append(ReceivedMessage(record, in: rest, brokerName: brokerName, topic: topic))
                position += record.size
            } catch {
                throw ClientError(.malformedAnswer, "message \(messages.count) cannot be read", underlying: error)
            }
        }
        return messages
    }
}

extension ReceivedMessage: CustomStringConvertible {
    /// Without the body, which may be large and nobody's business.
    public var description: String { "message \(queueOffset) of \(queue), \(body.count) bytes" }
}
