import Base
import Bytes
import Model
import Simulation
import Testing

@testable import Storage

@Suite("Batches on a full disk")
struct BatchRoomTests {
    /// Appends a batch of `count` messages, as a session does; false when there is no room.
    private func send(_ count: Int, _ body: String, _ store: MessageStore) throws -> Bool {
        var batch = store.makeBatch()
        do {
            for _ in 0..<count {
                try store.reserve(
                    MessageStore.recordSizeMaximum(body: body.utf8.count, properties: 0, topic: 1), in: &batch)
            }
        } catch let error {
            guard error == .diskFull else { throw error }
            return false
        }
        store.beginBatch()
        defer { store.endBatch() }
        for _ in 0..<count { try store.send(body) }
        return true
    }

    @Test("whichever call finds the disk full, a batch is stored whole or not at all", arguments: [1, 5, 40, 130])
    func whole(count: Int) throws {
        // Segments of 4096 bytes: 40 messages need two or three, 130 some ten.
        for call in 1..<60 {
            let fixture = StoreFixture()
            let store = try fixture.open()
            for number in 0..<10 { try store.send("before \(number)") }
            try store.endTurn()
            fixture.disk.faults.failCall = fixture.disk.callCount + call
            fixture.disk.faults.failKind = .full
            let isStored = try send(count, "of the batch", store)
            fixture.disk.faults.failCall = nil
            try store.endTurn()
            let bodies = try store.all()
            #expect(bodies.count == 10 + (isStored ? count : 0), "call \(call)")
            // Room that was made for nothing is used by what comes.
            #expect(try send(count, "of the next", store))
            try store.endTurn()
            #expect(try store.all().count == bodies.count + count)
            let again = try fixture.reopen(after: .processKill)
            #expect(try again.all().count == bodies.count + count)
            if isStored { break }
        }
    }

    @Test("a batch that is larger than the memory for new records is stored whole, and the memory goes again")
    func large() throws {
        let fixture = StoreFixture(segmentSize: 1 << 20)
        fixture.configuration.tailChunkSize = 4096
        let store = try fixture.open()
        #expect(try send(1000, "of the batch", store))
        #expect(store.commitLog.tail.chunks.count > 20)
        // Nobody sees a part of it.
        #expect(try store.queue(topic: "T", QueueID(0)).maximumOffset == .zero)
        try store.endTurn()
        #expect(try store.all().count == 1000)
        for number in 0..<1000 {
            try store.send("after \(number)")
            try store.endTurn()
        }
        #expect(store.commitLog.tail.chunks.count == CommitLog.tailChunkCount)
        #expect(try store.all().count == 2000)
    }
}
