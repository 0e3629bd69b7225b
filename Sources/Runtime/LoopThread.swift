import CLibuv
import Glibc
import Synchronization
import Telemetry

/// An event loop on a thread of its own.
public final class LoopThread: Sendable {
    public let loop: EventLoop
    private let thread: Mutex<pthread_t?>

    /// Starts a thread and runs a new loop on it.
    /// - Parameter name: shown by `top -H` and debuggers; the kernel keeps its first 15 bytes.
    public init(named name: String, log: Log = .silent) throws(RuntimeError) {
        loop = try EventLoop(log: log)
        // From here on the loop belongs to a thread that does not run yet, and no longer to this one.
        loop.thread.store(0, ordering: .relaxed)
        let start = Unmanaged.passRetained(ThreadStart(name: name, loop: loop))
        var created = pthread_t()
        let status = pthread_create(
            &created, nil,
            { context in
                guard let context else { return nil }
                // SAFETY: the only use of the reference that was retained for this thread.
                Unmanaged<ThreadStart>.fromOpaque(context).takeRetainedValue().run()
                return nil
            }, start.toOpaque())
        guard status == 0 else {
            start.release()
            thread = Mutex(nil)
            throw RuntimeError(-status, operation: "start thread", subject: name)
        }
        thread = Mutex(created)
    }

    /// Makes the loop end. From any thread.
    public func stop() { loop.stop() }

    /// Waits until the loop has ended and its thread is gone. A second call returns at once.
    /// - Precondition: not called on the loop's own thread.
    public func join() {
        precondition(!loop.isOnLoop, "an event loop cannot wait for its own end")
        guard let running = thread.withLock({ $0.take() }) else { return }
        pthread_join(running, nil)
    }

    /// ``stop()``, then ``join()``.
    public func stopAndJoin() {
        stop()
        join()
    }

    deinit {
        guard let running = thread.withLock({ $0.take() }) else { return }
        loop.stop()
        pthread_detach(running)
    }
}

private final class ThreadStart {
    let name: String
    let loop: EventLoop
    init(name: String, loop: EventLoop) {
        self.name = name
        self.loop = loop
    }
    func run() {
        _ = apus_name_thread(String(decoding: name.utf8.prefix(15), as: UTF8.self))
        loop.run()
    }
}
