import Base
import Bytes
import Model

/// What the properties of a message say about its delay (remoting reference §2.5).
public enum MessageDelay {
    /// A property that asks for a delay and holds no number.
    public enum Malformed: Error, Equatable, Sendable {
        case level(String)
        case time
    }

    /// When a message with these properties is due; nil when they do not ask for a delay.
    ///
    /// A level goes before a time, and of the times the seconds, then the milliseconds, then the moment. Java adds with
    /// wrap-around, so that what lies too far ahead comes at once there; here it lies too far ahead.
    public static func due(
        _ properties: RawSpan, now: Timestamp, _ timers: TimerConfiguration
    ) throws(Malformed) -> Timestamp? {
        if let range = MessageProperties.valueRange(of: "DELAY", in: properties) {
            let text = properties.extracting(range)
            guard let level = text.decimal(), Int32(exactly: level) != nil else { throw .level(text.string()) }
            if level > 0 { return later(now, timers.delay(level: level)) }
        }
        if let range = MessageProperties.valueRange(of: "TIMER_DELAY_SEC", in: properties) {
            let seconds = try number(properties.extracting(range))
            let (delay, isTooLong) = seconds.multipliedReportingOverflow(by: 1_000)
            return later(now, isTooLong ? (seconds > 0 ? .max : .min) : delay)
        }
        if let range = MessageProperties.valueRange(of: "TIMER_DELAY_MS", in: properties) {
            return later(now, try number(properties.extracting(range)))
        }
        if let range = MessageProperties.valueRange(of: "TIMER_DELIVER_MS", in: properties) {
            return Timestamp(milliseconds: try number(properties.extracting(range)))
        }
        return nil
    }

    /// Whether they name a delay level.
    public static func hasLevel(_ properties: RawSpan) -> Bool {
        guard let range = MessageProperties.valueRange(of: "DELAY", in: properties) else { return false }
        return properties.extracting(range).decimal() ?? 0 > 0
    }

    private static func later(_ now: Timestamp, _ delay: Int64) -> Timestamp {
        let (sum, isTooFar) = now.milliseconds.addingReportingOverflow(delay)
        return Timestamp(milliseconds: isTooFar ? (delay > 0 ? .max : .min) : sum)
    }

    private static func number(_ text: RawSpan) throws(Malformed) -> Int64 {
        guard let number = text.decimal() else { throw .time }
        return number
    }
}
