import Base
import Bytes
import Model
import NameService
@testable import RemotingFrontend
import RemotingProtocol
import Telemetry
import Testing

/// A broker whose topics tests change.
final class TestBroker {
    var topics: [TopicConfiguration]
    var version = DataVersion(timestamp: Timestamp(milliseconds: 5), counter: 1)
    /// How often all topics were asked for.
    private(set) var listings = 0

    init(_ names: [String]) { topics = names.map { .topic($0) } }

    func add(_ name: String) -> [TopicConfiguration] {
        topics.append(.topic(name))
        version.counter += 1
        return [.topic(name)]
    }

    func description(id: Int64 = 0, port: Int = 10_911) -> RegisteredBroker {
        RegisteredBroker(
            identity: BrokerIdentity(cluster: "C", name: "broker-a", id: id, address: "10.0.0.1:\(port)"),
            haAddress: "10.0.0.1:\(port + 1)", dataVersion: { self.version },
            topics: {
                self.listings += 1
                return self.topics
            })
    }
}

/// A broker's conversation, and the name server that it is with.
final class RegistrationExchange {
    let it = NameServerConversation()
    let broker: TestBroker
    let conversation: RegistrationConversation
    private(set) var session: NameServerSession
    /// The requests so far.
    private(set) var requests: [RequestCode] = []
    private(set) var heard: [RegistrationConversation.Heard] = []
    private(set) var bytesSent = 0

    init(
        _ names: [String] = ["T"], id: Int64 = 0, _ change: (inout NameServerRegistrarConfiguration) -> Void = { _ in }
    ) {
        broker = TestBroker(names)
        var configuration = NameServerRegistrarConfiguration(nameServers: [])
        change(&configuration)
        conversation = RegistrationConversation(
            broker.description(id: id, port: 10_911 + Int(id)), configuration, log: .silent)
        session = it.frontend.makeSession(peer: .loopback(port: 3))
    }

    var now: MonotonicTime { it.clock.monotonic }

    /// Lets both speak until neither has anything to say.
    func run() throws {
        let toServer = ByteBuffer(), toBroker = ByteBuffer()
        while conversation.speak(toServer, at: now) {
            bytesSent += toServer.count
            requests.append(try Self.code(toServer))
            #expect(session.next(toServer, toBroker) == .handled)
            it.server.checkInvariants()
            heard.append(conversation.hear(toBroker))
            #expect(toServer.isEmpty && toBroker.isEmpty)
        }
    }

    private static func code(_ buffer: ByteBuffer) throws -> RequestCode {
        let frame = try Frame.next(in: buffer)
        let header = CommandHeader()
        try header.decode(try #require(frame), in: buffer)
        return header.requestCode
    }

    /// The name server loses its memory, but the connection holds.
    func forget() { it.server.connectionClosed(session.token) }

    var topicsAtServer: [String] { it.server.topics }
}

@Suite("Registration of a broker with a name server")
struct RegistrationTests {
    @Test("all topics are told first, and then only what changed")
    func changes() throws {
        let names = (0..<100).map { "T\($0)" }
        let exchange = RegistrationExchange(names)
        try exchange.run()
        #expect(exchange.topicsAtServer == names.sorted())
        #expect(exchange.conversation.acknowledged == exchange.broker.version)
        let first = exchange.bytesSent
        exchange.conversation.topicsChanged(exchange.broker.add("V"))
        exchange.conversation.topicsChanged(exchange.broker.add("W"))
        try exchange.run()
        #expect(exchange.topicsAtServer == (names + ["V", "W"]).sorted())
        #expect(exchange.requests == [.registerBroker, .registerBroker])
        #expect(exchange.broker.listings == 1)
        #expect(exchange.bytesSent - first < 1000)
        #expect(exchange.conversation.acknowledged == exchange.broker.version)
        #expect(exchange.heard == [.registered(RegistrationReply()), .registered(RegistrationReply())])
    }

    @Test("a deletion is told as a new data version without topics")
    func deletion() throws {
        let exchange = RegistrationExchange(["T", "U"])
        try exchange.run()
        exchange.broker.topics.removeLast()
        exchange.broker.version.counter += 1
        exchange.conversation.topicsChanged([])
        try exchange.run()
        #expect(exchange.conversation.acknowledged == exchange.broker.version)
        exchange.conversation.renew()
        try exchange.run()
        #expect(exchange.requests == [.registerBroker, .registerBroker, .queryDataVersion])
    }

    @Test("a renewal asks whether anything changed, and keeps the broker alive")
    func renewal() throws {
        let exchange = RegistrationExchange()
        try exchange.run()
        for _ in 0..<10 {
            exchange.it.clock.milliseconds += 30_000
            exchange.conversation.renew()
            try exchange.run()
            #expect(exchange.it.server.expire().isEmpty)
        }
        #expect(exchange.requests == [.registerBroker] + Array(repeating: .queryDataVersion, count: 10))
        #expect(exchange.broker.listings == 1)
    }

    @Test("a name server that forgot the broker is told everything again")
    func forgotten() throws {
        let exchange = RegistrationExchange()
        try exchange.run()
        exchange.forget()
        exchange.conversation.renew()
        try exchange.run()
        #expect(exchange.requests == [.registerBroker, .queryDataVersion, .registerBroker])
        #expect(exchange.topicsAtServer == ["T"])
    }

    @Test("a change that was not reported is told at the next renewal")
    func unreportedChange() throws {
        let exchange = RegistrationExchange()
        try exchange.run()
        _ = exchange.broker.add("U")
        exchange.conversation.renew()
        try exchange.run()
        #expect(exchange.topicsAtServer == ["T", "U"])
    }

    @Test(
        "forced renewals, and those of slaves, carry everything", arguments: [(0, true), (1, false)] as [(Int64, Bool)])
    func forced(id: Int64, isForced: Bool) throws {
        let exchange = RegistrationExchange(id: id) { $0.isForced = isForced }
        try exchange.run()
        exchange.conversation.renew()
        try exchange.run()
        #expect(exchange.requests == [.registerBroker, .registerBroker])
    }

    @Test("a slave hears where its master is, and everyone the order configuration")
    func slave() throws {
        let exchange = RegistrationExchange(id: 1)
        try exchange.it.server.putKVConfig(namespace: NameServer.orderNamespace, key: "T", value: "broker-a:4")
        let master = BrokerRegistration(
            identity: BrokerIdentity(cluster: "C", name: "broker-a", id: 0, address: "m:1"), haAddress: "m:2",
            dataVersion: DataVersion(), connection: ConnectionToken(77))
        _ = exchange.it.server.register(
            master, failure: { preconditionFailure("\($0)") }, topics: { () throws(Never) in [] })
        try exchange.run()
        let reply = RegistrationReply(
            masterAddress: "m:1", haAddress: "m:2", orderConfiguration: ["T": "broker-a:4"])
        #expect(exchange.heard == [.registered(reply)])
    }

    @Test("the goodbye comes after what is unanswered, and is the last word")
    func goodbye() throws {
        let exchange = RegistrationExchange()
        let toServer = ByteBuffer(), toBroker = ByteBuffer()
        #expect(exchange.conversation.speak(toServer, at: exchange.now))
        exchange.conversation.stop()
        #expect(!exchange.conversation.speak(toServer, at: exchange.now))
        #expect(exchange.session.next(toServer, toBroker) == .handled)
        _ = exchange.conversation.hear(toBroker)
        try exchange.run()
        #expect(exchange.requests == [.unregisterBroker])
        #expect(exchange.conversation.hasLeft)
        #expect(exchange.topicsAtServer == [])
        exchange.conversation.registerAll()
        try exchange.run()
        #expect(exchange.requests.count == 1)
    }

    @Test("changes that come while a request is unanswered are told together, after its answer")
    func gathering() throws {
        let exchange = RegistrationExchange()
        let toServer = ByteBuffer(), toBroker = ByteBuffer()
        #expect(exchange.conversation.speak(toServer, at: exchange.now))
        for name in ["U", "V", "W"] {
            exchange.conversation.topicsChanged(exchange.broker.add(name))
            #expect(!exchange.conversation.speak(toServer, at: exchange.now))
        }
        #expect(exchange.session.next(toServer, toBroker) == .handled)
        _ = exchange.conversation.hear(toBroker)
        try exchange.run()
        #expect(exchange.requests == [.registerBroker])
        #expect(exchange.topicsAtServer == ["T", "U", "V", "W"])
    }

    @Test("an answer is overdue after its time")
    func overdue() {
        let exchange = RegistrationExchange()
        #expect(!exchange.conversation.isOverdue(at: exchange.now))
        _ = exchange.conversation.speak(ByteBuffer(), at: exchange.now)
        exchange.it.clock.milliseconds += 6_000
        #expect(!exchange.conversation.isOverdue(at: exchange.now))
        exchange.it.clock.milliseconds += 1
        #expect(exchange.conversation.isOverdue(at: exchange.now))
    }

    @Test("a refusal, and what is no frame, end the connection")
    func failures() {
        let exchange = RegistrationExchange()
        _ = exchange.conversation.speak(ByteBuffer(), at: exchange.now)
        let input = ByteBuffer()
        var writer = CommandWriter(input, encoding: .json)
        writer.begin(response: .systemError, opaque: 1, remark: "no")
        writer.end()
        #expect(
            exchange.conversation.hear(input) == .failed(reason: "registration refused with code 1: no"))
        input.append(Array("HTTP/1.1 400 Bad Request\r\n".utf8))
        guard case .failed = exchange.conversation.hear(input) else {
            Issue.record("taken for a frame")
            return
        }
    }

    @Test("a name server of long ago that knows no data versions is told everything")
    func oldNameServer() throws {
        let exchange = RegistrationExchange()
        try exchange.run()
        exchange.conversation.renew()
        _ = exchange.conversation.speak(ByteBuffer(), at: exchange.now)
        let input = ByteBuffer()
        var writer = CommandWriter(input, encoding: .json)
        writer.begin(response: .requestCodeNotSupported, opaque: 2)
        writer.end()
        #expect(exchange.conversation.hear(input) == .other)
        try exchange.run()
        #expect(exchange.requests == [.registerBroker, .registerBroker])
    }

    @Test("requests from a name server and answers to nothing are passed over")
    func unexpected() {
        let exchange = RegistrationExchange()
        let input = ByteBuffer()
        var writer = CommandWriter(input, encoding: .binary)
        writer.begin(request: RequestCode(905), opaque: 1, isOneway: true)
        writer.end()
        writer.begin(response: .success, opaque: 1)
        writer.end()
        #expect(exchange.conversation.hear(input) == .other)
        #expect(exchange.conversation.hear(input) == .other)
        #expect(exchange.conversation.hear(input) == .incomplete(bytes: 4))
        #expect(exchange.conversation.acknowledged == nil)
    }

    @Test(
        "many topics are compressed, unless one has a unit flag to lose and they fit all the same",
        arguments: [(300, 0, false), (10_000, 0, true), (10_000, 1, false), (20_000, 1, true)] as [(Int, Int32, Bool)])
    func manyTopics(count: Int, flag: Int32, isCompressed: Bool) throws {
        let names = (0..<count).map { "OrdersOfTheShopWithNumber\($0)" }
        let exchange = RegistrationExchange(names) { $0.flaggedSizeMaximum = 3 * 1024 * 1024 }
        exchange.broker.topics[count / 2].systemFlag = flag
        try exchange.run()
        #expect(exchange.it.server.metrics.entriesVisited == UInt64(count))
        #expect((exchange.bytesSent < count * 100) == isCompressed)
        #expect(exchange.it.server.topics(.unit).count == (isCompressed ? 0 : Int(flag)))
    }

    @Test(
        "endpoints of name servers",
        arguments: [
            ("a:1", NameServerEndpoint(host: "a", port: 1)),
            ("[::1]:9876", NameServerEndpoint(host: "::1", port: 9876)),
            ("a", nil), (":1", nil), ("a:0", nil), ("a:65536", nil), ("a:x", nil), ("", nil),
        ] as [(String, NameServerEndpoint?)])
    func endpoint(text: String, expected: NameServerEndpoint?) {
        #expect(NameServerEndpoint(text) == expected)
        if let expected { #expect(expected.description == text) }
        #expect(NameServerEndpoint.list("b:2; \(text)")?.count == (expected != nil ? 2 : text.isEmpty ? 1 : nil))
    }
}
