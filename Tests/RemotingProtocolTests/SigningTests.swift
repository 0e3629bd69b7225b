import Bytes
import RemotingProtocol
import Testing

@Suite("Signatures")
struct SigningTests {
    /// A request with these fields in this order, unsigned or signed.
    private func request(
        _ fields: [(String, String)], body: String = "", encoding: HeaderEncoding, signer: RequestSigner? = nil
    ) throws -> (buffer: ByteBuffer, frame: Frame, header: CommandHeader) {
        let buffer = ByteBuffer()
        var writer = CommandWriter(buffer, encoding: encoding)
        writer.signer = signer
        writer.begin(request: .sendMessageV2, opaque: 1)
        for (name, value) in fields {
            writer.field(name: Array(name.utf8).span.bytes, Array(value.utf8).span.bytes)
        }
        writer.beginBody()
        buffer.append(utf8: body)
        writer.end()
        let frame = try #require(try Frame.next(in: buffer))
        let header = CommandHeader()
        try header.decode(frame, in: buffer)
        return (buffer, frame, header)
    }

    private func verifies(
        _ secret: String, _ fields: [(String, String)], body: String = "", encoding: HeaderEncoding = .binary
    ) throws -> Bool {
        let key = try #require(SigningKey(secret: secret))
        let (buffer, frame, header) = try request(fields, body: body, encoding: encoding)
        return key.verifies(header, body: frame.body, in: buffer.bytes)
    }

    @Test("the signature is that of RFC 2202, over values and body as they follow each other")
    func knownVectors() throws {
        // HMAC-SHA1, cases 2 and 6.
        let second = "7/zfauXrL6LSdBbV8YTfnCWafHk="
        #expect(try verifies("Jefe", [("a", "what do ya want for nothing?"), ("Signature", second)]))
        #expect(try verifies("Jefe", [("Signature", second)], body: "what do ya want for nothing?"))
        #expect(
            try verifies(
                "Jefe", [("b", "do ya want "), ("Signature", second), ("a", "what ")], body: "for nothing?"))
        #expect(try !verifies("Jeff", [("a", "what do ya want for nothing?"), ("Signature", second)]))
        #expect(try !verifies("Jefe", [("a", "what do ya want for nothing!"), ("Signature", second)]))
    }

    @Test("the last value of a field counts, and one field of queries does not")
    func oddFields() throws {
        let signature = "7/zfauXrL6LSdBbV8YTfnCWafHk="
        #expect(
            try verifies(
                "Jefe",
                [
                    ("a", "forged"), ("_UNIQUE_KEY_QUERY", "true"), ("Signature", signature),
                    ("a", "what do ya want for nothing?"),
                ]))
    }

    @Test("Java clients since 4.9.4 sign that field, and are believed as well")
    func uniqueKeyQuery() throws {
        let fields = [("topic", "want for nothing?"), ("Signature", "7/zfauXrL6LSdBbV8YTfnCWafHk=")]
        #expect(try verifies("Jefe", [("_UNIQUE_KEY_QUERY", "what do ya ")] + fields))
        #expect(try !verifies("Jefe", [("_UNIQUE_KEY_QUERY", "what do yo ")] + fields))
        #expect(try !verifies("Jefe", [("_UNIQUE_KEY", "what do ya "), ("a", "")] + fields.dropLast()))
    }

    @Test("a long header is sorted like a short one")
    func manyFields() throws {
        let letters = Array("what do ya want for nothing?")
        // More fields than are sorted by insertion; those without a value add nothing.
        var fields = letters.enumerated().map { (index, letter) in ("k" + String(1000 + index), String(letter)) }
        fields += (0..<100).map { ("m\($0)", "") }
        #expect(try verifies("Jefe", fields.reversed() + [("Signature", "7/zfauXrL6LSdBbV8YTfnCWafHk=")]))
    }

    @Test(
        "a signature of another form is none",
        arguments: ["", "7/zfauXrL6LSdBbV8YTfnCWafHk", "7/zfauXrL6LSdBbV8YTfnCWafHk=A", "7_zfauXrL6LSdBbV8YTfnCWafHk="])
    func malformed(signature: String) throws {
        #expect(try !verifies("Jefe", [("a", "what do ya want for nothing?"), ("Signature", signature)]))
        #expect(try !verifies("Jefe", [("a", "what do ya want for nothing?")]))
    }

    @Test("what a signer signs verifies, in both encodings, and no longer when a byte is changed")
    func roundTrip() throws {
        let signer = try #require(RequestSigner(Credentials(accessKey: "tester1", secretKey: "geheim-ü")))
        let key = try #require(SigningKey(secret: "geheim-ü"))
        let fields = [("b", "Orders"), ("i", "KEYS\u{1}a \"b\" \\ \n\u{2}TAGS\u{1}ü"), ("a", "")]
        for encoding in [HeaderEncoding.json, .binary] {
            let (buffer, frame, header) = try request(fields, body: "body", encoding: encoding, signer: signer)
            let accessKey = header.string(ifPresent: "AccessKey", in: buffer.bytes)
            #expect(accessKey == "tester1")
            let isGood = key.verifies(header, body: frame.body, in: buffer.bytes)
            #expect(isGood)
            let body = frame.body.lowerBound
            buffer.patch(bigEndian: UInt8(ascii: "B"), at: body)
            let isStillGood = key.verifies(header, body: frame.body, in: buffer.bytes)
            #expect(!isStillGood)
        }
    }

    @Test("credentials are read as RocketMQ's tools.yml has them")
    func credentials() throws {
        let text = "# tools\naccessKey: tester1\r\nsecretKey: \"with # and = signs\"\n"
        #expect(
            try Credentials(parsing: text) == Credentials(accessKey: "tester1", secretKey: "with # and = signs"))
        #expect(try Credentials(parsing: "accessKey=a\nsecretKey=b=c\n").secretKey == "b=c")
    }

    @Test(
        "credentials that lack something are refused without showing the secret",
        arguments: [
            "", "accessKey: a", "secretKey: geheim", "accessKey: a\nsecretKey:", "accessKey: a\nsecretkey: geheim",
            "geheim",
        ])
    func badCredentials(text: String) {
        let error = #expect(throws: CredentialsError.self) { try Credentials(parsing: text) }
        #expect(error?.description.contains("geheim") == false)
        #expect(!"\(Credentials(accessKey: "a", secretKey: "geheim"))".contains("geheim"))
    }
}
