import Base
import BrokerCore
import Model

/// Whether topics and clients have stored more than their quotas allow.
///
/// The records say when they were stored and by whom. In the order of the log they are counted with a bucket as `TokenBucket` has
/// it: it lets through its rate, and at once as much as a second brings. Delayed messages and halves come at other times than they
/// were sent, and are not counted; what a start found in the bucket is not known, so each start begins with a full one, and so does
/// each leap of the clock.
final class QuotaWatch {
    /// What one send stored.
    private struct Unit {
        var physical: Int64
        var stored: Int64
        var born: Int64
        var client: HostAddress
        var topic: Int
        var messages: Int64
        var bytes: Int64
    }

    /// What is missing from a full bucket, in thousandths.
    private struct Bucket {
        var missing: Int64 = 0
        var time: Int64 = 0

        /// How much later than its quota let it pass a send may be stored, in ms: the disk may hold it back, and the process rest.
        static let delay: Int64 = 1_000

        /// - Returns: whether `count` may pass; it is taken all the same.
        mutating func take(_ count: Int64, rate: Int64, at now: Int64) -> Bool {
            guard rate > 0 else { return true }
            missing = max(0, missing - max(0, now - time) * rate)
            time = now
            // Stored times are whole milliseconds, so one more may have flowed in; and what was stored late left room for others
            // at the time at which it passed.
            let passes = missing + min(count, rate) * 1_000 <= rate * 1_000 + 1_000 + rate * (1 + Self.delay)
            missing += count * 1_000
            return passes
        }
    }

    private struct Buckets {
        var messages = Bucket()
        var bytes = Bucket()

        mutating func take(_ unit: Unit, _ rate: TrafficRate) -> Bool {
            let passes = messages.take(unit.messages, rate: rate.messages, at: unit.stored)
            return bytes.take(unit.bytes, rate: rate.bytes, at: unit.stored) && passes
        }
    }

    private unowned let world: ClusterSimulation
    /// By broker and place in the log.
    private var records: [Int: [Int64: Unit]] = [:]
    /// Where the buckets of each broker were full again, in the log.
    private var beginnings: [Int: [Int64]] = [:]

    init(_ world: ClusterSimulation) { self.world = world }

    func seen(_ record: MessageRecord, _ queue: Oracle.QueueKey) {
        let physical = record.physicalOffset.rawValue
        guard records[queue.broker]?[physical] == nil else { return }
        records[queue.broker, default: [:]][physical] = Unit(
            physical: physical, stored: record.storeTimestamp.milliseconds, born: record.bornTimestamp.milliseconds,
            client: record.bornHost, topic: queue.topic, messages: 1, bytes: Int64(record.body.count))
    }

    /// The broker's log ends at `end`, and from here on its buckets may be full.
    func begins(_ broker: Int, at end: Int64) {
        beginnings[broker, default: []].append(end)
        // What was cut off may be followed by something else.
        records[broker] = records[broker]?.filter { $0.key < end }
    }

    /// Counts everything that was seen on a broker.
    func check(_ broker: Int) {
        let quotas = world.profile.quotas
        var beginnings = (beginnings[broker] ?? []).sorted()[...]
        var topics: [Int: Buckets] = [:]
        var clients: [UInt64: Buckets] = [:]
        for unit in units(broker) {
            while let first = beginnings.first, first <= unit.physical {
                beginnings.removeFirst()
                topics = [:]
                clients = [:]
            }
            guard topics[unit.topic, default: Buckets()].take(unit, quotas.topic.send) else {
                return world.fail(
                    "quota",
                    "\(world.topicName(unit.topic)) of broker-\(broker) takes more than its quota with what is at \(unit.physical)"
                )
            }
            // All have IPv4 addresses.
            guard clients[unit.client.high, default: Buckets()].take(unit, quotas.client.send) else {
                return world.fail(
                    "quota", "a client sends more than its quota to broker-\(broker) with what is at \(unit.physical)")
            }
        }
    }

    /// What was stored, send by send: a batch passes or waits as a whole.
    private func units(_ broker: Int) -> [Unit] {
        var units: [Unit] = []
        for (_, unit) in (records[broker] ?? [:]).sorted(by: { $0.key < $1.key }) {
            if let last = units.last, last.stored == unit.stored, last.born == unit.born, last.client == unit.client,
                last.topic == unit.topic
            {
                units[units.count - 1].messages += 1
                units[units.count - 1].bytes += unit.bytes
            } else {
                units.append(unit)
            }
        }
        return units
    }
}
