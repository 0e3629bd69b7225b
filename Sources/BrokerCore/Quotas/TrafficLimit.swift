import Base
import Model

/// What one topic, group or client may still send, or pull, now.
public final class TrafficLimit {
    @exclusivity(unchecked) private var messages = TokenBucket()
    @exclusivity(unchecked) private var bytes = TokenBucket()
    /// What waits for it.
    @exclusivity(unchecked) fileprivate var waitingCount = 0
    @exclusivity(unchecked) fileprivate var waitingMessages: Int64 = 0
    @exclusivity(unchecked) fileprivate var waitingBytes: Int64 = 0
    /// The round in which the first that waits for it found too little: those behind it need not ask.
    @exclusivity(unchecked) fileprivate var refusedRound = 0

    init(_ rate: TrafficRate) { set(rate) }

    func set(_ rate: TrafficRate) {
        messages.setRate(rate.messages)
        bytes.setRate(rate.bytes)
    }

    /// Nanoseconds until the request may pass, behind what waits already.
    fileprivate func wait(for request: borrowing QuotaRequest, now: MonotonicTime) -> Int64 {
        let wait = max(
            messages.wait(for: request.messages, ahead: waitingMessages, now: now),
            bytes.wait(for: request.bytes, ahead: waitingBytes, now: now))
        return waitingCount > 0 ? max(1, wait) : wait
    }

    /// The same for the first of those that wait.
    fileprivate func waitOfFirst(_ request: borrowing QuotaRequest, now: MonotonicTime) -> Int64 {
        max(
            messages.wait(for: request.messages, ahead: 0, now: now),
            bytes.wait(for: request.bytes, ahead: 0, now: now))
    }

    func take(messages: Int64, bytes: Int64, now: MonotonicTime) {
        self.messages.take(messages, now: now)
        self.bytes.take(bytes, now: now)
    }

    func available(_ now: MonotonicTime) -> (messages: Int64, bytes: Int64) {
        (messages.available(now), bytes.available(now))
    }

    /// True when a new one would say the same.
    func isIdle(_ now: MonotonicTime) -> Bool { waitingCount == 0 && messages.isFull(now) && bytes.isFull(now) }

    fileprivate func enqueue(_ request: borrowing QuotaRequest) {
        waitingCount += 1
        waitingMessages += request.messages
        waitingBytes += request.bytes
    }

    fileprivate func dequeue(_ request: borrowing QuotaRequest) {
        waitingCount -= 1
        waitingMessages -= request.messages
        waitingBytes -= request.bytes
    }
}

/// Messages that ask to pass up to three limits: a topic's, a group's and a client's.
public struct QuotaRequest {
    var topic: TrafficLimit?
    var group: TrafficLimit?
    var client: TrafficLimit?
    var messages: Int64
    var bytes: Int64
    /// False when what it needs is known, and taken, later: a pull only asks whether anything is left.
    private let takes: Bool
    /// Which of the limits it waits for.
    fileprivate var waitsForTopic = false
    fileprivate var waitsForGroup = false
    fileprivate var waitsForClient = false

    public init(
        topic: TrafficLimit?, group: TrafficLimit? = nil, client: TrafficLimit?, messages: Int, bytes: Int,
        takes: Bool = true
    ) {
        self.topic = topic
        self.group = group
        self.client = client
        self.messages = Int64(messages)
        self.bytes = Int64(bytes)
        self.takes = takes
    }

    public var isLimited: Bool { topic != nil || group != nil || client != nil }

    /// Asks to pass, behind all that wait.
    /// - Returns: 0 when it has passed, and what it needs has been taken; else the nanoseconds that it would have to wait.
    ///   It does not wait yet.
    mutating func ask(now: MonotonicTime) -> Int64 {
        let topicWait = topic?.wait(for: self, now: now) ?? 0
        let groupWait = group?.wait(for: self, now: now) ?? 0
        let clientWait = client?.wait(for: self, now: now) ?? 0
        let wait = max(topicWait, max(groupWait, clientWait))
        guard wait > 0 else {
            if takes { take(messages: messages, bytes: bytes, now: now) }
            return 0
        }
        waitsForTopic = topicWait > 0
        waitsForGroup = groupWait > 0
        waitsForClient = clientWait > 0
        return wait
    }

    /// Begins to wait for the limits that stood in its way.
    public func enqueue() {
        if waitsForTopic { topic?.enqueue(self) }
        if waitsForGroup { group?.enqueue(self) }
        if waitsForClient { client?.enqueue(self) }
    }

    /// Waits no longer.
    public mutating func dequeue() {
        if waitsForTopic { topic?.dequeue(self) }
        if waitsForGroup { group?.dequeue(self) }
        if waitsForClient { client?.dequeue(self) }
        waitsForTopic = false
        waitsForGroup = false
        waitsForClient = false
    }

    /// Asks again, as one of those that wait: in each round the oldest asks first, and nobody passes it.
    /// - Returns: whether it has passed; it waits no longer then.
    mutating func askAgain(round: Int, now: MonotonicTime) -> Bool {
        // Each limit is asked, so that those behind know.
        var passes = true
        for limit in [topic, group, client] {
            guard let limit else { continue }
            if limit.refusedRound == round {
                passes = false
            } else if limit.waitOfFirst(self, now: now) > 0 {
                limit.refusedRound = round
                passes = false
            }
        }
        guard passes else { return false }
        dequeue()
        if takes { take(messages: messages, bytes: bytes, now: now) }
        return true
    }

    /// What all its limits would let through now.
    func available(_ now: MonotonicTime) -> (messages: Int64, bytes: Int64) {
        var least = (messages: Int64.max, bytes: Int64.max)
        for limit in [topic, group, client] {
            guard let (messages, bytes) = limit?.available(now) else { continue }
            least = (min(least.messages, messages), min(least.bytes, bytes))
        }
        return least
    }

    func take(messages: Int64, bytes: Int64, now: MonotonicTime) {
        topic?.take(messages: messages, bytes: bytes, now: now)
        group?.take(messages: messages, bytes: bytes, now: now)
        client?.take(messages: messages, bytes: bytes, now: now)
    }
}
