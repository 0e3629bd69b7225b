import Base
import Bytes
import Compression
import Model
import RemotingProtocol

/// A message, or a batch of them, checked and encoded: what every attempt to send it writes again. Made on the caller's
/// thread, so that compression does not hold up the loop.
struct PreparedMessage: Sendable {
    var topic: String
    var messageIDs: [String]
    var body: [UInt8]
    var properties: [UInt8]
    var flags: MessageFlags = []
    var flag: Int32 = 0
    var bornTimestamp: Timestamp
    var isBatch = false
    var reconsumeTimes: Int32 = 0
    var reconsumeMaximum: Int32?
    var shardingKey: String?
    /// The broker must know the producer's group before it gets the message.
    var needsMembership = false

    /// What it takes up while it is under way, in bytes.
    var size: Int { body.count + properties.count }

    /// - Throws: ``ClientError/Code-swift.struct/invalidArgument`` or ``ClientError/Code-swift.struct/messageTooLarge``.
    /// - Parameters:
    ///   - extra: properties of RocketMQ's that this library sets.
    ///   - state: of the transaction that the message begins, if it does.
    init(
        _ message: Message, id: String, at now: Timestamp, _ configuration: ProducerConfiguration,
        extra: [(name: String, value: String)] = [], transactionState state: Int32 = 0
    ) throws(ClientError) {
        try Self.checkTopic(message.topic)
        try Self.check(size: message.body.count, "the body", configuration)
        topic = message.topic
        messageIDs = [id]
        body = message.body
        flag = message.flag
        bornTimestamp = now
        shardingKey = message.shardingKey
        properties = try Self.encode(message, id: id, extra: extra)
        try compress(configuration)
        flags = flags.withTransactionState(state)
    }

    /// A batch: all messages to one topic, stored one after the other in one queue, all or none.
    init(
        batch: [Message], ids: [String], at now: Timestamp, _ configuration: ProducerConfiguration
    ) throws(ClientError) {
        guard let first = batch.first else { throw ClientError(.invalidArgument, "a batch needs a message") }
        try Self.checkTopic(first.topic)
        guard !first.topic.hasPrefix(SystemTopics.retryPrefix) else {
            throw ClientError(.invalidArgument, "a batch cannot go to a retry topic")
        }
        let buffer = ByteBuffer(capacity: batch.reduce(0) { $0 + $1.body.count + 128 })
        for (message, id) in zip(batch, ids) {
            guard message.topic == first.topic else {
                throw ClientError(
                    .invalidArgument, "a batch goes to one topic, not to \(first.topic) and \(message.topic)")
            }
            guard !message.isDelayed else {
                throw ClientError(.invalidArgument, "messages of a batch cannot be delayed")
            }
            guard message.isWaitingForStore == first.isWaitingForStore else {
                throw ClientError(.invalidArgument, "messages of a batch must agree in isWaitingForStore")
            }
            let properties = try Self.encode(message, id: id)
            MessageBatch.append(
                flag: message.flag, body: message.body.span.bytes, properties: properties.span.bytes, to: buffer)
        }
        try Self.check(size: buffer.count, "the batch", configuration)
        topic = first.topic
        messageIDs = ids
        body = buffer.bytes.array()
        bornTimestamp = now
        isBatch = true
        shardingKey = first.shardingKey
        let wait = ByteBuffer(capacity: 16)
        MessageProperties.encode([(PropertyName.wait, "\(first.isWaitingForStore)")], to: wait)
        properties = wait.bytes.array()
    }

    /// A message that failed, on its way back to the retry topic of its group, as the clients of RocketMQ send it when the
    /// broker does not take it back (remoting reference §1.9).
    /// - Parameters:
    ///   - reconsumeMaximum: nil leaves it to the settings of the group.
    ///   - delayLevel: 0 takes the level after as many attempts. A negative one makes the message a dead letter, which is what
    ///     the broker makes of a message that was tried more often than allowed.
    init(retry message: ReceivedMessage, group: String, reconsumeMaximum: Int32?, delayLevel: Int32 = 0) {
        let attempts = min(message.reconsumeTimes, Int32.max - 4)
        let maximum = delayLevel < 0 ? 0 : reconsumeMaximum
        topic = SystemTopics.retry(of: group)
        messageIDs = [message.messageID]
        body = message.storedBody
        flags = message.flags.intersection(.compressed)
        flags = MessageFlags(rawValue: flags.rawValue | message.flags.compressionType << 8)
        flag = message.flag
        bornTimestamp = message.bornTimestamp
        reconsumeTimes = attempts + 1
        self.reconsumeMaximum = maximum
        let dropped: Set<String> = [
            PropertyName.delay, PropertyName.retryTopic, PropertyName.reconsumeTime, PropertyName.maxReconsumeTimes,
            PropertyName.originMessageID, PropertyName.timerDeliver, PropertyName.timerDelay,
            PropertyName.timerDelaySeconds,
        ]
        var list = message.allProperties.filter { !dropped.contains($0.name) }
        list.append((PropertyName.originMessageID, message.originMessageID))
        list.append((PropertyName.retryTopic, message.topic))
        list.append((PropertyName.reconsumeTime, "\(reconsumeTimes)"))
        if let maximum { list.append((PropertyName.maxReconsumeTimes, "\(maximum)")) }
        if delayLevel >= 0 { list.append((PropertyName.delay, "\(delayLevel > 0 ? delayLevel : 3 + attempts)")) }
        let buffer = ByteBuffer(capacity: 256)
        MessageProperties.encode(list, to: buffer)
        properties = buffer.bytes.array()
    }

    private mutating func compress(_ configuration: ProducerConfiguration) throws(ClientError) {
        guard let codec = configuration.compression, body.count > configuration.compressionThreshold else { return }
        let buffer = ByteBuffer(capacity: body.count / 2)
        do throws(CompressionError) {
            try codec.compress(body.span.bytes, into: buffer, level: configuration.compressionLevel)
        } catch {
            throw ClientError(.invalidArgument, "the body cannot be compressed", underlying: error)
        }
        guard buffer.count < body.count else { return }
        body = buffer.bytes.array()
        flags = MessageFlags(rawValue: MessageFlags.compressed.rawValue | codec.wireID << 8)
    }

    // MARK: - Checks

    private static func check(
        size: Int, _ what: String, _ configuration: ProducerConfiguration
    ) throws(ClientError) {
        guard size <= configuration.messageSizeMaximum else {
            throw ClientError(
                .messageTooLarge, "\(what) has \(size) bytes, \(configuration.messageSizeMaximum) are allowed")
        }
    }

    static func checkTopic(_ topic: String) throws(ClientError) {
        try checkName(topic, "topic", lengthMaximum: Limits.topicLengthMaximum)
        guard !SystemTopics.sendForbidden.contains(topic) else {
            throw ClientError(.invalidArgument, "topic \(topic) belongs to the broker")
        }
    }

    /// `^[%|a-zA-Z0-9_-]+$` (remoting reference §1.8).
    static func checkName(_ name: String, _ kind: String, lengthMaximum: Int) throws(ClientError) {
        guard !name.isEmpty else { throw ClientError(.invalidArgument, "the \(kind) is empty") }
        guard name.utf8.count <= lengthMaximum else {
            throw ClientError(.invalidArgument, "the \(kind) \(name) is longer than \(lengthMaximum) bytes")
        }
        let isLegal = name.utf8.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "%"), UInt8(ascii: "|"), UInt8(ascii: "_"),
                UInt8(ascii: "-"):
                true
            default: false
            }
        }
        guard isLegal else {
            throw ClientError(
                .invalidArgument, "the \(kind) \"\(name)\" contains characters other than ^[%|a-zA-Z0-9_-]+$")
        }
    }

    // MARK: - Properties

    /// Names that users cannot choose, since RocketMQ gives them a meaning.
    static let reservedNames: Set<String> = [
        PropertyName.keys, PropertyName.tags, PropertyName.wait, PropertyName.delay, PropertyName.retryTopic,
        PropertyName.realTopic, PropertyName.realQueueID, PropertyName.transactionPrepared, PropertyName.producerGroup,
        PropertyName.minOffset, PropertyName.maxOffset, PropertyName.originMessageID, PropertyName.uniqueKey,
        PropertyName.maxReconsumeTimes, PropertyName.reconsumeTime, PropertyName.cluster, PropertyName.region,
        PropertyName.traceOn, PropertyName.instanceID, PropertyName.shardingKey, PropertyName.recordCRC,
        PropertyName.timerDeliver, PropertyName.timerDelay, PropertyName.timerDelaySeconds, PropertyName.correlationID,
        PropertyName.replyToClient, PropertyName.timeToLive, PropertyName.messageType,
    ]

    private static func encode(
        _ message: Message, id: String, extra: [(name: String, value: String)] = []
    ) throws(ClientError) -> [UInt8] {
        try message.checkDelay()
        var list: [(name: String, value: String)] = []
        if !message.keys.isEmpty { list.append((PropertyName.keys, message.keys.joined(separator: " "))) }
        for (name, value) in message.properties.sorted(by: { $0.key < $1.key }) {
            guard !name.isEmpty, !reservedNames.contains(name) else {
                throw ClientError(.invalidArgument, "\"\(name)\" cannot be the name of a property")
            }
            list.append((name, value))
        }
        list.append((PropertyName.uniqueKey, id))
        list.append((PropertyName.wait, message.isWaitingForStore ? "true" : "false"))
        if let key = message.shardingKey { list.append((PropertyName.shardingKey, key)) }
        if message.delayLevel != 0 { list.append((PropertyName.delay, "\(message.delayLevel)")) }
        if let time = message.deliverAt { list.append((PropertyName.timerDeliver, "\(time.milliseconds)")) }
        if let delay = message.deliverAfter { list.append((PropertyName.timerDelay, "\(delay.milliseconds)")) }
        list += extra
        if let tag = message.tag { list.append((PropertyName.tags, tag)) }
        for (name, value) in list where !isClean(name) || !isClean(value) {
            throw ClientError(
                .invalidArgument, "property \"\(name)\" contains U+0001 or U+0002, which separate properties")
        }
        let buffer = ByteBuffer(capacity: 160)
        MessageProperties.encode(list, to: buffer)
        guard buffer.count <= Limits.propertiesSizeMaximum else {
            throw ClientError(
                .messageTooLarge,
                "the properties have \(buffer.count) bytes, \(Limits.propertiesSizeMaximum) are allowed")
        }
        return buffer.bytes.array()
    }

    private static func isClean(_ text: String) -> Bool {
        !text.utf8.contains { $0 == PropertyName.nameSeparator || $0 == PropertyName.propertySeparator }
    }

    // MARK: - Sending

    /// The request that sends this message to a queue.
    func request(
        producerGroup: String, to queue: MessageQueue, defaultTopic: String, defaultTopicQueueCount: Int32
    ) -> Request<SendReceipt> {
        Request(isBatch ? .sendBatchMessage : .sendMessageV2) { writer in
            SendMessageHeader.write(
                into: &writer, producerGroup: producerGroup, topic: topic, defaultTopic: defaultTopic,
                defaultTopicQueueCount: defaultTopicQueueCount, queueID: queue.queueID, flags: flags,
                bornTimestamp: bornTimestamp, flag: flag, properties: properties.span.bytes,
                reconsumeTimes: reconsumeTimes, maxReconsumeTimes: reconsumeMaximum, isBatch: isBatch,
                brokerName: queue.brokerName)
            writer.beginBody()
            writer.buffer.append(body)
        } read: { (answer) throws(ClientError) in
            guard let status = Self.statuses[answer.code.rawValue] else { throw answer.refusal }
            let header = try answer.fields(SendMessageResponseHeader.self)
            return SendReceipt(
                status: status, messageID: messageIDs.first ?? "", messageIDs: messageIDs,
                offsetMessageID: header.messageID,
                queue: MessageQueue(topic: topic, brokerName: queue.brokerName, queueID: header.queueID),
                queueOffset: header.queueOffset, recallHandle: answer.text("recallHandle"),
                transactionID: header.transactionID)
        }
    }

    /// Codes of answers to a message that was stored (remoting reference §1.4).
    private static let statuses: [Int32: SendReceipt.Status] = [
        ResponseCode.success.rawValue: .stored,
        ResponseCode.flushDiskTimeout.rawValue: .flushTimedOut,
        ResponseCode.slaveNotAvailable.rawValue: .replicaUnavailable,
        ResponseCode.flushSlaveTimeout.rawValue: .replicaTimedOut,
    ]
}
