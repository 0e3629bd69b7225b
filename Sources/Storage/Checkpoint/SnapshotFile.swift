import Base
import Bytes

/// A snapshot of the state view: the file `snapshots/<state offset in 20 digits>`.
///
///     offset  size  field
///          0     8  "APUSSNP1"
///          8     8  state offset: every state record before it is contained
///         16     4  CRC-32 of everything behind these 20 bytes
///         20     …  records: 4 bytes of length, then a state record's body
///
/// The records are those of the log, so there is one codec for both.
enum SnapshotFile {
    static let headerSize = 20
    private static let magic: UInt64 = 0x4150_5553_534E_5031  // "APUSSNP1"

    static func encode(_ view: any StateView, at offset: PhysicalOffset) -> ByteBuffer {
        let buffer = ByteBuffer(capacity: 4096)
        buffer.append(bigEndian: magic)
        buffer.append(bigEndian: offset.rawValue)
        buffer.append(bigEndian: UInt32(0))
        view.snapshot { record in
            buffer.append(bigEndian: UInt32(record.byteCount))
            buffer.append(record)
        }
        buffer.patch(bigEndian: crc32(buffer.bytes.extracting(headerSize..<buffer.count)), at: 16)
        return buffer
    }

    /// Gives every record of the snapshot to `view`.
    /// - Throws: ``StorageError/corrupt(file:position:reason:)`` when the bytes are no whole snapshot of `offset`.
    static func restore(
        _ bytes: RawSpan, path: String, at offset: PhysicalOffset, into view: any StateView
    ) throws(StorageError) {
        func corrupt(_ position: Int, _ reason: String) -> StorageError {
            .corrupt(file: path, position: position, reason: reason)
        }
        guard bytes.byteCount >= headerSize, bytes.bigEndian(at: 0, as: UInt64.self) == magic else {
            throw corrupt(0, "not a snapshot")
        }
        guard bytes.bigEndian(at: 8, as: Int64.self) == offset.rawValue else {
            throw corrupt(8, "a snapshot of another offset")
        }
        guard bytes.bigEndian(at: 16, as: UInt32.self) == crc32(bytes.extracting(headerSize..<bytes.byteCount)) else {
            throw corrupt(16, "the checksum does not match")
        }
        var position = headerSize
        while position < bytes.byteCount {
            guard bytes.byteCount - position >= 4 else { throw corrupt(position, "a length is cut short") }
            let length = Int(bytes.bigEndian(at: position, as: UInt32.self))
            guard length <= bytes.byteCount - position - 4 else { throw corrupt(position, "a record is cut short") }
            do {
                try view.apply(bytes.extracting(position + 4..<position + 4 + length))
            } catch {
                throw corrupt(position, error.reason)
            }
            position += 4 + length
        }
    }
}
