import Base
import Bytes
import Model
import RemotingProtocol

/// A producer of a simulated cluster: single messages and batches, answered and one-way, delayed ones that it may take back, and
/// transactions.
class SimulatedProducer: SimulatedClient {
    let group: String
    /// Transactions by id: what the producer will say, and after how many questions.
    private var undecided: [Int: Int] = [:]
    private var isRegistered = false
    /// The half message that was acknowledged last.
    private var newestHalf: (broker: Int, position: Int64, offset: Int64)?

    override init(_ world: ClusterSimulation, name: String, node: Int) {
        group = "producers-" + name
        super.init(world, name: name, node: node)
    }

    override func start() {
        heartbeat()
        work()
    }

    private func work() {
        later(milliseconds: world.pace + Int64(random(Int(world.pace)))) { [self] in
            if world.isProducing { sendSomething() }
            work()
        }
    }

    private func heartbeat() {
        let data = HeartbeatData(clientID: name, producerGroups: [group])
        for broker in world.brokers where broker.isUp || chance(4) {
            ask(broker.node, .heartbeat) { writer in
                writer.beginBody()
                data.encode(to: writer.buffer)
            } _: { _ in
            }
        }
        later(milliseconds: 5_000) { [self] in heartbeat() }
    }

    /// What a kind of producer does at its pace.
    func sendSomething() {
        switch random(22) {
        case 0..<8: send(.ordinary, topic: ClusterSimulation.orders)
        case 8: sendOneway()
        case 9: sendBatch()
        case 10..<13: send(.ordinary, topic: ClusterSimulation.steps)
        case 13..<16: send(.delayed, topic: ClusterSimulation.reminders)
        case 16..<19: send(.half, topic: ClusterSimulation.payments)
        case 19, 20: send(.ordinary, topic: ClusterSimulation.news)
        default: send(.ordinary, topic: world.temporaryTopics[random(world.temporaryTopics.count)])
        }
    }

    // MARK: - One message

    private func send(_ kind: Oracle.Kind, topic: Int) {
        route(topic) { [self] route in
            guard let target = choose(route) else { return }
            let id = world.oracle.newFact(kind, topic: topic)
            switch kind {
            case .ordinary: send(id, topic, target.broker, target.queue, attemptsLeft: 2)
            case .delayed: sendDelayed(id, topic, target.broker, target.queue)
            case .half: sendHalf(id, topic, target.broker, target.queue)
            }
        }
    }

    /// Properties of its own that a kind of producer gives its ordinary messages.
    func properties(of id: Int, _ topic: Int) -> String { "" }

    func choose(_ route: [RouteQueues]) -> (broker: Int, queue: Int32)? {
        let usable = route.filter { $0.writeCount > 0 }
        guard !usable.isEmpty else { return nil }
        let queues = usable[random(usable.count)]
        return (queues.broker, Int32(random(Int(queues.writeCount))))
    }

    private func write(
        _ writer: inout CommandWriter, _ id: Int, _ topic: Int, _ queue: Int32, _ properties: String,
        flags: MessageFlags = []
    ) {
        let bytes = Array("UNIQ_KEY\u{1}M\(id)\u{2}\(properties)".utf8)
        SendMessageHeader.write(
            into: &writer, producerGroup: group, topic: world.topicName(topic), queueID: QueueID(queue), flags: flags,
            bornTimestamp: Timestamp(milliseconds: world.schedule.milliseconds), properties: bytes.span.bytes)
        writer.beginBody()
        writer.buffer.append(Oracle.body(id, seed: world.seed))
    }

    func send(_ id: Int, _ topic: Int, _ broker: Int, _ queue: Int32, attemptsLeft: Int) {
        let waits = !chance(12)
        world.oracle.change(id) { $0.attempts += 1 }
        world.coverage.messages += 1
        ask(world.brokers[broker].node, .sendMessageV2) { writer in
            write(&writer, id, topic, queue, (waits ? "WAIT\u{1}true" : "WAIT\u{1}false") + properties(of: id, topic))
        } _: { [self] answer in
            if let answer, answer.code == .success {
                acknowledged(id, topic, broker, answer, waits: waits)
                if world.broken == .storeRefused, chance(4) { world.oracle.refused(id) }
                return
            }
            refused([id], broker, answer)
            guard attemptsLeft > 0, world.isProducing else { return }
            if answer?.isQuotaRefusal == true {
                return later(milliseconds: 100 + Int64(random(1_000))) { [self] in
                    send(id, topic, broker, queue, attemptsLeft: attemptsLeft - 1)
                }
            }
            guard answer == nil || answer?.code == .serviceNotAvailable else { return }
            send(id, topic, broker, queue, attemptsLeft: attemptsLeft - 1)
        }
    }

    private func acknowledged(_ id: Int, _ topic: Int, _ broker: Int, _ answer: ReceivedFrame, waits: Bool) {
        guard let queue = answer.number("queueId"), let offset = answer.number("queueOffset"),
            let text = answer.text("msgId"), let messageID = OffsetMessageID(text)
        else { return world.fail("P6", "the answer to a send lacks what it should say") }
        world.note("message % is acknowledged at % of queue % on broker %", id, offset, queue, Int64(broker))
        world.acknowledged(broker, position: messageID.offset.rawValue, isFlushed: waits)
        // What does not wait for the medium may be lost with the power.
        world.oracle.acknowledged(
            id, .init(broker: broker, topic: topic, queue: Int(queue)), offset: offset,
            physical: messageID.offset.rawValue, producer: waits ? name : nil)
    }

    private func refused(_ ids: [Int], _ broker: Int, _ answer: ReceivedFrame?) {
        guard let answer, answer.code != .success else { return }
        if answer.isQuotaRefusal {
            world.coverage.quotaRefusals += 1
            for id in ids { world.oracle.refused(id) }
        }
        world.refused(broker, answer.header.code)
    }

    // MARK: - One-way and batches

    private func sendOneway() {
        let topic = ClusterSimulation.orders
        route(topic) { [self] route in
            guard let target = choose(route) else { return }
            let id = world.oracle.newFact(.ordinary, topic: topic)
            world.oracle.change(id) { $0.attempts += 1 }
            world.coverage.messages += 1
            tell(world.brokers[target.broker].node, .sendMessageV2) { writer in
                write(&writer, id, topic, target.queue, "")
            }
        }
    }

    private func sendBatch() {
        let topic = ClusterSimulation.orders
        route(topic) { [self] route in
            guard let target = choose(route) else { return }
            let ids = (0..<2 + random(4)).map { _ in world.oracle.newFact(.ordinary, topic: topic) }
            let batch = ByteBuffer()
            for id in ids {
                world.oracle.change(id) { $0.attempts += 1 }
                let body = Oracle.body(id, seed: world.seed)
                let properties = Array("UNIQ_KEY\u{1}M\(id)".utf8)
                MessageBatch.append(flag: 0, body: body.span.bytes, properties: properties.span.bytes, to: batch)
            }
            world.coverage.messages += ids.count
            sendBatch(ids, batch, topic, target)
        }
    }

    private func sendBatch(_ ids: [Int], _ batch: ByteBuffer, _ topic: Int, _ target: (broker: Int, queue: Int32)) {
        ask(world.brokers[target.broker].node, .sendBatchMessage) { writer in
            SendMessageHeader.write(
                into: &writer, producerGroup: group, topic: world.topicName(topic), queueID: QueueID(target.queue),
                bornTimestamp: Timestamp(milliseconds: world.schedule.milliseconds), properties: RawSpan(),
                isBatch: true)
            writer.beginBody()
            let batch = batch
            writer.buffer.append(batch.bytes)
        } _: { [self] answer in
            guard let answer, answer.code == .success else { return refused(ids, target.broker, answer) }
            guard let first = answer.number("queueOffset"), let text = answer.text("msgId") else { return }
            let places = text.split(separator: ",").compactMap { OffsetMessageID(String($0))?.offset.rawValue }
            guard places.count == ids.count else {
                return world.fail("P6", "a batch of \(ids.count) is answered with \(places.count) ids")
            }
            world.acknowledged(target.broker, position: places[places.count - 1], isFlushed: true)
            for (index, id) in ids.enumerated() {
                world.oracle.acknowledged(
                    id, .init(broker: target.broker, topic: topic, queue: Int(target.queue)),
                    offset: first + Int64(index), physical: places[index], producer: name)
            }
        }
    }

    // MARK: - Delayed messages

    private func sendDelayed(_ id: Int, _ topic: Int, _ broker: Int, _ queue: Int32) {
        let machine = world.brokers[broker]
        let isLong = world.profile.hasLongDelays && chance(6)
        let delay =
            200 + Int64(isLong ? 3_600_000 + random(3_600_000) : random(8) == 0 ? random(40_000) : random(9_000))
        let level = 1 + random(world.profile.delayLevels.count)
        let properties: String
        let kind = isLong ? random(2) : random(3)
        // The broker adds the delay to its own clock, which does not go back between now and then unless it is set.
        var dueWall = machine.clock.timestamp.milliseconds + delay
        var dueTime = world.schedule.milliseconds + delay
        switch kind {
        case 0: properties = "TIMER_DELAY_MS\u{1}\(delay)"
        case 1: properties = "TIMER_DELIVER_MS\u{1}\(dueWall)"
        default:
            properties = "DELAY\u{1}\(level)"
            dueWall += world.profile.delayLevels[level - 1] - delay
            dueTime += world.profile.delayLevels[level - 1] - delay
        }
        let jumps = machine.jumpCount
        world.oracle.change(id) {
            $0.attempts += 1
            $0.dueTime = dueTime
            if kind == 1 { $0.dueWall = dueWall }
        }
        world.coverage.delayed += 1
        ask(machine.node, .sendMessageV2) { writer in
            write(&writer, id, topic, queue, properties)
        } _: { [self] answer in
            guard let answer, answer.code == .success, let text = answer.text("msgId"),
                let messageID = OffsetMessageID(text)
            else { return refused([id], broker, answer) }
            world.acknowledged(broker, position: messageID.offset.rawValue, isFlushed: true)
            world.note(
                "delayed message % is acknowledged at % of broker %", id, messageID.offset.rawValue, Int64(broker))
            world.oracle.change(id) {
                $0.kept = (broker, messageID.offset.rawValue)
                if machine.jumpCount == jumps { $0.dueWall = dueWall }
            }
            if world.broken == .forgetTimer, chance(3) {
                return machine.forgetTimer(topic: world.topicName(topic), uniqueKey: "M\(id)")
            }
            guard kind < 2, chance(3), let handle = answer.text("recallHandle") else { return }
            later(milliseconds: Int64(random(Int(delay)))) { [self] in recall(id, topic, broker, handle) }
        }
    }

    private func recall(_ id: Int, _ topic: Int, _ broker: Int, _ handle: String) {
        world.oracle.change(id) { $0.recall = .asked }
        let run = world.brokers[broker].run
        ask(world.brokers[broker].node, .recallMessage) { writer in
            RecallMessageHeader(producerGroup: group, topic: world.topicName(topic), recallHandle: handle)
                .write(into: &writer)
        } _: { [self] answer in
            guard let answer, answer.code == .success, world.brokers[broker].run == run else { return }
            world.coverage.recalls += 1
            world.note("message % is taken back", id)
            world.oracle.change(id) { if $0.recall == .asked { $0.recall = .confirmed } }
        }
    }

    // MARK: - Transactions

    private func sendHalf(_ id: Int, _ topic: Int, _ broker: Int, _ queue: Int32) {
        let properties = "TRAN_MSG\u{1}true\u{2}PGROUP\u{1}\(group)"
        world.oracle.change(id) { $0.attempts += 1 }
        world.coverage.halves += 1
        ask(world.brokers[broker].node, .sendMessageV2) { writer in
            write(&writer, id, topic, queue, properties, flags: MessageFlags(rawValue: 4))
        } _: { [self] answer in
            guard let answer, answer.code == .success, let text = answer.text("msgId"),
                let messageID = OffsetMessageID(text), let offset = answer.number("queueOffset")
            else {
                // Who does not know that the half message is there does nothing that it would have to commit.
                world.oracle.change(id) { $0.decision = .rollback }
                return refused([id], broker, answer)
            }
            let position = messageID.offset.rawValue
            world.acknowledged(broker, position: position, isFlushed: true)
            // The local transaction is done; its outcome never changes.
            world.oracle.change(id) {
                $0.kept = (broker, position)
                $0.decision = chance(3) ? .rollback : .commit
            }
            newestHalf = (broker, position, offset)
            world.note("half message % is acknowledged at % of broker %", id, position, Int64(broker))
            if chance(4) {
                undecided[id] = random(4)
            } else {
                later(milliseconds: Int64(random(3_000))) { [self] in end(id, broker, position, offset, isCheck: false)
                }
            }
        }
    }

    private func end(_ id: Int, _ broker: Int, _ position: Int64, _ offset: Int64, isCheck: Bool) {
        var commits = world.oracle.facts[id].decision == .commit
        if world.broken == .commitRolledBack, chance(4) { commits = true }
        var header = EndTransactionHeader(
            producerGroup: group, tranStateTableOffset: QueueOffset(offset), commitLogOffset: PhysicalOffset(position),
            commitOrRollback: commits ? 8 : 12, isFromCheck: isCheck, messageID: "M\(id)")
        if world.broken == .endByPlace, let newestHalf, newestHalf.broker == broker {
            header.commitLogOffset = PhysicalOffset(newestHalf.position)
            header.tranStateTableOffset = QueueOffset(newestHalf.offset)
            header.messageID = ""
        }
        guard chance(2) else { return tell(world.brokers[broker].node, .endTransaction) { header.write(into: &$0) } }
        let run = world.brokers[broker].run
        ask(world.brokers[broker].node, .endTransaction) { writer in
            header.write(into: &writer)
        } _: { [self] answer in
            guard let answer, answer.code == .success, world.brokers[broker].run == run else { return }
            world.note("the end of message % is acknowledged", id)
            world.oracle.change(id) { $0.isEnded = true }
        }
    }

    /// 39 `CHECK_TRANSACTION_STATE`.
    override func asked(_ request: ReceivedFrame, by server: Int) {
        guard request.header.requestCode == .checkTransactionState, let text = request.text("msgId"),
            let id = Int(text.dropFirst()), let offset = request.number("tranStateTableOffset"),
            let position = request.number("commitLogOffset"), world.oracle.facts.indices.contains(id)
        else { return }
        world.coverage.checks += 1
        world.note("the producer of message % is asked about it", id)
        guard let broker = world.brokers.firstIndex(where: { $0.node == server }) else { return }
        // The answer to the half message is still on its way.
        guard world.oracle.facts[id].decision != .undecided else { return }
        if let left = undecided[id], left > 0, world.isProducing {
            undecided[id] = left - 1
            return
        }
        undecided[id] = nil
        end(id, broker, position, offset, isCheck: true)
    }

    // MARK: - At the end

    /// Sends one message to each broker, to see whether they take messages.
    func probe() {
        for broker in world.brokers.indices {
            let id = world.oracle.newFact(.ordinary, topic: ClusterSimulation.orders)
            probe(id, broker)
        }
    }

    private func probe(_ id: Int, _ broker: Int) {
        guard !world.brokers[broker].isCondemned else { return }
        world.probes.insert(id)
        world.oracle.change(id) { $0.attempts += 1 }
        ask(world.brokers[broker].node, .sendMessageV2) { writer in
            write(&writer, id, ClusterSimulation.orders, 0, "")
        } _: { [self] answer in
            guard let answer, answer.code == .success else {
                return later(milliseconds: 500) { [self] in probe(id, broker) }
            }
            world.probes.remove(id)
            acknowledged(id, ClusterSimulation.orders, broker, answer, waits: true)
        }
    }
}
