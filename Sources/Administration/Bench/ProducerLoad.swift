import Base
import Runtime
import Telemetry

/// The producers of one worker: what they share. Belongs to the worker's loop.
final class ProducerLoad {
    let workload: Workload
    let run: UInt64
    let templates: SendTemplates
    let targets: [BrokerTarget]
    private(set) var connections: [ProducerConnection] = []
    var figures = LoadFigures()
    /// Latencies since the last progress line.
    var recent = Histogram()
    var acknowledgedMessages = 0
    var errorCount = 0
    /// What the brokers confirmed, by producer; nil when nobody will ask.
    private(set) var keepsAcknowledged: Bool

    private var schedule: SendSchedule
    private(set) var isMeasuring = false
    private(set) var isStopped = true
    /// Sends that the measured part may still issue; nil for no limit.
    private var remaining: Int?
    private(set) var finishedAt: Int64?
    private var nextConnection = 0

    /// - Parameters:
    ///   - indices: numbers of this worker's connections among all.
    ///   - share: the part of the rate and of the count that falls to this worker, from 0 to 1.
    init(
        _ workload: Workload, run: UInt64, targets: [BrokerTarget], indices: [Int], share: Double, loop: EventLoop,
        keepsAcknowledged: Bool
    ) {
        self.workload = workload
        self.run = run
        self.targets = targets
        self.keepsAcknowledged = keepsAcknowledged
        let widest = targets.flatMap(\.queues).map(\.queueID).max() ?? 0
        templates = SendTemplates(workload, run: run, queueIDMaximum: widest)
        schedule = SendSchedule(perSecond: workload.rate.map { $0 * share / Double(workload.batchSize) })
        for index in indices {
            connections.append(ProducerConnection(self, number: index, of: workload.producerConnections, on: loop))
        }
    }

    var wakeIntervalNanoseconds: Int64? { schedule.wakeIntervalNanoseconds }

    // MARK: - Phases

    func start(_ now: Int64) {
        isStopped = false
        schedule.begin(at: now)
        for connection in connections { connection.proceed() }
    }

    /// - Parameter messages: how many to send before the part is over; nil for no limit.
    func beginMeasuring(messages: Int?) {
        isMeasuring = true
        remaining = messages.map { ($0 + workload.batchSize - 1) / workload.batchSize }
        figures = LoadFigures()
    }

    func endMeasuring() { isMeasuring = false }

    /// True if an answer that came now belongs to the measured part. Of a number of messages, only those that were sent for
    /// it count; of a time, all that were answered in it.
    @inline(__always)
    func counts(_ slot: InFlight.Slot) -> Bool { isMeasuring && (remaining == nil || slot.isMeasured) }

    /// Issues no more sends; answers are still awaited.
    func stop() { isStopped = true }

    func end() {
        for connection in connections { connection.end() }
        connections = []
    }

    // MARK: - Sends

    /// Takes leave to issue one send.
    /// - Returns: when it should have left; nil when none is due.
    @inline(__always)
    func take(_ now: Int64) -> Int64? {
        guard !isStopped else { return nil }
        if let remaining {
            guard remaining > 0, let due = schedule.take(now) else { return nil }
            self.remaining = remaining - 1
            return due
        }
        return schedule.take(now)
    }

    /// Issues what is due in an open loop, one send for each connection in turn.
    func tick(_ now: Int64) {
        guard !isStopped, schedule.isOpenLoop, !connections.isEmpty else { return }
        var idle = 0
        while idle < connections.count {
            nextConnection = nextConnection + 1 < connections.count ? nextConnection + 1 : 0
            idle = connections[nextConnection].issueOne(now) ? 0 : idle + 1
        }
    }

    /// Called when a request has ended in any way.
    @inline(__always)
    func requestEnded(_ now: Int64) {
        guard let remaining, remaining == 0, finishedAt == nil else { return }
        if connections.allSatisfy({ !$0.hasUnanswered }) { finishedAt = now }
    }

    var unanswered: Int { connections.reduce(0) { $0 + $1.unanswered } }
    var openConnections: Int { connections.reduce(0) { $0 + ($1.connection == nil ? 0 : 1) } }

    /// Gives up requests that wait for too long.
    func expire(_ now: Int64) {
        for connection in connections { connection.expire(now - workload.timeoutMilliseconds * 1_000_000) }
    }

    var acknowledged: [ProducerID: SequenceSet] {
        var result: [ProducerID: SequenceSet] = [:]
        for connection in connections {
            result[ProducerID(run: run, producer: connection.producer)] = connection.acknowledged
        }
        return result
    }
}
