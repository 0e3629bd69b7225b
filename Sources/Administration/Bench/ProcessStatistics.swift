import Glibc

/// What the kernel says about a process at one moment (proc(5)). Only differences of the counters mean something.
struct ProcessStatistics: Equatable, Sendable {
    /// User and system time of all threads, in nanoseconds. The kernel tells it in ticks of 10 ms.
    var cpuNanoseconds: Int64 = 0
    /// Memory in use, and the most that ever was, in bytes (VmRSS, VmHWM).
    var residentBytes: Int64 = 0
    var peakResidentBytes: Int64 = 0
    /// Calls of the kernel that read and that write (syscr, syscw); nil when the process is another user's.
    var readCalls: Int64?
    var writeCalls: Int64?
    /// Times that threads gave the processor up, and that it was taken from them.
    var voluntarySwitches: Int64 = 0
    var involuntarySwitches: Int64 = 0

    /// Asks about a process; nil when there is none with that number.
    static func of(_ pid: Int) -> ProcessStatistics? {
        guard let stat = contents("/proc/\(pid)/stat"), let status = contents("/proc/\(pid)/status") else { return nil }
        let threads = entries("/proc/\(pid)/task").compactMap { contents("/proc/\(pid)/task/\($0)/status") }
        return ProcessStatistics(
            stat: stat, status: status, io: contents("/proc/\(pid)/io"), threads: threads,
            ticksPerSecond: Int64(sysconf(Int32(_SC_CLK_TCK))))
    }

    /// Reads the texts of the kernel.
    /// - Parameters:
    ///   - threads: the `status` of each thread, since that of the process counts the switches of its first thread alone.
    init?(stat: String, status: String, io: String?, threads: [String], ticksPerSecond: Int64) {
        // The name of the program stands in parentheses and may hold anything, so fields count from the last one on.
        guard let end = stat.lastIndex(of: ")") else { return nil }
        let fields = stat[stat.index(after: end)...].split(separator: " ")
        guard fields.count > 12, let user = Int64(fields[11]), let system = Int64(fields[12]) else { return nil }
        cpuNanoseconds = (user + system) * (1_000_000_000 / max(1, ticksPerSecond))
        residentBytes = (Self.number("VmRSS", in: status) ?? 0) * 1024
        peakResidentBytes = (Self.number("VmHWM", in: status) ?? 0) * 1024
        readCalls = io.flatMap { Self.number("syscr", in: $0) }
        writeCalls = io.flatMap { Self.number("syscw", in: $0) }
        for thread in threads {
            voluntarySwitches += Self.number("voluntary_ctxt_switches", in: thread) ?? 0
            involuntarySwitches += Self.number("nonvoluntary_ctxt_switches", in: thread) ?? 0
        }
    }

    /// The number in the line `name: number`.
    private static func number(_ name: String, in text: String) -> Int64? {
        for line in text.split(separator: "\n") where line.hasPrefix(name + ":") {
            return line.dropFirst(name.count + 1).split(whereSeparator: { $0 == " " || $0 == "\t" }).first
                .flatMap { Int64($0) }
        }
        return nil
    }

    /// Processor time of this process so far, in nanoseconds.
    static var ownCPUNanoseconds: Int64 {
        var time = timespec()
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time)
        return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
    }

    // MARK: - Files

    private static func contents(_ path: String) -> String? {
        let file = open(path, O_RDONLY | O_CLOEXEC)
        guard file >= 0 else { return nil }
        defer { close(file) }
        var text: [UInt8] = []
        var piece = [UInt8](repeating: 0, count: 4096)
        while true {
            let count = read(file, &piece, piece.count)
            guard count > 0 else { break }
            text += piece[..<count]
        }
        return text.isEmpty ? nil : String(decoding: text, as: UTF8.self)
    }

    private static func entries(_ path: String) -> [String] {
        guard let folder = opendir(path) else { return [] }
        defer { closedir(folder) }
        var names: [String] = []
        while let entry = readdir(folder) {
            let name = withUnsafeBytes(of: entry.pointee.d_name) { bytes in
                String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
            }
            if name != ".", name != ".." { names.append(name) }
        }
        return names
    }
}

/// What a process did between two moments, for each of a number of messages.
struct ProcessUsage: Equatable, Sendable {
    var cpuNanoseconds: Int64
    var residentBytes: Int64
    var peakResidentBytes: Int64
    var readCalls: Int64?
    var writeCalls: Int64?
    var voluntarySwitches: Int64
    var involuntarySwitches: Int64

    init(from start: ProcessStatistics, to end: ProcessStatistics) {
        cpuNanoseconds = end.cpuNanoseconds - start.cpuNanoseconds
        residentBytes = end.residentBytes
        peakResidentBytes = end.peakResidentBytes
        readCalls = Self.difference(start.readCalls, end.readCalls)
        writeCalls = Self.difference(start.writeCalls, end.writeCalls)
        voluntarySwitches = end.voluntarySwitches - start.voluntarySwitches
        involuntarySwitches = end.involuntarySwitches - start.involuntarySwitches
    }

    private static func difference(_ start: Int64?, _ end: Int64?) -> Int64? {
        guard let start, let end else { return nil }
        return end - start
    }
}
