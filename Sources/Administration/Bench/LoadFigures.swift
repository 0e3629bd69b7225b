import Telemetry

/// Why a request brought nothing.
enum LoadError: Hashable, Sendable, CustomStringConvertible {
    /// The response code.
    case refused(Int32)
    /// No answer in time.
    case timeout
    /// The connection went away before the answer came.
    case connectionLost

    var description: String {
        switch self {
        case .refused(let code): "code \(code)"
        case .timeout: "timeout"
        case .connectionLost: "connection lost"
        }
    }
}

/// What one worker counted on one side (sending or receiving) while figures were taken.
struct LoadFigures: Sendable {
    /// Messages acknowledged or received.
    var messages = 0
    /// Bytes of their bodies.
    var bytes = 0
    /// Requests answered with success.
    var requests = 0
    /// Pulls that found nothing.
    var emptyPulls = 0
    /// Nanoseconds of a request, from when it should have been sent to its answer.
    var requestLatency = Histogram()
    /// Nanoseconds of a message, from when it should have been sent until a consumer had it.
    var deliveryLatency = Histogram()
    var errors: [LoadError: Int] = [:]
    /// What the server said with the first error of each kind.
    var remarks: [LoadError: String] = [:]

    mutating func merge(_ other: LoadFigures) {
        messages += other.messages
        bytes += other.bytes
        requests += other.requests
        emptyPulls += other.emptyPulls
        requestLatency.merge(other.requestLatency)
        deliveryLatency.merge(other.deliveryLatency)
        errors.merge(other.errors) { $0 + $1 }
        remarks.merge(other.remarks) { first, _ in first }
    }

    mutating func count(_ error: LoadError, remark: @autoclosure () -> String = "") {
        errors[error, default: 0] += 1
        if remarks[error] == nil { remarks[error] = remark() }
    }

    var errorCount: Int { errors.values.reduce(0, +) }
}

/// What has happened since the start, warm-up included: for the progress line and for deciding when to stop.
struct LoadProgress: Sendable {
    var acknowledged = 0
    var received = 0
    /// Of the messages received, those seen for the first time.
    var distinct = 0
    var errors = 0
    var openConnections = 0
    /// Requests without an answer.
    var unanswered = 0
    /// The measured part is over on this worker.
    var isFinished = false
    /// When it was, in nanoseconds of the monotonic clock.
    var finishedAt: Int64 = 0
    /// Latencies since the last look.
    var recent = Histogram()

    /// Adds another worker's. Start from one whose ``isFinished`` is true.
    mutating func merge(_ other: LoadProgress) {
        acknowledged += other.acknowledged
        received += other.received
        distinct += other.distinct
        errors += other.errors
        openConnections += other.openConnections
        unanswered += other.unanswered
        isFinished = isFinished && other.isFinished
        finishedAt = max(finishedAt, other.finishedAt)
        recent.merge(other.recent)
    }
}
