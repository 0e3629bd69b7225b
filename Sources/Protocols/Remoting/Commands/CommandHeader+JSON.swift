import Bytes

extension CommandHeader {
    /// Reads `{"code":…,"extFields":{…},…}` with its members in any order; others are passed over.
    func decodeJSON(_ scanner: inout HeaderScanner) throws(HeaderError) {
        var hasCode = false
        try scanner.expect(UInt8(ascii: "{"))
        guard !scanner.skip(UInt8(ascii: "}")) else { throw .missing(field: "code") }
        repeat {
            let key = try scanner.string()
            try scanner.expect(UInt8(ascii: ":"))
            if scanner.matches(key, "code") {
                code = try scanner.int32("code")
                hasCode = true
            } else if scanner.matches(key, "extFields") {
                try decodeFields(&scanner)
            } else if scanner.matches(key, "flag") {
                flag = try scanner.int32("flag")
            } else if scanner.matches(key, "language") {
                language = try scanner.language()
            } else if scanner.matches(key, "opaque") {
                opaque = try scanner.int32("opaque")
            } else if scanner.matches(key, "remark") {
                remark = try scanner.text()
            } else if scanner.matches(key, "version") {
                version = try scanner.int32("version")
            } else {
                try scanner.skipValue()
            }
        } while scanner.skip(UInt8(ascii: ","))
        try scanner.expect(UInt8(ascii: "}"))
        try scanner.expectEnd()
        guard hasCode else { throw .missing(field: "code") }
    }

    private func decodeFields(_ scanner: inout HeaderScanner) throws(HeaderError) {
        guard !scanner.skipNull() else { return }
        try scanner.expect(UInt8(ascii: "{"))
        guard !scanner.skip(UInt8(ascii: "}")) else { return }
        repeat {
            let key = try scanner.string()
            try scanner.expect(UInt8(ascii: ":"))
            // Null, and objects and lists, which no field has, count as absent.
            if let value = try scanner.text() { fields.append(Field(key: key, value: value)) }
        } while scanner.skip(UInt8(ascii: ","))
        try scanner.expect(UInt8(ascii: "}"))
    }
}

/// Walks over a JSON header in writable memory and replaces escapes where they stand.
///
/// Never reads or writes outside its range: every load is behind a comparison with `end`, and what an escape stands for
/// is never longer than the escape.
struct HeaderScanner {
    private let base: UnsafeMutablePointer<UInt8>
    private var position: Int
    private let end: Int

    /// - Precondition: `range` lies within `bytes`.
    init(_ bytes: UnsafeMutableRawBufferPointer, range: Range<Int>) {
        precondition(range.lowerBound >= 0 && range.upperBound <= bytes.count, "scanned outside the bytes")
        guard let start = bytes.baseAddress else { preconditionFailure("a header in no memory") }
        // SAFETY: the caller lends initialised bytes for the scanner's life, and bytes have no alignment.
        base = start.assumingMemoryBound(to: UInt8.self)
        position = range.lowerBound
        end = range.upperBound
    }

    // MARK: - Structure

    private mutating func skipSpace() {
        while position < end {
            switch base[position] {
            case UInt8(ascii: " "), UInt8(ascii: "\t"), UInt8(ascii: "\n"), UInt8(ascii: "\r"): position += 1
            default: return
            }
        }
    }

    /// The next byte behind white space; 0, which no structure begins with, at the end.
    @inline(__always)
    private mutating func next() -> UInt8 {
        if position < end, base[position] > 0x20 { return base[position] }
        skipSpace()
        return position < end ? base[position] : 0
    }

    /// Moves behind `byte` if it comes next.
    @inline(__always)
    mutating func skip(_ byte: UInt8) -> Bool {
        guard next() == byte else { return false }
        position += 1
        return true
    }

    @inline(__always)
    mutating func expect(_ byte: UInt8) throws(HeaderError) {
        guard skip(byte) else { throw malformed("expected \(Character(UnicodeScalar(byte)))") }
    }

    mutating func expectEnd() throws(HeaderError) {
        skipSpace()
        guard position == end else { throw malformed("bytes behind the header") }
    }

    mutating func skipNull() -> Bool {
        guard next() == UInt8(ascii: "n"), end - position >= 4, matches(position..<position + 4, "null") else {
            return false
        }
        position += 4
        return true
    }

    @inline(__always)
    func matches(_ range: Range<Int>, _ text: StaticString) -> Bool {
        guard range.count == text.utf8CodeUnitCount else { return false }
        var index = 0
        while index < range.count {
            if base[range.lowerBound + index] != text.utf8Start[index] { return false }
            index += 1
        }
        return true
    }

    private func malformed(_ reason: String) -> HeaderError { .malformed(reason, position: position) }

    // MARK: - Values

    /// The position of a string's content, escapes replaced.
    @inline(__always)
    mutating func string() throws(HeaderError) -> Range<Int> {
        let quote = next()
        guard quote == UInt8(ascii: "\"") || quote == UInt8(ascii: "'") else { throw malformed("expected a string") }
        let start = position + 1
        let stop = quoteOrBackslash(from: start, quote: quote)
        guard stop < end else { throw malformed("string without an end") }
        if base[stop] == quote {
            position = stop + 1
            return start..<stop
        }
        return try unescape(from: start, firstEscape: stop, quote: quote)
    }

    /// The first position from `start` on that holds `quote` or a backslash; `end` when none does.
    @inline(__always)
    private func quoteOrBackslash(from start: Int, quote: UInt8) -> Int {
        let ones: UInt64 = 0x0101_0101_0101_0101
        let highs: UInt64 = 0x8080_8080_8080_8080
        let quotes = ones &* UInt64(quote)
        let backslashes = ones &* UInt64(UInt8(ascii: "\\"))
        var position = start
        while position &+ 8 <= end {
            // SAFETY: the eight bytes lie before `end`, and any bits are an integer.
            let word = UInt64(
                littleEndian: UnsafeRawPointer(base + position).loadUnaligned(as: UInt64.self))
            // A byte that is equal becomes zero, and subtracting one sets the highest bit of the first zero byte. Bytes
            // behind it may be marked wrongly; only the first mark counts.
            let a = word ^ quotes
            let b = word ^ backslashes
            let marks = ((a &- ones) & ~a | (b &- ones) & ~b) & highs
            if marks != 0 { return position &+ marks.trailingZeroBitCount >> 3 }
            position &+= 8
        }
        while position < end, base[position] != quote, base[position] != UInt8(ascii: "\\") { position &+= 1 }
        return position
    }

    private mutating func unescape(
        from start: Int, firstEscape: Int, quote: UInt8
    ) throws(HeaderError) -> Range<Int> {
        var read = firstEscape
        var write = firstEscape
        while read < end {
            if base[read] == quote {
                position = read + 1
                return start..<write
            }
            position = read
            guard let escape = JSONEscape.read(UnsafeBufferPointer(start: base + read, count: end - read)) else {
                throw malformed("wrong escape")
            }
            read += escape.size
            // INVARIANT: write + the scalar's UTF-8 <= read, see JSONEscape.
            write += JSONEscape.put(escape.scalar, at: base + write)
            let stop = quoteOrBackslash(from: read, quote: quote)
            (base + write).update(from: base + read, count: stop - read)
            write += stop - read
            read = stop
        }
        throw malformed("string without an end")
    }

    /// The position of a string's content or of a number, `true` or `false`; nil for null, objects and lists.
    mutating func text() throws(HeaderError) -> Range<Int>? {
        switch next() {
        case UInt8(ascii: "\""), UInt8(ascii: "'"): return try string()
        case UInt8(ascii: "{"), UInt8(ascii: "["):
            try skipValue()
            return nil
        default:
            let word = try word()
            return matches(word, "null") ? nil : word
        }
    }

    /// A number, in quotes or not.
    mutating func int32(_ field: StaticString) throws(HeaderError) -> Int32 {
        guard let range = try text() else { throw .missing(field: field.description) }
        return try CommandHeader.int32(field, RawSpan(_unsafeBytes: bytes(range)))
    }

    /// A language by its name or number.
    mutating func language() throws(HeaderError) -> LanguageCode {
        guard let range = try text() else { return .other }
        let text = RawSpan(_unsafeBytes: bytes(range))
        if let number = text.decimal() { return LanguageCode(number: Int(number)) }
        return LanguageCode(name: text)
    }

    /// The bytes at `range`, to be used at once.
    private func bytes(_ range: Range<Int>) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(start: base + range.lowerBound, count: range.count)
    }

    /// A run of bytes up to the next delimiter: a number, `true`, `false` or `null`.
    private mutating func word() throws(HeaderError) -> Range<Int> {
        _ = next()
        let start = position
        while position < end {
            switch base[position] {
            case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "a")...UInt8(ascii: "z"),
                UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "-"), UInt8(ascii: "+"), UInt8(ascii: "."):
                position += 1
            default:
                guard position > start else { throw malformed("expected a value") }
                return start..<position
            }
        }
        throw malformed("expected a value")
    }

    // MARK: - What is passed over

    /// Moves behind any value. Brackets must pair; what stands between them is not looked at any closer.
    mutating func skipValue() throws(HeaderError) {
        // One bit for each open bracket: 1 for an object, 0 for a list. A header has no use for a depth of 64.
        var open: UInt64 = 0
        var depth = 0
        repeat {
            let byte = next()
            switch byte {
            case UInt8(ascii: "{"), UInt8(ascii: "["):
                guard depth < 64 else { throw malformed("nested too deeply") }
                open = open << 1 | (byte == UInt8(ascii: "{") ? 1 : 0)
                depth += 1
                position += 1
            case UInt8(ascii: "}"), UInt8(ascii: "]"):
                guard depth > 0, open & 1 == (byte == UInt8(ascii: "}") ? 1 : 0) else {
                    throw malformed("brackets do not pair")
                }
                open >>= 1
                depth -= 1
                position += 1
            case UInt8(ascii: ","), UInt8(ascii: ":"):
                guard depth > 0 else { throw malformed("expected a value") }
                position += 1
            case UInt8(ascii: "\""), UInt8(ascii: "'"):
                _ = try string()
            default:
                _ = try word()
            }
        } while depth > 0
    }
}
