import Base
import Simulation
import Testing

@Suite("Simulated disk")
struct SimulatedDiskTests {
    private func bytes(_ byte: UInt8, _ count: Int) -> [UInt8] { Array(repeating: byte, count: count) }

    /// A file of three pages, durable with its name; then written over and not synchronised.
    private func overwritten(seed: UInt64, writeBackOneIn: Int = 0) throws -> SimulatedDisk {
        let disk = SimulatedDisk(seed: seed)
        disk.faults.writeBackOneIn = writeBackOneIn
        let file = try disk.open("f", .createNew)
        try file.write(bytes(1, 12_288).span.bytes, at: 0)
        try file.synchronize()
        try disk.synchronizeDirectory("")
        try file.write(bytes(2, 12_288).span.bytes, at: 0)
        return disk
    }

    @Test("what is written is read, sparse places as zeros, and only pages written take room")
    func sparse() throws {
        let disk = SimulatedDisk()
        let file = try disk.open("f", .createIfMissing)
        try file.truncate(to: 1 << 30)
        #expect(disk.usedBytes == 0)
        try file.write(bytes(7, 10).span.bytes, at: 8190)
        #expect(disk.usedBytes == 8192)
        var buffer = bytes(9, 14)
        let count = try buffer.withUnsafeMutableBytes { try file.read(into: $0, at: 8188) }
        #expect(count == 14)
        #expect(buffer == [0, 0] + bytes(7, 10) + [0, 0])
        #expect(try file.size() == 1 << 30)
        try file.truncate(to: 8192)
        #expect(disk.usedBytes == 4096)
        try file.truncate(to: 20_000)
        #expect(disk.contents("f")?.last == 0 && disk.contents("f")?[8190] == 7)
        let atEnd = try buffer.withUnsafeMutableBytes { try file.read(into: $0, at: 19_999) }
        #expect(atEnd == 1)
    }

    @Test("a killed process leaves what it wrote")
    func processKill() throws {
        let disk = try overwritten(seed: 1)
        _ = try disk.open("new", .createNew)
        disk.crash(.processKill)
        #expect(disk.contents("f") == bytes(2, 12_288))
        #expect(disk.exists("new"))
        #expect(disk.openFileCount == 0)
    }

    @Test("a power loss keeps, loses or tears each page that was not synchronised; every outcome occurs")
    func powerLoss() throws {
        var kept = 0
        var lost = 0
        var torn = 0
        for seed in UInt64(0)..<200 {
            let disk = try overwritten(seed: seed)
            disk.crash(.powerLoss)
            let content = try #require(disk.contents("f"))
            for start in stride(from: 0, to: 12_288, by: 4096) {
                let page = content[start..<start + 4096]
                if page.allSatisfy({ $0 == 2 }) {
                    kept += 1
                } else if page.allSatisfy({ $0 == 1 }) {
                    lost += 1
                } else {
                    torn += 1
                    let sectors = stride(from: start, to: start + 4096, by: 512).map { Set(content[$0..<$0 + 512]) }
                    #expect(sectors.allSatisfy { $0 == [1] || $0 == [2] })
                }
            }
        }
        #expect(kept > 100 && lost > 50 && torn > 50)
    }

    @Test("the same seed gives the same outcome")
    func repeatable() throws {
        let outcomes = try (0..<2).map { _ in
            let disk = try overwritten(seed: 5)
            disk.crash(.powerLoss)
            return disk.contents("f")
        }
        #expect(outcomes[0] == outcomes[1])
    }

    @Test("a name that was not synchronised may vanish; one that was stays", arguments: UInt64(0)..<20)
    func names(seed: UInt64) throws {
        let disk = SimulatedDisk(seed: seed)
        try disk.makeDirectory("a/b")
        try disk.synchronizeDirectory("")
        try disk.synchronizeDirectory("a")
        let file = try disk.open("a/b/kept", .createNew)
        try disk.synchronizeDirectory("a/b")
        try file.write(bytes(1, 4096).span.bytes, at: 0)
        try file.synchronize()
        _ = try disk.open("a/b/loose", .createNew)
        try disk.rename("a/b/kept", to: "a/b/renamed")
        disk.crash(.powerLoss)
        // A rename is one step: the file is there under one name.
        #expect(disk.exists("a/b/kept") != disk.exists("a/b/renamed"))
        #expect((disk.contents("a/b/kept") ?? disk.contents("a/b/renamed")) == bytes(1, 4096))
    }

    @Test("what was synchronised survives everything", arguments: UInt64(0)..<20)
    func synchronised(seed: UInt64) throws {
        let disk = try overwritten(seed: seed)
        var error: DiskError?
        var isDone = false
        disk.synchronizeAllInBackground("") {
            error = $0
            isDone = true
        }
        #expect(!isDone && disk.hasCompletions)
        #expect(disk.runCompletions() == 1)
        #expect(isDone && error == nil)
        disk.crash(.powerLoss)
        #expect(disk.contents("f") == bytes(2, 12_288))
    }

    @Test("a synchronisation covers what was written before it began, not what came after")
    func coverage() throws {
        var lost = 0
        for seed in UInt64(0)..<50 {
            let disk = try overwritten(seed: seed)
            let file = try disk.open("f", .existing)
            file.synchronizeInBackground { #expect($0 == nil) }
            try file.write(bytes(3, 4096).span.bytes, at: 0)
            disk.runCompletions()
            disk.crash(.powerLoss)
            let content = try #require(disk.contents("f"))
            #expect(content[4096...].allSatisfy { $0 == 2 })
            #expect(content.allSatisfy { $0 != 1 })
            if content[..<4096].allSatisfy({ $0 == 2 }) { lost += 1 }
        }
        #expect(lost > 5)
    }

    @Test("after a failed synchronisation a second one succeeds and saves nothing, as on Linux")
    func failedSynchronise() throws {
        let disk = try overwritten(seed: 3)
        let file = try disk.open("f", .existing)
        disk.faults.failSynchronize = true
        #expect(throws: DiskError.self) { try file.synchronize() }
        disk.faults.failSynchronize = false
        try file.synchronize()
        disk.crash(.powerLoss)
        #expect(disk.contents("f") == bytes(1, 12_288))
    }

    @Test("the disk runs full, and a write up to the limit is done in part")
    func full() throws {
        let disk = SimulatedDisk(capacity: 8192)
        let file = try disk.open("f", .createNew)
        #expect { try file.write(bytes(1, 10_000).span.bytes, at: 0) } throws: { ($0 as? DiskError)?.kind == .full }
        #expect(try file.size() == 8192)
        #expect(try disk.space(at: "").available == 0)
        try file.write(bytes(2, 8192).span.bytes, at: 0)
        #expect(throws: DiskError.self) { try file.allocate(size: 100_000) }
        try disk.remove("f")
        #expect(try disk.space(at: "").available == 8192)
    }

    @Test("reserved room counts as used, and writes within it cannot fail for want of space")
    func reserved() throws {
        let disk = SimulatedDisk(capacity: 8192)
        let file = try disk.open("f", .createNew)
        try file.allocate(size: 8000)
        #expect(disk.usedBytes == 8192)
        try file.write(bytes(1, 8000).span.bytes, at: 0)
        let other = try disk.open("g", .createNew)
        #expect(throws: DiskError.self) { try other.write(bytes(1, 1).span.bytes, at: 0) }
    }

    @Test("the call that is told to fail fails, and only that")
    func failCall() throws {
        let disk = SimulatedDisk()
        disk.faults.failCall = 3
        disk.faults.failKind = .full
        let file = try disk.open("f", .createNew)
        try file.write(bytes(1, 1).span.bytes, at: 0)
        #expect { try file.write(bytes(1, 1).span.bytes, at: 0) } throws: { ($0 as? DiskError)?.kind == .full }
        try file.write(bytes(1, 1).span.bytes, at: 0)
        #expect(disk.callCount == 4)
    }

    @Test("reads after the cache was dropped wait for the medium, until the bytes are fetched")
    func cold() throws {
        let disk = SimulatedDisk()
        let file = try disk.open("f", .createNew)
        try file.write(bytes(1, 9000).span.bytes, at: 0)
        disk.dropCache()
        var buffer = bytes(0, 10)
        #expect(try buffer.withUnsafeMutableBytes { try file.readIfCached(into: $0, at: 4090) } == nil)
        file.prefetchInBackground(offset: 0, count: 5000) { #expect($0 == nil) }
        disk.runCompletions()
        #expect(try buffer.withUnsafeMutableBytes { try file.readIfCached(into: $0, at: 4090) } == 10)
        #expect(try buffer.withUnsafeMutableBytes { try file.readIfCached(into: $0, at: 8995) } == nil)
    }

    @Test("a lock holds until the file is closed or the process dies")
    func lock() throws {
        let disk = SimulatedDisk()
        let first = try disk.lock("lock")
        #expect { try disk.lock("lock") } throws: { ($0 as? DiskError)?.kind == .locked }
        first.close()
        let second = try disk.lock("lock")
        disk.crash(.processKill)
        second.close()
        _ = try disk.lock("lock")
    }

    @Test("completions run in the order of their calls, or in another when the seed decides")
    func order() throws {
        func order(_ reorder: Bool) throws -> [Int] {
            let disk = SimulatedDisk(seed: 2)
            disk.faults.reorderCompletions = reorder
            var order: [Int] = []
            for number in 0..<10 { disk.synchronizeAllInBackground("") { _ in order.append(number) } }
            disk.runCompletions()
            return order
        }
        #expect(try order(false) == Array(0..<10))
        #expect(try order(true) != Array(0..<10))
        #expect(try order(true).sorted() == Array(0..<10))
    }

    @Test("files of a process that has crashed cannot be used")
    func stale() async {
        await #expect(processExitsWith: .failure) {
            let disk = SimulatedDisk()
            let file = try disk.open("f", .createNew)
            disk.crash(.processKill)
            _ = try file.size()
        }
    }

    @Test("names follow the rules of a file system")
    func names() throws {
        let disk = SimulatedDisk()
        #expect { try disk.open("a/f", .createIfMissing) } throws: { ($0 as? DiskError)?.kind == .notFound }
        #expect { try disk.open("f", .existing) } throws: { ($0 as? DiskError)?.kind == .notFound }
        try disk.makeDirectory("/a/b")
        try disk.makeDirectory("a/b")
        _ = try disk.open("a/f", .createNew)
        #expect { try disk.open("/a/f", .createNew) } throws: { ($0 as? DiskError)?.kind == .alreadyExists }
        #expect(
            try disk.list("a") == [
                DirectoryEntry(name: "b", isDirectory: true), DirectoryEntry(name: "f", isDirectory: false),
            ])
        #expect(try disk.list("nowhere").isEmpty)
        #expect(throws: DiskError.self) { try disk.remove("a") }
        try disk.remove("a/b")
        try disk.remove("a/f")
        try disk.remove("a")
        #expect(!disk.exists("a"))
    }
}

@Suite("Simulated clock")
struct SimulatedClockTests {
    @Test("both clocks advance together, and only the wall clock can be set")
    func advance() {
        let clock = SimulatedClock()
        let start = clock.monotonic
        clock.advance(milliseconds: 1500)
        #expect(clock.monotonic.milliseconds(since: start) == 1500)
        clock.setWallClock(Timestamp(milliseconds: 5))
        #expect(clock.timestamp.milliseconds == 5 && clock.monotonic.milliseconds(since: start) == 1500)
    }
}
