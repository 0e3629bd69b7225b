import Base
import Bytes
import Model
import RemotingProtocol
import Testing

@Suite("Command headers")
struct CommandHeaderTests {
    // MARK: - JSON

    @Test("members come in any order, with space, single quotes, strangers and numbers in quotes")
    func lenient() throws {
        let decoded = try DecodedFrame(
            frame(
                json: """
                     { "version" : "409" , 'opaque':7,"remark":"r","strange":{"a":[1,"}",{"b":null}],"c":"\\""},
                    "flag":3,"extFields":{ "topic" : "T", "n":5,"yes":true,"none":null,"list":[1,2],'q':'it"s' },"language":"GO",
                    "code": 105 , "serializeTypeCurrentRPC":"JSON" }\n
                    """))
        #expect(decoded.header.code == 105)
        #expect(decoded.header.version == 409)
        #expect(decoded.header.opaque == 7)
        #expect(decoded.header.isResponse && decoded.header.isOneway)
        #expect(decoded.header.language == .go)
        #expect(decoded.remark == "r")
        #expect(decoded.fields == ["topic": "T", "n": "5", "yes": "true", "q": "it\"s"])
    }

    @Test("a header of nothing but a code is enough")
    func least() throws {
        let decoded = try DecodedFrame(frame(json: #"{"code":34}"#))
        #expect(decoded.header.requestCode == .heartbeat)
        #expect(decoded.header.remark == nil)
        #expect(decoded.header.fields.isEmpty)
        #expect(try DecodedFrame(frame(json: #"{"code":0,"extFields":{},"remark":null}"#)).header.fields.isEmpty)
        #expect(try DecodedFrame(frame(json: #"{"code":0,"extFields":null,"remark":""}"#)).remark == "")
    }

    @Test(
        "escapes are replaced in place",
        arguments: [
            (#"a\u0001b\u0002"#, "a\u{1}b\u{2}"), (#"\u00e9\u20AC"#, "é€"), (#"\uD83D\uDE00"#, "😀"),
            (#"\"\\\/\b\f\n\r\t"#, "\"\\/\u{8}\u{C}\n\r\t"), (#"\x41\v"#, "A\u{B}"), (#"\u0000"#, "\u{0}"),
            (#"é\u0041é"#, "éAé"),
        ])
    func escapes(text: String, expected: String) throws {
        let json =
            "{\"extFields\":{\"i\":\"\(text)\",\"\(text)\":\"v\",\"z\":\"after\"},\"remark\":\"\(text)\",\"code\":10}"
        let decoded = try DecodedFrame(frame(json: json, body: Array("body".utf8)))
        #expect(decoded.fields == ["i": expected, expected: "v", "z": "after"])
        #expect(decoded.remark == expected)
        #expect(decoded.body == Array("body".utf8))
        #expect(decoded.header.code == 10)
    }

    @Test(
        "JSON that is no header is refused",
        arguments: [
            "", " ", "null", "[]", "{", "{}", #"{"code"}"#, #"{"code":}"#, #"{"code":x}"#, #"{"code":1.5}"#,
            #"{"code":"a"}"#,
            #"{"code":null}"#, #"{"code":{}}"#, #"{"code":99999999999}"#, #"{"code":2147483648}"#, #"{"code":1"#,
            #"{"code":1,"#,
            #"{"code":1,}"#, #"{"code":1}x"#, #"{"code":1}{}"#, #"{"code":1 "flag":2}"#, #"{"flag":0}"#,
            #"{"code":1,"flag":true}"#,
            #"{"code":1,"opaque":""}"#, #"{"code":1,"version":[1]}"#, #"{"code":1,"extFields":[]}"#,
            #"{"code":1,"extFields":1}"#,
            #"{"code":1,"extFields":{"a"}}"#, #"{"code":1,"extFields":{"a":"b}"#, #"{"code":1,"extFields":{a:"b"}}"#,
            #"{"code":1,"extFields":{"a":}}"#, #"{"code":1,"remark":"\u12"}"#, #"{"code":1,"remark":"\uZZZZ"}"#,
            #"{"code":1,"remark":"\q"}"#, #"{"code":1,"remark":"\uD800"}"#, #"{"code":1,"remark":"\uD800\u0041"}"#,
            #"{"code":1,"remark":"\uDC00\uD800"}"#, #"{"code":1,"remark":"\"#, #"{"code":1,"x":]}"#,
            #"{"code":1,"x":{]}"#,
            #"{"code":1,"x":[}}"#, #"{"code":1,"x":}"#, #"{"code":1,"x":,}"#, "{\"code\":1,\"x\":\u{1}}",
        ])
    func refused(json: String) {
        #expect(throws: HeaderError.self) { try DecodedFrame(frame(json: json)) }
    }

    @Test("deep nesting of what is passed over is refused, not followed", arguments: ["[", "{\"a\":", "[{\"a\":"])
    func deep(piece: String) {
        let json = #"{"code":1,"x":"# + String(repeating: piece, count: 100_000)
        #expect(throws: HeaderError.self) { try DecodedFrame(frame(json: json)) }
    }

    @Test("an unknown language is OTHER", arguments: ["\"KLINGON\"", "99", "-1", "99999999999", "null", "\"\""])
    func language(text: String) throws {
        #expect(try DecodedFrame(frame(json: "{\"code\":1,\"language\":\(text)}")).header.language == .other)
    }

    @Test("languages by name and number", arguments: LanguageCode.allCases)
    func languages(language: LanguageCode) throws {
        for text in ["\"\(language.name)\"", "\(language.rawValue)", "\"\(language.rawValue)\""] {
            #expect(try DecodedFrame(frame(json: "{\"code\":1,\"language\":\(text)}")).header.language == language)
        }
    }

    @Test("every beginning of a header is refused, in both encodings", arguments: [HeaderEncoding.json, .binary])
    func truncated(encoding: HeaderEncoding) throws {
        let whole = written(encoding) { writer in
            writer.begin(code: 310, opaque: 77, flag: 1, remark: "re\u{1}mark é")
            writer.field("a", "group")
            writer.field("i", "k\u{1}v\u{2}")
            writer.field("g", Int64.max)
            writer.end()
        }
        _ = try DecodedFrame(whole)
        let header = Array(whole[8...])
        for length in 0..<header.count {
            #expect(throws: HeaderError.self) {
                try DecodedFrame(frame(header: Array(header[..<length]), encoding: encoding.rawValue))
            }
        }
    }

    // MARK: - Binary

    @Test(
        "binary lengths that do not fit are refused",
        arguments: [
            "", "006900019500000005000000000000000000",
            // Remark: negative, too long.
            "00690001950000000500000000ffffffff00000000", "0069000195000000050000000000000001 00000000",
            "006900019500000005000000007fffffff00000000",
            // Fields: negative, too long, a name too long, a value too long, a negative value, half a name length.
            "0069000195000000050000000000000000ffffffff", "006900019500000005000000000000000000000001",
            "00690001950000000500000000000000000000000500096162630",
            "0069000195000000050000000000000000000000070001610000000 2",
            "006900019500000005000000000000000000000007000161ffffffff", "00690001950000000500000000000000000000000100",
            "0069000195000000050000000000000000000000060001617fffffff",
            "006900019500000005000000000000000000000002ffff",
        ])
    func binary(hexadecimal: String) {
        let header = bytes(
            hexadecimal: hexadecimal.filter { $0 != " " } + (hexadecimal.filter { $0 != " " }.count % 2 == 1 ? "0" : "")
        )
        #expect(throws: HeaderError.self) { try DecodedFrame(frame(header: header, encoding: 1)) }
    }

    @Test(
        "codes above 32767 come cut off and are mapped back",
        arguments: [
            (Int16(3442), RequestCode.popMessage), (3443, .ackMessage), (3444, .peekMessage),
            (3445, .changeMessageInvisibleTime), (3446, .notification), (3447, .pollingInfo), (3448, .popRollback),
            (3543, .batchAckMessage), (3441, RequestCode(3441)), (3449, RequestCode(3449)), (310, .sendMessageV2),
            (-1, RequestCode(-1)),
        ] as [(Int16, RequestCode)])
    func mapped(number: Int16, code: RequestCode) throws {
        let bytes = written(.binary) { writer in
            writer.begin(code: Int32(number), opaque: 1, flag: 0, remark: .none)
            writer.end()
        }
        #expect(try DecodedFrame(bytes).header.requestCode == code)
        let whole = written(.binary) { writer in
            writer.begin(request: code, opaque: 1)
            writer.end()
        }
        #expect(whole == bytes)
        let answer = written(.binary) { writer in
            writer.begin(code: Int32(number), opaque: 1, flag: 1, remark: .none)
            writer.end()
        }
        #expect(try DecodedFrame(answer).header.code == Int32(number))
    }

    // MARK: - Both

    @Test("what the writer writes is read again", arguments: [HeaderEncoding.json, .binary])
    func roundTrip(encoding: HeaderEncoding) throws {
        let properties = "KEYS\u{1}k1 k2\u{2}q\u{1}\"\\\u{2028}é😀"
        let request = try DecodedFrame(frame(json: #"{"code":1,"opaque":-5,"flag":0}"#))
        let bytes = written(encoding) { writer in
            writer.language = .go
            writer.version = 317
            writer.begin(response: .topicNotExist, to: request.header, remark: .init("no \"topic\"\n"))
            writer.field("properties", properties)
            writer.field("number", Int64.min)
            writer.field("yes", true)
            writer.field("none", String?.none)
            writer.field("literal", literal: "x")
            writer.field("empty", "")
            writer.beginBody()
            writer.buffer.append(utf8: "body")
            writer.end()
        }
        let decoded = try DecodedFrame(bytes)
        #expect(decoded.header.responseCode == .topicNotExist)
        #expect(decoded.header.opaque == -5)
        #expect(decoded.header.flag == 1)
        #expect(decoded.header.language == .go)
        #expect(decoded.header.version == 317)
        #expect(decoded.remark == "no \"topic\"\n")
        #expect(
            decoded.fields == [
                "properties": properties, "number": "-9223372036854775808", "yes": "true", "literal": "x", "empty": "",
            ])
        #expect(decoded.body == Array("body".utf8))
    }

    @Test("many frames in one buffer, one taken back")
    func several() throws {
        let buffer = ByteBuffer()
        buffer.append(utf8: "sent")
        buffer.consume(2)
        var writer = CommandWriter(buffer, encoding: .json)
        for opaque: Int32 in 0..<100 {
            writer.begin(request: .heartbeat, opaque: opaque)
            writer.end()
            writer.begin(request: .pullMessage, opaque: -1)
            writer.field("topic", "T")
            writer.cancel()
        }
        buffer.consume(2)
        let header = CommandHeader()
        for opaque: Int32 in 0..<100 {
            let frame = try #require(try Frame.next(in: buffer))
            try header.decode(frame, in: buffer)
            #expect(header.opaque == opaque)
            buffer.consume(frame.size)
        }
        #expect(buffer.isEmpty)
    }

    @Test("fields are looked up with their types, and what is wrong is named")
    func lookups() throws {
        let decoded = try DecodedFrame(
            frame(
                json:
                    #"{"code":1,"extFields":{"n":"12","big":"2147483648","t":"TRUE","f":"1","bad":"1x","twice":"1","twice":"2"}}"#
            ))
        let header = decoded.header
        let buffer = decoded.buffer
        let span = buffer.bytes
        let n = try header.int32("n", in: span)
        #expect(n == 12)
        let big = try header.int64("big", in: span)
        #expect(big == 2_147_483_648)
        let t = try header.bool("t", in: span), f = try header.bool("f", in: span)
        #expect(t && !f)
        let twice = try header.string("twice", in: span)
        #expect(twice == "2")
        let none = try header.int32(ifPresent: "none", in: span)
        #expect(none == nil)
        #expect(
            error { () throws(HeaderError) in _ = try header.int32("big", in: span) }
                == .invalid(field: "big", value: "2147483648", expected: "a whole number of 32 bits"))
        #expect(
            error { () throws(HeaderError) in _ = try header.int64(ifPresent: "bad", in: span) }
                == .invalid(field: "bad", value: "1x", expected: "a whole number of 64 bits"))
        let missing = error { () throws(HeaderError) in _ = try header.string("none", in: span) }
        #expect(missing == .missing(field: "none"))
        #expect(missing?.description == "the custom field <none> is null")
    }

    private func error(_ body: () throws(HeaderError) -> Void) -> HeaderError? {
        do throws(HeaderError) { try body() } catch { return error }
        return nil
    }
}
