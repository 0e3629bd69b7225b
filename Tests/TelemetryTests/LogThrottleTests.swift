import Base
import Telemetry
import Testing

@Suite("Throttled log lines")
struct LogThrottleTests {
    @Test("a few lines a second pass, and the next one says how many did not")
    func counting() {
        var throttle = LogThrottle(lines: 2, perMilliseconds: 1000)
        let start = MonotonicTime(nanoseconds: 0)
        #expect((0..<5).map { _ in throttle.admit(at: start) } == [1, 1, nil, nil, nil])
        #expect(throttle.admit(at: start.advanced(byMilliseconds: 999)) == nil)
        #expect(throttle.admit(at: start.advanced(byMilliseconds: 1000)) == 5)
        #expect(throttle.admit(at: start.advanced(byMilliseconds: 1000)) == 1)
    }
}
