import Glibc

/// Standard output and standard error, one whole `write` after the other.
public enum Console {
    /// Prints the text as it is, with one line break at its end.
    public static func print(_ text: String) { write(text, to: STDOUT_FILENO) }

    public static func printError(_ text: String) { write(text, to: STDERR_FILENO) }

    /// True when a person looks at standard output.
    public static var isTerminal: Bool { isatty(STDOUT_FILENO) == 1 }

    /// True when a person types what comes from standard input.
    public static var isInputTerminal: Bool { isatty(STDIN_FILENO) == 1 }

    /// Writes bytes to standard output as they are.
    /// - Returns: false when nobody reads them any more.
    @discardableResult
    public static func write(_ bytes: [UInt8]) -> Bool { write(bytes, to: STDOUT_FILENO) }

    private static func write(_ text: String, to descriptor: Int32) {
        write(Array((text.hasSuffix("\n") ? text : text + "\n").utf8), to: descriptor)
    }

    @discardableResult
    private static func write(_ bytes: [UInt8], to descriptor: Int32) -> Bool {
        var rest = bytes[...]
        while !rest.isEmpty {
            let written = rest.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
            if written < 0, errno == EINTR || errno == EAGAIN { continue }
            // A closed pipe (`apus … | head`) is no reason to complain.
            if written <= 0 { return false }
            rest = rest.dropFirst(written)
        }
        return true
    }
}

/// Bold and colours for a terminal, or nothing.
public struct TextStyle: Sendable, Equatable {
    public var isColoured: Bool
    public init(isColoured: Bool) { self.isColoured = isColoured }

    /// Colours when a person looks, `NO_COLOR` is unset or empty, and the terminal is not a dumb one.
    public init(environment: [String: String], isTerminal: Bool) {
        isColoured = isTerminal && (environment["NO_COLOR"] ?? "").isEmpty && environment["TERM"] != "dumb"
    }

    public static let plain = TextStyle(isColoured: false)

    public func bold(_ text: String) -> String { wrap(text, "1") }
    public func warning(_ text: String) -> String { wrap(text, "1;33") }
    public func good(_ text: String) -> String { wrap(text, "32") }
    public func bad(_ text: String) -> String { wrap(text, "31") }

    private func wrap(_ text: String, _ code: String) -> String {
        isColoured ? "\u{1B}[\(code)m\(text)\u{1B}[0m" : text
    }
}
