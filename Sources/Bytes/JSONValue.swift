/// A JSON document as a tree, in the relaxed form that fastjson speaks (remoting reference §1.7).
///
/// The keys of an object are values themselves, because fastjson writes maps as `{0:…}` and as
/// `{{"brokerName":"b","queueId":1,"topic":"T"}:…}`. Members keep their order. For bodies and files; nothing on the
/// path of a message goes through here.
public enum JSONValue: Equatable, Sendable {
    case null
    case bool(Bool)
    case integer(Int64)
    case double(Double)
    case string(String)
    case array([JSONValue])
    case object([Member])

    public struct Member: Equatable, Sendable {
        public var key: JSONValue
        public var value: JSONValue
        public init(_ key: JSONValue, _ value: JSONValue) {
            self.key = key
            self.value = value
        }
    }

    // MARK: - Look inside

    /// The value of the last member called `key`; nil when there is none, and for null and for what is no object.
    public subscript(key: String) -> JSONValue? {
        guard case .object(let members) = self else { return nil }
        guard let member = members.last(where: { $0.key == .string(key) }), member.value != .null else { return nil }
        return member.value
    }

    public var stringValue: String? {
        if case .string(let text) = self { return text }
        return nil
    }

    /// A whole number, also one in quotes.
    public var integerValue: Int64? {
        switch self {
        case .integer(let number): number
        case .string(let text): Int64(text)
        case .double(let number): Int64(exactly: number)
        default: nil
        }
    }

    /// A number, also one in quotes.
    public var doubleValue: Double? {
        switch self {
        case .double(let number): number
        case .integer(let number): Double(number)
        case .string(let text): Double(text)
        default: nil
        }
    }

    /// `true` or `false`, also in quotes.
    public var boolValue: Bool? {
        switch self {
        case .bool(let bool): bool
        case .string("true"): true
        case .string("false"): false
        default: nil
        }
    }

    public var arrayValue: [JSONValue]? {
        if case .array(let elements) = self { return elements }
        return nil
    }

    public var members: [Member]? {
        if case .object(let members) = self { return members }
        return nil
    }
}

extension JSONValue: ExpressibleByStringLiteral, ExpressibleByIntegerLiteral, ExpressibleByBooleanLiteral,
    ExpressibleByArrayLiteral, ExpressibleByDictionaryLiteral
{
    public init(stringLiteral value: String) { self = .string(value) }
    public init(integerLiteral value: Int64) { self = .integer(value) }
    public init(booleanLiteral value: Bool) { self = .bool(value) }
    public init(arrayLiteral elements: JSONValue...) { self = .array(elements) }
    public init(dictionaryLiteral elements: (JSONValue, JSONValue)...) {
        self = .object(elements.map { Member($0, $1) })
    }
}
