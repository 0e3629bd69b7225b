import Base

/// Messages of one queue between their pull and their acknowledgement, in queue order, and the offset that may be committed.
///
///     ── committed ──►│ acknowledged │ delivered │ acknowledged │ waiting … │── pulled to ──►
///                     ▲ first unacknowledged: where the group stands
///
/// - Invariant: the first entry is not acknowledged.
/// - Invariant: `nextWaiting` is the first waiting entry, or the end.
struct ProcessQueue {
    enum State: Equatable { case waiting, delivered, acknowledged }

    private struct Entry {
        var message: ReceivedMessage
        var state: State
        var deliveredAt = MonotonicTime(nanoseconds: 0)
        /// Was reported as stalled.
        var isStalled = false
    }

    private var entries: [Entry] = []
    /// Index of the first entry; those before it are gone.
    private var head = 0
    private var nextWaiting = 0
    /// Messages that are not acknowledged yet.
    private(set) var count = 0
    /// Of these, messages that were handed out.
    private(set) var deliveredCount = 0
    /// Bytes of their bodies.
    private(set) var bytes = 0
    /// The offset behind the newest message that was looked at, delivered or filtered out.
    private(set) var pulledTo: QueueOffset

    init(from offset: QueueOffset) { pulledTo = offset }

    /// The first offset that the group has not consumed.
    var commitOffset: QueueOffset { head < entries.count ? entries[head].message.queueOffset : pulledTo }

    /// Distance between the oldest and the newest message that is here.
    var span: Int64 {
        guard head < entries.count, let last = entries.last else { return 0 }
        return Int64(last.message.queueOffset.messages(since: entries[head].message.queueOffset))
    }

    var hasWaiting: Bool { nextWaiting < entries.count }

    /// Adds pulled messages, oldest first. Those at offsets that are here already are passed over.
    /// - Parameter nextOffset: where the next pull begins.
    mutating func append(_ messages: [ReceivedMessage], nextOffset: QueueOffset) {
        for message in messages {
            if let last = entries.last, message.queueOffset <= last.message.queueOffset { continue }
            // When nothing waits, `nextWaiting` is the end already.
            entries.append(Entry(message: message, state: .waiting))
            count += 1
            bytes += message.body.count
        }
        pulledTo = nextOffset
    }

    /// The oldest waiting message, which is delivered from now on.
    mutating func takeNext(at now: MonotonicTime = MonotonicTime(nanoseconds: 0)) -> ReceivedMessage? {
        guard nextWaiting < entries.count else { return nil }
        let index = nextWaiting
        entries[index].state = .delivered
        entries[index].deliveredAt = now
        entries[index].isStalled = false
        deliveredCount += 1
        skipTaken()
        return entries[index].message
    }

    /// Takes note that a message was consumed.
    /// - Returns: false when it is not here, or was acknowledged before.
    @discardableResult
    mutating func acknowledge(_ offset: QueueOffset) -> Bool {
        guard let index = index(of: offset), entries[index].state != .acknowledged else { return false }
        if entries[index].state == .delivered { deliveredCount -= 1 }
        entries[index].state = .acknowledged
        count -= 1
        bytes -= entries[index].message.body.count
        // Its bytes are needed no more, even while older messages keep the entry here.
        entries[index].message.body = []
        removeAcknowledged()
        return true
    }

    /// Makes a delivered message wait again, as delivered once more than before.
    mutating func putBack(_ offset: QueueOffset) {
        guard let index = takeBack(offset) else { return }
        entries[index].message.reconsumeTimes += 1
    }

    /// Makes a message wait again that was handed out and that nobody began to work on.
    /// - Returns: its index; nil when it is not out.
    @discardableResult
    mutating func takeBack(_ offset: QueueOffset) -> Int? {
        guard let index = index(of: offset), entries[index].state == .delivered else { return nil }
        entries[index].state = .waiting
        deliveredCount -= 1
        nextWaiting = min(nextWaiting, index)
        return index
    }

    /// A message that is here and not acknowledged.
    func message(at offset: QueueOffset) -> ReceivedMessage? {
        guard let index = index(of: offset), entries[index].state != .acknowledged else { return nil }
        return entries[index].message
    }

    /// Messages that were handed out at `limit` or before and are not answered; each is returned once.
    /// - Parameter firstOnly: whether to look no further than the oldest that is out.
    mutating func takeStalled(
        since limit: MonotonicTime, firstOnly: Bool = false
    ) -> [(message: ReceivedMessage, deliveredAt: MonotonicTime)] {
        guard deliveredCount > 0 else { return [] }
        var stalled: [(message: ReceivedMessage, deliveredAt: MonotonicTime)] = []
        for index in head..<entries.count {
            let entry = entries[index]
            guard entry.state == .delivered else { continue }
            if !entry.isStalled, entry.deliveredAt <= limit {
                entries[index].isStalled = true
                stalled.append((entry.message, entry.deliveredAt))
            }
            if firstOnly { break }
        }
        return stalled
    }

    // MARK: - Entries

    private func index(of offset: QueueOffset) -> Int? {
        var low = head
        var high = entries.count
        while low < high {
            let middle = (low + high) / 2
            if entries[middle].message.queueOffset < offset { low = middle + 1 } else { high = middle }
        }
        return low < entries.count && entries[low].message.queueOffset == offset ? low : nil
    }

    private mutating func skipTaken() {
        while nextWaiting < entries.count, entries[nextWaiting].state != .waiting { nextWaiting += 1 }
    }

    private mutating func removeAcknowledged() {
        while head < entries.count, entries[head].state == .acknowledged { head += 1 }
        skipTaken()
        // Moving the rest down costs its length, so wait until it is worth it.
        guard head > 64, head * 2 > entries.count || head == entries.count else { return }
        entries.removeFirst(head)
        nextWaiting -= head
        head = 0
    }
}
