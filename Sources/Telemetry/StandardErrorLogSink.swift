import Glibc

/// Writes one line per event to standard error: `2026-11-21T01:02:03.456Z WARNING broker: message key=value`.
/// One `write` call per line, so lines of several threads do not mix.
public struct StandardErrorLogSink: LogSink {
    public init() {}

    public func write(level: LogLevel, label: String, message: String, metadata: [(key: String, value: String)]) {
        var line = "\(Self.time()) \(level.name.uppercased()) \(label): \(Self.printable(message))"
        for (key, value) in metadata { line += " \(key)=\(Self.quoted(value))" }
        line += "\n"
        line.withUTF8 { bytes in _ = Glibc.write(STDERR_FILENO, bytes.baseAddress, bytes.count) }
    }

    /// Control characters become `\u{..}`: what a stranger sent must not forge a line.
    static func printable(_ text: String) -> String {
        guard text.unicodeScalars.contains(where: { $0.value < 0x20 || $0.value == 0x7F }) else { return text }
        return text.unicodeScalars.map { $0.value < 0x20 || $0.value == 0x7F ? $0.escaped(asASCII: true) : String($0) }
            .joined()
    }

    static func quoted(_ value: String) -> String {
        let text = printable(value)
        guard text.isEmpty || text.contains(where: { $0 == " " || $0 == "\"" || $0 == "=" }) else { return text }
        return "\"" + text.replacing("\"", with: "\\\"") + "\""
    }

    private static func time() -> String {
        var now = timespec()
        clock_gettime(CLOCK_REALTIME, &now)
        var parts = tm()
        gmtime_r(&now.tv_sec, &parts)
        func padded(_ value: Int, _ width: Int) -> String {
            let digits = String(value)
            return String(repeating: "0", count: max(0, width - digits.count)) + digits
        }
        return
            "\(padded(Int(parts.tm_year) + 1900, 4))-\(padded(Int(parts.tm_mon) + 1, 2))-\(padded(Int(parts.tm_mday), 2))"
            + "T\(padded(Int(parts.tm_hour), 2)):\(padded(Int(parts.tm_min), 2)):\(padded(Int(parts.tm_sec), 2))"
            + ".\(padded(now.tv_nsec / 1_000_000, 3))Z"
    }
}
