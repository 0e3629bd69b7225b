/// Stops the process when something that must hold does not: a programmer's error, in release builds too. For bytes from
/// outside, and for anything the operating system may refuse, throw a typed error instead.
@inlinable
public func invariant(
    _ condition: @autoclosure () -> Bool, _ message: @autoclosure () -> String,
    file: StaticString = #fileID, line: UInt = #line
) {
    if !condition() {
        preconditionFailure("invariant broken: \(message())", file: file, line: line)
    }
}
