import CLibuv
import Synchronization

extension EventLoop {
    /// Runs `work` on a thread of libuv's pool (four threads for the whole process, `UV_THREADPOOL_SIZE`) and then
    /// `completion` with its result on the loop. When the loop has ended, both run at once on the calling thread.
    public func runInBackground<Result: Sendable>(
        _ work: @escaping @Sendable () -> Result, _ completion: @escaping (Result) -> Void
    ) {
        guard mailbox.withLock({ $0.phase }) != .ended else { return completion(work()) }
        requireOnLoop()
        TypedBackgroundWork(self, work, completion).start()
    }
}

/// One request to the worker pool. Keeps itself alive until its completion has run.
private class BackgroundWork {
    let loop: EventLoop
    private let request = UnsafeMutablePointer<uv_work_t>.allocate(capacity: 1)

    init(_ loop: EventLoop) { self.loop = loop }

    deinit { request.deallocate() }

    final func start() {
        // SAFETY: given up in `workCompleted`, which libuv calls exactly once.
        request.pointee.data = Unmanaged.passRetained(self).toOpaque()
        uv_queue_work(loop.loop, request, performWork, workCompleted)
    }

    /// Runs on a worker thread, before ``complete()``.
    func perform() {}
    /// Runs on the loop.
    func complete() {}
}

private final class TypedBackgroundWork<Result: Sendable>: BackgroundWork {
    private let work: @Sendable () -> Result
    private let completion: (Result) -> Void
    private var result: Result?

    init(_ loop: EventLoop, _ work: @escaping @Sendable () -> Result, _ completion: @escaping (Result) -> Void) {
        self.work = work
        self.completion = completion
        super.init(loop)
    }

    override func perform() { result = work() }
    override func complete() {
        if let result { completion(result) }
    }
}

private func performWork(_ request: UnsafeMutablePointer<uv_work_t>?) {
    guard let data = request?.pointee.data else { return }
    // SAFETY: set in `start`. The loop's thread does not touch the object before `workCompleted`.
    Unmanaged<BackgroundWork>.fromOpaque(data).takeUnretainedValue().perform()
}

private func workCompleted(_ request: UnsafeMutablePointer<uv_work_t>?, _: Int32) {
    guard let data = request?.pointee.data else { return }
    // SAFETY: set in `start`; this is the one call that gives the reference up.
    let work = Unmanaged<BackgroundWork>.fromOpaque(data).takeRetainedValue()
    work.loop.turnClock.startTurn()
    work.complete()
}
