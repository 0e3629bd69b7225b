import Base
import Storage

/// What goes from a log, and when: nothing before its time unless the disk is too full, no delayed message that waits, no dead letter
/// before the dead letters' own time; and queues begin later and later, never earlier.
final class RetentionWatch {
    private struct Minimum: Hashable {
        var reader: String
        var queue: Oracle.QueueKey
    }

    private unowned let world: ClusterSimulation
    private var minimums: [Minimum: Int64] = [:]

    init(_ world: ClusterSimulation) { self.world = world }

    private static let hour: Int64 = 3_600_000

    // MARK: - Where queues begin

    /// A reader was told where a queue begins. Each asks one thing after the other, so what it hears is in order.
    func begins(_ queue: Oracle.QueueKey, at offset: Int64, toldTo reader: String) {
        let key = Minimum(reader: reader, queue: queue)
        defer { minimums[key] = offset }
        guard let last = minimums[key], offset < last else { return }
        // A clock that is set back shows dead letters again that it had hidden.
        if queue.topic == ClusterSimulation.deadLetters, world.brokers[queue.broker].hasGoneBack { return }
        world.fail("P2", "\(world.describe(queue)) begins at \(offset) for \(reader), and began at \(last)")
    }

    // MARK: - What goes

    /// The log of a broker begins at `new` instead of `old`.
    func logBegins(_ machine: BrokerMachine, at new: Int64, before old: Int64) {
        guard !world.profile.forgivesLoss, !machine.mayDeleteByForce else { return }
        let now = machine.clock.timestamp.milliseconds
        let gone = removed(machine.index, old..<new)
        checkAge(machine, gone, now)
        // Stored times that are out of order say little of what is old.
        guard !machine.hasGoneBack else { return }
        checkDeadLetters(machine, gone, now)
        checkTimers(machine, old..<new, now)
    }

    private func removed(
        _ broker: Int, _ range: Range<Int64>
    ) -> [(queue: Oracle.QueueKey, place: Oracle.Place, stored: Int64)] {
        var gone: [(queue: Oracle.QueueKey, place: Oracle.Place, stored: Int64)] = []
        for (queue, offsets) in world.oracle.places where queue.broker == broker {
            for place in offsets.values where range.contains(place.physical) {
                if let stored = place.stored { gone.append((queue, place, stored)) }
            }
        }
        return gone.sorted { $0.place.physical < $1.place.physical }
    }

    /// A segment goes so long after it was last written: so the last of its messages is the youngest, unless the clock has taken back
    /// the time at which that was stored.
    private func checkAge(
        _ machine: BrokerMachine, _ gone: [(queue: Oracle.QueueKey, place: Oracle.Place, stored: Int64)],
        _ now: Int64
    ) {
        guard let last = gone.last, !machine.takenBack.contains(where: { $0.contains(last.stored) }) else { return }
        let reserved = Int64(world.profile.store.retention.reservedHours) * Self.hour
        world.coverage.expired += gone.count
        if now - last.stored < reserved {
            world.fail(
                "P1",
                "message \(last.place.id) at \(last.place.physical) of \(machine.name) is removed \(now - last.stored) ms after it was "
                    + "stored")
        }
    }

    private func checkDeadLetters(
        _ machine: BrokerMachine, _ gone: [(queue: Oracle.QueueKey, place: Oracle.Place, stored: Int64)], _ now: Int64
    ) {
        let time = Int64(world.profile.deadLetterHours) * Self.hour
        for (queue, place, stored) in gone where queue.topic == ClusterSimulation.deadLetters {
            world.coverage.deadLettersExpired += 1
            guard time > Int64(world.profile.store.retention.reservedHours) * Self.hour, now - stored < time else {
                continue
            }
            return world.fail(
                "P1", "dead letter \(place.id) of \(machine.name) is removed \(now - stored) ms after it was stored")
        }
    }

    private func checkTimers(_ machine: BrokerMachine, _ range: Range<Int64>, _ now: Int64) {
        // What is due behind the window is written again at its end, and no longer needs its first place.
        guard world.profile.timerWindow > 12 * Self.hour else { return }
        for (id, fact) in world.oracle.facts.enumerated() where fact.kind == .delayed && fact.recall == .never {
            guard let kept = fact.kept, kept.broker == machine.index, range.contains(kept.position), fact.dueWall > now
            else { continue }
            return world.fail(
                "P1", "delayed message \(id) waits for \(fact.dueWall - now) ms, and is removed from \(machine.name)")
        }
    }

    // MARK: - What is hidden

    /// Whether a dead letter that is in the log may not be shown: its own time is over.
    func mayHide(_ queue: Oracle.QueueKey, _ place: Oracle.Place) -> Bool {
        guard queue.topic == ClusterSimulation.deadLetters,
            world.profile.deadLetterHours < world.profile.store.retention.reservedHours
        else { return false }
        let machine = world.brokers[queue.broker]
        guard !machine.hasGoneBack, let stored = place.stored else { return true }
        let age = machine.clock.timestamp.milliseconds - stored
        return age >= Int64(world.profile.deadLetterHours) * Self.hour
    }
}
