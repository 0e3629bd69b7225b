import Base
import Bytes
import Model

@testable import ApusClient

/// A record as a broker stores it, for what a fake broker sends.
struct StoredRecord {
    var topic = "T"
    var queueID: Int32 = 0
    var queueOffset: Int64 = 0
    var physicalOffset: Int64 = 0
    var body: [UInt8] = []
    var flags: MessageFlags = []
    var properties: [(name: String, value: String)] = []
    var reconsumeTimes: Int32 = 0

    var bytes: [UInt8] {
        let buffer = ByteBuffer()
        let encodedProperties = ByteBuffer()
        MessageProperties.encode(properties, to: encodedProperties)
        let host = HostAddress.loopback(port: 10_911)
        buffer.append(bigEndian: UInt32(0))
        buffer.append(bigEndian: MessageRecord.magicV1)
        buffer.append(bigEndian: crc32(body.span.bytes) & 0x7FFF_FFFF)
        buffer.append(bigEndian: queueID)
        buffer.append(bigEndian: Int32(0))
        buffer.append(bigEndian: queueOffset)
        buffer.append(bigEndian: physicalOffset)
        buffer.append(bigEndian: flags.rawValue)
        buffer.append(bigEndian: Int64(1000))
        host.append(to: buffer)
        buffer.append(bigEndian: Int64(2000))
        host.append(to: buffer)
        buffer.append(bigEndian: reconsumeTimes)
        buffer.append(bigEndian: Int64(0))
        buffer.append(bigEndian: Int32(body.count))
        buffer.append(body)
        buffer.append(UInt8(topic.utf8.count))
        buffer.append(utf8: topic)
        buffer.append(bigEndian: UInt16(encodedProperties.count))
        buffer.append(encodedProperties.bytes)
        buffer.patch(bigEndian: UInt32(buffer.count), at: 0)
        return buffer.bytes.array()
    }

    func message(broker: String = "b") throws -> ReceivedMessage {
        let bytes = self.bytes
        let span = bytes.span.bytes
        return ReceivedMessage(try MessageRecord(span), in: span, brokerName: broker, topic: topic)
    }
}
