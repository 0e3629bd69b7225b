import CLibuv
import Glibc
import Synchronization

/// What other threads may give to a loop.
enum Letter {
    case closure(@Sendable () -> Void)
    case job(UnownedJob)
}

struct MailboxState {
    enum Phase { case open, closing, ended }
    var letters: [Letter] = []
    var phase = Phase.open
    /// The loop is going to look into the mailbox without being woken.
    var isExpected = false
}

extension EventLoop {
    /// Runs `job` on the loop's thread, after all jobs that this thread posted before. From any thread.
    /// When the loop has ended, the job runs on a thread made for it, alone.
    public func post(_ job: @escaping @Sendable () -> Void) { deliver(.closure(job)) }

    func deliver(_ letter: Letter) {
        // A turn ends with a look into the mailbox, so what is posted during a turn on the loop's own thread needs no wake-up.
        let isInTurn = isOnLoop && turnClock.isInTurn
        let isLate = mailbox.withLock { state in
            state.letters.append(letter)
            let isFirst = !state.isExpected
            state.isExpected = true
            if isFirst, !isInTurn, state.phase == .open { uv_async_send(wakeHandle) }
            return isFirst && state.phase == .ended
        }
        if isLate { startLateThread() }
    }

    /// Runs what was posted, and what that posts, for a bounded number of rounds, so that sockets get their turn.
    func runLetters() {
        for _ in 0..<16 {
            mailbox.withLock { swap(&$0.letters, &letters) }
            guard !letters.isEmpty else { return }
            runBatch()
        }
    }

    private func runBatch() {
        var index = 0
        while index < letters.count {
            switch letters[index] {
            case .closure(let closure): closure()
            case .job(let job):
                job.runSynchronously(
                    isolatedTo: asUnownedSerialExecutor(), taskExecutor: asUnownedTaskExecutor())
            }
            index += 1
        }
        letters.removeAll(keepingCapacity: true)
    }

    /// Last act of a turn: makes sure that the loop does not sleep over work.
    func settleMailbox(another: Bool) {
        mailbox.withLock { state in
            state.isExpected = another || !state.letters.isEmpty
            if state.isExpected, state.phase == .open { uv_async_send(wakeHandle) }
        }
    }

    // MARK: - After the loop's end

    /// Runs what is left and lets later jobs run where they are posted.
    func endMailbox() {
        mailbox.withLock { state in
            state.phase = .ended
            state.isExpected = true
        }
        runLate()
    }

    /// Runs late jobs on a thread of their own. Not on the caller's: that may be a thread of Swift's pool in the middle of a
    /// task, which a job that runs within `enqueue` makes the runtime forget.
    private func startLateThread() {
        var created = pthread_t()
        let own = Unmanaged.passRetained(self)
        let status = pthread_create(
            &created, nil,
            { context in
                guard let context else { return nil }
                // SAFETY: the only use of the reference that was retained for this thread. It keeps the loop while jobs run: an
                // executor is not retained by whoever enqueues, and a job may release the actor that held the loop last.
                let loop = Unmanaged<EventLoop>.fromOpaque(context).takeRetainedValue()
                withExtendedLifetime(loop) { loop.runLate() }
                return nil
            }, own.toOpaque())
        // Without it a task would wait for ever, which is worse than stopping here.
        guard status == 0 else { preconditionFailure("no thread for the jobs of an ended loop: error \(status)") }
        pthread_detach(created)
    }

    /// Runs jobs of a loop that has ended: an actor that lives on it can still finish what it awaits. One thread does so at
    /// a time, since `isExpected` stays set until the mailbox was seen empty.
    private func runLate() {
        thread.store(pthread_self(), ordering: .relaxed)
        while true {
            runLetters()
            let isDone = mailbox.withLock { state in
                guard state.letters.isEmpty else { return false }
                thread.store(0, ordering: .relaxed)
                state.isExpected = false
                return true
            }
            if isDone { return }
        }
    }
}
