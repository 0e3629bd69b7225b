import Bytes

/// The binary header (remoting reference §1.2), all numbers big-endian:
///
///     size  field
///        2  code
///        1  language
///        2  version
///        4  opaque
///        4  flag
///      4+n  remark length, remark
///      4+n  size of all fields; each: 2+n name length, name; 4+n value length, value
extension CommandHeader {
    private static let fixedSize = 21

    func decodeBinary(_ span: RawSpan, range: Range<Int>) throws(HeaderError) {
        guard range.count >= Self.fixedSize else {
            throw .malformed("a binary header has at least 21 bytes", position: range.upperBound)
        }
        var position = range.lowerBound
        flag = span.bigEndian(at: position + 9)
        let number = span.bigEndian(at: position, as: Int16.self)
        code = isResponse ? Int32(number) : RequestCode(truncated: number).rawValue
        language = LanguageCode(number: Int(span.byte(at: position + 2)))
        version = Int32(span.bigEndian(at: position + 3, as: Int16.self))
        opaque = span.bigEndian(at: position + 5)
        position += 13
        let remarkRange = try Self.run(
            in: span, at: &position, end: range.upperBound, lengthSize: 4, what: "remark longer than the header")
        if !remarkRange.isEmpty { remark = remarkRange }
        let all = try Self.run(
            in: span, at: &position, end: range.upperBound, lengthSize: 4, what: "fields longer than the header")
        position = all.lowerBound
        while position < all.upperBound {
            let key = try Self.run(
                in: span, at: &position, end: all.upperBound, lengthSize: 2, what: "field name out of bounds")
            let value = try Self.run(
                in: span, at: &position, end: all.upperBound, lengthSize: 4, what: "field value out of bounds")
            fields.append(Field(key: key, value: value))
        }
    }

    /// The bytes behind a length of 2 or 4 bytes at `position`, which moves behind them.
    @inline(__always)
    private static func run(
        in span: RawSpan, at position: inout Int, end: Int, lengthSize: Int, what: StaticString
    ) throws(HeaderError) -> Range<Int> {
        guard end - position >= lengthSize else { throw .malformed(what.description, position: position) }
        let length =
            lengthSize == 2
            ? Int(span.bigEndian(at: position, as: Int16.self)) : Int(span.bigEndian(at: position, as: Int32.self))
        let start = position + lengthSize
        guard length >= 0, length <= end - start else { throw .malformed(what.description, position: position) }
        position = start + length
        return start..<position
    }
}
