import Base
import Bytes
import Model
import Simulation
import Testing

@testable import Storage

@Suite("How far queues reach")
struct QueueTableTests {
    private static let file = "store/consumequeue/T/0/00000000000000000000"

    enum Stop: CaseIterable { case clean, kill, power }

    /// A store with 40 messages, stopped as `stop` says behind a checkpoint that knows of them all.
    private func fixture(_ stop: Stop) throws -> (StoreFixture, [String]) {
        let fixture = StoreFixture(segmentSize: 16_384)
        let store = try fixture.open()
        let bodies = (10..<50).map { "message \($0)" }
        for body in bodies { try store.send(body) }
        try store.endTurn()
        if stop == .clean {
            try store.close()
        } else {
            fixture.flush(store)
            try fixture.checkpoint(store)
        }
        fixture.disk.crash(stop == .power ? .powerLoss : .processKill)
        return (fixture, bodies)
    }

    private func check(_ fixture: StoreFixture) throws -> StoreReport {
        let inspection = try StoreInspection(fixture.configuration, disk: fixture.disk, stateView: RecordedState())
        defer { inspection.close() }
        return try inspection.run()
    }

    @Test("a queue whose file was cut short keeps its end, its messages and its offsets", arguments: Stop.allCases)
    func cut(stop: Stop) throws {
        for size in [0, 1, 20 * 20, 20 * 39, 20 * 39 + 19] {
            let (fixture, bodies) = try fixture(stop)
            try fixture.disk.open(Self.file, .existing).truncate(to: size)
            let store = try fixture.open()
            #expect(try store.send("new").queueOffset == QueueOffset(40), "\(size) bytes were left")
            try store.endTurn()
            #expect(try store.all() == bodies + ["new"], "\(size) bytes were left")
            let again = try fixture.reopen(after: .processKill)
            #expect(try again.all() == bodies + ["new"])
        }
    }

    @Test("whatever bit of an entry flips, the queue reaches as far as before", arguments: Stop.allCases)
    func flips(stop: Stop) throws {
        for entry in [0, 10, 19, 20, 38, 39, 40] {
            for bit in [0, 20, 37, 63, 64, 80, 95] {
                let (fixture, bodies) = try fixture(stop)
                fixture.disk.rot(Self.file, at: entry * 20 + bit / 8, mask: 0x80 >> UInt8(bit % 8))
                let store = try fixture.open()
                #expect(try store.send("new").queueOffset == QueueOffset(40), "entry \(entry), bit \(bit)")
                try store.endTurn()
                #expect(try store.all() == bodies + ["new"], "entry \(entry), bit \(bit)")
            }
        }
    }

    @Test("a queue that lost its files is refused, and made anew by a repair", arguments: Stop.allCases)
    func lost(stop: Stop) throws {
        let (fixture, bodies) = try fixture(stop)
        fixture.disk.uninstall(Self.file)
        #expect(throws: StorageError.self) {
            let store = try fixture.open()
            _ = try store.queue(topic: "T", QueueID(0))
        }
        fixture.disk.crash(.processKill)
        let inspection = try StoreInspection(fixture.configuration, disk: fixture.disk, stateView: RecordedState())
        #expect(try inspection.run().damages.map(\.kind) == [.consumeQueue])
        try StoreRepair(inspection).run()
        inspection.close()
        let store = try fixture.open()
        #expect(try store.all() == bodies)
    }

    @Test("a damaged table is reported, and the files of the queues are believed", arguments: Stop.allCases)
    func damagedTable(stop: Stop) throws {
        let (fixture, bodies) = try fixture(stop)
        let tables = fixture.disk.files(below: "store/queues")
        #expect(tables.count == 1)
        let table = try #require(tables.first)
        fixture.disk.rot(table, at: 25)
        let damages = try check(fixture).damages
        #expect(damages.map(\.kind) == [.queueTable] && damages.first?.file == table)
        let store = try fixture.open()
        #expect(try store.all() == bodies)
        #expect(try store.send("new").queueOffset == QueueOffset(40))
    }

    @Test("without a table, entries that say two things about the end of a queue are refused")
    func withoutTable() throws {
        let (fixture, bodies) = try fixture(.clean)
        for table in fixture.disk.files(below: "store/queues") { fixture.disk.uninstall(table) }
        // Blank for bisection, which looks at entry 50, then 25 of the 100.
        fixture.disk.rot(Self.file, at: 25 * 20 + 8, mask: 0x80)
        let store = try fixture.open()
        let error = #expect(throws: StorageError.self) { try store.queue(topic: "T", QueueID(0)) }
        guard case .corrupt(let file, _, _) = try #require(error) else {
            Issue.record("\(String(describing: error))")
            return
        }
        #expect(file == Self.file && bodies.count == 40)
    }

    @Test("a topic that was removed and made again has nothing of the old one")
    func removed() throws {
        let (fixture, _) = try fixture(.kill)
        let store = try fixture.open()
        try store.state("-T")
        try store.removeQueues(ofTopic: "T")
        try store.send("new")
        try store.endTurn()
        for crash in [SimulatedCrash.processKill, .powerLoss] {
            fixture.flush(store)
            let again = try fixture.reopen(after: crash)
            #expect(try again.all() == ["new"])
        }
    }
}
