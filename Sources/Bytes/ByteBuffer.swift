/// A growable run of bytes that is filled at its end and consumed at its front: what a connection receives and sends, and
/// where frames and records are built.
///
/// Owned by one thread. Memory is reused: in a steady state nothing is allocated. Positions are counted from the first
/// readable byte.
public final class ByteBuffer {
    // SAFETY: checking each access for overlap takes more time than everything else that this class does. No overlap can
    // occur: these are plain words, loaded and stored one at a time, never passed inout, and one thread owns the buffer.
    @exclusivity(unchecked) @usableFromInline var memory: UnsafeMutableRawPointer
    /// Bytes owned at `memory`.
    @exclusivity(unchecked) @usableFromInline var allocated: Int
    /// Index of the first readable byte in `memory`.
    @exclusivity(unchecked) @usableFromInline var head = 0
    /// Index behind the last readable byte in `memory`.
    @exclusivity(unchecked) @usableFromInline var tail = 0

    public init(capacity: Int = 0) {
        allocated = Swift.max(capacity, 0)
        // SAFETY: freed in deinit and on growth only; every access below stays within `allocated`.
        memory = UnsafeMutableRawPointer.allocate(byteCount: Swift.max(allocated, 1), alignment: 16)
    }

    deinit { memory.deallocate() }

    /// Readable bytes.
    @inlinable public var count: Int { tail - head }
    @inlinable public var isEmpty: Bool { tail == head }
    /// Bytes of memory held, readable or not.
    @inlinable public var capacity: Int { allocated }

    /// The readable bytes. The span must not outlive the next change of the buffer.
    @inlinable public var bytes: RawSpan {
        @_lifetime(borrow self)
        get {
            // SAFETY: the range is initialised memory owned by self, and the lifetime is tied to self.
            let span = RawSpan(_unsafeStart: UnsafeRawPointer(memory + head), byteCount: count)
            return unsafe _overrideLifetime(span, borrowing: self)
        }
    }

    /// Calls `body` with the readable bytes, which it may change in place but not keep.
    @inlinable
    public func withUnsafeMutableBytes<R>(_ body: (UnsafeMutableRawBufferPointer) throws -> R) rethrows -> R {
        try body(UnsafeMutableRawBufferPointer(start: memory + head, count: count))
    }

    /// Calls `body` with the readable bytes, which it must not keep.
    @inlinable
    public func withUnsafeBytes<R>(_ body: (UnsafeRawBufferPointer) throws -> R) rethrows -> R {
        try body(UnsafeRawBufferPointer(start: memory + head, count: count))
    }

    // MARK: - Room

    /// Makes room for `more` bytes behind the readable ones without moving memory again.
    @inlinable @inline(__always)
    public func reserve(_ more: Int) {
        if allocated - tail < more { makeRoom(more) }
    }

    @usableFromInline @inline(never)
    func makeRoom(_ more: Int) {
        let live = count
        if head > 0, allocated - live >= more, live <= allocated / 2 {
            memory.copyMemory(from: memory + head, byteCount: live)
        } else {
            let wanted = Swift.max(live + more, allocated * 2, 256)
            // SAFETY: the new block is larger than what is copied, and replaces the old one at once.
            let larger = UnsafeMutableRawPointer.allocate(byteCount: wanted, alignment: 16)
            larger.copyMemory(from: memory + head, byteCount: live)
            memory.deallocate()
            memory = larger
            allocated = wanted
        }
        head = 0
        tail = live
    }

    /// Forgets all bytes; keeps the memory.
    @inlinable public func removeAll() {
        head = 0
        tail = 0
    }

    /// Forgets all bytes and returns memory beyond `capacity` to the system.
    public func removeAll(keeping capacity: Int) {
        removeAll()
        guard allocated > capacity else { return }
        memory.deallocate()
        memory = UnsafeMutableRawPointer.allocate(byteCount: Swift.max(capacity, 1), alignment: 16)
        allocated = capacity
    }

    /// Forgets the first `size` bytes.
    @inlinable public func consume(_ size: Int) {
        precondition(size >= 0 && size <= count, "consumed more bytes than there are")
        head += size
        if head == tail { removeAll() }
    }

    /// Forgets every byte behind the first `size`.
    @inlinable public func truncate(to size: Int) {
        precondition(size >= 0 && size <= count, "truncated to more bytes than there are")
        tail = head + size
    }

    /// Lets `body` fill up to `size` bytes behind the readable ones; it returns how many it filled.
    @inlinable
    public func appendUninitialized(_ size: Int, _ body: (UnsafeMutableRawBufferPointer) throws -> Int) rethrows {
        reserve(size)
        let filled = try body(UnsafeMutableRawBufferPointer(start: memory + tail, count: size))
        precondition(filled >= 0 && filled <= size, "filled more bytes than were reserved")
        tail += filled
    }

    // MARK: - Append

    @inlinable @inline(__always)
    public func append<T: FixedWidthInteger & BitwiseCopyable>(bigEndian value: T) {
        reserve(MemoryLayout<T>.size)
        memory.storeBytes(of: value.bigEndian, toByteOffset: tail, as: T.self)
        tail += MemoryLayout<T>.size
    }

    @inlinable @inline(__always)
    public func append(_ byte: UInt8) { append(bigEndian: byte) }

    @inlinable
    public func append(_ span: RawSpan) {
        span.withUnsafeBytes { append($0) }
    }

    @inlinable
    public func append(_ source: UnsafeRawBufferPointer) {
        guard let start = source.baseAddress, source.count > 0 else { return }
        reserve(source.count)
        (memory + tail).copyMemory(from: start, byteCount: source.count)
        tail += source.count
    }

    @inlinable
    public func append(_ array: [UInt8]) { array.withUnsafeBytes { append($0) } }

    /// Appends text known at compile time.
    @inlinable
    public func append(_ text: StaticString) {
        append(UnsafeRawBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
    }

    /// Appends the UTF-8 of `text`.
    @inlinable
    public func append(utf8 text: String) {
        var text = text
        text.withUTF8 { append(UnsafeRawBufferPointer($0)) }
    }

    /// Appends the decimal digits of `value`.
    @inlinable
    public func append(decimal value: Int64) {
        // The longest is -9223372036854775808: 20 bytes.
        reserve(20)
        var magnitude = value.magnitude
        var digits = 1
        var bound = magnitude / 10
        while bound > 0 {
            digits += 1
            bound /= 10
        }
        if value < 0 { append(UInt8(ascii: "-")) }
        var position = tail + digits
        tail = position
        repeat {
            position -= 1
            memory.storeBytes(of: UInt8(ascii: "0") + UInt8(magnitude % 10), toByteOffset: position, as: UInt8.self)
            magnitude /= 10
        } while magnitude > 0
    }

    // MARK: - Change in place

    /// Replaces the integer at `position`, for lengths that are known only afterwards.
    @inlinable
    public func patch<T: FixedWidthInteger & BitwiseCopyable>(bigEndian value: T, at position: Int) {
        precondition(position >= 0 && position <= count - MemoryLayout<T>.size, "patched outside the buffer")
        memory.storeBytes(of: value.bigEndian, toByteOffset: head + position, as: T.self)
    }
}
