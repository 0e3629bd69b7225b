import Base
import Bytes
import Model
import RemotingProtocol
import Runtime
import Telemetry

/// One producer: a connection with its own sequence numbers, which goes round robin over the queues of its broker.
final class ProducerConnection: LoadConnection {
    let producer: UInt32
    private let load: ProducerLoad
    private let queues: [QueueReference]
    private let wallClock: any Clock
    private var inFlight: InFlight
    private var sequence: Int64 = 0
    private var nextQueue: Int
    private let batchSize: Int
    private let bodySize: Int
    /// Numbers that the broker confirmed; stays empty when nobody will ask.
    private(set) var acknowledged = SequenceSet()

    init(_ load: ProducerLoad, number: Int, of total: Int, on loop: EventLoop) {
        self.load = load
        producer = UInt32(number)
        let target = load.targets[number % load.targets.count]
        queues = target.queues
        // Connections begin at different queues, spread evenly.
        nextQueue = Int(Int64(queues.count) * Int64(number) / Int64(max(1, total))) % max(1, queues.count)
        inFlight = InFlight(slots: load.workload.inFlight)
        batchSize = load.workload.batchSize
        bodySize = load.workload.bodySize
        wallClock = loop.clock
        super.init(loop, host: target.host, port: target.port, workload: load.workload)
    }

    var hasUnanswered: Bool { !inFlight.isEmpty }
    var unanswered: Int { inFlight.count }

    override func opened() { proceed() }

    /// Issues whatever is due and allowed.
    override func proceed() {
        guard let connection, connection.isOpen else { return }
        let now = self.now
        while !connection.isCongested, inFlight.hasFree, let intended = load.take(now) {
            issue(intended, now, connection)
        }
    }

    /// Issues one send if one is due and this connection may.
    func issueOne(_ now: Int64) -> Bool {
        guard let connection, connection.isOpen, !connection.isCongested, inFlight.hasFree,
            let intended = load.take(now)
        else { return false }
        issue(intended, now, connection)
        return true
    }

    @inline(__always)
    private func issue(_ intended: Int64, _ now: Int64, _ connection: Connection) {
        let queue = queues[nextQueue]
        nextQueue = nextQueue + 1 < queues.count ? nextQueue + 1 : 0
        let opaque = inFlight.begin(
            intended: intended, sent: now, sequence: sequence, isMeasured: load.isMeasuring)
        load.templates[queue].append(
            to: connection.output, opaque: opaque, queue: queue, producer: producer, sequence: sequence,
            milliseconds: wallClock.timestamp.milliseconds, intended: intended)
        sequence += Int64(batchSize)
        connection.outputAdded()
    }

    // MARK: - Answers

    override func answered(_ frame: Frame, in input: ByteBuffer) {
        guard let slot = inFlight.end(header.opaque) else { return }
        if header.code == ResponseCode.success.rawValue {
            if load.workload.isTransactional { commit(in: input) }
            succeeded(slot)
        } else {
            failed(
                slot, .refused(header.code),
                remark: header.remark.map { input.bytes.extracting($0).string() } ?? "")
        }
        load.requestEnded(receivedAt)
    }

    /// Commits the half message that the answer at hand is about, and waits for no answer, as RocketMQ's clients do.
    private func commit(in input: ByteBuffer) {
        let span = input.bytes
        guard let connection, connection.isOpen, let id = header.value("msgId", in: span),
            let place = Self.offset(ofID: span.extracting(id)),
            let queueOffset = header.value("queueOffset", in: span)
        else { return }
        var writer = writer(to: connection)
        writer.begin(request: .endTransaction, opaque: 0, isOneway: true)
        writer.field("producerGroup", load.workload.producerGroup)
        writer.field("tranStateTableOffset", span.extracting(queueOffset))
        writer.field("commitLogOffset", place)
        writer.field("commitOrRollback", MessageFlags.transactionCommit)
        writer.field("fromTransactionCheck", false)
        writer.field("msgId", span.extracting(id))
        writer.end()
        connection.outputAdded()
    }

    /// The physical offset: the last 16 digits of a broker's id (remoting reference §1.8).
    private static func offset(ofID id: RawSpan) -> Int64? {
        guard id.byteCount >= 16 else { return nil }
        var value: UInt64 = 0
        for index in id.byteCount - 16..<id.byteCount {
            let byte = id.byte(at: index)
            switch byte {
            case UInt8(ascii: "0")...UInt8(ascii: "9"): value = value << 4 | UInt64(byte - UInt8(ascii: "0"))
            case UInt8(ascii: "A")...UInt8(ascii: "F"): value = value << 4 | UInt64(byte - UInt8(ascii: "A") + 10)
            default: return nil
            }
        }
        return Int64(bitPattern: value)
    }

    @inline(__always)
    private func succeeded(_ slot: InFlight.Slot) {
        load.acknowledgedMessages += batchSize
        if load.keepsAcknowledged {
            for index in 0..<Int64(batchSize) { _ = acknowledged.insert(slot.sequence + index) }
        }
        let latency = receivedAt - slot.intended
        load.recent.record(latency)
        guard load.counts(slot) else { return }
        load.figures.messages += batchSize
        load.figures.bytes += batchSize * bodySize
        load.figures.requests += 1
        if slot.isMeasured { load.figures.requestLatency.record(latency) }
    }

    private func failed(_ slot: InFlight.Slot, _ error: LoadError, remark: String = "") {
        load.errorCount += 1
        if load.counts(slot) { load.figures.count(error, remark: remark) }
    }

    override func lost() { giveUp(sentBefore: .max, .connectionLost) }

    func expire(_ limit: Int64) {
        giveUp(sentBefore: limit, .timeout)
        proceed()
    }

    private func giveUp(sentBefore limit: Int64, _ error: LoadError) {
        guard !inFlight.isEmpty else { return }
        inFlight.expire(sentBefore: limit) { failed($0, error) }
        load.requestEnded(now)
    }
}
