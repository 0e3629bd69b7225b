/// Why an SQL92 expression cannot be used, and where.
public struct SelectorError: Error, Equatable, Sendable, CustomStringConvertible {
    /// The character of the expression where the error shows itself; the first is 1.
    public var character: Int
    /// What is wrong there, or what was expected.
    public var reason: String

    public init(character: Int, reason: String) {
        self.character = character
        self.reason = reason
    }

    public var description: String { "at character \(character): \(reason)" }
}
