import Base
import Bytes

/// The folder `quarantine/`: bytes of the log that were replaced or cut while whole records lay behind them. Nothing reads them
/// but people. A file is named by where its first byte lay in the log, in 20 digits.
enum Quarantine {
    static func folder(_ root: String) -> String { root + "/quarantine" }

    /// Copies `size` bytes of the log from `start` on; fewer where the file ends. They are on the medium on return.
    /// - Returns: the path of the copy.
    static func keep(
        _ segment: Segment, _ start: PhysicalOffset, size: Int, root: String, disk: any Disk
    ) throws(DiskError) -> String {
        let folder = folder(root)
        try disk.makeDirectory(folder)
        let name = folder + "/" + Segment.name(start: start)
        var path = name
        var number = 1
        while disk.exists(path) {
            number += 1
            path = name + "-\(number)"
        }
        let file = try disk.open(path, .createNew)
        defer { file.close() }
        let bytes = ByteBuffer()
        var position = 0
        while position < size {
            bytes.removeAll()
            try bytes.append(
                from: segment.file, at: start.bytes(since: segment.start) + position,
                count: min(1 << 20, size - position))
            guard !bytes.isEmpty else { break }
            try file.write(bytes.bytes, at: position)
            position += bytes.count
        }
        try file.synchronize()
        try disk.synchronizeDirectory(folder)
        try disk.synchronizeDirectory(root)
        return path
    }
}
