import Base
import Bytes
import Model
import RemotingProtocol
import Runtime
import Telemetry

/// One pull consumer: a connection with one unanswered pull for each of its queues, held by the broker when there is nothing.
final class ConsumerConnection: LoadConnection {
    private let load: ConsumerLoad
    private let clientID: String
    private var cursors: ContiguousArray<Cursor>
    /// The verifier's number of the first of these queues.
    private let firstQueue: Int
    private var isRegistered = false
    private var isStarted = false
    private var caughtUp = 0
    private var isWaiting = false
    private let flags: PullFlags
    private let holdMilliseconds: Int64

    private struct Cursor {
        var queue: QueueReference
        var offset: Int64
        /// 0 when no pull is unanswered.
        var opaque: Int32 = 0
        var sent: Int64 = 0
        /// When to pull again, in nanoseconds; 0 for at once.
        var pausedUntil: Int64 = 0
        var isCaughtUp = false
        var uses: Int32 = 0
    }

    /// Opaques of requests that are no pulls.
    private static let heartbeatOpaque: Int32 = 1
    private static let unregisterOpaque: Int32 = 2
    private static let heartbeatNanoseconds: Int64 = 30_000_000_000
    private var nextHeartbeat: Int64 = 0
    /// After an answer that would otherwise be asked for again and again.
    private static let pauseNanoseconds: Int64 = 10_000_000

    init(
        _ load: ConsumerLoad, target: BrokerTarget, cursors: [QueueCursor], firstQueue: Int, clientID: String,
        on loop: EventLoop
    ) {
        self.load = load
        self.clientID = clientID
        self.cursors = ContiguousArray(cursors.map { Cursor(queue: $0.queue, offset: $0.offset) })
        self.firstQueue = firstQueue
        let workload = load.workload
        // Who wants to know where the end is must not be made to wait there.
        holdMilliseconds = workload.end == .caughtUp && workload.kind == .consume ? 0 : workload.longPollMilliseconds
        var flags: PullFlags = []
        if holdMilliseconds > 0 { flags.insert(.suspend) }
        if workload.subscription == .header { flags.insert(.subscription) }
        if workload.commits { flags.insert(.commitOffset) }
        self.flags = flags
        super.init(loop, host: target.host, port: target.port, workload: load.workload)
    }

    var isCaughtUp: Bool { caughtUp == cursors.count }

    // MARK: - Membership

    override func opened() { sendHeartbeat() }

    /// Announces the group, which a broker wants to know before it answers a pull.
    private func sendHeartbeat() {
        guard let connection else { return }
        nextHeartbeat = now + Self.heartbeatNanoseconds
        let subscriptions = load.topics.map { Subscription(topic: $0, version: load.subscriptionVersion) }
        let data = HeartbeatData(
            clientID: clientID,
            consumers: [
                ConsumerData(
                    groupName: load.workload.consumerGroup, consumeType: .pull, messageModel: .clustering,
                    consumeFromWhere: .firstOffset, subscriptions: subscriptions)
            ])
        var writer = writer(to: connection)
        writer.begin(request: .heartbeat, opaque: Self.heartbeatOpaque)
        writer.beginBody()
        data.encode(to: connection.output)
        writer.end()
        connection.outputAdded()
    }

    func unregister() {
        guard let connection, isRegistered else { return }
        var writer = writer(to: connection)
        writer.begin(request: .unregisterClient, opaque: Self.unregisterOpaque)
        UnregisterClientHeader(clientID: clientID, consumerGroup: load.workload.consumerGroup).write(into: &writer)
        writer.end()
        connection.outputAdded()
    }

    // MARK: - Pulls

    func start() {
        isStarted = true
        pullAll()
    }

    private func pullAll() {
        guard isStarted, isRegistered else { return }
        let now = self.now
        for index in cursors.indices where cursors[index].opaque == 0 && !cursors[index].isCaughtUp {
            pull(index, now)
        }
    }

    private func pull(_ index: Int, _ now: Int64) {
        guard !load.isStopped, let connection, connection.isOpen else { return }
        // The same scheme as InFlight, with a slot for each queue.
        let count = Int32(cursors.count)
        let uses = cursors[index].uses
        cursors[index].uses = uses + 1 < 1_000_000_000 / count ? uses + 1 : 0
        let opaque = InFlight.firstOpaque + uses * count + Int32(index)
        cursors[index].opaque = opaque
        cursors[index].sent = now
        cursors[index].pausedUntil = 0
        let cursor = cursors[index]
        var writer = writer(to: connection)
        writer.begin(request: .pullMessage, opaque: opaque)
        PullMessageHeader.write(
            into: &writer, consumerGroup: load.workload.consumerGroup, topic: load.topics[Int(cursor.queue.topic)],
            queueID: QueueID(cursor.queue.queueID), queueOffset: QueueOffset(cursor.offset),
            maxMessageCount: Int32(load.workload.pullSize), flags: flags, commitOffset: QueueOffset(cursor.offset),
            suspendTimeoutMilliseconds: holdMilliseconds, subscription: flags.contains(.subscription) ? "*" : nil,
            subscriptionVersion: load.subscriptionVersion)
        writer.end()
        connection.outputAdded()
    }

    private func pause(_ index: Int, until time: Int64) {
        cursors[index].pausedUntil = time
        isWaiting = true
    }

    // MARK: - Answers

    override func answered(_ frame: Frame, in input: ByteBuffer) {
        guard header.opaque >= InFlight.firstOpaque else { return answeredHeartbeat(in: input) }
        let index = Int((header.opaque - InFlight.firstOpaque) % Int32(cursors.count))
        guard cursors[index].opaque == header.opaque else { return }
        cursors[index].opaque = 0
        let next = (try? header.int64(ifPresent: "nextBeginOffset", in: input.bytes)) ?? nil
        switch header.responseCode {
        case .success:
            found(index, input.bytes.extracting(frame.body))
            if let next { cursors[index].offset = next }
            pull(index, receivedAt)
        case .pullNotFound, .pullRetryImmediately, .pullOffsetMoved:
            foundNothing(index, next)
        default:
            failed(.refused(header.code), header.remark.map { input.bytes.extracting($0).string() } ?? "")
            pause(index, until: receivedAt + 10 * Self.pauseNanoseconds)
        }
    }

    private func answeredHeartbeat(in input: ByteBuffer) {
        guard header.opaque == Self.heartbeatOpaque else { return }
        guard header.responseCode == .success else {
            failed(.refused(header.code), header.remark.map { input.bytes.extracting($0).string() } ?? "")
            return
        }
        guard !isRegistered else { return }
        isRegistered = true
        pullAll()
    }

    private func found(_ index: Int, _ records: RawSpan) {
        var position = 0
        var messages = 0
        var bytes = 0
        var lowest = cursors[index].offset
        while position < records.byteCount {
            let rest = records.extracting(position..<records.byteCount)
            guard let record = try? MessageRecord(rest) else {
                load.verifier.foundGarbage()
                break
            }
            if load.workload.verifies { verify(record, rest, index, lowest) }
            lowest = record.queueOffset.rawValue + 1
            messages += 1
            bytes += record.body.count
            position += record.size
        }
        // In case the answer does not say where to go on.
        cursors[index].offset = lowest
        if load.isMeasuring {
            load.figures.requests += 1
            load.figures.requestLatency.record(receivedAt - cursors[index].sent)
        }
        load.received(messages: messages, bytes: bytes, at: receivedAt)
    }

    @inline(__always)
    private func verify(_ record: MessageRecord, _ bytes: RawSpan, _ index: Int, _ lowest: Int64) {
        let stamp = load.verifier.check(
            record, in: bytes, queue: firstQueue + index, expectedQueue: cursors[index].queue.queueID, offset: lowest)
        guard let stamp, load.measuresDelivery else { return }
        let latency = receivedAt - stamp.intendedNanoseconds
        load.recent.record(latency)
        if load.isMeasuring { load.figures.deliveryLatency.record(latency) }
    }

    private func foundNothing(_ index: Int, _ next: Int64?) {
        let moved = next != nil && next != cursors[index].offset
        if let next { cursors[index].offset = next }
        if load.isMeasuring { load.figures.emptyPulls += 1 }
        if moved { return pull(index, receivedAt) }
        if load.workload.end == .caughtUp, load.workload.kind == .consume {
            cursors[index].isCaughtUp = true
            caughtUp += 1
            load.noteProgress(receivedAt)
        } else if header.responseCode == .pullNotFound, holdMilliseconds > 0 {
            pull(index, receivedAt)
        } else {
            pause(index, until: receivedAt + Self.pauseNanoseconds)
        }
    }

    private func failed(_ error: LoadError, _ remark: String = "") {
        load.errorCount += 1
        if load.isMeasuring { load.figures.count(error, remark: remark) }
    }

    // MARK: - Time

    /// Called every few milliseconds.
    func tick(_ now: Int64) {
        if isWaiting { resumePaused(now) }
        if isRegistered, now >= nextHeartbeat { sendHeartbeat() }
    }

    private func resumePaused(_ now: Int64) {
        isWaiting = false
        for index in cursors.indices where cursors[index].pausedUntil > 0 {
            if cursors[index].pausedUntil <= now { pull(index, now) } else { isWaiting = true }
        }
    }

    /// Gives up pulls that the broker has not answered although it should have.
    func expire(_ now: Int64) {
        let limit = now - (holdMilliseconds + load.workload.timeoutMilliseconds) * 1_000_000
        for index in cursors.indices where cursors[index].opaque != 0 && cursors[index].sent < limit {
            cursors[index].opaque = 0
            failed(.timeout)
            pull(index, now)
        }
    }

    override func lost() {
        isRegistered = false
        for index in cursors.indices where cursors[index].opaque != 0 {
            cursors[index].opaque = 0
            if !load.isStopped { failed(.connectionLost) }
        }
    }
}
