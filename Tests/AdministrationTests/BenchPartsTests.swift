import Base
import Bytes
import Glibc
import Model
import Telemetry
import Testing

@testable import Administration

@Suite("Unanswered requests")
struct InFlightTests {
    @Test("opaques have ten digits, differ, and lead back to their slot")
    func opaques() throws {
        var requests = InFlight(slots: 64)
        var opaques = Set<Int32>()
        for number in 0..<64 {
            let opaque = requests.begin(intended: Int64(number), sent: 0, sequence: Int64(number), isMeasured: true)
            #expect(String(opaque).count == 10)
            opaques.insert(opaque)
        }
        #expect(opaques.count == 64 && !requests.hasFree)
        for opaque in opaques where requests.end(opaque) == nil { Issue.record("\(opaque) leads nowhere") }
        #expect(requests.isEmpty)
    }

    @Test("an answer that comes after its request was given up finds nothing")
    func late() {
        var requests = InFlight(slots: 1)
        let first = requests.begin(intended: 0, sent: 10, sequence: 5, isMeasured: true)
        var given: [Int64] = []
        requests.expire(sentBefore: 10) { given.append($0.sequence) }
        #expect(given.isEmpty)
        requests.expire(sentBefore: 11) { given.append($0.sequence) }
        #expect(given == [5])
        let second = requests.begin(intended: 0, sent: 12, sequence: 6, isMeasured: true)
        let ends = [first, second, second].map { requests.end($0)?.sequence }
        #expect(ends == [nil, 6, nil])
    }

    @Test("opaques stay within 32 bits when they start again")
    func wraps() {
        var requests = InFlight(slots: 1_000_000)
        for _ in 0..<2500 {
            let opaque = requests.begin(intended: 0, sent: 0, sequence: 0, isMeasured: false)
            #expect(opaque >= InFlight.firstOpaque && opaque < 2_000_000_000)
            let slot = requests.end(opaque)
            #expect(slot != nil)
        }
    }

    @Test("opaques of strangers are passed over", arguments: [0, -1, 7, Int32.min, Int32.max])
    func strangers(_ opaque: Int32) {
        var requests = InFlight(slots: 3)
        let slot = requests.end(opaque)
        #expect(slot == nil)
    }
}

@Suite("Send schedule")
struct SendScheduleTests {
    private func taken(_ schedule: inout SendSchedule, at now: Int64) -> [Int64] {
        var times: [Int64] = []
        while let time = schedule.take(now) { times.append(time) }
        return times
    }

    @Test("a closed loop always sends, now")
    func closed() {
        var schedule = SendSchedule(perSecond: nil)
        schedule.begin(at: 5)
        let times = [schedule.take(17), schedule.take(17)]
        #expect(times == [17, 17])
        #expect(schedule.wakeIntervalNanoseconds == nil)
    }

    @Test("an open loop sends at fixed times")
    func open() {
        var schedule = SendSchedule(perSecond: 1000)
        schedule.begin(at: 100)
        let times = [100, 1_000_099, 3_000_100].map { taken(&schedule, at: $0) }
        #expect(times == [[100], [], [1_000_100, 2_000_100, 3_000_100]])
        #expect(schedule.wakeIntervalNanoseconds == 1_000_000)
    }

    @Test("sends that a stall delayed keep the times at which they were due")
    func stall() {
        var schedule = SendSchedule(perSecond: 1000)
        schedule.begin(at: 0)
        _ = taken(&schedule, at: 0)
        let late = taken(&schedule, at: 1_000_000_000)
        #expect(late.count == 1000)
        let waits = late.map { 1_000_000_000 - $0 }
        #expect(waits.max() == 999_000_000 && waits.min() == 0)
    }

    @Test("high rates send in groups and still send all", arguments: [20_000.0, 33_333, 1_000_000])
    func groups(_ rate: Double) {
        var schedule = SendSchedule(perSecond: rate)
        schedule.begin(at: 0)
        var count = 0
        for tick in 0...10_000 {
            let now = Int64(tick) * SendSchedule.tickNanoseconds
            for time in taken(&schedule, at: now) {
                #expect(time == now)
                count += 1
            }
        }
        #expect(abs(Double(count) - rate) <= 2)
    }
}

@Suite("Sequence set")
struct SequenceSetTests {
    @Test("knows its members, holes and ranges")
    func members() {
        var set = SequenceSet()
        for number: Int64 in [0, 1, 2, 63, 64, 65, 100_000] {
            let isNew = set.insert(number)
            let isNewAgain = set.insert(number)
            #expect(isNew && !isNewAgain)
        }
        #expect(set.count == 7 && set.maximum == 100_000 && set.holes == 100_001 - 7)
        #expect(set.contains(64) && !set.contains(66) && !set.contains(1 << 40) && !set.contains(-1))
        #expect(set.ranges == [0...2, 63...65, 100_000...100_000])
    }

    @Test("compares and joins with another")
    func joins() {
        var a = SequenceSet()
        var b = SequenceSet()
        for number: Int64 in 0..<200 { _ = a.insert(number) }
        for number: Int64 in 150..<100_000 where number != 170 { _ = b.insert(number) }
        #expect(a.countMissing(in: b) == 151 && a.firstMissing(in: b) == 0)
        #expect(b.countMissing(in: a) == 99_800 && b.firstMissing(in: a) == 200)
        let shared = a.formUnion(b)
        #expect(shared == 49)
        #expect(a.count == 100_000 && a.maximum == 99_999 && a.holes == 0)
        #expect(SequenceSet().ranges == [] && SequenceSet().holes == 0)
    }
}

@Suite("Delivery verifier")
struct DeliveryVerifierTests {
    private let run: UInt64 = 77

    private func stamp(_ sequence: Int64, producer: UInt32 = 0, run: UInt64 = 77) -> MessageStamp {
        MessageStamp(run: run, producer: producer, sequence: sequence, intendedNanoseconds: 0)
    }

    /// Lets a verifier see numbers of one producer in queue 0, and judges against 0 up to `sent`.
    private func verdict(_ seen: [Int64], sent: Int64) -> DeliveryVerdict {
        var verifier = DeliveryVerifier(run: run, queueCount: 1)
        for number in seen { _ = verifier.observe(stamp(number), queue: 0) }
        var acknowledged = SequenceSet()
        for number in 0..<sent { _ = acknowledged.insert(number) }
        return DeliveryVerdict(
            [verifier], acknowledged: [ProducerID(run: run, producer: 0): acknowledged], isComplete: true)
    }

    @Test("everything once and in order is clean")
    func clean() {
        let verdict = verdict([0, 1, 2, 3], sent: 4)
        #expect(verdict.isClean && verdict.lost == 0 && verdict.figures.received == 4)
    }

    @Test("a message that never came is lost")
    func loss() {
        let verdict = verdict([0, 1, 3], sent: 5)
        #expect(!verdict.isClean && verdict.lost == 2)
        #expect(verdict.firstLost == "number 2 of producer 0")
        #expect(verdict.figures.isClean)
    }

    @Test("a message that came twice is a duplicate, and nothing else")
    func duplicate() {
        let verdict = verdict([0, 1, 1, 2, 0], sent: 3)
        #expect(!verdict.isClean && verdict.figures.duplicated == 2)
        #expect(verdict.figures.reordered == 0 && verdict.lost == 0)
    }

    @Test("a message behind a later one of its producer is out of order")
    func reorder() {
        let verdict = verdict([0, 2, 1, 3], sent: 4)
        #expect(!verdict.isClean && verdict.figures.reordered == 1)
        #expect(verdict.figures.duplicated == 0 && verdict.lost == 0)
    }

    @Test("order counts within a queue and a producer only")
    func independent() {
        var verifier = DeliveryVerifier(run: nil, queueCount: 2)
        for (queue, producer, number) in [(0, 0, 5), (1, 0, 1), (0, 1, 2), (0, 0, 6), (1, 0, 3), (1, 1, 0)] {
            let counts = verifier.observe(stamp(Int64(number), producer: UInt32(producer)), queue: queue)
            #expect(counts)
        }
        #expect(verifier.figures.isClean)
    }

    @Test("more producers than were expected are kept apart")
    func manyProducers() {
        var verifier = DeliveryVerifier(run: nil, queueCount: 3)
        for number in 0..<10 {
            for producer in 0..<50 {
                _ = verifier.observe(stamp(Int64(number), producer: UInt32(producer)), queue: producer % 3)
            }
        }
        #expect(verifier.figures.isClean && verifier.distinct == 500)
        #expect(verifier.received.values.allSatisfy { $0.count == 10 })
    }

    @Test("one message at two consumers is a duplicate")
    func acrossConsumers() {
        var first = DeliveryVerifier(run: nil, queueCount: 1)
        var second = DeliveryVerifier(run: nil, queueCount: 1)
        for number: Int64 in 0..<10 { _ = first.observe(stamp(number), queue: 0) }
        for number: Int64 in 9..<20 { _ = second.observe(stamp(number), queue: 0) }
        let verdict = DeliveryVerdict([first, second], acknowledged: nil, isComplete: true)
        #expect(verdict.figures.duplicated == 1 && verdict.lost == 0)
    }

    @Test("without a record of what was sent, a hole is a loss only if everything was read")
    func holes() {
        var verifier = DeliveryVerifier(run: nil, queueCount: 1)
        for number: Int64 in [0, 1, 4] { _ = verifier.observe(stamp(number), queue: 0) }
        #expect(DeliveryVerdict([verifier], acknowledged: nil, isComplete: true).lost == 2)
        #expect(DeliveryVerdict([verifier], acknowledged: nil, isComplete: false).lost == nil)
        #expect(DeliveryVerdict([verifier], acknowledged: nil, isComplete: false).isClean)
    }

    @Test("other runs and other messages do not count")
    func foreign() throws {
        var verifier = DeliveryVerifier(run: run, queueCount: 1)
        let counts = verifier.observe(stamp(0, run: 1), queue: 0)
        #expect(!counts)
        try check(&verifier, body: Array("hello".utf8))
        #expect(verifier.figures.foreign == 2 && verifier.figures.received == 0 && verifier.figures.isClean)
    }

    @Test("a record whose body changed, or that is in the wrong place, is found")
    func records() throws {
        var body = [UInt8](repeating: 1, count: 64)
        body.withUnsafeMutableBytes { stamp(0).seal($0) }
        var verifier = DeliveryVerifier(run: run, queueCount: 1)
        try check(&verifier, body: body)
        #expect(verifier.figures.isClean && verifier.distinct == 1)
        body[40] ^= 1
        try check(&verifier, body: body)
        #expect(verifier.figures.corrupt == 1)
        // Not even the magic is whole: then the record's own checksum tells.
        try check(&verifier, body: Array("hello".utf8)) { $0[90] ^= 1 }
        #expect(verifier.figures.corrupt == 2 && verifier.figures.foreign == 0)
        try check(&verifier, body: Array("hello".utf8), expectedQueue: 4)
        try check(&verifier, body: Array("hello".utf8), offset: 11)
        #expect(verifier.figures.misplaced == 2)
    }

    private func check(
        _ verifier: inout DeliveryVerifier, body: [UInt8], expectedQueue: Int32 = 3, offset: Int64 = 10,
        change: (inout [UInt8]) -> Void = { _ in }
    ) throws {
        var bytes = FakeBroker.record("T", 3, 10, body, [])
        change(&bytes)
        let buffer = ByteBuffer()
        buffer.append(bytes)
        let record = try MessageRecord(buffer.bytes)
        _ = verifier.check(record, in: buffer.bytes, queue: 0, expectedQueue: expectedQueue, offset: offset)
    }
}

@Suite("Ledger")
struct LedgerTests {
    @Test("comes back as it was written")
    func roundTrip() {
        var set = SequenceSet()
        for number: Int64 in [0, 1, 2, 7, 9, 10] { _ = set.insert(number) }
        let ledger = Ledger(
            run: .max,
            acknowledged: [
                ProducerID(run: .max, producer: 3): set, ProducerID(run: .max, producer: 11): SequenceSet(),
            ])
        let text = "apus-bench-ledger 1\nrun ffffffffffffffff\nproducer 3 0-2 7-7 9-10\nproducer 11\n"
        #expect(ledger.text == text)
        #expect(Ledger(text) == ledger)
    }

    @Test(
        "anything else is refused",
        arguments: [
            "", "apus-bench-ledger 2\nrun 1\n", "apus-bench-ledger 1\n", "apus-bench-ledger 1\nrun x\n",
            "apus-bench-ledger 1\nrun 1\nproducer -1 0-2\n", "apus-bench-ledger 1\nrun 1\nproducer 1 3-2\n",
            "apus-bench-ledger 1\nrun 1\nproducer 1 0-99999999999999\n", "apus-bench-ledger 1\nrun 1\nother 1\n",
        ])
    func refused(_ text: String) { #expect(Ledger(text) == nil) }
}

@Suite("Process statistics")
struct ProcessStatisticsTests {
    private let status = "Name:\tx\nVmHWM:\t    2048 kB\nVmRSS:\t    1024 kB\nvoluntary_ctxt_switches:\t9\n"

    @Test("reads what the kernel writes, whatever the program is called", arguments: ["apus", "a b) R 1 (c", ")"])
    func texts(_ name: String) throws {
        let stat = "42 (\(name)) S 1 42 42 0 -1 4194304 500 0 0 0 250 50 0 0 20 0 1 0 100 1000 200"
        let thread = "voluntary_ctxt_switches:\t5\nnonvoluntary_ctxt_switches:\t2\n"
        let statistics = try #require(
            ProcessStatistics(
                stat: stat, status: status, io: "rchar: 1\nsyscr: 30\nsyscw: 40\n", threads: [thread, thread],
                ticksPerSecond: 100))
        #expect(statistics.cpuNanoseconds == 3_000_000_000)
        #expect(statistics.residentBytes == 1 << 20 && statistics.peakResidentBytes == 2 << 20)
        #expect(statistics.readCalls == 30 && statistics.writeCalls == 40)
        #expect(statistics.voluntarySwitches == 10 && statistics.involuntarySwitches == 4)
    }

    @Test("what may not be read is unknown, and what is no answer is none")
    func missing() throws {
        let stat = "1 (x) S 1 1 1 0 -1 0 0 0 0 0 1 1 0"
        let statistics = try #require(
            ProcessStatistics(stat: stat, status: "", io: nil, threads: [], ticksPerSecond: 100))
        #expect(statistics.readCalls == nil && statistics.residentBytes == 0)
        #expect(ProcessStatistics(stat: "nonsense", status: "", io: nil, threads: [], ticksPerSecond: 100) == nil)
        #expect(ProcessStatistics.of(4_194_304) == nil)
    }

    @Test("this process has used memory and time")
    func own() throws {
        let statistics = try #require(ProcessStatistics.of(Int(getpid())))
        #expect(statistics.residentBytes > 0 && statistics.peakResidentBytes >= statistics.residentBytes)
        #expect(ProcessStatistics.ownCPUNanoseconds > 0)
    }
}

@Suite("Disk probe")
struct DiskProbeTests {
    @Test("measures every write, leaves nothing behind, and says when it cannot")
    func measures() throws {
        var template = Array("/tmp/apus-bench-XXXXXX".utf8CString)
        let made = mkdtemp(&template) != nil
        try #require(made)
        let folder = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
        let histogram = try DiskProbe(folder: folder, blockSize: 1000, count: 5).measure()
        #expect(histogram.count == 5 && histogram.minimum > 0)
        // Fails unless the folder is empty.
        #expect(rmdir(folder) == 0)
        let failure = #expect(throws: CommandFailure.self) {
            try DiskProbe(folder: folder, blockSize: 1, count: 1).measure()
        }
        #expect(failure?.code == .failure)
    }
}

@Suite("Quantities")
struct QuantityTests {
    @Test("numbers are grouped and rounded for people")
    func numbers() {
        #expect(Quantity.grouped(0) == "0" && Quantity.grouped(999) == "999")
        #expect(Quantity.grouped(1_234_567) == "1,234,567" && Quantity.grouped(-1000) == "-1,000")
        #expect(Quantity.decimals(1.005, 1) == "1.0" && Quantity.decimals(1234.56, 1) == "1,234.6")
        #expect(Quantity.decimals(-0.25, 2) == "-0.25" && Quantity.decimals(2.6, 0) == "3")
        #expect(Quantity.time(1500) == "1.5 µs" && Quantity.time(250_000) == "250 µs")
        #expect(Quantity.time(12_300_000) == "12.3 ms" && Quantity.time(2_500_000_000) == "2.50 s")
    }
}
