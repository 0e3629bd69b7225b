import Base
import Glibc
import Runtime
import Telemetry

/// One benchmark from its first connection to its result. Coordinates the workers from a loop of its own.
///
///     prepare ─► connect ─► warm up ─► measure ─► drain ─► judge
///
/// Figures cover the measured part. Verification covers everything, warm-up and drain included.
actor BenchRun {
    nonisolated let loop: EventLoop
    nonisolated var unownedExecutor: UnownedSerialExecutor { loop.asUnownedSerialExecutor() }
    private let workload: Workload
    private let options: Options
    private let clock = SystemClock()
    private var workers: [LoadWorker] = []
    /// The first Ctrl-C ends the measured part, the second one the drain.
    private var interruptions = 0
    private var endedBecause: String?
    private var line: ProgressLine

    struct Options: Sendable {
        var entrance: BenchTargets.Entrance
        var createsTopics = false
        /// The process to watch.
        var serverPID: Int?
        var showsProgress = false
        /// Written after producing, read before consuming.
        var ledgerPath: String?
        /// End on Ctrl-C with what was counted so far. Off in tests, where the process is not ours.
        var watchesSignals = false
        /// How long consumers may go without a new message before the missing ones count as lost.
        var drainNanoseconds: Int64 = 10_000_000_000
    }

    /// Between two looks at the workers.
    private static let lookMilliseconds: Int64 = 20
    /// All connections gone for so long: the server will not come back.
    private static let patienceNanoseconds: Int64 = 15_000_000_000

    init(_ workload: Workload, _ options: Options, on loop: EventLoop) {
        self.workload = workload
        self.options = options
        self.loop = loop
        line = ProgressLine(isShown: options.showsProgress, producing: workload.produces)
    }

    /// Does everything on threads of its own, which are gone on return.
    static func run(_ workload: Workload, _ options: Options) async throws -> BenchResult {
        let thread = try LoopThread(named: "bench-control")
        let threads = try (0..<workload.threads).map { try LoopThread(named: "bench-\($0)") }
        defer {
            for thread in threads { thread.stopAndJoin() }
            thread.stop()
        }
        return try await BenchRun(workload, options, on: thread.loop).run(on: threads.map(\.loop))
    }

    private func run(on loops: [EventLoop]) async throws -> BenchResult {
        if options.watchesSignals { watchSignals() }
        let before = try await prepare(loops)
        for worker in workers { try await connect(worker) }
        let pacers = try await startPacers()
        defer { for pacer in pacers { pacer.stop() } }
        let measured = try await measure()
        let outcomes = await drainAndFinish()
        line.clear()
        return try judge(measured, outcomes, before)
    }

    private func watchSignals() {
        for signal in [SIGINT, SIGTERM] { loop.onSignal(signal) { self.interruptions += 1 } }
    }

    // MARK: - Prepare

    private struct Preparation {
        var run: UInt64
        var ledger: Ledger?
        var targets: [BrokerTarget]
    }

    private func prepare(_ loops: [EventLoop]) async throws -> Preparation {
        let ledger = workload.kind == .consume ? try options.ledgerPath.map(Ledger.read(from:)) : nil
        let run = ledger?.run ?? UInt64.random(in: 1 ... .max)
        let finder = BenchTargets(workload: workload, loop: loop)
        let targets = try await finder.brokers(through: options.entrance, creates: options.createsTopics)
        var assignments: [LoadWorker.Plan.Consumer] = []
        if workload.consumes { assignments = try await assign(targets, finder) }
        let now = clock.timestamp.milliseconds
        for (index, loop) in loops.enumerated() {
            let isMine = { (number: Int) in number % loops.count == index }
            let plan = LoadWorker.Plan(
                workload: workload, run: run, runReceived: workload.kind == .endToEnd ? run : ledger?.run,
                targets: targets, producers: (0..<workload.producerConnections).filter(isMine),
                consumers: assignments.filter { isMine($0.number) }, clientPrefix: "127.0.0.1@bench\(getpid())",
                subscriptionVersion: now,
                keepsAcknowledged: workload.verifies
                    && (workload.kind == .endToEnd || options.ledgerPath != nil))
            workers.append(LoadWorker(plan, on: loop))
        }
        return Preparation(run: run, ledger: ledger, targets: targets)
    }

    /// Shares the queues of each broker among the consumers that connect to it.
    private func assign(_ targets: [BrokerTarget], _ finder: BenchTargets) async throws -> [LoadWorker.Plan.Consumer] {
        let count = max(workload.consumerConnections, targets.count)
        var consumers = (0..<count).map {
            LoadWorker.Plan.Consumer(number: $0, target: $0 % targets.count, cursors: [])
        }
        let start = workload.kind == .endToEnd ? .last : workload.start
        for (number, target) in targets.enumerated() {
            let cursors = try await finder.offsets(of: target, from: start)
            let members = consumers.indices.filter { consumers[$0].target == number }
            for (index, cursor) in cursors.enumerated() {
                consumers[members[index % members.count]].cursors.append(cursor)
            }
        }
        return consumers.filter { !$0.cursors.isEmpty }
    }

    private func connect(_ worker: LoadWorker) async throws {
        do {
            try await worker.connect(timeoutMilliseconds: workload.timeoutMilliseconds)
        } catch let error as RuntimeError {
            throw ControlConnection.unreachable(error)
        }
    }

    private func startPacers() async throws -> [Pacer] {
        var pacers: [Pacer] = []
        for worker in workers {
            if let interval = await worker.wakeIntervalNanoseconds {
                pacers.append(try Pacer(worker, everyNanoseconds: interval))
            }
        }
        return pacers
    }

    // MARK: - Measure

    private struct Measurement {
        var nanoseconds: Int64 = 0
        var ownCPUNanoseconds: Int64 = 0
        var server: ProcessUsage?
    }

    private func measure() async throws -> Measurement {
        if workload.warmUpNanoseconds > 0 {
            await start()
            try await wait(until: now + workload.warmUpNanoseconds)
        }
        var result = Measurement()
        let serverBefore = try server()
        let ownBefore = ProcessStatistics.ownCPUNanoseconds
        let begin = now
        await beginMeasuring()
        if workload.warmUpNanoseconds == 0 { await start() }
        let end = try await waitForEnd(since: begin)
        for worker in workers { await worker.endMeasuring() }
        result.nanoseconds = max(1, end - begin)
        result.ownCPUNanoseconds = ProcessStatistics.ownCPUNanoseconds - ownBefore
        if let serverBefore, let pid = options.serverPID, let after = ProcessStatistics.of(pid) {
            result.server = ProcessUsage(from: serverBefore, to: after)
        }
        return result
    }

    /// Consumers first, so that nothing is sent before they listen.
    private func start() async {
        for worker in workers { await worker.startConsumers() }
        for worker in workers { await worker.startProducers() }
    }

    private func beginMeasuring() async {
        var quota: ReceiveQuota?
        var shares = [Int?](repeating: nil, count: workers.count)
        if case .messages(let count) = workload.end {
            if workload.produces {
                // The first workers take what does not divide.
                shares = workers.indices.map { count / workers.count + ($0 < count % workers.count ? 1 : 0) }
            } else {
                quota = ReceiveQuota(count)
            }
        }
        for (worker, share) in zip(workers, shares) { await worker.beginMeasuring(messages: share, quota: quota) }
    }

    private func server() throws -> ProcessStatistics? {
        guard let pid = options.serverPID else { return nil }
        guard let statistics = ProcessStatistics.of(pid) else {
            throw CommandFailure(.notFound, "there is no process \(pid)", advice: "check --server-pid")
        }
        return statistics
    }

    /// Waits until the measured part is over.
    /// - Returns: when it was.
    private func waitForEnd(since begin: Int64) async throws -> Int64 {
        if case .nanoseconds(let length) = workload.end {
            try await wait(until: begin + length)
            return now
        }
        var end: Int64 = 0
        try await wait { progress in
            end = progress.finishedAt
            return progress.isFinished
        }
        guard end > 0 else { return now }
        // Of messages on both ways the last counts when it has arrived.
        return workload.kind == .endToEnd ? try await waitForDeliveries() : end
    }

    private func wait(until time: Int64) async throws {
        try await wait { _ in self.now >= time }
    }

    /// Looks at the workers again and again until `isDone` says yes, the user loses patience, or the server is gone for good.
    private func wait(interruptions limit: Int = 1, _ isDone: (LoadProgress) -> Bool) async throws {
        var lastOpen = now
        while interruptions < limit, endedBecause == nil {
            let progress = await look()
            if isDone(progress) { return }
            if progress.openConnections > 0 { lastOpen = now }
            if now - lastOpen > Self.patienceNanoseconds { endedBecause = "the server is gone" }
            await pause(milliseconds: Self.lookMilliseconds)
        }
    }

    private func look() async -> LoadProgress {
        let isDue = line.isDue(now)
        var all = LoadProgress()
        all.isFinished = true
        for worker in workers { all.merge(await worker.progress(withRecent: isDue)) }
        if isDue { line.print(all, now) }
        return all
    }

    private func pause(milliseconds: Int64) async {
        await withCheckedContinuation { (continuation: CheckedContinuation<Void, Never>) in
            loop.schedule(afterMilliseconds: milliseconds) { continuation.resume() }
        }
    }

    private var now: Int64 { clock.monotonic.nanoseconds }

    // MARK: - Drain

    private func drainAndFinish() async -> [LoadWorker.Outcome] {
        for worker in workers { await worker.stopProducers() }
        if workload.produces {
            let limit = now + (workload.timeoutMilliseconds + 1000) * 1_000_000
            try? await wait(interruptions: 2) { $0.unanswered == 0 || self.now > limit }
        }
        if workload.kind == .endToEnd { _ = try? await waitForDeliveries() }
        var outcomes: [LoadWorker.Outcome] = []
        for worker in workers { outcomes.append(await worker.finish()) }
        return outcomes
    }

    /// Waits until consumers have what brokers acknowledged, or nothing more comes, and then a moment longer, for what
    /// should not come.
    /// - Returns: when the last one had come.
    private func waitForDeliveries() async throws -> Int64 {
        guard workload.verifies else {
            await pause(milliseconds: 200)
            return now
        }
        var distinct = -1
        var changed = now
        try await wait(interruptions: 2) { progress in
            if progress.distinct != distinct {
                distinct = progress.distinct
                changed = now
            }
            return progress.distinct >= progress.acknowledged || now - changed > options.drainNanoseconds
        }
        let end = now
        await pause(milliseconds: 100)
        return end
    }

    // MARK: - Judge

    private func judge(
        _ measured: Measurement, _ outcomes: [LoadWorker.Outcome], _ preparation: Preparation
    ) throws -> BenchResult {
        var result = BenchResult(workload: workload, run: preparation.run, nanoseconds: measured.nanoseconds)
        result.ownCPUNanoseconds = measured.ownCPUNanoseconds
        result.server = measured.server
        result.brokers = preparation.targets.map { "\($0.host):\($0.port)" }
        result.isInterrupted = interruptions > 0
        result.endedBecause = endedBecause
        var acknowledged: [ProducerID: SequenceSet] = [:]
        for outcome in outcomes {
            if let sent = outcome.sent { result.merge(sent: sent) }
            if let received = outcome.received { result.merge(received: received) }
            acknowledged.merge(outcome.acknowledged) { first, _ in first }
        }
        if workload.consumes, workload.verifies {
            let isComplete = workload.start == .first && workload.end == .caughtUp && !result.isCutShort
            var expected = workload.kind == .endToEnd ? acknowledged : preparation.ledger?.acknowledged
            // Who did not wait for the rest cannot call it lost.
            if interruptions > (workload.kind == .endToEnd ? 1 : 0) { expected = nil }
            result.verdict = DeliveryVerdict(
                outcomes.compactMap(\.verifier), acknowledged: expected, isComplete: isComplete)
        }
        if workload.kind != .consume, let path = options.ledgerPath {
            try Ledger(run: preparation.run, acknowledged: acknowledged).write(to: path)
        }
        return result
    }
}

/// The line on standard error that says how a run goes.
struct ProgressLine {
    private let isShown: Bool
    private let producing: Bool
    private let isTerminal = isatty(STDERR_FILENO) == 1
    private var start: Int64?
    private var next: Int64 = 0
    private var before = LoadProgress()
    private var beforeAt: Int64 = 0

    init(isShown: Bool, producing: Bool) {
        self.isShown = isShown
        self.producing = producing
    }

    /// Once a second.
    func isDue(_ now: Int64) -> Bool { isShown && now >= next }

    mutating func print(_ progress: LoadProgress, _ now: Int64) {
        defer {
            before = progress
            beforeAt = now
            next = now + 1_000_000_000
        }
        guard let start else {
            self.start = now
            return
        }
        let line = text(progress, seconds: (now - start) / 1_000_000_000, span: Double(now - beforeAt) / 1e9)
        if isTerminal { Self.write("\r\u{1B}[K" + line) } else { Console.printError(line) }
    }

    func clear() {
        if isShown, isTerminal { Self.write("\r\u{1B}[K") }
    }

    private func text(_ progress: LoadProgress, seconds: Int64, span: Double) -> String {
        func rate(_ count: Int) -> String { Quantity.grouped(Int64(Double(count) / max(span, 1e-9))) + "/s" }
        var text = "\(seconds) s"
        if producing { text += "  sent \(rate(progress.acknowledged - before.acknowledged))" }
        if progress.received > 0 { text += "  received \(rate(progress.received - before.received))" }
        if progress.recent.count > 0 {
            text += "  p50 \(Quantity.time(progress.recent.value(at: 0.5)))"
            text += "  p99 \(Quantity.time(progress.recent.value(at: 0.99)))"
        }
        if producing { text += "  unanswered \(progress.unanswered)" }
        return text + "  errors \(progress.errors)"
    }

    private static func write(_ text: String) {
        var text = text
        text.withUTF8 { _ = Glibc.write(STDERR_FILENO, $0.baseAddress, $0.count) }
    }
}
