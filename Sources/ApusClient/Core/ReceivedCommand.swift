import Bytes
import RemotingProtocol

/// One frame from a server, where it was received. Only valid until the handler that was given it returns.
struct ReceivedCommand {
    let header: CommandHeader
    let buffer: ByteBuffer
    let frame: Frame

    var code: ResponseCode { header.responseCode }

    var remark: String { header.remark.map { buffer.bytes.extracting($0).string() } ?? "" }

    /// A copy of the body.
    var body: [UInt8] { buffer.bytes.extracting(frame.body).array() }

    /// A field as text; nil when there is none.
    func text(_ name: StaticString) -> String? { header.string(ifPresent: name, in: buffer.bytes) }

    /// The error that an answer with an unwanted code means.
    var refusal: ClientError { .refused(code, remark) }

    func requireSuccess() throws(ClientError) {
        guard code == .success else { throw refusal }
    }

    func fields<Fields: CommandFields>(_ type: Fields.Type = Fields.self) throws(ClientError) -> Fields {
        do throws(HeaderError) { return try Fields(header, in: buffer.bytes) } catch {
            throw ClientError(.malformedAnswer, "the answer cannot be read", underlying: error)
        }
    }

    func json<Body: CommandBody>(_ type: Body.Type = Body.self) throws(ClientError) -> Body {
        do throws(BodyError) { return try Body(parsing: buffer.bytes.extracting(frame.body)) } catch {
            throw ClientError(.malformedAnswer, "the answer's body cannot be read", underlying: error)
        }
    }
}

/// A request, and how its answer is read.
struct Request<Answer: Sendable>: Sendable {
    var code: RequestCode
    var isOneway = false
    /// Writes fields and body, between the writer's `begin` and `end`.
    var write: @Sendable (inout CommandWriter) -> Void
    /// Called on the loop's thread with the answer, whatever its code.
    var read: @Sendable (ReceivedCommand) throws(ClientError) -> Answer

    init(
        _ code: RequestCode, write: @escaping @Sendable (inout CommandWriter) -> Void,
        read: @escaping @Sendable (ReceivedCommand) throws(ClientError) -> Answer
    ) {
        self.code = code
        self.write = write
        self.read = read
    }

    init(
        _ code: RequestCode, _ fields: (any CommandFields)? = nil, body: [UInt8] = [],
        read: @escaping @Sendable (ReceivedCommand) throws(ClientError) -> Answer
    ) {
        self.code = code
        self.read = read
        write = { writer in
            fields?.write(into: &writer)
            guard !body.isEmpty else { return }
            writer.beginBody()
            writer.buffer.append(body)
        }
    }
}

extension Request where Answer == Void {
    /// A request whose answer says only that it was done.
    init(_ code: RequestCode, _ fields: (any CommandFields)? = nil, body: [UInt8] = []) {
        self.init(code, fields, body: body) { (answer) throws(ClientError) in try answer.requireSuccess() }
    }

    /// The same request without an answer.
    var oneway: Request {
        var copy = self
        copy.isOneway = true
        return copy
    }
}

extension Request where Answer: CommandFields {
    /// A request whose answer is in its fields.
    init(_ code: RequestCode, _ fields: (any CommandFields)? = nil, answer: Answer.Type) {
        self.init(code, fields) { (answer) throws(ClientError) in
            try answer.requireSuccess()
            return try answer.fields()
        }
    }
}

extension Request where Answer: CommandBody {
    /// A request whose answer is in its body.
    init(_ code: RequestCode, _ fields: (any CommandFields)? = nil, body: [UInt8] = [], json: Answer.Type) {
        self.init(code, fields, body: body) { (answer) throws(ClientError) in
            try answer.requireSuccess()
            return try answer.json()
        }
    }
}
