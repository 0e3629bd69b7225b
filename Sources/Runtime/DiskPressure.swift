import CLibuv

/// Notices that a disk makes its writers wait: a write into the page cache takes microseconds, until the kernel holds up
/// those who dirty pages faster than the disk takes them, for up to seconds.
///
/// Work that waited for a free worker counts too, for it is the same disk that keeps the workers.
final class DiskPressure {
    /// A write that takes this long has waited for the disk; the processor's scheduler explains less.
    static let slowNanoseconds: UInt64 = 2_000_000
    /// How long after a slow write the disk counts as slow. Long, because whoever tries too early waits himself.
    static let memoryNanoseconds: UInt64 = 10_000_000_000

    private var lastSlow: UInt64?

    var isHigh: Bool {
        guard let lastSlow else { return false }
        if uv_hrtime() - lastSlow < Self.memoryNanoseconds { return true }
        self.lastSlow = nil
        return false
    }

    /// A write that began at `begin` has ended.
    func wrote(since begin: UInt64) {
        let now = uv_hrtime()
        if now - begin >= Self.slowNanoseconds { lastSlow = now }
    }
}
