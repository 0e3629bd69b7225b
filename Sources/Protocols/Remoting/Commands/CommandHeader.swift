import Bytes

/// The header of one request or response, decoded in place: numbers, and the positions of everything else.
///
/// One header serves a connection for ever: `decode(_:in:)` overwrites what was there and in a steady state allocates
/// nothing. Positions count from the first byte of the memory that `decode` was given and mean nothing once that memory
/// changes. Owned by one thread.
public final class CommandHeader {
    // SAFETY: as in ByteBuffer, checks for overlapping accesses would cost more than the reading; decoding and lookups
    // touch one property at a time, call nothing of the user's meanwhile, and one thread owns the header.

    /// A request code, or a response code when ``isResponse``.
    @exclusivity(unchecked) public internal(set) var code: Int32 = 0
    @exclusivity(unchecked) public internal(set) var language = LanguageCode.java
    @exclusivity(unchecked) public internal(set) var version: Int32 = 0
    /// The number of the request, chosen by the requester and returned in the response.
    @exclusivity(unchecked) public internal(set) var opaque: Int32 = 0
    /// Bit 0: response. Bit 1: one-way, nobody waits for a response.
    @exclusivity(unchecked) public internal(set) var flag: Int32 = 0
    @exclusivity(unchecked) public internal(set) var remark: Range<Int>?
    @exclusivity(unchecked) public internal(set) var encoding = HeaderEncoding.json
    /// The fields of the request or response itself (`extFields`), in the order of the wire.
    @exclusivity(unchecked) public internal(set) var fields = ContiguousArray<Field>()

    /// Positions of one field's name and value.
    public struct Field: Equatable, Sendable {
        @usableFromInline var keyStart: Int32
        @usableFromInline var keyEnd: Int32
        @usableFromInline var valueStart: Int32
        @usableFromInline var valueEnd: Int32
        @inlinable init(key: Range<Int>, value: Range<Int>) {
            keyStart = Int32(truncatingIfNeeded: key.lowerBound)
            keyEnd = Int32(truncatingIfNeeded: key.upperBound)
            valueStart = Int32(truncatingIfNeeded: value.lowerBound)
            valueEnd = Int32(truncatingIfNeeded: value.upperBound)
        }
        @inlinable public var key: Range<Int> { Int(keyStart)..<Int(keyEnd) }
        @inlinable public var value: Range<Int> { Int(valueStart)..<Int(valueEnd) }
    }

    public init() {
        fields.reserveCapacity(32)
    }

    @inlinable public var isResponse: Bool { flag & 1 != 0 }
    @inlinable public var isOneway: Bool { flag & 2 != 0 }
    @inlinable public var requestCode: RequestCode { RequestCode(code) }
    @inlinable public var responseCode: ResponseCode { ResponseCode(code) }

    /// Reads the header of `frame`.
    ///
    /// Escapes in a JSON header are replaced in place, so a frame is decoded once.
    /// - Parameter bytes: what the frame was found in; writable, because of the escapes.
    /// - Throws: ``HeaderError/malformed(_:position:)``; this header is then unusable, the next frame is not affected.
    public func decode(_ frame: Frame, in bytes: UnsafeMutableRawBufferPointer) throws(HeaderError) {
        precondition(frame.range.upperBound <= bytes.count, "the frame lies outside the bytes")
        guard bytes.count <= Int(Int32.max) else { throw .malformed("more than 2 GiB received", position: 0) }
        clear()
        encoding = frame.encoding
        switch frame.encoding {
        case .json:
            var scanner = HeaderScanner(bytes, range: frame.header)
            try decodeJSON(&scanner)
        case .binary:
            try decodeBinary(RawSpan(_unsafeBytes: UnsafeRawBufferPointer(bytes)), range: frame.header)
        }
    }

    /// ``decode(_:in:)`` of a frame at the front of `buffer`.
    public func decode(_ frame: Frame, in buffer: ByteBuffer) throws(HeaderError) {
        var failure: HeaderError?
        buffer.withUnsafeMutableBytes { bytes in
            do throws(HeaderError) { try decode(frame, in: bytes) } catch { failure = error }
        }
        if let failure { throw failure }
    }

    private func clear() {
        code = 0
        language = .java
        version = 0
        opaque = 0
        flag = 0
        remark = nil
        fields.removeAll(keepingCapacity: true)
    }

    // MARK: - Fields

    /// The position of the value of the field called `key`; of the last one when it comes twice, as in RocketMQ.
    public func value(_ key: StaticString, in span: RawSpan) -> Range<Int>? {
        var index = fields.count - 1
        while index >= 0 {
            let field = fields[index]
            if span.extracting(field.key).equals(key) { return field.value }
            index -= 1
        }
        return nil
    }

    /// The text of a field that must be there.
    public func string(_ key: StaticString, in span: RawSpan) throws(HeaderError) -> String {
        guard let range = value(key, in: span) else { throw .missing(field: key.description) }
        return span.extracting(range).string()
    }

    public func string(ifPresent key: StaticString, in span: RawSpan) -> String? {
        value(key, in: span).map { span.extracting($0).string() }
    }

    /// The number in a field that must be there.
    public func int64(_ key: StaticString, in span: RawSpan) throws(HeaderError) -> Int64 {
        guard let range = value(key, in: span) else { throw .missing(field: key.description) }
        return try Self.int64(key, span.extracting(range))
    }

    public func int64(ifPresent key: StaticString, in span: RawSpan) throws(HeaderError) -> Int64? {
        guard let range = value(key, in: span) else { return nil }
        return try Self.int64(key, span.extracting(range))
    }

    /// The number in a field that must be there.
    public func int32(_ key: StaticString, in span: RawSpan) throws(HeaderError) -> Int32 {
        guard let range = value(key, in: span) else { throw .missing(field: key.description) }
        return try Self.int32(key, span.extracting(range))
    }

    public func int32(ifPresent key: StaticString, in span: RawSpan) throws(HeaderError) -> Int32? {
        guard let range = value(key, in: span) else { return nil }
        return try Self.int32(key, span.extracting(range))
    }

    /// True for `true` in any case, false for any other text, as in Java.
    public func bool(_ key: StaticString, in span: RawSpan) throws(HeaderError) -> Bool {
        guard let range = value(key, in: span) else { throw .missing(field: key.description) }
        return Self.bool(span.extracting(range))
    }

    public func bool(ifPresent key: StaticString, in span: RawSpan) -> Bool? {
        value(key, in: span).map { Self.bool(span.extracting($0)) }
    }

    // MARK: - Values

    @inline(__always)
    static func int64(_ key: StaticString, _ value: RawSpan) throws(HeaderError) -> Int64 {
        guard let number = value.decimal() else { throw .invalid(key, value, expected: "a whole number of 64 bits") }
        return number
    }

    @inline(__always)
    static func int32(_ key: StaticString, _ value: RawSpan) throws(HeaderError) -> Int32 {
        guard let number = value.decimal().flatMap(Int32.init(exactly:)) else {
            throw .invalid(key, value, expected: "a whole number of 32 bits")
        }
        return number
    }

    @inline(__always)
    static func bool(_ value: RawSpan) -> Bool {
        guard value.byteCount == 4 else { return false }
        // Setting bit 5 makes ASCII letters lower-case, and nothing else into one of these four.
        return value.bigEndian(at: 0, as: UInt32.self) | 0x2020_2020 == 0x7472_7565
    }
}
