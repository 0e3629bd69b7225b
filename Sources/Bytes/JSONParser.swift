/// Why bytes are no JSON, and where.
public struct JSONError: Error, Equatable, Sendable, CustomStringConvertible {
    public var reason: String
    /// Bytes from the start of the document.
    public var position: Int
    public init(_ reason: String, position: Int) {
        self.reason = reason
        self.position = position
    }
    public var description: String { "JSON: \(reason) at byte \(position)" }
}

extension JSONValue {
    /// Deepest nesting that ``init(parsing:depthMaximum:)`` follows by default; RocketMQ's own documents need 7.
    public static let depthDefault = 64
    /// Most values, keys included, that a document may hold: about 100 MB as a tree. All topics of a broker with
    /// 100,000 take 1.7 million.
    public static let valueCountMaximum = 4_000_000

    /// Reads one document, which must fill `span` but for white space.
    ///
    /// Beyond the standard it takes what fastjson writes or C++ and Go clients send: numbers, objects and bare words as
    /// keys, single quotes, a comma behind the last member, `NaN`. Bytes in a string that are no UTF-8 become U+FFFD.
    /// - Throws: ``JSONError``.
    /// - Complexity: linear in the size; the tree takes a few dozen times the memory of the document, which
    ///   ``valueCountMaximum`` bounds.
    public init(parsing span: RawSpan, depthMaximum: Int = depthDefault) throws(JSONError) {
        var parser = JSONParser(span, depthMaximum: depthMaximum)
        self = try parser.document()
    }

    public init(parsing bytes: [UInt8]) throws(JSONError) {
        try self.init(parsing: bytes.span.bytes)
    }

    public init(parsing text: String) throws(JSONError) {
        try self.init(parsing: Array(text.utf8))
    }
}

/// A recursive descent over borrowed bytes; the depth is bounded, so the stack is too.
struct JSONParser: ~Escapable {
    private let span: RawSpan
    private let depthMaximum: Int
    private var position = 0
    private var valueCount = 0

    @_lifetime(copy span)
    init(_ span: RawSpan, depthMaximum: Int) {
        self.span = span
        self.depthMaximum = depthMaximum
    }

    mutating func document() throws(JSONError) -> JSONValue {
        let value = try value(depth: 0)
        skipSpace()
        guard position == span.byteCount else { throw error("text behind the document") }
        return value
    }

    private func error(_ reason: String) -> JSONError { JSONError(reason, position: position) }

    // MARK: - Values

    private mutating func value(depth: Int) throws(JSONError) -> JSONValue {
        valueCount += 1
        guard valueCount <= JSONValue.valueCountMaximum else { throw error("too many values") }
        switch next() {
        case UInt8(ascii: "{"): return .object(try members(depth: depth))
        case UInt8(ascii: "["): return .array(try elements(depth: depth))
        case UInt8(ascii: "\""), UInt8(ascii: "'"): return .string(try string())
        case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"): return try number()
        case 0 where position == span.byteCount: throw error("unexpected end")
        default: return try word()
        }
    }

    private mutating func members(depth: Int) throws(JSONError) -> [JSONValue.Member] {
        var members: [JSONValue.Member] = []
        guard depth < depthMaximum else { throw error("nested more than \(depthMaximum) deep") }
        position += 1
        while !skip(UInt8(ascii: "}")) {
            let key = try key(depth: depth + 1)
            guard skip(UInt8(ascii: ":")) else { throw error("expected : behind a key") }
            members.append(JSONValue.Member(key, try value(depth: depth + 1)))
            guard skip(UInt8(ascii: ",")) || next() == UInt8(ascii: "}") else { throw error("expected , or }") }
        }
        return members
    }

    private mutating func elements(depth: Int) throws(JSONError) -> [JSONValue] {
        var elements: [JSONValue] = []
        guard depth < depthMaximum else { throw error("nested more than \(depthMaximum) deep") }
        position += 1
        while !skip(UInt8(ascii: "]")) {
            elements.append(try value(depth: depth + 1))
            guard skip(UInt8(ascii: ",")) || next() == UInt8(ascii: "]") else { throw error("expected , or ]") }
        }
        return elements
    }

    /// Any value; a bare word is a string here.
    private mutating func key(depth: Int) throws(JSONError) -> JSONValue {
        switch next() {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "_"):
            return .string(wordText())
        default: return try value(depth: depth)
        }
    }

    private mutating func word() throws(JSONError) -> JSONValue {
        let start = position
        switch wordText() {
        case "true": return true
        case "false": return false
        case "null": return .null
        case "NaN": return .double(.nan)
        default:
            position = start
            throw error("expected a value")
        }
    }

    private mutating func wordText() -> String {
        let start = position
        while position < span.byteCount {
            switch span.byte(at: position) {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"):
                position += 1
            default: return span.extracting(start..<position).string()
            }
        }
        return span.extracting(start..<position).string()
    }

    private mutating func number() throws(JSONError) -> JSONValue {
        let start = position
        var isWhole = true
        scan: while position < span.byteCount {
            switch span.byte(at: position) {
            case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "+"): break
            case UInt8(ascii: "."), UInt8(ascii: "e"), UInt8(ascii: "E"): isWhole = false
            default: break scan
            }
            position += 1
        }
        let text = span.extracting(start..<position)
        if isWhole, let number = text.decimal() { return .integer(number) }
        // A longer run is no number anybody means, and would make a large string for nothing.
        guard text.byteCount <= 400, let number = Double(text.string()) else {
            position = start
            throw error("expected a number")
        }
        return .double(number)
    }

    // MARK: - Strings

    private mutating func string() throws(JSONError) -> String {
        let quote = span.byte(at: position)
        let start = position + 1
        var end = start
        while end < span.byteCount {
            let byte = span.byte(at: end)
            if byte == quote {
                position = end + 1
                return span.extracting(start..<end).string()
            }
            if byte == UInt8(ascii: "\\") { return try escapedString(from: start, firstEscape: end, quote: quote) }
            end += 1
        }
        throw error("string without an end")
    }

    private mutating func escapedString(
        from start: Int, firstEscape: Int, quote: UInt8
    ) throws(JSONError) -> String {
        var text = span.extracting(start..<firstEscape).array()
        position = firstEscape
        while position < span.byteCount {
            let byte = span.byte(at: position)
            if byte == quote {
                position += 1
                return String(decoding: text, as: UTF8.self)
            }
            guard byte == UInt8(ascii: "\\") else {
                text.append(byte)
                position += 1
                continue
            }
            let escape = span.extracting(position..<min(position + 12, span.byteCount)).withUnsafeBytes {
                JSONEscape.read($0.bindMemory(to: UInt8.self))
            }
            guard let escape else { throw error("wrong escape") }
            text.append(contentsOf: Unicode.UTF8.encode(escape.scalar) ?? Unicode.UTF8.encodedReplacementCharacter)
            position += escape.size
        }
        throw error("string without an end")
    }

    // MARK: - Structure

    /// The next byte behind white space; 0 at the end.
    private mutating func next() -> UInt8 {
        skipSpace()
        return position < span.byteCount ? span.byte(at: position) : 0
    }

    private mutating func skip(_ byte: UInt8) -> Bool {
        guard next() == byte else { return false }
        position += 1
        return true
    }

    private mutating func skipSpace() {
        while position < span.byteCount {
            switch span.byte(at: position) {
            case UInt8(ascii: " "), UInt8(ascii: "\t"), UInt8(ascii: "\n"), UInt8(ascii: "\r"): position += 1
            default: return
            }
        }
    }
}
