import Base
import Bytes
import RemotingProtocol

/// Answers that wait until the log's watermark has reached the end of what they acknowledge.
///
/// Offsets only grow, so the answers stand in a row and are released from its front. They are encoded when they are parked and
/// copied to their connections when the watermark comes; in a steady state nothing is allocated.
struct ReplyGate {
    struct Parked {
        /// The watermark that releases it.
        var end: PhysicalOffset
        var session: BrokerSession
        /// Bytes of the encoded answer.
        var size: Int
        /// When the producer is told that the flush takes too long.
        var deadline: MonotonicTime
    }

    /// The encoded answers, one behind the other.
    let buffer = ByteBuffer(capacity: 4096)
    private var row: ContiguousArray<Parked> = []
    private var head = 0

    var isEmpty: Bool { head == row.count }
    /// Whether so much waits that producers should not be read from.
    var isFull: Bool { buffer.count >= Limits.parkedReplyBytesMaximum }
    /// Answers that wait, and their bytes.
    var count: Int { row.count - head }
    var byteCount: Int { buffer.count }
    /// The first of the row.
    var first: Parked? { isEmpty ? nil : row[head] }

    /// Parks the answer whose `size` bytes were appended to ``buffer`` last.
    @inline(__always)
    mutating func park(_ size: Int, until end: PhysicalOffset, session: BrokerSession, deadline: MonotonicTime) {
        row.append(Parked(end: end, session: session, size: size, deadline: deadline))
    }

    /// Sends every answer whose watermark is at or before `watermark`.
    mutating func release(upTo watermark: PhysicalOffset) {
        while head < row.count, row[head].end <= watermark {
            let size = row[head].size
            let buffer = buffer
            row[head].session.send(buffer.bytes.extracting(0..<size))
            buffer.consume(size)
            head += 1
        }
        compact()
    }

    /// Gives back the front of the row. Under load the row is never empty, so it must not wait for that.
    private mutating func compact() {
        if head == row.count {
            row.removeAll(keepingCapacity: true)
            head = 0
        } else if head >= Self.compactedMinimum, head * 2 >= row.count {
            row.removeSubrange(..<head)
            head = 0
        }
    }

    private static let compactedMinimum = 4_096

    /// Takes the first answer out without sending it as it is.
    mutating func removeFirst(_ body: (Parked, RawSpan) -> Void) {
        let parked = row[head]
        let buffer = buffer
        body(parked, buffer.bytes.extracting(0..<parked.size))
        buffer.consume(parked.size)
        head += 1
        compact()
    }

    /// Drops every answer and closes its connection: what it acknowledges may be lost.
    mutating func abandon(_ reason: String) {
        for parked in row[head...] { parked.session.abort(reason) }
        row.removeAll(keepingCapacity: true)
        head = 0
        buffer.removeAll()
    }
}
