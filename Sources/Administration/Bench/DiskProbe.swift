import Base
import Glibc
import Telemetry

/// What the disk itself takes to make one small write durable: the floor under every synchronous send.
///
/// Writes blocks one behind the other into a file that has its length already, as a commit log does, and calls fdatasync after
/// each. The figure to compare with is the latency of `bench produce --in-flight 1` against a server with SYNC_FLUSH.
struct DiskProbe {
    var folder: String
    var blockSize: Int
    var count: Int

    /// - Returns: nanoseconds of each write with its fdatasync.
    func measure() throws(CommandFailure) -> Histogram {
        let path = folder + "/apus-bench-disk-\(getpid())"
        let file = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
        guard file >= 0 else { throw Self.failure("cannot create \(path)") }
        defer {
            close(file)
            unlink(path)
        }
        try prepare(file)
        var histogram = Histogram()
        let block = [UInt8](repeating: 0xA5, count: blockSize)
        for index in 0..<count {
            let start = Self.now
            guard pwrite(file, block, blockSize, off_t(index * blockSize)) == blockSize, fdatasync(file) == 0 else {
                throw Self.failure("cannot write \(path)")
            }
            histogram.record(Self.now - start)
        }
        return histogram
    }

    /// Gives the file its length and its blocks, so that what is measured is data and not metadata.
    private func prepare(_ file: Int32) throws(CommandFailure) {
        let zeros = [UInt8](repeating: 0, count: 1 << 20)
        var written = 0
        while written < count * blockSize {
            guard pwrite(file, zeros, zeros.count, off_t(written)) == zeros.count else {
                throw Self.failure("cannot fill a file in \(folder)")
            }
            written += zeros.count
        }
        guard fsync(file) == 0 else { throw Self.failure("cannot flush a file in \(folder)") }
    }

    private static var now: Int64 {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
    }

    private static func failure(_ what: String) -> CommandFailure {
        CommandFailure(.failure, "\(what): \(String(cString: strerror(errno)))")
    }

    /// One row, in microseconds.
    static func table(_ histogram: Histogram) -> OutputTable {
        let values = [histogram.value(at: 0.5), histogram.value(at: 0.9), histogram.value(at: 0.99), histogram.maximum]
        return OutputTable(
            ["writes", "p50", "p90", "p99", "max"],
            [[.integer(Int64(histogram.count))] + values.map { .number(Double($0) / 1000) }])
    }
}
