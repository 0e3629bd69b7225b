/// One word of an SQL92 expression.
struct SelectorToken: Equatable {
    enum Kind: Equatable {
        case property
        case keyword(SelectorKeyword)
        /// The magnitude of an integer; a sign is a token of its own.
        case integer(UInt64)
        case decimal(Double)
        case text
        case symbol(SelectorSymbol)
        case end
    }

    var kind: Kind
    /// Where it stands among the bytes of the expression.
    var range: Range<Int>
}

/// The reserved words, in any mixture of capitals; no property can be called so.
enum SelectorKeyword: String, CaseIterable {
    case not = "NOT"
    case and = "AND"
    case or = "OR"
    case between = "BETWEEN"
    case `in` = "IN"
    case `true` = "TRUE"
    case `false` = "FALSE"
    case null = "NULL"
    case `is` = "IS"
    case contains = "CONTAINS"
    case startsWith = "STARTSWITH"
    case endsWith = "ENDSWITH"
}

enum SelectorSymbol: String {
    case equal = "="
    case notEqual = "<>"
    case less = "<"
    case lessOrEqual = "<="
    case greater = ">"
    case greaterOrEqual = ">="
    case open = "("
    case close = ")"
    case comma = ","
    case plus = "+"
    case minus = "-"
}

/// Cuts an SQL92 expression into words, as RocketMQ's `SelectorParser.jj` does (remoting reference §1.15):
///
///     property   letter, _ or $, then those and digits; ASCII only
///     integer    0, or digits that do not begin with 0; a final L is allowed
///     decimal    5.5  5.  .5  5E10  5.5E-10
///     text       '…', a quote within is doubled
///     comment    -- to the end of the line, or between /* and */
struct SelectorLexer {
    let bytes: [UInt8]
    private(set) var position = 0

    init(_ expression: String) { bytes = Array(expression.utf8) }

    /// The next word; at the end ``SelectorToken/Kind/end``, again and again.
    mutating func next() throws(SelectorError) -> SelectorToken {
        try skipBlanks()
        let start = position
        guard let first = byte(at: position) else { return SelectorToken(kind: .end, range: start..<start) }
        let kind: SelectorToken.Kind
        switch first {
        case _ where Self.isLetter(first): kind = word()
        case UInt8(ascii: "'"): kind = try text()
        case _ where Self.isDigit(first): kind = try number()
        case UInt8(ascii: ".") where byte(at: position + 1).map(Self.isDigit) == true: kind = try number()
        default: kind = .symbol(try symbol())
        }
        return SelectorToken(kind: kind, range: start..<position)
    }

    /// An error at a byte of the expression.
    func error(at offset: Int, _ reason: String) -> SelectorError {
        // Continuation bytes of UTF-8 are no characters of their own.
        let characters = bytes[..<min(offset, bytes.count)].reduce(0) { $0 + ($1 & 0xC0 == 0x80 ? 0 : 1) }
        return SelectorError(character: characters + 1, reason: reason)
    }

    /// The word as it stands in the expression.
    func spelling(_ token: SelectorToken) -> String { String(decoding: bytes[token.range], as: UTF8.self) }

    /// What stands between the quotes of a text.
    func value(ofText token: SelectorToken) -> [UInt8] {
        var value: [UInt8] = []
        var index = token.range.lowerBound + 1
        while index < token.range.upperBound - 1 {
            value.append(bytes[index])
            index += bytes[index] == UInt8(ascii: "'") ? 2 : 1
        }
        return value
    }

    // MARK: - Words

    private func byte(at offset: Int) -> UInt8? { offset < bytes.count ? bytes[offset] : nil }

    private mutating func skipBlanks() throws(SelectorError) {
        while let byte = byte(at: position) {
            switch byte {
            case UInt8(ascii: " "), UInt8(ascii: "\t"), UInt8(ascii: "\n"), UInt8(ascii: "\r"), 0x0C: position += 1
            case UInt8(ascii: "-") where self.byte(at: position + 1) == UInt8(ascii: "-"): skipLine()
            case UInt8(ascii: "/") where self.byte(at: position + 1) == UInt8(ascii: "*"): try skipComment()
            default: return
            }
        }
    }

    private mutating func skipLine() {
        while let byte = byte(at: position), byte != UInt8(ascii: "\n"), byte != UInt8(ascii: "\r") { position += 1 }
    }

    private mutating func skipComment() throws(SelectorError) {
        let start = position
        position += 2
        while byte(at: position) != UInt8(ascii: "*") || byte(at: position + 1) != UInt8(ascii: "/") {
            guard position < bytes.count else { throw error(at: start, "the comment has no end, expected */") }
            position += 1
        }
        position += 2
    }

    private mutating func word() -> SelectorToken.Kind {
        let start = position
        while let byte = byte(at: position), Self.isLetter(byte) || Self.isDigit(byte) { position += 1 }
        let capitals = String(decoding: bytes[start..<position], as: UTF8.self).uppercased()
        return SelectorKeyword(rawValue: capitals).map(SelectorToken.Kind.keyword) ?? .property
    }

    private mutating func text() throws(SelectorError) -> SelectorToken.Kind {
        let start = position
        position += 1
        while let byte = byte(at: position) {
            position += 1
            guard byte == UInt8(ascii: "'") else { continue }
            guard self.byte(at: position) == UInt8(ascii: "'") else { return .text }
            position += 1
        }
        throw error(at: start, "the text has no end, expected '")
    }

    private mutating func number() throws(SelectorError) -> SelectorToken.Kind {
        let start = position
        skipDigits()
        let isDecimal = skipFraction()
        let hasExponent = skipExponent()
        if isDecimal || hasExponent {
            guard let value = SelectorNumber.decimal(bytes[start..<position]), value.isFinite else {
                throw error(at: start, "the number is larger than a double can be")
            }
            return .decimal(value)
        }
        // As in Java and SQL, but not in C: a leading zero does not go on.
        if bytes[start] == UInt8(ascii: "0"), position > start + 1 {
            throw error(at: start, "an integer does not begin with 0")
        }
        guard let value = UInt64(String(decoding: bytes[start..<position], as: UTF8.self)) else {
            throw error(at: start, "the integer needs more than 64 bits")
        }
        if let byte = byte(at: position), byte | 0x20 == UInt8(ascii: "l") { position += 1 }
        return .integer(value)
    }

    private mutating func skipDigits() { while let byte = byte(at: position), Self.isDigit(byte) { position += 1 } }

    private mutating func skipFraction() -> Bool {
        guard byte(at: position) == UInt8(ascii: ".") else { return false }
        position += 1
        skipDigits()
        return true
    }

    private mutating func skipExponent() -> Bool {
        guard let letter = byte(at: position), letter | 0x20 == UInt8(ascii: "e") else { return false }
        var digits = position + 1
        if let sign = byte(at: digits), sign == UInt8(ascii: "+") || sign == UInt8(ascii: "-") { digits += 1 }
        guard let digit = byte(at: digits), Self.isDigit(digit) else { return false }
        position = digits
        skipDigits()
        return true
    }

    private mutating func symbol() throws(SelectorError) -> SelectorSymbol {
        for length in [2, 1] where position + length <= bytes.count {
            let text = String(decoding: bytes[position..<position + length], as: UTF8.self)
            if let symbol = SelectorSymbol(rawValue: text) {
                position += length
                return symbol
            }
        }
        throw error(at: position, unknownReason)
    }

    /// What to say of a character that begins no word.
    private var unknownReason: String {
        if bytes[position] == UInt8(ascii: "!") { return "! is no operator, expected <> or NOT" }
        if bytes[position] == UInt8(ascii: "\"") { return "texts stand between single quotes" }
        let character = String(decoding: bytes[position...].prefix(4), as: UTF8.self).unicodeScalars.first
        return "\(character.map { String($0) } ?? "?") begins no property, literal or operator"
    }

    private static func isLetter(_ byte: UInt8) -> Bool {
        (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte | 0x20) || byte == UInt8(ascii: "_")
            || byte == UInt8(ascii: "$")
    }

    private static func isDigit(_ byte: UInt8) -> Bool { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) }
}
