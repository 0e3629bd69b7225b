import Base
import Bytes

/// Compiled SQL92 expressions by their text, so that pulls that bring their expression do not compile it each time.
final class SelectorCache {
    /// Expressions of so many bytes together are kept.
    static let bytesMaximum = 4 * 1024 * 1024

    private var programs = ByteKeyTable<SelectorProgram>()
    private var bytes = 0

    /// The program of an expression, compiled when it is not kept from earlier.
    /// - Throws: ``SelectorError``; expressions that cannot be used are not kept.
    func program(for expression: RawSpan) throws(SelectorError) -> SelectorProgram {
        if let known = programs[expression] { return known }
        let text = expression.string()
        let program = try SelectorProgram(text)
        // All at once, for it hardly ever happens; what a subscription uses it keeps itself.
        if programs.count >= Limits.selectorsKeptMaximum || bytes + expression.byteCount > Self.bytesMaximum {
            programs = ByteKeyTable()
            bytes = 0
        }
        programs[text] = program
        bytes += expression.byteCount
        return program
    }

    func program(for expression: String) throws(SelectorError) -> SelectorProgram {
        let bytes = Array(expression.utf8)
        return try program(for: bytes.span.bytes)
    }
}
