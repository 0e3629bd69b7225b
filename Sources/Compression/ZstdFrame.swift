import Bytes
import CCompression

/// The zstd format (RFC 8878).
enum ZstdFrame {
    /// Largest window to follow, as a power of two: 32 MiB. What a frame asks for is taken from memory before its first
    /// byte comes out, and streams of the levels that clients use need 8 MiB at most.
    private static let windowLogMaximum: Int32 = 25

    static func compress(_ input: RawSpan, into output: ByteBuffer, level: Int32) throws(CompressionError) {
        var code = 0
        input.withUnsafeBytes { source in
            output.appendUninitialized(ZSTD_compressBound(source.count)) { destination in
                code = ZSTD_compress(
                    destination.baseAddress, destination.count, source.baseAddress, source.count, level)
                return ZSTD_isError(code) == 0 ? code : 0
            }
        }
        guard ZSTD_isError(code) == 0 else { throw .failed(String(cString: ZSTD_getErrorName(code))) }
    }

    static func decompress(_ input: RawSpan, into output: ByteBuffer, sizeMaximum: Int) throws(CompressionError) {
        guard let context = ZSTD_createDCtx() else { throw .failed("out of memory") }
        defer { ZSTD_freeDCtx(context) }
        _ = ZSTD_DCtx_setParameter(context, ZSTD_d_windowLogMax, windowLogMaximum)
        var failure: CompressionError?
        input.withUnsafeBytes { source in
            do throws(CompressionError) {
                try decompressInSteps(source, into: output, sizeMaximum: sizeMaximum, isRepeated: true) {
                    (from, to) throws(CompressionError) in try step(context, from, to)
                }
            } catch {
                failure = error
            }
        }
        if let failure { throw failure }
    }

    private static func step(
        _ context: OpaquePointer, _ from: UnsafeRawBufferPointer, _ to: UnsafeMutableRawBufferPointer
    ) throws(CompressionError) -> DecompressionStep {
        var source = ZSTD_inBuffer(src: from.baseAddress, size: from.count, pos: 0)
        var destination = ZSTD_outBuffer(dst: to.baseAddress, size: to.count, pos: 0)
        let code = ZSTD_decompressStream(context, &destination, &source)
        guard ZSTD_isError(code) == 0 else { throw .corrupt(String(cString: ZSTD_getErrorName(code))) }
        return DecompressionStep(consumed: source.pos, produced: destination.pos, isAtEnd: code == 0)
    }
}
