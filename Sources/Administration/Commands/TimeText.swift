import Base
import Glibc

/// Times as people write them: UTC, as in ISO 8601.
enum TimeText {
    /// `2026-01-31T12:00:00.123Z`; a cell without value for 0, which means that there is none.
    static func cell(_ timestamp: Timestamp) -> OutputTable.Cell {
        timestamp.milliseconds <= 0 ? .absent : .text(text(timestamp))
    }

    static func text(_ timestamp: Timestamp) -> String {
        var seconds = time_t(timestamp.milliseconds / 1000)
        var parts = tm()
        gmtime_r(&seconds, &parts)
        let date = [padded(parts.tm_year + 1900, 4), padded(parts.tm_mon + 1, 2), padded(parts.tm_mday, 2)]
        let time = [padded(parts.tm_hour, 2), padded(parts.tm_min, 2), padded(parts.tm_sec, 2)]
        let fraction = padded(Int32(timestamp.milliseconds % 1000), 3)
        return date.joined(separator: "-") + "T" + time.joined(separator: ":") + "." + fraction + "Z"
    }

    private static func padded(_ number: Int32, _ width: Int) -> String {
        let digits = String(number)
        return String(repeating: "0", count: max(0, width - digits.count)) + digits
    }

    /// Reads milliseconds since 1970, `2026-01-31`, `2026-01-31T12:00:00` with or without fraction and `Z`, all in UTC, or a
    /// duration with its unit like `10m`, which means that long before `now`. Nil for anything else.
    static func timestamp(_ text: String, now: Timestamp) -> Timestamp? {
        if let milliseconds = Int64(text) { return milliseconds < 0 ? nil : Timestamp(milliseconds: milliseconds) }
        if text.last?.isLetter == true, text.last != "Z", let ago = CommandOption.Kind.duration(text) {
            let (seconds, attoseconds) = ago.components
            let milliseconds = seconds * 1000 + attoseconds / 1_000_000_000_000_000
            return Timestamp(milliseconds: max(0, now.milliseconds - milliseconds))
        }
        return calendar(text)
    }

    /// Reads a time as ``timestamp(_:now:)`` does, but no duration.
    static func moment(_ text: String) -> Timestamp? {
        if let milliseconds = Int64(text) { return milliseconds < 0 ? nil : Timestamp(milliseconds: milliseconds) }
        return calendar(text)
    }

    private static func calendar(_ text: String) -> Timestamp? {
        let halves = (text.hasSuffix("Z") ? text.dropLast() : text[...]).split(
            separator: "T", omittingEmptySubsequences: false)
        let date = halves[0].split(separator: "-", omittingEmptySubsequences: false).map { Int32($0) }
        guard halves.count <= 2, date.count == 3, let year = date[0], let month = date[1], let day = date[2],
            (1970...9999).contains(year), (1...12).contains(month), (1...31).contains(day)
        else { return nil }
        var parts = tm()
        parts.tm_year = year - 1900
        parts.tm_mon = month - 1
        parts.tm_mday = day
        var milliseconds: Int64 = 0
        if halves.count == 2 {
            let time = halves[1].split(separator: ":", omittingEmptySubsequences: false)
            guard time.count == 3, let hour = Int32(time[0]), let minute = Int32(time[1]),
                let second = Double(time[2]), (0...23).contains(hour), (0...59).contains(minute),
                (0..<60).contains(second)
            else { return nil }
            parts.tm_hour = hour
            parts.tm_min = minute
            milliseconds = Int64((second * 1000).rounded())
        }
        let seconds = timegm(&parts)
        // A day that the month does not have has become one of the next month.
        guard parts.tm_mday == day else { return nil }
        return Timestamp(milliseconds: Int64(seconds) * 1000 + milliseconds)
    }
}
