import Base
import Bytes
import Compression
import Model

/// What a broker has: the body of 103 `REGISTER_BROKER`, in one of two layouts (remoting reference §1.6).
///
/// Plain, it is JSON: `{"filterServerList":[],"topicConfigSerializeWrapper":{…}}`. With the header's `compressed` it is
/// a zlib stream of
///
///     size  field
///      4+n  length, data version as JSON
///        4  number of topics
///      4+n  length, "name readQueues writeQueues permission filterType", for each topic
///      4+n  length, filter servers as a JSON list
///
/// which leaves out a topic's system flag and order. Whatever follows (5.x writes more) is passed over.
public struct RegisterBrokerBody: CommandBody, Equatable {
    public var topics: TopicConfigSerializeWrapper
    public var filterServers: [String]

    /// Most bytes that a compressed body may unpack to: what 16 MiB of JSON would hold, and four times more.
    public static let sizeMaximum = 64 * 1024 * 1024

    public init(topics: TopicConfigSerializeWrapper, filterServers: [String] = []) {
        self.topics = topics
        self.filterServers = filterServers
    }

    public init(json: JSONValue) throws(BodyError) {
        topics = try json.body("topicConfigSerializeWrapper")
        filterServers = try json.texts("filterServerList")
    }

    public func write(to json: inout JSONWriter) {
        json.object { json in
            json.field("filterServerList", filterServers)
            json.field("topicConfigSerializeWrapper", topics)
        }
    }

    // MARK: - Compressed

    /// Reads either layout.
    public init(parsing span: RawSpan, isCompressed: Bool) throws(BodyError) {
        guard isCompressed else {
            try self.init(parsing: span)
            return
        }
        let plain = ByteBuffer()
        do throws(CompressionError) {
            try CompressionCodec.zlib.decompress(span, into: plain, sizeMaximum: Self.sizeMaximum)
        } catch {
            throw .malformed(error.description)
        }
        try self.init(layout: plain.bytes)
    }

    private init(layout span: RawSpan) throws(BodyError) {
        var position = 0
        let version = try DataVersion(parsing: span.extracting(try Self.run(in: span, at: &position)))
        guard span.byteCount - position >= 4 else { throw .malformed("no number of topics") }
        let count = span.bigEndian(at: position, as: Int32.self)
        position += 4
        var topics: [TopicConfiguration] = []
        var index: Int32 = 0
        while index < count {
            topics.append(try Self.topic(span.extracting(try Self.run(in: span, at: &position)).string()))
            index += 1
        }
        self.topics = TopicConfigSerializeWrapper(dataVersion: version, topics: topics)
        filterServers = []
        guard position < span.byteCount else { return }
        let servers = try Self.run(in: span, at: &position)
        let list: JSONValue
        do throws(JSONError) { list = try JSONValue(parsing: span.extracting(servers)) } catch { throw .syntax(error) }
        for server in list.arrayValue ?? [] { filterServers.append(try server.asText("filterServerList")) }
    }

    /// The bytes behind a 32-bit length.
    private static func run(in span: RawSpan, at position: inout Int) throws(BodyError) -> Range<Int> {
        guard span.byteCount - position >= 4 else { throw .malformed("a length is cut off") }
        let length = Int(span.bigEndian(at: position, as: Int32.self))
        let start = position + 4
        guard length >= 0, length <= span.byteCount - start else {
            throw .malformed("a length of \(length) reaches beyond the end")
        }
        position = start + length
        return start..<position
    }

    private static func topic(_ text: String) throws(BodyError) -> TopicConfiguration {
        let parts = text.split(separator: " ")
        guard parts.count >= 5, let readQueues = Int32(parts[1]), let writeQueues = Int32(parts[2]),
            let permission = Int32(parts[3])
        else { throw .malformed("a topic of five words was expected") }
        return TopicConfiguration(
            name: String(parts[0]), readQueueCount: readQueues, writeQueueCount: writeQueues,
            permission: Permission(rawValue: permission),
            filterType: TopicFilterType(rawValue: String(parts[4])) ?? .singleTag)
    }

    /// Appends the compressed layout to `buffer`.
    public func encodeCompressed(to buffer: ByteBuffer) throws(CompressionError) {
        let plain = ByteBuffer()
        Self.append(to: plain) { topics.dataVersion.encode(to: $0) }
        plain.append(bigEndian: Int32(topics.topics.count))
        for topic in topics.topics {
            Self.append(to: plain) { plain in
                plain.append(utf8: topic.name)
                for number in [topic.readQueueCount, topic.writeQueueCount, topic.permission.rawValue] {
                    plain.append(UInt8(ascii: " "))
                    plain.append(decimal: Int64(number))
                }
                plain.append(UInt8(ascii: " "))
                plain.append(utf8: topic.filterType.rawValue)
            }
        }
        Self.append(to: plain) { plain in
            var json = JSONWriter(plain)
            json.array(filterServers) { $0.string($1) }
        }
        try CompressionCodec.zlib.compress(plain.bytes, into: buffer)
    }

    /// Appends what `body` appends, behind its length.
    private static func append(to buffer: ByteBuffer, _ body: (ByteBuffer) -> Void) {
        let position = buffer.count
        buffer.append(bigEndian: Int32(0))
        body(buffer)
        buffer.patch(bigEndian: Int32(buffer.count - position - 4), at: position)
    }
}
