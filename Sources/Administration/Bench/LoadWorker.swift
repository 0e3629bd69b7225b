import Base
import Runtime
import Synchronization
import Telemetry

/// One thread of load: an event loop with its share of the producers and consumers, and the door to them from outside.
actor LoadWorker {
    nonisolated let loop: EventLoop
    nonisolated var unownedExecutor: UnownedSerialExecutor { loop.asUnownedSerialExecutor() }
    private let producers: ProducerLoad?
    private let consumers: ConsumerLoad?
    private let clock = SystemClock()
    private var timer: LoopTimer?
    private var ticks = 0

    private static let tickMilliseconds: Int64 = 5
    /// Between two looks for requests that wait too long, in ticks.
    private static let expireEvery = 20

    /// Everything that a worker must know; see ``ProducerLoad`` and ``ConsumerLoad``.
    struct Plan: Sendable {
        var workload: Workload
        /// The run that producers belong to.
        var run: UInt64
        /// The run whose messages count for consumers; nil takes those of all.
        var runReceived: UInt64?
        var targets: [BrokerTarget]
        /// Numbers of this worker's producers.
        var producers: [Int]
        /// This worker's consumers: number, broker, queues.
        var consumers: [Consumer]
        var clientPrefix: String
        var subscriptionVersion: Int64
        var keepsAcknowledged: Bool

        struct Consumer: Sendable {
            var number: Int
            var target: Int
            var cursors: [QueueCursor]
        }
    }

    init(_ plan: Plan, on loop: EventLoop) {
        self.loop = loop
        let workload = plan.workload
        if workload.produces {
            producers = ProducerLoad(
                workload, run: plan.run, targets: plan.targets, indices: plan.producers,
                share: Double(plan.producers.count) / Double(workload.producerConnections), loop: loop,
                keepsAcknowledged: plan.keepsAcknowledged)
        } else {
            producers = nil
        }
        if workload.consumes {
            consumers = ConsumerLoad(
                workload, run: plan.runReceived, clientPrefix: plan.clientPrefix,
                subscriptionVersion: plan.subscriptionVersion,
                assignments: plan.consumers.map { (plan.targets[$0.target], $0.number, $0.cursors) }, loop: loop)
        } else {
            consumers = nil
        }
    }

    // MARK: - Phases

    /// Opens all connections.
    /// - Throws: the first failure.
    func connect(timeoutMilliseconds: Int64) async throws {
        let connections: [LoadConnection] = (producers?.connections ?? []) + (consumers?.connections ?? [])
        guard !connections.isEmpty else { return }
        try await withCheckedThrowingContinuation { (waiting: CheckedContinuation<Void, any Error>) in
            var left = connections.count
            var failure: RuntimeError?
            for connection in connections {
                connection.dial(timeoutMilliseconds: timeoutMilliseconds) { error in
                    if failure == nil { failure = error }
                    left -= 1
                    guard left == 0 else { return }
                    if let failure { waiting.resume(throwing: failure) } else { waiting.resume() }
                }
            }
        }
        timer = loop.schedule(
            afterMilliseconds: Self.tickMilliseconds, repeatingEveryMilliseconds: Self.tickMilliseconds
        ) { self.tick() }
    }

    func startConsumers() { consumers?.start() }

    func startProducers() { producers?.start(now) }

    /// - Parameters:
    ///   - messages: how many this worker's producers send in the measured part; nil for no limit.
    ///   - quota: how many all consumers receive; nil for no limit.
    func beginMeasuring(messages: Int?, quota: ReceiveQuota?) {
        producers?.beginMeasuring(messages: messages)
        consumers?.beginMeasuring(quota: quota)
    }

    func endMeasuring() {
        producers?.endMeasuring()
        consumers?.endMeasuring()
    }

    func stopProducers() { producers?.stop() }

    /// Ends everything, closes all connections, and says what was counted.
    func finish() -> Outcome {
        timer?.cancel()
        consumers?.stop()
        let outcome = Outcome(
            sent: producers?.figures, received: consumers?.figures, verifier: consumers?.verifier,
            acknowledged: producers?.acknowledged ?? [:])
        producers?.end()
        consumers?.end()
        return outcome
    }

    struct Outcome: Sendable {
        var sent: LoadFigures?
        var received: LoadFigures?
        var verifier: DeliveryVerifier?
        var acknowledged: [ProducerID: SequenceSet]
    }

    // MARK: - Meanwhile

    /// - Parameter withRecent: take the latencies since the last such call, too.
    func progress(withRecent: Bool) -> LoadProgress {
        var progress = LoadProgress()
        if let producers {
            progress.acknowledged = producers.acknowledgedMessages
            progress.errors += producers.errorCount
            progress.openConnections += producers.openConnections
            progress.unanswered = producers.unanswered
            progress.isFinished = producers.finishedAt != nil
            progress.finishedAt = producers.finishedAt ?? 0
            if withRecent { progress.recent.merge(producers.recent) }
        }
        if let consumers {
            progress.received = consumers.receivedMessages
            progress.distinct = consumers.verifier.distinct
            progress.errors += consumers.errorCount
            progress.openConnections += consumers.openConnections
            if producers == nil {
                progress.isFinished = consumers.finishedAt != nil
                progress.finishedAt = consumers.finishedAt ?? 0
            }
            if withRecent { progress.recent.merge(consumers.recent) }
        }
        if withRecent {
            producers?.recent = Histogram()
            consumers?.recent = Histogram()
        }
        return progress
    }

    /// How often ``pace()`` must be called in an open loop; nil in a closed one.
    var wakeIntervalNanoseconds: Int64? { producers?.wakeIntervalNanoseconds }

    /// Issues the sends that are due.
    func pace() { producers?.tick(now) }

    private func tick() {
        let now = self.now
        ticks += 1
        consumers?.tick(now)
        guard ticks % Self.expireEvery == 0 else { return }
        producers?.expire(now)
        for connection in consumers?.connections ?? [] { connection.expire(now) }
    }

    private var now: Int64 { clock.monotonic.nanoseconds }
}
