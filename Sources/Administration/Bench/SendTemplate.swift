import Base
import Bytes
import Model
import RemotingProtocol

/// The frame of a send, written once by the ordinary writer, with holes for what differs from one send to the next. A send
/// is then one copy and a few numbers in place, without any allocation.
///
/// Every hole has a fixed width: the opaque has ten digits because ``InFlight`` begins at 1,000,000,000, the timestamp has
/// thirteen, topics have a number of one width, and there is a template for each width of the queue's number.
final class SendTemplate {
    /// Bytes of one frame.
    let size: Int
    private let frame: ByteBuffer
    private let run: UInt64
    private let encoding: HeaderEncoding
    private let topicDigits: Int
    private let queueDigits: Int
    private let bodySize: Int
    private let batchSize: Int

    // Positions within the frame.
    private let opaque: Int
    private let timestamp: Int
    private let topicNumber: Int
    private let queueNumber: Int
    private let firstBody: Int
    /// From one body of a batch to the next.
    private let stride: Int
    /// Keys of the first message: position in the frame. Those of the next lie ``stride`` further on.
    private let keys: [Int]
    /// Where the time of a delayed message stands.
    private let due: Int?
    private let delay: Int64
    private let delaySpread: UInt64
    /// Signs each send anew, when they are to be signed.
    private let signer: RequestSigner?
    private let signature: Int
    private let headerEnd: Int

    private var milliseconds: Int64

    /// - Parameters:
    ///   - run: goes into every body.
    ///   - queueDigits: the width of the queue numbers that this template serves.
    init(_ workload: Workload, run: UInt64, queueDigits: Int) {
        self.run = run
        self.queueDigits = queueDigits
        encoding = workload.encoding
        topicDigits = workload.topicDigits
        bodySize = workload.bodySize
        batchSize = workload.batchSize
        milliseconds = Self.anyMilliseconds
        frame = ByteBuffer()
        signer = workload.signer
        let bodyStart = Self.write(workload, run: run, queueDigits: queueDigits, signer, to: frame)
        headerEnd = bodyStart
        size = frame.count

        let fields = HeaderFields(of: frame)
        topicNumber = fields.position("b").upperBound - workload.topicDigits
        queueNumber = fields.position("e").lowerBound
        timestamp = fields.position("g").lowerBound
        signature = signer == nil ? 0 : fields.position("Signature").lowerBound
        opaque = Self.opaquePosition(in: frame, workload.encoding, header: fields.frame.header)

        let entry = Self.entryProperties(workload, run: run)
        firstBody = workload.batchSize > 1 ? bodyStart + 20 : bodyStart
        stride = MessageBatch.entrySizeMinimum + workload.bodySize + entry.count
        let keysEnd = workload.batchSize > 1 ? bodyStart + stride : bodyStart
        let keysStart = workload.batchSize > 1 ? firstBody + workload.bodySize : 0
        keys = Self.positions(of: Self.keyPlaceholder, in: frame, keysStart..<keysEnd)
        due = Self.positions(of: String(Self.anyDue), in: frame, 0..<frame.count).first
        delay = workload.delayMilliseconds ?? 0
        delaySpread = UInt64(max(1, workload.delaySpreadMilliseconds))
    }

    /// Appends one send to `buffer`.
    /// - Parameters:
    ///   - sequence: of the first message; those of a batch count on from it.
    ///   - milliseconds: the born time, since 1970.
    ///   - intended: when the messages should be sent, in nanoseconds of CLOCK_MONOTONIC.
    func append(
        to buffer: ByteBuffer, opaque number: Int32, queue: QueueReference, producer: UInt32, sequence: Int64,
        milliseconds now: Int64, intended: Int64
    ) {
        if now != milliseconds { setTimestamp(now) }
        buffer.appendUninitialized(size) { target in
            guard let start = target.baseAddress else { return 0 }
            frame.withUnsafeBytes { target.copyMemory(from: $0) }
            if encoding == .json {
                FixedWidth.decimal(Int64(number), width: 10, at: start + opaque)
            } else {
                start.storeBytes(of: number.bigEndian, toByteOffset: opaque, as: Int32.self)
            }
            FixedWidth.decimal(Int64(queue.topic), width: topicDigits, at: start + topicNumber)
            FixedWidth.decimal(Int64(queue.queueID), width: queueDigits, at: start + queueNumber)
            if let due { FixedWidth.decimal(dueTime(sequence, now), width: 13, at: start + due) }
            fill(target, producer: producer, sequence: sequence, intended: intended)
            return size
        }
        guard let signer else { return }
        let start = buffer.count - size
        signer.sign(buffer, from: start, headerEnd: start + headerEnd, encoding: encoding, place: start + signature)
    }

    @inline(__always)
    private func fill(_ target: UnsafeMutableRawBufferPointer, producer: UInt32, sequence: Int64, intended: Int64) {
        guard let start = target.baseAddress else { return }
        var stamp = MessageStamp(run: run, producer: producer, sequence: sequence, intendedNanoseconds: intended)
        for index in 0..<batchSize {
            let shift = index * stride
            for key in keys {
                FixedWidth.hexadecimal(UInt64(producer), width: 8, at: start + key + shift)
                FixedWidth.hexadecimal(UInt64(bitPattern: stamp.sequence), width: 16, at: start + key + shift + 8)
            }
            let body = firstBody + shift
            stamp.seal(UnsafeMutableRawBufferPointer(rebasing: target[body..<body + bodySize]))
            stamp.sequence += 1
        }
    }

    /// Spread by a hash of the sequence, so that neighbours are due at different times.
    @inline(__always)
    private func dueTime(_ sequence: Int64, _ now: Int64) -> Int64 {
        let hash = UInt64(bitPattern: sequence) &* 0x9E37_79B9_7F4A_7C15
        return now + delay + Int64(hash >> 16 % delaySpread)
    }

    private func setTimestamp(_ now: Int64) {
        milliseconds = now
        frame.withUnsafeMutableBytes { bytes in
            guard let start = bytes.baseAddress else { return }
            FixedWidth.decimal(now, width: 13, at: start + timestamp)
        }
    }

    // MARK: - The pattern

    private static let anyOpaque: Int32 = 1_987_654_321
    /// As wide as every timestamp until the year 2286.
    private static let anyMilliseconds: Int64 = 1_700_000_000_000
    /// Stands where the time of a delayed message goes.
    private static let anyDue: Int64 = 1_876_543_219_876
    /// The producer in 8 digits and the sequence in 16; no other text of a frame looks like it.
    private static let keyPlaceholder = "00000000FFFFFFFFFFFFFFFF"

    /// Writes the frame.
    /// - Returns: where its body starts.
    private static func write(
        _ workload: Workload, run: UInt64, queueDigits: Int, _ signer: RequestSigner?, to buffer: ByteBuffer
    ) -> Int {
        let isBatch = workload.batchSize > 1
        let ofHeader = isBatch ? headerProperties(ofBatch: workload) : entryProperties(workload, run: run)
        var widest: Int32 = 1
        for _ in 1..<queueDigits { widest *= 10 }
        var writer = CommandWriter(buffer, encoding: workload.encoding)
        writer.signer = signer
        writer.begin(request: isBatch ? .sendBatchMessage : .sendMessageV2, opaque: anyOpaque)
        SendMessageHeader.write(
            into: &writer, producerGroup: workload.producerGroup, topic: workload.topicName(0),
            defaultTopicQueueCount: Int32(workload.queueCount), queueID: QueueID(widest),
            flags: MessageFlags(rawValue: workload.isTransactional ? MessageFlags.transactionPrepared : 0),
            bornTimestamp: Timestamp(milliseconds: anyMilliseconds), properties: ofHeader.bytes, isBatch: isBatch)
        writer.beginBody()
        let start = buffer.count
        let body = ByteBuffer()
        body.append(filling(workload.bodySize, seed: run))
        if isBatch {
            let properties = entryProperties(workload, run: run)
            for _ in 0..<workload.batchSize {
                MessageBatch.append(flag: 0, body: body.bytes, properties: properties.bytes, to: buffer)
            }
        } else {
            buffer.append(body.bytes)
        }
        writer.end()
        return start
    }

    /// What 4.9's client puts into the header of a batch; the broker adds it to every message.
    private static func headerProperties(ofBatch workload: Workload) -> ByteBuffer {
        let buffer = ByteBuffer()
        if workload.properties != .none {
            MessageProperties.encode([(name: PropertyName.wait, value: "true")], to: buffer)
        }
        return buffer
    }

    /// The properties of one message, with ``keyPlaceholder`` in its keys.
    private static func entryProperties(_ workload: Workload, run: UInt64) -> ByteBuffer {
        var properties: [(name: String, value: String)] = []
        if workload.properties == .full { properties.append((PropertyName.keys, "k" + keyPlaceholder)) }
        if workload.properties != .none {
            // 32 digits, as wide as a client's.
            let digits = String(UInt32(truncatingIfNeeded: run), radix: 16, uppercase: true)
            let prefix = String(repeating: "0", count: 8 - digits.count) + digits
            properties.append((PropertyName.uniqueKey, prefix + keyPlaceholder))
            if workload.batchSize == 1 { properties.append((PropertyName.wait, "true")) }
        }
        if workload.properties == .full { properties.append((PropertyName.tags, "bench")) }
        if workload.isTransactional {
            properties.append((PropertyName.transactionPrepared, "true"))
            properties.append((PropertyName.producerGroup, workload.producerGroup))
        }
        if workload.delayMilliseconds != nil { properties.append((PropertyName.timerDeliver, String(anyDue))) }
        let buffer = ByteBuffer()
        MessageProperties.encode(properties, to: buffer)
        return buffer
    }

    /// Bytes that compress badly, the same for the same seed.
    private static func filling(_ size: Int, seed: UInt64) -> [UInt8] {
        let random = SeededRandom(seed: seed)
        return (0..<size).map { _ in UInt8(truncatingIfNeeded: random.next() >> 32) }
    }

    private static func opaquePosition(in frame: ByteBuffer, _ encoding: HeaderEncoding, header: Range<Int>) -> Int {
        // Binary: code 2, language 1, version 2, then the opaque (remoting reference §1.2).
        guard encoding == .json else { return header.lowerBound + 5 }
        let name = "\"opaque\":"
        let found = positions(of: name + String(anyOpaque), in: frame, header)
        precondition(found.count == 1, "the writer's own header has no single opaque")
        return found[0] + name.utf8.count
    }

    private static func positions(of text: String, in frame: ByteBuffer, _ range: Range<Int>) -> [Int] {
        let wanted = Array(text.utf8)
        let bytes = frame.bytes
        var found: [Int] = []
        var position = range.lowerBound
        while position + wanted.count <= range.upperBound {
            if (0..<wanted.count).allSatisfy({ bytes.byte(at: position + $0) == wanted[$0] }) {
                found.append(position)
            }
            position += 1
        }
        return found
    }
}

/// Where the fields of a frame that this program wrote stand.
private struct HeaderFields {
    let frame: Frame
    private let header = CommandHeader()
    private let copy = ByteBuffer()

    init(of bytes: ByteBuffer) {
        // Decoding replaces escapes where they stand, so a copy is decoded. Values begin at the same places in both.
        copy.append(bytes.bytes)
        do {
            guard let frame = try Frame.next(in: copy) else { preconditionFailure("a frame without an end") }
            self.frame = frame
            try header.decode(frame, in: copy)
        } catch {
            preconditionFailure("a frame that its writer cannot read: \(error)")
        }
    }

    func position(_ name: StaticString) -> Range<Int> {
        guard let range = header.value(name, in: copy.bytes) else { preconditionFailure("no field \(name)") }
        return range
    }
}

/// A template for each width that a queue's number can have.
struct SendTemplates {
    private let byDigits: [SendTemplate]

    init(_ workload: Workload, run: UInt64, queueIDMaximum: Int32) {
        byDigits = (1...FixedWidth.digits(queueIDMaximum)).map { SendTemplate(workload, run: run, queueDigits: $0) }
    }

    @inline(__always)
    subscript(queue: QueueReference) -> SendTemplate { byDigits[FixedWidth.digits(queue.queueID) - 1] }
}
