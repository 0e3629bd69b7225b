import Synchronization
import Telemetry
import Testing

@Suite("Lines that are too many")
struct LimitedLogSinkTests {
    private final class Lines: LogSink {
        private let written = Mutex<[(message: String, leftOut: String?)]>([])
        var all: [(message: String, leftOut: String?)] { written.withLock { $0 } }
        func write(level: LogLevel, label: String, message: String, metadata: [(key: String, value: String)]) {
            let leftOut = metadata.first { $0.key == "similarLinesLeftOut" }?.value
            written.withLock { $0.append((message, leftOut)) }
        }
    }

    private final class Time: Sendable {
        let milliseconds = Atomic<Int64>(5)
    }

    @Test("of each message so many go out at once and a second, and the next says how many did not")
    func limits() {
        let lines = Lines()
        let time = Time()
        let sink = LimitedLogSink(lines) { time.milliseconds.load(ordering: .relaxed) }
        let log = Log(label: "t", sink: sink)
        let burst = Int(LimitedLogSink.burst)
        for number in 0..<100 { log.warning("flood", ["n": "\(number)"]) }
        log.warning("other", [:])
        #expect(lines.all.count == burst + 1, "another message is not held back")
        time.milliseconds.store(1_005, ordering: .relaxed)
        for _ in 0..<10 { log.warning("flood", [:]) }
        #expect(lines.all.count == burst + 1 + Int(LimitedLogSink.linesPerSecond))
        #expect(lines.all[burst + 1].leftOut == "\(100 - burst)")
        #expect(lines.all[burst + 2].leftOut == nil)
    }

    @Test("messages beyond those that are told apart count together, so that the sink does not grow")
    func manyMessages() {
        let lines = Lines()
        let sink = LimitedLogSink(lines) { 0 }
        for number in 0..<3_000 {
            sink.write(level: .info, label: "", message: "message \(number)", metadata: [])
        }
        #expect(lines.all.count == 1_024 + Int(LimitedLogSink.burst))
    }
}
