import Bytes
import Model

/// Which messages a consumer wants: by tag, decided over the consume queue alone, or by an SQL92 expression over the
/// properties of the stored record.
public enum MessageFilter {
    case tags(TagFilter)
    case selector(SelectorProgram)

    public static var all: MessageFilter { .tags(.all) }

    /// Whether a message with this hash of its tag and these properties is wanted.
    @inline(__always)
    func matches(_ tagsCode: Int64, _ properties: RawSpan) -> Bool {
        switch self {
        case .tags(let filter): filter.matches(tagsCode)
        case .selector(let program): program.matches(properties)
        }
    }

    /// Whether a message with this hash of its tag can be wanted, as far as the consume queue tells.
    public func mayMatch(_ tagsCode: Int64) -> Bool {
        switch self {
        case .tags(let filter): filter.matches(tagsCode)
        case .selector: true
        }
    }
}
