import Base
import Runtime
import Synchronization
import Telemetry

/// A queue that a consumer reads, and where it stands.
struct QueueCursor: Sendable {
    var queue: QueueReference
    /// The next offset to ask for.
    var offset: Int64
}

/// Messages that all consumers together may still receive before the measured part is over.
final class ReceiveQuota: Sendable {
    private let left: Atomic<Int>
    init(_ messages: Int) { left = Atomic(messages) }

    /// Takes `messages` off.
    func use(_ messages: Int) { left.subtract(messages, ordering: .relaxed) }
    var isUsedUp: Bool { left.load(ordering: .relaxed) <= 0 }
}

/// The consumers of one worker: what they share. Belongs to the worker's loop.
final class ConsumerLoad {
    let workload: Workload
    let topics: [String]
    /// Written as the version of every subscription: any number that is new enough.
    let subscriptionVersion: Int64
    private(set) var connections: [ConsumerConnection] = []
    var verifier: DeliveryVerifier
    var figures = LoadFigures()
    var recent = Histogram()
    var receivedMessages = 0
    var errorCount = 0
    /// Latency of deliveries means something: the messages were sent meanwhile.
    let measuresDelivery: Bool

    private(set) var isMeasuring = false
    private(set) var isStopped = true
    private var quota: ReceiveQuota?
    private(set) var finishedAt: Int64?

    /// - Parameters:
    ///   - run: the run whose messages count; nil takes those of all.
    ///   - assignments: for each connection of this worker its broker and its queues.
    init(
        _ workload: Workload, run: UInt64?, clientPrefix: String, subscriptionVersion: Int64,
        assignments: [(target: BrokerTarget, number: Int, cursors: [QueueCursor])], loop: EventLoop
    ) {
        self.workload = workload
        self.subscriptionVersion = subscriptionVersion
        topics = (0..<workload.topicCount).map(workload.topicName)
        measuresDelivery = workload.kind == .endToEnd || workload.start == .last
        verifier = DeliveryVerifier(run: run, queueCount: assignments.reduce(0) { $0 + $1.cursors.count })
        var firstQueue = 0
        for assignment in assignments {
            connections.append(
                ConsumerConnection(
                    self, target: assignment.target, cursors: assignment.cursors, firstQueue: firstQueue,
                    clientID: "\(clientPrefix)@\(assignment.number)", on: loop))
            firstQueue += assignment.cursors.count
        }
    }

    // MARK: - Phases

    func start() {
        isStopped = false
        for connection in connections { connection.start() }
        noteProgress(connections.first?.now ?? 0)
    }

    /// - Parameter quota: ends the part; nil for no limit.
    func beginMeasuring(quota: ReceiveQuota?) {
        isMeasuring = true
        self.quota = quota
        figures = LoadFigures()
    }

    func endMeasuring() { isMeasuring = false }

    /// Asks for no more.
    func stop() { isStopped = true }

    func end() {
        for connection in connections {
            connection.unregister()
            connection.end()
        }
        connections = []
    }

    // MARK: - What connections report

    /// Counts messages that one answer brought.
    @inline(__always)
    func received(messages: Int, bytes: Int, at now: Int64) {
        receivedMessages += messages
        guard isMeasuring else { return }
        figures.messages += messages
        figures.bytes += bytes
        guard let quota else { return }
        quota.use(messages)
        noteQuota(quota, now)
    }

    private func noteQuota(_ quota: ReceiveQuota, _ now: Int64) {
        guard quota.isUsedUp, finishedAt == nil else { return }
        finishedAt = now
        isStopped = true
    }

    /// Called when a queue was found read to its end.
    func noteProgress(_ now: Int64) {
        guard workload.end == .caughtUp, workload.kind == .consume, finishedAt == nil else { return }
        if connections.allSatisfy(\.isCaughtUp) { finishedAt = now }
    }

    var openConnections: Int { connections.reduce(0) { $0 + ($1.connection == nil ? 0 : 1) } }

    /// Gives up pulls that wait for too long and repeats those that had to pause.
    func tick(_ now: Int64) {
        if let quota, isMeasuring { noteQuota(quota, now) }
        for connection in connections { connection.tick(now) }
    }
}
