import CLibuv

/// Calls a closure on the loop when the process gets a signal; lives as long as the loop.
private final class SignalWatcher: HandleOwner {
    let loop: EventLoop
    private let watcher = UnsafeMutablePointer<uv_signal_t>.allocate(capacity: 1)
    private let body: () -> Void

    init(_ loop: EventLoop, _ signal: Int32, _ body: @escaping () -> Void) {
        self.loop = loop
        self.body = body
        uv_signal_init(loop.loop, watcher)
        // SAFETY: given up in `watcherClosed`, after which libuv does not call back.
        watcher.pointee.data = Unmanaged.passRetained(self).toOpaque()
        let status = uv_signal_start(watcher, signalArrived, signal)
        precondition(status == 0, "signal \(signal) cannot be watched: \(describe(status))")
    }

    func loopStopped() { uv_close(handle(watcher), watcherClosed) }

    func arrived() {
        loop.turnClock.startTurn()
        body()
    }
}

extension EventLoop {
    /// Calls `body` on the loop each time the process gets `signal`, for instance SIGTERM, until the loop ends.
    /// - Precondition: the signal can be caught.
    public func onSignal(_ signal: Int32, _ body: @escaping () -> Void) {
        requireOnLoop()
        precondition(!isStopping, "the event loop has stopped")
        _ = SignalWatcher(self, signal, body)
    }
}

private func signalArrived(_ watcher: UnsafeMutablePointer<uv_signal_t>?, _: Int32) {
    guard let data = watcher?.pointee.data else { return }
    // SAFETY: set in `SignalWatcher.init`, released in `watcherClosed`.
    Unmanaged<SignalWatcher>.fromOpaque(data).takeUnretainedValue().arrived()
}

private func watcherClosed(_ watcher: UnsafeMutablePointer<uv_handle_t>?) {
    guard let watcher else { return }
    // SAFETY: the last callback of this handle: gives up its reference and its memory, which was allocated as a uv_signal_t.
    if let data = watcher.pointee.data { Unmanaged<SignalWatcher>.fromOpaque(data).release() }
    UnsafeMutableRawPointer(watcher).deallocate()
}
