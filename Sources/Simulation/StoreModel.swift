/// What a broker was told, as a list of events at their places in the log; and from it, what the broker must know.
///
/// The log is all that counts: after a crash the events beyond its end have not happened, and every other one has.
struct StoreModel {
    struct Message: Equatable {
        var topic: String
        var queue: Int32
        var offset: Int64
        /// Where the record begins and ends.
        var position: Int64
        var end: Int64
        /// The body; the number of the message stands in its first bytes.
        var body: [UInt8]
        var key: String
        var tag: String
    }

    enum Event {
        case topicPut(String, queues: Int32)
        case topicRemoved(String)
        case message(Message)
        case offset(topic: String, group: String, queue: Int32, Int64)
    }

    struct QueueName: Hashable {
        var topic: String
        var queue: Int32
    }

    struct OffsetName: Hashable {
        var topic: String
        var group: String
        var queue: Int32
    }

    /// Each event with the end of its record.
    private(set) var events: [(end: Int64, event: Event)] = []
    private(set) var topics: [String: Int32] = [:]
    /// The messages of each queue from offset 0 on.
    private(set) var queues: [QueueName: [Message]] = [:]
    private(set) var offsets: [OffsetName: Int64] = [:]
    /// Offsets that were committed and may or may not have reached a snapshot before a crash.
    private(set) var uncertainOffsets: [OffsetName: Set<Int64>] = [:]
    /// Offsets that only a snapshot brought over a crash, not the log.
    private(set) var unlogged: Set<OffsetName> = []
    /// Messages by topic and key, whatever became of the topic.
    private(set) var keys: [String: [Message]] = [:]

    mutating func happened(_ event: Event, end: Int64) {
        events.append((end, event))
        fold(event)
    }

    private mutating func fold(_ event: Event) {
        switch event {
        case .topicPut(let name, let count): topics[name] = count
        case .topicRemoved(let name):
            topics[name] = nil
            queues = queues.filter { $0.key.topic != name }
            offsets = offsets.filter { $0.key.topic != name }
        case .message(let message):
            queues[QueueName(topic: message.topic, queue: message.queue), default: []].append(message)
            keys[Self.key(message.topic, message.key), default: []].append(message)
        case .offset(let topic, let group, let queue, let offset):
            offsets[OffsetName(topic: topic, group: group, queue: queue)] = offset
        }
    }

    static func key(_ topic: String, _ key: String) -> String { topic + "#" + key }

    /// The event may be in the log, or not.
    mutating func mayHaveHappened(_ event: Event) {
        guard case .offset(let topic, let group, let queue, let offset) = event else { return }
        uncertainOffsets[OffsetName(topic: topic, group: group, queue: queue), default: []].insert(offset)
    }

    /// A snapshot had brought this offset over the crash.
    mutating func foundUnlogged(_ name: OffsetName) {
        unlogged.insert(name)
    }

    /// The log ends at `end` now.
    mutating func cut(at end: Int64) {
        let kept = events.filter { $0.end <= end }
        let lost = events.filter { $0.end > end }
        let (unlogged, uncertain) = (unlogged, uncertainOffsets)
        self = StoreModel()
        self.unlogged = unlogged
        for (end, event) in kept { happened(event, end: end) }
        uncertainOffsets = uncertain
        for (_, event) in lost { mayHaveHappened(event) }
    }
}
