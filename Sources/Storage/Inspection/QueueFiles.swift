import Base
import Bytes

/// The files of one consume queue as they lie there, read without opening the queue.
final class QueueFiles {
    let directory: String
    private let configuration: ConsumeQueueConfiguration
    private let disk: any Disk
    private let files: OpenFileCache
    private let owner: Int
    private var names: Set<Int64>?
    /// A piece of a file: the messages of a walk come in order.
    private let piece = ByteBuffer()
    private var pieceStart: Int64 = 0
    private static let entriesPerPiece: Int64 = 200

    init(
        _ directory: String, _ configuration: ConsumeQueueConfiguration, disk: any Disk, files: OpenFileCache
    ) {
        self.directory = directory
        self.configuration = configuration
        self.disk = disk
        self.files = files
        owner = files.makeOwner()
    }

    deinit {
        for number in names ?? [] { files.remove(owner: owner, number: number) }
    }

    /// Numbers of the files, in order. Names that are none of a file of this size are left out.
    func numbers() throws(DiskError) -> [Int64] { try known().sorted() }

    private func known() throws(DiskError) -> Set<Int64> {
        if let names { return names }
        var found: Set<Int64> = []
        for entry in try disk.list(directory) where !entry.isDirectory {
            guard let start = Segment.start(ofName: entry.name), start.rawValue % Int64(configuration.fileSize) == 0
            else { continue }
            found.insert(start.rawValue / Int64(configuration.fileSize))
        }
        names = found
        return found
    }

    func path(_ number: Int64) -> String {
        directory + "/" + Segment.name(start: PhysicalOffset(number * Int64(configuration.fileSize)))
    }

    /// The entry at `offset`, blank where nothing was written; nil when its file is not there.
    func entry(at offset: QueueOffset) throws(DiskError) -> ConsumeQueueEntry? {
        guard offset >= .zero else { return nil }
        let piece = piece
        let perFile = Int64(configuration.entriesPerFile)
        let number = offset.rawValue / perFile
        guard try known().contains(number) else { return nil }
        let index = offset.rawValue - pieceStart
        if index < 0 || index >= Int64(piece.count / ConsumeQueueEntry.encodedSize) {
            let position = Int(offset.rawValue - number * perFile) * ConsumeQueueEntry.encodedSize
            piece.removeAll()
            pieceStart = offset.rawValue
            let count = min(Int(Self.entriesPerPiece), configuration.entriesPerFile) * ConsumeQueueEntry.encodedSize
            try piece.append(
                from: try open(number), at: position, count: min(count, configuration.fileSize - position))
        }
        let begin = Int(offset.rawValue - pieceStart) * ConsumeQueueEntry.encodedSize
        guard begin + ConsumeQueueEntry.encodedSize <= piece.count else { return .blank }
        return ConsumeQueueEntry(piece.bytes, at: begin)
    }

    private func open(_ number: Int64) throws(DiskError) -> any DiskFile {
        if let file = files.find(owner: owner, number: number) { return file }
        let file = try disk.open(path(number), .existing)
        files.insert(file, owner: owner, number: number)
        return file
    }
}
