import ApusClient
import Base
import Glibc
import Model
import Synchronization

/// `apus bench listen`: what the Swift client's push consumer costs, concurrent or orderly.
///
/// Unlike the other benches it uses the library as a user does: a group is joined, queues are allocated and locked, every
/// message becomes a value with its properties and goes through a handler, which does nothing but count.
struct ListenBench {
    var topic: String
    var isOrdered: Bool
    var concurrency: Int
    /// Messages after which it ends.
    var count: Int

    struct Result {
        var received: Int
        /// From the first message that was handled to the last.
        var elapsed: Duration
        /// Time on processors of this whole process meanwhile.
        var processorTime: Duration
    }

    /// What the handlers share.
    private final class Progress: Sendable {
        let received = Atomic(0)
        let start = Mutex<(ContinuousClock.Instant, Duration)?>(nil)

        /// - Returns: how many messages have been handled with this one.
        func handled() -> Int {
            let number = received.add(1, ordering: .relaxed).newValue
            if number == 1 { start.withLock { $0 = (.now, ListenBench.processorTime) } }
            return number
        }
    }

    /// Reads from the first message of the topic on, as a group of its own.
    func run(_ client: RocketMQClient) async throws -> Result {
        var configuration = PushConsumerConfiguration(
            group: "apus_bench_listeners_\(UInt32.random(in: 0...UInt32.max))", subscriptions: [topic: .all])
        configuration.consumeFrom = .firstOffset
        configuration.isOrdered = isOrdered
        let consumer = client.pushConsumer(configuration)
        let progress = Progress()
        let (end, endContinuation) = AsyncStream<Void>.makeStream()
        let consuming = Task { [concurrency, count] in
            try await consumer.consume(concurrency: concurrency) { _ in
                if progress.handled() == count { endContinuation.finish() }
            }
        }
        for await _ in end {}
        let elapsed = progress.start.withLock { $0 }.map { (ContinuousClock.now - $0.0, Self.processorTime - $0.1) }
        consuming.cancel()
        try await consuming.value
        return Result(
            received: progress.received.load(ordering: .relaxed), elapsed: elapsed?.0 ?? .zero,
            processorTime: elapsed?.1 ?? .zero)
    }

    private static var processorTime: Duration {
        var time = timespec()
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time)
        return .seconds(time.tv_sec) + .nanoseconds(time.tv_nsec)
    }

    /// One row.
    static func table(_ result: Result, isOrdered: Bool) -> OutputTable {
        let microseconds = result.processorTime / .microseconds(1) / Double(max(1, result.received))
        return OutputTable(
            ["order", "received", "seconds", "perSecond", "clientCPUPerMessage"],
            [
                [
                    .text(isOrdered ? "ordered" : "concurrent"), .integer(Int64(result.received)),
                    .number(result.elapsed / .seconds(1)),
                    .number(Double(result.received) / max(1e-9, result.elapsed / .seconds(1))), .number(microseconds),
                ]
            ])
    }
}
