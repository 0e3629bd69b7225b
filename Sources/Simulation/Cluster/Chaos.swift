import Base

/// What goes wrong in a simulated cluster, and when. Everything is over with ``end()``.
final class Chaos {
    private unowned let world: ClusterSimulation
    private var isOver = false

    init(_ world: ClusterSimulation) { self.world = world }

    private func random(_ bound: Int) -> Int { world.random.next(below: bound) }

    func start() {
        // A while to get going.
        world.network.faults.latency = world.profile.network.latency
        world.schedule.after(milliseconds: 2_000) { [self] in
            world.network.faults = world.profile.network
            strike()
        }
    }

    private func strike() {
        guard !isOver else { return }
        strikeOnce()
        world.schedule.after(milliseconds: 300 + Int64(random(2_500))) { [self] in strike() }
    }

    private var machine: BrokerMachine { world.brokers[random(world.brokers.count)] }

    private func strikeOnce() {
        let profile = world.profile
        switch random(18) {
        case 0, 1, 2: if profile.hasCrashes { crash(machine) }
        case 3: if profile.hasCrashes { dieAtSomeCall(machine) }
        case 4, 5: if profile.hasPartitions { partition() }
        case 6: if world.broken != .neverHeal { world.network.heal() }
        case 7: world.network.resetOne()
        case 8: if random(3) == 0 { world.nameServers[random(world.nameServers.count)].crash() }
        case 9: killClient()
        case 10: if profile.hasDiskErrors { failSomeCall(machine) }
        case 11: if profile.hasFullDisks { fill(machine) }
        case 12: if profile.hasLeaps || world.broken == .hideLeap { leap(machine) }
        case 13: if profile.hasSlowDisks { slow(machine) }
        case 14: machine.disk.dropCache()
        case 15: if profile.hasRetention { crowd(machine) }
        case 16: pauseConsumer()
        default: machine.disk.faults.pushesBack.toggle()
        }
    }

    private func crash(_ machine: BrokerMachine) {
        machine.crash(random(2) == 0 ? .processKill : .powerLoss)
    }

    private func dieAtSomeCall(_ machine: BrokerMachine) {
        guard machine.isUp else { return }
        world.coverage.deathsInCalls += 1
        machine.disk.faults.dieAtCall = machine.disk.callCount + 1 + random(60)
    }

    private func failSomeCall(_ machine: BrokerMachine) {
        guard machine.isUp, machine.failure == nil else { return }
        if random(3) == 0 || world.broken == .forgiveFailedFlush {
            machine.disk.faults.failSynchronize = true
            if world.broken == .forgiveFailedFlush { goodAgain(machine) }
        } else {
            machine.disk.faults.failCall = machine.disk.callCount + 1 + random(40)
            machine.disk.faults.failKind = [.inputOutput, .full][random(2)]
        }
    }

    private func goodAgain(_ machine: BrokerMachine) {
        world.schedule.after(milliseconds: 2_000) {
            machine.disk.faults.failSynchronize = false
            machine.crash(.powerLoss)
        }
    }

    private func fill(_ machine: BrokerMachine) {
        world.note("the disk of broker % is full", machine.index)
        world.coverage.fullDisks += 1
        machine.disk.capacity = machine.disk.usedBytes + Int64(random(6)) * 4_096
        world.schedule.after(milliseconds: 2_000 + Int64(random(8_000))) { [world] in
            world.note("the disk of broker % has room again", machine.index)
            machine.noteFullness()
            machine.disk.capacity = 1 << 40
        }
    }

    /// Others use the disk as well for a while: what has expired goes, then the oldest, and then messages are refused.
    private func crowd(_ machine: BrokerMachine) {
        world.note("others use the disk of broker %", machine.index)
        world.coverage.crowdedDisks += 1
        machine.fill(to: [0.78, 0.87, 0.87, 0.95][random(4)])
        world.schedule.after(milliseconds: 2_500 + Int64(random(4_000))) { machine.fill(to: 0) }
    }

    private func leap(_ machine: BrokerMachine) {
        let leaps: [Int64] = [-600_000, -30_000, -2_000, 0, 1_000, 20_000, 300_000]
        if world.broken == .hideLeap { return machine.setClock(3_600_000, isHidden: true) }
        if world.profile.clocksGoForward {
            return machine.setClock(machine.clock.offset + [1_000, 300_000, 4_000_000, 4_000_000][random(4)])
        }
        if world.profile.hasRetention, random(2) == 0 { return machine.setClock(machine.clock.offset + 4_000_000) }
        if random(12) == 0 { return machine.setClock(machine.clock.offset + 30 * 3_600_000) }
        machine.setClock(machine.clock.offset + leaps[random(leaps.count)])
    }

    private func slow(_ machine: BrokerMachine) {
        let ranges: [ClosedRange<Int64>] = [
            50...500, 50...4_000, 5_000...60_000, 100_000...900_000, 5_000_000...7_000_000,
        ]
        machine.diskLatency = ranges[random(ranges.count)]
    }

    // MARK: - Network and clients

    /// Cuts off a node, or two nodes from each other, in one direction or both.
    private func partition() {
        let broker = machine.node
        let others = world.nameServers.map(\.node) + world.clients.map(\.node) + world.brokers.map(\.node)
        let isAlone = random(2) == 0
        world.note("node % is cut off (%)", broker, isAlone ? 1 : 0)
        world.coverage.partitions += 1
        let both = random(3) > 0
        for other in isAlone ? others : [others[random(others.count)]] {
            world.network.block(from: broker, to: other)
            if both { world.network.block(from: other, to: broker) }
        }
    }

    private func killClient() {
        let clients = world.consumers as [SimulatedClient] + world.broadcastMembers + world.requesters + world.repliers
        let client = clients[random(clients.count)]
        world.note("the client of node % dies", client.node)
        world.coverage.clientDeaths += 1
        client.die()
        client.later(milliseconds: 500 + Int64(random(8_000))) { client.start() }
    }

    /// A consumer falls behind.
    private func pauseConsumer() {
        let consumer = world.consumers[random(world.consumers.count)]
        world.note("the consumer of node % rests", consumer.node)
        world.coverage.pauses += 1
        consumer.pause(milliseconds: 2_000 + Int64(random(20_000)))
    }

    // MARK: - The end

    /// The network heals, the disks recover, the clocks stand right.
    func end() {
        isOver = true
        world.note("peace", 0)
        world.network.faults = SimulatedNetwork.Faults()
        if world.broken != .neverHeal || world.network.isWhole { world.network.heal() }
        for machine in world.brokers {
            machine.noteFullness()
            machine.disk.capacity = 1 << 40
            machine.fill(to: 0)
            machine.disk.faults.failCall = nil
            machine.disk.faults.dieAtCall = nil
            machine.disk.faults.pushesBack = false
            machine.disk.faults.rotOneIn = 0
            machine.disk.faults.misdirectOneIn = 0
            machine.disk.faults.rotWriteOneIn = 0
            machine.disk.faults.misdirectWriteOneIn = 0
            machine.diskLatency = 50...4_000
            machine.setClockRight()
            // Whatever waits is due, once the last that was sent has arrived.
            if world.profile.hasLongDelays {
                world.schedule.after(milliseconds: 5_000) { machine.setClock(machine.clock.offset + 8_000_000) }
            }
            if machine.disk.faults.failSynchronize { machine.crash(.powerLoss) }
        }
    }
}

/// Breaks rules of the network on purpose; see ``BrokenRule``.
enum Tampering {
    static func of(_ world: ClusterSimulation) -> ((Int, Int, [UInt8]) -> [UInt8])? {
        let random = SeededRandom(seed: world.seed ^ 0xBAD)
        func isBroker(_ node: Int) -> Bool { node >= 10 && node < 100 }
        switch world.broken {
        case .sendTwice:
            return { from, to, bytes in
                // One frame, and from a producer: a message is stored twice.
                guard from >= 100, isBroker(to), bytes.count > 200, random.next(below: 6) == 0 else { return bytes }
                return bytes + bytes
            }
        case .serveDamaged:
            return { from, to, bytes in
                guard isBroker(from), to >= 100, bytes.count > 700, random.next(below: 4) == 0 else { return bytes }
                var bytes = bytes
                bytes[bytes.count - 250] ^= 4
                return bytes
            }
        case .lowerMinimum:
            return { from, to, bytes in
                guard isBroker(from), to >= 100, random.next(below: 4) == 0 else { return bytes }
                return loweringMinimum(bytes)
            }
        case .moveOffset:
            return { from, to, bytes in
                guard isBroker(from), to >= 100, random.next(below: 4) == 0 else { return bytes }
                return movingOffset(bytes)
            }
        default: return nil
        }
    }

    /// Says in the answer to a pull that the queue begins at an earlier offset. The number is text in both encodings.
    private static func loweringMinimum(_ bytes: [UInt8]) -> [UInt8] {
        let name = Array("minOffset".utf8)
        guard bytes.count > 40,
            let index = (0..<bytes.count - 24).first(where: { bytes[$0..<$0 + name.count].elementsEqual(name) }),
            let digit = bytes[(index + name.count)...].prefix(6).firstIndex(where: { (0x31...0x39).contains($0) })
        else { return bytes }
        var bytes = bytes
        bytes[digit] = UInt8(ascii: "0")
        return bytes
    }

    /// Changes the queue offset of the first record in an answer.
    private static func movingOffset(_ bytes: [UInt8]) -> [UInt8] {
        let magic: [UInt8] = [0xDA, 0xA3, 0x20, 0xA7]
        guard bytes.count > 300,
            let index = (20..<bytes.count - 60).first(where: { Array(bytes[$0..<$0 + 4]) == magic })
        else { return bytes }
        var bytes = bytes
        bytes[index + 23] ^= 1
        return bytes
    }
}
