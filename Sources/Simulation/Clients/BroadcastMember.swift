import Base
import Bytes
import Model
import RemotingProtocol

/// A member of a broadcast group: it consumes all queues of the topic, whoever else does, and keeps its offsets in a file of its own,
/// as RocketMQ's `LocalFileOffsetStore`. The file outlives the process.
final class BroadcastMember: SimulatedClient {
    private final class Queue {
        let key: Oracle.QueueKey
        var next: Int64
        /// Messages that are not handled yet, in order.
        var open: [(offset: Int64, id: Int)] = []
        init(_ key: Oracle.QueueKey, next: Int64) {
            self.key = key
            self.next = next
        }
    }

    static let group = "news"
    private var queues: [Oracle.QueueKey: Queue] = [:]
    private var joining: Set<Oracle.QueueKey> = []
    /// The file.
    private var saved: [Oracle.QueueKey: Int64] = [:]
    private var version: Int64 = 1

    /// `persistConsumerOffsetInterval`, in ms.
    private static let savingInterval: Int64 = 5_000

    private var now: Int64 { world.schedule.milliseconds }
    private var fact: Oracle.Group { world.oracle.group(name) }

    override func start() {
        version = now + 1
        heartbeat()
        later(milliseconds: 300) { [self] in lookForQueues() }
        later(milliseconds: Self.savingInterval) { [self] in save() }
    }

    override func die() {
        queues = [:]
        joining = []
        super.die()
    }

    private func heartbeat() {
        let data = HeartbeatData(
            clientID: name, producerGroups: [],
            consumers: [
                ConsumerData(
                    groupName: Self.group, consumeType: .push, messageModel: .broadcasting,
                    consumeFromWhere: .lastOffset,
                    subscriptions: [Subscription(topic: world.topicName(ClusterSimulation.news), version: version)])
            ])
        for broker in world.brokers {
            ask(broker.node, .heartbeat) { writer in
                writer.beginBody()
                data.encode(to: writer.buffer)
            } _: { _ in
            }
        }
        later(milliseconds: 8_000) { [self] in heartbeat() }
    }

    // MARK: - Queues

    private func lookForQueues() {
        route(ClusterSimulation.news) { [self] route in
            for queues in route {
                for number in 0..<Int(queues.readCount) {
                    let key = Oracle.QueueKey(broker: queues.broker, topic: ClusterSimulation.news, queue: number)
                    if world.broken == .shareBroadcast, name == "news-1", number == 0 {
                        if fact.joined?[key] == nil { fact.joined?[key] = 0 }
                        continue
                    }
                    join(key)
                }
            }
        }
        later(milliseconds: 4_000 + Int64(random(1_000))) { [self] in lookForQueues() }
    }

    private func join(_ key: Oracle.QueueKey) {
        guard queues[key] == nil, !joining.contains(key) else { return }
        if let offset = saved[key] { return take(key, from: offset) }
        joining.insert(key)
        ask(world.brokers[key.broker].node, .getMaximumOffset) { writer in
            writer.field("topic", world.topicName(key.topic))
            writer.field("queueId", Int32(key.queue))
        } _: { [self] answer in
            joining.remove(key)
            guard let answer, answer.code == .success, let offset = answer.number("offset") else { return }
            saved[key] = offset
            fact.joined?[key] = offset
            fact.reached[key] = max(fact.reached[key] ?? 0, offset)
            take(key, from: offset)
        }
    }

    private func take(_ key: Oracle.QueueKey, from offset: Int64) {
        world.note("% takes queue % of topic % from % on", Int64(node), Int64(key.queue), Int64(key.topic), offset)
        let queue = Queue(key, next: offset)
        queues[key] = queue
        pull(queue)
    }

    private func save() {
        for (key, queue) in queues { saved[key] = queue.open.first?.offset ?? queue.next }
        later(milliseconds: Self.savingInterval) { [self] in save() }
    }

    // MARK: - Pulling

    private func pull(_ queue: Queue) {
        guard queue.open.count < 64 else { return later(milliseconds: 200) { [self] in pull(queue) } }
        let hold = Int64(1_000 + random(4) * 3_000)
        ask(world.brokers[queue.key.broker].node, .pullMessage, timeout: hold + 3_000) { writer in
            PullMessageHeader.write(
                into: &writer, consumerGroup: Self.group, topic: world.topicName(queue.key.topic),
                queueID: QueueID(Int32(queue.key.queue)), queueOffset: QueueOffset(queue.next), flags: [.suspend],
                commitOffset: QueueOffset(0), suspendTimeoutMilliseconds: hold, subscriptionVersion: version)
        } _: { [self] answer in
            guard let answer else { return later(milliseconds: 300) { [self] in pull(queue) } }
            later(milliseconds: pulled(queue, answer)) { [self] in pull(queue) }
        }
    }

    /// - Returns: after how many ms it pulls again.
    private func pulled(_ queue: Queue, _ answer: ReceivedFrame) -> Int64 {
        let next = answer.number("nextBeginOffset") ?? queue.next
        if let minimum = answer.number("minOffset") {
            world.oracle.retention.begins(queue.key, at: minimum, toldTo: "\(name) \(life)")
        }
        switch answer.code {
        case .success:
            let found = world.oracle.received(answer, queue.key, from: queue.next)
            for (offset, id) in found {
                world.coverage.broadcasts += 1
                queue.open.append((offset, id))
                later(milliseconds: Int64(1 + random(300))) { [self] in
                    fact.done.insert(id)
                    queue.open.removeAll { $0.offset == offset }
                }
            }
            queue.next = next
            fact.reached[queue.key] = max(fact.reached[queue.key] ?? 0, next)
            return 1
        case .pullNotFound, .pullRetryImmediately:
            queue.next = next
            return 20
        case .pullOffsetMoved:
            world.coverage.offsetsMoved += 1
            queue.next = next
            queue.open.removeAll { $0.offset >= next }
            return 100
        default:
            world.pullRefused(queue.key.broker, answer.header.code)
            return 500
        }
    }
}
