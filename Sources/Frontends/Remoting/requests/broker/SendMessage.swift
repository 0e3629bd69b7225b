import Base
import BrokerCore
import Bytes
import Model
import RemotingProtocol
import Storage

/// 10 `SEND_MESSAGE`, 310 `SEND_MESSAGE_V2`, 320 `SEND_BATCH_MESSAGE` (remoting reference §1.9): the hot path of producers.
extension BrokerSession {
    /// The header of the request at hand, which brings a message.
    @inline(__always)
    func sendFields(_ input: RawSpan) throws(Refusal) -> SendMessageHeader {
        do throws(HeaderError) {
            return try SendMessageHeader(header, in: input)
        } catch {
            throw Refusal(error)
        }
    }

    func sendMessage(_ request: BrokerRequest) throws(Refusal) {
        let input = request.input
        let span = input.bytes
        let fields = try sendFields(span)
        var target = SendRequest(
            topic: span.extracting(fields.topic), defaultTopic: span.extracting(fields.defaultTopic), peer: peer)
        target.defaultQueueCount = fields.defaultTopicQueueCount
        target.queueID = fields.queueID
        let queue: StoredQueue
        do throws(BrokerError) {
            queue = try broker.queue(for: target)
        } catch {
            throw refusal(error)
        }
        if broker.hasQuotas, try !passesQuota(request, fields) { return }
        if fields.isBatch, header.requestCode == .sendBatchMessage {
            try sendBatch(request, fields, to: queue)
        } else if target.topic.byte(at: 0) == UInt8(ascii: "%"), queue.topic.name.hasPrefix(SystemTopics.retryPrefix) {
            try sendRetry(request, fields, to: queue)
        } else {
            try sendOne(request, fields, to: queue)
        }
    }

    private func sendOne(
        _ request: BrokerRequest, _ fields: SendMessageHeader, to queue: StoredQueue
    ) throws(Refusal) {
        let span = request.input.bytes
        let rewritten = frontend.properties
        rewritten.removeAll()
        let found = PropertyRewriter.rewrite(
            span.extracting(fields.properties), cluster: frontend.clusterProperty, into: rewritten)
        // Old clients leave the mark of a transaction on messages that they send back for a retry (`reconsumeTimes`).
        let isHalf = found.isHalf && (fields.reconsumeTimes == 0 || !found.isDelayed)
        if found.isDelayed, let due = try dueTime(of: rewritten.bytes), !isHalf {
            return try sendDelayed(request, fields, to: queue, due: due, waits: found.waits)
        }
        let appended: MessageStore.Appended
        do throws(BrokerError) {
            let draft = draft(
                fields, topic: span.extracting(fields.topic), body: span.extracting(request.body),
                properties: rewritten.bytes)
            if isHalf {
                appended = try prepare(draft, for: queue, group: span.extracting(fields.producerGroup))
            } else {
                appended = try broker.append(draft, to: queue)
            }
        } catch {
            throw refusal(error)
        }
        park(appended.end, waitsForFlush: found.waits) { writer in
            SendMessageResponseHeader.write(
                into: &writer,
                messageID: OffsetMessageID(host: broker.configuration.address, offset: appended.physicalOffset),
                queueID: queue.queueID, queueOffset: appended.queueOffset)
        }
    }

    @_lifetime(copy topic, copy body, copy properties)
    func draft(
        _ fields: SendMessageHeader, topic: RawSpan, body: RawSpan, properties: RawSpan
    ) -> MessageDraft {
        var draft = MessageDraft(topic: topic, body: body, properties: properties)
        draft.flag = fields.flag
        draft.flags = fields.flags.withTransactionState(0)
        draft.bornTimestamp = fields.bornTimestamp
        draft.bornHost = peer
        draft.storeHost = broker.configuration.address
        draft.reconsumeTimes = fields.reconsumeTimes
        return draft
    }

    // MARK: - Batches

    /// Stores all messages of a batch or none, each as a record of its own.
    private func sendBatch(
        _ request: BrokerRequest, _ fields: SendMessageHeader, to queue: StoredQueue
    ) throws(Refusal) {
        let span = request.input.bytes
        let batch = span.extracting(request.body)
        try checkBatch(batch, fields, topic: queue.topic.name)
        var first: MessageStore.Appended?
        var end = PhysicalOffset.zero
        var waits = true
        let ids = frontend.records
        ids.removeAll()
        let rewritten = frontend.properties
        try reserveRoom(topicSize: fields.topic.count)
        broker.store.beginBatch()
        defer { broker.store.endBatch() }
        for entry in frontend.batchEntries {
            rewritten.removeAll()
            let found = PropertyRewriter.rewrite(
                batch.extracting(entry.properties), cluster: frontend.clusterProperty, into: rewritten)
            waits = waits && found.waits
            var draft = draft(
                fields, topic: span.extracting(fields.topic), body: batch.extracting(entry.body),
                properties: rewritten.bytes)
            draft.flag = entry.flag
            let appended: MessageStore.Appended
            do throws(BrokerError) {
                appended = try broker.append(draft, to: queue)
            } catch {
                throw refusal(error)
            }
            if first == nil { first = appended } else { ids.append(UInt8(ascii: ",")) }
            OffsetMessageID(host: broker.configuration.address, offset: appended.physicalOffset).append(to: ids)
            end = appended.end
        }
        guard let first else { throw Refusal(.messageIllegal, "the batch holds no message") }
        park(end, waitsForFlush: waits) { writer in
            writer.field("queueId", queue.queueID.rawValue)
            writer.field("msgId", ids.bytes)
            writer.field("queueOffset", first.queueOffset.rawValue)
        }
    }

    /// Makes room for all messages of the batch, so that a full disk refuses them together.
    private func reserveRoom(topicSize: Int) throws(Refusal) {
        do throws(BrokerError) {
            var room = try broker.makeBatch()
            for entry in frontend.batchEntries {
                try broker.reserve(
                    body: entry.body.count, properties: entry.properties.count + frontend.clusterProperty.count + 1,
                    topic: topicSize, in: &room)
            }
        } catch {
            throw refusal(error)
        }
    }

    /// Checks everything that could make one message of a batch fail, before the first is stored, and leaves the messages in
    /// ``BrokerFrontend/batchEntries``.
    private func checkBatch(
        _ batch: RawSpan, _ fields: SendMessageHeader, topic: String
    ) throws(Refusal) {
        guard !topic.hasPrefix(SystemTopics.retryPrefix) else {
            throw Refusal(.messageIllegal, "batch request does not support retry group \(topic)")
        }
        guard batch.byteCount <= broker.configuration.messageSizeMaximum else {
            throw refusal(.messageTooLarge(bodyMaximum: broker.configuration.messageSizeMaximum))
        }
        do throws(BodyError) {
            frontend.batchEntries.removeAll(keepingCapacity: true)
            var position = 0
            while let entry = try MessageBatch.next(in: batch, at: &position) {
                let found = PropertyRewriter.find(batch.extracting(entry.properties))
                guard entry.properties.count + frontend.clusterProperty.count < Limits.propertiesSizeMaximum else {
                    throw .malformed("the properties of a message are longer than 32KB")
                }
                guard !found.isHalf, !found.isDelayed else {
                    throw .malformed("a batch holds neither delayed nor transaction messages")
                }
                frontend.batchEntries.append(entry)
            }
            guard !frontend.batchEntries.isEmpty else { throw .malformed("the batch holds no message") }
        } catch {
            throw Refusal(.messageIllegal, "the message is illegal: \(error)")
        }
    }

    // MARK: - Answers

    /// Parks the answer until the log's watermark has reached `end`.
    /// - Parameter waitsForFlush: false for messages whose sender does not wait (`WAIT=false`).
    @inline(__always)
    func park(
        _ end: PhysicalOffset, waitsForFlush: Bool, hasRegion: Bool = true, _ fields: (inout CommandWriter) -> Void
    ) {
        guard !header.isOneway else { return }
        let needsFlush = waitsForFlush && broker.store.configuration.flushMode == .synchronous
        let buffer = needsFlush ? frontend.flushedGate.buffer : frontend.writtenGate.buffer
        let start = buffer.count
        var writer = CommandWriter(buffer, encoding: header.encoding)
        writer.begin(response: .success, to: header)
        fields(&writer)
        if hasRegion { Self.writeRegion(into: &writer) }
        writer.end()
        let size = buffer.count - start
        if needsFlush {
            let deadline = broker.monotonic.advanced(byMilliseconds: frontend.flushTimeoutMilliseconds)
            frontend.flushedGate.park(size, until: end, session: self, deadline: deadline)
        } else {
            frontend.writtenGate.park(size, until: end, session: self, deadline: broker.monotonic)
        }
    }

    /// Repeats an answer with code 10: the message is stored, but not on the medium in time.
    func sendFlushTimeout(_ answer: CommandHeader, in buffer: ByteBuffer) {
        write(answer.encoding) { writer in
            writer.begin(response: .flushDiskTimeout, opaque: answer.opaque)
            for name: StaticString in ["queueId", "msgId", "queueOffset"] {
                writer.field(name, answer.string(ifPresent: name, in: buffer.bytes))
            }
            Self.writeRegion(into: &writer)
            writer.end()
        }
    }
}

/// Turns the properties that a producer sent into those that are stored: without `WAIT=true`, with the cluster's name.
enum PropertyRewriter {
    /// What the properties say about the message's kind.
    struct Found {
        /// False when the sender does not wait for the medium (`WAIT=false`).
        var waits = true
        /// `TRAN_MSG=true`.
        var isHalf = false
        /// Any of the properties that may ask for a later delivery; see `DelayProperties`.
        var isDelayed = false
    }

    /// Appends the stored form of `properties` to `buffer`.
    @inline(__always)
    static func rewrite(_ properties: RawSpan, cluster: [UInt8], into buffer: ByteBuffer) -> Found {
        var found = Found()
        buffer.reserve(properties.byteCount + cluster.count + 1)
        var position = 0
        while position < properties.byteCount {
            let end =
                MessageProperties.index(of: PropertyName.propertySeparator, in: properties, from: position)
                ?? properties.byteCount
            let property = properties.extracting(position..<end)
            if note(property, &found) {
                buffer.append(property)
                buffer.append(PropertyName.propertySeparator)
            }
            position = end + 1
        }
        buffer.append(cluster)
        return found
    }

    static func find(_ properties: RawSpan) -> Found {
        var found = Found()
        var position = 0
        while position < properties.byteCount {
            let end =
                MessageProperties.index(of: PropertyName.propertySeparator, in: properties, from: position)
                ?? properties.byteCount
            _ = note(properties.extracting(position..<end), &found)
            position = end + 1
        }
        return found
    }

    /// - Returns: whether the property is stored.
    @inline(__always)
    private static func note(_ property: RawSpan, _ found: inout Found) -> Bool {
        guard property.byteCount > 5 else { return property.byteCount > 0 }
        switch property.byte(at: 0) {
        case UInt8(ascii: "W"):
            if property.equals("WAIT\u{1}true") { return false }
            if property.equals("WAIT\u{1}false") { found.waits = false }
        case UInt8(ascii: "C"): return !property.starts(with: "CLUSTER\u{1}")
        case UInt8(ascii: "T"):
            if property.equals("TRAN_MSG\u{1}true") { found.isHalf = true }
            if property.starts(with: "TIMER_DELIVER_MS\u{1}") || property.starts(with: "TIMER_DELAY_MS\u{1}")
                || property.starts(with: "TIMER_DELAY_SEC\u{1}")
            {
                found.isDelayed = true
            }
        case UInt8(ascii: "D"):
            if property.starts(with: "DELAY\u{1}"), property.extracting(6..<property.byteCount).decimal() ?? 1 > 0 {
                found.isDelayed = true
            }
        default: break
        }
        return true
    }
}
