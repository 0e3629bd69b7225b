import Base
import Bytes
import RemotingProtocol
import Runtime

/// A few requests to one server, on a connection of their own that ends with the last answer. Belongs to the loop.
final class Exchange: ConnectionHandler {
    struct Answer {
        var code: ResponseCode
        var remark: String
        var body: [UInt8]
    }

    /// One request: its code and what writes its fields.
    struct Request {
        var code: RequestCode
        var fields: (inout CommandWriter) -> Void = { _ in }
    }

    private let requests: [Request]
    private let header = CommandHeader()
    private var answers: [Answer?]
    private var answerCount = 0
    private var timer: LoopTimer?
    private var completion: (([Answer]?) -> Void)?

    private init(_ requests: [Request], _ completion: @escaping ([Answer]?) -> Void) {
        self.requests = requests
        answers = Array(repeating: nil, count: requests.count)
        self.completion = completion
    }

    /// Sends the requests and calls back once, in a later turn: with all answers in the order of the requests, or with nil when
    /// the server could not be reached or did not answer in time.
    static func run(
        _ requests: [Request], to endpoint: NameServerEndpoint, on loop: EventLoop, security: OutgoingSecurity,
        timeoutMilliseconds: Int64, _ completion: @escaping ([Answer]?) -> Void
    ) {
        let exchange = Exchange(requests, completion)
        loop.connect(
            host: endpoint.host, port: endpoint.port, timeoutMilliseconds: timeoutMilliseconds, tls: security.tls
        ) { connection in
            exchange.timer = loop.schedule(afterMilliseconds: timeoutMilliseconds) { [weak connection] in
                connection?.close("no answer in time", .abort)
            }
            exchange.speak(connection, security.signer)
            return exchange
        } failed: { _ in
            exchange.end(nil)
        }
    }

    private func speak(_ connection: Connection, _ signer: RequestSigner?) {
        for (index, request) in requests.enumerated() {
            var writer = CommandWriter(connection.output, encoding: .json)
            writer.signer = signer
            writer.begin(request: request.code, opaque: Int32(index))
            request.fields(&writer)
            writer.end()
        }
        connection.outputAdded()
    }

    private func end(_ answers: [Answer]?) {
        timer?.cancel()
        timer = nil
        let completion = self.completion
        self.completion = nil
        completion?(answers)
    }

    func received(_ input: ByteBuffer, on connection: Connection) {
        while connection.isOpen {
            do {
                guard let frame = try Frame.next(in: input) else {
                    return connection.expect(bytes: Frame.sizeNeeded(in: input.bytes))
                }
                try header.decode(frame, in: input)
                take(frame, input.bytes)
                input.consume(frame.size)
            } catch {
                return connection.close("no remoting protocol", .abort)
            }
            if answerCount == answers.count { connection.close("done") }
        }
    }

    private func take(_ frame: Frame, _ bytes: RawSpan) {
        guard header.isResponse, answers.indices.contains(Int(header.opaque)), answers[Int(header.opaque)] == nil
        else { return }
        answers[Int(header.opaque)] = Answer(
            code: header.responseCode, remark: header.remark.map { bytes.extracting($0).string() } ?? "",
            body: bytes.extracting(frame.body).array())
        answerCount += 1
    }

    func drained(_ connection: Connection) {}

    func closed(_ connection: Connection, reason: CloseReason) {
        end(answerCount == answers.count ? answers.compactMap { $0 } : nil)
    }
}
