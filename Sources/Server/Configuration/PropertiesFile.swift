/// A file of `key=value` lines as `java.util.Properties` reads it, which is what RocketMQ loads `broker.conf` with:
///
///     # comment        ! comment
///     key=value        key: value       key value
///     key = a long \
///           value
///     path=C\:\\store  name=\u0041pus
///
/// Blank lines and comments are skipped; a backslash at the end of a line joins the next one without its leading spaces;
/// `\t \n \r \f \uXXXX` stand for one character, and any other escaped character for itself.
public struct PropertiesFile: Sendable, Equatable {
    public struct Entry: Sendable, Equatable {
        public var key: String
        public var value: String
        /// The line it begins on, from 1.
        public var line: Int
    }

    /// In the order of the file; a key may come twice, the last one counts (as in Java).
    public var entries: [Entry] = []

    /// Reads `text`. Nothing in it is an error to Java, so nothing is here; what means nothing is found out by key.
    public init(_ text: String) {
        var logical = ""
        var start = 1
        var isContinued = false
        for (index, raw) in text.replacing("\r\n", with: "\n").split(separator: "\n", omittingEmptySubsequences: false)
            .enumerated()
        {
            let line = raw.drop { $0 == " " || $0 == "\t" || $0 == "\u{C}" }
            if !isContinued {
                if line.isEmpty || line.first == "#" || line.first == "!" { continue }
                start = index + 1
                logical = ""
            }
            // An odd number of backslashes at the end escapes the line break; an even one is escaped backslashes.
            let backslashes = line.reversed().prefix { $0 == "\\" }.count
            isContinued = backslashes % 2 == 1
            logical += isContinued ? line.dropLast() : line
            if !isContinued { entries.append(Self.entry(logical, line: start)) }
        }
        if isContinued { entries.append(Self.entry(logical, line: start)) }
    }

    private static func entry(_ line: String, line number: Int) -> Entry {
        let letters = Array(line)
        var end = 0
        while end < letters.count, !isSpace(letters[end]), letters[end] != "=", letters[end] != ":" {
            end += letters[end] == "\\" ? 2 : 1
        }
        end = min(end, letters.count)
        var value = end
        while value < letters.count, isSpace(letters[value]) { value += 1 }
        if value < letters.count, letters[value] == "=" || letters[value] == ":" { value += 1 }
        while value < letters.count, isSpace(letters[value]) { value += 1 }
        return Entry(
            key: unescaped(letters[..<end]), value: unescaped(letters[value...]).trimmingSpaces(), line: number)
    }

    private static func isSpace(_ letter: Character) -> Bool { letter == " " || letter == "\t" || letter == "\u{C}" }

    private static func unescaped(_ letters: ArraySlice<Character>) -> String {
        var result = ""
        var rest = letters
        while let letter = rest.popFirst() {
            guard letter == "\\", let escape = rest.popFirst() else {
                if letter != "\\" { result.append(letter) }
                continue
            }
            switch escape {
            case "t": result.append("\t")
            case "n": result.append("\n")
            case "r": result.append("\r")
            case "f": result.append("\u{C}")
            case "u":
                let digits = String(rest.prefix(4))
                if digits.count == 4, let code = UInt32(digits, radix: 16), let scalar = Unicode.Scalar(code) {
                    result.unicodeScalars.append(scalar)
                    rest = rest.dropFirst(4)
                } else {
                    result.append("u")
                }
            default: result.append(escape)
            }
        }
        return result
    }
}
