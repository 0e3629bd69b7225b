import Bytes
import COpenSSL

/// Where the records of a thread's connections pass: what a peer sent goes in, what it is to be sent comes out.
///
/// One serves all ``TLSFilter``s of a loop, one call after the other, so that an idle connection holds no memory for records.
final class TLSWire {
    private let wire: UnsafeMutablePointer<apus_wire>

    /// Memory for output that stays between calls: what a connection encrypts at once.
    private static let keptCapacity = 512 * 1024

    init() {
        wire = .allocate(capacity: 1)
        wire.initialize(to: apus_wire())
    }

    deinit {
        free(wire.pointee.output)
        wire.deallocate()
    }

    /// A BIO that reads from this wire and writes to it; whoever gets it owns it. Nil when there is no memory.
    func makeBIO() -> OpaquePointer? {
        guard let method = Self.method.pointer, let bio = BIO_new(method) else { return nil }
        BIO_set_data(bio, wire)
        return bio
    }

    /// Calls `body` while filters read `bytes` from here.
    func withInput<R, E: Error>(_ bytes: UnsafeRawBufferPointer, _ body: () throws(E) -> R) throws(E) -> R {
        wire.pointee.input = bytes.baseAddress?.assumingMemoryBound(to: UInt8.self)
        wire.pointee.input_size = bytes.count
        defer {
            wire.pointee.input = nil
            wire.pointee.input_size = 0
        }
        return try body()
    }

    var hasOutput: Bool { wire.pointee.output_size > 0 }

    /// Moves what filters wrote to the end of `records`.
    func takeOutput(into records: ByteBuffer) {
        records.append(UnsafeRawBufferPointer(start: wire.pointee.output, count: wire.pointee.output_size))
        wire.pointee.output_size = 0
        guard wire.pointee.output_capacity > Self.keptCapacity else { return }
        free(wire.pointee.output)
        wire.pointee.output = nil
        wire.pointee.output_capacity = 0
    }

    private struct Method: @unchecked Sendable {
        // SAFETY: made once, never changed, and OpenSSL only reads it.
        let pointer: OpaquePointer?
    }
    private static let method = Method(pointer: apus_wire_method())
}
