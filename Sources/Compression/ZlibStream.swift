import Bytes
import CCompression

/// The zlib format (RFC 1950), as `java.util.zip` writes it.
enum ZlibStream {
    static func compress(_ input: RawSpan, into output: ByteBuffer, level: Int32) throws(CompressionError) {
        let bound = compressBound(UInt(input.byteCount))
        var status = Z_OK
        input.withUnsafeBytes { source in
            output.appendUninitialized(Int(bound)) { destination in
                var written = bound
                // SAFETY: both pointers cover the sizes that are passed with them. zlib reads nothing through a nil
                // source when its size is 0.
                status = compress2(
                    destination.bindMemory(to: UInt8.self).baseAddress, &written,
                    source.bindMemory(to: UInt8.self).baseAddress, UInt(source.count), min(max(level, -1), 9))
                return status == Z_OK ? Int(written) : 0
            }
        }
        guard status == Z_OK else { throw .failed("zlib \(status)") }
    }

    static func decompress(_ input: RawSpan, into output: ByteBuffer, sizeMaximum: Int) throws(CompressionError) {
        var stream = z_stream()
        let status = inflateInit_(&stream, ZLIB_VERSION, Int32(MemoryLayout<z_stream>.size))
        guard status == Z_OK else { throw .failed("zlib \(status)") }
        defer { inflateEnd(&stream) }
        var failure: CompressionError?
        input.withUnsafeBytes { source in
            do throws(CompressionError) {
                try decompressInSteps(source, into: output, sizeMaximum: sizeMaximum, isRepeated: false) {
                    (from, to) throws(CompressionError) in try step(&stream, from, to)
                }
            } catch {
                failure = error
            }
        }
        if let failure { throw failure }
    }

    private static func step(
        _ stream: inout z_stream, _ from: UnsafeRawBufferPointer, _ to: UnsafeMutableRawBufferPointer
    ) throws(CompressionError) -> DecompressionStep {
        // SAFETY: zlib reads and writes within the counts set here, and takes a pointer to mutable input without
        // writing.
        stream.next_in = UnsafeMutablePointer(mutating: from.bindMemory(to: UInt8.self).baseAddress)
        stream.avail_in = UInt32(clamping: from.count)
        stream.next_out = to.bindMemory(to: UInt8.self).baseAddress
        stream.avail_out = UInt32(clamping: to.count)
        let offered = Int(stream.avail_in)
        let status = inflate(&stream, Z_NO_FLUSH)
        guard status == Z_OK || status == Z_STREAM_END || status == Z_BUF_ERROR else {
            throw .corrupt(stream.msg.map { String(cString: $0) } ?? "zlib \(status)")
        }
        return DecompressionStep(
            consumed: offered - Int(stream.avail_in), produced: to.count - Int(stream.avail_out),
            isAtEnd: status == Z_STREAM_END)
    }
}
