import Base
import Bytes
import Model
import Storage

/// A durable change of the broker's state, as the body of a record of the state topic.
///
///     size  field
///        1  kind
///        …  by kind; texts are 2 bytes of length and UTF-8, times are 8 bytes (ms), flags 1 byte
///
///     kind  fields
///        1  topic put: time, name, read queues 4, write queues 4, permission 4, system flag 4, ordered, multi-tag;
///           then, unless it is the default, its quota: messages to send 8, bytes 8, messages to pull 8, bytes 8
///        2  topic removed, and with it the offsets of its groups: time, name
///        3  group put: time, name, enabled, from minimum, broadcast, notifies, retry queues 4, attempts 4, broker 8, slow broker 8;
///           then, unless it is the ladder, the retry policy 1: 1 is exponential: initial 8, maximum 8, multiplier 8;
///           2 is a list: count 2, each 8; 0 is the ladder, when a quota follows; then, unless it is the default, its quota
///        4  group removed: time, name
///        5  offsets: count 4; each: topic, group, queue 4, offset 8
///        6  offsets of a group removed: name
///        7  offsets of a topic removed: name
///        8  pending records settled without a message: count 4; each 8 (``PendingID/field``)
///        9  everything before a pending record settled, in snapshots: 8
///       10  words of 64 offsets from a pending record on, set where settled, in snapshots: 8, count 4; each 8
///       20  half messages whose producers were asked: count 4; each: pending record 8, times asked 4, time of the last 8
///       21  queues locked, or free without a client: group, client, count 4; each: topic, broker, queue 4
enum StateRecord {
    case topicPut(TopicConfiguration, at: Timestamp)
    case topicRemoved(String, at: Timestamp)
    case groupPut(GroupConfiguration, at: Timestamp)
    case groupRemoved(String, at: Timestamp)
    case offsets([Offset])
    case groupOffsetsRemoved(String)
    case topicOffsetsRemoved(String)
    case settled([PendingID])
    case settledBefore(PendingID)
    case settledWords(PendingID, [UInt64])
    case halvesChecked([CheckedHalf])
    case queuesLocked([MessageQueue], group: String, clientID: String?)

    struct Offset {
        var topic: String
        var group: String
        var queueID: QueueID
        var offset: QueueOffset
    }

    // MARK: - Encode

    func encode(into buffer: ByteBuffer) {
        switch self {
        case .topicPut(let topic, let time):
            buffer.append(UInt8(1))
            buffer.append(bigEndian: time.milliseconds)
            Self.append(topic.name, to: buffer)
            buffer.append(bigEndian: topic.readQueueCount)
            buffer.append(bigEndian: topic.writeQueueCount)
            buffer.append(bigEndian: topic.permission.rawValue)
            buffer.append(bigEndian: topic.systemFlag)
            Self.append(topic.isOrdered, to: buffer)
            Self.append(topic.filterType == .multiTag, to: buffer)
            Self.append(topic.quota, to: buffer)
        case .topicRemoved(let name, let time): Self.append(2, name, time, to: buffer)
        case .groupPut(let group, let time):
            Self.append(3, group.name, time, to: buffer)
            Self.append(group.isConsumeEnabled, to: buffer)
            Self.append(group.isConsumeFromMinimumEnabled, to: buffer)
            Self.append(group.isBroadcastEnabled, to: buffer)
            Self.append(group.isMembershipNotificationEnabled, to: buffer)
            buffer.append(bigEndian: group.retryQueueCount)
            buffer.append(bigEndian: group.retryMaximum)
            buffer.append(bigEndian: group.brokerID)
            buffer.append(bigEndian: group.brokerIDWhenSlow)
            Self.append(group.retryPolicy, to: buffer, goesOn: !group.quota.isByDefault)
            Self.append(group.quota, to: buffer)
        case .groupRemoved(let name, let time): Self.append(4, name, time, to: buffer)
        case .offsets(let offsets):
            Self.beginOffsets(count: offsets.count, into: buffer)
            for offset in offsets {
                Self.appendOffset(offset.topic, offset.group, offset.queueID, offset.offset, to: buffer)
            }
        case .groupOffsetsRemoved(let name):
            buffer.append(UInt8(6))
            Self.append(name, to: buffer)
        case .topicOffsetsRemoved(let name):
            buffer.append(UInt8(7))
            Self.append(name, to: buffer)
        case .settled(let list):
            buffer.append(UInt8(8))
            buffer.append(bigEndian: UInt32(list.count))
            for pending in list { buffer.append(bigEndian: pending.field) }
        case .settledBefore(let pending):
            buffer.append(UInt8(9))
            buffer.append(bigEndian: pending.field)
        case .settledWords(let pending, let words):
            buffer.append(UInt8(10))
            buffer.append(bigEndian: pending.field)
            buffer.append(bigEndian: UInt32(words.count))
            for word in words { buffer.append(bigEndian: word) }
        case .halvesChecked(let list):
            buffer.append(UInt8(20))
            buffer.append(bigEndian: UInt32(list.count))
            for half in list {
                buffer.append(bigEndian: half.pending.field)
                buffer.append(bigEndian: half.count)
                buffer.append(bigEndian: half.time.milliseconds)
            }
        case .queuesLocked(let queues, let group, let clientID):
            buffer.append(UInt8(21))
            Self.append(group, to: buffer)
            Self.append(clientID ?? "", to: buffer)
            buffer.append(bigEndian: UInt32(queues.count))
            for queue in queues {
                Self.append(queue.topic, to: buffer)
                Self.append(queue.brokerName, to: buffer)
                buffer.append(bigEndian: queue.queueID.rawValue)
            }
        }
    }

    /// The head of a record of `count` offsets; each follows by ``appendOffset(_:_:_:_:to:)``.
    static func beginOffsets(count: Int, into buffer: ByteBuffer) {
        buffer.append(UInt8(5))
        buffer.append(bigEndian: UInt32(count))
    }

    static func appendOffset(
        _ topic: String, _ group: String, _ queueID: QueueID, _ offset: QueueOffset, to buffer: ByteBuffer
    ) {
        append(topic, to: buffer)
        append(group, to: buffer)
        buffer.append(bigEndian: queueID.rawValue)
        buffer.append(bigEndian: offset.rawValue)
    }

    private static func append(_ kind: UInt8, _ name: String, _ time: Timestamp, to buffer: ByteBuffer) {
        buffer.append(kind)
        buffer.append(bigEndian: time.milliseconds)
        append(name, to: buffer)
    }

    private static func append(_ text: String, to buffer: ByteBuffer) {
        buffer.append(bigEndian: UInt16(text.utf8.count))
        buffer.append(utf8: text)
    }

    private static func append(_ quota: TrafficQuota, to buffer: ByteBuffer) {
        guard !quota.isByDefault else { return }
        for number in [quota.send.messages, quota.send.bytes, quota.pull.messages, quota.pull.bytes] {
            buffer.append(bigEndian: number)
        }
    }

    private static func append(_ policy: RetryPolicy, to buffer: ByteBuffer, goesOn: Bool) {
        switch policy {
        case .ladder: if goesOn { buffer.append(UInt8(0)) }
        case .exponential(let initial, let maximum, let multiplier):
            buffer.append(UInt8(1))
            for number in [initial, maximum, multiplier] { buffer.append(bigEndian: number) }
        case .list(let delays):
            buffer.append(UInt8(2))
            buffer.append(bigEndian: UInt16(truncatingIfNeeded: delays.count))
            for delay in delays.prefix(Int(UInt16.max)) { buffer.append(bigEndian: delay) }
        }
    }

    private static func append(_ flag: Bool, to buffer: ByteBuffer) { buffer.append(flag ? UInt8(1) : UInt8(0)) }

    // MARK: - Decode

    /// - Throws: `StateRecordError` for bytes that are none of these records.
    init(_ span: RawSpan) throws(StateRecordError) {
        var reader = Reader()
        let kind: UInt8 = try reader.integer(span)
        switch kind {
        case 1:
            let time = Timestamp(milliseconds: try reader.integer(span))
            var topic = TopicConfiguration(name: try reader.text(span))
            topic.readQueueCount = try reader.integer(span)
            topic.writeQueueCount = try reader.integer(span)
            topic.permission = Permission(rawValue: try reader.integer(span))
            topic.systemFlag = try reader.integer(span)
            topic.isOrdered = try reader.flag(span)
            topic.filterType = try reader.flag(span) ? .multiTag : .singleTag
            topic.quota = try reader.quota(span)
            self = .topicPut(topic, at: time)
        case 2: self = .topicRemoved(at: Timestamp(milliseconds: try reader.integer(span)), try reader.text(span))
        case 3:
            let time = Timestamp(milliseconds: try reader.integer(span))
            var group = GroupConfiguration(name: try reader.text(span))
            group.isConsumeEnabled = try reader.flag(span)
            group.isConsumeFromMinimumEnabled = try reader.flag(span)
            group.isBroadcastEnabled = try reader.flag(span)
            group.isMembershipNotificationEnabled = try reader.flag(span)
            group.retryQueueCount = try reader.integer(span)
            group.retryMaximum = try reader.integer(span)
            group.brokerID = try reader.integer(span)
            group.brokerIDWhenSlow = try reader.integer(span)
            group.retryPolicy = try reader.retryPolicy(span)
            group.quota = try reader.quota(span)
            self = .groupPut(group, at: time)
        case 4: self = .groupRemoved(at: Timestamp(milliseconds: try reader.integer(span)), try reader.text(span))
        case 5: self = .offsets(try reader.offsets(span))
        case 6: self = .groupOffsetsRemoved(try reader.text(span))
        case 7: self = .topicOffsetsRemoved(try reader.text(span))
        case 8:
            let count: UInt32 = try reader.integer(span)
            var list: [PendingID] = []
            for _ in 0..<count { list.append(try reader.pending(span)) }
            self = .settled(list)
        case 9: self = .settledBefore(try reader.pending(span))
        case 10:
            let pending = try reader.pending(span)
            guard pending.queueOffset.rawValue % Int64(UInt64.bitWidth) == 0 else {
                throw StateRecordError("a word of settled offsets begins at \(pending.queueOffset)")
            }
            let count: UInt32 = try reader.integer(span)
            var words: [UInt64] = []
            for _ in 0..<count { words.append(try reader.integer(span)) }
            self = .settledWords(pending, words)
        case 20:
            let count: UInt32 = try reader.integer(span)
            var list: [CheckedHalf] = []
            for _ in 0..<count {
                list.append(
                    CheckedHalf(
                        pending: try reader.pending(span), count: try reader.integer(span),
                        time: Timestamp(milliseconds: try reader.integer(span))))
            }
            self = .halvesChecked(list)
        case 21:
            let group = try reader.text(span)
            let clientID = try reader.text(span)
            let count: UInt32 = try reader.integer(span)
            var queues: [MessageQueue] = []
            for _ in 0..<count {
                queues.append(
                    MessageQueue(
                        topic: try reader.text(span), brokerName: try reader.text(span),
                        queueID: QueueID(try reader.integer(span))))
            }
            self = .queuesLocked(queues, group: group, clientID: clientID.isEmpty ? nil : clientID)
        default: throw StateRecordError("a state record of kind \(kind)")
        }
    }

    private static func topicRemoved(at time: Timestamp, _ name: String) -> Self { .topicRemoved(name, at: time) }
    private static func groupRemoved(at time: Timestamp, _ name: String) -> Self { .groupRemoved(name, at: time) }

    private struct Reader {
        var position = 0

        mutating func integer<T: FixedWidthInteger & BitwiseCopyable>(_ span: RawSpan) throws(StateRecordError) -> T {
            guard span.byteCount - position >= MemoryLayout<T>.size else { throw StateRecordError("cut short") }
            defer { position += MemoryLayout<T>.size }
            return span.bigEndian(at: position)
        }

        mutating func pending(_ span: RawSpan) throws(StateRecordError) -> PendingID {
            let field: Int64 = try integer(span)
            guard let pending = PendingID(field: field) else {
                throw StateRecordError("\(field) names no pending record")
            }
            return pending
        }

        /// Records of groups end before it when they were written by a version that knew only the ladder.
        mutating func retryPolicy(_ span: RawSpan) throws(StateRecordError) -> RetryPolicy {
            guard position < span.byteCount else { return .ladder }
            let kind: UInt8 = try integer(span)
            switch kind {
            case 0: return .ladder
            case 1:
                return .exponential(
                    initial: try integer(span), maximum: try integer(span), multiplier: try integer(span))
            case 2:
                let count: UInt16 = try integer(span)
                var delays: [Int64] = []
                for _ in 0..<count { delays.append(try integer(span)) }
                return .list(delays)
            default: throw StateRecordError("a retry policy of kind \(kind)")
            }
        }

        /// Records end before it when there is none.
        mutating func quota(_ span: RawSpan) throws(StateRecordError) -> TrafficQuota {
            guard position < span.byteCount else { return .byDefault }
            let send = TrafficRate(messages: try integer(span), bytes: try integer(span))
            return TrafficQuota(
                send: send, pull: TrafficRate(messages: try integer(span), bytes: try integer(span)))
        }

        mutating func flag(_ span: RawSpan) throws(StateRecordError) -> Bool { try integer(span) != UInt8(0) }

        mutating func text(_ span: RawSpan) throws(StateRecordError) -> String {
            let length = Int(try integer(span) as UInt16)
            guard span.byteCount - position >= length else { throw StateRecordError("a text is cut short") }
            defer { position += length }
            return span.extracting(position..<position + length).string()
        }

        mutating func offsets(_ span: RawSpan) throws(StateRecordError) -> [Offset] {
            let count: UInt32 = try integer(span)
            var offsets: [Offset] = []
            for _ in 0..<count {
                let offset = Offset(
                    topic: try text(span), group: try text(span), queueID: QueueID(try integer(span)),
                    offset: QueueOffset(try integer(span)))
                guard offset.queueID.rawValue >= 0, offset.queueID.rawValue < Limits.queuesPerTopicMaximum,
                    offset.offset.rawValue >= 0
                else { throw StateRecordError("an offset of queue \(offset.queueID) is \(offset.offset)") }
                offsets.append(offset)
            }
            return offsets
        }
    }
}
