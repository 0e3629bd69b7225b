import Base
import Bytes
import Model
import NameService
import RemotingFrontend
import RemotingProtocol
import Telemetry
import Testing

/// A clock that tests move by hand.
final class HandClock: Clock {
    var milliseconds: Int64 = 1_000_000
    var timestamp: Timestamp { Timestamp(milliseconds: milliseconds) }
    var monotonic: MonotonicTime { MonotonicTime(nanoseconds: milliseconds * 1_000_000) }
}

/// What came back for a request.
struct Answer: Equatable {
    var code: Int32
    var remark: String?
    var fields: [String: String]
    var body: [UInt8]
    var opaque: Int32
    var encoding: HeaderEncoding

    /// The frame at the front of `buffer`, which is consumed; nil when there is none.
    init?(from buffer: ByteBuffer) throws {
        guard let frame = try Frame.next(in: buffer) else { return nil }
        let header = CommandHeader()
        try header.decode(frame, in: buffer)
        let bytes = buffer.bytes
        func text(_ range: Range<Int>) -> String { bytes.extracting(range).string() }
        code = header.code
        remark = header.remark.map(text)
        fields = Dictionary(header.fields.map { (text($0.key), text($0.value)) }) { $1 }
        body = bytes.extracting(frame.body).array()
        opaque = header.opaque
        encoding = header.encoding
        #expect(header.isResponse)
        buffer.consume(frame.size)
    }

    var text: String { String(decoding: body, as: UTF8.self) }
    func json() throws -> JSONValue { try JSONValue(parsing: body) }
}

/// A name server and a client that speaks to it in bytes.
final class NameServerConversation {
    let clock = HandClock()
    let server: NameServer
    let frontend: NameServerFrontend
    let session: NameServerSession
    let output = ByteBuffer()
    var encoding = HeaderEncoding.json
    var version: Int32 = CommandVersion.own
    private var opaque: Int32 = 0

    /// Signs what is sent.
    var signer: RequestSigner?

    init(requestGuard: RequestGuard = RequestGuard()) {
        server = NameServer(configuration: NameServerConfiguration(), clock: clock, log: .silent)
        frontend = NameServerFrontend(server: server, requestGuard: requestGuard, log: .silent)
        session = frontend.makeSession(peer: .loopback(port: 1))
    }

    /// The bytes of a request.
    func request(
        _ code: RequestCode, _ fields: [(StaticString, String)] = [], body: [UInt8] = [], isOneway: Bool = false
    ) -> ByteBuffer {
        opaque += 1
        let buffer = ByteBuffer()
        var writer = CommandWriter(buffer, encoding: encoding)
        writer.version = version
        writer.signer = signer
        writer.begin(request: code, opaque: opaque, isOneway: isOneway)
        for (name, value) in fields { writer.field(name, value) }
        writer.beginBody()
        buffer.append(body)
        writer.end()
        return buffer
    }

    /// Sends a request over a session and returns its answer, if it gets one.
    func send(_ input: ByteBuffer, on session: NameServerSession? = nil) throws -> Answer? {
        let step = (session ?? self.session).next(input, output)
        #expect(step == .handled)
        #expect(input.isEmpty)
        server.checkInvariants()
        let answer = try Answer(from: output)
        #expect(output.isEmpty)
        return answer
    }

    func ask(
        _ code: RequestCode, _ fields: [(StaticString, String)] = [], body: [UInt8] = [],
        on session: NameServerSession? = nil
    ) throws -> Answer {
        let answer = try #require(try send(request(code, fields, body: body), on: session))
        #expect(answer.encoding == encoding)
        #expect(answer.opaque == opaque)
        return answer
    }

    /// Registers a master with `topics`, as RocketMQ does.
    @discardableResult
    func register(
        _ name: String = "broker-a", topics: [TopicConfiguration], counter: Int64 = 1, isCompressed: Bool = false,
        on session: NameServerSession? = nil
    ) throws -> Answer {
        let body = try Self.registration(topics, counter: counter, isCompressed: isCompressed)
        return try ask(
            .registerBroker, Self.identity(name) + [("compressed", isCompressed ? "true" : "false")], body: body,
            on: session)
    }

    static func identity(_ name: String = "broker-a", id: String = "0") -> [(StaticString, String)] {
        [
            ("brokerName", name), ("brokerAddr", "10.0.0.\(id):\(name.utf8.count)"), ("clusterName", "C"),
            ("haServerAddr", "10.0.0.\(id):20000"), ("brokerId", id),
        ]
    }

    static func registration(
        _ topics: [TopicConfiguration], counter: Int64 = 1, isCompressed: Bool = false
    ) throws -> [UInt8] {
        let wrapper = TopicConfigSerializeWrapper(
            dataVersion: DataVersion(timestamp: Timestamp(milliseconds: 5), counter: counter), topics: topics)
        let body = RegisterBrokerBody(topics: wrapper)
        guard isCompressed else { return body.encoded() }
        let buffer = ByteBuffer()
        try body.encodeCompressed(to: buffer)
        return buffer.bytes.array()
    }
}

extension TopicConfiguration {
    static func topic(_ name: String, systemFlag: Int32 = 0) -> Self {
        TopicConfiguration(name: name, readQueueCount: 4, writeQueueCount: 4, systemFlag: systemFlag)
    }
}
