import Base
import Bytes
import Glibc
import Synchronization
import Testing

@testable import Runtime

@Suite("Disk on the kernel")
struct LoopDiskTests {
    @Test("what is written is read back, in the page cache and from the medium")
    func roundTrip() throws {
        try withDisk { disk, folder in
            try disk.makeDirectory(folder + "/a/b/c")
            try disk.makeDirectory(folder + "/a/b/c")
            let path = folder + "/a/b/c/file"
            let file = try disk.open(path, .createNew)
            let bytes = pattern(300_000)
            try file.write(bytes.span.bytes, at: 100)
            #expect(try file.size() == 300_100)
            #expect(try read(file, 300_000, at: 100) == bytes)
            #expect(try read(file, 1000, at: 299_600) == Array(bytes.suffix(500)))
            #expect(try read(file, 10, at: 400_000) == [])
            try file.synchronize()
            try disk.synchronizeDirectory(folder + "/a/b/c")
            let age = SystemClock().timestamp.milliseconds - (try file.modified().milliseconds)
            #expect(age > -2000 && age < 60_000)
            try file.truncate(to: 50)
            #expect(try file.size() == 50)
            file.close()
            #expect(throws: DiskError.self) { try file.size() }
            #expect(try read(disk.open(path, .existing), 50, at: 0) == [UInt8](repeating: 0, count: 50))
        }
    }

    @Test("bytes just written are cached")
    func cached() throws {
        try withDisk { disk, folder in
            let file = try disk.open(folder + "/file", .createNew)
            let bytes = pattern(10_000)
            try file.write(bytes.span.bytes, at: 0)
            var buffer = [UInt8](repeating: 0, count: 20_000)
            let count = try buffer.withUnsafeMutableBytes { try file.readIfCached(into: $0, at: 0) }
            // Nil on file systems that cannot tell.
            if let count {
                #expect(count == 10_000)
                #expect(Array(buffer.prefix(10_000)) == bytes)
            }
        }
    }

    @Test("reserved room is zeros, and what was there stays")
    func allocate() throws {
        try withDisk { disk, folder in
            let file = try disk.open(folder + "/file", .createIfMissing)
            try file.write(pattern(3).span.bytes, at: 0)
            try file.allocate(size: 10_000)
            #expect(try file.size() == 10_000)
            #expect(try read(file, 10_000, at: 0) == pattern(3) + [UInt8](repeating: 0, count: 9997))
            try file.allocate(size: 100)
            #expect(try file.size() == 10_000)
        }
    }

    @Test("names are listed in order, renamed and removed")
    func names() throws {
        try withDisk { disk, folder in
            for name in ["b", "a", "c"] { _ = try disk.open(folder + "/" + name, .createNew) }
            try disk.makeDirectory(folder + "/d")
            try disk.rename(folder + "/c", to: folder + "/a")
            try disk.remove(folder + "/b")
            #expect(
                try disk.list(folder) == [
                    DirectoryEntry(name: "a", isDirectory: false), DirectoryEntry(name: "d", isDirectory: true),
                ])
            try disk.remove(folder + "/d")
            #expect(!disk.exists(folder + "/d"))
            #expect(disk.exists(folder + "/a"))
            #expect(try disk.list(folder + "/missing") == [])
            let space = try disk.space(at: folder)
            #expect(space.available > 0 && space.total >= space.available)
        }
    }

    @Test("refusals have their kind")
    func errors() throws {
        try withDisk { disk, folder in
            _ = try disk.open(folder + "/file", .createNew)
            expect(.notFound) { _ = try disk.open(folder + "/missing", .existing) }
            expect(.notFound) { try disk.remove(folder + "/missing") }
            expect(.alreadyExists) { _ = try disk.open(folder + "/file", .createNew) }
            expect(.alreadyExists) { try disk.makeDirectory(folder + "/file") }
            expect(.alreadyExists) { try disk.remove(folder) }
            expect(.notFound) { try disk.synchronizeDirectory(folder + "/missing") }
            expect(.notFound) { _ = try disk.space(at: folder + "/missing") }
            let full = try disk.open("/dev/full", .existing)
            expect(.full) { try full.write(pattern(1).span.bytes, at: 0) }
        }
    }

    @Test("a locked file is locked until it is closed")
    func lock() throws {
        try withDisk { disk, folder in
            let lock = try disk.lock(folder + "/lock")
            expect(.locked) { _ = try disk.lock(folder + "/lock") }
            try disk.synchronizeAll(folder)
            lock.close()
            _ = try disk.lock(folder + "/lock")
        }
    }

    @Test("work in the background completes on the loop, also on a file closed meanwhile")
    func background() throws {
        var completions: [String] = []
        try withTemporaryFolder { folder in
            try onLoop { loop in
                let disk = LoopDisk(loop: loop)
                let file = try disk.open(folder + "/file", .createNew)
                try file.write(pattern(100_000).span.bytes, at: 0)
                func completed(_ name: String) -> (DiskError?) -> Void {
                    { error in
                        #expect(error == nil)
                        #expect(loop.isOnLoop)
                        completions.append(name)
                        if completions.count == 3 { loop.stop() }
                    }
                }
                file.synchronizeInBackground(completed("synchronize"))
                file.prefetchInBackground(offset: 5000, count: 1_000_000, completed("prefetch"))
                disk.synchronizeAllInBackground(folder, completed("synchronize all"))
                file.close()
                #expect(completions.isEmpty)
            }
        }
        #expect(completions.sorted() == ["prefetch", "synchronize", "synchronize all"])
    }

    @Test("a failure in the background is reported")
    func backgroundFailure() throws {
        var kinds: [DiskError.Kind?] = []
        try onLoop { loop in
            let disk = LoopDisk(loop: loop)
            disk.synchronizeAllInBackground("/nonexistent") {
                kinds.append($0?.kind)
                loop.stop()
            }
        }
        #expect(kinds == [.notFound])
    }

    @Test("a reader's pieces run on other threads, all of them, and each wait returns when one more has")
    func reader() throws {
        try withDisk { disk, folder in
            let bytes = pattern(100_000)
            var files: [any DiskFile] = []
            for number in 0..<3 {
                let file = try disk.open(folder + "/\(number)", .createNew)
                try file.write(bytes.span.bytes, at: number)
                files.append(file)
            }
            let own = pthread_self()
            let ends = Mutex<[Int]>([])
            var reader: (any DiskReader)? = disk.makeReader(of: files)
            // The reader keeps what it reads from open.
            for file in files { file.close() }
            for piece in 0..<200 {
                reader?.begin { files in
                    var buffer = [UInt8](repeating: 0, count: 200_000)
                    files.willRead(piece % 3, at: 0, count: 1 << 20)
                    let count = try? buffer.withUnsafeMutableBytes {
                        try files.read(piece % 3, into: $0, at: piece % 3)
                    }
                    let isRight = count == bytes.count && Array(buffer.prefix(bytes.count)) == bytes
                    ends.withLock { $0.append(isRight && pthread_equal(own, pthread_self()) == 0 ? piece : -1) }
                }
                if piece >= 10 {
                    reader?.wait()
                    #expect(ends.withLock { $0.count } >= piece - 9)
                }
            }
            // Those that nobody waited for run as well.
            reader = nil
            #expect(ends.withLock { $0.sorted() } == Array(0..<200))
        }
    }

    @Test("a reader of a file that is closed, or of another disk, says so")
    func readerOfNothing() throws {
        try withDisk { disk, folder in
            let file = try disk.open(folder + "/file", .createNew)
            file.close()
            let errors = Mutex<[DiskError]>([])
            let reader = disk.makeReader(of: [file])
            reader.begin { files in
                let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1, alignment: 1)
                defer { buffer.deallocate() }
                do throws(DiskError) {
                    _ = try files.read(0, into: buffer, at: 0)
                } catch {
                    errors.withLock { $0.append(error) }
                }
            }
            reader.wait()
            #expect(errors.withLock { $0.map { $0.errorNumber } } == [EBADF])
        }
    }

    @Test("random numbers differ")
    func random() {
        let source = SystemRandom()
        #expect(Set((0..<1000).map { _ in source.next() }).count == 1000)
    }

    private func withDisk(_ body: (LoopDisk, String) throws -> Void) throws {
        try withTemporaryFolder { try body(LoopDisk(loop: EventLoop()), $0) }
    }

    private func read(_ file: any DiskFile, _ count: Int, at offset: Int) throws -> [UInt8] {
        var buffer = [UInt8](repeating: 0xEE, count: count)
        let filled = try buffer.withUnsafeMutableBytes { try file.read(into: $0, at: offset) }
        return Array(buffer.prefix(filled))
    }

    private func expect(_ kind: DiskError.Kind, _ body: () throws -> Void) {
        let error = #expect(throws: DiskError.self, performing: body)
        #expect(error?.kind == kind)
    }
}
