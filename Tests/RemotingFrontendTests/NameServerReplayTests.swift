import Base
import Bytes
import Model
import NameService
import RemotingFrontend
import RemotingProtocol
import Testing

/// Plays what RocketMQ 4.9.8's broker, clients and tools said to its name server, and compares what ours answers with what
/// theirs did.
@Suite("Captured conversations with RocketMQ's name server")
struct NameServerReplayTests {
    enum Line {
        case scenario(String)
        case request(connection: Int, [UInt8])
        case answer(connection: Int, [UInt8])
        case topic(TopicConfiguration)
    }

    /// What differs on purpose: the settings are each server's own.
    static let notCompared: Set<RequestCode> = [.getNameServerConfig]

    @Test("every request is answered as RocketMQ answered it")
    func replay() throws {
        let it = NameServerConversation()
        var sessions: [String: NameServerSession] = [:]
        var waiting: [String: (code: RequestCode, answer: Answer)] = [:]
        var scenario = ""
        var counter: Int64 = 1000
        var compared = 0
        func session(_ connection: Int) -> NameServerSession {
            let key = "\(scenario) \(connection)"
            if let session = sessions[key] { return session }
            let session = it.frontend.makeSession(peer: .loopback(port: 4))
            sessions[key] = session
            return session
        }
        for line in try Self.load() {
            switch line {
            case .scenario(let name):
                scenario = name
            case .topic(let topic):
                counter += 1
                let body = try NameServerConversation.registration([topic], counter: counter)
                _ = try it.ask(.registerBroker, Self.broker, body: body, on: session(-1))
            case .request(let connection, let bytes):
                let input = ByteBuffer()
                input.append(bytes)
                let code = try Self.code(of: bytes)
                guard let answer = try it.send(input, on: session(connection)) else { continue }
                waiting["\(connection) \(answer.opaque)"] = (code, answer)
            case .answer(let connection, let bytes):
                let buffer = ByteBuffer()
                buffer.append(bytes)
                let expected = try #require(try Answer(from: buffer))
                let kept = waiting.removeValue(forKey: "\(connection) \(expected.opaque)")
                let found = try #require(kept, "\(scenario): no answer")
                compared += 1
                try Self.compare(found.answer, expected, found.code, scenario)
            }
        }
        #expect(waiting.isEmpty, "RocketMQ answered nothing to \(waiting.values.map(\.code))")
        #expect(compared > 100)
    }

    /// As the captured broker registers itself.
    static let broker: [(StaticString, String)] = [
        ("brokerName", "broker-a"), ("brokerAddr", "127.0.0.1:31911"), ("clusterName", "DefaultCluster"),
        ("haServerAddr", "127.0.0.1:31912"), ("brokerId", "0"),
    ]

    private static func compare(
        _ found: Answer, _ expected: Answer, _ code: RequestCode, _ scenario: String
    ) throws {
        let comment = Comment(rawValue: "\(scenario): request \(code)")
        #expect(found.code == expected.code, comment)
        #expect(found.remark == expected.remark, comment)
        #expect(found.fields == expected.fields, comment)
        #expect(found.encoding == expected.encoding, comment)
        #expect(found.body.isEmpty == expected.body.isEmpty, comment)
        guard !notCompared.contains(code), !found.body.isEmpty else { return }
        #expect(try normal(found.json()) == normal(expected.json()), comment)
        // Order apart, the bytes are the same too.
        #expect(found.body.sorted() == expected.body.sorted(), comment)
    }

    /// Members by key, and lists sorted: neither order means anything in these answers.
    private static func normal(_ value: JSONValue) -> JSONValue {
        switch value {
        case .object(let members):
            .object(
                members.map { JSONValue.Member($0.key, normal($0.value)) }
                    .sorted { "\($0.key)" < "\($1.key)" })
        case .array(let elements): .array(elements.map(normal).sorted { "\($0)" < "\($1)" })
        default: value
        }
    }

    private static func code(of bytes: [UInt8]) throws -> RequestCode {
        let buffer = ByteBuffer()
        buffer.append(bytes)
        let frame = try Frame.next(in: buffer)
        let header = CommandHeader()
        try header.decode(try #require(frame), in: buffer)
        return header.requestCode
    }

    // MARK: - The file

    private static func load() throws -> [Line] {
        let path = "Wire/rocketmq-4.9.8/name-server.txt"
        return try String(contentsOfFixture: path).split(separator: "\n").filter { !$0.hasPrefix("#") }.map { line in
            let words = line.split(separator: " ").map(String.init)
            switch words[0] {
            case "scenario": return .scenario(words[1])
            case ">": return .request(connection: try #require(Int(words[1])), try bytes(words[2]))
            case "<": return .answer(connection: try #require(Int(words[1])), try bytes(words[2]))
            default:
                let numbers = try words.dropFirst(2).map { try #require(Int32($0)) }
                return .topic(
                    TopicConfiguration(
                        name: words[1], readQueueCount: numbers[0], writeQueueCount: numbers[1],
                        permission: Permission(rawValue: numbers[2]), systemFlag: numbers[3]))
            }
        }
    }

    private static func bytes(_ hexadecimal: String) throws -> [UInt8] {
        let digits = try hexadecimal.map { UInt8(try #require($0.hexDigitValue)) }
        return stride(from: 0, to: digits.count, by: 2).map { digits[$0] << 4 | digits[$0 + 1] }
    }
}
