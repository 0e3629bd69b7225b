import Base
import Bytes
import NameService
import RemotingProtocol

/// A request as it lies in the receive buffer, valid until its frame is consumed.
struct NameServerRequest {
    let header: CommandHeader
    /// Positions in ``header`` and ``body`` count from its first readable byte.
    let input: ByteBuffer
    let body: Range<Int>

    /// The typed fields of the header.
    func fields<Fields: CommandFields>(_: Fields.Type = Fields.self) throws(NameServerFailure) -> Fields {
        do throws(HeaderError) { return try Fields(header, in: input.bytes) } catch { throw .fields(error) }
    }
}

extension CommandWriter {
    /// Writes a whole answer without a body.
    mutating func answer(_ request: NameServerRequest) {
        begin(response: .success, to: request.header)
        end()
    }

    /// Writes a whole answer that has fields and no body.
    mutating func answer(_ request: NameServerRequest, _ fields: some CommandFields) {
        begin(response: .success, to: request.header)
        fields.write(into: &self)
        end()
    }

    /// Writes a whole answer whose body is JSON.
    mutating func answer(_ request: NameServerRequest, body: (inout JSONWriter) -> Void) {
        begin(response: .success, to: request.header)
        beginBody()
        var json = JSONWriter(buffer)
        body(&json)
        end()
    }

    /// Writes a whole answer with a body and no fields.
    mutating func answer(_ request: NameServerRequest, body: some CommandBody) {
        answer(request) { body.write(to: &$0) }
    }
}
