import Base

/// The open files of all consume queues and index files of a store: at most `capacity` of them, the least recently used are
/// closed. So 40,000 queues do not exhaust the descriptors of the process.
///
/// Closing a file here does not make it durable; that is `Disk.synchronizeAllInBackground`'s job.
public final class OpenFileCache {
    private struct Key: Hashable {
        var owner: Int
        var number: Int64
    }

    /// A place in the ring of places ordered by use.
    private struct Place {
        var key: Key
        var file: (any DiskFile)?
        var newer: Int
        var older: Int
    }

    public let capacity: Int
    private var places: [Place] = []
    private var placeOf: [Key: Int] = [:]
    private var freePlaces: [Int] = []
    private var newest = -1
    private var oldest = -1
    private var owners = 0
    /// Where queues put what they read before they decode it. One thread and one read at a time, so one is enough.
    let readBuffer: UnsafeMutableRawBufferPointer

    /// - Parameter capacity: open files at most.
    public init(capacity: Int = 1024) {
        precondition(capacity > 0)
        self.capacity = capacity
        // SAFETY: freed in deinit only, and never handed out beyond a call.
        readBuffer = .allocate(byteCount: 1024 * ConsumeQueueEntry.encodedSize, alignment: 16)
    }

    deinit { readBuffer.deallocate() }

    /// Open files now.
    public var count: Int { placeOf.count }

    /// A number that no other owner of files has.
    func makeOwner() -> Int {
        owners += 1
        return owners
    }

    /// The open file, which becomes the most recently used; nil when it is not open.
    func find(owner: Int, number: Int64) -> (any DiskFile)? {
        // Most reads and writes go to the file that the last one went to.
        if newest >= 0, places[newest].key == Key(owner: owner, number: number) { return places[newest].file }
        guard let place = placeOf[Key(owner: owner, number: number)] else { return nil }
        unlink(place)
        linkAsNewest(place)
        return places[place].file
    }

    /// Keeps an open file, and closes the least recently used one when there are too many.
    func insert(_ file: any DiskFile, owner: Int, number: Int64) {
        if placeOf.count >= capacity { remove(at: oldest) }
        let key = Key(owner: owner, number: number)
        precondition(placeOf[key] == nil, "a file was opened twice")
        let place = Place(key: key, file: file, newer: -1, older: -1)
        let index: Int
        if let free = freePlaces.popLast() {
            index = free
            places[index] = place
        } else {
            index = places.count
            places.append(place)
        }
        placeOf[key] = index
        linkAsNewest(index)
    }

    /// Closes one file if it is open.
    func remove(owner: Int, number: Int64) {
        if let place = placeOf[Key(owner: owner, number: number)] { remove(at: place) }
    }

    /// Closes everything.
    public func removeAll() {
        while oldest >= 0 { remove(at: oldest) }
    }

    private func remove(at place: Int) {
        unlink(place)
        places[place].file?.close()
        places[place].file = nil
        placeOf[places[place].key] = nil
        freePlaces.append(place)
    }

    private func linkAsNewest(_ place: Int) {
        places[place].newer = -1
        places[place].older = newest
        if newest >= 0 { places[newest].newer = place } else { oldest = place }
        newest = place
    }

    private func unlink(_ place: Int) {
        let (newer, older) = (places[place].newer, places[place].older)
        if newer >= 0 { places[newer].older = older } else { newest = older }
        if older >= 0 { places[older].newer = newer } else { oldest = newer }
    }
}
