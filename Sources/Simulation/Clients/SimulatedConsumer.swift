import Base
import Bytes
import Model
import RemotingProtocol

/// A push consumer of a simulated cluster: shares queues with the other members of its group, pulls, handles, sends back what it could
/// not handle, and commits how far it came; in order and under locks, if its group wants that.
class SimulatedConsumer: SimulatedClient {
    /// One queue that the member consumes.
    private final class Queue {
        let key: Oracle.QueueKey
        let message: MessageQueue
        var next: Int64
        /// Messages that are not handled yet, in order.
        var open: [(offset: Int64, id: Int)] = []
        var isDropped = false
        var isPulling = false
        /// Until when the member believes in its lock, in ms.
        var lockedUntil: Int64 = 0
        init(_ key: Oracle.QueueKey, _ message: MessageQueue, next: Int64) {
            self.key = key
            self.message = message
            self.next = next
        }
    }

    let group: String
    private let isOrdered: Bool
    private let topics: [Int]
    private var queues: [Oracle.QueueKey: Queue] = [:]
    private var joining: Set<Oracle.QueueKey> = []
    /// How often each queue was left.
    private var leaves: [Oracle.QueueKey: Int] = [:]
    private var version: Int64 = 1
    /// Until when it pulls nothing, in ms.
    private var restsUntil: Int64 = 0
    /// Whether it sends back what it could not handle.
    var sendsBack: Bool { true }

    /// `rocketmq.client.rebalance.lockMaxLiveTime`, in ms.
    private static let lockBelief: Int64 = 30_000
    private static let openMaximum = 64

    init(_ world: ClusterSimulation, name: String, node: Int, group: String, topics: [Int], isOrdered: Bool) {
        self.group = group
        self.topics = topics
        self.isOrdered = isOrdered
        super.init(world, name: name, node: node)
    }

    private var oracleGroup: Oracle.Group { world.oracle.group(group) }
    private var now: Int64 { world.schedule.milliseconds }

    override func start() {
        version = now + 1
        heartbeat()
        later(milliseconds: 300) { [self] in rebalanceRegularly() }
        later(milliseconds: 2_000) { [self] in commitRegularly() }
        if isOrdered { later(milliseconds: 10_000) { [self] in renewRegularly() } }
    }

    override func die() {
        for queue in queues.values { queue.isDropped = true }
        queues = [:]
        joining = []
        world.oracle.letGo(group, name)
        super.die()
    }

    /// What it consumes, in words.
    var state: String {
        let mine = queues.values.sorted { $0.key < $1.key }.map { queue in
            "\(world.describe(queue.key)) from \(queue.open.first?.offset ?? queue.next) to \(queue.next)"
                + (queue.isPulling ? "" : " (rests)")
        }
        let coming = joining.sorted().map { "\(world.describe($0)) (joining)" }
        return "\(name): \((mine + coming).joined(separator: ", "))"
    }

    // MARK: - Membership

    private func heartbeat() {
        let data = HeartbeatData(
            clientID: name, producerGroups: ["CLIENT_INNER_PRODUCER"],
            consumers: [
                ConsumerData(
                    groupName: group, consumeType: .push, messageModel: .clustering, consumeFromWhere: .firstOffset,
                    subscriptions: topics.map { Subscription(topic: world.topicName($0), version: version) })
            ])
        for broker in world.brokers {
            ask(broker.node, .heartbeat) { writer in
                writer.beginBody()
                data.encode(to: writer.buffer)
            } _: { _ in
            }
        }
        later(milliseconds: 5_000) { [self] in heartbeat() }
    }

    /// 40 `NOTIFY_CONSUMER_IDS_CHANGED`.
    override func asked(_ request: ReceivedFrame, by broker: Int) {
        if request.header.requestCode == .notifyConsumerIdsChanged {
            later(milliseconds: 1) { [self] in rebalance() }
        }
    }

    private func rebalanceRegularly() {
        rebalance()
        later(milliseconds: 4_000 + Int64(random(1_000))) { [self] in rebalanceRegularly() }
    }

    private func rebalance() {
        for topic in topics { rebalance(topic) }
    }

    private func rebalance(_ topic: Int) {
        route(topic) { [self] route in
            guard !route.isEmpty else { return }
            let asked = route[random(route.count)].broker
            ask(world.brokers[asked].node, .getConsumerListByGroup) { writer in
                writer.field("consumerGroup", group)
            } _: { [self] answer in
                guard let answer, answer.code == .success,
                    let list = answer.decodedBody(ConsumerIDList.self)?.clientIDs.sorted(),
                    let place = list.firstIndex(of: name)
                else { return }
                share(topic, route, place, of: list.count)
            }
        }
    }

    /// `AllocateMessageQueueAveragely`.
    private func share(_ topic: Int, _ route: [RouteQueues], _ place: Int, of count: Int) {
        var all: [Oracle.QueueKey] = []
        for queues in route {
            for queue in 0..<queues.readCount {
                all.append(Oracle.QueueKey(broker: queues.broker, topic: topic, queue: Int(queue)))
            }
        }
        let rest = all.count % count
        let size = all.count / count + (place < rest ? 1 : 0)
        let start = place < rest ? place * size : place * size + rest
        let mine = Set(all.isEmpty || start >= all.count ? [] : all[start..<min(start + size, all.count)])
        for (key, queue) in queues.sorted(by: { $0.key < $1.key }) where key.topic == topic && !mine.contains(key) {
            drop(queue)
        }
        for key in mine.sorted() where queues[key] == nil && !joining.contains(key) { join(key) }
    }

    // MARK: - Joining and leaving a queue

    private func messageQueue(_ key: Oracle.QueueKey) -> MessageQueue {
        MessageQueue(
            topic: world.topicName(key.topic), brokerName: world.brokers[key.broker].name,
            queueID: QueueID(Int32(key.queue)))
    }

    private func join(_ key: Oracle.QueueKey) {
        joining.insert(key)
        guard isOrdered else { return findStart(key, lockedUntil: 0) }
        lock([key], of: key.broker) { [self] held in
            guard held.contains(key) else { return _ = joining.remove(key) }
            findStart(key, lockedUntil: now + Self.lockBelief)
        }
    }

    private func findStart(_ key: Oracle.QueueKey, lockedUntil: Int64) {
        ask(world.brokers[key.broker].node, .queryConsumerOffset) { writer in
            writer.field("consumerGroup", group)
            writer.field("topic", world.topicName(key.topic))
            writer.field("queueId", Int32(key.queue))
        } _: { [self] answer in
            switch answer?.code {
            case .success?:
                guard let offset = answer?.number("offset") else { fallthrough }
                took(key, from: offset, lockedUntil)
            case .queryNotFound?: findFirst(key, lockedUntil)
            default: giveUp(key)
            }
        }
    }

    private func findFirst(_ key: Oracle.QueueKey, _ lockedUntil: Int64) {
        ask(world.brokers[key.broker].node, .getMinimumOffset) { writer in
            writer.field("topic", world.topicName(key.topic))
            writer.field("queueId", Int32(key.queue))
        } _: { [self] answer in
            guard let answer, answer.code == .success, let offset = answer.number("offset") else { return giveUp(key) }
            took(key, from: offset, lockedUntil)
        }
    }

    private func giveUp(_ key: Oracle.QueueKey) {
        joining.remove(key)
        if isOrdered { world.oracle.letGo(group, name, key) }
    }

    private func took(_ key: Oracle.QueueKey, from offset: Int64, _ lockedUntil: Int64) {
        guard joining.remove(key) != nil, queues[key] == nil else { return }
        let queue = Queue(key, messageQueue(key), next: offset)
        queue.lockedUntil = lockedUntil
        queues[key] = queue
        world.note("% takes queue % of topic % from % on", Int64(node), Int64(key.queue), Int64(key.topic), offset)
        pull(queue)
    }

    private func drop(_ queue: Queue) {
        world.note(
            "% leaves queue % of topic % at %", Int64(node), Int64(queue.key.queue), Int64(queue.key.topic),
            queue.open.first?.offset ?? queue.next)
        queue.isDropped = true
        queues[queue.key] = nil
        leaves[queue.key, default: 0] += 1
        commit(queue)
        guard isOrdered else { return }
        world.oracle.letGo(group, name, queue.key)
        let body = LockBatchBody(clientID: name, consumerGroup: group, queues: [queue.message])
        tell(world.brokers[queue.key.broker].node, .unlockBatch) { writer in
            writer.beginBody()
            body.encode(to: writer.buffer)
        }
    }

    // MARK: - Locks

    private func lock(_ keys: [Oracle.QueueKey], of broker: Int, _ done: @escaping ([Oracle.QueueKey]) -> Void) {
        let body = LockBatchBody(clientID: name, consumerGroup: group, queues: keys.map(messageQueue))
        let asked = leaves
        ask(world.brokers[broker].node, .lockBatch, timeout: 1_000) { writer in
            writer.beginBody()
            body.encode(to: writer.buffer)
        } _: { [self] answer in
            guard let answer, answer.code == .success,
                let locked = answer.decodedBody(LockBatchResponseBody.self)?.lockedQueues
            else { return done([]) }
            // What was given back while the answer was on its way is not held.
            let held = keys.filter {
                leaves[$0] == asked[$0] && (world.broken == .ignoreLocks || locked.contains(messageQueue($0)))
            }
            for key in held {
                world.coverage.locks += 1
                world.note("% holds queue % of broker %", Int64(node), Int64(key.queue), Int64(key.broker))
                world.oracle.believes(group, name, key, until: now + Self.lockBelief)
            }
            done(held)
        }
    }

    private func renewRegularly() {
        for broker in world.brokers.indices {
            let keys = queues.keys.filter { $0.broker == broker }.sorted()
            guard !keys.isEmpty else { continue }
            lock(keys, of: broker) { [self] held in
                for key in held {
                    queues[key]?.lockedUntil = now + Self.lockBelief
                }
            }
        }
        later(milliseconds: 10_000) { [self] in renewRegularly() }
    }

    // MARK: - Pulling

    /// Lets it fall behind.
    func pause(milliseconds: Int64) { restsUntil = now + milliseconds }

    /// A message was taken from a broker, and is handled in a while.
    func took(_ id: Int, _ properties: RawSpan, from broker: Int) {}

    private func pull(_ queue: Queue) {
        guard !queue.isDropped, !queue.isPulling else { return }
        guard restsUntil <= now else { return later(milliseconds: restsUntil - now) { [self] in pull(queue) } }
        guard queue.open.count < Self.openMaximum, !isOrdered || queue.lockedUntil > now else {
            return later(milliseconds: 200) { [self] in pull(queue) }
        }
        queue.isPulling = true
        let hold = Int64(1_000 + random(4) * 3_000)
        ask(world.brokers[queue.key.broker].node, .pullMessage, timeout: hold + 3_000) { writer in
            PullMessageHeader.write(
                into: &writer, consumerGroup: group, topic: queue.message.topic, queueID: queue.message.queueID,
                queueOffset: QueueOffset(queue.next), flags: [.suspend], commitOffset: QueueOffset(0),
                suspendTimeoutMilliseconds: hold, subscriptionVersion: version)
        } _: { [self] answer in
            queue.isPulling = false
            guard !queue.isDropped else { return }
            guard let answer else { return later(milliseconds: 300) { [self] in pull(queue) } }
            pulled(queue, answer)
        }
    }

    private func pulled(_ queue: Queue, _ answer: ReceivedFrame) {
        let next = answer.number("nextBeginOffset")
        let minimum = answer.number("minOffset")
        if let minimum { world.oracle.retention.begins(queue.key, at: minimum, toldTo: "\(name) \(life)") }
        switch answer.code {
        case .success:
            guard take(answer, queue), let next else { return }
            if !world.profile.forgivesLoss, next != queue.open.last.map({ $0.offset + 1 }) ?? next {
                world.fail(
                    "P2",
                    "\(world.describe(queue.key)) was read to \(queue.open.last?.offset ?? -1), and is to go on at \(next)"
                )
            }
            queue.next = next
            oracleGroup.reached[queue.key] = max(oracleGroup.reached[queue.key] ?? 0, next)
            handle(queue)
            pull(queue)
        case .pullNotFound, .pullRetryImmediately:
            if let next { queue.next = next }
            later(milliseconds: 20) { [self] in pull(queue) }
        case .pullOffsetMoved:
            world.note(
                "% of queue % of broker % has moved to %", queue.next, Int64(queue.key.queue), Int64(queue.key.broker),
                next ?? -1)
            world.coverage.offsetsMoved += 1
            if let minimum, let next, queue.next < minimum, next != minimum {
                world.fail(
                    "P2",
                    "\(world.describe(queue.key)) begins at \(minimum), and who is at \(queue.next) is sent to \(next)")
            }
            if let next { queue.next = next }
            queue.open.removeAll { $0.offset >= queue.next }
            later(milliseconds: 100) { [self] in pull(queue) }
        default:
            world.pullRefused(queue.key.broker, answer.header.code)
            later(milliseconds: 500) { [self] in pull(queue) }
        }
    }

    /// Looks at the records of an answer.
    private func take(_ answer: ReceivedFrame, _ queue: Queue) -> Bool {
        let found = world.oracle.received(answer, queue.key, from: queue.next) { [self] record, span, id in
            let offset = record.queueOffset.rawValue
            queue.open.append((offset, id))
            world.coverage.deliveries += 1
            world.note("%: message % at %", Int64(node), id, offset)
            guard !isOrdered else { return }
            took(id, span.extracting(record.properties), from: queue.key.broker)
            plan(queue, offset, id, record)
        }
        return !found.isEmpty && world.violation == nil
    }

    // MARK: - Handling

    /// Handles a message after a while.
    private func plan(_ queue: Queue, _ offset: Int64, _ id: Int, _ record: MessageRecord) {
        let physical = record.physicalOffset.rawValue
        let attempts = record.reconsumeTimes
        later(milliseconds: Int64(1 + random(300))) { [self] in
            if oracleGroup.returned[id] ?? .max < Int(attempts) { oracleGroup.returned[id] = nil }
            // What another member has taken over is handled all the same, and may be handled twice.
            guard world.isChaotic, sendsBack, chance(8) else {
                if !queue.isDropped || chance(2) { finish(queue, offset, id) }
                return
            }
            sendBack(queue, offset, id, physical, attempts)
        }
    }

    private func finish(_ queue: Queue, _ offset: Int64, _ id: Int) {
        oracleGroup.done.insert(id)
        queue.open.removeAll { $0.offset == offset }
    }

    private func sendBack(_ queue: Queue, _ offset: Int64, _ id: Int, _ physical: Int64, _ attempts: Int32) {
        // -1: straight to the dead letters.
        let levels: [Int32] = world.profile.hasRetention ? [0, 1, -1] : [0, 1, 2]
        let level = levels[random(3)]
        let isDead = level < 0 || attempts >= 3
        let header = ConsumerSendMessageBackHeader(
            offset: PhysicalOffset(physical), group: group, delayLevel: level, maxReconsumeTimes: 3)
        ask(world.brokers[queue.key.broker].node, .consumerSendMessageBack) { writer in
            header.write(into: &writer)
        } _: { [self] answer in
            if let answer, answer.code == .success {
                world.coverage.returns += 1
                world.note("message % goes back after % attempts", id, Int64(attempts))
                // Dead letters count as handled when they are seen; where they expire they may never be.
                if isDead, world.profile.hasRetention { oracleGroup.done.insert(id) }
                if !oracleGroup.done.contains(id) { oracleGroup.returned[id] = Int(attempts) }
                queue.open.removeAll { $0.offset == offset }
            } else {
                // The client handles it again by itself.
                later(milliseconds: 1_000) { [self] in finish(queue, offset, id) }
            }
        }
    }

    /// Handles the next message of a queue that is consumed in order.
    private func handle(_ queue: Queue) {
        guard isOrdered, let (offset, id) = queue.open.first else { return }
        later(milliseconds: Int64(1 + random(100))) { [self] in
            guard !queue.isDropped, queue.open.first?.offset == offset else { return }
            guard queue.lockedUntil > now else {
                return later(milliseconds: 500) { [self] in handle(queue) }
            }
            // Now and then it fails, and is tried again in its place.
            if world.isChaotic, chance(10) { return later(milliseconds: 200) { [self] in handle(queue) } }
            finish(queue, offset, id)
            handle(queue)
        }
    }

    // MARK: - Committing

    private func commitRegularly() {
        for (_, queue) in queues.sorted(by: { $0.key < $1.key }) { commit(queue) }
        later(milliseconds: 2_000 + Int64(random(1_000))) { [self] in commitRegularly() }
    }

    private func commit(_ queue: Queue) {
        let header = UpdateConsumerOffsetHeader(
            consumerGroup: group, topic: queue.message.topic, queueID: queue.message.queueID,
            commitOffset: QueueOffset(queue.open.first?.offset ?? queue.next))
        tell(world.brokers[queue.key.broker].node, .updateConsumerOffset) { header.write(into: &$0) }
    }
}
