import Base
import Bytes
import Model
import Simulation
import Testing

@testable import Storage

@Suite("Recovery")
struct RecoveryTests {
    @Test("each combination of what is found at the end of the log has one decision")
    func decisions() {
        let findings: [LogScanner.Finding] = [.nothing, .damaged(reason: "r")]
        var rows: [String] = []
        for finding in findings {
            for isBeyond in [true, false] {
                for hasBehind in [true, false] {
                    let decision = RecoveryDecision.decide(
                        finding: finding, isBeyondFlushed: isBeyond, hasRecordsBehind: hasBehind)
                    rows.append("\(finding == .nothing ? "nothing" : "damage") \(isBeyond) \(hasBehind): \(decision)")
                }
            }
        }
        let gone = "corrupt(reason: \"bytes that were flushed are gone\")"
        #expect(
            rows == [
                "nothing true true: cutHere", "nothing true false: endsHere", "nothing false true: \(gone)",
                "nothing false false: \(gone)", "damage true true: cutHere", "damage true false: cutHere",
                "damage false true: corrupt(reason: \"r\")", "damage false false: corrupt(reason: \"r\")",
            ])
    }

    @Test("a last record that is torn at any byte is cut, and what comes after it is not mixed with the rest")
    func torn() throws {
        let size = recordSize(body: 10)
        for kept in 0..<size {
            let fixture = StoreFixture()
            let store = try fixture.open()
            for number in 0..<5 { try store.send("message 0\(number)") }
            try store.endTurn()
            fixture.disk.crash(.processKill)
            let path = fixture.path(ofSegment: 0)
            let end = Int(store.end.rawValue)
            // The rest of the record never reached the disk; what an older life left there may shine through.
            let file = try fixture.disk.open(path, .existing)
            try file.write(
                [UInt8](
                    repeating: kept % 2 == 0 || kept > size - RecordWriter.checksumSize ? 0 : 0xDA, count: size - kept
                ).span.bytes, at: end - size + kept)
            let again = try fixture.open()
            #expect(again.end.rawValue == Int64(end - size), "\(kept)")
            #expect(try again.all() == (0..<4).map { "message 0\($0)" })
            try again.send("short")
            try again.endTurn()
            #expect(try fixture.reopen(after: .processKill).all() == (0..<4).map { "message 0\($0)" } + ["short"])
        }
    }

    @Test(
        "a stop that dies in any of its calls leaves a store that opens with everything in it",
        arguments: 1...8 as ClosedRange<UInt64>)
    func interruptedStop(seed: UInt64) throws {
        var call = 1
        var isOver = false
        while !isOver {
            let fixture = StoreFixture(seed: seed)
            let store = try fixture.open()
            // Two rounds, so that the snapshot of the first is removed.
            for round in 0..<2 {
                try store.state("state \(round)")
                try store.send("message \(round)")
                try store.endTurn()
                try fixture.checkpoint(store)
            }
            try store.state("state 2")
            fixture.disk.faults.dieAtCall = fixture.disk.callCount + call
            try? store.close()
            isOver = !fixture.disk.hasDied
            let again = try fixture.reopen(after: .processKill)
            #expect(try again.all() == ["message 0", "message 1"], "call \(call)")
            let states = fixture.state.records.prefix(2).map { String(decoding: $0, as: UTF8.self) }
            #expect(states == ["state 0", "state 1"], "call \(call)")
            call += 1
        }
        #expect(call > 10)
    }

    @Test("a wrong byte anywhere in what was flushed is reported with its place, and nothing is changed")
    func corrupt() throws {
        let fixture = StoreFixture()
        let store = try fixture.open()
        for number in 0..<3 { try store.send("message \(number)", properties: "KEYS\u{1}k") }
        try store.endTurn()
        fixture.flush(store)
        // The checkpoint claims the log, the views are behind, so all of it is read again.
        let end = Int(store.end.rawValue)
        let path = fixture.path(ofSegment: 0)
        fixture.disk.crash(.processKill)
        let checkpoint = Checkpoint(sequence: 1, flushedOffset: PhysicalOffset(Int64(end)))
        try CheckpointFile.write(checkpoint, to: try fixture.disk.open("store/checkpoint", .existing))
        for position in 0..<end {
            fixture.disk.rot(path, at: position)
            let before = fixture.disk.contents(path)
            let record = position / (end / 3)
            do {
                _ = try fixture.open()
                Issue.record("byte \(position) went unnoticed")
            } catch let error as StorageError {
                guard case .corrupt(let file, let place, _) = error else { throw error }
                #expect(file == path && place == record * (end / 3), "byte \(position)")
            }
            fixture.disk.crash(.processKill)
            #expect(fixture.disk.contents(path) == before)
            fixture.disk.rot(path, at: position)
        }
        #expect(try fixture.open().all().count == 3)
    }

    @Test("records that lie behind a cut do not come back when the log grows over them", arguments: 1...40)
    func stale(seed: UInt64) throws {
        let fixture = StoreFixture(seed: seed)
        fixture.disk.faults.writeBackOneIn = 2
        var store = try fixture.open()
        var known: [String] = []
        for life in 0..<6 {
            for number in 0..<60 { try store.send("\(life).\(number)") }
            try store.endTurn()
            let before = known + (0..<60).map { "\(life).\($0)" }
            store = try fixture.reopen(after: .powerLoss)
            known = try store.all()
            #expect(before.starts(with: known))
        }
    }

    @Test("a crash right behind a full segment, before the next has a name, is harmless")
    func fullSegment() throws {
        let fixture = StoreFixture()
        var store = try fixture.open()
        while store.commitLog.segments.count < 2 { try store.send("x") }
        try store.endTurn()
        let bodies = try store.all()
        fixture.disk.crash(.processKill)
        fixture.disk.uninstall(fixture.path(ofSegment: 4096))
        store = try fixture.open()
        #expect(store.end == PhysicalOffset(4096))
        try store.send("y")
        try store.endTurn()
        #expect(try store.all() == bodies.dropLast() + ["y"])
        #expect(try fixture.reopen(after: .processKill).all() == bodies.dropLast() + ["y"])
    }

    @Test("a power cut that takes the length of a segment, or a segment between others, is no damage")
    func lostNames() throws {
        for lost in [true, false] {
            let fixture = StoreFixture()
            var store = try fixture.open()
            while store.commitLog.segments.count < 3 { try store.send("x") }
            try store.endTurn()
            let count = try store.all().count
            fixture.disk.crash(.processKill)
            if lost {
                fixture.disk.uninstall(fixture.path(ofSegment: 4096))
            } else {
                try fixture.disk.open(fixture.path(ofSegment: 4096), .existing).truncate(to: 100)
            }
            store = try fixture.open()
            let left = try store.all().count
            #expect(left > 30 && left < count)
            #expect(store.commitLog.segments.allSatisfy { $0.size == 4096 })
            try store.send("y")
            try store.endTurn()
            #expect(try fixture.reopen(after: .processKill).all().count == left + 1)
        }
    }

    @Test("without the folder of the consume queues all queues are made anew; without a part of one, what it had")
    func views() throws {
        let fixture = StoreFixture()
        let store = try fixture.open()
        for number in 0..<300 { try store.send("message \(number)") }
        try store.endTurn()
        try fixture.checkpoint(store)
        try store.send("later")
        try store.endTurn()
        let bodies = try store.all()
        fixture.disk.crash(.processKill)
        fixture.disk.uninstall("store/consumequeue/T/0/00000000000000004000")
        #expect(try fixture.open().all() == bodies)
        fixture.disk.crash(.processKill)
        fixture.disk.uninstall("store/consumequeue")
        #expect(try fixture.open().all() == bodies)
    }

    @Test(
        "a removed topic stays removed, and what was sent to its successor is there", arguments: SimulatedCrash.allCases
    )
    func removedTopic(crash: SimulatedCrash) throws {
        let fixture = StoreFixture()
        let store = try fixture.open()
        for number in 0..<10 { try store.send("old \(number)") }
        try store.endTurn()
        try fixture.checkpoint(store)
        for number in 10..<20 { try store.send("old \(number)") }
        try store.state("-T")
        try store.removeQueues(ofTopic: "T")
        try store.send("new")
        try store.endTurn()
        #expect(try store.all() == ["new"])
        fixture.flush(store)
        #expect(try fixture.reopen(after: crash).all() == ["new"])
    }

    @Test("two processes do not share a store; a clean stop leaves no mark, a crash does")
    func marks() throws {
        let fixture = StoreFixture()
        let store = try fixture.open()
        #expect(throws: StorageError.locked(path: "store/lock")) { try fixture.open() }
        #expect(fixture.disk.exists("store/abort"))
        try store.send("x")
        try store.close()
        #expect(!fixture.disk.exists("store/abort"))
        let again = try fixture.open()
        #expect(try again.all() == ["x"])
        // The mark is durable before anything else happens, or a power cut would look like a clean stop.
        try again.send("y")
        try again.endTurn()
        fixture.flush(again)
        #expect(try fixture.reopen(after: .powerLoss).all() == ["x", "y"])
    }
}

@Suite("Checkpoint and snapshot")
struct CheckpointTests {
    private func decoded(_ bytes: [UInt8]?) -> Checkpoint? {
        let bytes = bytes ?? []
        return CheckpointFile.decode(bytes.span.bytes)
    }

    @Test("a slot with a wrong byte does not count; the one before does")
    func slots() throws {
        let disk = SimulatedDisk()
        let file = try disk.open("checkpoint", .createNew)
        var first = Checkpoint(sequence: 6, viewsOffset: PhysicalOffset(5))
        try CheckpointFile.write(first, to: file)
        #expect(decoded(disk.contents("checkpoint")) == first)
        var second = first
        second.sequence = 7
        second.snapshotOffset = PhysicalOffset(9)
        second.isCleanStop = true
        try CheckpointFile.write(second, to: file)
        #expect(decoded(disk.contents("checkpoint")) == second)
        for position in 2048..<2048 + CheckpointFile.slotSize {
            disk.rot("checkpoint", at: position)
            #expect(decoded(disk.contents("checkpoint")) == first)
            disk.rot("checkpoint", at: position)
        }
        for size in 0...2200 {
            let found = decoded(disk.contents("checkpoint").map { Array($0.prefix(size)) })
            #expect(found == (size >= 2116 ? second : size >= 1092 ? first : nil))
        }
        first.sequence = 0
        #expect(first != second)
    }

    @Test("the state comes back from the snapshot and the records behind it")
    func snapshot() throws {
        let fixture = StoreFixture()
        let store = try fixture.open()
        for name in ["a", "b", "c"] { try store.state(name) }
        try store.endTurn()
        try fixture.checkpoint(store)
        try store.state("d")
        try store.endTurn()
        _ = try fixture.reopen(after: .processKill)
        #expect(fixture.state.records.map { String(decoding: $0, as: UTF8.self) } == ["a", "b", "c", "d"])
        // The next round takes the place of the old snapshot only when it is durable.
        #expect(fixture.disk.files(below: "store/snapshots").count == 1)
    }

    @Test("a snapshot that is missing or has a wrong byte is reported")
    func damagedSnapshot() throws {
        let fixture = StoreFixture()
        let store = try fixture.open()
        for name in ["a", "b"] { try store.state(name) }
        try store.endTurn()
        try fixture.checkpoint(store)
        fixture.disk.crash(.processKill)
        let path = try #require(fixture.disk.files(below: "store/snapshots").first)
        for position in 0..<(try #require(fixture.disk.contents(path)).count) {
            fixture.disk.rot(path, at: position)
            #expect(throws: StorageError.self) { try fixture.open() }
            fixture.disk.crash(.processKill)
            fixture.disk.rot(path, at: position)
        }
        _ = try fixture.open()
        fixture.disk.crash(.processKill)
        fixture.disk.uninstall(path)
        #expect(throws: StorageError.self) { try fixture.open() }
    }

    @Test("a start without a change does not put the snapshot at risk", arguments: 1...20)
    func sameSnapshot(seed: UInt64) throws {
        let fixture = StoreFixture(seed: seed)
        let store = try fixture.open()
        try store.state("a")
        try store.close()
        let again = try fixture.open()
        fixture.clock.advance(milliseconds: 1000)
        for _ in 0..<4 { try again.keepHouse() }
        _ = try fixture.reopen(after: .powerLoss)
        #expect(fixture.state.records.count == 1)
    }
}

@Suite("Retention of segments")
struct RetentionTests {
    @Test("expired segments go one by one, the minimum follows, and a power cut leaves no gap", arguments: 1...20)
    func expired(seed: UInt64) throws {
        let fixture = StoreFixture(seed: seed)
        var store = try fixture.open()
        while store.commitLog.segments.count < 8 { try store.send("x") }
        try store.endTurn()
        let count = try store.all().count
        fixture.clock.advance(milliseconds: 2 * 3_600_000)
        // Nothing that a start would replay goes.
        try store.keepHouse()
        #expect(store.metrics.segmentsRemoved == 0)
        try fixture.checkpoint(store)
        for _ in 0..<Int(seed % 10) {
            fixture.clock.advance(milliseconds: 500)
            try store.keepHouse()
            if seed % 3 > 0 { fixture.disk.runCompletions() }
        }
        let left = try store.all().count
        let first = store.commitLog.start
        #expect(try store.fetched(from: 0).result.status == (first == .zero ? .found : .offsetTooSmall))
        store = try fixture.reopen(after: .powerLoss)
        #expect(store.start <= first)
        #expect(try store.all().count >= left && store.all().count <= count)
    }

    @Test("each row of use and hour has its decision")
    func decisions() {
        var configuration = RetentionConfiguration()
        configuration.deletionHours = [4]
        let rows: [(Double, Int, RetentionDecision)] = [
            (0.75, 3, .init(removesExpired: false, removesOldest: false, refusesMessages: false)),
            (0.75, 4, .init(removesExpired: true, removesOldest: false, refusesMessages: false)),
            (0.76, 3, .init(removesExpired: true, removesOldest: false, refusesMessages: false)),
            (0.86, 3, .init(removesExpired: true, removesOldest: true, refusesMessages: false)),
            (0.91, 3, .init(removesExpired: true, removesOldest: true, refusesMessages: true)),
        ]
        for (ratio, hour, decision) in rows {
            #expect(RetentionDecision.decide(configuration, usedRatio: ratio, hour: hour) == decision)
        }
    }
}

@Suite("Disk faults")
struct DiskFaultTests {
    @Test("a disk that is full at any step refuses messages, serves reads, and takes messages when there is room again")
    func full() throws {
        for room in 0..<16 {
            let fixture = StoreFixture(segmentSize: 16_384)
            // Retention looks at the same disk and would refuse earlier.
            fixture.configuration.retention.diskRatioForRefusal = 2
            fixture.configuration.retention.isForcedDeletionEnabled = false
            let store = try fixture.open()
            var sent: [String] = []
            try store.send("first")
            try store.endTurn()
            sent.append("first")
            fixture.disk.capacity = fixture.disk.usedBytes + Int64(room) * 4096
            var refusals = 0
            for number in 0..<400 {
                do {
                    if store.isWritable {
                        try store.send("\(number)", properties: "KEYS\u{1}k")
                        sent.append("\(number)")
                    } else {
                        refusals += 1
                    }
                } catch StorageError.diskFull {
                    refusals += 1
                }
                try store.endTurn()
                fixture.clock.advance(milliseconds: 60)
                do { try store.keepHouse() } catch StorageError.diskFull {}
                fixture.disk.runCompletions()
                #expect(store.failure == nil)
            }
            #expect(refusals > 0)
            #expect(try sent.starts(with: store.all()))
            fixture.disk.capacity = 1 << 40
            try store.endTurn()
            try store.send("last")
            try store.endTurn()
            #expect(try store.all() == sent + ["last"])
            #expect(try fixture.reopen(after: .processKill).all() == sent + ["last"])
        }
    }

    @Test("with synchronous flush nothing is shown that a power cut takes, and the tail is turned over all the same")
    func shownWhenFlushed() throws {
        let fixture = StoreFixture()
        fixture.configuration.flushMode = .synchronous
        fixture.configuration.tailChunkSize = 4_096
        fixture.configuration.messageSizeMaximum = 1_024
        let store = try fixture.open()
        var sent: [String] = []
        for number in 0..<200 {
            let body = "\(number) " + String(repeating: "x", count: 500)
            try store.send(body)
            sent.append(body)
            // Several chunks full of messages come in one turn now and then.
            guard number % 40 == 39 else { continue }
            try store.endTurn()
            let seen = try store.all()
            #expect(seen.count < sent.count && store.dispatched == store.flushed)
            fixture.disk.runCompletions()
            try store.endTurn()
            while fixture.disk.runCompletions() > 0 { try store.endTurn() }
            #expect(try store.all() == sent)
        }
        try store.send("written")
        try store.endTurn()
        #expect(try store.all() == sent)
        // What a killed process has written is shown by the next one, so it is made durable first.
        let next = try fixture.reopen(after: .processKill)
        #expect(try next.all() == sent + ["written"])
        #expect(next.flushed == next.end)
        #expect(try fixture.reopen(after: .powerLoss).all() == sent + ["written"])
    }

    @Test("a flush begins within a turn when much has come, no other is under way, and somebody waits for it")
    func earlyFlush() throws {
        for mode in [StoreConfiguration.FlushMode.synchronous, .asynchronous] {
            let fixture = StoreFixture(segmentSize: 1 << 20)
            fixture.configuration.flushMode = mode
            let store = try fixture.open()
            let body = String(repeating: "x", count: CommitLog.earlyFlushSize / 2)
            try store.send(body)
            try store.flushEarly()
            #expect(!fixture.disk.hasCompletions && store.written < store.end)
            try store.send(body)
            try store.flushEarly()
            #expect(fixture.disk.hasCompletions == (mode == .synchronous))
            guard mode == .synchronous else { continue }
            let early = store.end
            #expect(store.written == early)
            for _ in 0..<3 { try store.send(body) }
            // One at a time: the others wait for the end of the turn.
            try store.flushEarly()
            #expect(store.written == early)
            try store.endTurn()
            #expect(store.written == store.end && store.flushed < early)
            while fixture.disk.runCompletions() > 0 {}
            #expect(store.flushed == early)
            try store.endTurn()
            #expect(try store.all().count == 2)
            while fixture.disk.runCompletions() > 0 { try store.endTurn() }
            #expect(try store.all().count == 5)
        }
    }

    @Test("after a failed write or synchronisation nothing is taken and nothing is tried again; reads go on")
    func stops() throws {
        for isWrite in [true, false] {
            let fixture = StoreFixture()
            let store = try fixture.open()
            try store.send("safe")
            try store.endTurn()
            fixture.flush(store)
            let flushed = store.flushed
            var calls = 0
            store.flushFinished = { calls += 1 }
            try store.send("unsafe")
            if isWrite {
                fixture.disk.faults.failCall = fixture.disk.callCount + 1
                #expect(throws: StorageError.self) { try store.endTurn() }
            } else {
                try store.endTurn()
                fixture.disk.faults.failSynchronize = true
                fixture.flush(store)
                fixture.disk.faults.failSynchronize = false
                #expect(calls == 1)
            }
            #expect(store.failure?.kind == .inputOutput && !store.isWritable && store.flushed == flushed)
            #expect(throws: StorageError.self) { try store.send("refused") }
            #expect(throws: StorageError.self) { try store.endTurn() }
            #expect(throws: StorageError.self) { try store.close() }
            let synchronisations = fixture.disk.counts.synchronisations
            store.flush()
            for _ in 0..<10 {
                fixture.clock.advance(milliseconds: 600)
                #expect(throws: StorageError.self) { try store.keepHouse() }
                fixture.disk.runCompletions()
            }
            #expect(fixture.disk.counts.synchronisations == synchronisations)
            #expect(try store.all().first == "safe")
            #expect(try fixture.reopen(after: .powerLoss).all().first == "safe")
        }
    }

    @Test(
        "the loop synchronises no folder when a segment is full, and the new name is durable before `flushed` is there")
    func roll() throws {
        let fixture = StoreFixture()
        let store = try fixture.open()
        try store.send("x")
        try store.endTurn()
        fixture.flush(store)
        let before = fixture.disk.counts.synchronisations
        while store.commitLog.segments.count < 4 { try store.send("x") }
        try store.endTurn()
        #expect(fixture.disk.counts.synchronisations == before)
        fixture.flush(store)
        #expect(store.flushed == store.written)
        let count = try store.all().count
        #expect(try fixture.reopen(after: .powerLoss).all().count == count)
    }
}
