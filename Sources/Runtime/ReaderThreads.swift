import Base
import CLibuv
import Glibc
import Synchronization

/// The reader of a ``LoopDisk``: two threads for as long as there is a reference to it. It needs no loop that runs, for a
/// store is opened before there is one.
final class ReaderThreads: DiskReader {
    static let count = 2

    private let errands: Errands
    /// Empty when no thread could be had; then each piece runs when it is handed over.
    private var threads: [pthread_t] = []

    /// - Parameter files: nil for a file of another disk, which cannot be read here.
    init(_ files: [LoopFile?]) {
        errands = Errands(
            OpenFiles(
                descriptors: files.map { $0?.sharedDescriptor },
                paths: files.map { $0?.path ?? "a file of another disk" }))
        for _ in 0..<Self.count { startThread() }
    }

    private func startThread() {
        let start = Unmanaged.passRetained(errands)
        var created = pthread_t()
        let status = pthread_create(
            &created, nil,
            { context in
                guard let context else { return nil }
                // SAFETY: the only use of the reference that was retained for this thread.
                Unmanaged<Errands>.fromOpaque(context).takeRetainedValue().run()
                return nil
            }, start.toOpaque())
        if status == 0 { threads.append(created) } else { start.release() }
    }

    deinit {
        for _ in threads { errands.add(nil) }
        for thread in threads { pthread_join(thread, nil) }
    }

    func begin(_ work: @escaping @Sendable (any ReadableFiles) -> Void) {
        if threads.isEmpty { work(errands.files) } else { errands.add(work) }
    }

    func wait() {
        if !threads.isEmpty { errands.waitForOne() }
    }
}

/// What the threads share: the pieces of work, and two semaphores that count those that were handed over and those that have
/// run.
private final class Errands: @unchecked Sendable {
    // SAFETY: the pieces are behind a lock; semaphores are made for several threads, and are destroyed when the last reference
    // goes, which no thread that waits has given up.
    let files: OpenFiles
    private let pieces = Mutex<[(@Sendable (any ReadableFiles) -> Void)?]>([])
    private let given = UnsafeMutablePointer<uv_sem_t>.allocate(capacity: 1)
    private let done = UnsafeMutablePointer<uv_sem_t>.allocate(capacity: 1)

    init(_ files: OpenFiles) {
        self.files = files
        uv_sem_init(given, 0)
        uv_sem_init(done, 0)
    }

    deinit {
        uv_sem_destroy(given)
        uv_sem_destroy(done)
        given.deallocate()
        done.deallocate()
    }

    /// - Parameter piece: nil for the end of one thread.
    func add(_ piece: (@Sendable (any ReadableFiles) -> Void)?) {
        pieces.withLock { $0.append(piece) }
        uv_sem_post(given)
    }

    func waitForOne() { uv_sem_wait(done) }

    func run() {
        _ = apus_name_thread("apus-reader")
        while true {
            uv_sem_wait(given)
            guard let piece = pieces.withLock({ $0.removeFirst() }) else { return }
            piece(files)
            uv_sem_post(done)
        }
    }
}

private struct OpenFiles: ReadableFiles, Sendable {
    /// Held as long as a thread may read, whoever closes the file meanwhile.
    var descriptors: [Descriptor?]
    var paths: [String]

    func read(_ file: Int, into buffer: UnsafeMutableRawBufferPointer, at offset: Int) throws(DiskError) -> Int {
        guard let descriptor = descriptors[file] else { throw DiskError(EBADF, "read", paths[file]) }
        let result = readAll(descriptor.number, buffer, offset)
        guard result >= 0 else { throw DiskError(Int32(-result), "read", paths[file]) }
        return result
    }

    func willRead(_ file: Int, at offset: Int, count: Int) {
        guard let descriptor = descriptors[file] else { return }
        posix_fadvise(descriptor.number, off_t(offset), off_t(count), POSIX_FADV_WILLNEED)
    }
}
