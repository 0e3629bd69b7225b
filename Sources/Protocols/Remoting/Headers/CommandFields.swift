import Bytes

/// The fields of one kind of request or response (`CommandCustomHeader`): typed values, from a header and into a frame.
///
/// Names on the wire are RocketMQ's (remoting reference, appendix A). A field that is nil is not written; an unknown
/// field is passed over.
public protocol CommandFields: Sendable {
    /// - Parameter span: the bytes that `header` was decoded in.
    /// - Throws: ``HeaderError/missing(field:)`` or ``HeaderError/invalid(field:value:expected:)``.
    init(_ header: CommandHeader, in span: RawSpan) throws(HeaderError)
    /// Writes the fields between the writer's `begin` and `end`.
    func write(into writer: inout CommandWriter)
}
