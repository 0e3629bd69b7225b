import Base
import BrokerCore
import Bytes
import Model
import NameService
import RemotingFrontend
import RemotingProtocol
import Simulation
import Storage
import Telemetry

extension FuzzTarget {
    /// An expression, a zero byte, and the properties that it is asked about.
    static func selector() -> FuzzTarget {
        let texts = [
            "a > 5 AND b IN ('EU','US')", "NOT (a BETWEEN 1 AND 5 OR TAGS = 'x') AND b IS NOT NULL",
            "a = TRUE OR (b > 1) = (a < 2.5e3)", "a NOT CONTAINS 'x' AND b NOT STARTSWITH '5' OR $x ENDSWITH 'y'",
        ]
        let seeds = texts.map { Array($0.utf8) + [0] + Array("a\u{1}7\u{2}b\u{1}EU".utf8) }
        return FuzzTarget("selector", seeds: seeds) { bytes in
            let end = bytes.firstIndex(of: 0) ?? bytes.count
            guard let program = try? SelectorProgram(String(decoding: bytes[..<end], as: UTF8.self)) else { return }
            let properties = Array(bytes[min(end + 1, bytes.count)...])
            let first = program.matches(properties.span.bytes)
            precondition(first == program.matches(properties.span.bytes), "the same question has two answers")
        }
    }

    private static func request(
        _ code: RequestCode, _ fields: [(StaticString, String)], body: String = "", encoding: HeaderEncoding = .json
    ) -> [UInt8] {
        let buffer = ByteBuffer()
        var writer = CommandWriter(buffer, encoding: encoding)
        writer.begin(request: code, opaque: 1, isOneway: false)
        for (name, value) in fields { writer.field(name, value) }
        writer.beginBody()
        buffer.append(utf8: body)
        writer.end()
        return buffer.bytes.array()
    }

    /// A whole session of a client with a broker that has a topic: any bytes, then a request that must be answered.
    static func session() -> FuzzTarget {
        let send: [(StaticString, String)] = [
            ("a", "g"), ("b", "T"), ("c", "TBW102"), ("d", "4"), ("e", "0"), ("f", "0"), ("g", "1"), ("h", "0"),
            ("i", "KEYS\u{1}k\u{2}TAGS\u{1}t"), ("j", "0"), ("k", "false"), ("m", "false"),
        ]
        let pull: [(StaticString, String)] = [
            ("consumerGroup", "g"), ("topic", "T"), ("queueId", "0"), ("queueOffset", "0"), ("maxMsgNums", "32"),
            ("sysFlag", "4"), ("commitOffset", "0"), ("suspendTimeoutMillis", "0"), ("subVersion", "0"),
            ("subscription", "a > 5"), ("expressionType", "SQL92"),
        ]
        let queue: [(StaticString, String)] = [
            ("topic", "T"), ("queueId", "0"), ("consumerGroup", "g"), ("commitOffset", "1"),
        ]
        let seeds = [
            request(.sendMessageV2, send, body: "hello"),
            request(.sendMessageV2, send, body: "hello", encoding: .binary),
            request(.pullMessage, pull), request(.updateConsumerOffset, queue), request(.queryConsumerOffset, queue),
            request(.heartbeat, [], body: #"{"clientID":"c","producerDataSet":[],"consumerDataSet":[]}"#),
            request(.lockBatch, [], body: #"{"consumerGroup":"g","clientId":"c","mqSet":[]}"#),
            request(.getAllTopicConfig, []), request(.deleteTopicInBroker, [("topic", "U")]),
        ]
        var world: BrokerWorld?
        return FuzzTarget("session", seeds: seeds) { bytes in
            // What was done before counts, but not without end.
            if world == nil || (world?.rounds ?? 0) > 500 { world = BrokerWorld() }
            world?.converse(bytes)
        }
    }

    static func nameServer() -> FuzzTarget {
        let seeds = [
            request(.getRouteInfoByTopic, [("topic", "T")]), request(.getBrokerClusterInfo, []),
            request(.putKVConfig, [("namespace", "n"), ("key", "k"), ("value", "v")]),
            request(
                .registerBroker,
                [
                    ("brokerName", "b"), ("brokerAddr", "127.0.0.1:1"), ("clusterName", "c"),
                    ("haServerAddr", "127.0.0.1:2"),
                    ("brokerId", "0"), ("compressed", "false"), ("bodyCrc32", "0"),
                ], body: #"{"topicConfigSerializeWrapper":{"topicConfigTable":{}},"filterServerList":[]}"#),
        ]
        return FuzzTarget("namesrv", seeds: seeds) { bytes in
            let clock = SimulatedClock()
            let disk = SimulatedDisk(clock: clock)
            guard
                let server = try? NameServer(
                    configuration: NameServerConfiguration(), clock: clock, disk: disk, log: .silent)
            else { return }
            let frontend = NameServerFrontend(
                server: server, configuration: NameServerFrontendConfiguration(), log: .silent)
            let output = ByteBuffer()
            let session = frontend.makeSession(peer: HostAddress.loopback(port: 1))
            let input = ByteBuffer()
            input.append(bytes)
            while case .handled = session.next(input, output) {}
        }
    }
}

/// A broker on a simulated disk that is spoken to in bytes.
private final class BrokerWorld {
    private let clock = SimulatedClock()
    private let disk: SimulatedDisk
    private let frontend: BrokerFrontend
    private(set) var rounds = 0

    init() {
        disk = SimulatedDisk(clock: clock)
        var store = StoreConfiguration(root: "store")
        store.segmentSize = 1 << 20
        store.tailChunkSize = 256 * 1024
        store.messageIndex = MessageIndexConfiguration(slotCount: 100, entryCount: 400)
        guard
            let broker = try? Broker(
                BrokerConfiguration(), store: store, disk: disk, clock: clock, random: SeededRandom(seed: 1),
                log: .silent)
        else { fatalError("an empty store does not open") }
        try? broker.putTopic(TopicConfiguration(name: "T", readQueueCount: 2, writeQueueCount: 2))
        frontend = BrokerFrontend(broker: broker, log: .silent)
    }

    func converse(_ bytes: [UInt8]) {
        rounds += 1
        let output = ByteBuffer()
        let session = frontend.makeSession(peer: HostAddress.loopback(port: 1), output: output)
        let input = ByteBuffer()
        input.append(bytes)
        while case .handled = session.next(input) {}
        turn()
        session.close()
        clock.advance(milliseconds: 10)
        frontend.keepHouse()
        turn()
        // Others are served all the same.
        let answer = ByteBuffer()
        let other = frontend.makeSession(peer: HostAddress.loopback(port: 2), output: answer)
        var writer = CommandWriter(input, encoding: .json)
        input.removeAll()
        writer = CommandWriter(input, encoding: .json)
        writer.begin(request: .getMaximumOffset, opaque: 9, isOneway: false)
        writer.field("topic", "T")
        writer.field("queueId", "0")
        writer.end()
        _ = other.next(input)
        turn()
        guard (try? Frame.next(in: answer)) ?? nil != nil else { fatalError("a sound request was not answered") }
        other.close()
    }

    private func turn() {
        frontend.endTurn()
        while disk.runCompletions() > 0 { frontend.endTurn() }
    }
}
