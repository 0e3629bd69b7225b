import Bytes

/// Why a header, one of its fields, or a body cannot be used. `description` fits a response's remark.
public enum HeaderError: Error, Equatable, Sendable, CustomStringConvertible {
    /// The bytes are no header at all.
    /// - Parameter position: where in the frame's bytes reading stopped.
    case malformed(_ reason: String, position: Int)
    /// A field that the request needs is not there.
    case missing(field: String)
    /// A field holds something else than it should.
    case invalid(field: String, value: String, expected: String)

    public var description: String {
        switch self {
        case .malformed(let reason, let position): "malformed header: \(reason) at byte \(position)"
        // The words of RocketMQ's decoder, which tools look for.
        case .missing(let field): "the custom field <\(field)> is null"
        case .invalid(let field, let value, let expected):
            "the custom field <\(field)> is \(expected), not \"\(value)\""
        }
    }

    /// - Parameter value: what was found; only its beginning is kept.
    static func invalid(_ field: StaticString, _ value: RawSpan, expected: String) -> HeaderError {
        let shown = value.byteCount > 64 ? value.extracting(first: 64).string() + "…" : value.string()
        return .invalid(field: field.description, value: shown, expected: expected)
    }
}
