import Base
import Bytes
import Model
import RemotingProtocol

/// A producer that asks and wants replies: its messages say so, and brokers push the replies to it (remoting reference §1.11).
final class SimulatedRequester: SimulatedProducer {
    /// Questions that it waits for.
    private var open: Set<Int> = []
    /// The question of the end, while it waits for its reply.
    private var lastQuestion: Int?
    /// It has asked its last question, and nobody has answered.
    private(set) var waitsForReply = false

    /// How long it waits, in ms.
    private static let patience: Int64 = 8_000

    override func die() {
        open = []
        super.die()
    }

    override func sendSomething() {
        if chance(12) { ask() }
    }

    override func properties(of id: Int, _ topic: Int) -> String {
        "\u{2}CORRELATION_ID\u{1}\(ReplyLedger.correlation(id))\u{2}REPLY_TO_CLIENT\u{1}\(name)\u{2}TTL\u{1}\(Self.patience)"
    }

    private func ask() {
        let topic = ClusterSimulation.questions
        route(topic) { [self] route in
            guard let target = choose(route) else { return }
            let id = world.oracle.newFact(.ordinary, topic: topic)
            world.oracle.replies.asked(id, by: name)
            world.coverage.questions += 1
            open.insert(id)
            send(id, topic, target.broker, target.queue, attemptsLeft: 2)
            later(milliseconds: Self.patience) { [self] in open.remove(id) }
        }
    }

    /// 326 `PUSH_REPLY_MESSAGE_TO_CLIENT`.
    override func asked(_ request: ReceivedFrame, by broker: Int) {
        guard request.header.requestCode == .pushReplyMessageToClient else { return super.asked(request, by: broker) }
        let opaque = request.header.opaque
        if world.broken == .forgetReply { return answer(broker, .success, opaque: opaque) }
        let input = request.input
        let properties = Array((request.text("properties") ?? "").utf8)
        let span = properties.span.bytes
        let correlation = MessageProperties.valueRange(of: "CORRELATION_ID", in: span)
            .map { span.extracting($0).string() }
        guard let id = world.oracle.replies.received(correlation, input.bytes.extracting(request.body), by: name) else {
            return
        }
        world.coverage.replies += 1
        world.note("%: the reply to question %", Int64(node), id)
        open.remove(id)
        if id == lastQuestion { waitsForReply = false }
        // Now and then it is too slow to say that it has it.
        if world.isChaotic, chance(10) { return }
        answer(broker, .success, opaque: opaque)
    }

    // MARK: - At the end

    /// Asks until there is a reply.
    override func probe() {
        waitsForReply = true
        askLast()
    }

    private func askLast() {
        guard waitsForReply else { return }
        let topic = ClusterSimulation.questions
        route(topic) { [self] route in
            guard let target = choose(route) else { return }
            let id = world.oracle.newFact(.ordinary, topic: topic)
            world.oracle.replies.asked(id, by: name)
            lastQuestion = id
            send(id, topic, target.broker, target.queue, attemptsLeft: 0)
        }
        later(milliseconds: 10_000) { [self] in askLast() }
    }
}

/// A consumer that replies to what it consumes.
final class SimulatedReplier: SimulatedConsumer {
    init(_ world: ClusterSimulation, name: String, node: Int) {
        super.init(
            world, name: name, node: node, group: "desk", topics: [ClusterSimulation.questions], isOrdered: false)
    }

    override var sendsBack: Bool { false }

    override func took(_ id: Int, _ properties: RawSpan, from broker: Int) {
        func value(_ name: StaticString) -> String? {
            MessageProperties.valueRange(of: name, in: properties).map { properties.extracting($0).string() }
        }
        guard let correlation = value("CORRELATION_ID"), var requester = value("REPLY_TO_CLIENT"),
            let cluster = value("CLUSTER")
        else { return world.fail("P2", "question \(id) comes without what a reply needs") }
        guard correlation == ReplyLedger.correlation(id), requester == world.oracle.replies.requester(of: id) else {
            return world.fail("P2", "question \(id) comes with \(correlation) of \(requester)")
        }
        if world.broken == .misdirectReply { requester = requester == "asker-0" ? "asker-1" : "asker-0" }
        let reply =
            "MSG_TYPE\u{1}reply\u{2}CORRELATION_ID\u{1}\(correlation)\u{2}REPLY_TO_CLIENT\u{1}\(requester)\u{2}TTL\u{1}8000"
        later(milliseconds: Int64(1 + random(200))) { [self] in
            self.reply(id, broker, topic: "\(cluster)_REPLY_TOPIC", reply, attemptsLeft: 1)
        }
    }

    private func reply(_ id: Int, _ broker: Int, topic: String, _ properties: String, attemptsLeft: Int) {
        if world.broken != .inventReply { world.oracle.replies.gave(id) }
        let properties = Array(properties.utf8)
        ask(world.brokers[broker].node, .sendReplyMessageV2) { writer in
            SendMessageHeader.write(
                into: &writer, producerGroup: "CLIENT_INNER_PRODUCER", topic: topic, queueID: QueueID(0),
                bornTimestamp: Timestamp(milliseconds: world.schedule.milliseconds), properties: properties.span.bytes)
            writer.beginBody()
            writer.buffer.append(ReplyLedger.body(id, seed: world.seed))
        } _: { [self] answer in
            if let answer, answer.code == .success { return world.oracle.replies.acknowledged(id) }
            // 1: the requester is not there, or has not said in time that it has it.
            guard attemptsLeft > 0 else { return }
            later(milliseconds: 300) { [self] in
                reply(
                    id, broker, topic: topic, String(decoding: properties, as: UTF8.self),
                    attemptsLeft: attemptsLeft - 1)
            }
        }
    }
}
