import Base
import Bytes
import Model
import RemotingProtocol
import Runtime
import Telemetry

/// Where a broadcasting consumer stands: kept in this process, and in a file if there is a folder for it.
///
/// The file is RocketMQ's `<folder>/<clientID>/<group>/offsets.json`: `{"offsetTable":{{queue}:offset,…}}`, replaced as a whole.
struct BroadcastOffsets {
    private(set) var offsets: [MessageQueue: QueueOffset] = [:]
    private let disk: LoopDisk?
    private let folder: String
    private let log: Log

    init(folder: String?, clientID: String, group: String, loop: EventLoop, log: Log) {
        self.log = log
        self.folder = folder.map { "\($0)/\(clientID)/\(group)" } ?? ""
        disk = folder == nil ? nil : LoopDisk(loop: loop)
        load()
    }

    private var path: String { folder + "/offsets.json" }

    private mutating func load() {
        guard let disk, disk.exists(path) else { return }
        do {
            let file = try disk.open(path, .existing)
            defer { file.close() }
            var bytes = [UInt8](repeating: 0, count: try file.size())
            let count = try bytes.withUnsafeMutableBytes { try file.read(into: $0, at: 0) }
            offsets = try ResetOffsetBody(parsing: bytes.span.bytes.extracting(0..<count)).offsets
        } catch {
            log.warning("broadcast offsets not read", ["file": path, "reason": "\(error)"])
        }
    }

    mutating func set(_ queue: MessageQueue, _ offset: QueueOffset) { offsets[queue] = offset }

    /// Writes the file, if there is one.
    func save() {
        guard let disk else { return }
        do {
            try disk.makeDirectory(folder)
            let file = try disk.open(path + ".new", .createIfMissing)
            defer { file.close() }
            try file.truncate(to: 0)
            let bytes = ResetOffsetBody(offsets: offsets).encoded()
            try file.write(bytes.span.bytes, at: 0)
            try disk.rename(path + ".new", to: path)
        } catch {
            log.warning("broadcast offsets not written", ["file": path, "reason": "\(error)"])
        }
    }
}
