import Base
import Bytes
import Model

/// One sender of one run.
struct ProducerID: Hashable, Sendable {
    var run: UInt64
    var producer: UInt32
}

/// What a verifier has found so far.
struct DeliveryFigures: Equatable, Sendable {
    /// Messages of benchmarks, whatever else was wrong with them.
    var received = 0
    /// Received before.
    var duplicated = 0
    /// Received after a later message that the same producer sent to the same queue.
    var reordered = 0
    /// Another body than was sent, or a record that cannot be read.
    var corrupt = 0
    /// In another queue than they were pulled from, or with an offset that does not rise.
    var misplaced = 0
    /// Of others than benchmarks, or of other runs than the one that counts.
    var foreign = 0

    static func + (a: Self, b: Self) -> Self {
        DeliveryFigures(
            received: a.received + b.received, duplicated: a.duplicated + b.duplicated,
            reordered: a.reordered + b.reordered, corrupt: a.corrupt + b.corrupt, misplaced: a.misplaced + b.misplaced,
            foreign: a.foreign + b.foreign)
    }

    /// True when every message was as it should be; says nothing about those that never came.
    var isClean: Bool { duplicated == 0 && reordered == 0 && corrupt == 0 && misplaced == 0 }
}

/// Looks at every message that a consumer receives: is it whole, new, and in order?
///
/// Keeps one bit for each message and one number for each pair of queue and producer. In a steady state it allocates only as
/// the sets of bits double.
struct DeliveryVerifier: Sendable {
    private(set) var figures = DeliveryFigures()
    /// Messages seen at least once.
    private(set) var distinct = 0
    /// The only run that counts; nil takes all.
    private let run: UInt64?
    private let queueCount: Int

    private var producers: [ProducerID] = []
    private var sets: [SequenceSet] = []
    private var indices: [ProducerID: Int] = [:]
    /// The producer of the message before, which is often that of the next.
    private var lastProducer = ProducerID(run: 0, producer: 0)
    private var lastIndex = -1
    /// The highest sequence so far, or -1, at `queue × width + producer`.
    private var highest = ContiguousArray<Int64>()
    private var width = 0

    /// - Parameter queueCount: queues are numbered from 0 by the caller.
    init(run: UInt64?, queueCount: Int) {
        self.run = run
        self.queueCount = queueCount
    }

    /// Judges one stored message of queue `queue`.
    /// - Parameters:
    ///   - record: as read from `bytes`.
    ///   - expectedQueue: the queue that was asked.
    ///   - offset: the lowest offset that it may have.
    /// - Returns: the stamp of a good message that counts.
    mutating func check(
        _ record: MessageRecord, in bytes: RawSpan, queue: Int, expectedQueue: Int32, offset: Int64
    ) -> MessageStamp? {
        if record.queueID.rawValue != expectedQueue || record.queueOffset.rawValue < offset { figures.misplaced += 1 }
        switch MessageStamp.check(bytes.extracting(record.body)) {
        case .good(let stamp):
            return observe(stamp, queue: queue) ? stamp : nil
        case .foreign:
            // A body that never was a benchmark's still has the checksum that the broker gave it.
            if record.bodyMatchesCRC(in: bytes) { figures.foreign += 1 } else { figures.corrupt += 1 }
        case .corrupt:
            figures.corrupt += 1
        }
        return nil
    }

    /// A pull's answer held bytes that are no record.
    mutating func foundGarbage() { figures.corrupt += 1 }

    /// Judges the place of a message that is whole.
    /// - Returns: false when it belongs to a run that does not count.
    @inline(__always)
    mutating func observe(_ stamp: MessageStamp, queue: Int) -> Bool {
        if let run, run != stamp.run {
            figures.foreign += 1
            return false
        }
        figures.received += 1
        let producer = index(of: ProducerID(run: stamp.run, producer: stamp.producer))
        let isNew = sets[producer].insert(stamp.sequence)
        let place = queue * width + producer
        if !isNew {
            figures.duplicated += 1
        } else {
            distinct += 1
            if stamp.sequence < highest[place] { figures.reordered += 1 }
        }
        if stamp.sequence > highest[place] { highest[place] = stamp.sequence }
        return true
    }

    @inline(__always)
    private mutating func index(of producer: ProducerID) -> Int {
        if lastIndex >= 0, producer == lastProducer { return lastIndex }
        lastProducer = producer
        lastIndex = indices[producer] ?? add(producer)
        return lastIndex
    }

    @inline(never)
    private mutating func add(_ producer: ProducerID) -> Int {
        let index = producers.count
        producers.append(producer)
        sets.append(SequenceSet())
        indices[producer] = index
        if index >= width { widen(to: max(4, width * 2)) }
        return index
    }

    private mutating func widen(to newWidth: Int) {
        var wider = ContiguousArray<Int64>(repeating: -1, count: queueCount * newWidth)
        for queue in 0..<queueCount {
            for producer in 0..<width { wider[queue * newWidth + producer] = highest[queue * width + producer] }
        }
        highest = wider
        width = newWidth
    }

    /// What was received, by producer.
    var received: [ProducerID: SequenceSet] {
        Dictionary(uniqueKeysWithValues: zip(producers, sets))
    }
}

/// The verdict over all consumers of a run.
struct DeliveryVerdict: Equatable, Sendable {
    var figures = DeliveryFigures()
    /// Messages that should have come and did not; nil when nobody can tell.
    var lost: Int?
    /// An example of a lost one.
    var firstLost: String?

    var isClean: Bool { figures.isClean && (lost ?? 0) == 0 }

    /// Puts the findings of all consumers together.
    /// - Parameters:
    ///   - acknowledged: what brokers said they have; nil when that is not known.
    ///   - isComplete: the consumers saw every queue from its first message to its end, so that a hole is a loss.
    init(_ verifiers: [DeliveryVerifier], acknowledged: [ProducerID: SequenceSet]?, isComplete: Bool) {
        var received: [ProducerID: SequenceSet] = [:]
        for verifier in verifiers {
            figures = figures + verifier.figures
            for (producer, set) in verifier.received {
                figures.duplicated += received[producer, default: SequenceSet()].formUnion(set)
            }
        }
        if let acknowledged {
            judge(received, acknowledged)
        } else if isComplete {
            lost = received.values.reduce(0) { $0 + $1.holes }
        }
    }

    init() {}

    private mutating func judge(_ received: [ProducerID: SequenceSet], _ acknowledged: [ProducerID: SequenceSet]) {
        var lost = 0
        for (producer, set) in acknowledged.sorted(by: { $0.key.producer < $1.key.producer }) {
            let seen = received[producer] ?? SequenceSet()
            lost += set.countMissing(in: seen)
            if firstLost == nil, let number = set.firstMissing(in: seen) {
                firstLost = "number \(number) of producer \(producer.producer)"
            }
        }
        self.lost = lost
    }
}
