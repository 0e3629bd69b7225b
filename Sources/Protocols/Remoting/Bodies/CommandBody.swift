import Bytes

/// A JSON document behind a header (remoting reference §1.7): a typed value, from JSON and to JSON.
///
/// Writing is fastjson's way: members in alphabetical order, nil left out, maps with the keys that RocketMQ's own tools
/// need, sorted. Reading takes members in any order, passes over unknown ones, and fills in RocketMQ's defaults.
public protocol CommandBody: Sendable {
    init(json: JSONValue) throws(BodyError)
    func write(to json: inout JSONWriter)
}

extension CommandBody {
    /// Reads the document that fills `span`.
    /// - Throws: ``BodyError``.
    public init(parsing span: RawSpan) throws(BodyError) {
        let value: JSONValue
        do throws(JSONError) { value = try JSONValue(parsing: span) } catch { throw .syntax(error) }
        try self.init(json: value)
    }

    /// Appends the document to `buffer`.
    public func encode(to buffer: ByteBuffer) {
        var json = JSONWriter(buffer)
        write(to: &json)
    }

    /// The document as bytes.
    public func encoded() -> [UInt8] {
        let buffer = ByteBuffer()
        encode(to: buffer)
        return buffer.bytes.array()
    }
}

/// Why a body cannot be used. `description` fits a response's remark.
public enum BodyError: Error, Equatable, Sendable, CustomStringConvertible {
    case syntax(JSONError)
    case missing(field: String)
    /// A field, or the whole body, is of another kind than it should be.
    case invalid(field: String, expected: String)
    /// A binary body whose lengths do not add up.
    case malformed(String)

    public var description: String {
        switch self {
        case .syntax(let error): error.description
        case .missing(let field): "the body lacks <\(field)>"
        case .invalid(let field, let expected): "<\(field)> in the body is not \(expected)"
        case .malformed(let reason): "malformed body: \(reason)"
        }
    }
}

// MARK: - Reading members

extension JSONValue {
    func text(_ name: StaticString) throws(BodyError) -> String {
        guard let text = try text(ifPresent: name) else { throw .missing(field: name.description) }
        return text
    }

    func text(ifPresent name: StaticString) throws(BodyError) -> String? {
        guard let value = try member(name) else { return nil }
        guard let text = value.stringValue else { throw .invalid(field: name.description, expected: "text") }
        return text
    }

    func int64(_ name: StaticString, default fallback: Int64? = nil) throws(BodyError) -> Int64 {
        guard let value = try member(name) else {
            guard let fallback else { throw .missing(field: name.description) }
            return fallback
        }
        guard let number = value.integerValue else {
            throw .invalid(field: name.description, expected: "a whole number")
        }
        return number
    }

    func int32(_ name: StaticString, default fallback: Int32? = nil) throws(BodyError) -> Int32 {
        let number = try int64(name, default: fallback.map(Int64.init))
        guard let narrow = Int32(exactly: number) else {
            throw .invalid(field: name.description, expected: "a number of 32 bits")
        }
        return narrow
    }

    func double(_ name: StaticString, default fallback: Double) throws(BodyError) -> Double {
        guard let value = try member(name) else { return fallback }
        guard let number = value.doubleValue else { throw .invalid(field: name.description, expected: "a number") }
        return number
    }

    func bool(_ name: StaticString, default fallback: Bool) throws(BodyError) -> Bool {
        guard let value = try member(name) else { return fallback }
        guard let bool = value.boolValue else { throw .invalid(field: name.description, expected: "true or false") }
        return bool
    }

    /// The elements of a list; of none when it is missing.
    func list<Element>(
        _ name: StaticString, _ element: (JSONValue) throws(BodyError) -> Element
    ) throws(BodyError) -> [Element] {
        guard let value = try member(name) else { return [] }
        guard let values = value.arrayValue else { throw .invalid(field: name.description, expected: "a list") }
        var result: [Element] = []
        result.reserveCapacity(values.count)
        for value in values { result.append(try element(value)) }
        return result
    }

    func texts(_ name: StaticString) throws(BodyError) -> [String] {
        try list(name) { (value) throws(BodyError) in try value.asText(name) }
    }

    /// The members of a map; none when it is missing.
    func map<Key: Hashable, Value>(
        _ name: StaticString, key: (JSONValue) throws(BodyError) -> Key,
        value: (JSONValue) throws(BodyError) -> Value
    ) throws(BodyError) -> [Key: Value] {
        guard let map = try member(name) else { return [:] }
        return try map.map(of: name, key: key, value: value)
    }

    /// The members of this map, which is called `name`.
    func map<Key: Hashable, Value>(
        of name: StaticString, key: (JSONValue) throws(BodyError) -> Key,
        value: (JSONValue) throws(BodyError) -> Value
    ) throws(BodyError) -> [Key: Value] {
        guard let members = self.members else { throw .invalid(field: name.description, expected: "a map") }
        var result: [Key: Value] = [:]
        result.reserveCapacity(members.count)
        for member in members { result[try key(member.key)] = try value(member.value) }
        return result
    }

    func body<Body: CommandBody>(_ name: StaticString) throws(BodyError) -> Body {
        guard let value = try member(name) else { throw .missing(field: name.description) }
        return try Body(json: value)
    }

    func asText(_ name: StaticString) throws(BodyError) -> String {
        guard let text = stringValue else { throw .invalid(field: name.description, expected: "text") }
        return text
    }

    func asInt64(_ name: StaticString) throws(BodyError) -> Int64 {
        guard let number = integerValue else {
            throw .invalid(field: name.description, expected: "a whole number")
        }
        return number
    }

    func asInt32(_ name: StaticString) throws(BodyError) -> Int32 {
        guard let number = integerValue.flatMap(Int32.init(exactly:)) else {
            throw .invalid(field: name.description, expected: "a number of 32 bits")
        }
        return number
    }

    /// The member called `name`, nil when missing or null. Only objects have members.
    func member(_ name: StaticString) throws(BodyError) -> JSONValue? {
        guard case .object = self else { throw .invalid(field: "body", expected: "an object") }
        return self[name.description]
    }
}

// MARK: - Writing members

extension JSONWriter {
    mutating func field(_ name: StaticString, _ body: some CommandBody) {
        key(name)
        body.write(to: &self)
    }

    mutating func field(_ name: StaticString, _ bodies: [some CommandBody]) {
        key(name)
        array(bodies) { $1.write(to: &$0) }
    }

    mutating func field(_ name: StaticString, _ texts: [String]) {
        key(name)
        array(texts) { $0.string($1) }
    }

    /// Writes `{"key":value,…}` in the order of the keys.
    mutating func field<Value>(
        _ name: StaticString, map: [String: Value], _ value: (inout JSONWriter, Value) -> Void
    ) {
        key(name)
        object { json in
            for (key, element) in map.sorted(by: { $0.key < $1.key }) {
                json.key(text: key)
                value(&json, element)
            }
        }
    }

    /// Writes `{0:value,…}` in the order of the keys.
    mutating func field<Key: BinaryInteger, Value>(
        _ name: StaticString, numbered map: [Key: Value], _ value: (inout JSONWriter, Value) -> Void
    ) {
        key(name)
        numbered(map, value)
    }

    mutating func numbered<Key: BinaryInteger, Value>(
        _ map: [Key: Value], _ value: (inout JSONWriter, Value) -> Void
    ) {
        object { json in
            for (key, element) in map.sorted(by: { $0.key < $1.key }) {
                json.key(integer: key)
                value(&json, element)
            }
        }
    }
}
