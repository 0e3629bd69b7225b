import Bytes

/// How the body of a message, or a registration, is compressed.
///
/// Each codec writes the self-describing form that RocketMQ's clients use: a zlib stream, LZ4 frames, zstd frames. What
/// is read comes from outside: it is bounded, and anything wrong with it is an error.
public enum CompressionCodec: Sendable, CaseIterable {
    case zlib
    case lz4
    case zstd

    /// The codec with the number in bits 8 to 10 of a message's flags (remoting reference §1.8). 0 means zlib because
    /// clients before 4.9.8 wrote no number.
    public init?(wireID: Int32) {
        switch wireID {
        case 0, 3: self = .zlib
        case 1: self = .lz4
        case 2: self = .zstd
        default: return nil
        }
    }

    /// The number that new messages carry.
    public var wireID: Int32 {
        switch self {
        case .lz4: 1
        case .zstd: 2
        case .zlib: 3
        }
    }

    /// The level of RocketMQ's clients (`rocketmq.message.compressLevel`).
    public static let levelDefault: Int32 = 5

    /// Appends `input`, compressed, to `output`.
    /// - Parameter level: the codec's own; larger is slower and smaller.
    /// - Throws: ``CompressionError/failed(_:)``; `output` is then as before.
    public func compress(
        _ input: RawSpan, into output: ByteBuffer, level: Int32 = levelDefault
    ) throws(CompressionError) {
        let start = output.count
        do throws(CompressionError) {
            switch self {
            case .zlib: try ZlibStream.compress(input, into: output, level: level)
            case .lz4: try LZ4Frame.compress(input, into: output, level: level)
            case .zstd: try ZstdFrame.compress(input, into: output, level: level)
            }
        } catch {
            output.truncate(to: start)
            throw error
        }
    }

    /// Appends what `input` stands for to `output`.
    /// - Parameter sizeMaximum: most bytes to append. No more memory than about that, beside the codec's window, is
    ///   taken whatever `input` says of itself.
    /// - Throws: ``CompressionError``; `output` is then as before.
    public func decompress(
        _ input: RawSpan, into output: ByteBuffer, sizeMaximum: Int
    ) throws(CompressionError) {
        precondition(sizeMaximum >= 0, "a negative limit")
        let start = output.count
        do throws(CompressionError) {
            switch self {
            case .zlib: try ZlibStream.decompress(input, into: output, sizeMaximum: sizeMaximum)
            case .lz4: try LZ4Frame.decompress(input, into: output, sizeMaximum: sizeMaximum)
            case .zstd: try ZstdFrame.decompress(input, into: output, sizeMaximum: sizeMaximum)
            }
        } catch {
            output.truncate(to: start)
            throw error
        }
    }
}

/// Why bytes could not be compressed or decompressed.
public enum CompressionError: Error, Equatable, Sendable, CustomStringConvertible {
    /// The input is not what the codec writes; the text is the library's.
    case corrupt(String)
    /// The input ends before its own end.
    case truncated
    /// The output would be larger than allowed.
    case tooLarge(maximum: Int)
    /// The library refused to work, for instance for want of memory.
    case failed(String)

    public var description: String {
        switch self {
        case .corrupt(let reason): "corrupt compressed data: \(reason)"
        case .truncated: "compressed data is cut off"
        case .tooLarge(let maximum): "decompressed data has more than \(maximum) bytes"
        case .failed(let reason): "compression failed: \(reason)"
        }
    }
}

/// One step of a decompressor: what it took, what it gave, and whether its stream has ended.
struct DecompressionStep {
    var consumed: Int
    var produced: Int
    var isAtEnd: Bool
}

/// Largest piece that a decompressor fills at once.
private let chunkSize = 64 * 1024

/// Runs `step` over `input` until its stream ends, piece by piece so that the limit holds before memory is taken.
/// - Parameter isRepeated: whether another stream may follow behind the first, as with LZ4 and zstd frames.
func decompressInSteps(
    _ input: UnsafeRawBufferPointer, into output: ByteBuffer, sizeMaximum: Int, isRepeated: Bool,
    _ step: (_ input: UnsafeRawBufferPointer, _ output: UnsafeMutableRawBufferPointer) throws(CompressionError)
        -> DecompressionStep
) throws(CompressionError) {
    var position = 0
    var total = 0
    while true {
        // One byte more than is allowed, so that reaching the limit differs from passing it.
        let room = min(chunkSize, sizeMaximum - total + 1)
        var result = DecompressionStep(consumed: 0, produced: 0, isAtEnd: false)
        var failure: CompressionError?
        output.appendUninitialized(room) { piece in
            do throws(CompressionError) {
                result = try step(UnsafeRawBufferPointer(rebasing: input[position...]), piece)
            } catch {
                failure = error
            }
            return result.produced
        }
        if let failure { throw failure }
        position += result.consumed
        total += result.produced
        guard total <= sizeMaximum else { throw .tooLarge(maximum: sizeMaximum) }
        if result.isAtEnd {
            guard isRepeated, position < input.count else { return }
        } else if result.consumed == 0, result.produced == 0 {
            // No progress with room left: the stream wants bytes that are not there.
            throw .truncated
        }
    }
}
