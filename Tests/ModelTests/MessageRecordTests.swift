import Base
import Bytes
import Model
import Testing

@Suite("Stored record")
struct MessageRecordTests {
    /// The first record of a pull answer of RocketMQ 4.9.8.
    static let golden: [UInt8] = {
        let hex =
            "000000d5daa320a758932aac0000000200000000000000000000000000000000000002cb00000000000001a1f9fccd737f0000010000"
            + "beea000001a1f9fccd9e7f000001000078bf00000000000000000000000000000002686906546f7069634a00724b455953016b31206b"
            + "32027570017602554e49515f4b4559014644303030303030303030303030303030303030303030303030303030303032334638343330"
            + "39343645303936353934453537333030303002434c55535445520144656661756c74436c757374657202544147530154616741"
        var bytes: [UInt8] = []
        var digits = hex.utf8.makeIterator()
        func nibble(_ digit: UInt8) -> UInt8 { digit < 0x40 ? digit - 0x30 : digit - 0x57 }
        while let high = digits.next(), let low = digits.next() { bytes.append(nibble(high) << 4 | nibble(low)) }
        return bytes
    }()

    @Test("RocketMQ's record is read field by field")
    func fields() throws {
        let span = Self.golden.span.bytes
        let record = try MessageRecord(span)
        #expect(record.size == 213)
        #expect(record.queueID.rawValue == 2)
        #expect(record.physicalOffset.rawValue == 0x2CB)
        #expect(record.bornHost == HostAddress(ipv4: 0x7F00_0001, port: 48_874))
        #expect(record.storeHost.description == "127.0.0.1:30911")
        #expect(span.extracting(record.body).string() == "hi")
        #expect(span.extracting(record.topic).string() == "TopicJ")
        let matches = record.bodyMatchesCRC(in: span)
        #expect(matches)
        let properties = span.extracting(record.properties)
        let tags = MessageProperties.valueRange(of: "TAGS", in: properties).map { properties.extracting($0).string() }
        #expect(tags == "TagA")
        let tag = MessageProperties.valueRange(of: "TAG", in: properties)
        #expect(tag == nil)
        #expect(MessageProperties.decode(properties).map(\.name) == ["KEYS", "up", "UNIQ_KEY", "CLUSTER", "TAGS"])
    }

    @Test("a record that is cut anywhere is refused")
    func truncated() {
        for length in 0..<Self.golden.count {
            #expect(throws: MessageRecordError.self) { try MessageRecord(Array(Self.golden[..<length]).span.bytes) }
        }
    }

    @Test("any changed byte is read or refused, never a trap", arguments: [UInt8(0x00), 0x7F, 0x80, 0xFF])
    func changed(value: UInt8) {
        for position in Self.golden.indices {
            var bytes = Self.golden
            bytes[position] = value
            _ = try? MessageRecord(bytes.span.bytes)
        }
    }

    @Test(
        "message ids are written and read, for both families",
        arguments: [
            (HostAddress(ipv4: 0x7F00_0001, port: 30_911), "7F000001000078BF00000000000002CB"),
            (HostAddress(ipv6High: 0, low: 1, port: 1), "000000000000000000000000000000010000000100000000000002CB"),
        ])
    func messageID(host: HostAddress, text: String) {
        let id = OffsetMessageID(host: host, offset: PhysicalOffset(0x2CB))
        #expect(id.description == text)
        #expect(OffsetMessageID(text) == id)
        #expect(OffsetMessageID(String(text.dropLast())) == nil)
        #expect(OffsetMessageID(String(text.dropLast()) + "g") == nil)
    }
}
