import Bytes

/// Buffers that connections of one loop take when they have something to hold and return when they do not, so that an
/// idle connection holds none and a busy one allocates none.
final class BufferPool {
    private var small: [ByteBuffer] = []
    private var large: [ByteBuffer] = []
    private var largeBytes = 0

    /// Up to this capacity a buffer is a small one: enough for the piece of a frame that a read left behind.
    private static let smallCapacity = 8 * 1024
    private static let smallMaximum = 1024
    /// A new buffer for output.
    private static let largeCapacity = 32 * 1024
    /// Larger buffers, and what exceeds the total, go back to the system.
    private static let keptCapacityMaximum = 1024 * 1024
    private static let keptBytesMaximum = 16 * 1024 * 1024

    /// An empty buffer that is likely to hold `size` bytes without growing.
    func take(for size: Int) -> ByteBuffer {
        if size <= Self.smallCapacity { return small.popLast() ?? ByteBuffer(capacity: Self.smallCapacity) }
        guard let buffer = large.popLast() else { return ByteBuffer(capacity: max(size, Self.largeCapacity)) }
        largeBytes -= buffer.capacity
        return buffer
    }

    /// An empty buffer for output.
    func takeLarge() -> ByteBuffer { take(for: Self.largeCapacity) }

    /// Takes a buffer back, whatever it holds.
    func recycle(_ buffer: ByteBuffer) {
        buffer.removeAll()
        if buffer.capacity <= Self.smallCapacity {
            if small.count < Self.smallMaximum { small.append(buffer) }
        } else if buffer.capacity <= Self.keptCapacityMaximum, largeBytes + buffer.capacity <= Self.keptBytesMaximum {
            large.append(buffer)
            largeBytes += buffer.capacity
        }
    }
}
