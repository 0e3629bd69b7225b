import Bytes
import CCompression

/// The LZ4 frame format, as lz4-java's frame streams write it.
enum LZ4Frame {
    static func compress(_ input: RawSpan, into output: ByteBuffer, level: Int32) throws(CompressionError) {
        var preferences = LZ4F_preferences_t()
        // Levels below 3 are LZ4's fast ones, which is what RocketMQ's clients use whatever level they are given.
        preferences.compressionLevel = level > 9 ? level : 0
        preferences.frameInfo.contentSize = UInt64(input.byteCount)
        let bound = LZ4F_compressFrameBound(input.byteCount, &preferences)
        var code = 0
        input.withUnsafeBytes { source in
            output.appendUninitialized(bound) { destination in
                code = LZ4F_compressFrame(
                    destination.baseAddress, destination.count, source.baseAddress, source.count, &preferences)
                return LZ4F_isError(code) == 0 ? code : 0
            }
        }
        guard LZ4F_isError(code) == 0 else { throw .failed(String(cString: LZ4F_getErrorName(code))) }
    }

    static func decompress(_ input: RawSpan, into output: ByteBuffer, sizeMaximum: Int) throws(CompressionError) {
        var context: OpaquePointer?
        let code = LZ4F_createDecompressionContext(&context, UInt32(LZ4F_VERSION))
        guard LZ4F_isError(code) == 0, let context else { throw .failed(String(cString: LZ4F_getErrorName(code))) }
        defer { LZ4F_freeDecompressionContext(context) }
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
        var consumed = from.count
        var produced = to.count
        let code = LZ4F_decompress(context, to.baseAddress, &produced, from.baseAddress, &consumed, nil)
        guard LZ4F_isError(code) == 0 else { throw .corrupt(String(cString: LZ4F_getErrorName(code))) }
        return DecompressionStep(consumed: consumed, produced: produced, isAtEnd: code == 0)
    }
}
