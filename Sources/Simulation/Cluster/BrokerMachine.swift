import Base
import BrokerCore
import Bytes
import Model
import NameService
import RemotingFrontend
import RemotingProtocol
import Storage
import Telemetry

/// A machine of a simulated cluster that runs a broker: the real one, behind its real sessions, on a simulated disk. Here is what the
/// event loop does in a real process: turns, timers, completions of the disk, connections.
final class BrokerMachine: ConnectionListener {
    unowned let world: ClusterSimulation
    let index: Int
    let disk: SimulatedDisk
    let clock: MachineClock
    private(set) var broker: Broker?
    private var frontend: BrokerFrontend?
    private var ends: [BrokerEnd] = []
    private var registrations: [Registration] = []
    /// Counts starts: what was planned for a process does not happen to its successor.
    private(set) var run = 0
    private var isTurnPlanned = false
    private var areCompletionsPlanned = false
    private var plannedWake = Int64.max
    /// The store has failed, and the process is about to end.
    private(set) var failure: StorageError?
    private var synchronisationsAtFailure = 0
    private var isStarting = false
    /// Nothing can be started any more: what is on the medium was damaged for good, and the broker says so.
    private(set) var isCondemned = false
    private var hasStartedOnce = false
    /// The widest leap of the clock, in ms: so much too early a timer may fire.
    private(set) var largestJump: Int64 = 0
    private var largestOffset: Int64 = 0
    private var smallestOffset: Int64 = 0
    /// The times, in ms of the wall clock, that it has shown and that setting it back has taken back.
    private(set) var takenBack: [Range<Int64>] = []
    var hasGoneBack: Bool { !takenBack.isEmpty }
    /// How often the clock was set.
    private(set) var jumpCount = 0
    /// Where the log begins, as far as is known.
    private(set) var logStart: Int64 = 0
    /// How long the disk takes for work in the background, in µs.
    var diskLatency: ClosedRange<Int64> = 50...4_000

    var node: Int { ClusterSimulation.brokerNode(index) }
    var name: String { "broker-\(index)" }
    var isUp: Bool { frontend != nil }
    var host: HostAddress { HostAddress(ipv4: 0x0A00_0000 | UInt32(node), port: 10_911) }

    init(_ world: ClusterSimulation, index: Int) {
        self.world = world
        self.index = index
        clock = MachineClock(world.schedule)
        disk = SimulatedDisk(seed: world.random.next(), clock: clock)
        disk.faults = world.profile.disk
    }

    // MARK: - Start

    /// Starts the process; tries again when the disk refuses.
    func start() {
        guard !isUp, !isCondemned, !world.isOver else { return }
        isStarting = true
        let mayFail = world.isChaotic && hasStartedOnce && world.random.next(below: 5) == 0
        if mayFail {
            if world.random.next(below: 2) == 0 {
                disk.faults.failCall = disk.callCount + 1 + world.random.next(below: 120)
                disk.faults.failKind = .inputOutput
            } else {
                disk.faults.dieAtCall = disk.callCount + 1 + world.random.next(below: 120)
            }
        }
        let suspended = suspendReadFaults()
        let opened = open()
        restoreReadFaults(suspended)
        disk.faults.failCall = nil
        isStarting = false
        guard let opened, !disk.hasDied else {
            world.note("broker % does not start", index)
            world.coverage.failedStarts += 1
            release(opened)
            let kind: SimulatedCrash = world.random.next(below: 2) == 0 ? .processKill : .powerLoss
            if kind == .powerLoss { lastCrash?.kind = .powerLoss }
            disk.crash(kind)
            return later(milliseconds: 100 + Int64(world.random.next(below: 2_000))) { $0.start() }
        }
        disk.faults.dieAtCall = nil
        took(opened)
    }

    private func open() -> Broker? {
        do throws(StorageError) {
            return try Broker(
                world.profile.brokerConfiguration(name, host, broken: world.broken),
                store: world.profile.storeConfiguration(broken: world.broken), disk: disk, clock: clock,
                random: SeededRandom(seed: world.random.next()), log: world.log)
        } catch {
            if case .corrupt = error {
                if disk.spoiledWrites > 0 {
                    world.note("broker % reports damage and stays down", index)
                    world.coverage.damageReported += 1
                    isCondemned = true
                } else if !disk.hasDied {
                    world.fail("P3", "\(name) finds damage that nobody did: \(error)")
                }
            }
            return nil
        }
    }

    /// Wrong bits that a read brings cannot be told from a torn write while the log's tail is looked for.
    private func suspendReadFaults() -> (Int, Int, Int) {
        let faults = (disk.faults.rotOneIn, disk.faults.misdirectOneIn, disk.faults.failOneIn)
        disk.faults.rotOneIn = 0
        disk.faults.misdirectOneIn = 0
        return faults
    }

    private func restoreReadFaults(_ faults: (Int, Int, Int)) {
        disk.faults.rotOneIn = faults.0
        disk.faults.misdirectOneIn = faults.1
    }

    private func took(_ broker: Broker) {
        self.broker = broker
        run += 1
        failure = nil
        let frontend = BrokerFrontend(broker: broker, log: world.log)
        self.frontend = frontend
        frontend.storeFailed = { [unowned self] in storeFailed($0) }
        world.note(
            "broker % starts, log % to %, flushed %", Int64(index), broker.store.start.rawValue,
            broker.store.written.rawValue, broker.flushed.rawValue)
        recovered(broker)
        if !hasStartedOnce { makeTopics(broker) }
        hasStartedOnce = true
        let run = run
        broker.topicChanged = { [unowned self] name in
            guard self.run == run else { return }
            let topics = broker.topic(name).map { [$0.configuration] } ?? []
            for registration in registrations { registration.tell { $0.topicsChanged(topics) } }
        }
        registrations = world.nameServers.map { Registration(self, nameServer: $0.node) }
        for registration in registrations { registration.start() }
        if world.broken == .regressOffsets { regressOffsets(broker) }
        if world.broken == .hideKept { hideKept(broker) }
        wantTurn()
        keepHouse(run)
    }

    private func makeTopics(_ broker: Broker) {
        do throws(BrokerError) {
            for topic in world.permanentTopics {
                try broker.putTopic(
                    TopicConfiguration(
                        name: world.topicName(topic), readQueueCount: world.queueCount(topic),
                        writeQueueCount: world.queueCount(topic)))
            }
            for group in world.oracle.groups { try broker.putGroup(GroupConfiguration(name: group.consumerGroup)) }
            do throws(StorageError) { try broker.endTurn() } catch { throw .storage(error) }
        } catch {
            world.fail("start", "\(name) cannot make topics: \(error)")
        }
        broker.flush()
        disk.runCompletions()
        disk.settle()
    }

    /// Hands the world to the checks that come with every start.
    private func recovered(_ broker: Broker) {
        guard let crash = lastCrash else { return }
        lastCrash = nil
        let end = broker.store.written.rawValue
        noteLogStart()
        if disk.spoiledWrites == 0, !world.profile.forgivesLoss {
            let required = crash.kind == .processKill ? crash.written : crash.flushed
            if end < required {
                world.fail(
                    "P1", "the log of \(name) ends at \(end) after a \(crash.kind), and \(required) was said to be safe"
                )
            }
            world.checkAcknowledged(self, crash.kind, end: end)
        }
        world.oracle.cut(index, at: end, crash.kind)
        world.oracle.quotas.begins(index, at: end)
        if crash.kind == .powerLoss, world.profile.store.flushMode == .asynchronous {
            world.oracle.forgetUnflushed(index)
        }
        world.verify(self)
        world.checkOffsets(self, crash.kind)
    }

    private struct Crash {
        var kind: SimulatedCrash
        var written: Int64
        var flushed: Int64
    }
    private var lastCrash: Crash?

    // MARK: - Turns

    /// Plans the next turn of the loop.
    func wantTurn() {
        guard isUp, !isTurnPlanned else { return }
        isTurnPlanned = true
        later(microseconds: Int64(world.random.next(below: 400))) { machine in
            machine.isTurnPlanned = false
            machine.turn()
        }
    }

    private func turn() {
        guard let frontend else { return }
        for end in ends { end.work() }
        frontend.endTurn()
        afterTurn()
    }

    private func afterTurn() {
        guard let broker else { return }
        if disk.hasDied { return crash(world.random.next(below: 3) == 0 ? .processKill : .powerLoss) }
        for end in ends { end.sendOutput() }
        if disk.hasCompletions, !areCompletionsPlanned { planCompletions() }
        planWake(broker)
        world.afterTurn(self)
        if failure != nil, disk.counts.synchronisations != synchronisationsAtFailure {
            world.fail("P4", "\(name) tried to synchronise again after that had failed")
        }
    }

    private func planCompletions() {
        areCompletionsPlanned = true
        let range = diskLatency
        let time = range.lowerBound + Int64(world.random.next(below: Int(range.upperBound - range.lowerBound) + 1))
        later(microseconds: time) { machine in
            machine.areCompletionsPlanned = false
            guard machine.isUp else { return }
            machine.disk.runCompletions()
            machine.turn()
        }
    }

    /// Plans the turn in which the next delayed message is due, as the frontend does with its loop.
    private func planWake(_ broker: Broker) {
        let wake = broker.nextWake
        guard wake < .max, failure == nil else { return }
        let now = clock.timestamp.milliseconds
        guard wake <= now || wake - now <= BrokerMachine.housekeepingMilliseconds else { return }
        let time = max(wake, now)
        guard time < plannedWake else { return }
        plannedWake = time
        later(milliseconds: max(1, time - now)) { machine in
            machine.plannedWake = .max
            machine.turn()
        }
    }

    static let housekeepingMilliseconds: Int64 = 50

    private func keepHouse(_ run: Int) {
        guard run == self.run, let frontend else { return }
        frontend.keepHouse()
        frontend.tick()
        turn()
        // After a leap of the wall clock the planned turn is no longer right.
        plannedWake = .max
        later(milliseconds: world.profile.housekeepingMilliseconds) { $0.keepHouse(run) }
    }

    /// Does something later, unless the process has ended meanwhile.
    private func later(milliseconds: Int64, _ body: @escaping (BrokerMachine) -> Void) {
        later(microseconds: milliseconds * 1_000, body)
    }

    private func later(microseconds: Int64, _ body: @escaping (BrokerMachine) -> Void) {
        let run = run
        world.schedule.after(microseconds) { [unowned self] in
            guard self.run == run else { return }
            body(self)
        }
    }

    // MARK: - The end of a process

    private func storeFailed(_ error: StorageError) {
        // A process that has died in the call does not see its failure.
        guard !disk.hasDied, let broker else { return }
        world.note("the store of broker % fails", index)
        world.coverage.storeFailures += 1
        failure = error
        synchronisationsAtFailure = disk.counts.synchronisations
        if broker.store.isWritable { world.fail("P4", "\(name) takes messages after \(error)") }
        // The process ends soon. Until then consumers are served.
        later(milliseconds: Int64(world.random.next(below: 2_000))) { $0.crash(.powerLoss) }
    }

    /// Ends the process, or the whole machine's power.
    func crash(_ kind: SimulatedCrash) {
        guard let broker else { return }
        // Pages that could not be synchronised look written and are not; a killed process would find them in the cache.
        let kind = failure == nil && !disk.faults.failSynchronize ? kind : .powerLoss
        world.note(
            kind == .processKill
                ? "broker % is killed, written %, flushed %" : "broker % loses its power, written %, flushed %",
            Int64(index), broker.written.rawValue, broker.flushed.rawValue)
        if kind == .processKill { world.coverage.kills += 1 } else { world.coverage.powerLosses += 1 }
        lastCrash = Crash(kind: kind, written: broker.written.rawValue, flushed: broker.flushed.rawValue)
        end()
        disk.crash(world.broken == .forgetWritten ? .powerLoss : kind)
        disk.faults.failSynchronize = false
        disk.faults.failCall = nil
        later(milliseconds: 100 + Int64(world.random.next(below: 5_000))) { $0.start() }
    }

    /// Stops the process in good order.
    func stop() {
        guard let broker, let frontend else { return }
        lastCrash = Crash(kind: .powerLoss, written: broker.written.rawValue, flushed: 0)
        do throws(StorageError) {
            try frontend.stop()
            lastCrash = Crash(kind: .powerLoss, written: broker.written.rawValue, flushed: broker.flushed.rawValue)
        } catch {
            world.fail("stop", "\(name) cannot be stopped: \(error)")
        }
        end()
        disk.crash(.powerLoss)
    }

    private func end() {
        if let broker { world.coverage.add(broker) }
        run += 1
        isTurnPlanned = false
        areCompletionsPlanned = false
        plannedWake = .max
        let ends = ends
        self.ends = []
        registrations = []
        world.network.drop(node: node)
        for end in ends { end.abandon() }
        let broker = broker
        frontend?.vanish()
        frontend = nil
        self.broker = nil
        release(broker)
    }

    private func release(_ broker: Broker?) {
        broker?.topicChanged = { _ in }
        broker?.store.firstNeeded = { () throws(StorageError) in nil }
        broker?.store.flushFinished = {}
    }

    // MARK: - Clock

    /// Sets the wall clock so many ms ahead of the world's.
    func setClock(_ offset: Int64, isHidden: Bool = false) {
        world.note("the clock of broker % shows % ms too much", index, offset)
        let before = clock.timestamp.milliseconds
        clock.set(offset: offset)
        let now = clock.timestamp.milliseconds
        if !isHidden { jumpCount += 1 }
        world.coverage.leaps += 1
        guard !isHidden else { return }
        if now < before { takenBack.append(now..<before + 1) }
        if let broker { world.oracle.quotas.begins(index, at: broker.store.end.rawValue) }
        largestOffset = max(largestOffset, offset)
        smallestOffset = min(smallestOffset, offset)
        largestJump = largestOffset - smallestOffset
    }

    /// Sets the clock to the furthest that it has shown: what is due by then comes soon.
    func setClockRight() { if clock.offset < largestOffset { setClock(largestOffset) } }

    // MARK: - Connections

    func accept(_ connection: SimulatedConnection) -> (any ConnectionEnd)? {
        guard let frontend, ends.count < 1_000 else { return nil }
        let end = BrokerEnd(self, connection, frontend)
        ends.append(end)
        return end
    }

    fileprivate func closed(_ end: BrokerEnd) {
        ends.removeAll { $0 === end }
        wantTurn()
    }

    private func regressOffsets(_ broker: Broker) {
        for (queue, offset) in world.oracle.committed where queue.broker == index && offset.kept > 0 {
            let topic = Array(world.topicName(queue.topic).utf8)
            let group = Array(ClusterSimulation.keeperGroup.utf8)
            try? broker.commitOffset(
                topic: topic.span.bytes, group: group.span.bytes, queueID: QueueID(Int32(queue.queue)), offset: .zero)
        }
        lastCrash = Crash(kind: .processKill, written: 0, flushed: 0)
        world.checkOffsets(self, .processKill)
        lastCrash = nil
    }

    /// Hides the first messages of a queue.
    private func hideKept(_ broker: Broker) {
        let topic = Array(world.topicName(ClusterSimulation.orders).utf8)
        let reader = Array("verifier".utf8)
        guard
            let queue = try? broker.queue(
                forPulling: topic.span.bytes, queueID: QueueID(0), group: reader.span.bytes)
        else { return }
        broker.store.hide(QueueOffset(3), of: queue)
    }

    /// Takes back all delayed messages of a topic that the oracle waits for.
    func forgetTimer(topic: String, uniqueKey: String) {
        let topic = Array(topic.utf8)
        let key = Array(uniqueKey.utf8)
        _ = try? broker?.recall(topic: topic.span.bytes, uniqueKey: key.span.bytes)
        wantTurn()
    }

    /// Looks where the log begins. Every turn ends here.
    func noteLogStart() {
        guard let broker else { return }
        let start = broker.store.start.rawValue
        if start > logStart {
            world.note("the log of broker % begins at %", index, start)
            world.oracle.retention.logBegins(self, at: start, before: logStart)
            logStart = start
        }
        lastLook = world.schedule.milliseconds
    }

    // MARK: - Room

    /// Lets the disk look so full, in parts of one, that others use it as well.
    func fill(to ratio: Double) {
        noteFullness()
        disk.usedByOthers = ratio
        noteFullness()
    }

    /// Notes that the oldest segments may go, whatever their age.
    func noteFullness() {
        // What goes makes room, so that a disk that is to be full may look less so a moment later.
        let ratio = world.profile.store.retention.diskRatioForForcedDeletion
        if disk.usedByOthers > ratio || disk.capacity < 1 << 40 {
            lastCrowded = world.schedule.milliseconds
        }
    }

    /// Whether what has gone since the last look may have gone because the disk was too full: what a look at the disk has decided
    /// holds until the next.
    var mayDeleteByForce: Bool {
        noteFullness()
        return world.profile.store.retention.isForcedDeletionEnabled
            && lastCrowded + world.profile.store.retention.intervalMilliseconds + 1_000 >= lastLook
    }
    private var lastCrowded: Int64 = -1 << 60
    private var lastLook: Int64 = 0
}

/// The broker's end of a connection: bytes into a real session, and its answers out.
final class BrokerEnd: ConnectionEnd {
    private unowned let machine: BrokerMachine
    private let connection: SimulatedConnection
    private let session: BrokerSession
    private let input = ByteBuffer(capacity: 512)
    private let output = ByteBuffer(capacity: 512)
    private var isGone = false

    fileprivate init(_ machine: BrokerMachine, _ connection: SimulatedConnection, _ frontend: BrokerFrontend) {
        self.machine = machine
        self.connection = connection
        session = frontend.makeSession(
            peer: HostAddress(ipv4: 0x0A00_0100 | UInt32(connection.client), port: Int32(connection.number % 60_000)),
            output: output)
    }

    func received(_ bytes: [UInt8]) {
        input.append(bytes)
        machine.wantTurn()
    }

    func closed() {
        guard !isGone else { return }
        isGone = true
        session.close()
        machine.closed(self)
    }

    /// The process has ended.
    fileprivate func abandon() {
        isGone = true
        session.close()
    }

    /// Handles whole frames.
    fileprivate func work() {
        while !isGone, !input.isEmpty {
            switch session.next(input) {
            case .handled: continue
            case .incomplete, .heldBack: return
            case .malformed(let reason):
                machine.world.fail("P6", "a broker does not understand its client: \(reason)")
                return
            }
        }
    }

    fileprivate func sendOutput() {
        if session.isAborted { return connection.reset() }
        guard !output.isEmpty else { return }
        let output = output
        connection.send(.server, output.bytes.array())
        output.removeAll()
    }
}

/// A broker's connection to one name server, with the real conversation.
final class Registration: ConnectionEnd {
    private unowned let machine: BrokerMachine
    private let nameServer: Int
    private let run: Int
    private var connection: SimulatedConnection?
    private var conversation: RegistrationConversation?
    private let input = ByteBuffer(capacity: 256)

    init(_ machine: BrokerMachine, nameServer: Int) {
        self.machine = machine
        self.nameServer = nameServer
        run = machine.run
    }

    private var isCurrent: Bool { machine.run == run && !machine.world.isOver }

    func start() {
        connect()
        renew()
    }

    private func connect() {
        guard isCurrent else { return }
        machine.world.network.connect(from: machine.node, to: nameServer, self) { [weak self] connection in
            guard let self, self.isCurrent else { return connection?.reset() ?? () }
            guard let connection else { return self.again() }
            self.opened(connection)
        }
    }

    private func opened(_ connection: SimulatedConnection) {
        self.connection = connection
        input.removeAll()
        guard let broker = machine.broker else { return }
        let identity = BrokerIdentity(
            cluster: broker.configuration.cluster, name: machine.name, id: 0, address: machine.host.description)
        conversation = RegistrationConversation(
            RegisteredBroker(
                identity: identity, haAddress: machine.host.description, dataVersion: { broker.topicVersion },
                topics: { broker.topics.map(\.configuration) }),
            NameServerRegistrarConfiguration(nameServers: []), log: machine.world.log)
        speak()
    }

    private func again() {
        machine.world.schedule.after(milliseconds: 1_000) { [weak self] in self?.connect() }
    }

    private func renew() {
        machine.world.schedule.after(milliseconds: 10_000) { [weak self] in
            guard let self, self.isCurrent else { return }
            if self.conversation?.isOverdue(at: self.machine.clock.monotonic) == true { self.connection?.reset() }
            self.tell { $0.renew() }
            self.renew()
        }
    }

    func tell(_ note: (RegistrationConversation) -> Void) {
        guard let conversation else { return }
        note(conversation)
        speak()
    }

    private func speak() {
        let output = ByteBuffer(capacity: 256)
        guard let conversation, conversation.speak(output, at: machine.clock.monotonic) else { return }
        connection?.send(.client, output.bytes.array())
    }

    func received(_ bytes: [UInt8]) {
        input.append(bytes)
        guard let conversation else { return }
        while !input.isEmpty {
            switch conversation.hear(input) {
            case .incomplete: return
            case .registered, .other: speak()
            case .failed: return connection?.reset() ?? ()
            }
        }
    }

    func closed() {
        connection = nil
        conversation = nil
        if isCurrent { again() }
    }
}
