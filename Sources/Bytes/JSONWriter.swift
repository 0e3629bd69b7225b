/// Writes JSON piece by piece into a buffer, compact and escaped as fastjson does (remoting reference §1.7).
///
///     var json = JSONWriter(buffer)
///     json.object { json in
///         json.field("topicList") { json in json.array(topics) { $0.string($1) } }
///     }
///
/// Commas are the writer's business, pairing is the closures'. Both odd forms of maps come from ``key(integer:)`` and
/// `key(_:)-(_)`.
public struct JSONWriter {
    public let buffer: ByteBuffer
    /// True when the next element needs a comma before it.
    private var needsComma = false

    public init(_ buffer: ByteBuffer) { self.buffer = buffer }

    // MARK: - Values

    public mutating func string(_ text: String) {
        var text = text
        text.withUTF8 { string(RawSpan(_unsafeBytes: UnsafeRawBufferPointer($0))) }
    }

    public mutating func string(_ text: RawSpan) {
        separate()
        buffer.append(UInt8(ascii: "\""))
        buffer.append(escapingJSON: text)
        buffer.append(UInt8(ascii: "\""))
    }

    public mutating func integer(_ number: some BinaryInteger) {
        separate()
        buffer.append(decimal: Int64(clamping: number))
    }

    /// Writes a number as Java does: whole ones with `.0`. fastjson writes null for what is not finite.
    public mutating func double(_ number: Double) {
        separate()
        guard number.isFinite else {
            buffer.append("null")
            return
        }
        buffer.append(utf8: number.description)
    }

    public mutating func bool(_ value: Bool) {
        separate()
        buffer.append(value ? "true" : "false")
    }

    public mutating func null() {
        separate()
        buffer.append("null")
    }

    public mutating func value(_ value: JSONValue) {
        switch value {
        case .null: null()
        case .bool(let bool): self.bool(bool)
        case .integer(let number): integer(number)
        case .double(let number): double(number)
        case .string(let text): string(text)
        case .array(let elements): array(elements) { $0.value($1) }
        case .object(let members):
            object { json in
                for member in members {
                    json.key { $0.value(member.key) }
                    json.value(member.value)
                }
            }
        }
    }

    // MARK: - Containers

    public mutating func object(_ body: (inout JSONWriter) -> Void) {
        begin(UInt8(ascii: "{"))
        body(&self)
        end(UInt8(ascii: "}"))
    }

    public mutating func array<Element>(
        _ elements: some Sequence<Element>, _ body: (inout JSONWriter, Element) -> Void
    ) {
        begin(UInt8(ascii: "["))
        for element in elements { body(&self, element) }
        end(UInt8(ascii: "]"))
    }

    public mutating func array(_ body: (inout JSONWriter) -> Void) {
        begin(UInt8(ascii: "["))
        body(&self)
        end(UInt8(ascii: "]"))
    }

    // MARK: - Members

    /// Writes a key; exactly one value must follow.
    public mutating func key(_ name: StaticString) {
        separate()
        buffer.append(UInt8(ascii: "\""))
        buffer.append(name)
        buffer.append("\":")
        needsComma = false
    }

    public mutating func key(text name: String) {
        string(name)
        endKey()
    }

    /// Writes a key without quotes: `{0:…}`.
    public mutating func key(integer number: some BinaryInteger) {
        integer(number)
        endKey()
    }

    /// Writes whatever `body` writes as a key: `{{…}:…}`.
    public mutating func key(_ body: (inout JSONWriter) -> Void) {
        body(&self)
        endKey()
    }

    public mutating func field(_ name: StaticString, _ text: String) {
        key(name)
        string(text)
    }

    /// Writes the member unless it is nil, as fastjson passes over null.
    public mutating func field(_ name: StaticString, _ text: String?) {
        if let text { field(name, text) }
    }

    public mutating func field(_ name: StaticString, _ number: some BinaryInteger) {
        key(name)
        integer(number)
    }

    public mutating func field(_ name: StaticString, double number: Double) {
        key(name)
        double(number)
    }

    public mutating func field(_ name: StaticString, _ value: Bool) {
        key(name)
        bool(value)
    }

    public mutating func field(_ name: StaticString, _ body: (inout JSONWriter) -> Void) {
        key(name)
        body(&self)
    }

    // MARK: - Punctuation

    private mutating func separate() {
        if needsComma { buffer.append(UInt8(ascii: ",")) }
        needsComma = true
    }

    private mutating func endKey() {
        buffer.append(UInt8(ascii: ":"))
        needsComma = false
    }

    private mutating func begin(_ bracket: UInt8) {
        separate()
        buffer.append(bracket)
        needsComma = false
    }

    private mutating func end(_ bracket: UInt8) {
        buffer.append(bracket)
        needsComma = true
    }
}
