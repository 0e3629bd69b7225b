import Base
import BrokerCore
import Bytes
import Model
import RemotingFrontend
import RemotingProtocol
import Simulation
import Storage
import Telemetry
import Testing

/// A frame that came from a broker.
struct Received: CustomStringConvertible {
    var code: Int32
    var flag: Int32
    var opaque: Int32
    var remark: String?
    var fields: [String: String]
    var body: [UInt8]
    var encoding: HeaderEncoding
    var language: LanguageCode

    var isResponse: Bool { flag & 1 != 0 }
    var responseCode: ResponseCode { ResponseCode(code) }
    var text: String { String(decoding: body, as: UTF8.self) }
    func json() throws -> JSONValue { try JSONValue(parsing: body) }
    var description: String {
        "code \(code) flag \(flag) opaque \(opaque) \(remark ?? "") \(fields) \(body.count) bytes"
    }

    /// The frame at the front of `buffer`, which is consumed; nil when there is none.
    init?(from buffer: ByteBuffer) throws {
        guard let frame = try Frame.next(in: buffer) else { return nil }
        let header = CommandHeader()
        try header.decode(frame, in: buffer)
        let bytes = buffer.bytes
        func text(_ range: Range<Int>) -> String { bytes.extracting(range).string() }
        code = header.code
        flag = header.flag
        opaque = header.opaque
        remark = header.remark.map(text)
        fields = Dictionary(header.fields.map { (text($0.key), text($0.value)) }) { $1 }
        body = bytes.extracting(frame.body).array()
        encoding = header.encoding
        language = header.language
        buffer.consume(frame.size)
    }

    static func all(in buffer: ByteBuffer) throws -> [Received] {
        var frames: [Received] = []
        while let frame = try Received(from: buffer) { frames.append(frame) }
        return frames
    }

    /// The messages of a pull or query answer.
    func messages() throws -> [StoredMessage] {
        var messages: [StoredMessage] = []
        let buffer = ByteBuffer()
        buffer.append(body)
        while !buffer.isEmpty {
            let span = buffer.bytes
            let record = try MessageRecord(span)
            messages.append(StoredMessage(record, span))
            buffer.consume(record.size)
        }
        return messages
    }
}

/// One stored message, taken apart.
struct StoredMessage: Equatable {
    var topic: String
    var queueID: Int32
    var queueOffset: Int64
    var physicalOffset: Int64
    var size: Int
    var flag: Int32
    var body: [UInt8]
    var properties: String
    var bytes: [UInt8]
    var storeTimestamp: Int64

    init(_ record: MessageRecord, _ span: RawSpan) {
        topic = span.extracting(record.topic).string()
        queueID = record.queueID.rawValue
        queueOffset = record.queueOffset.rawValue
        physicalOffset = record.physicalOffset.rawValue
        size = record.size
        flag = record.flag
        body = span.extracting(record.body).array()
        properties = span.extracting(record.properties).string()
        bytes = span.extracting(0..<record.size).array()
        storeTimestamp = record.storeTimestamp.milliseconds
    }

    var text: String { String(decoding: body, as: UTF8.self) }
}

/// A broker on a simulated disk, and the clients that speak to it in bytes.
final class BrokerConversation {
    let clock: SimulatedClock
    let disk: SimulatedDisk
    let broker: Broker
    let frontend: BrokerFrontend
    /// Why the store failed, if it did.
    var failure: StorageError?

    init(
        disk: SimulatedDisk? = nil, clock: SimulatedClock = SimulatedClock(), flushTimeoutMilliseconds: Int64 = 5_000,
        requestGuard: RequestGuard = RequestGuard(),
        _ configure: (inout BrokerConfiguration, inout StoreConfiguration) -> Void = { _, _ in }
    ) throws {
        self.clock = clock
        self.disk = disk ?? SimulatedDisk(clock: clock)
        var configuration = BrokerConfiguration()
        configuration.address = HostAddress.loopback(port: 31_911)
        var store = StoreConfiguration(root: "store")
        store.segmentSize = 8 * 1024 * 1024
        store.messageIndex = MessageIndexConfiguration(slotCount: 1_000, entryCount: 4_000)
        configure(&configuration, &store)
        broker = try Broker(
            configuration, store: store, disk: self.disk, clock: clock, random: SeededRandom(seed: 1), log: .silent)
        frontend = BrokerFrontend(
            broker: broker, flushTimeoutMilliseconds: flushTimeoutMilliseconds, requestGuard: requestGuard,
            log: .silent)
        frontend.storeFailed = { [unowned self] in failure = $0 }
    }

    func connect(port: Int32 = 40_000) -> TestClient { TestClient(self, peer: .loopback(port: port)) }

    /// A client of another machine.
    func connectRemotely(from address: UInt32 = 0xC000_0207) -> TestClient {
        TestClient(self, peer: HostAddress(ipv4: address, port: 5), isLocal: false)
    }

    /// Ends a turn, and lets background work of the disk come to its end.
    func turn() {
        frontend.endTurn()
        while disk.runCompletions() > 0 { frontend.endTurn() }
    }

    /// Lets time pass in steps of `step`, with what the loop's timers would do.
    func advance(milliseconds: Int64, step: Int64 = 10) {
        var rest = milliseconds
        while rest > 0 {
            let now = min(step, rest)
            clock.advance(milliseconds: now)
            rest -= now
            frontend.tick()
            frontend.keepHouse()
            turn()
        }
    }

    func putTopic(_ name: String, queues: Int32 = 4, permission: Permission = .readWrite) throws {
        try broker.putTopic(
            TopicConfiguration(
                name: name, readQueueCount: queues, writeQueueCount: queues, permission: permission))
    }
}

/// One connection to the broker of a ``BrokerConversation``.
final class TestClient {
    let it: BrokerConversation
    let output = ByteBuffer()
    let session: BrokerSession
    var encoding = HeaderEncoding.json
    var language = LanguageCode.java
    var version = CommandVersion.own
    /// Signs what it sends.
    var signer: RequestSigner?
    private(set) var opaque: Int32 = 0
    /// Frames that nobody has looked at yet.
    var inbox: [Received] = []

    init(_ it: BrokerConversation, peer: HostAddress, isLocal: Bool = true) {
        self.it = it
        session = it.frontend.makeSession(peer: peer, isLocal: isLocal, output: output)
    }

    /// Writes a request and has the session handle it, without ending the turn.
    @discardableResult
    func send(
        _ code: RequestCode, _ fields: [(StaticString, String)] = [], body: [UInt8] = [], isOneway: Bool = false
    ) -> Int32 {
        let buffer = request(code, fields, body: body, isOneway: isOneway)
        #expect(session.next(buffer) == .handled)
        #expect(buffer.isEmpty)
        return opaque
    }

    /// The frame of a request, with the next number.
    func request(
        _ code: RequestCode, _ fields: [(StaticString, String)] = [], body: [UInt8] = [], isOneway: Bool = false
    ) -> ByteBuffer {
        opaque += 1
        let buffer = ByteBuffer()
        var writer = CommandWriter(buffer, encoding: encoding)
        writer.version = version
        writer.language = language
        writer.signer = signer
        writer.begin(request: code, opaque: opaque, isOneway: isOneway)
        for (name, value) in fields { writer.field(name, value) }
        writer.beginBody()
        buffer.append(body)
        writer.end()
        return buffer
    }

    /// Answers a request of the broker.
    func reply(to request: Received, code: ResponseCode, _ fields: [(StaticString, String)] = [], body: String = "") {
        let buffer = ByteBuffer()
        var writer = CommandWriter(buffer, encoding: encoding)
        writer.begin(response: code, opaque: request.opaque, remark: .text("as asked"))
        for (name, value) in fields { writer.field(name, value) }
        writer.beginBody()
        buffer.append(utf8: body)
        writer.end()
        #expect(session.next(buffer) == .handled)
    }

    /// Everything that has come and was not looked at.
    func receive() throws -> [Received] {
        let frames = inbox + (try Received.all(in: output))
        inbox = []
        return frames
    }

    /// The answer to one request, if it is there; other frames stay.
    func answer(to opaque: Int32) throws -> Received? {
        inbox += try Received.all(in: output)
        guard let index = inbox.firstIndex(where: { $0.isResponse && $0.opaque == opaque }) else { return nil }
        return inbox.remove(at: index)
    }

    /// Sends a request, ends the turn, and returns the answer.
    func ask(
        _ code: RequestCode, _ fields: [(StaticString, String)] = [], body: [UInt8] = []
    ) throws -> Received {
        let opaque = send(code, fields, body: body)
        it.turn()
        let answer = try #require(try answer(to: opaque), "no answer to \(code)")
        #expect(answer.encoding == encoding)
        return answer
    }

    // MARK: - Messages

    static func sendFields(
        _ topic: String, queue: Int32 = 0, properties: String = "", group: String = "PG"
    ) -> [(StaticString, String)] {
        [
            ("a", group), ("b", topic), ("c", "TBW102"), ("d", "4"), ("e", String(queue)), ("f", "0"),
            ("g", "1795200000000"), ("h", "0"), ("i", properties), ("j", "0"), ("k", "false"), ("m", "false"),
        ]
    }

    @discardableResult
    func produce(
        _ text: String, to topic: String, queue: Int32 = 0, tags: String? = nil, keys: String? = nil
    ) throws -> Received {
        var properties = ""
        if let tags { properties += "TAGS\u{1}\(tags)\u{2}" }
        if let keys { properties += "KEYS\u{1}\(keys)\u{2}" }
        let fields = Self.sendFields(topic, queue: queue, properties: properties)
        return try ask(.sendMessageV2, fields, body: Array(text.utf8))
    }

    static func pullFields(
        _ topic: String, queue: Int32 = 0, from offset: Int64 = 0, count: Int32 = 32, holdMilliseconds: Int64? = nil,
        expression: String = "*", group: String = "CG"
    ) -> [(StaticString, String)] {
        [
            ("consumerGroup", group), ("topic", topic), ("queueId", String(queue)), ("queueOffset", String(offset)),
            ("maxMsgNums", String(count)), ("sysFlag", String(4 | (holdMilliseconds == nil ? 0 : 2))),
            ("commitOffset", "0"), ("suspendTimeoutMillis", String(holdMilliseconds ?? 0)),
            ("subscription", expression), ("subVersion", "0"), ("expressionType", "TAG"),
        ]
    }

    /// A heartbeat of one consumer of `topics`.
    @discardableResult
    func subscribe(_ group: String, to topics: [String], clientID: String, expression: String = "*") throws -> Received
    {
        let heartbeat = HeartbeatData(
            clientID: clientID, producerGroups: ["CLIENT_INNER_PRODUCER"],
            consumers: [
                ConsumerData(
                    groupName: group, consumeType: .push, messageModel: .clustering, consumeFromWhere: .lastOffset,
                    subscriptions: topics.map { Subscription(topic: $0, expression: expression, version: 1) })
            ])
        return try ask(.heartbeat, body: heartbeat.encoded())
    }
}
