import Base
import Model
import Simulation
import Storage
import Testing

@testable import BrokerCore

/// Random producers against a broker that is killed, restarted, and whose wall clock is set, beside a model of what each
/// transaction must come to.
@Suite("Transactions against a model")
struct TransactionModelTests {
    @Test(
        "a committed message is delivered once, another never, and who says nothing is asked on time and not too often",
        arguments: ModelSeeds.first(6))
    func model(seed: UInt64) throws {
        try TransactionModel(seed: seed).run(steps: 400)
    }

    private struct Fate {
        var half: PreparedHalf
        /// Where the log ended behind the half message, and behind its end; nil when it is pending.
        var halfEnd: PhysicalOffset
        var end: (PhysicalOffset, isCommit: Bool)?
    }

    @Test(
        "over power cuts: what the log still has is what happened, no more and no less",
        arguments: ModelSeeds.first(6))
    func powerCuts(seed: UInt64) throws {
        let random = SeededRandom(seed: seed)
        let test = try TestBroker()
        try test.broker.putTopic(TopicConfiguration(name: "Orders", readQueueCount: 4, writeQueueCount: 4))
        try test.flush()
        var fates: [Fate] = []
        var number = 0
        for _ in 0..<150 {
            switch random.next(below: 16) {
            case 0:
                let flushed = test.broker.flushed
                try test.losePower()
                let survived = test.broker.store.end
                #expect(survived >= flushed, "seed \(seed)")
                fates.removeAll { $0.halfEnd > survived }
                for index in fates.indices where fates[index].end.map({ $0.0 > survived }) ?? false {
                    fates[index].end = nil
                }
            case 1: try test.kill()
            case 2: try test.flush()
            case 3: try test.advance(milliseconds: Int64(random.next(below: 8_000)))
            case 4...9:
                number += 1
                let half = try test.prepare("Orders", "\(number)")
                fates.append(Fate(half: half, halfEnd: test.broker.store.end))
            default:
                guard !fates.isEmpty else { continue }
                let index = random.next(below: fates.count)
                let isCommit = random.next(below: 3) > 0
                let ended = (try? test.end(fates[index].half, isCommit ? .commit : .rollback)) != nil
                #expect(ended == (fates[index].end == nil), "seed \(seed): \(fates[index])")
                if ended { fates[index].end = (test.broker.store.end, isCommit) }
            }
            let committed = fates.filter { $0.end?.isCommit == true }.map(\.half.body)
            #expect(try test.all("Orders").sorted() == committed.sorted(), "seed \(seed)")
            #expect(test.broker.pendingTransactionCount == Int64(fates.count { $0.end == nil }), "seed \(seed)")
        }
    }
}

/// One run.
private final class TransactionModel {
    private enum Fate: Equatable {
        case pending
        case committed
        case rolledBack
        case givenUp
    }

    private final class Transaction {
        let half: PreparedHalf
        let queueID: Int32
        let group: String
        var fate = Fate.pending
        var checks = 0
        /// When it is to be asked about next, on the monotonic clock; a restart may put it off by one wait at the most.
        var earliest: MonotonicTime
        init(_ half: PreparedHalf, _ queueID: Int32, _ group: String, _ earliest: MonotonicTime) {
            self.half = half
            self.queueID = queueID
            self.group = group
            self.earliest = earliest
        }
    }

    private static let timeout: Int64 = 6_000
    private static let interval: Int64 = 20_000
    private static let maximum = 4
    private static let groups = ["payers", "savers", "nobody"]

    private let seed: UInt64
    private let random: SeededRandom
    private let test: TestBroker
    private var transactions: [Transaction] = []
    private var channels: [String: TestChannel] = [:]
    private var seen: [String: Int] = [:]
    /// Whether the wall clock was ever set: then the time of a question is not exact after a start.
    private var isClockExact = true

    init(seed: UInt64) throws {
        self.seed = seed
        random = SeededRandom(seed: seed)
        test = try TestBroker {
            $0.transactions.timeoutMilliseconds = Self.timeout
            $0.transactions.checkIntervalMilliseconds = Self.interval
            $0.transactions.checkMaximum = Int32(Self.maximum)
            $0.transactions.waitingMaximum = seed % 3 == 0 ? 8 : 1_000
            $0.memberExpiryMilliseconds = 1_000_000_000
        }
        try connect()
    }

    /// Producers of all groups but one come online.
    private func connect() throws {
        for group in Self.groups.dropLast() {
            let channel = TestChannel()
            channels[group] = channel
            try test.produce(group, on: channel, client: group)
        }
        seen.removeAll()
    }

    func run(steps: Int) throws {
        for _ in 0..<steps { try step() }
        // Everybody is asked as often as can be.
        let late = TestChannel()
        channels["nobody"] = late
        try test.produce("nobody", on: late, client: "late")
        for _ in 0..<400 {
            try pass(milliseconds: Self.interval)
            guard transactions.contains(where: { $0.fate == .pending }) else { break }
        }
        try compare()
        #expect(transactions.allSatisfy { $0.fate != .pending }, "seed \(seed)")
        #expect(test.broker.pendingTransactionCount == 0, "seed \(seed)")
        #expect(test.broker.state.checkedHalves.count == 0, "seed \(seed)")
        try test.restart()
        try compare()
    }

    private func step() throws {
        switch random.next(below: 101) {
        case 0..<45: try begin()
        case 45..<70: try end()
        case 70..<90: try pass(milliseconds: Int64(random.next(below: 4_000)))
        case 90..<93: try pass(milliseconds: Int64(random.next(below: 40_000)))
        case 93..<95: if seed % 2 == 0 { try jump() }
        case 95..<97: try restart(isKilled: false)
        case 97..<99: try restart(isKilled: true)
        case 99: try endAndDie()
        default: try compare()
        }
    }

    /// The process dies before the turn has ended, so that the end of the transaction was never written.
    private func endAndDie() throws {
        guard let transaction = transactions.last, transaction.fate == .pending else { return }
        let group = Array(transaction.group.utf8)
        _ = try? test.broker.endTransaction(
            random.next(below: 2) == 0 ? .commit : .rollback, at: transaction.half.physicalOffset,
            queueOffset: transaction.half.queueOffset, group: group.span.bytes, mayWait: true)
        try restart(isKilled: true)
        try compare()
    }

    private func begin() throws {
        let group = Self.groups[random.next(below: Self.groups.count)]
        let queueID = Int32(random.next(below: 4))
        let isPatient = random.next(below: 5) == 0
        let seconds = random.next(below: 30)
        let half = try test.prepare(
            "Orders", "\(transactions.count)", queueID: queueID, group: group,
            properties: isPatient ? [("CHECK_IMMUNITY_TIME_IN_SECONDS", "\(seconds)")] : [])
        let wait = isPatient ? Int64(seconds) * 1_000 : Self.timeout
        transactions.append(
            Transaction(half, queueID, group, test.clock.monotonic.advanced(byMilliseconds: wait)))
    }

    private func end() throws {
        guard !transactions.isEmpty else { return }
        let transaction = transactions[random.next(below: transactions.count)]
        let isCommit = random.next(below: 3) > 0
        do {
            try test.end(transaction.half, isCommit ? .commit : .rollback, group: transaction.group)
            #expect(transaction.fate == .pending, "seed \(seed): \(transaction.half) ended twice")
            transaction.fate = isCommit ? .committed : .rolledBack
        } catch BrokerError.transaction(.ended) {
            try noteGivenUp()
            #expect(transaction.fate != .pending, "seed \(seed): \(transaction.half) was not ended")
        }
    }

    private func jump() throws {
        let by = Int64(random.next(below: 200_000_000)) - 100_000_000
        test.clock.setWallClock(Timestamp(milliseconds: test.clock.timestamp.milliseconds + by))
        isClockExact = false
    }

    private func restart(isKilled: Bool) throws {
        if isKilled { try test.kill() } else { try test.restart() }
        // Measured by the wall clock now, so that a question may come early as well as late.
        if !isClockExact { for transaction in transactions { transaction.earliest = test.clock.monotonic } }
        try connect()
    }

    private func pass(milliseconds: Int64) throws {
        var rest = milliseconds
        while rest > 0 {
            try test.advance(milliseconds: min(rest, 500))
            rest -= 500
            try noteChecks()
        }
    }

    /// Takes in what producers were asked.
    private func noteChecks() throws {
        for (group, channel) in channels {
            for check in channel.checks[(seen[group] ?? 0)...] {
                let transaction = try #require(transactions.first { $0.half.queueOffset.rawValue == check.queueOffset })
                #expect(transaction.group == group, "seed \(seed): a stranger was asked")
                #expect(transaction.fate == .pending, "seed \(seed): asked about what is ended: \(transaction.half)")
                #expect(
                    transaction.earliest <= test.clock.monotonic, "seed \(seed): asked too early: \(transaction.half)")
                transaction.checks += 1
                #expect(transaction.checks <= Self.maximum, "seed \(seed): asked too often: \(transaction.half)")
                // The steps are of 500 ms.
                transaction.earliest = test.clock.monotonic.advanced(byMilliseconds: Self.interval - 500)
            }
            seen[group] = channel.checks.count
        }
        try noteGivenUp()
    }

    private func noteGivenUp() throws {
        for body in try test.all("TRANS_CHECK_MAX_TIME_TOPIC") {
            let transaction = transactions[try #require(Int(body))]
            #expect(transaction.fate == .pending || transaction.fate == .givenUp, "seed \(seed): \(transaction.half)")
            if transaction.fate == .pending {
                #expect(transaction.checks == Self.maximum, "seed \(seed): given up too early: \(transaction.half)")
            }
            transaction.fate = .givenUp
        }
    }

    private func compare() throws {
        try noteGivenUp()
        for queueID in 0..<Int32(4) {
            let expected = transactions.filter { $0.fate == .committed && $0.queueID == queueID }.map(\.half.body)
            let found = test.broker.topic("Orders") == nil ? [] : try test.all("Orders", queueID: queueID)
            #expect(found.sorted() == expected.sorted(), "seed \(seed)")
        }
        let givenUp = transactions.filter { $0.fate == .givenUp }.map(\.half.body)
        #expect(try test.all("TRANS_CHECK_MAX_TIME_TOPIC").sorted() == givenUp.sorted(), "seed \(seed)")
        let pending = transactions.filter { $0.fate == .pending }.count
        #expect(test.broker.pendingTransactionCount == Int64(pending), "seed \(seed)")
    }
}
