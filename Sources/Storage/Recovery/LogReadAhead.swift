import Base
import Synchronization

/// The log from a place on as batches of checked records. Threads of the disk read and check the next ones while the calling
/// thread works on one:
///
///     one reader       │ read 0 │ check 0 │ read 2 │ check 2 │ …
///     another reader            │ read 1  │ check 1 │ read 3 │ …
///     calling thread                      │ fold 0 │ fold 1 │ fold 2 │ …
///
/// Only one reads at a time, for where a batch begins is known when the one before has been read. What a batch holds is handed
/// over as a whole: nobody sees records of which the checksums have not been compared.
final class LogReadAhead {
    /// Bytes read at once: few enough that they are still in the second-level cache of the core that checks them.
    static let batchSize = 512 * 1024
    /// Batches that there are: one that is worked on, the others read ahead.
    static let batchCount = 6

    private let reader: any DiskReader
    private let work: Work
    private var next = 0
    private var isOver = false

    /// - Parameter start: where a record begins, or the log ends.
    init(
        segments: [Segment], from start: PhysicalOffset, disk: any Disk, batchSize: Int = LogReadAhead.batchSize
    ) {
        work = Work(
            LogWalk(
                segments: segments.map { LogWalk.Piece(start: $0.start, size: $0.size) }, from: start,
                batchSize: batchSize), batchCount: Self.batchCount)
        reader = disk.makeReader(of: segments.map { $0.file })
        for _ in 1..<Self.batchCount { beginBatch() }
    }

    private func beginBatch() {
        let work = work
        reader.begin { files in work.fillNext(from: files) }
    }

    /// The next piece of the log; of no use any more when this is called again. The last one has a
    /// ``ReplayBatch/finding`` or a ``ReplayBatch/failure``.
    /// - Precondition: the one before had neither.
    func nextBatch() -> ReplayBatch {
        precondition(!isOver, "the log is read beyond its end")
        // The one that was worked on until now.
        beginBatch()
        let batch = work.batches[next % Self.batchCount]
        while !batch.isFilled.load(ordering: .acquiring) { reader.wait() }
        batch.isFilled.store(false, ordering: .relaxed)
        next += 1
        isOver = batch.finding != nil || batch.failure != nil
        return batch
    }

    /// What the threads share.
    private final class Work: Sendable {
        /// A ring: the walk fills them in turn.
        let batches: [ReplayBatch]
        private let walk: Mutex<LogWalk>

        init(_ walk: LogWalk, batchCount: Int) {
            self.walk = Mutex(walk)
            batches = (0..<batchCount).map { _ in ReplayBatch() }
        }

        func fillNext(from files: any ReadableFiles) {
            let batch = walk.withLock { walk in
                let batch = batches[walk.batches % batches.count]
                walk.read(batch, from: files)
                return batch
            }
            batch.check()
            batch.isFilled.store(true, ordering: .releasing)
        }
    }
}
