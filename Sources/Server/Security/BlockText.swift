/// The part of YAML that RocketMQ's `plain_acl.yml` is written in: mappings and lists by indentation, scalars with or without
/// quotes, comments, and lists of scalars in brackets. Everything else (anchors, tags, block scalars, tabs, several documents) is
/// refused with its line, so that nothing is read in a way that was not meant.
indirect enum BlockText: Equatable {
    case scalar(String, line: Int)
    case list([BlockText], line: Int)
    case mapping([Member], line: Int)
    /// Nothing behind a key.
    case empty(line: Int)

    struct Member: Equatable {
        var key: String
        var value: BlockText
        var line: Int
    }

    var line: Int {
        switch self {
        case .scalar(_, let line), .list(_, let line), .mapping(_, let line), .empty(let line): line
        }
    }

    /// Reads a whole text.
    init(_ text: String) throws(BlockTextError) {
        var reader = try BlockReader(text)
        self = try reader.document()
    }
}

/// What is wrong with a text, and in which line, counted from 1.
struct BlockTextError: Error, Equatable, CustomStringConvertible {
    var line: Int
    var reason: String
    var description: String { "line \(line): \(reason)" }
}

private struct BlockReader {
    /// A line without its comment; blank ones are left out.
    private struct Line {
        var number: Int
        var indentation: Int
        var content: Substring
    }

    private var lines: [Line] = []
    private var next = 0

    /// Deeper nesting has no use in this format.
    private static let depthMaximum = 8

    init(_ text: String) throws(BlockTextError) {
        for (index, raw) in text.split(omittingEmptySubsequences: false, whereSeparator: Self.isEnd).enumerated() {
            let number = index + 1
            let line = try Self.withoutComment(raw, number)
            let content = line.drop { $0 == " " }
            guard !content.isEmpty else { continue }
            guard !content.hasPrefix("\t") else {
                throw BlockTextError(line: number, reason: "a tab in the indentation")
            }
            if content == "---", lines.isEmpty { continue }
            lines.append(Line(number: number, indentation: line.count - content.count, content: content))
        }
    }

    /// To Swift a carriage return and a line feed are one character.
    private static func isEnd(_ character: Character) -> Bool { character == "\n" || character == "\r\n" }

    /// Cuts a comment and the spaces before it.
    private static func withoutComment(_ line: Substring, _ number: Int) throws(BlockTextError) -> Substring {
        var quote: Character?
        var before: Character = " "
        var end = line.endIndex
        for index in line.indices {
            let character = line[index]
            if let open = quote {
                if character == open { quote = nil }
            } else if character == "\"" || character == "'", " [,-:".contains(before) {
                quote = character
            } else if character == "#", before == " " || before == "\t" {
                end = index
                break
            }
            before = character
        }
        guard quote == nil else { throw BlockTextError(line: number, reason: "a quote that does not end") }
        var result = line[..<end]
        while let last = result.last, last == " " || last == "\t" { result.removeLast() }
        return result
    }

    mutating func document() throws(BlockTextError) -> BlockText {
        guard let first = lines.first else { return .empty(line: 1) }
        let value = try block(indentation: first.indentation, depth: 0)
        guard next == lines.count else {
            throw BlockTextError(line: lines[next].number, reason: "the indentation fits nothing above")
        }
        return value
    }

    /// The lines from the next one on that begin at `indentation`, with what is below them.
    private mutating func block(indentation: Int, depth: Int) throws(BlockTextError) -> BlockText {
        let first = lines[next]
        guard depth <= Self.depthMaximum else { throw BlockTextError(line: first.number, reason: "nested too deeply") }
        if Self.isItem(first.content) { return try list(indentation, depth) }
        guard Self.colon(first.content) != nil else {
            next += 1
            return try Self.scalar(first.content, first.number)
        }
        return try mapping(indentation, depth)
    }

    private static func isItem(_ content: Substring) -> Bool { content == "-" || content.hasPrefix("- ") }

    private mutating func list(_ indentation: Int, _ depth: Int) throws(BlockTextError) -> BlockText {
        let start = lines[next].number
        var items: [BlockText] = []
        while next < lines.count, lines[next].indentation == indentation, Self.isItem(lines[next].content) {
            let line = lines[next]
            let rest = line.content.dropFirst().drop { $0 == " " }
            if rest.isEmpty {
                next += 1
                items.append(try below(indentation, line.number, depth))
            } else {
                // What stands behind the dash begins a block of its own, as far to the right as it stands.
                lines[next] = Line(
                    number: line.number, indentation: indentation + line.content.count - rest.count, content: rest)
                items.append(try block(indentation: lines[next].indentation, depth: depth + 1))
            }
        }
        return .list(items, line: start)
    }

    private mutating func mapping(_ indentation: Int, _ depth: Int) throws(BlockTextError) -> BlockText {
        let start = lines[next].number
        var members: [BlockText.Member] = []
        while next < lines.count, lines[next].indentation == indentation, !Self.isItem(lines[next].content) {
            let line = lines[next]
            guard let colon = Self.colon(line.content) else {
                throw BlockTextError(line: line.number, reason: "expected 'key: value'")
            }
            let key = try Self.plain(line.content[..<colon], line.number)
            guard !members.contains(where: { $0.key == key }) else {
                throw BlockTextError(line: line.number, reason: "\(key) stands there twice")
            }
            let rest = line.content[line.content.index(after: colon)...].drop { $0 == " " }
            next += 1
            let value =
                rest.isEmpty
                ? try below(indentation, line.number, depth, isMember: true) : try Self.scalar(rest, line.number)
            members.append(BlockText.Member(key: key, value: value, line: line.number))
        }
        return .mapping(members, line: start)
    }

    /// What is indented further than `indentation`; a list of a key may also stand as far to the left as the key.
    private mutating func below(
        _ indentation: Int, _ line: Int, _ depth: Int, isMember: Bool = false
    ) throws(BlockTextError) -> BlockText {
        guard next < lines.count else { return .empty(line: line) }
        let first = lines[next]
        let isBelow =
            first.indentation > indentation
            || isMember && first.indentation == indentation && Self.isItem(first.content)
        return isBelow ? try block(indentation: first.indentation, depth: depth + 1) : .empty(line: line)
    }

    // MARK: - Scalars

    /// Where a key ends; nil when the line has none.
    private static func colon(_ content: Substring) -> Substring.Index? {
        guard let first = content.first, first != "\"", first != "'", first != "[" else { return nil }
        var index = content.startIndex
        while index < content.endIndex {
            let after = content.index(after: index)
            if content[index] == ":", after == content.endIndex || content[after] == " " { return index }
            index = after
        }
        return nil
    }

    private static func scalar(_ text: Substring, _ line: Int) throws(BlockTextError) -> BlockText {
        guard text.hasPrefix("[") else { return .scalar(try plain(text, line), line: line) }
        guard text.hasSuffix("]") else { throw BlockTextError(line: line, reason: "a list without its ]") }
        let inside = text.dropFirst().dropLast().drop { $0 == " " }
        guard !inside.isEmpty else { return .list([], line: line) }
        var items: [BlockText] = []
        for part in inside.split(separator: ",", omittingEmptySubsequences: false) {
            items.append(.scalar(try plain(Substring(part.trimmingSpaces()), line), line: line))
        }
        return .list(items, line: line)
    }

    private static func plain(_ text: Substring, _ line: Int) throws(BlockTextError) -> String {
        guard let first = text.first else {
            throw BlockTextError(line: line, reason: "nothing where a value should be")
        }
        if first == "\"" || first == "'" {
            guard text.count >= 2, text.last == first else {
                throw BlockTextError(line: line, reason: "text behind a quoted value")
            }
            let inside = text.dropFirst().dropLast()
            guard !inside.contains(first), first == "'" || !inside.contains("\\") else {
                throw BlockTextError(line: line, reason: "quotes and escapes within quotes are not understood here")
            }
            return String(inside)
        }
        // `{` and `*` begin something else in YAML, but RocketMQ's own examples have addresses of that form in quotes only.
        guard !"&!|>%@`{}[],".contains(first), first != "*" || text.dropFirst().allSatisfy({ "*.:".contains($0) })
        else {
            throw BlockTextError(line: line, reason: "a value that begins with \(first) needs quotes")
        }
        return String(text)
    }
}
