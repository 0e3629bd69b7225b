import Base
import BrokerCore
import Bytes
import Model
import Storage
import Telemetry

/// A whole cluster in one thread: name servers, brokers and clients under a clock, a network and disks that follow from one seed.
///
/// For a while everything that can go wrong goes wrong (``Chaos``). Then the network heals, the disks recover and the clocks stand
/// right, and everything that was promised must come to its end: ``Oracle`` knows what that is. The same seed does the same again, to
/// the byte; ``Outcome/traceHash`` shows it.
public final class ClusterSimulation {
    public struct Options: Sendable {
        public var seed: UInt64
        /// How long things go wrong, in seconds of the world.
        public var seconds: Int64 = 40
        public var broken: BrokenRule?
        /// Takes everything that happens, line by line, with what the brokers log; nil for nobody.
        public var output: (@Sendable (String) -> Void)?

        public init(seed: UInt64) { self.seed = seed }
    }

    /// What did not hold.
    public struct Violation: Error, Sendable, CustomStringConvertible {
        public var seed: UInt64
        /// The promise: `P1` to `P5`, or `liveness`.
        public var promise: String
        public var message: String
        /// In ms of the world.
        public var time: Int64
        public var trace: [String]
        /// What kind of world it was.
        public var world: String
        public var description: String {
            "seed \(seed) at \(Double(time) / 1_000) s: \(promise): \(message)\n    (\(world))\n"
                + trace.map { "    " + $0 }.joined(separator: "\n")
        }
    }

    public struct Outcome: Sendable {
        public var violation: Violation?
        public var traceHash: UInt64
        /// How long the world went on, in ms.
        public var milliseconds: Int64
        public var events: Int
        public var coverage: ClusterCoverage
    }

    // MARK: - The world

    let seed: UInt64
    private let options: Options
    let broken: BrokenRule?
    let random: SeededRandom
    let schedule = Schedule()
    let network: SimulatedNetwork
    let profile: ClusterProfile
    let trace: Trace
    let log: Log
    private(set) var nameServers: [NameServerMachine] = []
    private(set) var brokers: [BrokerMachine] = []
    private(set) var producers: [SimulatedProducer] = []
    private(set) var consumers: [SimulatedConsumer] = []
    private(set) var broadcastMembers: [BroadcastMember] = []
    private(set) var requesters: [SimulatedRequester] = []
    private(set) var repliers: [SimulatedReplier] = []
    private var tools: [SimulatedClient] = []
    var clients: [SimulatedClient] {
        producers as [SimulatedClient] + consumers + tools + broadcastMembers + requesters + repliers
    }
    private var oracleStorage: Oracle?
    var oracle: Oracle {
        guard let oracleStorage else { preconditionFailure("the world has no oracle yet") }
        return oracleStorage
    }
    var coverage = ClusterCoverage()
    private(set) var violation: Violation?
    /// Things go wrong.
    private(set) var isChaotic = true
    /// Producers send.
    private(set) var isProducing = true
    private(set) var isOver = false
    /// Messages of the end that no broker has taken yet.
    var probes: Set<Int> = []
    private let buffer = ByteBuffer(capacity: 64 * 1024)
    private var topicFacts: [TopicName: TopicFact] = [:]
    private var committedClaims: [CommitClaim] = []

    public init(_ options: Options) {
        self.options = options
        seed = options.seed
        broken = options.broken
        random = SeededRandom(seed: options.seed &* 0x2545_F491_4F6C_DD1D &+ 11)
        profile = ClusterProfile(SeededRandom(seed: options.seed ^ 0x5EED), broken: options.broken)
        network = SimulatedNetwork(schedule, random: SeededRandom(seed: options.seed &+ 0x4E45_5457))
        trace = Trace(output: options.output)
        log = options.output.map { Log(label: "", level: .notice, sink: TraceLogSink(output: $0)) } ?? .silent
        oracleStorage = Oracle(
            self,
            groups: [
                Oracle.Group("shop"), Oracle.Group("line"), Oracle.Group("desk"),
                Oracle.Group(member: "news-0", of: "news"), Oracle.Group(member: "news-1", of: "news"),
            ])
        nameServers = (0..<profile.nameServerCount).map { NameServerMachine(self, index: $0) }
        brokers = (0..<profile.brokerCount).map { BrokerMachine(self, index: $0) }
        makeClients()
        for machine in nameServers { network.listeners[machine.node] = machine }
        for machine in brokers { network.listeners[machine.node] = machine }
        network.tamper = Tampering.of(self)
    }

    private func makeClients() {
        var node = 100
        func next() -> Int {
            node += 1
            return node
        }
        producers = (0..<2).map { SimulatedProducer(self, name: "p\($0)", node: next()) }
        let shop = [Self.orders, Self.payments, Self.reminders, Self.retry]
        for index in 0..<2 {
            consumers.append(
                SimulatedConsumer(
                    self, name: "shop-\(index)", node: next(), group: "shop", topics: shop, isOrdered: false))
            consumers.append(
                SimulatedConsumer(
                    self, name: "line-\(index)", node: next(), group: "line", topics: [Self.steps], isOrdered: true))
        }
        tools = [
            OffsetKeeper(self, name: "keeper", node: next()), QueueReader(self, name: "reader", node: next()),
            TopicOperator(self, name: "operator", node: next()),
        ]
        if profile.hasBroadcast {
            broadcastMembers = (0..<2).map { BroadcastMember(self, name: "news-\($0)", node: next()) }
        }
        guard profile.hasReplies else { return }
        requesters = (0..<2).map { SimulatedRequester(self, name: "asker-\($0)", node: next()) }
        repliers = (0..<2).map { SimulatedReplier(self, name: "desk-\($0)", node: next()) }
    }

    // MARK: - Names

    static let orders = 0
    static let payments = 1
    static let reminders = 2
    static let steps = 3
    static let retry = 4
    static let deadLetters = 5
    static let questions = 8
    static let news = 9
    static let keeperGroup = "keeper"
    private static let names = [
        "orders", "payments", "reminders", "steps", "%RETRY%shop", "%DLQ%shop", "passing-0", "passing-1",
        "questions", "news",
    ]

    static func brokerNode(_ index: Int) -> Int { 10 + index }
    func topicName(_ topic: Int) -> String { Self.names[topic] }
    var permanentTopics: [Int] { [Self.orders, Self.payments, Self.reminders, Self.steps, Self.questions, Self.news] }
    var temporaryTopics: [Int] { [6, 7] }
    func isTemporary(_ topic: Int) -> Bool { topic == 6 || topic == 7 }
    func isRetry(_ topic: Int) -> Bool { topic == Self.retry || topic == Self.deadLetters }
    func queueCount(_ topic: Int) -> Int32 { topic == Self.reminders ? 1 : 2 }
    func describe(_ queue: Oracle.QueueKey) -> String {
        "\(topicName(queue.topic))/\(queue.queue) of broker-\(queue.broker)"
    }

    func isSubscribed(_ group: String, to topic: Int) -> Bool {
        switch group {
        case "shop": topic == Self.orders || topic == Self.payments || topic == Self.reminders
        case "line": topic == Self.steps
        case "desk": topic == Self.questions
        default: topic == Self.news
        }
    }

    /// Transactions may end without their producer: given up, or gone with their segment.
    var mayLoseHalves: Bool { profile.checkMaximum < 100 || profile.hasRetention || profile.forgivesLoss }
    var pace: Int64 { profile.pace }

    // MARK: - Notes

    func note(_ text: StaticString, _ a: some BinaryInteger, _ b: Int64 = 0, _ c: Int64 = 0, _ d: Int64 = 0) {
        trace.note(schedule.now, text, Int64(a), b, c, d)
    }

    func note(_ text: StaticString, _ a: Int64, _ b: some BinaryInteger, _ c: Int64 = 0) {
        trace.note(schedule.now, text, a, Int64(b), c, 0)
    }

    /// A promise is broken. The first time counts.
    func fail(_ promise: String, _ message: String) {
        guard violation == nil else { return }
        // On a disk that destroys what it holds only one promise can be kept: that nothing wrong is served.
        guard !profile.forgivesLoss || promise == "P3" || promise == "P6" else { return }
        violation = Violation(
            seed: seed, promise: promise, message: message, time: schedule.milliseconds, trace: trace.last,
            world: profile.summary)
    }

    // MARK: - Run

    /// Lets the world go on from its beginning to its end.
    public func run() -> Outcome {
        for machine in nameServers { machine.start() }
        for machine in brokers { machine.start() }
        for client in clients { client.start() }
        let chaos = Chaos(self)
        chaos.start()
        go(untilMilliseconds: options.seconds * 1_000)
        isProducing = false
        isChaotic = false
        chaos.end()
        comeToRest()
        return end()
    }

    /// Events of one second of the world that can only be going round in circles.
    private static let eventsPerSecondMaximum = 100_000

    private func go(untilMilliseconds end: Int64) {
        var second = schedule.milliseconds / 1_000
        var count = schedule.count
        while violation == nil, schedule.step(until: end * 1_000) {
            if schedule.milliseconds / 1_000 != second {
                second = schedule.milliseconds / 1_000
                count = schedule.count
            } else if schedule.count - count > Self.eventsPerSecondMaximum {
                fail("liveness", "the world goes round in circles: \(schedule.count - count) events in one second")
            }
        }
    }

    /// Everything must come to its end now.
    private func comeToRest() {
        let limit = schedule.milliseconds + 420_000
        go(untilMilliseconds: schedule.milliseconds + 3_000)
        producers.first?.probe()
        for requester in requesters { requester.probe() }
        var reason: String? = "nothing was looked at"
        var wait: Int64 = 5_000
        while violation == nil, reason != nil, schedule.milliseconds < limit {
            go(untilMilliseconds: schedule.milliseconds + wait)
            wait = min(wait * 3 / 2, 30_000)
            guard violation == nil else { return }
            reason = unfinished()
        }
        guard violation == nil else { return }
        if let reason { return fail("liveness", "things do not come to their end: \(reason)\n\(state)") }
        for machine in brokers where machine.isUp { verify(machine) }
        stopAndStart()
    }

    /// What consumers are at, for a failure.
    private var state: String { consumers.map { "    " + $0.state }.joined(separator: "\n") }

    private func unfinished() -> String? {
        if let down = brokers.first(where: { !$0.isUp && !$0.isCondemned }) { return "\(down.name) is down" }
        if profile.forgivesLoss { return nil }
        if !probes.isEmpty { return "no broker takes message \(probes.min() ?? 0)" }
        if let requester = requesters.first(where: \.waitsForReply) { return "\(requester.name) gets no reply" }
        for machine in brokers { verify(machine, isFinal: true) }
        return oracle.unfinished()
    }

    /// A clean stop and a start change nothing.
    private func stopAndStart() {
        guard !profile.forgivesLoss else { return }
        for machine in brokers where machine.isUp {
            machine.stop()
            machine.start()
            guard violation == nil else { return }
            verify(machine, isFinal: true)
        }
    }

    private func end() -> Outcome {
        isOver = true
        coverage.segments = network.segments
        coverage.resets = network.resets
        let outcome = Outcome(
            violation: violation, traceHash: trace.hash, milliseconds: schedule.milliseconds, events: schedule.count,
            coverage: coverage)
        dismantle()
        return outcome
    }

    /// Machines, connections and what was planned hold each other.
    private func dismantle() {
        for client in clients { client.die() }
        for machine in brokers where machine.isUp { machine.crash(.processKill) }
        schedule.removeAll()
        network.listeners = [:]
        network.tamper = nil
    }

    // MARK: - Topics that come and go

    private struct TopicName: Hashable {
        var topic: Int
        var broker: Int
    }

    /// A topic that an operator was told is there.
    private struct TopicFact {
        var queues: Int32
        /// The log reached to here when it was told.
        var position: Int64
    }

    func topicUncertain(_ topic: Int, _ broker: Int) { topicFacts[TopicName(topic: topic, broker: broker)] = nil }

    func topicKnown(_ topic: Int, _ broker: Int, queues: Int32) {
        guard let store = brokers[broker].broker?.store else { return }
        topicFacts[TopicName(topic: topic, broker: broker)] = TopicFact(
            queues: queues, position: store.end.rawValue)
    }

    // MARK: - Acknowledged things

    /// The last acknowledged position of each broker, in the log; and of those that wait for the medium.
    private var acknowledgedPositions: [Int: (written: Int64, flushed: Int64)] = [:]

    func acknowledged(_ broker: Int, position: Int64, isFlushed: Bool) {
        var known = acknowledgedPositions[broker] ?? (-1, -1)
        known.written = max(known.written, position)
        let isSynchronous = profile.store.flushMode == .synchronous || broken == .acknowledgeBeforeFlush
        if isFlushed, isSynchronous { known.flushed = max(known.flushed, position) }
        acknowledgedPositions[broker] = known
        coverage.acknowledged += 1
    }

    /// P1: what was acknowledged is within the log that a start found.
    func checkAcknowledged(_ machine: BrokerMachine, _ kind: SimulatedCrash, end: Int64) {
        let known = acknowledgedPositions[machine.index] ?? (-1, -1)
        let required = kind == .processKill ? known.written : known.flushed
        if required >= end {
            fail(
                "P1",
                "the log of \(machine.name) ends at \(end), and a message at \(required) was acknowledged (\(kind))")
        }
        acknowledgedPositions[machine.index] = (min(known.written, end - 1), min(known.flushed, end - 1))
        checkTopics(machine, kind, end: end)
    }

    private func checkTopics(_ machine: BrokerMachine, _ kind: SimulatedCrash, end: Int64) {
        for (name, fact) in topicFacts where name.broker == machine.index {
            let isSafe =
                kind == .processKill || profile.store.flushMode == .synchronous || fact.position <= end
            let found = machine.broker?.topic(topicName(name.topic))?.configuration.queueCount
            if isSafe, found == nil {
                fail("P2", "topic \(topicName(name.topic)) was made on \(machine.name), and is gone after a \(kind)")
            }
            if found != fact.queues { topicFacts[name] = nil }
        }
    }

    // MARK: - Committed offsets

    /// An offset whose commit was answered.
    private struct CommitClaim {
        var key: Oracle.QueueKey
        var offset: Int64
        /// The log reached no further when it was answered.
        var position: Int64
    }

    func commitAcknowledged(_ key: Oracle.QueueKey, _ offset: Int64) {
        guard let store = brokers[key.broker].broker?.store else { return }
        coverage.commits += 1
        committedClaims.append(CommitClaim(key: key, offset: offset, position: store.end.rawValue))
    }

    /// What is durable now needs no crash to be so.
    func afterTurn(_ machine: BrokerMachine) {
        machine.noteLogStart()
        guard !committedClaims.isEmpty, let broker = machine.broker else { return }
        let flushed = broker.flushed.rawValue
        for claim in committedClaims where claim.key.broker == machine.index && claim.position <= flushed {
            oracle.commitKept(claim.key, claim.offset)
        }
        committedClaims.removeAll { $0.key.broker == machine.index && $0.position <= flushed }
    }

    /// P2: committed offsets do not go back beyond what is durable.
    func checkOffsets(_ machine: BrokerMachine, _ kind: SimulatedCrash) {
        // What survives a kill may still be lost with the power.
        if kind == .powerLoss { committedClaims.removeAll { $0.key.broker == machine.index } }
        guard !profile.forgivesLoss else { return }
        for (key, offset) in oracle.committed where key.broker == machine.index {
            let topic = Array(topicName(key.topic).utf8)
            let group = Array(Self.keeperGroup.utf8)
            let found =
                machine.broker?.consumerOffset(
                    topic: topic.span.bytes, group: group.span.bytes, queueID: QueueID(Int32(key.queue)))?.rawValue
                ?? -1
            guard offset.kept > 0 || committedClaims.contains(where: { $0.key == key }) else { continue }
            let claimed = committedClaims.filter { $0.key == key }.map(\.offset).max() ?? 0
            let required = max(offset.kept, claimed)
            if found < required || found > offset.asked {
                fail(
                    "P2",
                    "the committed offset of \(describe(key)) is \(found) after a \(kind); \(required) was kept, "
                        + "\(offset.asked) asked")
            }
        }
    }

    // MARK: - Refusals

    /// P4: a message that is refused is refused with the right code.
    func refused(_ broker: Int, _ code: Int32) {
        coverage.refusals += 1
        note("broker % refuses a message with code %", Int64(broker), code)
        // 10: not on the medium in time. 14: no room, or the store has stopped. 17: no such topic. 1: a queue that is gone.
        // A quota refuses with 1 as well.
        let allowed: [Int32] = [10, 14, 17]
        guard !allowed.contains(code) else { return }
        if profile.hasDiskErrors || profile.forgivesLoss || code == 1 { return }
        fail("P4", "broker-\(broker) refuses a message with code \(code)")
    }

    /// P4: reads go on.
    func pullRefused(_ broker: Int, _ code: Int32) {
        coverage.pullsRefused += 1
        // 24: the heartbeat has not come yet. 17: the retry topic is not there yet.
        guard code != 24, code != 25, code != 17, code != 26 else { return }
        if profile.hasDiskErrors || profile.forgivesLoss { return }
        // A new group, or its retry topic, cannot be made on a full disk.
        if code == 14, !isReadable(broker) { return }
        fail("P4", "broker-\(broker) answers a pull with code \(code)")
    }

    private func isReadable(_ broker: Int) -> Bool { brokers[broker].failure == nil }

    // MARK: - Looking at everything

    /// Reads all queues of a broker and compares them with what is known.
    /// - Parameter isFinal: dead letters count as handled.
    func verify(_ machine: BrokerMachine, isFinal: Bool = false) {
        guard let broker = machine.broker, !profile.forgivesLoss, violation == nil else { return }
        machine.noteLogStart()
        if profile.hasQuotas { oracle.quotas.check(machine.index) }
        for topic in permanentTopics + [Self.retry, Self.deadLetters] {
            guard let found = broker.topic(topicName(topic)) else {
                if permanentTopics.contains(topic) {
                    fail("P2", "topic \(topicName(topic)) of \(machine.name) is gone")
                }
                continue
            }
            for queue in 0..<Int(found.configuration.queueCount) {
                verify(machine, broker, Oracle.QueueKey(broker: machine.index, topic: topic, queue: queue), isFinal)
            }
        }
    }

    private func verify(_ machine: BrokerMachine, _ broker: Broker, _ key: Oracle.QueueKey, _ isFinal: Bool) {
        let topic = Array(topicName(key.topic).utf8)
        let reader = Array("verifier".utf8)
        var seen: Set<Int64> = []
        do throws(BrokerError) {
            let queue = try broker.queue(
                forPulling: topic.span.bytes, queueID: QueueID(Int32(key.queue)), group: reader.span.bytes)
            let range = try broker.range(topic: topic.span.bytes, queueID: QueueID(Int32(key.queue)))
            oracle.retention.begins(key, at: range.lowerBound, toldTo: "verifier")
            var offset = range.lowerBound
            while offset < range.upperBound, violation == nil {
                buffer.removeAll()
                let result = try broker.fetch(
                    queue, from: QueueOffset(offset), maximumCount: 1_000, filter: .all, mayWait: true, into: buffer)
                guard result.status == .found else {
                    return fail("P2", "\(describe(key)) has nothing at \(offset) of \(range): \(result.status)")
                }
                look(key, &seen, isFinal)
                offset = result.nextOffset.rawValue
            }
        } catch {
            // A full disk, or one that fails: looked at again after the next start.
            if isFinal || !(profile.hasDiskErrors || profile.hasFullDisks) {
                fail("P2", "\(describe(key)) cannot be read: \(error)")
            }
            return
        }
        let start = broker.store.start.rawValue
        let end = broker.store.dispatched.rawValue
        for (offset, place) in (oracle.places[key] ?? [:]).sorted(by: { $0.key < $1.key })
        where !seen.contains(offset) && place.physical >= max(start, machine.logStart) && place.physical < end
            && !oracle.retention.mayHide(key, place)
        {
            return fail("P1", "message \(place.id) was at \(offset) of \(describe(key)) and is gone")
        }
    }

    private func look(_ key: Oracle.QueueKey, _ seen: inout Set<Int64>, _ isFinal: Bool) {
        let buffer = buffer
        var position = 0
        while position < buffer.count, violation == nil {
            let rest = buffer.bytes.extracting(position..<buffer.count)
            guard let record = try? MessageRecord(rest) else {
                return fail("P3", "\(describe(key)) served something that is no record")
            }
            guard let id = oracle.seen(record, rest.extracting(0..<record.size), key) else { return }
            seen.insert(record.queueOffset.rawValue)
            if key.topic == Self.deadLetters { oracle.group("shop").done.insert(id) }
            position += record.size
        }
    }
}

/// Writes what a broker logs between the lines of the trace.
private struct TraceLogSink: LogSink {
    let output: @Sendable (String) -> Void

    func write(level: LogLevel, label: String, message: String, metadata: [(key: String, value: String)]) {
        output("        [\(label)] \(message) \(metadata.map { "\($0.key)=\($0.value)" }.joined(separator: " "))")
    }
}
