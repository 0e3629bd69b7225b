/// The loop as a Swift executor: an actor whose `unownedExecutor` is the loop, and a task that prefers it, run on its thread.
extension EventLoop {
    public func enqueue(_ job: consuming ExecutorJob) { deliver(.job(UnownedJob(job))) }

    public func asUnownedSerialExecutor() -> UnownedSerialExecutor { UnownedSerialExecutor(ordinary: self) }

    public func asUnownedTaskExecutor() -> UnownedTaskExecutor { UnownedTaskExecutor(ordinary: self) }

    public func checkIsolated() { requireOnLoop() }

    public func isIsolatingCurrentContext() -> Bool? { isOnLoop }
}
