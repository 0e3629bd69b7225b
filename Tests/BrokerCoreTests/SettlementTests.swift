import Base
import Bytes
import Model
import Storage
import Testing

@testable import BrokerCore

@Suite("What is settled")
struct SettlementTests {
    static func pending(_ offset: Int64, _ kind: PendingID.Kind = .timer, queue: Int32 = 3) -> PendingID {
        PendingID(kind, QueueID(queue), QueueOffset(offset))
    }

    @Test(
        "a pending record's name comes back from the field of a record",
        arguments: [
            PendingID(.timer, QueueID(0), QueueOffset(0)), PendingID(.half, QueueID(0), QueueOffset(7)),
            PendingID(.timer, QueueID(PendingID.queueMaximum), QueueOffset(PendingID.offsetMaximum)),
        ])
    func field(pending: PendingID) { #expect(PendingID(field: pending.field) == pending) }

    @Test("what RocketMQ writes into that field names nothing", arguments: [0, 1, 1 << 40, -1, Int64.min, Int64.max])
    func otherFields(field: Int64) { #expect(PendingID(field: field) == nil) }

    @Test("offsets that are settled in any order are settled, and no others")
    func model() {
        var random = SystemRandomNumberGenerator()
        for _ in 0..<50 {
            let ledger = SettlementLedger()
            var model: Set<Int64> = []
            for _ in 0..<Int.random(in: 0..<400, using: &random) {
                let offset = Int64.random(in: 0..<300, using: &random)
                if Int.random(in: 0..<100, using: &random) == 0 {
                    ledger.settle(before: Self.pending(offset))
                    model.formUnion(0..<offset)
                } else {
                    ledger.settle(Self.pending(offset))
                    model.insert(offset)
                }
            }
            check(ledger, model)
            let copy = SettlementLedger()
            ledger.snapshot { record in
                switch record {
                case .settledBefore(let pending): copy.settle(before: pending)
                case .settledWords(let first, let words):
                    for (index, word) in words.enumerated() {
                        copy.settle(word: word, at: Self.pending(first.queueOffset.rawValue + Int64(index * 64)))
                    }
                default: Issue.record("\(record) in a snapshot of a ledger")
                }
            }
            check(copy, model)
        }
    }

    @Test(
        "what is settled far away costs what it says, and no more",
        arguments: [1 << 20, 1 << 43, PendingID.offsetMaximum])
    func farAway(offset: Int64) {
        var set = SettledOffsets()
        for step in 0..<Int64(100) { set.insert(QueueOffset(offset - step * 1_000)) }
        set.insert(word: 5, at: QueueOffset(offset / 128 * 64))
        set.insert(.zero)
        #expect(set.wordCount <= SettledOffsets.wordsMinimum + 102 * SettledOffsets.wordsEach)
        #expect(set.count == 103 && set.contains(QueueOffset(offset)) && set.contains(QueueOffset(offset - 99_000)))
        #expect(!set.contains(QueueOffset(offset - 1)) && set.firstMissing == QueueOffset(1))
        set.insertAll(before: QueueOffset(offset - 1))
        #expect(set.count == offset && set.firstMissing == QueueOffset(offset - 1) && set.wordCount <= 2)
        set.insert(QueueOffset(offset - 1))
        #expect(set.firstMissing == QueueOffset(offset + 1))
    }

    @Test("a set of offsets is what was put into it, near and far, and memory follows from how many they are")
    func farModel() {
        var random = SystemRandomNumberGenerator()
        for _ in 0..<100 {
            var set = SettledOffsets()
            var model: Set<Int64> = []
            let reach: Int64 = [2_000, 100_000, 1 << 30].randomElement(using: &random) ?? 1
            for _ in 0..<Int.random(in: 0..<300, using: &random) {
                // A few near the front, so that it moves.
                let isNear = Bool.random(using: &random)
                let offset = Int64.random(in: 0..<(isNear ? 200 : reach), using: &random)
                set.insert(QueueOffset(offset))
                model.insert(offset)
            }
            let allowed = SettledOffsets.wordsMinimum + SettledOffsets.wordsEach * model.count
            #expect(set.wordCount <= allowed && set.count == Int64(model.count))
            var copy = SettledOffsets()
            copy.insertAll(before: QueueOffset(set.base))
            set.forEachRun(ofAtMost: 7) { first, words in
                #expect(words.count <= 7)
                for (index, word) in words.enumerated() { copy.insert(word: word, at: first.advanced(by: index * 64)) }
            }
            for offset in model.flatMap({ [$0 - 1, $0, $0 + 1] }) where offset >= 0 {
                #expect(set.contains(QueueOffset(offset)) == model.contains(offset))
                #expect(copy.contains(QueueOffset(offset)) == model.contains(offset))
                var next = offset
                while model.contains(next) { next += 1 }
                #expect(set.firstMissing(from: QueueOffset(offset)) == QueueOffset(next))
            }
            #expect(copy.count == set.count && copy.firstMissing == set.firstMissing)
        }
    }

    private func check(_ ledger: SettlementLedger, _ model: Set<Int64>) {
        for offset in 0..<Int64(400) {
            #expect(ledger.isSettled(Self.pending(offset)) == model.contains(offset))
        }
        let first = (0...Int64(400)).first { !model.contains($0) }
        #expect(ledger.firstPending(.timer, QueueID(3)).rawValue == first)
        #expect(ledger.pendingCount(.timer, QueueID(3), before: QueueOffset(400)) == 400 - Int64(model.count))
        #expect(!ledger.isSettled(Self.pending(0, .half)) && !ledger.isSettled(Self.pending(0, queue: 2)))
    }

    @Test(
        "records of settlement come back as they were",
        arguments: [
            StateRecord.settled([pending(1), pending(5, .half)]), .settledBefore(pending(9)),
            .settledWords(pending(128), [1, .max]),
        ])
    func records(record: StateRecord) throws {
        let buffer = ByteBuffer(capacity: 64)
        record.encode(into: buffer)
        #expect("\(try StateRecord(buffer.bytes))" == "\(record)")
        for size in 0..<buffer.count {
            #expect(throws: StateRecordError.self) { try StateRecord(buffer.bytes.extracting(0..<size)) }
        }
    }

    @Test("a message settles what it came from, and a state record what ends without one", arguments: [false, true])
    func survives(isKilled: Bool) throws {
        let test = try TestBroker()
        let queue = try test.broker.store.queue(topic: "Orders", QueueID(0))
        var draft = MessageDraft(topic: Array("Orders".utf8).span.bytes, body: RawSpan(), properties: RawSpan())
        draft.preparedTransactionOffset = Self.pending(70).field
        _ = try test.broker.append(draft, to: queue)
        try test.broker.settle([Self.pending(2), Self.pending(1, .half)])
        try test.broker.endTurn()
        if isKilled { try test.kill() } else { try test.restart() }
        let ledger = test.broker.state.ledger
        #expect(ledger.isSettled(Self.pending(70)) && ledger.isSettled(Self.pending(2)))
        #expect(ledger.isSettled(Self.pending(1, .half)))
        #expect(ledger.pendingCount(.timer, QueueID(3), before: QueueOffset(100)) == 98)
    }
}
