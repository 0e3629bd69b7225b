import Base
import Foundation
import Runtime
import Storage
import Testing

@Suite("Views on the kernel's file system")
struct RealDiskTests {
    @Test("a consume queue and an index are written, closed and read again")
    func roundTrip() throws {
        let root = FileManager.default.temporaryDirectory.appending(path: "apus-views-\(UUID().uuidString)").path
        defer { try? FileManager.default.removeItem(atPath: root) }
        let disk = LoopDisk(loop: try EventLoop())
        func open() -> (ConsumeQueue, MessageIndex) {
            let files = OpenFileCache(capacity: 2)
            return (
                ConsumeQueue(
                    directory: root + "/consumequeue/T/0",
                    configuration: ConsumeQueueConfiguration(entriesPerFile: 300), disk: disk, files: files),
                MessageIndex(
                    directory: root + "/index",
                    configuration: MessageIndexConfiguration(slotCount: 1000, entryCount: 400), disk: disk,
                    files: files)
            )
        }
        let (queue, index) = open()
        for number in Int64(0)..<1000 {
            let entry = ConsumeQueueEntry(physicalOffset: PhysicalOffset(number * 100), size: 100, tagsCode: number)
            try queue.append(entry, at: QueueOffset(number))
            try index.insert(
                topic: "T", key: "key\(number % 10)", physicalOffset: PhysicalOffset(number * 100),
                storeTimestamp: Timestamp(milliseconds: 1_795_200_000_000 + number))
        }
        try queue.writeTail()
        while index.isDirty { _ = try index.writeBack(maximumBytes: 4096) }
        let (queueAgain, indexAgain) = open()
        try queueAgain.load()
        try indexAgain.load()
        #expect(queueAgain.minimumOffset == .zero && queueAgain.maximumOffset == QueueOffset(1000))
        #expect(try queueAgain.entry(at: QueueOffset(777))?.tagsCode == 777)
        #expect(indexAgain.fileCount == 3)
        let found = try indexAgain.query(topic: "T", key: "key3", from: 0, to: .max, maximumCount: 1000)
        let expected = stride(from: Int64(99_300), through: 300, by: -1000).map { PhysicalOffset($0) }
        #expect(found == expected)
        try queueAgain.truncate(from: PhysicalOffset(50_000))
        #expect(queueAgain.maximumOffset == QueueOffset(500))
        try queueAgain.destroy()
        try indexAgain.destroy()
        #expect(!disk.exists(root + "/consumequeue/T/0"))
    }
}
