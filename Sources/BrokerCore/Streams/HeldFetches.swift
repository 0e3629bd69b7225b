import Base
import Bytes
import Storage

/// A fetch that waits for messages: a long poll.
///
/// The frontend fills in what it needs to run the fetch again in a subclass or in ``waiter``; the broker only wakes it.
public final class HeldFetch {
    public let queue: StoredQueue
    let filter: MessageFilter
    /// The offset that a new message must have, or exceed, to be of interest.
    let offset: QueueOffset
    /// The first message that the filter lets pass, once one has come: those before it need not be looked at again.
    public fileprivate(set) var found: QueueOffset?
    let deadline: MonotonicTime
    let waiter: any FetchWaiter
    /// What the waiter knows it by.
    public let token: Int
    fileprivate var isHeld = true
    /// Where it stands in its slot of the wheel, so that it can be taken out at once.
    fileprivate var slot = 0
    fileprivate var position = 0
    /// Where it stands among those that wait for its queue.
    fileprivate var place = 0

    init(
        queue: StoredQueue, filter: MessageFilter, offset: QueueOffset, deadline: MonotonicTime,
        waiter: any FetchWaiter, token: Int
    ) {
        self.queue = queue
        self.filter = filter
        self.offset = offset
        self.deadline = deadline
        self.waiter = waiter
        self.token = token
    }
}

/// Somebody whose fetch is held.
public protocol FetchWaiter: AnyObject {
    /// A message that the fetch wants is visible (`isExpired` false), or its time is up (true). It is held no longer.
    func wake(_ fetch: HeldFetch, isExpired: Bool)
}

/// All fetches that wait, by queue and by deadline.
///
/// A new message marks those that want it; they are woken together at the end of the turn. Deadlines lie in a wheel of 10 ms
/// slots, each fetch in one, so holding and releasing cost the same with ten and with a hundred thousand.
final class HeldFetches: StoredQueueObserver {
    /// Width of a slot: how late an expiry may be.
    static let slotMilliseconds: Int64 = 10
    /// Slots of the wheel; a deadline further away goes round more than once.
    static let slotCount = 4_096

    /// The fetches that wait for one queue.
    private final class Waiting {
        private(set) var fetches: [HeldFetch] = []

        func append(_ fetch: HeldFetch) {
            fetch.place = fetches.count
            fetches.append(fetch)
        }

        /// Takes one out; the last takes its place.
        func remove(at place: Int) {
            let last = fetches.removeLast()
            guard place < fetches.count else { return }
            fetches[place] = last
            last.place = place
        }
    }

    private var waiting: [ObjectIdentifier: Waiting] = [:]
    private var wheel = [[HeldFetch]](repeating: [], count: HeldFetches.slotCount)
    /// The slot up to which deadlines have been looked at.
    private var passed: Int64
    private var due: [HeldFetch] = []
    private(set) var count = 0

    init(now: MonotonicTime) { passed = Self.slotNumber(now) }

    private static func slotNumber(_ time: MonotonicTime) -> Int64 { time.nanoseconds / (slotMilliseconds * 1_000_000) }

    func hold(_ fetch: HeldFetch) {
        let key = ObjectIdentifier(fetch.queue)
        let waiting: Waiting
        if let known = self.waiting[key] {
            waiting = known
        } else {
            waiting = Waiting()
            self.waiting[key] = waiting
        }
        waiting.append(fetch)
        fetch.queue.observer = self
        // One slot later than the deadline's, so that none expires early.
        let number = max(Self.slotNumber(fetch.deadline), passed) + 1
        fetch.slot = Int(number % Int64(Self.slotCount))
        fetch.position = wheel[fetch.slot].count
        wheel[fetch.slot].append(fetch)
        count += 1
    }

    /// Takes a fetch out, because its client has gone. One that is not held any more is left alone.
    func release(_ fetch: HeldFetch) {
        guard fetch.isHeld else { return }
        take(fetch)
        guard let waiting = waiting[ObjectIdentifier(fetch.queue)] else { return }
        waiting.remove(at: fetch.place)
        if waiting.fetches.isEmpty { forget(fetch.queue) }
    }

    /// Marks as no longer held, and takes it from the wheel.
    private func take(_ fetch: HeldFetch) {
        fetch.isHeld = false
        count -= 1
        let last = wheel[fetch.slot].removeLast()
        if last !== fetch {
            wheel[fetch.slot][fetch.position] = last
            last.position = fetch.position
        }
    }

    private func forget(_ queue: StoredQueue) {
        waiting[ObjectIdentifier(queue)] = nil
        queue.observer = nil
    }

    func messageVisible(in queue: StoredQueue, tagsCode: Int64, properties: RawSpan) {
        guard let waiting = waiting[ObjectIdentifier(queue)] else { return }
        var index = 0
        while index < waiting.fetches.count {
            let fetch = waiting.fetches[index]
            guard queue.maximumOffset > fetch.offset, fetch.filter.matches(tagsCode, properties) else {
                index += 1
                continue
            }
            take(fetch)
            fetch.found = queue.maximumOffset.advanced(by: -1)
            due.append(fetch)
            waiting.remove(at: index)
        }
        if waiting.fetches.isEmpty { forget(queue) }
    }

    /// Wakes everybody whose message has come. A waiter may hold another fetch meanwhile.
    func wakeDue() {
        while !due.isEmpty {
            let fetches = due
            due.removeAll(keepingCapacity: true)
            for fetch in fetches { fetch.waiter.wake(fetch, isExpired: false) }
        }
    }

    /// Wakes everybody whose time is up.
    func expire(now: MonotonicTime) {
        let current = Self.slotNumber(now)
        // After a long pause one round over the wheel sees every slot.
        passed = max(passed, current - Int64(Self.slotCount))
        while passed < current {
            passed += 1
            for fetch in wheel[Int(passed % Int64(Self.slotCount))] where fetch.deadline <= now {
                release(fetch)
                fetch.waiter.wake(fetch, isExpired: true)
            }
        }
    }
}
