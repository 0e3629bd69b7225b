import Base
import Bytes

/// Who has asked what, how many replies were given, and how many have come.
///
///     requester ──question──▶ broker ──pull──▶ replier
///               ◀──326─────          ◀──325──
///
/// A reply reaches only the client that asked, is one that was given, and comes no more often than it was given; a replier that is
/// told so may rely on it that the requester has it.
final class ReplyLedger {
    private struct Question {
        var requester: String
        /// How often a replier handed a reply to the network.
        var given = 0
        /// How often one came to the requester.
        var received = 0
    }

    private unowned let world: ClusterSimulation
    private var questions: [Int: Question] = [:]

    init(_ world: ClusterSimulation) { self.world = world }

    /// The number that ties a reply to its question.
    static func correlation(_ id: Int) -> String { "C\(id)" }

    /// What the reply to a question holds: it follows from the question, and differs from it.
    static func body(_ id: Int, seed: UInt64) -> [UInt8] { Oracle.body(id, seed: seed ^ 0x5245_504C_59) }

    func asked(_ id: Int, by requester: String) { questions[id] = Question(requester: requester) }

    /// The client that wants the reply; nil when nobody asked.
    func requester(of id: Int) -> String? { questions[id]?.requester }

    func gave(_ id: Int) { questions[id]?.given += 1 }

    /// A reply came to a client.
    /// - Returns: the question.
    func received(_ correlation: String?, _ body: RawSpan, by client: String) -> Int? {
        guard let correlation, correlation.hasPrefix("C"), let id = Int(correlation.dropFirst()),
            let question = questions[id]
        else {
            world.fail("P2", "\(client) gets a reply to \(correlation ?? "nothing"), which nobody asked")
            return nil
        }
        guard question.requester == client else {
            world.fail("P2", "the reply to question \(id) of \(question.requester) comes to \(client)")
            return nil
        }
        guard Self.body(id, seed: world.seed).withUnsafeBytes({ body.equals(RawSpan(_unsafeBytes: $0)) }) else {
            world.fail("P3", "\(client) gets other bytes than the reply to question \(id)")
            return nil
        }
        questions[id]?.received += 1
        if question.received + 1 > question.given {
            world.fail(
                "P2",
                "\(question.received + 1) replies to question \(id) came to \(client), and \(question.given) were given"
            )
        }
        return id
    }

    /// A replier was told that the requester has its reply.
    func acknowledged(_ id: Int) {
        guard questions[id]?.received == 0 else { return }
        world.fail("P1", "the reply to question \(id) was acknowledged and did not come to \(requester(of: id) ?? "")")
    }
}
