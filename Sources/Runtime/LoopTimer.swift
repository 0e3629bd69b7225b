import CLibuv

/// A call that an event loop makes later, once or again and again. Belongs to the loop's thread.
///
/// The timer runs whether or not anybody keeps this object.
public final class LoopTimer: HandleOwner {
    private let loop: EventLoop
    private var timer: UnsafeMutablePointer<uv_timer_t>?
    private let repeats: Bool
    private var body: (() -> Void)?

    fileprivate init(_ loop: EventLoop, after: UInt64, every: UInt64, _ body: @escaping () -> Void) {
        self.loop = loop
        repeats = every > 0
        guard !loop.isStopping else { return }
        self.body = body
        let timer = UnsafeMutablePointer<uv_timer_t>.allocate(capacity: 1)
        self.timer = timer
        uv_timer_init(loop.loop, timer)
        // SAFETY: given up in `timerClosed`, after which libuv does not call back.
        timer.pointee.data = Unmanaged.passRetained(self).toOpaque()
        uv_timer_start(timer, timerFired, after, every)
    }

    /// True until the timer has fired for the last time or was cancelled.
    public var isActive: Bool { timer != nil }

    /// Makes sure that the timer does not fire again, and lets go of its closure.
    public func cancel() {
        guard let timer else { return }
        loop.requireOnLoop()
        self.timer = nil
        body = nil
        uv_close(handle(timer), timerClosed)
    }

    func loopStopped() { cancel() }

    fileprivate func fire() {
        loop.turnClock.startTurn()
        let body = self.body
        if !repeats { cancel() }
        body?()
    }
}

extension EventLoop {
    /// Calls `body` on the loop after a time, and then again and again if a period is given.
    /// - Parameters:
    ///   - afterMilliseconds: 0 means the next turn. Measured from the start of the current one.
    ///   - repeatingEveryMilliseconds: the period, or nil to call once.
    @discardableResult
    public func schedule(
        afterMilliseconds: Int64, repeatingEveryMilliseconds: Int64? = nil, _ body: @escaping () -> Void
    ) -> LoopTimer {
        requireOnLoop()
        precondition(afterMilliseconds >= 0, "a timer cannot fire in the past")
        precondition(repeatingEveryMilliseconds ?? 1 > 0, "a period is at least a millisecond")
        return LoopTimer(
            self, after: UInt64(afterMilliseconds), every: UInt64(repeatingEveryMilliseconds ?? 0), body)
    }
}

private func timerFired(_ timer: UnsafeMutablePointer<uv_timer_t>?) {
    guard let data = timer?.pointee.data else { return }
    // SAFETY: set in `LoopTimer.init`, released in `timerClosed`.
    Unmanaged<LoopTimer>.fromOpaque(data).takeUnretainedValue().fire()
}

private func timerClosed(_ timer: UnsafeMutablePointer<uv_handle_t>?) {
    guard let timer else { return }
    // SAFETY: the last callback of this handle: gives up its reference and its memory, which was allocated as a uv_timer_t.
    if let data = timer.pointee.data { Unmanaged<LoopTimer>.fromOpaque(data).release() }
    UnsafeMutableRawPointer(timer).deallocate()
}
