import Base
import CLibuv
import Glibc

/// A file of a ``LoopDisk``.
final class LoopFile: DiskFile {
    let path: String
    private let loop: EventLoop
    private let pressure: DiskPressure
    /// Nil after `close`.
    private var descriptor: Descriptor?

    init(_ loop: EventLoop, _ pressure: DiskPressure, _ path: String, _ descriptor: Descriptor) {
        self.loop = loop
        self.pressure = pressure
        self.path = path
        self.descriptor = descriptor
    }

    func close() { descriptor = nil }

    /// For another thread, which may use it after this file is closed; nil when it is closed already.
    var sharedDescriptor: Descriptor? { descriptor }

    func closeInBackground() {
        guard let descriptor else { return }
        self.descriptor = nil
        loop.runInBackground({ withExtendedLifetime(descriptor) {} }, {})
    }

    private func opened(_ operation: String) throws(DiskError) -> Descriptor {
        guard let descriptor else { throw DiskError(EBADF, operation, path) }
        return descriptor
    }

    private func status(_ operation: String) throws(DiskError) -> stat {
        var found = stat()
        guard fstat(try opened(operation).number, &found) == 0 else { throw DiskError(errno, operation, path) }
        return found
    }

    func size() throws(DiskError) -> Int { Int(try status("size").st_size) }

    func modified() throws(DiskError) -> Timestamp {
        let time = try status("modified").st_mtim
        return Timestamp(milliseconds: Int64(time.tv_sec) * 1000 + Int64(time.tv_nsec) / 1_000_000)
    }

    // MARK: - Write

    func write(_ bytes: RawSpan, at offset: Int) throws(DiskError) {
        let descriptor = try opened("write")
        let begin = uv_hrtime()
        let result = bytes.withUnsafeBytes { writeAll(descriptor.number, $0, offset) }
        pressure.wrote(since: begin)
        guard result >= 0 else { throw DiskError(-result, "write", path) }
    }

    func writeInBackground(
        _ bytes: UnsafeRawBufferPointer, of owner: AnyObject, at offset: Int,
        _ completion: @escaping (DiskError?) -> Void
    ) {
        let loan = LentBytes(bytes: bytes)
        let pressure = pressure
        let begin = uv_hrtime()
        inBackground("write", { writeAll($0, loan.bytes, offset) }) { error in
            withExtendedLifetime(owner) { pressure.wrote(since: begin) }
            completion(error)
        }
    }

    func allocate(size: Int) throws(DiskError) {
        let descriptor = try opened("allocate")
        let result = reserve(descriptor.number, size: size)
        guard result >= 0 else { throw DiskError(-result, "allocate", path) }
    }

    func allocateInBackground(size: Int, _ completion: @escaping (DiskError?) -> Void) {
        inBackground("allocate", { reserve($0, size: size) }, completion)
    }

    func truncate(to size: Int) throws(DiskError) {
        let descriptor = try opened("truncate")
        let result = uninterrupted { ftruncate(descriptor.number, off_t(size)) }
        guard result >= 0 else { throw DiskError(-result, "truncate", path) }
    }

    // MARK: - Read

    func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int) throws(DiskError) -> Int {
        let descriptor = try opened("read")
        let result = readAll(descriptor.number, buffer, offset)
        guard result >= 0 else { throw DiskError(Int32(-result), "read", path) }
        return result
    }

    /// On a file system that cannot tell what is cached this always returns nil. So after a prefetch the bytes are to be had by
    /// `read(into:at:)`, not by asking here again.
    func readIfCached(into buffer: UnsafeMutableRawBufferPointer, at offset: Int) throws(DiskError) -> Int? {
        let descriptor = try opened("read")
        var filled = 0
        while filled < buffer.count {
            let result = apus_pread_nowait(
                descriptor.number, buffer.baseAddress.map { $0 + filled }, buffer.count - filled, Int64(offset + filled)
            )
            if result == 0 { break }
            if result > 0 { filled += result } else if result != -Int(EINTR) { return try missed(Int32(-result)) }
        }
        return filled
    }

    private func missed(_ number: Int32) throws(DiskError) -> Int? {
        guard number == EAGAIN || number == EOPNOTSUPP || number == ENOSYS else {
            throw DiskError(number, "read", path)
        }
        return nil
    }

    func prefetchInBackground(offset: Int, count: Int, _ completion: @escaping (DiskError?) -> Void) {
        inBackground("prefetch", { prefetch($0, offset, count) }, completion)
    }

    // MARK: - Synchronize

    func synchronize() throws(DiskError) {
        let descriptor = try opened("synchronize")
        let result = synchronizeData(descriptor.number)
        guard result >= 0 else { throw DiskError(-result, "synchronize", path) }
    }

    func synchronizeInBackground(_ completion: @escaping (DiskError?) -> Void) {
        inBackground("synchronize", synchronizeData, completion)
    }

    /// Runs `work` on a worker thread; it returns a negative error number if it fails.
    private func inBackground(
        _ operation: String, _ work: @escaping @Sendable (Int32) -> Int32, _ completion: @escaping (DiskError?) -> Void
    ) {
        let path = self.path
        let descriptor = self.descriptor
        loop.runInBackground(
            {
                let result = descriptor.map { work($0.number) } ?? -EBADF
                return result < 0 ? DiskError(-result, operation, path) : nil
            }, completion)
    }
}

/// Bytes that a worker thread writes.
///
/// SAFETY: whoever lends them leaves them unchanged and in their place until the completion (``DiskFile``), so the two threads
/// only read.
private struct LentBytes: @unchecked Sendable {
    let bytes: UnsafeRawBufferPointer
}

// MARK: - Calls of the kernel, repeated until all is done

/// Reserves room from the file's start and extends the file to it.
/// - Returns: 0, or the negative error number.
func reserve(_ descriptor: Int32, size: Int) -> Int32 {
    var result: Int32
    repeat { result = apus_fallocate(descriptor, 0, Int64(size)) } while result == -EINTR
    // Not every file system can reserve; all can be written to.
    guard result == -EOPNOTSUPP || result == -ENOSYS else { return result }
    var found = stat()
    guard fstat(descriptor, &found) == 0 else { return -errno }
    return extend(descriptor, from: Int(found.st_size), to: size)
}

/// Writes all of `bytes`.
/// - Returns: 0, or the negative error number.
private func writeAll(_ descriptor: Int32, _ bytes: UnsafeRawBufferPointer, _ offset: Int) -> Int32 {
    var written = 0
    while written < bytes.count {
        let result = uninterrupted {
            pwrite(
                descriptor, bytes.baseAddress.map { $0 + written }, bytes.count - written, off_t(offset + written))
        }
        guard result >= 0 else { return Int32(result) }
        // The kernel explains a write that got nowhere at the next one; a disk that never does must not hold us here.
        guard result > 0 else { return -EIO }
        written += result
    }
    return 0
}

/// Fills `buffer` up to the end of the file.
/// - Returns: the bytes read, or the negative error number.
func readAll(_ descriptor: Int32, _ buffer: UnsafeMutableRawBufferPointer, _ offset: Int) -> Int {
    var filled = 0
    while filled < buffer.count {
        let result = uninterrupted {
            pread(descriptor, buffer.baseAddress.map { $0 + filled }, buffer.count - filled, off_t(offset + filled))
        }
        guard result >= 0 else { return result }
        if result == 0 { break }
        filled += result
    }
    return filled
}

/// Writes zeros from the file's end.
/// - Returns: 0, or the negative error number.
private func extend(_ descriptor: Int32, from start: Int, to end: Int) -> Int32 {
    let zeros = [UInt8](repeating: 0, count: 1024 * 1024)
    var offset = start
    while offset < end {
        let size = min(zeros.count, end - offset)
        let result = zeros.withUnsafeBytes {
            writeAll(descriptor, UnsafeRawBufferPointer(rebasing: $0[..<size]), offset)
        }
        guard result >= 0 else { return result }
        offset += size
    }
    return 0
}

/// Reads `count` bytes and forgets them: afterwards they are in the page cache. (readahead(2) would return before they are.)
/// - Returns: 0, or the negative error number.
private func prefetch(_ descriptor: Int32, _ offset: Int, _ count: Int) -> Int32 {
    let scratch = UnsafeMutableRawBufferPointer.allocate(byteCount: min(max(count, 1), 256 * 1024), alignment: 4096)
    defer { scratch.deallocate() }
    var done = 0
    while done < count {
        let part = UnsafeMutableRawBufferPointer(rebasing: scratch[..<min(scratch.count, count - done)])
        let result = readAll(descriptor, part, offset + done)
        guard result >= 0 else { return Int32(result) }
        if result < part.count { break }
        done += result
    }
    return 0
}

private func synchronizeData(_ descriptor: Int32) -> Int32 {
    uninterrupted { fdatasync(descriptor) }
}
