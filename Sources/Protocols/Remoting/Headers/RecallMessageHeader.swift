import Base
import Bytes

/// 370 `RECALL_MESSAGE` (5.3).
public struct RecallMessageHeader: CommandFields, Equatable {
    public var producerGroup: String?
    public var topic: String
    /// What the answer to the send said.
    public var recallHandle: String

    public init(producerGroup: String? = nil, topic: String, recallHandle: String) {
        self.producerGroup = producerGroup
        self.topic = topic
        self.recallHandle = recallHandle
    }

    public init(_ header: CommandHeader, in span: RawSpan) throws(HeaderError) {
        producerGroup = header.string(ifPresent: "producerGroup", in: span)
        topic = try header.string("topic", in: span)
        recallHandle = try header.string("recallHandle", in: span)
    }

    public func write(into writer: inout CommandWriter) {
        writer.field("producerGroup", producerGroup)
        writer.field("topic", topic)
        writer.field("recallHandle", recallHandle)
    }
}
