import Base
import Bytes
import Model
import Storage

/// What a half message says about its transaction, found in one pass over its properties. Half messages are stored as
/// RocketMQ stores them (remoting reference §1.9): in queue 0 of `RMQ_SYS_TRANS_HALF_TOPIC`, with the topic and the queue that
/// they are for as properties, and without the bits of the transaction state.
struct HalfMessage {
    /// All half messages are in this queue.
    static let queueID = QueueID(0)
    static let topic = Array(SystemTopics.half.utf8)

    let record: MessageRecord
    // Positions in the record.
    private(set) var producerGroup: Range<Int>?
    private(set) var realTopic: Range<Int>?
    private(set) var uniqueKey: Range<Int>?
    private(set) var realQueueID: QueueID?
    /// `CHECK_IMMUNITY_TIME_IN_SECONDS`: not to be asked about before; nil when it says nothing, or no time.
    private(set) var immunitySeconds: Int64?
    /// `TRANSACTION_CHECK_TIMES`: how often RocketMQ had asked when its store was taken over.
    private(set) var checkCount: Int32 = 0

    /// - Parameter span: begins with the record.
    /// - Returns: nil when the record is of another topic.
    init?(_ record: MessageRecord, in span: RawSpan) {
        guard span.extracting(record.topic).equals("RMQ_SYS_TRANS_HALF_TOPIC") else { return nil }
        self.record = record
        var position = record.properties.lowerBound
        let properties = span.extracting(0..<record.properties.upperBound)
        while position < properties.byteCount {
            let end =
                MessageProperties.index(of: PropertyName.propertySeparator, in: properties, from: position)
                ?? properties.byteCount
            note(position..<end, in: span)
            position = end + 1
        }
    }

    /// The longest immunity that is believed: ten years.
    private static let immunityMaximum: Int64 = 315_360_000

    private mutating func note(_ property: Range<Int>, in span: RawSpan) {
        guard let kind = Property(span.extracting(property)) else { return }
        let value = property.lowerBound + kind.prefix.utf8CodeUnitCount..<property.upperBound
        switch kind {
        case .realTopic where realTopic == nil: realTopic = value
        case .realQueue where realQueueID == nil:
            if let number = span.extracting(value).decimal(), (0..<Int64(Limits.queuesPerTopicMaximum)).contains(number)
            {
                realQueueID = QueueID(Int32(number))
            }
        case .producerGroup where producerGroup == nil: producerGroup = value
        case .uniqueKey where uniqueKey == nil: uniqueKey = value
        case .immunity where immunitySeconds == nil:
            if let seconds = span.extracting(value).decimal(), seconds >= 0 {
                immunitySeconds = min(seconds, Self.immunityMaximum)
            }
        case .checkCount: checkCount = Int32(clamping: max(0, span.extracting(value).decimal() ?? 0))
        default: break
        }
    }

    // MARK: - Who is meant

    /// Whether this half message can be the one that a producer ends with these ids, which are empty where it says nothing: one
    /// of them is its `UNIQ_KEY`, or `msgId` is the id of its place, or is not given.
    ///
    /// With asynchronous flush a power cut can take a half message, and another one gets its place. RocketMQ compares the place
    /// alone and ends the other one. Its clients send the key all the same: those for Java, Go, C++ and Python as `msgId`; what they
    /// send as `transactionId` is the key as well, or what a broker or the user said, or nothing: it tells against nothing.
    func mayBeMeant(by messageID: RawSpan, _ transactionID: RawSpan, in span: RawSpan) -> Bool {
        guard let uniqueKey, !uniqueKey.isEmpty else { return true }
        guard messageID.byteCount > 0 else { return true }
        let key = span.extracting(uniqueKey)
        if messageID.equals(key) || transactionID.equals(key) { return true }
        return OffsetMessageID(messageID.string())?.offset == record.physicalOffset
    }

    // MARK: - Properties

    private enum Property: CaseIterable {
        case realTopic, realQueue, producerGroup, uniqueKey, immunity, checkCount, checksum

        var prefix: StaticString {
            switch self {
            case .realTopic: "REAL_TOPIC\u{1}"
            case .realQueue: "REAL_QID\u{1}"
            case .producerGroup: "PGROUP\u{1}"
            case .uniqueKey: "UNIQ_KEY\u{1}"
            case .immunity: "CHECK_IMMUNITY_TIME_IN_SECONDS\u{1}"
            case .checkCount: "TRANSACTION_CHECK_TIMES\u{1}"
            case .checksum: "__CRC32#\u{1}"
            }
        }

        /// The kind of a property, by its first letter and then its whole name.
        init?(_ property: RawSpan) {
            guard property.byteCount > 6 else { return nil }
            switch property.byte(at: 0) {
            case UInt8(ascii: "R"):
                if Self.realTopic.begins(property) {
                    self = .realTopic
                } else if Self.realQueue.begins(property) {
                    self = .realQueue
                } else {
                    return nil
                }
            case UInt8(ascii: "T") where Self.checkCount.begins(property): self = .checkCount
            case UInt8(ascii: "P") where Self.producerGroup.begins(property): self = .producerGroup
            case UInt8(ascii: "U") where Self.uniqueKey.begins(property): self = .uniqueKey
            case UInt8(ascii: "C") where Self.immunity.begins(property): self = .immunity
            case UInt8(ascii: "_") where Self.checksum.begins(property): self = .checksum
            default: return nil
            }
        }

        private func begins(_ property: RawSpan) -> Bool {
            let size = prefix.utf8CodeUnitCount
            return property.byteCount >= size && property.extracting(0..<size).equals(prefix)
        }
    }

    /// Appends the properties that a half message for `queue` is stored with: where it goes first, so that nothing in a
    /// producer's properties stands in its stead.
    /// - Parameter group: the producer's, for properties that do not name it.
    static func appendStored(_ properties: RawSpan, for queue: StoredQueue, group: RawSpan, to buffer: ByteBuffer) {
        buffer.append("REAL_TOPIC\u{1}")
        buffer.append(utf8: queue.topic.name)
        buffer.append("\u{2}REAL_QID\u{1}")
        buffer.append(decimal: Int64(queue.queueID.rawValue))
        buffer.append(PropertyName.propertySeparator)
        var namesGroup = false
        var position = 0
        while let property = next(&position, in: properties) {
            let span = properties.extracting(property)
            switch Property(span) {
            case .realTopic, .realQueue, .checkCount: continue
            case .producerGroup: namesGroup = true
            default: break
            }
            buffer.append(span)
            buffer.append(PropertyName.propertySeparator)
        }
        guard !namesGroup else { return }
        buffer.append("PGROUP\u{1}")
        buffer.append(group)
        buffer.append(PropertyName.propertySeparator)
    }

    /// Appends the properties of the message that this half message becomes when it is committed. `TRAN_MSG` stays, as in
    /// RocketMQ: by it the Java client tells its consumers a message's transaction id (`MessageExt.getTransactionId`).
    func appendCommitted(from span: RawSpan, to buffer: ByteBuffer) {
        let properties = span.extracting(record.properties)
        var position = 0
        while let property = Self.next(&position, in: properties) {
            let span = properties.extracting(property)
            switch Property(span) {
            case .realTopic, .realQueue, .checkCount, .checksum: continue
            default: break
            }
            buffer.append(span)
            buffer.append(PropertyName.propertySeparator)
        }
    }

    /// Appends what a half message says, without the number of checks and the checksum of its record.
    static func appendWithoutChecks(_ properties: RawSpan, to buffer: ByteBuffer) {
        var position = 0
        while let property = next(&position, in: properties) {
            let span = properties.extracting(property)
            switch Property(span) {
            case .checkCount, .checksum: continue
            default: break
            }
            buffer.append(span)
            buffer.append(PropertyName.propertySeparator)
        }
    }

    /// Appends the properties with the number of checks, as a producer that is asked gets them.
    func appendChecked(_ count: Int32, from span: RawSpan, to buffer: ByteBuffer) {
        let start = buffer.count
        Self.appendWithoutChecks(span.extracting(record.properties), to: buffer)
        let size = buffer.count
        buffer.append("TRANSACTION_CHECK_TIMES\u{1}")
        buffer.append(decimal: Int64(count))
        buffer.append(PropertyName.propertySeparator)
        if buffer.count - start > Limits.propertiesSizeMaximum { buffer.truncate(to: size) }
    }

    /// The next property that is not empty.
    @inline(__always)
    private static func next(_ position: inout Int, in properties: RawSpan) -> Range<Int>? {
        while position < properties.byteCount {
            let start = position
            let end =
                MessageProperties.index(of: PropertyName.propertySeparator, in: properties, from: start)
                ?? properties.byteCount
            position = end + 1
            if end > start { return start..<end }
        }
        return nil
    }
}
