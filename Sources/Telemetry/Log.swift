/// How serious a line of the log is. Libraries write at `info` and below; `warning` and `error` call for a person.
public enum LogLevel: Int, Comparable, CaseIterable, Sendable {
    case trace, debug, info, notice, warning, error, critical
    public static func < (a: Self, b: Self) -> Bool { a.rawValue < b.rawValue }
    public var name: String { "\(self)" }
    /// The level with this name, whatever its case.
    public init?(name: String) {
        guard let level = LogLevel.allCases.first(where: { $0.name == name.lowercased() }) else { return nil }
        self = level
    }
}

/// Where log lines go. Shaped like swift-log's handler, so that an adapter is a few lines.
public protocol LogSink: Sendable {
    func write(level: LogLevel, label: String, message: String, metadata: [(key: String, value: String)])
}

/// A value that writes log lines under one label: static text plus metadata, never the body of a message.
public struct Log: Sendable {
    public let label: String
    public var level: LogLevel
    private let sink: any LogSink

    public init(label: String, level: LogLevel = .info, sink: any LogSink) {
        self.label = label
        self.level = level
        self.sink = sink
    }

    /// The same destination under another label.
    public func labelled(_ label: String) -> Log { Log(label: label, level: level, sink: sink) }

    /// A log that drops everything.
    public static let silent = Log(label: "", level: .critical, sink: SilentLogSink())

    @inline(__always)
    public func log(
        _ level: LogLevel, _ message: @autoclosure () -> String,
        _ metadata: @autoclosure () -> KeyValuePairs<String, String>
    ) {
        guard level >= self.level else { return }
        sink.write(
            level: level, label: label, message: message(), metadata: metadata().map { (key: $0.key, value: $0.value) })
    }

    public func debug(
        _ message: @autoclosure () -> String, _ metadata: @autoclosure () -> KeyValuePairs<String, String> = [:]
    ) {
        log(.debug, message(), metadata())
    }
    public func info(
        _ message: @autoclosure () -> String, _ metadata: @autoclosure () -> KeyValuePairs<String, String> = [:]
    ) {
        log(.info, message(), metadata())
    }
    public func notice(
        _ message: @autoclosure () -> String, _ metadata: @autoclosure () -> KeyValuePairs<String, String> = [:]
    ) {
        log(.notice, message(), metadata())
    }
    public func warning(
        _ message: @autoclosure () -> String, _ metadata: @autoclosure () -> KeyValuePairs<String, String> = [:]
    ) {
        log(.warning, message(), metadata())
    }
    public func error(
        _ message: @autoclosure () -> String, _ metadata: @autoclosure () -> KeyValuePairs<String, String> = [:]
    ) {
        log(.error, message(), metadata())
    }
}

struct SilentLogSink: LogSink {
    func write(level: LogLevel, label: String, message: String, metadata: [(key: String, value: String)]) {}
}
