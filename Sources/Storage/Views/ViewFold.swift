import Base
import Bytes
import Model

/// Folds one record of the log into its consume queue and the message index. The same code runs when a message has just been
/// written and when recovery reads it again, so both give the same views.
enum ViewFold {
    /// The properties that the views look at, found in one pass.
    private struct Properties {
        var tags: Range<Int>?
        var keys: Range<Int>?
        var uniqueKey: Range<Int>?

        @inline(__always)
        init(_ span: RawSpan) {
            var position = 0
            while position < span.byteCount {
                let end =
                    MessageProperties.index(of: PropertyName.propertySeparator, in: span, from: position)
                    ?? span.byteCount
                // TAGS, KEYS and UNIQ_KEY: a look at the first letter tells most others apart.
                switch span.byte(at: position) {
                case UInt8(ascii: "T") where tags == nil: tags = Self.value("TAGS\u{1}", position..<end, span)
                case UInt8(ascii: "K") where keys == nil: keys = Self.value("KEYS\u{1}", position..<end, span)
                case UInt8(ascii: "U") where uniqueKey == nil:
                    uniqueKey = Self.value("UNIQ_KEY\u{1}", position..<end, span)
                default: break
                }
                position = end + 1
            }
        }

        @inline(__always)
        private static func value(_ prefix: StaticString, _ property: Range<Int>, _ span: RawSpan) -> Range<Int>? {
            let start = property.lowerBound + prefix.utf8CodeUnitCount
            guard start < property.upperBound, span.extracting(property.lowerBound..<start).equals(prefix) else {
                return nil
            }
            return start..<property.upperBound
        }
    }

    /// Takes in the record.
    /// - Returns: the hash of its tag, or nil when consumers do not see the record: half messages and rolled back ones.
    static func fold(
        _ record: MessageRecord, _ span: RawSpan, into queue: StoredQueue, index: MessageIndex?
    ) throws(StorageError) -> Int64? {
        let state = record.flags.transactionState
        let text = span.extracting(record.properties)
        let properties = Properties(text)
        var visible: Int64?
        do throws(DiskError) {
            if state != MessageFlags.transactionPrepared, state != MessageFlags.transactionRollback {
                let code = tagsCode(record, span, text, properties)
                let entry =
                    record.flags.contains(.setAside)
                    ? .setAside(at: record.physicalOffset)
                    : ConsumeQueueEntry(
                        physicalOffset: record.physicalOffset, size: Int32(truncatingIfNeeded: record.size),
                        tagsCode: code)
                try queue.consumeQueue.append(entry, at: record.queueOffset)
                if queue.nextOffset < queue.maximumOffset { queue.nextOffset = queue.maximumOffset }
                visible = code
            }
            if let index, state != MessageFlags.transactionRollback {
                try insert(record, topic: span.extracting(record.topic), text, properties, into: index)
            }
        } catch {
            throw StorageError(error)
        }
        return visible
    }

    /// The entry that the record has in its consume queue; nil when it has none.
    static func entry(of record: MessageRecord, _ span: RawSpan) -> ConsumeQueueEntry? {
        let state = record.flags.transactionState
        guard state != MessageFlags.transactionPrepared, state != MessageFlags.transactionRollback else { return nil }
        guard !record.flags.contains(.setAside) else { return .setAside(at: record.physicalOffset) }
        let text = span.extracting(record.properties)
        return ConsumeQueueEntry(
            physicalOffset: record.physicalOffset, size: Int32(truncatingIfNeeded: record.size),
            tagsCode: tagsCode(record, span, text, Properties(text)))
    }

    /// What ``fold(_:_:into:index:)`` would put into the views for a message that is not set aside, so that another thread
    /// can find it out.
    /// - Parameter keys: gets the record's keys.
    /// - Returns: the hash of its tag, or nil when it has no entry in its consume queue.
    @inline(__always)
    static func digest(_ record: MessageRecord, _ span: RawSpan, keys: inout [HashedKey]) -> Int64? {
        let state = record.flags.transactionState
        guard state != MessageFlags.transactionRollback else { return nil }
        let text = span.extracting(record.properties)
        let topic = span.extracting(record.topic)
        let properties = Properties(text)
        var places = Keys(properties)
        while let place = places.next(in: text) {
            keys.append(
                HashedKey(
                    hash: IndexKey.hash(topic: topic, key: text.extracting(place)),
                    physicalOffset: record.physicalOffset, storeTimestamp: record.storeTimestamp))
        }
        return state == MessageFlags.transactionPrepared ? nil : tagsCode(record, span, text, properties)
    }

    /// Takes in the record's keys alone.
    static func fold(_ record: MessageRecord, _ span: RawSpan, into index: MessageIndex?) throws(StorageError) {
        guard let index, record.flags.transactionState != MessageFlags.transactionRollback else { return }
        let text = span.extracting(record.properties)
        do {
            try insert(record, topic: span.extracting(record.topic), text, Properties(text), into: index)
        } catch {
            throw StorageError(error)
        }
    }

    /// Java's hash of the tag, 0 when there is none; of a delayed message the time when it is to be looked at.
    @inline(__always)
    private static func tagsCode(
        _ record: MessageRecord, _ span: RawSpan, _ text: RawSpan, _ properties: Properties
    ) -> Int64 {
        // Both topics of delayed messages have names of 19 bytes.
        if record.topic.count == 19, let wake = wake(record, span.extracting(record.topic), text) { return wake }
        return properties.tags.map { Int64(javaHash(utf8: text.extracting($0))) } ?? 0
    }

    /// Of a message in one of the topics of delayed messages, when it is to be looked at: in RocketMQ's when it is due.
    @inline(never)
    private static func wake(_ record: MessageRecord, _ topic: RawSpan, _ text: RawSpan) -> Int64? {
        if topic.equals("SCHEDULE_TOPIC_XXXX") {
            return DelayLevels.due(queueID: record.queueID, storeTimestamp: record.storeTimestamp).milliseconds
        }
        guard topic.equals("rmq_sys_wheel_timer") else { return nil }
        let range =
            MessageProperties.valueRange(of: "TIMER_WAKE_MS", in: text)
            ?? MessageProperties.valueRange(of: "TIMER_OUT_MS", in: text)
        // One that does not say is looked at at once.
        return range.flatMap { text.extracting($0).decimal() } ?? record.storeTimestamp.milliseconds
    }

    /// The unique key, then each of the user's keys, which are joined by spaces.
    private struct Keys {
        private var unique: Range<Int>?
        private var rest: Range<Int>

        @inline(__always)
        init(_ properties: Properties) {
            unique = properties.uniqueKey
            rest = properties.keys ?? 0..<0
        }

        @inline(__always)
        mutating func next(in text: RawSpan) -> Range<Int>? {
            if let unique {
                self.unique = nil
                return unique
            }
            while !rest.isEmpty {
                let start = rest.lowerBound
                let end = min(
                    MessageProperties.index(of: UInt8(ascii: " "), in: text, from: start) ?? rest.upperBound,
                    rest.upperBound)
                rest = min(end + 1, rest.upperBound)..<rest.upperBound
                if end > start { return start..<end }
            }
            return nil
        }
    }

    @inline(__always)
    private static func insert(
        _ record: MessageRecord, topic: RawSpan, _ text: RawSpan, _ properties: Properties, into index: MessageIndex
    ) throws(DiskError) {
        var keys = Keys(properties)
        while let key = keys.next(in: text) {
            try index.insert(
                topic: topic, key: text.extracting(key), physicalOffset: record.physicalOffset,
                storeTimestamp: record.storeTimestamp)
        }
    }
}
