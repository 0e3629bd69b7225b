import Base

/// One file of the commit log, named by the physical offset of its first byte in 20 digits.
final class Segment {
    let start: PhysicalOffset
    let size: Int
    let file: any DiskFile
    /// Bytes from the start for which room is reserved on the disk.
    var reservedSize: Int
    /// False until the folder was synchronised after the file was made: a power cut may take the whole file.
    var isNameDurable = false
    var end: PhysicalOffset { start.advanced(by: size) }

    init(start: PhysicalOffset, size: Int, file: any DiskFile, reservedSize: Int) {
        self.start = start
        self.size = size
        self.file = file
        self.reservedSize = reservedSize
    }

    static func name(start: PhysicalOffset) -> String {
        let digits = String(start.rawValue)
        return String(repeating: "0", count: 20 - digits.count) + digits
    }

    /// The offset that a file name spells, or nil when it is no segment's name.
    static func start(ofName name: String) -> PhysicalOffset? {
        guard name.utf8.count == 20, name.utf8.allSatisfy({ $0 >= 0x30 && $0 <= 0x39 }), let start = Int64(name) else {
            return nil
        }
        return PhysicalOffset(start)
    }
}
