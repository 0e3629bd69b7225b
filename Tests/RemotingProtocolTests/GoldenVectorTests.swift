import Base
import Bytes
import Model
import RemotingProtocol
import Testing

/// The golden vectors of the remoting reference, appendix E.
@Suite("Golden vectors")
struct GoldenVectorTests {
    static let routeJSON = """
        00000084000000807b22636f6465223a3130352c226578744669656c6473223a7b22746f706963223a22544257313032227d2c22666c616722\
        3a302c226c616e6775616765223a224a415641222c226f7061717565223a302c2273657269616c697a655479706543757272656e7452504322\
        3a224a534f4e222c2276657273696f6e223a3430397d
        """
    static let routeBinary = """
        0000002a010000260069000195000000050000000000000000000000110005746f70696300000006544257313032
        """

    @Test("E1 and E2: a route request is read and written in both encodings, byte for byte")
    func route() throws {
        for (hexadecimal, encoding, opaque, version) in [
            (Self.routeJSON, HeaderEncoding.json, Int32(0), Int32(409)), (Self.routeBinary, .binary, 5, 405),
        ] {
            let golden = bytes(hexadecimal: hexadecimal)
            let decoded = try DecodedFrame(golden)
            #expect(decoded.frame.size == golden.count)
            #expect(decoded.header.requestCode == .getRouteInfoByTopic)
            #expect(decoded.header.opaque == opaque)
            #expect(decoded.header.version == version)
            #expect(decoded.header.language == .java)
            #expect(!decoded.header.isResponse && !decoded.header.isOneway)
            #expect(decoded.fields == ["topic": "TBW102"])
            #expect(decoded.body.isEmpty)
            let again = written(encoding) { writer in
                writer.version = version
                writer.begin(request: .getRouteInfoByTopic, opaque: opaque)
                writer.field("topic", "TBW102")
                writer.end()
            }
            #expect(again == golden)
        }
    }

    @Test("E3: two pulled records")
    func records() throws {
        let first = """
            000000d5daa320a758932aac0000000200000000000000000000000000000000000002cb00000000000001a1f9fccd737f0000010000beea\
            000001a1f9fccd9e7f000001000078bf00000000000000000000000000000002686906546f7069634a00724b455953016b31206b3202757001\
            7602554e49515f4b455901464430303030303030303030303030303030303030303030303030303030303233463834333039343645303936\
            353934453537333030303002434c55535445520144656661756c74436c757374657202544147530154616741
            """
        let second = """
            000000cddaa320a77433689f0000000200000000000000000000000100000000000003a000000000000001a1f9fcce407f0000010000beea\
            000001a1f9fcce457f000001000078bf00000000000000000000000000000002617306546f7069634a006a4b455953016b3402554e49515f4b\
            45590146443030303030303030303030303030303030303030303030303030303030323346383433303934364530393635393445363430303030\
            3202434c55535445520144656661756c74436c757374657202544147530154616742
            """
        let body = bytes(hexadecimal: first + second)
        #expect(body.count == 418)
        let record = try MessageRecord(body.span.bytes)
        #expect(record.size == 0xd5)
        #expect(record.bodyCRC == 0x5893_2aac)
        let matches = record.bodyMatchesCRC(in: body.span.bytes)
        #expect(matches)
        #expect(record.queueID == QueueID(2))
        #expect(record.physicalOffset == PhysicalOffset(0x2cb))
        #expect(record.bornHost.description == "127.0.0.1:48874")
        #expect(record.storeHost.description == "127.0.0.1:30911")
        #expect(body.span.bytes.extracting(record.body).string() == "hi")
        #expect(body.span.bytes.extracting(record.topic).string() == "TopicJ")
        #expect(record.properties.count == 0x72)
        let rest = body.span.bytes.extracting(record.size..<body.count)
        let next = try MessageRecord(rest)
        #expect(next.queueOffset == QueueOffset(1))
        #expect(next.size == rest.byteCount)
    }
}
