import Base
import Bytes
import Model
import RemotingProtocol
import Testing

@testable import Administration

@Suite("Send template")
struct SendTemplateTests {
    struct Case: Sendable, CustomTestStringConvertible {
        var encoding: HeaderEncoding
        var batch: Int
        var properties: Workload.Properties
        var topics: Int
        var queue: QueueReference
        var testDescription: String { "\(encoding), batch \(batch), \(properties), \(topics) topics, \(queue.queueID)" }
    }

    static let cases: [Case] = [HeaderEncoding.json, .binary].flatMap { encoding in
        [1, 3].flatMap { batch in
            Workload.Properties.allCases.flatMap { properties in
                [(1, 0, 0), (10_000, 9_876, 7), (1000, 0, 10), (17, 16, 65_535)].map { topics, topic, queue in
                    Case(
                        encoding: encoding, batch: batch, properties: properties, topics: topics,
                        queue: QueueReference(topic: Int32(topic), queueID: Int32(queue)))
                }
            }
        }
    }

    private func workload(_ test: Case) -> Workload {
        var workload = Workload()
        workload.encoding = test.encoding
        workload.batchSize = test.batch
        workload.properties = test.properties
        workload.topicCount = test.topics
        workload.bodySize = 100
        return workload
    }

    /// A frame of the template, among others so that something left over from them would show.
    private func frame(_ workload: Workload, _ queue: QueueReference, opaque: Int32, sequence: Int64) -> ByteBuffer {
        let templates = SendTemplates(workload, run: 0xABCD_EF01_2345_6789, queueIDMaximum: 65_535)
        let other = ByteBuffer()
        templates[queue].append(
            to: other, opaque: 1_999_999_999, queue: QueueReference(topic: 0, queueID: queue.queueID),
            producer: UInt32.max, sequence: 1 << 35, milliseconds: 1_888_888_888_888, intended: Int64.max)
        let buffer = ByteBuffer()
        templates[queue].append(
            to: buffer, opaque: opaque, queue: queue, producer: 7, sequence: sequence,
            milliseconds: 1_790_000_000_123, intended: 55)
        return buffer
    }

    @Test("its frames are those of the ordinary writer, byte for byte", arguments: cases)
    func sameAsWriter(_ test: Case) throws {
        let workload = workload(test)
        let buffer = frame(workload, test.queue, opaque: 1_000_000_042, sequence: 900)
        let original = buffer.bytes.array()

        let whole = try #require(try Frame.next(in: buffer))
        #expect(whole.size == original.count)
        let header = CommandHeader()
        try header.decode(whole, in: buffer)
        #expect(header.opaque == 1_000_000_042)
        #expect(header.requestCode == (test.batch > 1 ? .sendBatchMessage : .sendMessageV2))
        #expect(!header.isOneway && !header.isResponse)
        let fields = try SendMessageHeader(header, in: buffer.bytes)
        #expect(buffer.bytes.extracting(fields.topic).string() == workload.topicName(Int(test.queue.topic)))
        #expect(fields.queueID.rawValue == test.queue.queueID)
        #expect(fields.bornTimestamp.milliseconds == 1_790_000_000_123)
        #expect(fields.isBatch == (test.batch > 1))

        let again = ByteBuffer()
        var writer = CommandWriter(again, encoding: test.encoding)
        writer.begin(request: header.requestCode, opaque: 1_000_000_042)
        SendMessageHeader.write(
            into: &writer, producerGroup: workload.producerGroup, topic: workload.topicName(Int(test.queue.topic)),
            defaultTopicQueueCount: 4, queueID: QueueID(test.queue.queueID),
            bornTimestamp: Timestamp(milliseconds: 1_790_000_000_123),
            properties: buffer.bytes.extracting(fields.properties), isBatch: test.batch > 1)
        writer.beginBody()
        again.append(buffer.bytes.extracting(whole.body))
        writer.end()
        #expect(again.bytes.array() == original)
    }

    @Test("a signed template signs what it has written, each time anew", arguments: cases)
    func signatures(_ test: Case) throws {
        var workload = workload(test)
        workload.credentials = Credentials(accessKey: "bench-1", secretKey: "secret-of-bench")
        let key = try #require(SigningKey(secret: "secret-of-bench"))
        let other = try #require(SigningKey(secret: "secret-of-other"))
        for sequence in [900, 901] as [Int64] {
            let buffer = frame(workload, test.queue, opaque: 1_000_000_042, sequence: sequence)
            let whole = try #require(try Frame.next(in: buffer))
            let header = CommandHeader()
            try header.decode(whole, in: buffer)
            let name = header.string(ifPresent: "AccessKey", in: buffer.bytes)
            let isSigned = key.verifies(header, body: whole.body, in: buffer.bytes)
            let isSignedByOther = other.verifies(header, body: whole.body, in: buffer.bytes)
            #expect(name == "bench-1" && isSigned && !isSignedByOther)
        }
    }

    @Test("every message has its own stamp and keys", arguments: cases)
    func stamps(_ test: Case) throws {
        let workload = workload(test)
        let buffer = frame(workload, test.queue, opaque: 1_000_000_001, sequence: 255)
        let whole = try #require(try Frame.next(in: buffer))
        let header = CommandHeader()
        try header.decode(whole, in: buffer)
        let fields = try SendMessageHeader(header, in: buffer.bytes)
        let body = buffer.bytes.extracting(whole.body)
        guard test.batch > 1 else {
            #expect(properties(buffer.bytes.extracting(fields.properties)) == expectedProperties(test, 255))
            #expect(MessageStamp.check(body) == .good(stamp(255)))
            return
        }
        var position = 0
        var sequence: Int64 = 255
        while let entry = try MessageBatch.next(in: body, at: &position) {
            #expect(MessageStamp.check(body.extracting(entry.body)) == .good(stamp(sequence)))
            #expect(properties(body.extracting(entry.properties)) == expectedProperties(test, sequence))
            sequence += 1
        }
        #expect(sequence == 255 + 3)
    }

    private func stamp(_ sequence: Int64) -> MessageStamp {
        MessageStamp(run: 0xABCD_EF01_2345_6789, producer: 7, sequence: sequence, intendedNanoseconds: 55)
    }

    private func properties(_ span: RawSpan) -> [String] {
        MessageProperties.decode(span).map { "\($0.name)=\($0.value)" }
    }

    private func expectedProperties(_ test: Case, _ sequence: Int64) -> [String] {
        let digits = String(sequence, radix: 16, uppercase: true)
        let key = "00000007" + String(repeating: "0", count: 16 - digits.count) + digits
        let client = ["UNIQ_KEY=23456789" + key] + (test.batch == 1 ? ["WAIT=true"] : [])
        switch test.properties {
        case .none: return []
        case .client: return client
        case .full: return ["KEYS=k" + key] + client + ["TAGS=bench"]
        }
    }
}

@Suite("Message stamp")
struct MessageStampTests {
    private func body(_ size: Int) -> [UInt8] {
        var body = [UInt8](repeating: 0x5A, count: size)
        body.withUnsafeMutableBytes {
            MessageStamp(run: 1, producer: 2, sequence: 3, intendedNanoseconds: 4).seal($0)
        }
        return body
    }

    private func check(_ bytes: [UInt8]) -> MessageStamp.Check {
        bytes.withUnsafeBytes { MessageStamp.check(RawSpan(_unsafeBytes: $0)) }
    }

    @Test("a body comes back as it was sealed", arguments: [36, 37, 100, 1024])
    func roundTrip(_ size: Int) {
        let stamp = MessageStamp(run: 1, producer: 2, sequence: 3, intendedNanoseconds: 4)
        #expect(check(body(size)) == .good(stamp))
    }

    @Test("a change of any byte shows")
    func corruption() {
        for index in 0..<100 {
            var bytes = body(100)
            bytes[index] ^= 1
            #expect(check(bytes) == (index < 4 ? .foreign : .corrupt))
        }
    }

    @Test("a cut body is not good", arguments: [0, 3, 35, 36, 99])
    func cut(_ size: Int) {
        let result = check(Array(body(100)[..<size]))
        #expect(result == (size < 36 ? .foreign : .corrupt))
    }
}
