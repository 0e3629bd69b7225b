import Telemetry

/// What a benchmark found.
struct BenchResult: Sendable {
    var workload: Workload
    var run: UInt64
    /// Length of the measured part.
    var nanoseconds: Int64
    var brokers: [String] = []
    var sent: LoadFigures?
    var received: LoadFigures?
    var verdict: DeliveryVerdict?
    /// Processor time of this process in the measured part.
    var ownCPUNanoseconds: Int64 = 0
    var server: ProcessUsage?
    var isInterrupted = false
    /// Why it stopped before its time; nil when it did not.
    var endedBecause: String?

    init(workload: Workload, run: UInt64, nanoseconds: Int64) {
        self.workload = workload
        self.run = run
        self.nanoseconds = nanoseconds
    }

    mutating func merge(sent figures: LoadFigures) {
        var all = sent ?? LoadFigures()
        all.merge(figures)
        sent = all
    }

    mutating func merge(received figures: LoadFigures) {
        var all = received ?? LoadFigures()
        all.merge(figures)
        received = all
    }

    var isCutShort: Bool { isInterrupted || endedBecause != nil }
    var seconds: Double { Double(nanoseconds) / 1e9 }
    var runName: String { String(run, radix: 16) }
    /// What costs are divided by: messages sent, or received where nothing was sent.
    var messages: Int { sent?.messages ?? received?.messages ?? 0 }
    var errorCount: Int { (sent?.errorCount ?? 0) + (received?.errorCount ?? 0) }

    /// A share of `nanoseconds` for each message, in microseconds; nil without messages.
    func microsecondsPerMessage(_ nanoseconds: Int64) -> Double? {
        messages > 0 ? Double(nanoseconds) / 1000 / Double(messages) : nil
    }

    var exitCode: ExitCode {
        if let verdict, !verdict.isClean { return .verification }
        if endedBecause != nil { return .unreachable }
        if isInterrupted { return .interrupted }
        return errorCount > 0 || messages == 0 && workload.produces ? .failure : .success
    }
}
