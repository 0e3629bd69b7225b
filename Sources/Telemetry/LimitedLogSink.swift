import Base
import Glibc
import Synchronization

/// Passes lines on, of each message only so many: what strangers can provoke must not fill a disk.
///
/// Messages are static texts, so lines that differ in their metadata alone count together. The first line that goes out
/// after others were held back says how many.
public final class LimitedLogSink: LogSink {
    private struct Allowance {
        /// Lines that may go out, in thousandths.
        var thousandths = LimitedLogSink.burst * 1_000
        var updated: Int64
        var heldBack = 0
    }

    /// Lines of one message that go out at once, and a second.
    public static let burst: Int64 = 20
    public static let linesPerSecond: Int64 = 2
    /// Messages that are told apart; further ones count together.
    static let messagesMaximum = 1_024

    private let sink: any LogSink
    /// Milliseconds on a clock that does not jump.
    private let milliseconds: @Sendable () -> Int64
    private let allowances = Mutex<[String: Allowance]>([:])

    public init(_ sink: any LogSink, milliseconds: @escaping @Sendable () -> Int64 = LimitedLogSink.kernelMilliseconds)
    {
        self.sink = sink
        self.milliseconds = milliseconds
    }

    public static let kernelMilliseconds: @Sendable () -> Int64 = {
        var now = timespec()
        clock_gettime(CLOCK_MONOTONIC, &now)
        return Int64(now.tv_sec) * 1_000 + Int64(now.tv_nsec) / 1_000_000
    }

    public func write(level: LogLevel, label: String, message: String, metadata: [(key: String, value: String)]) {
        guard let heldBack = pass(message) else { return }
        let note = heldBack > 0 ? [(key: "similarLinesLeftOut", value: String(heldBack))] : []
        sink.write(level: level, label: label, message: message, metadata: metadata + note)
    }

    /// - Returns: how many lines were held back before this one; nil when this one is, too.
    private func pass(_ message: String) -> Int? {
        let now = milliseconds()
        return allowances.withLock { allowances in
            let key = allowances[message] != nil || allowances.count < Self.messagesMaximum ? message : ""
            var allowance = allowances[key] ?? Allowance(updated: now)
            defer { allowances[key] = allowance }
            let elapsed = min(max(0, now - allowance.updated), 1_000_000)
            allowance.updated = now
            allowance.thousandths = min(
                Self.burst * 1_000, allowance.thousandths + elapsed * Self.linesPerSecond)
            guard allowance.thousandths >= 1_000 else {
                allowance.heldBack += 1
                return nil
            }
            allowance.thousandths -= 1_000
            defer { allowance.heldBack = 0 }
            return allowance.heldBack
        }
    }
}
