import Base

/// The bytes of one simulated file, twice: as the page cache has them and as the medium has them. Sparse: a page that was
/// never written takes no room and reads as zeros.
final class SimulatedContent {
    static let pageSize = 4096
    /// What a medium writes at once; a page may be torn between two of them.
    static let sectorSize = 512

    private(set) var size = 0
    private var pages: [Int: [UInt8]] = [:]
    private var durableSize = 0
    private var durablePages: [Int: [UInt8]] = [:]
    /// Pages that may differ between the two.
    private var unsynchronised: Set<Int> = []
    /// Pages that a read without waiting does not find.
    private var uncached: Set<Int> = []
    /// Pages from the start that are reserved whether written or not.
    private var reservedPages = 0
    var modified = Timestamp(milliseconds: 0)
    /// The run of the process that holds the lock of this file.
    var lockedIn: Int?

    /// Pages that take room on the medium.
    var usedPages: Int { reservedPages + pages.keys.count { $0 >= reservedPages } }

    // MARK: - Read and write

    func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int) -> Int {
        let count = max(0, min(buffer.count, size - offset))
        forEachPage(offset..<offset + count) { page, inPage, done in
            let target = UnsafeMutableRawBufferPointer(rebasing: buffer[done..<done + inPage.count])
            uncached.remove(page)
            if let bytes = pages[page] {
                bytes.withUnsafeBytes { target.copyMemory(from: UnsafeRawBufferPointer(rebasing: $0[inPage])) }
            } else {
                target.initializeMemory(as: UInt8.self, repeating: 0)
            }
        }
        return count
    }

    func isCached(_ range: Range<Int>) -> Bool {
        guard !uncached.isEmpty, !range.isEmpty else { return true }
        return (range.lowerBound / Self.pageSize...(range.upperBound - 1) / Self.pageSize).allSatisfy {
            !uncached.contains($0)
        }
    }

    /// Pages that a write of `range` would add.
    func newPages(_ range: Range<Int>) -> Int {
        guard !range.isEmpty else { return 0 }
        return (range.lowerBound / Self.pageSize...(range.upperBound - 1) / Self.pageSize).count {
            $0 >= reservedPages && pages[$0] == nil
        }
    }

    /// - Parameter reachesMedium: asked for each page, whether the kernel happens to write it back at once.
    func write(_ bytes: UnsafeRawBufferPointer, at offset: Int, reachesMedium: () -> Bool) {
        forEachPage(offset..<offset + bytes.count) { page, inPage, done in
            pages[page, default: Array(repeating: 0, count: Self.pageSize)].withUnsafeMutableBytes { target in
                UnsafeMutableRawBufferPointer(rebasing: target[inPage])
                    .copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes[done..<done + inPage.count]))
            }
            uncached.remove(page)
            unsynchronised.insert(page)
            if reachesMedium() {
                sendCount += 1
                durableSends[page] = sendCount
                durablePages[page] = pages[page]
            }
        }
        size = max(size, offset + bytes.count)
    }

    func truncate(to newSize: Int) {
        let firstGone = (newSize + Self.pageSize - 1) / Self.pageSize
        if newSize < size {
            for page in pages.keys where page >= firstGone {
                pages[page] = nil
                unsynchronised.insert(page)
            }
            let inPage = newSize % Self.pageSize
            if inPage > 0, pages[newSize / Self.pageSize] != nil {
                pages[newSize / Self.pageSize]?.withUnsafeMutableBytes { bytes in
                    for index in inPage..<Self.pageSize { bytes[index] = 0 }
                }
                unsynchronised.insert(newSize / Self.pageSize)
            }
            reservedPages = min(reservedPages, firstGone)
        }
        size = newSize
    }

    func reserve(size newSize: Int) {
        reservedPages = max(reservedPages, (newSize + Self.pageSize - 1) / Self.pageSize)
        size = max(size, newSize)
    }

    private func forEachPage(_ range: Range<Int>, _ body: (_ page: Int, _ inPage: Range<Int>, _ done: Int) -> Void) {
        var position = range.lowerBound
        while position < range.upperBound {
            let page = position / Self.pageSize
            let start = position % Self.pageSize
            let end = min(Self.pageSize, start + range.upperBound - position)
            body(page, start..<end, position - range.lowerBound)
            position += end - start
        }
    }

    // MARK: - Durability

    /// Counts what was sent to the medium, so that a synchronisation that ends late does not undo a later one.
    private var sendCount = 0
    private var durableSends: [Int: Int] = [:]
    private var durableSizeSend = 0

    /// What a synchronisation that begins now makes durable when it ends.
    struct Snapshot {
        var send: Int
        var size: Int
        var pages: [(number: Int, bytes: [UInt8]?)]
    }

    func snapshot() -> Snapshot {
        sendCount += 1
        return Snapshot(send: sendCount, size: size, pages: unsynchronised.map { ($0, pages[$0]) })
    }

    func makeDurable(_ snapshot: Snapshot) {
        if durableSizeSend < snapshot.send {
            durableSizeSend = snapshot.send
            durableSize = snapshot.size
        }
        for (number, bytes) in snapshot.pages where durableSends[number, default: 0] < snapshot.send {
            durableSends[number] = snapshot.send
            durablePages[number] = bytes
            if pages[number] == bytes { unsynchronised.remove(number) }
        }
    }

    /// A synchronisation failed: Linux then holds the pages for clean, so that a second one succeeds and writes nothing.
    func loseSynchronisation() { unsynchronised = [] }

    func dropCache() { uncached = Set(pages.keys) }

    /// The page cache is gone; of what was not synchronised each page is there, lost or torn, as `random` decides.
    /// - Parameter damagePercent: how many of those are lost or torn; nil for a quarter lost and a quarter torn.
    func losePower(_ random: any RandomSource, damagePercent: Int? = nil) {
        var result = durablePages
        // In a fixed order, or the same seed would not give the same outcome.
        for page in unsynchronised.sorted() {
            let new = pages[page]
            if let damagePercent, random.next(below: 100) >= damagePercent {
                result[page] = new
                continue
            }
            if damagePercent != nil {
                if random.next(below: 2) == 0 { result[page] = torn(durablePages[page], new, random) }
                continue
            }
            switch random.next(below: 4) {
            case 0, 1: result[page] = new
            case 2: break
            default: result[page] = torn(durablePages[page], new, random)
            }
        }
        let sizes = [durableSize, size]
        pages = result
        unsynchronised = []
        size = max(durableSize, size)
        // Drops what lies behind the end if the shorter size was the one that survived.
        truncate(to: sizes[random.next(below: 2)])
        settle()
    }

    private func torn(_ old: [UInt8]?, _ new: [UInt8]?, _ random: any RandomSource) -> [UInt8] {
        let zeros: [UInt8] = Array(repeating: 0, count: Self.pageSize)
        var result = old ?? zeros
        let new = new ?? zeros
        for start in stride(from: 0, to: Self.pageSize, by: Self.sectorSize) where random.next(below: 2) == 0 {
            result.replaceSubrange(start..<start + Self.sectorSize, with: new[start..<start + Self.sectorSize])
        }
        return result
    }

    /// Makes everything durable as it is.
    func settle() {
        durablePages = pages
        durableSize = size
        unsynchronised = []
    }

    /// Changes a byte in cache and medium alike.
    func flip(at offset: Int, mask: UInt8) {
        let page = offset / Self.pageSize
        pages[page, default: Array(repeating: 0, count: Self.pageSize)][offset % Self.pageSize] ^= mask
        durablePages[page] = pages[page]
    }
}
