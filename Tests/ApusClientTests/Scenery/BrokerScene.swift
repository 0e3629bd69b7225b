import Base
import Model
import RemotingProtocol

@testable import ApusClient

/// A name server with topics on one broker called "b", both answering by scripts.
struct BrokerScene {
    let broker: FakeServer
    let names: FakeServer

    /// - Parameter script: of the broker, for requests that it does not answer with `nil`; the others are answered as by a
    ///   broker that is well.
    init(
        topics: Set<String> = ["T", "%RETRY%g"], queues: Int32 = 1,
        broker script: @escaping @Sendable (FakeServer.Request) -> FakeServer.Answer? = { _ in nil }
    ) async throws {
        let broker = try await FakeServer { request in script(request) ?? Self.healthy(request) }
        self.broker = broker
        names = try await FakeServer(nameServerScript(topics, { [("b", broker.address)] }, queues: queues))
    }

    private static func healthy(_ request: FakeServer.Request) -> FakeServer.Answer {
        switch request.code {
        case .sendMessageV2, .sendBatchMessage, .sendReplyMessageV2: stored(request)
        case .queryConsumerOffset: .reply(fields: ["offset": "0"])
        case .getMinimumOffset, .getMaximumOffset, .searchOffsetByTimestamp: .reply(fields: ["offset": "0"])
        case .pullMessage: .silence
        default: .reply()
        }
    }

    var configuration: ClientConfiguration {
        var configuration = ClientConfiguration(nameServers: [names.address])
        configuration.instanceName = "test"
        configuration.reconnectDelayMinimum = .milliseconds(20)
        configuration.requestTimeout = .seconds(10)
        configuration.shutdownTimeout = .milliseconds(500)
        return configuration
    }

    func withClient(_ body: (RocketMQClient) async throws -> Void) async throws {
        try await RocketMQClient.with(configuration, body)
    }
}

/// The members of a group, as a broker answers (38), and what is in one queue of a topic.
struct QueueScript: Sendable {
    var members = [ClientIdentity(instanceName: "test").clientID]
    var topic = "T"
    var records: [StoredRecord] = []

    /// Answers 38, 11, 14, 41 and 42; nil for the others.
    func answer(_ request: FakeServer.Request) -> FakeServer.Answer? {
        switch request.code {
        case .getConsumerListByGroup: .reply(body: ConsumerIDList(clientIDs: members).encoded())
        case .lockBatch:
            .reply(body: LockBatchResponseBody(lockedQueues: Self.queues(in: request)).encoded())
        case .pullMessage: pull(request)
        default: nil
        }
    }

    private static func queues(in request: FakeServer.Request) -> [MessageQueue] {
        (try? LockBatchBody(parsing: request.body.span.bytes))?.queues ?? []
    }

    private func pull(_ request: FakeServer.Request) -> FakeServer.Answer {
        let offset = Int(request.fields["queueOffset"] ?? "") ?? 0
        guard request.fields["topic"] == topic, offset < records.count else { return .silence }
        var body: [UInt8] = []
        for (index, record) in records[offset...].enumerated() {
            var record = record
            record.topic = topic
            record.queueOffset = Int64(offset + index)
            if record.physicalOffset == 0 { record.physicalOffset = Int64(offset + index) * 1000 }
            body += record.bytes
        }
        let fields = [
            "nextBeginOffset": "\(records.count)", "minOffset": "0", "maxOffset": "\(records.count)",
            "suggestWhichBrokerId": "0",
        ]
        return .reply(fields: fields, body: body)
    }
}
