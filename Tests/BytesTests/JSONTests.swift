import Bytes
import Testing

@Suite("JSON as fastjson speaks it")
struct JSONTests {
    @Test(
        "documents and what they hold",
        arguments: [
            ("null", JSONValue.null), (" true ", true), ("[]", []), ("{}", [:]), ("-12", -12),
            ("9223372036854775807", .integer(.max)), ("-9223372036854775808", .integer(.min)),
            ("9223372036854775808", .double(9_223_372_036_854_775_808)), ("1.5e3", .double(1500)),
            (#""a\"b\\\/\b\f\n\r\t""#, "a\"b\\/\u{8}\u{C}\n\r\t"), (#""\u0001\u00e9\uD83D\uDE00""#, "\u{1}é😀"),
            (#""\x41\v\0""#, "A\u{B}\u{0}"), ("'it\"s'", "it\"s"), ("\"é😀\"", "é😀"),
            (#"{"a":[1,{"b":null}]}"#, ["a": [1, ["b": .null]]]), ("{0:\"x\",-1:2}", [0: "x", -1: 2]),
            (#"{{"q":1}:{"o":2},{"q":2}:3}"#, [["q": 1]: ["o": 2], ["q": 2]: 3]),
            ("{a:1,b_2:'c'}", ["a": 1, "b_2": "c"]),
            ("[1,2,]", [1, 2]), (#"{"a":1,}"#, ["a": 1]), ("{}\r\n\t ", [:]), ("{[1]:2}", [[1]: 2]),
        ] as [(String, JSONValue)])
    func parsed(text: String, expected: JSONValue) throws {
        #expect(try JSONValue(parsing: text) == expected)
    }

    @Test("a number beyond a double is infinite or refused, never a trap", arguments: ["1e999", "-1e999", "1e-999"])
    func extremes(text: String) {
        _ = try? JSONValue(parsing: text)
    }

    @Test(
        "what is no JSON is refused at a position",
        arguments: [
            ("", 0), ("  ", 2), ("{", 1), ("[", 1), ("[1", 2), ("[1 2]", 3), ("{\"a\"}", 4), ("{\"a\":}", 5),
            ("{\"a\":1", 6),
            ("\"abc", 0), (#""\u12"#, 1), (#""\u12zz""#, 1), (#""\q""#, 1), (#""\uD800""#, 1), (#""\uD800\u0041""#, 1),
            (#""\uDC00""#, 1), (#""a\"#, 2), ("nul", 0), ("tru", 0), ("-", 0), ("+1", 0), ("1-2", 0), ("1.2.3", 0),
            ("}", 0),
            ("]", 0), (",", 0), ("{,}", 1), ("[,]", 1), ("{} {}", 3), ("1 x", 2), ("\u{0}", 0), ("{\"a\":\u{0}}", 5),
        ])
    func refused(text: String, position: Int) {
        let error = #expect(throws: JSONError.self) { try JSONValue(parsing: text) }
        #expect(error?.position == position)
        #expect(error?.reason.isEmpty == false)
    }

    @Test("nesting has a limit, for values and for keys", arguments: ["[", "{\"a\":", "{{\"a\":1}:", "{"])
    func depth(piece: String) {
        #expect(throws: JSONError.self) { try JSONValue(parsing: String(repeating: piece, count: 100_000)) }
        let deep = String(repeating: "[", count: 64) + String(repeating: "]", count: 64)
        #expect(throws: Never.self) { try JSONValue(parsing: deep) }
        #expect(throws: JSONError.self) { try JSONValue(parsing: "[" + deep + "]") }
    }

    @Test("bytes that are no UTF-8 become U+FFFD")
    func notUTF8() throws {
        #expect(try JSONValue(parsing: [0x22, 0xFF, 0x22]) == "\u{FFFD}")
        #expect(try JSONValue(parsing: [0x22, 0xC3, 0x22]) == "\u{FFFD}")
    }

    @Test("every beginning of a document is refused, and nothing else happens")
    func truncated() {
        let text = Array(#"{"a\u00e9":[1,-2.5e1,true,null,{{"q":"\uD83D\uDE00"}:'x',0:false}]}"#.utf8)
        for length in 0..<text.count {
            #expect(throws: JSONError.self) { try JSONValue(parsing: Array(text[..<length])) }
        }
    }

    @Test(
        "strings are escaped as fastjson does",
        arguments: [
            ("a\"b\\c/d", #"a\"b\\c/d"#), ("\u{8}\t\n\u{C}\r", #"\b\t\n\f\r"#),
            ("\u{0}\u{1}\u{B}\u{1F}", #"\u0000\u0001\u000B\u001F"#),
            ("\u{7F}\u{80}\u{9F}\u{A0}", "\\u007F\\u0080\\u009F\u{A0}"),
            ("\u{2027}\u{2028}\u{2029}\u{202A}", "\u{2027}\\u2028\\u2029\u{202A}"),
            ("é😀 漢字", "é😀 漢字"), ("", ""),
        ])
    func escaped(text: String, expected: String) throws {
        let buffer = ByteBuffer()
        buffer.append(escapingJSON: Array(text.utf8).span.bytes)
        #expect(buffer.bytes.string() == expected)
        #expect(try JSONValue(parsing: "\"" + expected + "\"") == .string(text))
    }

    @Test("cut-off UTF-8 is passed on as it is")
    func escapedCutOff() {
        for bytes: [UInt8] in [[0xC2], [0xE2], [0xE2, 0x80], [0xE2, 0x80, 0x41]] {
            let buffer = ByteBuffer()
            buffer.append(escapingJSON: bytes.span.bytes)
            #expect(buffer.bytes.array() == bytes)
        }
    }

    @Test("the writer sets commas and both odd forms of maps")
    func writer() {
        let buffer = ByteBuffer()
        var json = JSONWriter(buffer)
        json.object { json in
            json.field("a", 1)
            json.field("b", String?.none)
            json.field("c") { json in
                json.object { json in
                    json.key(integer: 0)
                    json.string("x")
                    json.key(integer: 1)
                    json.array([1, 2]) { $0.integer($1) }
                }
            }
            json.field("d") { json in
                json.object { json in
                    for number in 1...2 {
                        json.key { json in json.object { $0.field("q", number) } }
                        json.object { _ in }
                    }
                }
            }
            json.field("e", double: 0)
            json.field("f", double: .nan)
            json.field("g", true)
        }
        #expect(
            buffer.bytes.string()
                == #"{"a":1,"c":{0:"x",1:[1,2]},"d":{{"q":1}:{},{"q":2}:{}},"e":0.0,"f":null,"g":true}"#)
    }

    @Test("lookups take what other writers put in quotes")
    func lookups() throws {
        let json = try JSONValue(parsing: #"{"n":"12","b":"true","d":"1.5","x":null,"n2":3.0,"t":"t"}"#)
        #expect(json["n"]?.integerValue == 12)
        #expect(json["b"]?.boolValue == true)
        #expect(json["d"]?.doubleValue == 1.5)
        #expect(json["x"] == nil)
        #expect(json["missing"] == nil)
        #expect(json["n2"]?.integerValue == 3)
        #expect(json["t"]?.integerValue == nil)
        #expect(JSONValue.null["a"] == nil)
    }
}
