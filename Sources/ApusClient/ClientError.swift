import RemotingProtocol

/// Why a call of the client failed: the one error type of this library.
///
///     do {
///         _ = try await producer.send(message)
///     } catch where error.isRetriable {
///         // The broker may have stored the message all the same: sending again can duplicate it.
///     }
public struct ClientError: Error, Sendable, CustomStringConvertible {
    /// What kind of failure it is. New kinds may be added: keep a `default` when switching.
    public var code: Code
    /// What happened, for a person, with what to do where that is known.
    public var message: String
    /// The number and the remark that a server answered with, when ``code`` is ``Code/refused`` or ``Code/topicNotFound``.
    public var answer: Answer?
    /// What was stored before the failure, of a call that sends several batches.
    public var stored: [SendReceipt] = []
    /// What a lower layer said, for instance a `RuntimeError` of the connection.
    public var underlying: (any Error)?
    /// Where in this library the error was made.
    public var file: String
    public var line: Int

    /// A kind of failure.
    public struct Code: Hashable, Sendable, CustomStringConvertible {
        private enum Kind: String {
            case timedOut, connectionFailed, connectionClosed, refused, topicNotFound, brokerNotFound, noNameServer
            case invalidArgument, messageTooLarge, malformedAnswer, cancelled, closed
        }
        private let kind: Kind
        /// No answer came before the deadline. The server may have done the work.
        public static let timedOut = Code(kind: .timedOut)
        /// No connection could be made.
        public static let connectionFailed = Code(kind: .connectionFailed)
        /// The connection ended before the answer came. The server may have done the work.
        public static let connectionClosed = Code(kind: .connectionClosed)
        /// A server answered with an error: see ``ClientError/answer``.
        public static let refused = Code(kind: .refused)
        /// The name servers know no route to the topic, and topics are not created on first use.
        public static let topicNotFound = Code(kind: .topicNotFound)
        /// The route has no broker that can serve the call.
        public static let brokerNotFound = Code(kind: .brokerNotFound)
        /// None of the name servers could be reached.
        public static let noNameServer = Code(kind: .noNameServer)
        /// The caller's values cannot be sent; nothing was.
        public static let invalidArgument = Code(kind: .invalidArgument)
        /// The message, or the batch, exceeds the limit; nothing was sent.
        public static let messageTooLarge = Code(kind: .messageTooLarge)
        /// A server answered with what this library cannot read.
        public static let malformedAnswer = Code(kind: .malformedAnswer)
        /// The calling task was cancelled.
        public static let cancelled = Code(kind: .cancelled)
        /// The client, or the consumer, was shut down.
        public static let closed = Code(kind: .closed)
        public var description: String { kind.rawValue }
    }

    /// What a server answered.
    public struct Answer: Equatable, Sendable {
        /// RocketMQ's number (remoting reference §1.4).
        public var code: Int32
        public var remark: String
        public init(code: Int32, remark: String) {
            self.code = code
            self.remark = remark
        }
    }

    public init(
        _ code: Code, _ message: String, answer: Answer? = nil, underlying: (any Error)? = nil,
        file: String = #fileID, line: Int = #line
    ) {
        self.code = code
        self.message = message
        self.answer = answer
        self.underlying = underlying
        self.file = file
        self.line = line
    }

    /// True when the same call may succeed later, or through another broker: what is wrong is not in the call itself.
    public var isRetriable: Bool {
        switch code {
        case .timedOut, .connectionFailed, .connectionClosed, .brokerNotFound, .noNameServer: true
        case .refused: answer.map { Self.retriableAnswers.contains($0.code) } ?? false
        default: false
        }
    }

    /// Answers after which RocketMQ's producers try another broker: 1, 14, 16, 17, 204 and 205, and of 5.x also 2 and 1500
    /// (remoting reference §1.3).
    public static let retriableAnswers: Set<Int32> = [1, 2, 14, 16, 17, 204, 205, 1500]

    public var description: String {
        var text = "\(code): \(message)"
        if let answer { text += " (code \(answer.code))" }
        if let underlying { text += ": \(underlying)" }
        return text
    }
}

extension ClientError {
    static func closed(_ what: String = "the client", file: String = #fileID, line: Int = #line) -> ClientError {
        ClientError(.closed, "\(what) was shut down", file: file, line: line)
    }

    /// What a server said no with.
    static func refused(
        _ code: ResponseCode, _ remark: String, file: String = #fileID, line: Int = #line
    ) -> ClientError {
        let words = remark.isEmpty ? "no reason given" : remark
        return ClientError(
            .refused, words, answer: Answer(code: code.rawValue, remark: remark), file: file, line: line)
    }

    /// True for a server that does not know the request.
    var isUnsupported: Bool { answer?.code == ResponseCode.requestCodeNotSupported.rawValue }
}
