/// Text in the form of `java.util.Properties`, as requests 25, 26, 318 and 319 carry it: one `name=value` per line.
///
/// Read are comments (`#`, `!`), `=`, `:` or blanks between name and value, blanks before a name, lines continued by a
/// backslash, and the escapes `\t \n \r \f \uXXXX`; a backslash before anything else stands for that.
enum JavaProperties {
    /// The settings in order; a name that comes twice is there twice.
    static func parse(_ text: String) -> [(name: String, value: String)] {
        logicalLines(text).map(split)
    }

    /// One line, as RocketMQ writes settings: without escapes, so that what is shown is what is set.
    static func line(_ name: String, _ value: String) -> String { "\(name)=\(value)\n" }

    private static func logicalLines(_ text: String) -> [[Unicode.Scalar]] {
        var lines: [[Unicode.Scalar]] = []
        var continued: [Unicode.Scalar]?
        for raw in text.unicodeScalars.split(omittingEmptySubsequences: true, whereSeparator: { "\r\n".has($0) }) {
            var line = Array(raw.drop { " \t\u{C}".has($0) })
            if continued == nil, line.isEmpty || "#!".has(line[0]) { continue }
            if let start = continued { line = start + line }
            // An odd number of backslashes at the end: the last one continues the line.
            let isContinued = line.reversed().prefix { $0 == "\\" }.count % 2 == 1
            if isContinued {
                continued = Array(line.dropLast())
            } else {
                continued = nil
                lines.append(line)
            }
        }
        if let continued { lines.append(continued) }
        return lines
    }

    private static func split(_ line: [Unicode.Scalar]) -> (name: String, value: String) {
        var end = 0
        while end < line.count, !" \t\u{C}=:".has(line[end]) { end += line[end] == "\\" ? 2 : 1 }
        end = min(end, line.count)
        var rest = line[end...].drop { " \t\u{C}".has($0) }
        if let first = rest.first, "=:".has(first) {
            rest = rest.dropFirst().drop { " \t\u{C}".has($0) }
        }
        return (unescape(line[..<end]), unescape(rest))
    }

    private static func unescape(_ text: ArraySlice<Unicode.Scalar>) -> String {
        var result = String.UnicodeScalarView()
        var index = text.startIndex
        while index < text.endIndex {
            guard text[index] == "\\", index + 1 < text.endIndex else {
                if text[index] != "\\" { result.append(text[index]) }
                index += 1
                continue
            }
            let escaped = text[index + 1]
            index += 2
            switch escaped {
            case "t": result.append("\t")
            case "n": result.append("\n")
            case "r": result.append("\r")
            case "f": result.append("\u{C}")
            case "u":
                let digits = String(String.UnicodeScalarView(text[index...].prefix(4)))
                guard digits.unicodeScalars.count == 4,
                    let scalar = UInt32(digits, radix: 16).flatMap(Unicode.Scalar.init)
                else { continue }
                result.append(scalar)
                index += 4
            default: result.append(escaped)
            }
        }
        return String(result)
    }
}

extension String {
    fileprivate func has(_ scalar: Unicode.Scalar) -> Bool { unicodeScalars.contains(scalar) }
}
