import CISAL

/// CRC-32 with the polynomial of zlib and gzip, which RocketMQ uses for bodies (`UtilAll.crc32` keeps the low 31 bits).
/// - Parameter seed: the result for the bytes before, to continue a run; 0 at its start.
@inlinable
public func crc32(_ span: RawSpan, seed: UInt32 = 0) -> UInt32 {
    span.withUnsafeBytes { bytes in
        guard let start = bytes.bindMemory(to: UInt8.self).baseAddress else { return seed }
        // SAFETY: isa-l reads `count` bytes from `start`, which the span keeps alive.
        return apus_crc32(seed, start, UInt64(bytes.count))
    }
}
