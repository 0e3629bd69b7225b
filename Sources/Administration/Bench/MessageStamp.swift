import Bytes

/// What the body of each message of a benchmark says about itself, so that a consumer can tell whether it is whole, and
/// where it belongs (big-endian):
///
///     offset  size  field
///          0     4  magic: "APB1"
///          4     8  run: a random number that every message of one run has
///         12     4  producer: the connection that sent it, from 0
///         16     8  sequence: 0, 1, 2 … of this producer
///         24     8  when it should have been sent, in nanoseconds of CLOCK_MONOTONIC
///         32     n  filling
///       32+n     4  CRC-32 of everything before
struct MessageStamp: Equatable, Sendable {
    var run: UInt64
    var producer: UInt32
    var sequence: Int64
    var intendedNanoseconds: Int64

    static let magic: UInt32 = 0x4150_4231
    /// A body without any filling.
    static let sizeMinimum = 36
    /// No run comes near; keeps a forged number from asking for memory.
    static let sequenceLimit: Int64 = 1 << 36

    enum Check: Equatable, Sendable {
        case good(MessageStamp)
        /// Not from a benchmark.
        case foreign
        /// From a benchmark once, and changed since.
        case corrupt
    }

    /// Reads and checks a whole body.
    static func check(_ body: RawSpan) -> Check {
        guard body.byteCount >= sizeMinimum, body.bigEndian(at: 0, as: UInt32.self) == magic else { return .foreign }
        let end = body.byteCount - 4
        guard body.bigEndian(at: end, as: UInt32.self) == crc32(body.extracting(0..<end)) else { return .corrupt }
        let stamp = MessageStamp(body)
        guard stamp.sequence >= 0, stamp.sequence < sequenceLimit else { return .corrupt }
        return .good(stamp)
    }

    /// Reads without checking the sum.
    /// - Precondition: at least ``sizeMinimum`` bytes.
    private init(_ body: RawSpan) {
        run = body.bigEndian(at: 4)
        producer = body.bigEndian(at: 12)
        sequence = body.bigEndian(at: 16)
        intendedNanoseconds = body.bigEndian(at: 24)
    }

    init(run: UInt64, producer: UInt32, sequence: Int64, intendedNanoseconds: Int64) {
        self.run = run
        self.producer = producer
        self.sequence = sequence
        self.intendedNanoseconds = intendedNanoseconds
    }

    /// Writes everything around the filling of `body`.
    /// - Precondition: at least ``sizeMinimum`` bytes.
    @inline(__always)
    func seal(_ body: UnsafeMutableRawBufferPointer) {
        precondition(body.count >= Self.sizeMinimum, "a body too short for its stamp")
        body.storeBytes(of: Self.magic.bigEndian, toByteOffset: 0, as: UInt32.self)
        body.storeBytes(of: run.bigEndian, toByteOffset: 4, as: UInt64.self)
        body.storeBytes(of: producer.bigEndian, toByteOffset: 12, as: UInt32.self)
        body.storeBytes(of: sequence.bigEndian, toByteOffset: 16, as: Int64.self)
        body.storeBytes(of: intendedNanoseconds.bigEndian, toByteOffset: 24, as: Int64.self)
        let end = body.count - 4
        let sum = crc32(RawSpan(_unsafeBytes: UnsafeRawBufferPointer(rebasing: body[..<end])))
        body.storeBytes(of: sum.bigEndian, toByteOffset: end, as: UInt32.self)
    }
}
