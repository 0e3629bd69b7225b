import Base
import Bytes
import Model
import Telemetry

/// The store of one broker: the commit log, and the views that are folded from it (consume queues, message index, state).
///
/// Owned by the broker's thread. The life of a message here: ``append(_:to:)`` lays it out in memory; ``endTurn()`` hands
/// everything new to the kernel and then shows it to the views, so that nobody sees a message that a dead process would
/// forget; ``flushed`` follows when the medium has it. Recovery folds the same log into the same views (`Recovery/`).
///
/// Start reading at ``append(_:to:)``, then ``endTurn()``, then ``fetch(_:from:maximumCount:maximumSize:mayWait:into:matches:)``.
public final class MessageStore {
    public let configuration: StoreConfiguration
    let disk: any Disk
    let clock: any Clock
    let log: Log
    let files: OpenFileCache
    public let commitLog: CommitLog
    let index: MessageIndex?
    let stateView: any StateView

    @exclusivity(unchecked) private var topics = ByteKeyTable<StoredTopic>()
    @exclusivity(unchecked) private var appendedQueues = AppendedQueues()
    /// How far the queues reached at the last checkpoint.
    private var queueTable: QueueTable
    /// Queues with entries that are in no file yet.
    @exclusivity(unchecked) private var dirtyQueues: [StoredQueue] = []
    /// Those of them that the checkpoint under way has still to write.
    private var queuesToWrite: [StoredQueue] = []
    /// A change of state that somebody takes for made at the end of the turn is not written yet.
    @exclusivity(unchecked) private var hasAnsweredState = false
    /// Where the last change of state ends that somebody is told about: he must not hear of it before the log is written, or
    /// with synchronous flush flushed, up to here.
    @exclusivity(unchecked) public private(set) var answeredStateEnd = PhysicalOffset.zero
    /// Why the views do not have everything that is written, or nil: tried again at the end of each turn.
    private var viewsFailure: StorageError?
    /// Consume queue entries of records from here on are not trusted when a queue is loaded: they were written before a
    /// crash, and recovery has rebuilt those that count.
    private let trustedViewsOffset: PhysicalOffset?
    private let checkpointer: Checkpointer
    private let retention: Retention
    /// Whether the store was made by RocketMQ and its settings files have not been taken over yet.
    public private(set) var isForeign: Bool
    /// What the last start found.
    public let recovery: RecoverySummary
    /// What the disk has refused.
    public let faults: DiskFaults
    private let entryBuffer: UnsafeMutableBufferPointer<ConsumeQueueEntry>
    let scratch = ByteBuffer(capacity: 1024)
    /// What a selecting fetch has read last.
    let selectionPiece = ByteBuffer()
    private var lastFlush: MonotonicTime
    /// Held for its lock.
    private let lockFile: any DiskFile
    @exclusivity(unchecked) public internal(set) var metrics = StorageMetrics()

    /// Where the oldest record lies that must not expire, nil when none: asked before an expired segment is removed.
    public var firstNeeded: () throws(StorageError) -> PhysicalOffset? = { () throws(StorageError) in nil }

    /// Called when ``flushed`` has moved or the store has stopped: end a turn, and answer what waits for it.
    public var flushFinished: () -> Void {
        get { commitLog.flushFinished }
        set { commitLog.flushFinished = newValue }
    }

    init(recovered: RecoveredStore, log: Log, clock: any Clock) {
        configuration = recovered.configuration
        disk = recovered.disk
        self.clock = clock
        self.log = log
        files = recovered.files
        commitLog = recovered.commitLog
        index = recovered.index
        stateView = recovered.stateView
        topics = recovered.topics
        queueTable = recovered.queueTable
        dirtyQueues = topics.values.flatMap { $0.queues.compactMap { $0 } }.filter { $0.isListedAsDirty }
        trustedViewsOffset = recovered.trustedViewsOffset
        isForeign = recovered.isForeign
        recovery = recovered.summary
        faults = recovered.faults
        lockFile = recovered.lockFile
        lastFlush = clock.monotonic
        checkpointer = Checkpointer(recovered: recovered)
        retention = Retention(configuration: recovered.configuration.retention, clock: clock)
        entryBuffer = .allocate(capacity: FetchLimits.scanPiece)
        entryBuffer.initialize(
            repeating: ConsumeQueueEntry(physicalOffset: .zero, size: 0, tagsCode: 0))
        commitLog.drainTail = { [unowned self] () throws(StorageError) in
            if self.isSynchronous { try self.commitLog.flushNow() }
            try self.endTurn()
        }
    }

    deinit { entryBuffer.deallocate() }

    /// Where the oldest record begins.
    public var start: PhysicalOffset { commitLog.start }
    /// Where the next record will begin.
    public var end: PhysicalOffset { commitLog.end }
    public var flushed: PhysicalOffset { commitLog.flushed }
    public var written: PhysicalOffset { commitLog.written }
    /// Everything before is in the views: consumers see it.
    public var dispatched: PhysicalOffset { commitLog.dispatched }
    /// Whether an append counts as done, and is shown to consumers, only when it is on the medium.
    @inline(__always)
    private var isSynchronous: Bool { configuration.flushMode == .synchronous }
    /// What lies before may be shown to consumers: no crash that the flush mode promises to survive takes it from them again,
    /// so no offset ever shows two messages.
    @inline(__always)
    private var showable: PhysicalOffset { isSynchronous ? commitLog.flushed : commitLog.written }
    /// True while so much waits for a slow disk that producers should be held up: what they send would be refused.
    @inline(__always)
    public var isBehind: Bool { commitLog.isBehind(showable) }
    /// Why the store takes no appends, or nil.
    public var failure: DiskError? { commitLog.failure }

    // MARK: - Queues

    /// The queue, made when it has never been touched. Loads what its folder holds.
    public func queue(topic: String, _ queueID: QueueID) throws(StorageError) -> StoredQueue {
        let stored: StoredTopic
        if let known = topics[topic] {
            stored = known
        } else {
            stored = StoredTopic(name: topic)
            topics[topic] = stored
        }
        return try queue(of: stored, queueID)
    }

    private func queue(of topic: StoredTopic, _ queueID: QueueID) throws(StorageError) -> StoredQueue {
        let number = Int(queueID.rawValue)
        precondition(number >= 0 && number < Limits.queuesPerTopicMaximum, "no queue has the number \(number)")
        while topic.queues.count <= number { topic.queues.append(nil) }
        if let queue = topic.queues[number] { return queue }
        let queue = try StoredQueue.load(
            topic: topic, queueID: queueID, configuration: configuration, disk: disk, files: files,
            replayStart: trustedViewsOffset, maximum: queueTable.maximum(topic.name, queueID))
        if let loss = queue.loss { throw loss }
        topic.queues[number] = queue
        return queue
    }

    /// Forgets the topic's queues and removes their files. Its records stay in the log until their segments go.
    public func removeQueues(ofTopic name: String) throws(StorageError) {
        // What is on its way must arrive before the files go, or it would make them again; and the record that says so must
        // not be lost when the files are.
        try commitLog.flushNow()
        try endTurn()
        if let viewsFailure { throw viewsFailure }
        try withDisk { () throws(DiskError) in
            for queue in topics[name]?.queues.compactMap({ $0 }) ?? [] {
                try queue.consumeQueue.destroy()
                queue.isListedAsDirty = false
                dirtyQueues.removeAll { $0 === queue }
                queuesToWrite.removeAll { $0 === queue }
            }
            // Queues that were never touched since the start have files too.
            try TopicFolder.remove(root: configuration.root, topic: name, disk: disk)
        }
        topics[name] = nil
        queueTable.remove(name)
    }

    /// Runs `body` and turns what the disk refused into an error of the store.
    @inline(__always)
    private func withDisk<R>(_ body: () throws(DiskError) -> R) throws(StorageError) -> R {
        do {
            return try body()
        } catch {
            throw StorageError(error)
        }
    }

    // MARK: - Append

    /// Where an appended message is.
    public struct Appended: Equatable, Sendable {
        public var queueOffset: QueueOffset
        public var physicalOffset: PhysicalOffset
        /// The first offset of the log behind the record: the message is written, or flushed, when that watermark is here.
        public var end: PhysicalOffset
    }

    /// Gives the message its offsets and lays it out at the end of the log.
    ///
    /// On return it is in memory only. It is in the page cache after the next ``endTurn()``, and visible to consumers then, or
    /// with synchronous flush after the next one that finds it ``flushed``.
    /// - Parameter draft: its queue id is taken from `queue`. A `PendingID` as its prepared transaction offset tells the
    ///   state view at once that this pending record is settled.
    /// - Throws: ``StorageError``; nothing was appended.
    @inline(__always)
    public func append(_ draft: consuming MessageDraft, to queue: StoredQueue) throws(StorageError) -> Appended {
        queue.lookAhead()
        draft.queueID = queue.queueID
        let queueOffset = queue.nextOffset
        let settled = PendingID(field: draft.preparedTransactionOffset)
        let offset = try commitLog.append(draft, queueOffset: queueOffset, storeTimestamp: clock.timestamp)
        queue.nextOffset = queueOffset.advanced(by: 1)
        queue.consumeQueue.lookAhead()
        appendedQueues.append(queue)
        if let settled { settle(settled) }
        return Appended(queueOffset: queueOffset, physicalOffset: offset, end: commitLog.end)
    }

    @inline(never)
    private func settle(_ pending: PendingID) {
        checkpointer.stateChanged()
        stateView.settle(pending)
    }

    /// Appends a state record and gives it to the state view.
    ///
    /// - Parameter isAnswered: whether somebody is told at the end of the turn that the change is made. It is written on this
    ///   thread then, even if the disk makes writers wait.
    /// - Throws: ``StorageError``; then nothing was appended and the view is as before.
    public func appendState(_ record: RawSpan, isAnswered: Bool) throws(StorageError) {
        let topic = Array(SystemTopics.state.utf8)
        let draft = MessageDraft(topic: topic.span.bytes, body: record, properties: RawSpan())
        _ = try commitLog.append(draft, queueOffset: .zero, storeTimestamp: clock.timestamp)
        checkpointer.stateChanged()
        if isAnswered {
            hasAnsweredState = true
            answeredStateEnd = commitLog.end
        }
        do {
            try stateView.apply(record)
        } catch {
            preconditionFailure("the state view does not take its own record: \(error.reason)")
        }
    }

    // MARK: - The end of a turn

    /// Hands everything that was appended to the kernel, and shows what is written to the views. While the disk makes writers
    /// wait, ``written`` and the views follow in later turns. With synchronous flush it begins to make everything durable, and
    /// shows what is ``flushed``: call it again from ``flushFinished``.
    ///
    /// When the views have no room on the disk, what they lack stays invisible until a later turn finds room, and messages are
    /// refused meanwhile (``isWritable``).
    /// - Throws: ``StorageError/stopped(_:)``: nothing that is only in memory must be acknowledged.
    public func endTurn() throws(StorageError) {
        if hasAnsweredState {
            try commitLog.writeNow()
            hasAnsweredState = false
        } else {
            try commitLog.writeOut()
        }
        if isSynchronous { flush() }
        do {
            try dispatch()
            viewsFailure = nil
        } catch {
            if case .disk(let error) = error, error.kind != .tooManyOpenFiles { throw commitLog.fail(error) }
            if viewsFailure == nil { log.error("messages stay invisible", ["error": error.description]) }
            viewsFailure = error
        }
    }

    /// Makes everything written durable in the background, unless that is under way already.
    public func flush() { commitLog.flushInBackground() }

    /// With synchronous flush: begins to make durable what has been appended when that is a good deal and nothing else is being
    /// flushed. Call it between requests. The rest of the turn is worked on meanwhile, and so are the requests that its answers
    /// bring while the rest is flushed: thread and medium take turns no longer.
    /// - Throws: ``StorageError/stopped(_:)``, as ``endTurn()``.
    @inline(__always)
    public func flushEarly() throws(StorageError) {
        guard isSynchronous, commitLog.isWorthFlushing else { return }
        try commitLog.writeOut()
        flush()
    }

    /// Shows the views every record that may be shown and that they have not seen.
    private func dispatch() throws(StorageError) {
        let end = showable
        defer { appendedQueues.compact() }
        while dispatched < end {
            guard let (buffer, start) = commitLog.unread(from: dispatched) else {
                preconditionFailure("a record at \(dispatched) left memory before the views saw it")
            }
            let count = min(buffer.count - start, end.bytes(since: dispatched))
            let span = buffer.bytes.extracting(start..<start + count)
            var position = 0
            var queue: StoredQueue?
            var ofQueue = 0
            while position < span.byteCount {
                let rest = span.extracting(position..<span.byteCount)
                if rest.bigEndian(at: 4, as: UInt32.self) == MessageRecord.blankMagic {
                    commitLog.dispatched = dispatched.advanced(by: Int(rest.bigEndian(at: 0, as: Int32.self)))
                    break
                }
                guard let record = try? MessageRecord(rest) else {
                    preconditionFailure("a record of the log's tail does not decode")
                }
                // A state record is in no queue.
                if !rest.extracting(record.topic).equals("rmq_sys_APUS_STATE") {
                    if ofQueue == 0 { (queue, ofQueue) = appendedQueues.first }
                    guard let queue, queue.queueID == record.queueID else {
                        preconditionFailure("the record at \(dispatched) is of another queue than was appended to")
                    }
                    try dispatch(record, rest, to: queue)
                    appendedQueues.removeFirst()
                    ofQueue -= 1
                }
                position += record.size
                commitLog.dispatched = dispatched.advanced(by: record.size)
            }
        }
        try withDisk { () throws(DiskError) in try index?.putWaiting() }
    }

    @inline(__always)
    private func dispatch(_ record: MessageRecord, _ span: RawSpan, to queue: StoredQueue) throws(StorageError) {
        if let tagsCode = try ViewFold.fold(record, span, into: queue, index: index) {
            if !queue.isListedAsDirty, queue.consumeQueue.isDirty {
                queue.isListedAsDirty = true
                dirtyQueues.append(queue)
            }
            queue.observer?.messageVisible(
                in: queue, tagsCode: tagsCode, properties: span.extracting(record.properties))
        }
        metrics.messagesDispatched += 1
    }

    // MARK: - Fetch

    /// Appends the records of messages from `offset` on to `buffer`, as many as the limits of one answer allow.
    ///
    /// - Parameter maximumCount: what the client asks; see ``FetchLimits`` for the other limits.
    /// - Parameter maximumSize: bytes of records that may be appended, if that is less; the first goes out whatever its size.
    /// - Parameter mayWait: whether to block for records that are on the medium only: true after a ``prefetch(_:_:)``, for
    ///   some file systems never tell whether a read would block.
    /// - Parameter matches: whether a message with this hash of its tag is wanted.
    /// - Returns: what was found; with ``FetchStatus/cold`` nothing was appended, and the records must be brought from the
    ///   medium first: ``prefetch(_:_:)``.
    public func fetch(
        _ queue: StoredQueue, from offset: QueueOffset, maximumCount: Int, maximumSize: Int = .max, mayWait: Bool,
        into buffer: ByteBuffer, matches: (Int64) -> Bool
    ) throws(StorageError) -> FetchResult {
        let minimum = try minimumOffset(of: queue)
        let maximum = queue.maximumOffset
        var result = FetchResult(nextOffset: offset, minimumOffset: minimum, maximumOffset: maximum)
        if let status = FetchStatus.outside(offset, minimum: minimum, maximum: maximum) {
            result.status = status
            result.nextOffset = status.nextOffset(after: offset, minimum: minimum, maximum: maximum)
            return result
        }
        result.status = .noMatchedMessage
        var scanned = 0
        var mended: QueueOffset?
        let scanMaximum = FetchLimits.scanCount(maximumCount: maximumCount)
        let asked = AskedLimits(count: maximumCount, size: maximumSize)
        scan: while scanned < scanMaximum {
            let entries = try entries(of: queue, from: offset.advanced(by: scanned), atMost: scanMaximum - scanned)
            guard !entries.isEmpty else { break }
            var index = 0
            while index < entries.count {
                let entry = entries[index]
                result.nextOffset = offset.advanced(by: scanned + index)
                if isFull(result, adding: entry, asked) { return result }
                // A blank entry has no tag either, and a damaged hash says nothing: nobody may pass a message over for that.
                if entry.hasRecord {
                    if matches(entry.tagsCode) {
                        let served = try serve(
                            entries, index, of: queue, result, asked, mayWait: mayWait, into: buffer, matches: matches)
                        if served.isCold {
                            // What is there goes out now; the next pull finds the cold record first.
                            if result.messageCount == 0 {
                                result.status = .cold
                                result.coldOffset = entry.physicalOffset
                            }
                            return result
                        }
                        if served.count > 0 {
                            result.messageCount += served.count
                            result.byteCount += served.size
                            result.status = .found
                            index += served.count
                            continue
                        }
                    } else if entry.hasTagsCode || !queue.topic.isTagged {
                        index += 1
                        continue
                    }
                }
                // No whole record of this message. What is there goes out now; the next pull comes here first.
                if result.messageCount > 0 { return result }
                switch try passOver(entry, of: queue, at: result.nextOffset, &mended) {
                case .absent:
                    result.status = .messageWasRemoving
                    index += 1
                case .mended:
                    scanned += index
                    continue scan
                case .looking(let place):
                    result.status = .cold
                    result.coldOffset = place
                    return result
                }
            }
            scanned += entries.count
        }
        result.nextOffset = offset.advanced(by: scanned)
        return result
    }

    /// The next entries of the queue, at most ``FetchLimits/scanPiece`` at once. Overwritten by the next call.
    func entries(
        of queue: StoredQueue, from offset: QueueOffset, atMost count: Int
    ) throws(StorageError) -> UnsafeMutableBufferPointer<ConsumeQueueEntry> {
        let wanted = min(count, entryBuffer.count)
        let found = try withDisk { () throws(DiskError) in
            try queue.consumeQueue.read(from: offset, maximumCount: wanted, into: entryBuffer).count
        }
        return UnsafeMutableBufferPointer(rebasing: entryBuffer[..<found])
    }

    @inline(__always)
    func isFull(
        _ result: FetchResult, adding entry: ConsumeQueueEntry, _ asked: AskedLimits
    ) -> Bool {
        let size = Int(entry.size)
        if result.messageCount > 0, result.byteCount + size > asked.size { return true }
        return FetchLimits.isFull(
            result, adding: size, maximumCount: asked.count, isOld: isOld(entry.physicalOffset),
            limits: configuration.fetchLimits)
    }

    /// How many wanted records from an entry on lie one behind the other and fit the answer: they are read in one piece. One
    /// when the record is in memory, where pieces are as cheap as a whole.
    private func run(
        of entries: UnsafeMutableBufferPointer<ConsumeQueueEntry>, from index: Int, _ result: FetchResult,
        _ asked: AskedLimits, matches: (Int64) -> Bool
    ) -> (count: Int, size: Int) {
        let first = entries[index]
        var size = Int(first.size)
        guard size > 0, !commitLog.isInMemory(first.physicalOffset, size: size) else { return (1, size) }
        var ahead = result
        var next = index + 1
        while next < entries.count {
            ahead.messageCount += 1
            ahead.byteCount = result.byteCount + size
            let entry = entries[next]
            // A damaged entry may say anything, so the distance is taken without a trap.
            guard entry.size > 0, entry.physicalOffset.rawValue &- first.physicalOffset.rawValue == Int64(size),
                matches(entry.tagsCode), !isFull(ahead, adding: entry, asked),
                !commitLog.isInMemory(entry.physicalOffset, size: Int(entry.size))
            else { break }
            size += Int(entry.size)
            next += 1
        }
        return (next - index, size)
    }

    /// What a client asks of one answer, beside ``FetchLimits``.
    struct AskedLimits {
        var count: Int
        var size: Int
    }

    /// What ``serve(_:_:of:_:_:mayWait:into:matches:)`` appended.
    private struct Served {
        var count = 0
        var size = 0
        var isCold = false
    }

    /// Appends the records of the run of entries that begins at `index`, up to the first that is not whole.
    private func serve(
        _ entries: UnsafeMutableBufferPointer<ConsumeQueueEntry>, _ index: Int, of queue: StoredQueue,
        _ result: FetchResult, _ asked: AskedLimits, mayWait: Bool, into buffer: ByteBuffer, matches: (Int64) -> Bool
    ) throws(StorageError) -> Served {
        let first = entries[index]
        // So much is not read, nor room made for it, on the word of an entry alone.
        if first.size > FetchLimits.trustedSize, try !isHeadThere(first, of: queue, at: result.nextOffset) {
            return Served()
        }
        var run = run(of: entries, from: index, result, asked, matches: matches)
        var outcome = try commitLog.read(at: first.physicalOffset, size: run.size, mayWait: mayWait, into: buffer)
        if outcome == .outside, run.count > 1 {
            // A damaged entry may have made the run longer than the log.
            run = (1, Int(first.size))
            outcome = try commitLog.read(at: first.physicalOffset, size: run.size, mayWait: mayWait, into: buffer)
        }
        switch outcome {
        case .cold: return Served(isCold: true)
        case .outside: return Served()
        case .done:
            return checkServed(
                entries, index..<index + run.count, size: run.size, of: queue, result.nextOffset, in: buffer)
        }
    }

    /// Records that come from a file are checked before they leave: damaged bytes are never served, nor is a record that a
    /// damaged entry leads to. What is behind the first that is not whole is taken from the buffer again.
    /// - Parameter size: the size of all records of `range`, which are the last bytes of `buffer`.
    /// - Parameter offset: of the first of them in the queue.
    private func checkServed(
        _ entries: UnsafeMutableBufferPointer<ConsumeQueueEntry>, _ range: Range<Int>, size: Int, of queue: StoredQueue,
        _ offset: QueueOffset, in buffer: ByteBuffer
    ) -> Served {
        let begin = buffer.count - size
        var served = Served()
        for entry in entries[range] {
            let start = begin + served.size
            let span = buffer.bytes.extracting(start..<start + Int(entry.size))
            guard isServable(entry, span, of: queue, at: offset.advanced(by: served.count)) else {
                buffer.truncate(to: start)
                break
            }
            served.count += 1
            served.size += Int(entry.size)
        }
        return served
    }

    /// Whether the bytes are the whole record of the message at `offset` of the queue.
    func isServable(
        _ entry: ConsumeQueueEntry, _ span: RawSpan, of queue: StoredQueue, at offset: QueueOffset
    ) -> Bool {
        guard Self.isHead(span, entry, of: queue, at: offset) else { return false }
        // What was appended a moment ago is not decoded again for this.
        if commitLog.isInMemory(entry.physicalOffset, size: span.byteCount) { return true }
        guard let record = try? MessageRecord(span) else { return false }
        let name = queue.topic.nameBytes
        return span.extracting(record.topic).equals(name.span.bytes) && RecordCheck.isIntact(record, in: span)
    }

    /// Whether the first bytes are those of the record that the entry is for: then it is right, whatever comes behind.
    static func isHead(
        _ span: RawSpan, _ entry: ConsumeQueueEntry, of queue: StoredQueue, at offset: QueueOffset
    ) -> Bool {
        span.byteCount >= MessageRecord.sizeMinimum && span.bigEndian(at: 0, as: Int32.self) == entry.size
            && span.bigEndian(at: MessageRecord.physicalOffsetPosition, as: Int64.self) == entry.physicalOffset.rawValue
            && span.bigEndian(at: MessageRecord.queueOffsetPosition, as: Int64.self) == offset.rawValue
            && span.bigEndian(at: MessageRecord.queueIDPosition, as: Int32.self) == queue.queueID.rawValue
    }

    func isOld(_ offset: PhysicalOffset) -> Bool {
        offset < commitLog.end.advanced(by: -configuration.hotRangeBytes)
    }

    /// Brings what a fetch found ``FetchStatus/cold`` into the page cache, and calls `completion` in a later turn.
    public func prefetch(_ result: FetchResult, _ completion: @escaping () -> Void) {
        metrics.coldReads += 1
        commitLog.prefetchInBackground(result.coldOffset, size: FetchLimits.prefetchSize, completion)
    }

    /// The offset of the oldest message that is still there.
    public func minimumOffset(of queue: StoredQueue) throws(StorageError) -> QueueOffset {
        if !queue.isFrontKnown { try findFront(of: queue) }
        return try withDisk { () throws(DiskError) in try queue.minimumOffset(logStart: commitLog.start) }
    }

    /// The first offset whose message was stored at `timestamp` or later: the minimum when all are later, the maximum when
    /// none is.
    public func offset(in queue: StoredQueue, storedAtOrAfter timestamp: Timestamp) throws(StorageError) -> QueueOffset
    {
        _ = try minimumOffset(of: queue)
        return try withDisk { () throws(DiskError) in
            try queue.consumeQueue.offset(storedAtOrAfter: timestamp) { entry, offset in
                try? self.storeTimestamp(entry, of: queue, at: offset)
            }
        }
    }

    /// When the oldest message of the queue was stored; nil when it holds none.
    public func earliestStoreTimestamp(of queue: StoredQueue) throws(StorageError) -> Timestamp? {
        let minimum = try minimumOffset(of: queue)
        return try storeTimestamp(in: queue, at: minimum)
    }

    /// When the message at `offset` of the queue was stored; nil when there is none.
    public func storeTimestamp(in queue: StoredQueue, at offset: QueueOffset) throws(StorageError) -> Timestamp? {
        _ = try minimumOffset(of: queue)
        let entry = try withDisk { () throws(DiskError) in try queue.consumeQueue.entry(at: offset) }
        guard let entry else { return nil }
        return try storeTimestamp(entry, of: queue, at: offset)
    }

    /// When the message of an entry was stored; nil when the entry does not lead to it. Reads no more than the head of a record,
    /// whatever size the entry says.
    private func storeTimestamp(
        _ entry: ConsumeQueueEntry, of queue: StoredQueue, at offset: QueueOffset
    ) throws(StorageError) -> Timestamp? {
        guard try isHeadThere(entry, of: queue, at: offset) else { return nil }
        let head = scratch
        return MessageRecord.storeTimestamp(ofRecordBeginningWith: head.bytes)
    }

    /// Appends the record that begins at `offset` to `buffer`, waiting for the medium if need be.
    /// - Returns: false, with nothing appended, when no whole record begins there.
    public func readRecord(at offset: PhysicalOffset, into buffer: ByteBuffer) throws(StorageError) -> Bool {
        try readRecord(at: offset, mayWait: true, into: buffer) == .done
    }

    /// How reading one record went.
    public enum RecordOutcome: Equatable, Sendable {
        case done
        /// The record is on the medium only: ``prefetchRecord(at:_:)``, then read again.
        case cold
        /// No whole record begins there.
        case missing
    }

    /// Appends the record that begins at `offset` to `buffer`; nothing unless the outcome is ``RecordOutcome/done``.
    /// - Parameter mayWait: whether to block until the medium delivers, instead of answering ``RecordOutcome/cold``.
    public func readRecord(
        at offset: PhysicalOffset, mayWait: Bool, into buffer: ByteBuffer
    ) throws(StorageError) -> RecordOutcome {
        let scratch = scratch
        scratch.removeAll()
        switch try commitLog.read(at: offset, size: MessageRecord.sizeMinimum, mayWait: mayWait, into: scratch) {
        case .done: break
        case .cold: return .cold
        case .outside: return .missing
        }
        let size = Int(scratch.bytes.bigEndian(at: 0, as: Int32.self))
        let magic = scratch.bytes.bigEndian(at: 4, as: UInt32.self)
        guard magic == MessageRecord.magicV1 || magic == MessageRecord.magicV2, size >= MessageRecord.sizeMinimum,
            size <= min(configuration.segmentSize, Limits.recordSizeMaximum),
            scratch.bytes.bigEndian(at: MessageRecord.physicalOffsetPosition, as: Int64.self) == offset.rawValue
        else { return .missing }
        let begin = buffer.count
        switch try commitLog.read(at: offset, size: size, mayWait: mayWait, into: buffer) {
        case .done: break
        case .cold: return .cold
        case .outside: return .missing
        }
        let span = buffer.bytes.extracting(begin..<buffer.count)
        guard let record = try? MessageRecord(span), record.physicalOffset == offset,
            RecordCheck.isIntact(record, in: span), !record.flags.contains(.setAside)
        else {
            buffer.truncate(to: begin)
            return .missing
        }
        return .done
    }

    /// Bytes from a prefetched offset on that are in the page cache then.
    public static let prefetchedSize = FetchLimits.prefetchSize

    /// Brings the record at `offset`, which was ``RecordOutcome/cold``, and what follows it into the page cache, and calls
    /// `completion` in a later turn.
    public func prefetchRecord(at offset: PhysicalOffset, _ completion: @escaping () -> Void) {
        metrics.coldReads += 1
        commitLog.prefetchInBackground(offset, size: FetchLimits.prefetchSize, completion)
    }

    /// The entry of the queue at `offset`; nil when the queue has no message there, or none that is visible. One that is
    /// damaged is made anew from the log before.
    public func entry(of queue: StoredQueue, at offset: QueueOffset) throws(StorageError) -> ConsumeQueueEntry? {
        guard let entry = try storedEntry(of: queue, at: offset), !entry.isSetAside,
            try offset >= minimumOffset(of: queue), try !isHeadThere(entry, of: queue, at: offset, mayWait: false)
        else { return try storedEntry(of: queue, at: offset) }
        do throws(StorageError) {
            return try mendNow(queue, at: offset) == .mended ? try storedEntry(of: queue, at: offset) : nil
        } catch .corrupt {
            // Reading the record says what is damaged.
            return entry
        }
    }

    func storedEntry(of queue: StoredQueue, at offset: QueueOffset) throws(StorageError) -> ConsumeQueueEntry? {
        try withDisk { () throws(DiskError) in try queue.consumeQueue.entry(at: offset) }
    }

    /// Where the newest messages of a topic with this key are, in the order of the log.
    /// - Parameter maximumCount: how many at the most.
    public func query(
        topic: RawSpan, key: RawSpan, from begin: Timestamp, to end: Timestamp, maximumCount: Int
    ) throws(StorageError) -> [PhysicalOffset] {
        guard let index else { return [] }
        do {
            // The newest are found first and the oldest answered first, as RocketMQ does.
            var found = try index.query(topic: topic, key: key, from: begin, to: end, maximumCount: maximumCount)
                .sorted()
            // A record whose keys were put twice, because the disk was full in between, is found twice.
            var last: PhysicalOffset?
            found.removeAll { offset in
                defer { last = offset }
                return offset == last
            }
            return found
        } catch {
            throw StorageError(error)
        }
    }

    /// The newest record with a key, and when it was stored; zero when there is none.
    public var lastIndexed: (offset: PhysicalOffset, timestamp: Timestamp) {
        guard let last = index?.last else { return (.zero, Timestamp(milliseconds: 0)) }
        return (last.physicalOffset, last.storeTimestamp)
    }

    /// Whether the record at `offset` is not counted as old (``StoreConfiguration/hotRangeBytes``); true for a queue that
    /// holds nothing yet.
    public func isRecent(_ queue: StoredQueue, at offset: QueueOffset) throws(StorageError) -> Bool {
        let entry = try withDisk { () throws(DiskError) in try queue.consumeQueue.entry(at: offset) }
        guard let entry else { return true }
        return !isOld(entry.physicalOffset)
    }

    // MARK: - Housekeeping

    /// Does what is due: checkpoints, retention, asynchronous flush. Call it from a timer, some twenty times a second; each
    /// call does a bounded piece of work.
    public func keepHouse() throws(StorageError) {
        let now = clock.monotonic
        if now.milliseconds(since: lastFlush) >= configuration.flushIntervalMilliseconds {
            lastFlush = now
            flush()
        }
        // Before the checkpoint: it makes the room that the checkpoint may lack.
        try retention.step(self)
        try checkpointer.step(self)
    }

    /// Log bytes before this offset are needed for no recovery.
    var recoverableWithout: PhysicalOffset { checkpointer.recoverableWithout }

    /// Notes which queues have entries that are in no file: those that ``writeQueueTails(atMost:)`` writes. Entries that come
    /// later list their queue anew, so that a round ends however many come.
    func beginWritingQueueTails() {
        for queue in dirtyQueues { queue.isListedAsDirty = false }
        queuesToWrite += dirtyQueues
        dirtyQueues.removeAll(keepingCapacity: true)
    }

    /// How far every queue reaches now.
    func tableOfQueues() -> QueueTable {
        for topic in topics.values { queueTable.update(topic) }
        return queueTable
    }

    /// Writes the tails of up to `count` of the queues noted; false when none is left.
    func writeQueueTails(atMost count: Int) throws(StorageError) -> Bool {
        for _ in 0..<min(count, queuesToWrite.count) {
            guard let queue = queuesToWrite.last else { break }
            // Taken off the list only when it is written: a checkpoint must not count it in otherwise.
            try withDisk { () throws(DiskError) in try queue.consumeQueue.writeTail() }
            queuesToWrite.removeLast()
        }
        return !queuesToWrite.isEmpty
    }

    /// Writes a piece of the message index; false when nothing is left.
    func writeIndex(maximumBytes: Int) throws(StorageError) -> Bool {
        guard let index else { return false }
        return try withDisk { () throws(DiskError) in try !index.writeBack(maximumBytes: maximumBytes) }
    }

    func removeIndexFiles(below logStart: PhysicalOffset) throws(StorageError) {
        try withDisk { () throws(DiskError) in try index?.removeFiles(below: logStart) }
    }

    /// Removes segments that have expired, whatever the hour of the day; as many as one round may.
    public func removeExpiredSegments() throws(StorageError) { try retention.removeExpired(self) }

    /// False while the disk is too full, or after an I/O error.
    public var isWritable: Bool { commitLog.failure == nil && !retention.refusesMessages && viewsFailure == nil }

    /// Whether messages are refused because the disk is too full.
    public var refusesForSpace: Bool { retention.refusesMessages }
    /// Why the views do not have everything that is written; nil when they do.
    public var viewsError: StorageError? { viewsFailure }

    /// The state of a store that RocketMQ wrote is in the log now.
    public func foreignStateAdopted() { isForeign = false }

    /// Makes everything durable and marks the stop as clean. The store must not be used afterwards.
    public func close() throws(StorageError) {
        try commitLog.flushNow()
        try endTurn()
        if let viewsFailure { throw viewsFailure }
        beginWritingQueueTails()
        while try writeQueueTails(atMost: 1024) {}
        try checkpointer.finish(self)
        lockFile.close()
    }
}
