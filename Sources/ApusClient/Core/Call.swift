import Base
import RemotingProtocol

/// A request under way: waiting for its connection, or for its answer.
protocol PendingCall: Waiting {
    var address: String { get }
    var isOneway: Bool { get }
    func write(_ opaque: Int32, into writer: inout CommandWriter)
    /// Takes the answer. Called once at most.
    func answered(_ command: ReceivedCommand)
    /// Ends a one-way request that was written.
    func written()
}

final class Call<Answer: Sendable>: PendingCall {
    let address: String
    let deadline: MonotonicTime
    private let request: Request<Answer>
    private let continuation: CheckedContinuation<Result<Answer?, ClientError>, Never>

    init(
        _ request: Request<Answer>, to address: String, deadline: MonotonicTime,
        _ continuation: CheckedContinuation<Result<Answer?, ClientError>, Never>
    ) {
        self.request = request
        self.address = address
        self.deadline = deadline
        self.continuation = continuation
    }

    var isOneway: Bool { request.isOneway }

    func write(_ opaque: Int32, into writer: inout CommandWriter) {
        writer.begin(request: request.code, opaque: opaque, isOneway: request.isOneway)
        request.write(&writer)
        writer.end()
    }

    func answered(_ command: ReceivedCommand) {
        do throws(ClientError) {
            continuation.resume(returning: .success(try request.read(command)))
        } catch {
            continuation.resume(returning: .failure(error))
        }
    }

    func written() { continuation.resume(returning: .success(nil)) }

    func fail(_ error: ClientError) { continuation.resume(returning: .failure(error)) }

    var lateness: ClientError {
        ClientError(.timedOut, "request \(request.code) to \(address) was not answered before its deadline")
    }
}
