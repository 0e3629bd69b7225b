import Base
import Bytes
import Model
import RemotingProtocol
import Synchronization

@testable import ApusClient

/// Answers of a name server that knows one topic, on brokers at given addresses.
func routeBody(_ brokers: [(name: String, address: String)], queues: Int32 = 2) -> [UInt8] {
    TopicRouteData(
        queues: brokers.map {
            QueueData(brokerName: $0.name, readQueueCount: queues, writeQueueCount: queues, permission: .readWrite)
        }, brokers: brokers.map { BrokerData(cluster: "C", brokerName: $0.name, addresses: [0: $0.address]) }
    ).encoded()
}

/// A name server that knows `topics`, and no other.
func nameServerScript(
    _ topics: Set<String>, _ brokers: @escaping @Sendable () -> [(name: String, address: String)], queues: Int32 = 2
) -> FakeServer.Script {
    { request in
        guard request.code == .getRouteInfoByTopic else { return .reply(.requestCodeNotSupported) }
        guard topics.contains(request.fields["topic"] ?? "") else {
            return .reply(.topicNotExist, remark: "No topic route info in name server for the topic")
        }
        return .reply(body: routeBody(brokers(), queues: queues))
    }
}

/// The answer to a send that was stored.
func stored(_ request: FakeServer.Request, offset: Int64 = 0) -> FakeServer.Answer {
    .reply(
        fields: [
            "msgId": "7F000001000078BF00000000000002CB", "queueId": request.fields["e"] ?? "0",
            "queueOffset": "\(offset)",
        ])
}

/// Milliseconds that `body` took.
func elapsed(_ body: () async throws -> Void) async rethrows -> Int64 {
    let clock = ContinuousClock()
    let start = clock.now
    try await body()
    return (clock.now - start).milliseconds
}

/// Waits until `condition` holds; gives up after a while.
func eventually(
    within seconds: Int = 20, _ condition: @escaping @Sendable () async throws -> Bool
) async rethrows -> Bool {
    let clock = ContinuousClock()
    let end = clock.now + .seconds(seconds)
    while clock.now < end {
        if try await condition() { return true }
        try? await clock.sleep(for: .milliseconds(5))
    }
    return false
}

/// Something that several tasks change.
final class Shared<Value: Sendable>: Sendable {
    private let storage: Mutex<Value>
    init(_ value: Value) { storage = Mutex(value) }
    var value: Value { storage.withLock { $0 } }
    func change(_ body: (inout Value) -> Void) { storage.withLock { body(&$0) } }
}
