import Bytes

/// The body of a batch send: 320 with `batch` set (remoting reference §1.8). Entries follow one another:
///
///     size  field
///        4  size of the entry, these 4 included
///        4  magic, 0
///        4  CRC-32 of the body, 0: the broker computes it
///        4  flag of the user
///      4+n  body length, body
///      2+n  properties length, properties
public enum MessageBatch {
    /// One message of a batch; positions count from the start of the batch.
    public struct Entry: Equatable, Sendable {
        public var range: Range<Int>
        public var flag: Int32
        public var body: Range<Int>
        public var properties: Range<Int>
    }

    /// An entry without body and properties.
    public static let entrySizeMinimum = 22

    /// The entry at `position`, which moves behind it; nil at the end.
    /// - Throws: ``BodyError/malformed(_:)`` when lengths reach outside the batch or do not add up. Check a whole batch
    ///   before any of it is stored: a batch is stored all or not at all.
    public static func next(in batch: RawSpan, at position: inout Int) throws(BodyError) -> Entry? {
        let start = position
        guard start < batch.byteCount else { return nil }
        guard batch.byteCount - start >= entrySizeMinimum else { throw .malformed("an entry of the batch is cut off") }
        let size = Int(batch.bigEndian(at: start, as: Int32.self))
        guard size >= entrySizeMinimum, size <= batch.byteCount - start else {
            throw .malformed("an entry of the batch has \(size) bytes, \(batch.byteCount - start) are left")
        }
        let end = start + size
        let bodyLength = Int(batch.bigEndian(at: start + 16, as: Int32.self))
        guard bodyLength >= 0, bodyLength <= size - entrySizeMinimum else {
            throw .malformed("a body of \(bodyLength) bytes in an entry of \(size)")
        }
        let bodyEnd = start + 20 + bodyLength
        let propertiesLength = Int(batch.bigEndian(at: bodyEnd, as: UInt16.self))
        guard bodyEnd + 2 + propertiesLength == end else {
            throw .malformed("properties of \(propertiesLength) bytes where \(end - bodyEnd - 2) are left")
        }
        position = end
        return Entry(
            range: start..<end, flag: batch.bigEndian(at: start + 12), body: start + 20..<bodyEnd,
            properties: bodyEnd + 2..<end)
    }

    /// Checks all lengths.
    /// - Returns: the number of entries.
    public static func count(in batch: RawSpan) throws(BodyError) -> Int {
        var position = 0
        var count = 0
        while try next(in: batch, at: &position) != nil { count += 1 }
        return count
    }

    /// Appends one entry to `buffer`.
    /// - Precondition: `properties` has at most 65,535 bytes; brokers refuse more than
    ///   `Limits.propertiesSizeMaximum`.
    public static func append(flag: Int32, body: RawSpan, properties: RawSpan, to buffer: ByteBuffer) {
        precondition(properties.byteCount <= UInt16.max, "properties of \(properties.byteCount) bytes")
        buffer.append(bigEndian: Int32(entrySizeMinimum + body.byteCount + properties.byteCount))
        buffer.append(bigEndian: UInt64(0))
        buffer.append(bigEndian: flag)
        buffer.append(bigEndian: Int32(body.byteCount))
        buffer.append(body)
        buffer.append(bigEndian: UInt16(properties.byteCount))
        buffer.append(properties)
    }
}
