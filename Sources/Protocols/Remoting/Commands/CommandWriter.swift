import Bytes

/// Writes one frame straight behind what a buffer holds already, in either header encoding, without allocating.
///
/// The order of calls is `begin`, any number of `field`s, optionally ``beginBody()`` followed by appending the body to
/// the buffer itself, ``end()``. Between `begin` and `end` the buffer must not be consumed, and nobody else may append.
///
///     var writer = CommandWriter(buffer, encoding: header.encoding)
///     writer.begin(response: .success, to: header)
///     writer.field("offset", 42)
///     writer.end()
public struct CommandWriter {
    public let buffer: ByteBuffer
    public let encoding: HeaderEncoding
    /// Written as the frame's `language`.
    public var language = LanguageCode.java
    /// Written as the frame's `version`.
    public var version = CommandVersion.own
    /// Signs each request that is written; nil signs nothing.
    public var signer: RequestSigner?

    private var stage = Stage.idle
    /// Positions in the buffer, valid between `begin` and `end`.
    private var frameStart = 0
    private var fieldsSizePosition = 0
    private var hasFields = false
    private var headerEnd = 0
    /// Where the signature of the request under way goes; nil when it gets none.
    private var signaturePosition: Int?
    /// What JSON writes behind the fields.
    private var flag: Int32 = 0
    private var opaque: Int32 = 0
    private var remark = Remark.none

    private enum Stage { case idle, header, body }

    /// The text beside an answer's code. A literal costs nothing to write.
    public enum Remark: ExpressibleByStringLiteral {
        case none
        case literal(StaticString)
        case text(String)
        public init(stringLiteral value: StaticString) { self = .literal(value) }
        /// Nil and the empty string write no remark.
        public init(_ text: String?) {
            if let text, !text.isEmpty { self = .text(text) } else { self = .none }
        }
    }

    public init(_ buffer: ByteBuffer, encoding: HeaderEncoding) {
        self.buffer = buffer
        self.encoding = encoding
    }

    // MARK: - Begin

    /// Begins a request.
    /// - Parameter opaque: a number that no other unanswered request of the connection has.
    /// - Parameter isOneway: true when no answer is wanted.
    public mutating func begin(request code: RequestCode, opaque: Int32, isOneway: Bool = false) {
        begin(code: code.rawValue, opaque: opaque, flag: isOneway ? 2 : 0, remark: .none)
    }

    /// Begins the answer to the request that has `opaque`.
    public mutating func begin(response code: ResponseCode, opaque: Int32, remark: Remark = .none) {
        begin(code: code.rawValue, opaque: opaque, flag: 1, remark: remark)
    }

    /// Begins the answer to `request`.
    public mutating func begin(response code: ResponseCode, to request: CommandHeader, remark: Remark = .none) {
        // RocketMQ sets the response bit and keeps the others.
        begin(code: code.rawValue, opaque: request.opaque, flag: request.flag | 1, remark: remark)
    }

    /// Begins a frame with any flag.
    public mutating func begin(code: Int32, opaque: Int32, flag: Int32, remark: Remark) {
        precondition(stage == .idle, "a command began before the last one ended")
        stage = .header
        frameStart = buffer.count
        hasFields = false
        self.flag = flag
        self.opaque = opaque
        self.remark = remark
        // The length and the marker: `beginBody` and `end` know them.
        buffer.append(bigEndian: UInt64(0))
        switch encoding {
        case .json:
            buffer.append("{\"code\":")
            buffer.append(decimal: Int64(code))
        case .binary:
            buffer.append(bigEndian: Int16(truncatingIfNeeded: code))
            buffer.append(language.rawValue)
            buffer.append(bigEndian: Int16(truncatingIfNeeded: version))
            buffer.append(bigEndian: opaque)
            buffer.append(bigEndian: flag)
            let position = beginValue()
            appendRemark()
            endValue(position)
            fieldsSizePosition = beginValue()
        }
    }

    // MARK: - Fields

    /// Writes a field of text. - Parameter name: needs no escaping in JSON.
    public mutating func field(_ name: StaticString, _ value: RawSpan) {
        let position = beginField(name)
        switch encoding {
        case .json: buffer.append(escapingJSON: value)
        case .binary: buffer.append(value)
        }
        endField(position)
    }

    public mutating func field(_ name: StaticString, _ value: String) {
        var value = value
        value.withUTF8 { field(name, RawSpan(_unsafeBytes: UnsafeRawBufferPointer($0))) }
    }

    /// Writes a field of text known at compile time, which needs no escaping in JSON.
    public mutating func field(_ name: StaticString, literal value: StaticString) {
        let position = beginField(name)
        buffer.append(value)
        endField(position)
    }

    public mutating func field(_ name: StaticString, _ value: Int64) {
        let position = beginField(name)
        buffer.append(decimal: value)
        endField(position)
    }

    public mutating func field(_ name: StaticString, _ value: Int32) {
        field(name, Int64(value))
    }

    public mutating func field(_ name: StaticString, _ value: Bool) {
        field(name, literal: value ? "true" : "false")
    }

    /// Writes the field unless it is nil, as RocketMQ passes over null.
    public mutating func field(_ name: StaticString, _ value: String?) {
        if let value { field(name, value) }
    }

    public mutating func field(_ name: StaticString, _ value: Int64?) {
        if let value { field(name, value) }
    }

    public mutating func field(_ name: StaticString, _ value: Int32?) {
        if let value { field(name, Int64(value)) }
    }

    public mutating func field(_ name: StaticString, _ value: Bool?) {
        if let value { field(name, value) }
    }

    /// Writes a field whose name came from outside, for a request that is passed on.
    public mutating func field(name: RawSpan, _ value: RawSpan) {
        precondition(stage == .header, "a field outside a header")
        switch encoding {
        case .json:
            buffer.append(hasFields ? ",\"" : ",\"extFields\":{\"")
            hasFields = true
            buffer.append(escapingJSON: name)
            buffer.append("\":\"")
            buffer.append(escapingJSON: value)
            buffer.append(UInt8(ascii: "\""))
        case .binary:
            precondition(name.byteCount <= Int(Int16.max), "a field name of \(name.byteCount) bytes")
            buffer.append(bigEndian: Int16(truncatingIfNeeded: name.byteCount))
            buffer.append(name)
            buffer.append(bigEndian: UInt32(truncatingIfNeeded: value.byteCount))
            buffer.append(value)
        }
    }

    /// Begins a field of text whose value the caller appends to ``buffer`` in pieces: bytes that need no escaping in
    /// JSON, such as digits. ``endField(_:)`` takes what this returns.
    public mutating func beginField(_ name: StaticString) -> Int {
        precondition(stage == .header, "a field outside a header")
        switch encoding {
        case .json:
            buffer.append(hasFields ? ",\"" : ",\"extFields\":{\"")
            hasFields = true
            buffer.append(name)
            buffer.append("\":\"")
            return 0
        case .binary:
            buffer.append(bigEndian: Int16(truncatingIfNeeded: name.utf8CodeUnitCount))
            buffer.append(name)
            return beginValue()
        }
    }

    public mutating func endField(_ position: Int) {
        switch encoding {
        case .json: buffer.append(UInt8(ascii: "\""))
        case .binary: endValue(position)
        }
    }

    // MARK: - End

    /// Ends the header. What is appended to ``buffer`` from now to ``end()`` is the body.
    public mutating func beginBody() {
        precondition(stage == .header, "a body outside a command")
        if flag & 1 == 0, let signer { writeCredentials(of: signer) }
        stage = .body
        switch encoding {
        case .json: endJSON()
        case .binary: endValue(fieldsSizePosition)
        }
        headerEnd = buffer.count
        let headerSize = headerEnd - frameStart - Frame.prefixSize
        precondition(headerSize <= 0xFF_FFFF, "a header of \(headerSize) bytes does not fit the marker")
        buffer.patch(
            bigEndian: UInt32(encoding.rawValue) << 24 | UInt32(truncatingIfNeeded: headerSize), at: frameStart + 4)
    }

    /// Ends the frame, with the body that stands in the buffer, or without one.
    public mutating func end() {
        if stage == .header { beginBody() }
        precondition(stage == .body, "a command ended that had not begun")
        stage = .idle
        remark = .none
        let length = buffer.count - frameStart - 4
        precondition(length <= Int(Int32.max), "a frame of \(length) bytes")
        buffer.patch(bigEndian: UInt32(truncatingIfNeeded: length), at: frameStart)
        guard let position = signaturePosition, let signer else { return }
        signaturePosition = nil
        signer.sign(buffer, from: frameStart, headerEnd: headerEnd, encoding: encoding, place: position)
    }

    /// Names who asks, and leaves room for the signature, which only the end of the body completes.
    private mutating func writeCredentials(of signer: RequestSigner) {
        field("AccessKey", signer.credentials.accessKey)
        field("SecurityToken", signer.credentials.securityToken)
        let position = beginField("Signature")
        signaturePosition = buffer.count
        buffer.append("                            ")
        endField(position)
    }

    /// Takes back everything since `begin`.
    public mutating func cancel() {
        precondition(stage != .idle, "a command was taken back that had not begun")
        stage = .idle
        remark = .none
        signaturePosition = nil
        buffer.truncate(to: frameStart)
    }

    /// The rest of a JSON header, in fastjson's alphabetical order.
    private func endJSON() {
        if hasFields { buffer.append(UInt8(ascii: "}")) }
        buffer.append(",\"flag\":")
        buffer.append(decimal: Int64(flag))
        buffer.append(",\"language\":\"")
        buffer.append(language.name)
        buffer.append("\",\"opaque\":")
        buffer.append(decimal: Int64(opaque))
        if case .none = remark {
        } else {
            buffer.append(",\"remark\":\"")
            appendRemark()
            buffer.append(UInt8(ascii: "\""))
        }
        buffer.append(",\"serializeTypeCurrentRPC\":\"JSON\",\"version\":")
        buffer.append(decimal: Int64(version))
        buffer.append(UInt8(ascii: "}"))
    }

    private func appendRemark() {
        switch (remark, encoding) {
        case (.none, _): break
        case (.literal(let text), .json):
            let bytes = UnsafeRawBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount)
            buffer.append(escapingJSON: RawSpan(_unsafeBytes: bytes))
        case (.literal(let text), .binary): buffer.append(text)
        case (.text(var text), .json):
            text.withUTF8 { buffer.append(escapingJSON: RawSpan(_unsafeBytes: UnsafeRawBufferPointer($0))) }
        case (.text(let text), .binary): buffer.append(utf8: text)
        }
    }

    /// Leaves room for a 32-bit length in a binary header.
    private func beginValue() -> Int {
        buffer.append(bigEndian: UInt32(0))
        return buffer.count
    }

    private func endValue(_ position: Int) {
        buffer.patch(bigEndian: UInt32(truncatingIfNeeded: buffer.count - position), at: position - 4)
    }
}
