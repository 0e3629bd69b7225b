import Base
import Bytes
import Model
import RemotingProtocol
import Runtime

/// Finds out where a benchmark's messages go, makes its topics when asked, and asks where its consumers begin. Speaks only
/// what every RocketMQ speaks: 105, 106, 17, 30, 31, 14.
struct BenchTargets {
    let workload: Workload
    let loop: EventLoop

    /// Where to begin.
    enum Entrance: Sendable, Equatable {
        /// Any of these knows the brokers.
        case nameServers([String])
        /// No name server is asked.
        case broker(String)
    }

    /// Requests under way at once.
    private static let pipelined = 256

    /// The brokers, with their queues of all topics.
    /// - Parameter creates: make the topics, or change them to the number of queues wanted.
    func brokers(through entrance: Entrance, creates: Bool) async throws -> [BrokerTarget] {
        switch entrance {
        case .broker(let address):
            var target = try Self.target("", address)
            if creates { try await create(on: address) }
            target.queues = grid()
            return [target]
        case .nameServers(let addresses):
            let nameServer = try await connect(toAnyOf: addresses)
            let targets = creates ? try await createAll(nameServer) : try await routes(nameServer)
            await nameServer.close()
            return targets
        }
    }

    private static func target(_ name: String, _ address: String) throws -> BrokerTarget {
        let (host, port) = try ControlConnection.parse(address)
        return BrokerTarget(name: name, host: host, port: port, queues: [])
    }

    /// Every queue of every topic, when all topics have the same number.
    private func grid() -> [QueueReference] {
        (0..<Int32(workload.queueCount)).flatMap { queue in
            (0..<Int32(workload.topicCount)).map { QueueReference(topic: $0, queueID: queue) }
        }
    }

    private func connect(toAnyOf addresses: [String]) async throws -> ControlConnection {
        var failure: (any Error)?
        for address in addresses {
            do { return try await connect(to: address) } catch { failure = error }
        }
        throw failure ?? CommandFailure(.usage, "no name server is given", advice: "use --name-server HOST:PORT")
    }

    private func connect(to address: String) async throws -> ControlConnection {
        let connection = ControlConnection(
            loop, address: address, encoding: workload.encoding, timeoutMilliseconds: workload.timeoutMilliseconds,
            tls: workload.tls, credentials: workload.credentials)
        try await connection.open()
        return connection
    }

    /// Calls `body` for 0 up to `count`, several at a time, and returns what it returned, in order.
    private func forEach<Value: Sendable>(
        _ count: Int, _ body: @escaping @Sendable (Int) async throws -> Value
    ) async throws -> [Value] {
        try await withThrowingTaskGroup(of: (Int, Value).self) { group in
            var values = [Value?](repeating: nil, count: count)
            var started = 0
            while started < min(count, Self.pipelined) {
                let index = started
                group.addTask { (index, try await body(index)) }
                started += 1
            }
            while let (index, value) = try await group.next() {
                values[index] = value
                guard started < count else { continue }
                let next = started
                group.addTask { (next, try await body(next)) }
                started += 1
            }
            return values.compactMap { $0 }
        }
    }

    // MARK: - Topics

    private func create(on address: String) async throws {
        let connection = try await connect(to: address)
        let workload = self.workload
        _ = try await forEach(workload.topicCount) { index in
            let header = CreateTopicHeader(
                topic: workload.topicName(index), defaultTopic: SystemTopics.autoCreate,
                readQueueCount: Int32(workload.queueCount), writeQueueCount: Int32(workload.queueCount),
                permission: .readWrite)
            return try await connection.demand(.updateAndCreateTopic) { header.write(into: &$0) }
        }
        await connection.close()
    }

    /// Makes the topics on the master of every broker.
    private func createAll(_ nameServer: ControlConnection) async throws -> [BrokerTarget] {
        let answer = try await nameServer.demand(.getBrokerClusterInfo) { _ in }
        let cluster = try parse(ClusterInfo.self, answer)
        var targets: [BrokerTarget] = []
        for broker in cluster.brokers.values.sorted(by: { $0.brokerName < $1.brokerName }) {
            guard let address = broker.addresses[0] else { continue }
            try await create(on: address)
            var target = try Self.target(broker.brokerName, address)
            target.queues = grid()
            targets.append(target)
        }
        guard !targets.isEmpty else {
            throw CommandFailure(.notFound, "no broker has registered at \(nameServer.address)")
        }
        return targets
    }

    private func routes(_ nameServer: ControlConnection) async throws -> [BrokerTarget] {
        let workload = self.workload
        let answers = try await forEach(workload.topicCount) { index in
            let header = GetRouteInfoHeader(topic: workload.topicName(index), isStandardJSONOnly: true)
            return try await nameServer.request(.getRouteInfoByTopic) { header.write(into: &$0) }
        }
        var targets: [String: BrokerTarget] = [:]
        for (topic, answer) in answers.enumerated() {
            guard answer.code == .success else {
                throw CommandFailure(
                    answer.code == .topicNotExist ? .notFound : .refused,
                    "topic \(workload.topicName(topic)): \(answer.remark) (code \(answer.code))",
                    advice: "--create-topic makes it")
            }
            try add(try parse(TopicRouteData.self, answer), topic: topic, to: &targets)
        }
        let found = targets.values.filter { !$0.queues.isEmpty }.sorted { $0.name < $1.name }
        guard !found.isEmpty else { throw CommandFailure(.notFound, "the topic has no queues on any master") }
        // Topics alternate fastest.
        return found.map { target in
            var target = target
            target.queues.sort { ($0.queueID, $0.topic) < ($1.queueID, $1.topic) }
            return target
        }
    }

    private func add(_ route: TopicRouteData, topic: Int, to targets: inout [String: BrokerTarget]) throws {
        for data in route.queues {
            let broker = route.brokers.first { $0.brokerName == data.brokerName }
            guard let address = broker?.addresses[0] else { continue }
            let count = workload.produces ? data.writeQueueCount : data.readQueueCount
            guard data.permission.contains(workload.produces ? .write : .read) else { continue }
            if targets[data.brokerName] == nil {
                targets[data.brokerName] = try Self.target(data.brokerName, address)
            }
            targets[data.brokerName]?.queues += (0..<max(0, count)).map {
                QueueReference(topic: Int32(topic), queueID: $0)
            }
        }
    }

    private func parse<Body: CommandBody>(_ type: Body.Type, _ answer: ControlConnection.Answer) throws -> Body {
        let buffer = ByteBuffer(capacity: answer.body.count)
        buffer.append(answer.body)
        do throws(BodyError) {
            return try Body(parsing: buffer.bytes)
        } catch {
            throw CommandFailure(.failure, "the answer cannot be read: \(error)")
        }
    }

    // MARK: - Offsets

    /// Where a consumer begins, for each queue of `target`.
    func offsets(of target: BrokerTarget, from start: Workload.Start) async throws -> [QueueCursor] {
        let connection = try await connect(
            to: "\(target.host.contains(":") ? "[\(target.host)]" : target.host):\(target.port)")
        let workload = self.workload
        let cursors = try await forEach(target.queues.count) { index in
            let queue = target.queues[index]
            let topic = workload.topicName(Int(queue.topic))
            let offset = try await Self.offset(connection, topic, QueueID(queue.queueID), start, workload.consumerGroup)
            return QueueCursor(queue: queue, offset: offset)
        }
        await connection.close()
        return cursors
    }

    private static func offset(
        _ connection: ControlConnection, _ topic: String, _ queueID: QueueID, _ start: Workload.Start, _ group: String
    ) async throws -> Int64 {
        switch start {
        case .last:
            let header = GetMaximumOffsetHeader(topic: topic, queueID: queueID)
            return try offset(in: try await connection.demand(.getMaximumOffset) { header.write(into: &$0) })
        case .first:
            let header = GetMinimumOffsetHeader(topic: topic, queueID: queueID)
            return try offset(in: try await connection.demand(.getMinimumOffset) { header.write(into: &$0) })
        case .committed:
            let header = QueryConsumerOffsetHeader(consumerGroup: group, topic: topic, queueID: queueID)
            let answer = try await connection.request(.queryConsumerOffset) { header.write(into: &$0) }
            if answer.code == .success { return try offset(in: answer) }
            return try await offset(connection, topic, queueID, .first, group)
        }
    }

    private static func offset(in answer: ControlConnection.Answer) throws -> Int64 {
        guard let offset = answer.fields["offset"].flatMap({ Int64($0) }) else {
            throw CommandFailure(.failure, "an answer about offsets has none")
        }
        return max(0, offset)
    }
}
